/** Hits and images as tiles, which keep their place before their pictures come. */
import { byId, el } from "../lib/dom.js";
import { alike, basename, money, title } from "../lib/format.js";
import { icon } from "../lib/icons.js";

/** Tiles without content, while nothing is known yet. */
export function showSkeletons(count = 12) {
  const grid = byId("grid");
  grid.setAttribute("aria-busy", "true");
  const tile = () =>
    el("li", { class: "tile", "aria-hidden": "true" }, el("div", { class: "tile-picture skeleton" }), el("div", { class: "tile-text" }));
  grid.replaceChildren(...Array.from({ length: count }, tile));
}

/**
 * Show tiles; `append` adds them. `on`: `open(entry)`, `mark(entry, "likes" | "dislikes")`.
 * @returns the first tile that was added, or null
 */
export function showTiles(entries, state, on, { append = false, markable = true } = {}) {
  const grid = byId("grid");
  grid.setAttribute("aria-busy", "false");
  const tiles = entries.map((entry, at) => tileOf(entry, state, on, markable, !append && at < 8));
  if (append) grid.append(...tiles);
  else grid.replaceChildren(...tiles);
  return tiles[0] ?? null;
}

function tileOf(entry, state, on, markable, eager) {
  const name = nameOf(entry);
  return el(
    "li",
    { class: "tile", data: { key: entry.key } },
    el(
      "button",
      { class: "tile-open", type: "button", "aria-haspopup": "dialog", on: { click: () => on.open(entry) } },
      pictureOf(entry, { eager }),
      el("span", { class: "tile-text" }, el("span", { class: "tile-name", text: name }), facts(entry), likeness(entry)),
    ),
    markable && marks(entry, name, state, on),
  );
}

/** The picture of a hit or an item in a square that it never leaves. */
export function pictureOf(entry, { eager = false, large = false } = {}) {
  const link = large ? (entry.image ?? entry.thumbnail) : (entry.thumbnail ?? entry.image);
  const frame = el("span", { class: "tile-picture" });
  if (!link) {
    frame.append(el("span", { class: "tile-lost", text: "no picture" }));
    return frame;
  }
  const image = el("img", {
    src: link.url,
    alt: "",
    width: 480,
    height: 480,
    decoding: "async",
    loading: eager ? "eager" : "lazy",
    on: {
      load: () => image.classList.add("there"),
      error: () => frame.replaceChildren(el("span", { class: "tile-lost", text: "picture cannot be had" })),
    },
  });
  frame.append(image);
  return frame;
}

/** What people call it: its title, else its category and file. */
export function nameOf(entry) {
  return entry.title ?? (entry.category ? `${title(entry.category)}, ${basename(entry.key)}` : basename(entry.key));
}

function facts(entry) {
  const price = money(entry.price, entry.currency);
  return el(
    "span",
    { class: "tile-facts" },
    entry.brand && el("span", { text: entry.brand }),
    price && el("span", { class: "price", text: price }),
    entry.in_stock === false && el("span", { class: "out", text: "Out of stock" }),
  );
}

function likeness(entry) {
  if (entry.score === undefined) return null;
  const said = alike(entry);
  return el(
    "span",
    { class: "tile-alike" },
    el("meter", { min: 0, max: 1, value: said.share, "aria-hidden": "true" }),
    el("span", {}, `${said.words} `, el("b", { text: said.figure })),
    entry.is_match && el("span", { class: "tag good", text: "match" }),
  );
}

function marks(entry, name, state, on) {
  const one = (kind, sign, words) =>
    el(
      "button",
      {
        class: `mark ${kind}`,
        type: "button",
        "aria-pressed": String(state[kind].includes(entry.key)),
        "aria-label": `${words}: ${name}`,
        title: words,
        on: { click: () => on.mark(entry, kind) },
      },
      icon(sign),
    );
  return el("div", { class: "marks" }, one("likes", "like", "More like this"), one("dislikes", "dislike", "Less like this"));
}
