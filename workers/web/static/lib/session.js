/** The API key of this tab: kept in sessionStorage, gone with the tab, sent to nobody but this server. */
import { byId } from "./dom.js";

const SLOT = "catalog.key";
let asking = null;

/** The key in use, or null. */
export function heldKey() {
  return sessionStorage.getItem(SLOT);
}

/**
 * Ask the person for a key. Requests that are refused together share one question.
 * @returns {Promise<boolean>} whether one was given
 */
export function signIn(reason, wasRefused) {
  asking ??= question(reason, wasRefused).finally(() => (asking = null));
  return asking;
}

/** Forget the key. */
export function signOut() {
  sessionStorage.removeItem(SLOT);
  location.reload();
}

function question(reason, wasRefused) {
  const dialog = byId("signin");
  const form = dialog.querySelector("form");
  const input = byId("signin-key");
  byId("signin-why").textContent = wasRefused
    ? `The key was not accepted${reason ? `: ${reason}` : ""}.`
    : "This server answers only to those who have an API key. Your administrator makes one with “catalog key create”.";
  input.value = "";
  return new Promise((resolve) => {
    const finish = (given) => {
      form.removeEventListener("submit", submit);
      dialog.removeEventListener("close", closed);
      if (given) sessionStorage.setItem(SLOT, given);
      if (dialog.open) dialog.close();
      showSignOut();
      resolve(Boolean(given));
    };
    const submit = (event) => {
      event.preventDefault();
      if (input.value.trim()) finish(input.value.trim());
    };
    const closed = () => finish("");
    form.addEventListener("submit", submit);
    dialog.addEventListener("close", closed);
    for (const other of document.querySelectorAll("dialog[open]")) if (other !== dialog) other.close();
    dialog.showModal();
    input.focus();
  });
}

/** Show the button that forgets the key, where there is one. */
export function showSignOut() {
  byId("signout").hidden = heldKey() === null;
}
