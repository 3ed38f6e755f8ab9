/** The search page: what a person does becomes a state, the state becomes requests, their answers are shown. */
import { isAbort, turnstile } from "../lib/api.js";
import { announce, byId, debounced, el, replace } from "../lib/dom.js";
import { count, images } from "../lib/format.js";
import { errorNotice } from "../lib/notice.js";
import { loadCatalogs, offerCatalogs, startShell } from "../lib/shell.js";
import { showChips } from "./chips.js";
import { openDetails } from "./details.js";
import { remember, showExamples } from "./examples.js";
import { countFacets } from "./facets.js";
import { showFilters } from "./filters.js";
import { showSkeletons, showTiles } from "./grid.js";
import { notIndexed, nothingFound } from "./nothing.js";
import { Pictures, receive } from "./picture.js";
import { browse, findHits, look } from "./query.js";
import { hideSeen, showSeen, waitForSeen, wholeBox } from "./seen.js";
import { Stage } from "./stage.js";
import { blank, condition, conditionsOf, fromAddress, isQuery, isSet, toAddress } from "./state.js";

const SKELETON_MS = 150;
const STEADY_MS = 180;

const pictures = new Pictures();
const context = { pictures, catalog: null, kinds: new Map() };
const hitsTurn = turnstile();
const countsTurn = turnstile();
const entries = new Map();
let catalogs = [];
let state = blank();
let cursor = null;
let shownCount = 0;
let countedFor = "";
let seenFor = "";
let waiting = 0;

const stage = new Stage({
  crop: (crop) => go({ crop }),
  another: () => byId("file").click(),
  remove: () => go({ picture: null, crop: null, dislikes: state.likes.length ? state.dislikes : [] }),
  heat: async () => {
    try {
      const { heat_map } = await look(state, context, { heat_map: true });
      if (heat_map === null) announce("This model has no heat map to show.");
      return heat_map;
    } catch (error) {
      replace(byId("notice"), errorNotice(error, null));
      return null;
    }
  },
});

/** Change the state and ask anew; `push: false` keeps the history entry. */
function go(change, { push = true } = {}) {
  state = { ...state, ...change };
  const kept = { picture: state.picture, crop: state.crop };
  history[push ? "pushState" : "replaceState"](kept, "", toAddress(state));
  refresh();
}

function refresh() {
  showControls();
  ask();
  count_();
}

function showControls() {
  const picture = state.picture === null ? null : pictures.get(state.picture);
  stage.show(picture, state.crop);
  showExamples(state, picture, {
    remove: (kind, key) => mark({ key }, kind),
    clear: () => go({ likes: [], dislikes: [] }),
  });
  showChips(state, { change: changeFilter, clear: () => go({ filter: {} }) });
  byId("catalog").value = state.catalog ?? "";
  byId("diversity").value = state.diversity * 100;
  sayDiversity(state.diversity);
  byId("group").checked = state.group;
  byId("match").checked = state.match;
  byId("match").disabled = context.catalog?.no_match_below === null;
  const set = conditionsOf(state);
  byId("filters-toggle").textContent = filtersShown() ? "Hide filters" : `Show filters${set ? ` (${set})` : ""}`;
  const wanted = `${state.picture} ${state.crop}`;
  if (state.picture === null) hideSeen();
  else if (seenFor !== wanted) waitForSeen();
  if (state.picture === null) seenFor = "";
}

/** Ask for hits, or for the catalog's images where there is no query. */
async function ask({ more = false } = {}) {
  const signal = hitsTurn.next();
  const asked = state;
  clearTimeout(waiting);
  byId("grid").setAttribute("aria-busy", "true");
  byId("more").disabled = true;
  if (!more) waiting = setTimeout(() => showSkeletons(), byId("grid").children.length ? SKELETON_MS : 0);
  try {
    const find = isQuery(asked) || conditionsOf(asked) ? findHits : browse;
    const answer = await find(asked, context, { cursor: more ? cursor : null, signal });
    if (signal.aborted) return;
    clearTimeout(waiting);
    await showAnswer(asked, answer, more);
  } catch (error) {
    clearTimeout(waiting);
    if (!isAbort(error) && !signal.aborted) showFailure(error, more);
  }
}

async function showAnswer(asked, answer, more) {
  const hits = answer.hits ?? answer.items.map(asEntry);
  const scored = isQuery(asked);
  const list = scored ? hits : hits.map(({ score, likeness, is_match, ...rest }) => rest);
  cursor = answer.next_cursor;
  if (!more) {
    entries.clear();
    shownCount = 0;
  }
  list.forEach((entry) => entries.set(entry.key, entry));
  shownCount += list.length;
  replace(byId("notice"), list.length || more ? null : nothingFound(asked, context.catalog, go));
  const first = showTiles(list, asked, { open, mark }, { append: more, markable: scored });
  byId("more").hidden = cursor === null;
  byId("more").disabled = false;
  if (more) first?.querySelector("button")?.focus({ preventScroll: true });
  sayResults(asked, answer, more ? list.length : null);
  if (!more && asked.picture !== null) await showWhatIsSeen(asked, answer);
  if (!more && asked.item && entries.has(asked.item)) open(entries.get(asked.item), { push: false });
}

async function showWhatIsSeen(asked, answer) {
  const wanted = `${asked.picture} ${asked.crop}`;
  const known = answer.query ?? (seenFor === wanted ? null : await look(asked, context, {}).catch(() => null));
  if (known === null || state.picture !== asked.picture) return;
  seenFor = wanted;
  showSeen(known, (category) => changeFilter("category", { ...condition(), any: [category] }));
  stage.offerBox(wholeBox(known.box, asked.crop));
}

function showFailure(error, more) {
  byId("grid").setAttribute("aria-busy", "false");
  if (!more) {
    byId("grid").replaceChildren();
    byId("more").hidden = true;
    byId("results-said").textContent = "";
    if (state.picture !== null && seenFor !== `${state.picture} ${state.crop}`) hideSeen();
  }
  byId("more").disabled = false;
  replace(byId("notice"), errorNotice(error, () => ask({ more })));
}

function sayResults(asked, answer, added) {
  const query = isQuery(asked);
  const heading = !query ? `Everything in ${asked.catalog}` : asked.picture !== null ? (asked.crop ? "Like the selected part" : "Like your photograph") : "Like the examples";
  byId("results-heading").textContent = query || !conditionsOf(asked) ? heading : `Filtered images of ${asked.catalog}`;
  const took = answer.took_ms === undefined ? "" : ` in ${count(Math.max(1, answer.took_ms))} ms`;
  const total = !query && !conditionsOf(asked) && context.catalog?.images ? ` of ${images(context.catalog.images)}` : "";
  byId("results-said").textContent = total ? `${count(shownCount)}${total}` : `${images(shownCount)}${cursor ? " so far" : ""}${took}`;
  announce(added === null ? `${heading}: ${images(shownCount)}${cursor ? ", there are more" : ""}` : `${count(added)} more, ${images(shownCount)} shown`);
}

/** Count what passes, when catalog or filter have changed. */
async function count_() {
  if (!context.catalog?.dimension) return;
  const wanted = JSON.stringify([state.catalog, state.filter]);
  if (wanted === countedFor) return;
  const signal = countsTurn.next();
  try {
    const counts = await countFacets(state, context, signal);
    if (signal.aborted) return;
    countedFor = wanted;
    showFilters(state, context.catalog.fields, counts, changeFilter);
  } catch (error) {
    if (isAbort(error) || signal.aborted) return;
    replace(byId("filters"), errorNotice(error, count_));
  }
}

function changeFilter(field, one) {
  const filter = { ...state.filter, [field]: one };
  if (!isSet(one)) delete filter[field];
  go({ filter });
}

/** Like or unlike an image, or take that back. */
function mark(entry, kind) {
  const other = kind === "likes" ? "dislikes" : "likes";
  const has = state[kind].includes(entry.key);
  const without = (keys) => keys.filter((key) => key !== entry.key);
  const change = { [kind]: has ? without(state[kind]) : [...state[kind], entry.key], [other]: without(state[other]) };
  if (entries.has(entry.key)) remember(entries.get(entry.key));
  const likes = change.likes ?? state.likes;
  if (state.picture === null && likes.length === 0) change.dislikes = [];
  go(change);
}

function open(entry, { push = true } = {}) {
  if (push) {
    state = { ...state, item: entry.key };
    history.pushState({ picture: state.picture, crop: state.crop }, "", toAddress(state));
  }
  openDetails(entry, state, {
    markable: isQuery(state),
    mark,
    alike: (one) => {
      remember(one);
      go({ ...blank(), catalog: state.catalog, filter: state.filter, diversity: state.diversity, group: state.group, match: state.match, likes: [one.key] });
      byId("results").focus({ preventScroll: true });
      scrollTo({ top: 0 });
    },
    closed: () => {
      if (state.item === null) return;
      state = { ...state, item: null };
      history.replaceState({ picture: state.picture, crop: state.crop }, "", toAddress(state));
    },
  });
}

/** An item of the catalog as a hit without a score. */
function asEntry(item) {
  const { attributes = null, box = null, extra, ...payload } = item.payload;
  return { ...payload, attributes, box, extra: extra ?? {}, key: item.key, product_id: item.product_id, category: item.category, image: item.image, thumbnail: item.thumbnail };
}

async function take(file) {
  if (!context.catalog?.images) return;
  go({ picture: await pictures.add(file), crop: null, likes: [], dislikes: [], item: null });
}

function sayDiversity(value) {
  byId("diversity-said").textContent = value === 0 ? "most alike" : value < 0.4 ? "a little varied" : value < 0.75 ? "varied" : "most varied";
}

const filtersShown = () => byId("filters-section").classList.contains("open");

function useCatalog(name) {
  context.catalog = catalogs.find((one) => one.name === name) ?? null;
  context.kinds = new Map((context.catalog?.fields ?? []).map(({ field, kind }) => [field, kind]));
  countedFor = "";
}

/** Take the state from the address, as after a step back or forth. */
function settle() {
  state = fromAddress(location.search, history.state);
  const lost = state.picture !== null && !pictures.has(state.picture);
  if (lost) Object.assign(state, { picture: null, crop: null, dislikes: state.likes.length ? state.dislikes : [] });
  state.catalog ??= (catalogs.find((one) => one.images) ?? catalogs[0])?.name ?? null;
  useCatalog(state.catalog);
  byId("details").close();
  if (!context.catalog?.images) {
    showControls();
    byId("grid").replaceChildren();
    byId("grid").setAttribute("aria-busy", "false");
    byId("results-said").textContent = "";
    replace(byId("filters"), el("p", { class: "muted", text: "There is nothing to filter yet." }));
    replace(byId("notice"), notIndexed(context.catalog));
    return;
  }
  refresh();
}

async function start() {
  try {
    catalogs = await loadCatalogs();
  } catch (error) {
    replace(byId("notice"), errorNotice(error, start));
    byId("grid").replaceChildren();
    return;
  }
  replace(byId("notice"));
  offerCatalogs(byId("catalog"), catalogs, null);
  settle();
}

startShell();
showSkeletons();
receive({
  take,
  veil: byId("dropveil"),
  buttons: { choose: byId("choose"), camera: byId("camera") },
  inputs: { file: byId("file"), camera: byId("file-camera") },
});
byId("catalog").addEventListener("change", (event) => {
  useCatalog(event.target.value);
  go({ ...blank(), catalog: event.target.value, picture: state.picture, crop: state.crop });
});
byId("diversity").addEventListener("input", (event) => sayDiversity(event.target.value / 100));
byId("diversity").addEventListener("input", debounced((event) => go({ diversity: event.target.value / 100 }), STEADY_MS));
byId("group").addEventListener("change", (event) => go({ group: event.target.checked }));
byId("match").addEventListener("change", (event) => go({ match: event.target.checked }));
byId("more").addEventListener("click", () => ask({ more: true }));
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters-toggle").addEventListener("click", (event) => {
  const shown = byId("filters-section").classList.toggle("open");
  event.currentTarget.setAttribute("aria-expanded", String(shown));
  showControls();
});
addEventListener("popstate", settle);
addEventListener("online", () => byId("notice").querySelector(".bad") && ask());
start();
