/** Live progress of one job: server-sent events read with fetch, since an EventSource cannot bear a key. */
import { ApiError, isAbort, open } from "../lib/api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const QUIET_MS = 40_000; // the server says something every 15 s

/**
 * Follow a job until it rests or `signal` fires. A lost connection is made again, each time after a longer wait.
 * @param tell called with each JobInfo
 * @param lost called with true when the connection is lost, with false when it is there again
 */
export async function follow(id, { tell, lost, signal }) {
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    try {
      const response = await open(`v1/jobs/${id}/events`, { signal, accept: "text/event-stream" });
      lost(false);
      let last = null;
      for await (const job of events(response, signal)) {
        wait = FIRST_WAIT_MS;
        last = job;
        tell(job);
      }
      if (last && last.state !== "running") return;
    } catch (error) {
      if (isAbort(error) && signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    if (signal.aborted) return;
    lost(true);
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }
}

async function* events(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await withLimit(reader.read());
      if (done || signal.aborted) return;
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
        if (data.length) yield JSON.parse(data.join("\n"));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function withLimit(read) {
  let timer = 0;
  const quiet = new Promise((_, reject) => (timer = setTimeout(() => reject(new ApiError(0, { detail: "silence" })), QUIET_MS)));
  return Promise.race([read, quiet]).finally(() => clearTimeout(timer));
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
