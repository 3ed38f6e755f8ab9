/** What a person can do to a job, with a question before what cannot be undone. */
import { ask } from "../lib/api.js";
import { byId, el, replace } from "../lib/dom.js";
import { isOver } from "./words.js";

const ASK = {
  cancel: {
    title: "Stop this job?",
    text: () => "The images in hand are finished, what is indexed stays. The next sync takes up the rest.",
    act: "Stop the job",
  },
  confirm: {
    title: "Delete what has vanished?",
    text: (job) => `${job.catalog}: ${(job.error ?? "").split(". If that is right")[0]}. With your word they are taken out of the index; the source itself is not touched.`,
    act: "Allow the deletes",
  },
};

/** Buttons for what the job allows now. `done(job)` gets the job as it stands then, `failed(error)` what went wrong. */
export function actionsOf(job, { done, failed }) {
  const button = (action, text, look = "") =>
    el("button", { class: `button ${look}`, type: "button", text, data: { focus: action }, on: { click: () => act(job, action).then((now) => now && done(now), failed) } });
  if (isOver(job)) return null;
  return el(
    "div",
    { class: "actions" },
    job.state === "awaiting_confirmation" && button("confirm", "Allow the deletes", "primary"),
    job.state === "paused" && button("resume", "Resume", "primary"),
    job.state === "running" && !job.cancel_requested && button("pause", "Pause"),
    !job.cancel_requested && button("cancel", "Stop", "danger"),
  );
}

async function act(job, action) {
  if (ASK[action] && !(await confirmed(ASK[action], job))) return null;
  return ask(`v1/jobs/${job.job}/${action}`, { method: "POST" });
}

function confirmed({ title, text, act: go }, job) {
  const dialog = byId("confirm");
  return new Promise((resolve) => {
    const answer = (value) => {
      dialog.onclose = null;
      dialog.close();
      resolve(value);
    };
    replace(
      dialog,
      el(
        "div",
        { class: "sheet" },
        el("h2", { id: "confirm-heading", text: title }),
        el("p", { text: text(job) }),
        el(
          "div",
          { class: "actions" },
          el("button", { class: "button danger", type: "button", text: go, on: { click: () => answer(true) } }),
          el("button", { class: "button", type: "button", text: "Not now", autofocus: true, on: { click: () => answer(false) } }),
        ),
      ),
    );
    dialog.onclose = () => resolve(false);
    dialog.showModal();
  });
}
