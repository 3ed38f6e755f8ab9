/** How many images hold which value. Counts depend on catalog and filter alone, so they are asked for apart from the hits. */
import { ask } from "../lib/api.js";
import { anywhere } from "./query.js";
import { apiFilter, isSet } from "./state.js";

const MOST = 10;
const UNCOUNTED = new Set(["key", "catalog", "etag", "content_digest", "model_digest", "version", "job", "indexed_at", "product_id", "url", "title", "width", "height", "category_declared", "category_predicted"]);
const FIRST = ["category", "brand", "colour", "attributes", "in_stock", "price"];

/** The fields that people filter by, the usual ones first. @returns {{counted: string[], ranges: string[]}} */
export function filterFields(fields) {
  const rank = ({ field }) => (FIRST.includes(field) ? FIRST.indexOf(field) : FIRST.length);
  const asked = fields.filter(({ field }) => !UNCOUNTED.has(field)).sort((a, b) => rank(a) - rank(b));
  const of = (...kinds) => asked.filter(({ kind }) => kinds.includes(kind)).map(({ field }) => field);
  return { counted: of("keyword", "integer", "bool").slice(0, MOST), ranges: of("float", "integer") };
}

/**
 * Counts by field. A field with chosen values is counted without its own condition: what else could be chosen shows.
 * @returns {Promise<{facets: Object<string, {value: any, count: number}[]>, total: number}>}
 */
export async function countFacets(state, context, signal) {
  const { counted } = filterFields(context.catalog.fields);
  const chosen = counted.filter((field) => isSet(state.filter[field]));
  const count = (fields, but) =>
    ask("v1/search", {
      method: "POST",
      signal,
      body: {
        catalog: state.catalog,
        vector: anywhere(context.catalog),
        filter: apiFilter(state, context.kinds, but),
        facets: fields,
        limit: 1,
        group_by: null,
      },
    });
  const [all, ...others] = await Promise.all([count(counted, null), ...chosen.map((field) => count([field], field))]);
  const facets = { ...all.facets };
  chosen.forEach((field, at) => (facets[field] = others[at].facets[field]));
  return { facets, total: all.total };
}
