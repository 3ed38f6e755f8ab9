/** What is being asked for, and how it stands in the address: a link shows the same, but for an uploaded photograph. */

/** @returns a state in which nothing is asked for */
export function blank() {
  return {
    catalog: null,
    picture: null, // id of a photograph that this tab holds
    crop: null, // [x1, y1, x2, y2] as shares
    likes: [],
    dislikes: [],
    filter: {}, // by field: {any: [], none: [], min, max, missing}
    diversity: 0,
    group: true,
    match: false,
    item: null, // key of the image whose details are shown
  };
}

/** Whether there is a starting point to search from. */
export const isQuery = (state) => state.picture !== null || state.likes.length > 0;

/** The state that an address stands for; `kept` is what the history entry remembers of the photograph. */
export function fromAddress(search, kept) {
  const state = blank();
  const given = new URLSearchParams(search);
  state.catalog = given.get("catalog");
  state.likes = given.getAll("like");
  state.dislikes = state.likes.length || kept?.picture ? given.getAll("dislike") : [];
  state.diversity = bounded(given.get("diversity"));
  state.group = given.get("group") !== "off";
  state.match = given.get("match") === "on";
  state.item = given.get("item");
  for (const [name, value] of given) {
    const [, kind, field] = /^(is|not|min|max|missing)\.(.+)$/.exec(name) ?? [];
    if (!field) continue;
    const one = (state.filter[field] ??= condition());
    if (kind === "is") one.any.push(value);
    else if (kind === "not") one.none.push(value);
    else if (kind === "missing") one.missing = true;
    else if (value !== "" && Number.isFinite(Number(value))) one[kind] = Number(value);
  }
  state.picture = kept?.picture ?? null;
  state.crop = kept?.crop ?? null;
  return state;
}

/** The address of a state, without its photograph. */
export function toAddress(state) {
  const out = new URLSearchParams();
  if (state.catalog) out.set("catalog", state.catalog);
  state.likes.forEach((key) => out.append("like", key));
  state.dislikes.forEach((key) => out.append("dislike", key));
  for (const [field, one] of Object.entries(state.filter)) {
    one.any.forEach((value) => out.append(`is.${field}`, value));
    one.none.forEach((value) => out.append(`not.${field}`, value));
    if (one.min !== null) out.set(`min.${field}`, one.min);
    if (one.max !== null) out.set(`max.${field}`, one.max);
    if (one.missing) out.set(`missing.${field}`, "1");
  }
  if (state.diversity) out.set("diversity", state.diversity);
  if (!state.group) out.set("group", "off");
  if (state.match) out.set("match", "on");
  if (state.item) out.set("item", state.item);
  const text = out.toString();
  return text ? `?${text}` : "./";
}

/** A field's condition that lets everything pass. Values are texts; `typed` gives them their kind again. */
export function condition() {
  return { any: [], none: [], min: null, max: null, missing: false };
}

/** Whether the condition asks for something. */
export function isSet(one) {
  return Boolean(one && (one.any.length || one.none.length || one.min !== null || one.max !== null || one.missing));
}

/** How many conditions are set. */
export function conditionsOf(state) {
  return Object.values(state.filter).filter(isSet).length;
}

/** The filter as the API takes it. `kinds`: kind by field; `but`: a field to leave out. */
export function apiFilter(state, kinds, but = null) {
  const out = [];
  for (const [field, one] of Object.entries(state.filter)) {
    if (field === but || !kinds.has(field)) continue;
    const typedAll = (values) => values.map((value) => typed(value, kinds.get(field)));
    if (one.any.length) out.push({ field, any_of: typedAll(one.any) });
    if (one.none.length) out.push({ field, none_of: typedAll(one.none) });
    if (one.min !== null || one.max !== null) out.push({ field, ...range(one) });
    if (one.missing) out.push({ field, missing: true });
  }
  return out;
}

function range({ min, max }) {
  if (min !== null && max !== null && min > max) return { min: max, max: min };
  return { ...(min !== null && { min }), ...(max !== null && { max }) };
}

function typed(value, kind) {
  if (kind === "bool") return value === "true";
  if (kind === "integer") return Number(value);
  return value;
}

function bounded(text) {
  const value = Number(text);
  return value >= 0 && value <= 1 ? value : 0;
}
