/** What a job found and did, and where its time went. */
import { el } from "../lib/dom.js";
import { bytes, count, duration, moment, percent } from "../lib/format.js";
import { isOver, stateOf } from "./words.js";

/** The progress of a job. */
export function progressOf(job) {
  const [word, colour] = stateOf(job);
  const known = job.scan_complete && job.planned > 0;
  const share = isOver(job) ? 1 : known ? job.finished / job.planned : 0;
  const rate = job.recent_images_per_s ?? (isOver(job) ? job.images_per_s : null);
  return el(
    "div",
    { class: "card progress" },
    el(
      "p",
      { class: "progress-line" },
      el("span", { class: `tag ${colour}`, text: word }),
      el("b", { id: "progress-done", text: isOver(job) && !job.planned ? "nothing to do" : `${count(job.finished)} of ${count(job.planned)}${job.scan_complete ? "" : "+"} done` }),
      rate ? el("span", { class: "muted", text: `${count(rate)} images/s` }) : null,
      el("span", { class: "muted", text: isOver(job) ? `took ${duration(job.seconds)}` : `for ${duration(job.seconds)}` }),
      job.remaining_s !== null && job.remaining_s !== undefined && !isOver(job) && el("span", { class: "muted", text: `about ${duration(job.remaining_s)} left` }),
      job.workers?.length > 0 && el("span", { class: "muted", text: `${job.workers.length} at work` }),
    ),
    el("progress", { max: 1, value: known || isOver(job) ? share : null, "aria-label": "Images done" }),
    el("p", { class: "muted small", text: `Started ${moment(job.started_at ?? job.created_at)}${job.finished_at ? `, ended ${moment(job.finished_at)}` : ""}` }),
    job.error && el("p", { class: job.state === "failed" ? "bad-text" : "warn-text", text: job.error }),
  );
}

const FIGURES = [
  ["seen", "in the source"],
  ["new", "new"],
  ["changed", "changed"],
  ["unchanged", "unchanged"],
  ["retried", "tried again"],
  ["ignored", "other files"],
  ["indexed", "indexed"],
  ["duplicates", "duplicates"],
  ["payload_updated", "updated from the manifest"],
  ["deleted", "deleted"],
  ["vanished", "vanished"],
  ["quarantined", "quarantined"],
  ["failed", "failed"],
  ["manifest_orphans", "manifest rows without an image"],
  ["manifest_problems", "manifest rows left out"],
];

/** Its counts; the usual ones always, the others where there are some. */
export function countsOf(job) {
  const shown = FIGURES.filter(([name]) => job[name] || ["seen", "new", "indexed", "quarantined"].includes(name));
  return el(
    "section",
    {},
    el("h3", { text: "Images" }),
    el("dl", { class: "figures" }, shown.map(([name, label]) => el("div", { class: "card" }, el("dt", { text: label }), el("dd", { text: count(job[name]) })))),
    job.problems?.length > 0 &&
      el("ul", { class: "small muted" }, job.problems.map((one) => el("li", { text: `Manifest line ${one.line}${one.key ? ` (${one.key})` : ""}: ${one.problem}` }))),
  );
}

/** The stages with their shares of the wall time, the bottleneck named. */
export function stagesOf(job) {
  const wall = job.stages.reduce((sum, stage) => sum + stage.wait_s, 0);
  const stages = job.stages.filter((stage) => stage.items);
  if (wall <= 0 || stages.length === 0) return null;
  return el(
    "section",
    { "aria-labelledby": "stages-heading" },
    el("h3", { id: "stages-heading", text: "Where the time went" }),
    job.bottleneck && el("p", {}, "The bottleneck is ", el("b", { text: job.bottleneck }), ": more of it makes the job faster."),
    el(
      "div",
      { class: "scroll-x", tabindex: 0, role: "region", "aria-labelledby": "stages-heading" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ["Stage", "Of the time", "In use", "Threads", "Images", "Data"].map((name) => el("th", { scope: "col", text: name })))),
        el("tbody", {}, stages.map((stage) => stageRow(stage, wall, stage.stage === job.bottleneck))),
      ),
    ),
  );
}

function stageRow(stage, wall, slowest) {
  const share = stage.wait_s / wall;
  const use = stage.busy_s / (wall * stage.threads);
  return el(
    "tr",
    { class: slowest ? "slowest" : null },
    el("th", { scope: "row" }, stage.stage, slowest && el("span", { class: "tag live", text: "bottleneck" })),
    el("td", {}, el("div", { class: "bar" }, el("meter", { min: 0, max: 1, value: Math.min(1, share), "aria-hidden": "true" }), el("span", { text: percent(share) }))),
    el("td", { text: percent(use) }),
    el("td", { text: count(stage.threads) }),
    el("td", { text: count(stage.items) }),
    el("td", { text: stage.bytes ? bytes(stage.bytes) : "–" }),
  );
}
