/** What is said where there is nothing to show. */
import { el } from "../lib/dom.js";
import { emptyNotice } from "../lib/notice.js";
import { conditionsOf } from "./state.js";

/** Why there is no hit, and what to do about it. `go(change)` changes the query. */
export function nothingFound(asked, catalog, go) {
  if (catalog?.images === null || catalog?.images === 0) return notIndexed(catalog);
  const set = conditionsOf(asked);
  return emptyNotice(
    "Nothing passes.",
    el("p", { text: set ? "No image of the catalog passes all filters." : "No image reaches the model's match level." }),
    el(
      "div",
      { class: "actions" },
      set > 0 && el("button", { class: "button primary", type: "button", text: "Clear all filters", on: { click: () => go({ filter: {} }) } }),
      asked.match && el("button", { class: "button", type: "button", text: "Show weaker matches too", on: { click: () => go({ match: false }) } }),
    ),
  );
}

/** How to fill a catalog, or a server that has none. */
export function notIndexed(catalog) {
  const command = catalog
    ? `catalog ingest ${catalog.source} --name ${catalog.name}`
    : "catalog ingest /path/to/images --manifest products.csv --name shop";
  return emptyNotice(
    catalog ? `Nothing of ${catalog.name} is indexed yet.` : "There is no catalog yet.",
    el("p", { text: "Index a folder or a bucket of images, then search it here:" }),
    el("pre", { text: command }),
    el("p", {}, "Or start it on the ", el("a", { href: "jobs", text: "jobs page" }), "."),
  );
}
