/** What both pages have in common: the catalogs and the key. */
import { ask } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { showSignOut, signOut } from "./session.js";

/** Wire the top bar. */
export function startShell() {
  byId("signout").addEventListener("click", signOut);
  byId("signin-cancel").addEventListener("click", () => byId("signin").close());
  document.querySelector(".skip").addEventListener("click", skip);
  showSignOut();
}

/** Go where a link within the page leads, without an entry in the history: that would be another query, or another job. */
function skip(event) {
  event.preventDefault();
  const target = byId(event.currentTarget.hash.slice(1));
  target.focus();
  target.scrollIntoView();
}

/** The catalogs of the server, as `/v1/catalogs` tells them. */
export async function loadCatalogs() {
  return (await ask("v1/catalogs")).catalogs;
}

/** Let a select offer the catalogs; `all` adds a first choice that stands for every one. */
export function offerCatalogs(select, catalogs, chosen, all = null) {
  replace(
    select,
    all && el("option", { value: "", text: all }),
    catalogs.map((one) => el("option", { value: one.name, text: one.name, selected: one.name === chosen })),
  );
  select.value = chosen ?? "";
  select.disabled = catalogs.length === 0;
}
