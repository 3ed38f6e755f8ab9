/** From a state to requests: what the server is asked for hits, for counts and for what the model sees. */
import { ask } from "../lib/api.js";
import { apiFilter, isQuery } from "./state.js";
import { steer } from "./steer.js";

const PAGE = 24;

/**
 * A page of hits; without a starting point, of whatever passes the filter.
 * @param state see `state.js`
 * @param context {kinds, catalog (CatalogInfo), pictures}
 */
export async function findHits(state, context, { cursor = null, signal } = {}) {
  const query = {
    catalog: state.catalog,
    filter: apiFilter(state, context.kinds),
    limit: PAGE,
    diversity: state.diversity,
    group_by: state.group && context.kinds.has("product_id") ? "product_id" : null,
    ...(state.match && { min_score: "match" }),
    ...(cursor && { cursor }),
  };
  if (!isQuery(state)) return ask("v1/search", { method: "POST", body: { ...query, vector: anywhere(context.catalog) }, signal });
  const marked = state.likes.length + state.dislikes.length > 0;
  if (state.picture === null) return ask("v1/search", { method: "POST", body: { ...query, likes: state.likes, dislikes: state.dislikes }, signal });
  const picture = context.pictures.get(state.picture);
  if (!marked) return ask("v1/search", { method: "POST", body: withPicture({ ...query, ...cropOf(state) }, picture), signal });
  const vector_base64 = await steer(state, picture, context, signal);
  return ask("v1/search", { method: "POST", body: { ...query, vector_base64 }, signal });
}

/** A page of the catalog, in the index's own order. */
export async function browse(state, context, { cursor = null, signal } = {}) {
  const query = new URLSearchParams({ limit: PAGE });
  if (cursor) query.set("cursor", cursor);
  return ask(`v1/catalogs/${encodeURIComponent(state.catalog)}/items?${query}`, { signal });
}

/** What the model sees in the photograph of the state. */
export async function look(state, context, { heat_map = false, with_vectors = false, signal } = {}) {
  const query = { catalog: state.catalog, heat_map, with_vectors, ...cropOf(state) };
  return ask("v1/classify", { method: "POST", body: withPicture(query, context.pictures.get(state.picture)), signal });
}

/** A direction, for when it does not matter which: every image that passes the filter is wanted, or only their number. */
export const anywhere = ({ dimension }) => Array.from({ length: dimension }, (_, at) => (at === 0 ? 1 : 0));

/** A form with a picture and the query that goes with it. */
export function withPicture(query, picture) {
  const form = new FormData();
  form.set("query", new Blob([JSON.stringify(query)], { type: "application/json" }), "query.json");
  form.set("image", picture.blob, picture.name);
  return form;
}

const cropOf = (state) => (state.crop ? { crop: state.crop } : {});
