/** The form that starts a sync: of a catalog there is, or of a new one with its source. */
import { ask } from "../lib/api.js";
import { byId, el, replace } from "../lib/dom.js";
import { errorNotice } from "../lib/notice.js";

/** Open the form. `started(job)` gets the job. */
export function openStarter(catalogs, chosen, started) {
  const dialog = byId("starter");
  const trouble = el("div", {});
  const known = el(
    "select",
    { id: "starter-catalog", on: { change: () => settle() } },
    catalogs.map((one) => el("option", { value: one.name, text: one.name, selected: one.name === chosen })),
    el("option", { value: "", text: "A new catalog…" }),
  );
  const name = el("input", { id: "starter-name", class: "field", maxlength: 48, autocomplete: "off", spellcheck: "false" });
  const source = el("input", { id: "starter-source", class: "field", maxlength: 1024, placeholder: "/srv/images or s3://bucket/prefix", autocomplete: "off", spellcheck: "false" });
  const fresh = el("div", { class: "fresh" }, el("label", { for: "starter-name" }, "Its name", name), el("label", { for: "starter-source" }, "Where its images are", source));
  const existing = el("p", { class: "muted" });
  const settle = () => {
    const catalog = catalogs.find((one) => one.name === known.value);
    fresh.hidden = Boolean(catalog);
    name.required = source.required = !catalog;
    existing.textContent = catalog ? `Source: ${catalog.source}` : "";
    existing.hidden = !catalog;
  };
  const submit = async (event) => {
    event.preventDefault();
    const isNew = known.value === "";
    const body = { kind: "sync", catalog: isNew ? name.value.trim() : known.value, ...(isNew && { source: source.value.trim() }) };
    replace(trouble);
    go.disabled = true;
    try {
      const { jobs } = await ask("v1/jobs", { method: "POST", body });
      dialog.close();
      started(jobs[0]);
    } catch (error) {
      replace(trouble, errorNotice(error, null));
    } finally {
      go.disabled = false;
    }
  };
  const go = el("button", { class: "button primary", type: "submit", text: "Start" });
  replace(
    dialog,
    el(
      "form",
      { class: "sheet", on: { submit } },
      el("h2", { id: "starter-heading", text: "Start a sync" }),
      el("p", { text: "New and changed images are indexed, product data is updated, and what has vanished from the source is taken out." }),
      el("label", { for: "starter-catalog" }, "Catalog", known),
      existing,
      fresh,
      trouble,
      el("div", { class: "actions" }, go, el("button", { class: "button plain", type: "button", text: "Cancel", on: { click: () => dialog.close() } })),
    ),
  );
  settle();
  dialog.showModal();
}
