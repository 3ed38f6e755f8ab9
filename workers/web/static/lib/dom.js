/** Elements without markup in strings: what a catalog or a server says is only ever text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `props`: `class`, `text`, `on` (listeners by event), `data` (data-*), anything else an attribute; false,
 * null and undefined are left out, true is an attribute without a value.
 */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.setAttribute("class", value);
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "data") for (const [key, one] of Object.entries(value)) node.dataset[key] = one;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** The element with this id, which has to be there. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no #${id}`);
  return node;
}

/** Replace the children of `node`, but keep the focus where it was when a child with the same data-focus comes back. */
export function replace(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset?.focus : undefined;
  node.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (focused !== undefined) node.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

let pending = 0;

/** Let a screen reader say it, without moving anybody. */
export function announce(text) {
  const region = byId("live");
  region.textContent = "";
  clearTimeout(pending);
  pending = setTimeout(() => (region.textContent = text), 60);
}

/** Call `work` once, when for `ms` nobody has asked again. */
export function debounced(work, ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}
