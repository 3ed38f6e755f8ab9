/** Errors as sentences for people, with what can be done. */
import { el } from "./dom.js";
import { signIn } from "./session.js";

const REASONS = {
  empty: "The file has no bytes. Choose it again.",
  not_an_image: "This file is no picture, whatever its name says.",
  unsupported_format: "This format cannot be read. Use JPEG, PNG, WebP, AVIF or GIF.",
  truncated: "The picture ends too early. Choose the original file again.",
  corrupt: "The picture is damaged. Export it again.",
  too_large: "The file is larger than this server takes. Export it smaller.",
  too_many_pixels: "The picture has more pixels than this server takes. Export it smaller.",
  too_small: "The picture, or the part of it, is only a few pixels wide or high.",
};

/** What happened and whether trying again may help. */
export function explain(error) {
  const { status, message } = error;
  const seconds = error.retryAfter ? ` Try again in ${Math.ceil(error.retryAfter)} s.` : "";
  if (error.reason && REASONS[error.reason]) return { title: REASONS[error.reason], detail: "", again: false };
  if (status === 0) {
    return navigator.onLine
      ? { title: "The server does not answer.", detail: "It may be starting again, or the network is down.", again: true }
      : { title: "You are offline.", detail: "It goes on as soon as there is a network.", again: true };
  }
  if (status === 401) return { title: "An API key is needed.", detail: message, again: true };
  if (status === 403) return { title: "Your API key does not allow this.", detail: message, again: false, key: true };
  if (status === 404) return { title: "That is not here.", detail: message, again: true };
  if (status === 408) return { title: "The network was too slow for this upload.", detail: message, again: true };
  if (status === 413) return { title: REASONS.too_large, detail: message, again: false };
  if (status === 429) return { title: "That were too many requests at once.", detail: `${message}.${seconds}`, again: true };
  if (status === 503) return { title: "The server cannot answer just now.", detail: `${message}.${seconds}`, again: true };
  if (status >= 500) {
    const id = error.requestId ? ` The administrator finds it in the log as ${error.requestId}.` : "";
    return { title: "The server made a mistake.", detail: `${message}.${id}`, again: true };
  }
  return { title: "The server does not accept this.", detail: message, again: status === 409 };
}

/** A notice about an error. `retry` is called by its button. */
export function errorNotice(error, retry) {
  if (!("status" in error)) console.error(error);
  const said = "status" in error ? explain(error) : { title: "This page made a mistake.", detail: error.message, again: true };
  return el(
    "div",
    { class: "notice bad", role: "alert" },
    el("h3", { text: said.title }),
    said.detail && el("p", { text: said.detail.replace(/\.\.+/, ".") }),
    el(
      "div",
      { class: "actions" },
      said.again && retry && el("button", { class: "button primary", type: "button", text: "Try again", on: { click: retry } }),
      said.key &&
        el("button", {
          class: "button",
          type: "button",
          text: "Use another key",
          on: { click: async () => (await signIn("", false)) && retry?.() },
        }),
    ),
  );
}

/** A notice that nothing is wrong, only empty. */
export function emptyNotice(title, ...parts) {
  return el("div", { class: "notice" }, el("h3", { text: title }), parts);
}
