/** The conditions in use, each with a button that takes it away. */
import { byId, el, replace } from "../lib/dom.js";
import { shown, title } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { isSet } from "./state.js";

/** Show the chips of a state. `change(field, condition)` sets a field's condition, `clear()` empties the filter. */
export function showChips(state, { change, clear }) {
  const chips = Object.entries(state.filter).flatMap(([field, one]) => chipsOf(field, one, change));
  const list = byId("chips");
  list.hidden = chips.length === 0;
  replace(
    list,
    chips,
    chips.length > 0 &&
      el("li", {}, el("button", { class: "button plain", type: "button", text: "Clear all filters", on: { click: clear } })),
  );
}

function chipsOf(field, one, change) {
  if (!isSet(one)) return [];
  const without = (kind, value) => ({ ...one, [kind]: one[kind].filter((other) => other !== value) });
  const name = title(field);
  const said = (value) => shown(field, value === "true" ? true : value === "false" ? false : value);
  return [
    ...one.any.map((value) => chip(`${name}: ${said(value)}`, () => change(field, without("any", value)))),
    ...one.none.map((value) => chip(`${name}: not ${said(value)}`, () => change(field, without("none", value)))),
    ...(one.min !== null || one.max !== null
      ? [chip(`${name} ${bounds(one)}`, () => change(field, { ...one, min: null, max: null }))]
      : []),
    ...(one.missing ? [chip(`${name}: not given`, () => change(field, { ...one, missing: false }))] : []),
  ];
}

function bounds({ min, max }) {
  if (min === null) return `up to ${max}`;
  return max === null ? `from ${min}` : `${min} to ${max}`;
}

function chip(text, remove) {
  return el(
    "li",
    {},
    el("button", { class: "chip", type: "button", "aria-label": `Remove the filter ${text}`, on: { click: remove } }, text, icon("close")),
  );
}
