/** The filters: a group of values with counts for each field, ranges for numbers. */
import { byId, el, replace } from "../lib/dom.js";
import { count, shown, title } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { filterFields } from "./facets.js";
import { condition } from "./state.js";

const SHOWN = 8;
const opened = new Set();

/** Show the filters of a catalog. `change(field, condition)` is called with what a person sets. */
export function showFilters(state, fields, { facets }, change) {
  const { counted, ranges } = filterFields(fields);
  const kinds = new Map(fields.map(({ field, kind }) => [field, kind]));
  const groups = counted.map((field) => {
    const own = state.filter[field] ?? condition();
    const values = withChosen(facets[field] ?? [], own);
    if (kinds.get(field) === "bool") return flag(field, values, own, change);
    return values.length || own.missing ? valuesOf(field, values, own, change, () => showFilters(state, fields, { facets }, change)) : null;
  });
  const bounds = ranges
    .filter((field) => !counted.includes(field) || kinds.get(field) === "float")
    .map((field) => range(field, state.filter[field] ?? condition(), change));
  replace(byId("filters"), groups, bounds);
  if (!byId("filters").children.length) byId("filters").append(el("p", { class: "muted", text: "This catalog has no fields to filter by. A manifest brings them." }));
}

function withChosen(values, own) {
  const there = new Set(values.map(({ value }) => String(value)));
  const lost = [...own.any, ...own.none].filter((value) => !there.has(value));
  return [...values, ...lost.map((value) => ({ value, count: 0 }))];
}

function group(field, ...content) {
  return el("fieldset", { class: "facet" }, el("legend", { text: title(field) }), content);
}

function valuesOf(field, values, own, change, again) {
  const open = opened.has(field) || values.slice(SHOWN).some(({ value }) => [...own.any, ...own.none].includes(String(value)));
  const rows = (open ? values : values.slice(0, SHOWN)).map((value) => row(field, value, own, change));
  const rest = values.length - SHOWN;
  const toggle = () => {
    if (!opened.delete(field)) opened.add(field);
    again();
  };
  return group(
    field,
    el("ul", { class: open ? "values scroll" : "values", tabindex: open ? 0 : null, "aria-label": open ? title(field) : null }, rows, missingRow(field, own, change)),
    rest > 0 &&
      el("button", {
        class: "button plain",
        type: "button",
        "aria-expanded": String(open),
        data: { focus: `${field} rest` },
        text: open ? "Show fewer" : `Show ${rest} more`,
        on: { click: toggle },
      }),
  );
}

function row(field, { value, count: held }, own, change) {
  const text = String(value);
  const toggled = (kind, other) => {
    const has = own[kind].includes(text);
    const without = (list) => list.filter((one) => one !== text);
    return { ...own, missing: false, [kind]: has ? without(own[kind]) : [...own[kind], text], [other]: without(own[other]) };
  };
  return el(
    "li",
    {},
    el(
      "label",
      { class: "check" },
      el("input", {
        type: "checkbox",
        checked: own.any.includes(text),
        data: { focus: `${field} is ${text}` },
        on: { change: () => change(field, toggled("any", "none")) },
      }),
      el("span", { class: "value", text: shown(field, value) }),
      el("span", { class: "muted small", text: count(held) }),
    ),
    el(
      "button",
      {
        class: "button plain square leave-out",
        type: "button",
        "aria-pressed": String(own.none.includes(text)),
        "aria-label": `Leave out ${title(field)} ${shown(field, value)}`,
        title: "Leave out",
        data: { focus: `${field} not ${text}` },
        on: { click: () => change(field, toggled("none", "any")) },
      },
      icon("exclude"),
    ),
  );
}

function missingRow(field, own, change) {
  if (field === "category") return null;
  const toggle = () => change(field, { ...condition(), missing: !own.missing });
  return el(
    "li",
    {},
    el(
      "label",
      { class: "check" },
      el("input", { type: "checkbox", checked: own.missing, data: { focus: `${field} missing` }, on: { change: toggle } }),
      el("span", { class: "value muted", text: "not given" }),
    ),
  );
}

function flag(field, values, own, change) {
  const held = (value) => values.find((one) => String(one.value) === value)?.count ?? 0;
  const pick = (value) => change(field, { ...condition(), any: value ? [value] : [] });
  const option = (value, text) => el("option", { value, text, selected: (own.any[0] ?? "") === value });
  const id = `flag-${field}`;
  return el(
    "div",
    { class: "facet" },
    el("label", { class: "legend", for: id, text: title(field) }),
    el(
      "select",
      { id, data: { focus: id }, on: { change: (event) => pick(event.target.value) } },
      option("", "any"),
      option("true", `yes (${count(held("true"))})`),
      option("false", `no (${count(held("false"))})`),
    ),
  );
}

function range(field, own, change) {
  const input = (kind, text) => {
    const set = (event) => {
      const value = event.target.value === "" ? null : Number(event.target.value);
      if (value !== own[kind]) change(field, { ...own, [kind]: value });
    };
    const id = `${kind}-${field}`;
    return el(
      "label",
      { for: id },
      el("span", { class: "muted small", text }),
      el("input", { id, class: "field", type: "number", inputmode: "decimal", step: "any", value: own[kind] ?? "", data: { focus: id }, on: { change: set } }),
    );
  };
  return group(field, el("div", { class: "range" }, input("min", "from"), input("max", "to")));
}
