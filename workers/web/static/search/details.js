/** One image large: what is known of it, and why it was found. */
import { byId, el, replace } from "../lib/dom.js";
import { alike, money, percent, shown, title } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { nameOf, pictureOf } from "./grid.js";

/** Open the dialog for a hit or an item. `on`: `alike(entry)`, `mark(entry, kind)`, `closed()`. */
export function openDetails(entry, state, on) {
  const dialog = byId("details");
  const mark = (kind, sign, words) =>
    el(
      "button",
      { class: "button", type: "button", "aria-pressed": String(state[kind].includes(entry.key)), on: { click: () => leave(() => on.mark(entry, kind)) } },
      icon(sign),
      words,
    );
  const leave = (then) => {
    dialog.close();
    then();
  };
  replace(
    dialog,
    el(
      "div",
      { class: "details-body" },
      el("div", { class: "details-picture" }, pictureOf(entry, { eager: true, large: true }), boxOf(entry)),
      el(
        "div",
        { class: "details-text" },
        el("h2", { id: "details-heading", text: nameOf(entry) }),
        el(
          "div",
          { class: "actions" },
          el("button", { class: "button primary", type: "button", on: { click: () => leave(() => on.alike(entry)) } }, icon("more"), "More like this"),
          on.markable && mark("likes", "like", "Like"),
          on.markable && mark("dislikes", "dislike", "Unlike"),
        ),
        whyFound(entry),
        facts("Product", productFacts(entry)),
        facts("What the model saw", modelFacts(entry)),
        entry.url && /^https?:/.test(entry.url) && el("p", {}, el("a", { href: entry.url, rel: "noreferrer noopener", target: "_blank", text: "Product page (opens in a new tab)" })),
      ),
      el("button", { class: "button square details-close", type: "button", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close")),
    ),
  );
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  dialog.onclose = () => on.closed();
  if (!dialog.open) dialog.showModal();
}

function boxOf(entry) {
  if (!entry.box) return null;
  const image = () => box.parentElement?.querySelector("img");
  const [x1, y1, x2, y2] = entry.box;
  const box = el("div", { class: "seen-box", hidden: true });
  requestAnimationFrame(() => {
    const settle = () => {
      const { naturalWidth: w, naturalHeight: h } = image();
      const scale = Math.min(1 / w, 1 / h);
      const across = w * scale;
      const down = h * scale;
      Object.assign(box.style, {
        left: `${((1 - across) / 2 + x1 * across) * 100}%`,
        top: `${((1 - down) / 2 + y1 * down) * 100}%`,
        width: `${(x2 - x1) * across * 100}%`,
        height: `${(y2 - y1) * down * 100}%`,
      });
      box.hidden = false;
    };
    if (image()?.complete && image().naturalWidth) settle();
    else image()?.addEventListener("load", settle);
  });
  return box;
}

function whyFound(entry) {
  if (entry.score === undefined) return null;
  const said = alike(entry);
  return facts("Why it was found", [
    [said.words, entry.likeness === null ? null : said.figure],
    ["Cosine similarity", entry.score.toFixed(3)],
    ["Match level", entry.is_match === null ? null : entry.is_match ? "reached" : "not reached"],
  ]);
}

function productFacts(entry) {
  return [
    ["Product", entry.product_id],
    ["Brand", entry.brand],
    ["Price", money(entry.price, entry.currency)],
    ["Colour", entry.colour],
    ["In stock", typeof entry.in_stock === "boolean" ? shown("in_stock", entry.in_stock) : null],
    ...Object.entries(entry.extra ?? {}).map(([name, value]) => [title(name), String(value)]),
    ["Image", entry.key],
  ];
}

function modelFacts(entry) {
  const sure = typeof entry.category_confidence === "number" ? ` (${percent(entry.category_confidence)} sure)` : "";
  return [
    ["Category declared", entry.category_declared],
    ["Category predicted", entry.category_predicted && `${title(entry.category_predicted)}${sure}`],
    ["Attributes", entry.attributes?.length ? entry.attributes.map(title).join(", ") : null],
  ];
}

function facts(heading, pairs) {
  const given = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (given.length === 0) return null;
  return el("section", {}, el("h3", { text: heading }), el("dl", { class: "facts" }, given.map(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })])));
}
