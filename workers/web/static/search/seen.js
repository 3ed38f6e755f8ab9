/** What the model sees in the photograph, in words. */
import { byId, el, replace } from "../lib/dom.js";
import { percent, title } from "../lib/format.js";

/** Room for it, before it is known. */
export function waitForSeen() {
  const node = byId("seen");
  node.hidden = false;
  replace(node, el("h2", { text: "What the model sees" }), el("div", { class: "skeleton seen-wait" }));
}

/** Nothing to tell. */
export function hideSeen() {
  byId("seen").hidden = true;
}

/** Show a `Seen` of the API. `onCategory` filters by a category. */
export function showSeen(seen, onCategory) {
  const node = byId("seen");
  node.hidden = false;
  const guesses = seen.categories ?? (seen.category ? [{ category: seen.category, confidence: seen.confidence }] : []);
  replace(
    node,
    el("h2", { text: "What the model sees" }),
    guesses.length === 0 && el("p", { class: "muted", text: "This model names no categories; it only compares." }),
    guesses.length > 0 &&
      el(
        "ol",
        { class: "guesses" },
        guesses.slice(0, 3).map((guess) =>
          el(
            "li",
            {},
            el(
              "button",
              {
                class: "guess",
                type: "button",
                title: `Show only ${title(guess.category)}`,
                on: { click: () => onCategory(guess.category) },
              },
              el("span", { text: title(guess.category) }),
              el("meter", { min: 0, max: 1, value: guess.confidence ?? 0, "aria-hidden": "true" }),
              el("span", { class: "muted", text: guess.confidence === null ? "" : percent(guess.confidence) }),
            ),
          ),
        ),
      ),
    seen.attributes?.length > 0 && el("p", { class: "tags" }, seen.attributes.map((name) => el("span", { class: "tag", text: title(name) }))),
  );
}

/** A box in shares of the part that was looked at, in shares of the whole photograph. */
export function wholeBox(box, crop) {
  if (!box || !crop) return box ?? null;
  const [left, top, right, bottom] = crop;
  const across = (x) => left + x * (right - left);
  const down = (y) => top + y * (bottom - top);
  return [across(box[0]), down(box[1]), across(box[2]), down(box[3])];
}
