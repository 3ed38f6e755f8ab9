/** The jobs page: a list, and one job live. */
import { ask, isAbort, turnstile } from "../lib/api.js";
import { announce, byId, el, replace } from "../lib/dom.js";
import { emptyNotice, errorNotice } from "../lib/notice.js";
import { loadCatalogs, offerCatalogs, startShell } from "../lib/shell.js";
import { actionsOf } from "./actions.js";
import { showLeft } from "./left.js";
import { refreshRow, showList } from "./list.js";
import { countsOf, progressOf, stagesOf } from "./report.js";
import { openStarter } from "./start.js";
import { follow } from "./stream.js";
import { isOver, kindOf, leftOut, stateOf } from "./words.js";

const LIST_MS = 10_000;

const listTurn = turnstile();
const jobTurn = turnstile();
let catalogs = [];
let jobs = [];
let chosen = null;
let catalog = "";
let leftFor = "";
let toldState = "";

const query = () => new URLSearchParams(location.search);

async function loadList({ quiet = false } = {}) {
  const signal = listTurn.next();
  try {
    const answer = await ask(`v1/jobs?limit=50${catalog ? `&catalog=${encodeURIComponent(catalog)}` : ""}`, { signal });
    if (signal.aborted) return;
    jobs = answer.jobs;
    replace(byId("list-notice"), jobs.length ? null : nothing());
    showList(jobs, chosen, choose);
    if (chosen === null && jobs.length) show(jobs[0].job);
  } catch (error) {
    if (isAbort(error) || signal.aborted || quiet) return;
    byId("list").replaceChildren();
    replace(byId("list-notice"), errorNotice(error, () => loadList()));
  }
}

function nothing() {
  return emptyNotice(
    "There is no job yet.",
    el("p", { text: "Start a sync here, or with the command line:" }),
    el("pre", { text: "catalog ingest /path/to/images --manifest products.csv --name shop" }),
  );
}

function choose(id) {
  const at = query();
  at.set("job", id);
  history.pushState(null, "", `jobs?${at}`);
  show(id);
  byId("job").focus({ preventScroll: true });
  byId("job").scrollIntoView({ block: "nearest" });
}

/** Show a job and follow it while it runs. */
async function show(id) {
  const signal = jobTurn.next();
  chosen = id;
  leftFor = "";
  toldState = "";
  showList(jobs, chosen, choose);
  const known = jobs.find((job) => job.job === id);
  if (known) showJob(known, signal);
  replace(byId("job-notice"));
  try {
    const job = await ask(`v1/jobs/${id}`, { signal });
    if (signal.aborted) return;
    chosen = job.job;
    showJob(job, signal);
    if (job.state === "running") await watch(job.job, signal);
  } catch (error) {
    if (!isAbort(error) && !signal.aborted) replace(byId("job-notice"), errorNotice(error, () => show(id)));
  }
}

async function watch(id, signal) {
  await follow(id, {
    signal,
    tell: (job) => !signal.aborted && showJob(job, signal),
    lost: (isLost) =>
      replace(byId("job-notice"), isLost && el("p", { class: "notice warn", text: "The connection is lost; it is being made again." })),
  });
}

function showJob(job, signal) {
  const [word] = stateOf(job);
  byId("job-heading").textContent = `${kindOf(job)} of ${job.catalog}`;
  replace(
    byId("job-body"),
    progressOf(job),
    actionsOf(job, {
      done: (now) => {
        showJob(now, signal);
        show(now.job);
      },
      failed: (error) => replace(byId("job-notice"), errorNotice(error, null)),
    }),
    countsOf(job),
    stagesOf(job),
    el("p", { class: "muted small" }, "Job ", el("code", { text: job.job })),
  );
  jobs = jobs.map((one) => (one.job === job.job ? { ...one, ...job } : one));
  refreshRow(job, chosen, choose);
  if (toldState !== word) announce(`${kindOf(job)} of ${job.catalog}: ${word}`);
  toldState = word;
  const left = `${job.job} ${leftOut(job)} ${isOver(job)}`;
  if (leftFor !== left && job.reasons) {
    leftFor = left;
    showLeft(job, signal, started);
  }
}

async function started(job) {
  jobs = [job, ...jobs.filter((one) => one.job !== job.job)];
  replace(byId("list-notice"));
  choose(job.job);
  if (!catalogs.some((one) => one.name === job.catalog)) await loadShell();
}

async function loadShell() {
  catalogs = await loadCatalogs();
  offerCatalogs(byId("catalog"), catalogs, catalog, "All catalogs");
}

function settle() {
  const at = query();
  catalog = at.get("catalog") ?? "";
  byId("catalog").value = catalog;
  chosen = null;
  if (at.get("job")) show(at.get("job"));
  loadList();
}

async function start() {
  try {
    await loadShell();
  } catch (error) {
    byId("list").replaceChildren();
    replace(byId("list-notice"), errorNotice(error, start));
    return;
  }
  settle();
}

startShell();
byId("catalog").addEventListener("change", (event) => {
  const at = new URLSearchParams(event.target.value ? { catalog: event.target.value } : {});
  history.pushState(null, "", at.size ? `jobs?${at}` : "jobs");
  settle();
});
byId("start").addEventListener("click", () => openStarter(catalogs, catalog || catalogs[0]?.name, started));
addEventListener("popstate", settle);
setInterval(() => document.visibilityState === "visible" && loadList({ quiet: true }), LIST_MS);
start();
