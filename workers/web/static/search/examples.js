/** The images a query is steered by: what is liked and disliked, each removable. */
import { byId, el, replace } from "../lib/dom.js";
import { basename } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { nameOf } from "./grid.js";
import { smallPicture } from "./stage.js";

const known = new Map();

/** Remember what an image looks like, for when it is an example. */
export function remember(entry) {
  known.set(entry.key, entry);
}

/** Whether the example's picture is known. */
export const isKnown = (key) => known.has(key);

/** Show the examples of a state. `remove(kind, key)` takes one away, `clear()` all. */
export function showExamples(state, picture, { remove, clear }) {
  const section = byId("examples");
  section.hidden = state.likes.length + state.dislikes.length === 0;
  if (section.hidden) return;
  const row = (kind, key) => exampleOf(kind, key, () => remove(kind, key));
  replace(
    byId("examples-list"),
    el(
      "ul",
      { class: "examples" },
      picture && el("li", {}, smallPicture(picture, ""), el("span", {}, el("b", { text: "Like" }), " your photograph")),
      state.likes.map((key) => row("likes", key)),
      state.dislikes.map((key) => row("dislikes", key)),
    ),
    el("button", { class: "button plain", type: "button", text: "Clear the examples", on: { click: clear } }),
  );
}

function exampleOf(kind, key, remove) {
  const entry = known.get(key);
  const name = entry ? nameOf(entry) : basename(key);
  const link = entry?.thumbnail ?? entry?.image;
  return el(
    "li",
    {},
    link ? el("img", { src: link.url, alt: "", width: 56, height: 56 }) : el("span", { class: "example-blank" }),
    el("span", {}, el("b", { text: kind === "likes" ? "Like" : "Unlike" }), ` ${name}`),
    el(
      "button",
      { class: "button plain square", type: "button", "aria-label": `Remove the example ${name}`, on: { click: remove } },
      icon("close"),
    ),
  );
}
