/** The server, as the page speaks to it: JSON, forms and problems; a key when one is needed. */
import { heldKey, signIn } from "./session.js";

/** What went wrong, whoever's fault it is. `status` is 0 when there was no answer at all. */
export class ApiError extends Error {
  constructor(status, problem = {}, retryAfter = null) {
    super(problem.detail || problem.title || "no answer");
    this.status = status;
    this.reason = problem.reason ?? null;
    this.requestId = problem.request_id ?? null;
    this.retryAfter = retryAfter;
  }
}

/** Whether an error only says that nobody waits any more. */
export const isAbort = (error) => error?.name === "AbortError";

/** The address of a route below the page's own. */
export const address = (path) => new URL(path, document.baseURI);

/**
 * Ask the server. `body`: an object (sent as JSON) or a FormData. Asks for a key once when the server wants one.
 * @returns {Promise<any>} the parsed answer; throws ApiError, or AbortError when `signal` fired
 */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const response = await open(path, { method, body, signal, accept: "application/json" });
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, { detail: "the answer was cut off" });
  }
}

/** The same with the raw answer, for streams. */
export async function open(path, { method = "GET", body, signal, accept }) {
  let response = await send(path, { method, body, signal, accept });
  if (response.status === 401 && (await signIn((await problemOf(response)).detail, heldKey() !== null))) {
    response = await send(path, { method, body, signal, accept });
  }
  if (!response.ok) {
    const seconds = Number(response.headers.get("Retry-After"));
    throw new ApiError(response.status, await problemOf(response), seconds > 0 ? seconds : null);
  }
  return response;
}

async function send(path, { method, body, signal, accept }) {
  const headers = { Accept: accept };
  const key = heldKey();
  if (key !== null) headers.Authorization = `Bearer ${key}`;
  const isForm = body instanceof FormData;
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  const sent = body === undefined || isForm ? body : JSON.stringify(body);
  try {
    return await fetch(address(path), { method, headers, body: sent, signal, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, { detail: navigator.onLine ? "no answer" : "offline" });
  }
}

const problems = new WeakMap();

async function problemOf(response) {
  if (!problems.has(response)) problems.set(response, await response.json().catch(() => ({})));
  return problems.get(response);
}

/** One request at a time for one purpose: starting the next cancels the one before, so that no late answer shows. */
export function turnstile() {
  let current = null;
  return {
    next() {
      current?.abort();
      current = new AbortController();
      return current.signal;
    },
    stop() {
      current?.abort();
    },
  };
}
