/** What a job left out: by reason, with pictures and what to do, and the button that tries it again. */
import { ask, open } from "../lib/api.js";
import { byId, el, replace } from "../lib/dom.js";
import { basename, count, images, title } from "../lib/format.js";
import { errorNotice } from "../lib/notice.js";
import { leftOut } from "./words.js";

const PAGE = 100;
// Whoever could not read the picture cannot make it small either: no need to ask.
const UNREADABLE = new Set(["empty", "not_an_image", "unsupported_format", "truncated", "corrupt", "too_large", "too_many_pixels", "vanished", "access_denied"]);

/** Show what the job left out. `replayed(job)` gets the job of a replay. */
export async function showLeft(job, signal, replayed) {
  const place = byId("left");
  if (leftOut(job) === 0) {
    replace(place);
    return;
  }
  const rows = [];
  const load = async (cursor) => {
    try {
      const page = await ask(`v1/jobs/${job.job}/failures?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`, { signal });
      if (signal.aborted) return;
      rows.push(...page.items);
      show(page.next_cursor);
    } catch (error) {
      if (!signal.aborted) replace(place, errorNotice(error, () => load(cursor)));
    }
  };
  const show = (cursor) =>
    replace(
      place,
      el("div", { class: "jobs-head" }, el("h3", { text: `Left out: ${images(leftOut(job))}` }), replayButtons(job, place, replayed)),
      job.reasons.map((reason) => reasonOf(job, reason, rows, replayed, place)),
      cursor && el("button", { class: "button", type: "button", text: "Show more images", data: { focus: "more" }, on: { click: () => load(cursor) } }),
    );
  await load(null);
}

function replayButtons(job, place, replayed) {
  const replay = (text, wanted) => el("button", { class: "button", type: "button", text, on: { click: () => retry(job, wanted, place, replayed) } });
  return el(
    "div",
    { class: "actions" },
    replay("Try all again", {}),
    job.failed > 0 && job.quarantined > 0 && replay("Only those whose store or index was down", { failed_only: true }),
    el("button", { class: "button plain", type: "button", text: "Download as CSV", on: { click: () => download(job, place) } }),
  );
}

function reasonOf(job, { reason, outcome, images: number, advice }, rows, replayed, place) {
  const own = rows.filter((row) => row.reason === reason && row.outcome === outcome);
  return el(
    "section",
    { class: "card reason" },
    el(
      "div",
      { class: "jobs-head" },
      el("h4", {}, title(reason), " ", el("span", { class: `tag ${outcome === "failed" ? "warn" : "bad"}`, text: `${count(number)} ${outcome}` })),
      el("button", { class: "button", type: "button", "aria-label": `Try again: ${title(reason)}`, text: "Try again", on: { click: () => retry(job, { reasons: [reason] }, place, replayed) } }),
    ),
    el("p", { text: advice }),
    el("ul", { class: "left-list" }, own.map(rowOf)),
    own.length < number && el("p", { class: "muted small", text: `${count(own.length)} of ${count(number)} shown` }),
  );
}

function rowOf(row) {
  const blank = () => el("span", { class: "left-picture", "aria-hidden": "true", text: "no picture" });
  const image = row.thumbnail && !UNREADABLE.has(row.reason) && el("img", { class: "left-picture", src: row.thumbnail.url, alt: "", width: 64, height: 64, loading: "lazy", on: { error: () => image.replaceWith(blank()) } });
  return el(
    "li",
    {},
    image || blank(),
    el(
      "div",
      {},
      el("b", { text: basename(row.key), title: row.key }),
      el("p", { class: "muted small", text: row.key }),
      row.detail && el("p", { class: "small", text: row.detail }),
      row.attempts > 1 && el("p", { class: "muted small", text: `tried ${count(row.attempts)} times` }),
    ),
  );
}

async function retry(job, wanted, place, replayed) {
  try {
    const { jobs } = await ask("v1/jobs", { method: "POST", body: { kind: "retry", catalog: job.catalog, ...wanted } });
    replayed(jobs[0]);
  } catch (error) {
    place.prepend(errorNotice(error, null));
  }
}

async function download(job, place) {
  try {
    const response = await open(`v1/jobs/${job.job}/failures`, { accept: "text/csv" });
    const url = URL.createObjectURL(await response.blob());
    el("a", { href: url, download: `failures-${job.job.slice(0, 8)}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) {
    place.prepend(errorNotice(error, () => download(job, place)));
  }
}
