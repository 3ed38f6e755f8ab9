/** The last jobs, newest first. */
import { byId, el, replace } from "../lib/dom.js";
import { count, moment } from "../lib/format.js";
import { kindOf, leftOut, stateOf } from "./words.js";

/** Show jobs; `choose(id)` is called with the one a person wants to see. */
export function showList(jobs, chosen, choose) {
  const list = byId("list");
  list.setAttribute("aria-busy", "false");
  replace(list, jobs.map((job) => rowOf(job, job.job === chosen, choose)));
}

/** Show a job anew where it stands in the list. */
export function refreshRow(job, chosen, choose) {
  const row = document.getElementById(`row-${job.job}`);
  if (!row) return;
  const focused = row.contains(document.activeElement);
  const fresh = rowOf(job, job.job === chosen, choose);
  row.replaceWith(fresh);
  if (focused) fresh.querySelector("a").focus({ preventScroll: true });
}

function rowOf(job, current, choose) {
  const [word, colour] = stateOf(job);
  const left = leftOut(job);
  const go = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    choose(job.job);
  };
  return el(
    "li",
    { id: `row-${job.job}` },
    el(
      "a",
      { class: "job-row card", href: `jobs?job=${job.job}`, "aria-current": current ? "true" : null, data: { focus: job.job }, on: { click: go } },
      el("span", { class: "job-title" }, el("b", { text: `${kindOf(job)} of ${job.catalog}` }), el("span", { class: `tag ${colour}`, text: word })),
      el("span", { class: "muted small", text: moment(job.created_at) }),
      el("span", { class: "small" }, summary(job), left > 0 && el("span", { class: "bad-text", text: ` · ${count(left)} left out` })),
    ),
  );
}

function summary(job) {
  if (job.state === "running" && job.planned) return `${count(job.finished)} of ${count(job.planned)} done`;
  if (job.state === "running" && !job.scan_complete) return `looking at the source, ${count(job.seen)} so far`;
  const made = job.indexed + job.duplicates;
  const parts = [
    made && `${count(made)} indexed`,
    job.payload_updated && `${count(job.payload_updated)} updated`,
    job.deleted && `${count(job.deleted)} deleted`,
  ].filter(Boolean);
  return parts.join(", ") || (job.seen ? `${count(job.seen)} looked at, nothing to do` : "nothing to do");
}
