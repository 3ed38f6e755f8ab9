/** Names of what jobs are and do. */

const STATES = {
  running: ["running", "live"],
  awaiting_confirmation: ["waits for you", "warn"],
  paused: ["paused", "warn"],
  done: ["done", "good"],
  failed: ["failed", "bad"],
  cancelled: ["cancelled", ""],
};

const KINDS = { sync: "Sync", reindex: "Reindex", retry: "Retry", keys: "Look at keys" };

/** [word, colour] of a state. */
export const stateOf = (job) => (job.cancel_requested && job.state === "running" ? ["stopping", "warn"] : (STATES[job.state] ?? [job.state, ""]));

/** What kind of job it is. */
export const kindOf = (job) => KINDS[job.kind] ?? job.kind;

/** Whether the job can no longer change. */
export const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);

/** Images it could not make searchable. */
export const leftOut = (job) => job.quarantined + job.failed;
