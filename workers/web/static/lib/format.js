/** Figures and names as people read them. */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const share = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });

/** 12,345 */
export const count = (value) => whole.format(value);

/** 84 % */
export const percent = (value) => share.format(value);

/** `1 image`, `2 images` */
export const images = (value) => `${count(value)} ${value === 1 ? "image" : "images"}`;

/** A price with its currency where both are known. */
export function money(price, currency) {
  if (price === null || price === undefined) return null;
  try {
    return new Intl.NumberFormat(undefined, currency ? { style: "currency", currency } : { minimumFractionDigits: 2 }).format(price);
  } catch {
    return `${price} ${currency}`;
  }
}

/** How alike, in words and as a number; both, so that neither colour nor arithmetic is needed. */
export function alike(hit) {
  if (hit.likeness === null || hit.likeness === undefined) {
    return { words: hit.is_match === false ? "Below the match level" : "Similarity", figure: hit.score.toFixed(2), share: Math.max(0, hit.score) };
  }
  const words = WORDS.find(([least]) => hit.likeness >= least)[1];
  return { words, figure: percent(hit.likeness), share: hit.likeness };
}

const WORDS = [
  [0.9, "Very alike"],
  [0.75, "Alike"],
  [0.5, "Somewhat alike"],
  [0, "Hardly alike"],
];

/** `in_stock` → `In stock` */
export function title(name) {
  const text = String(name).replace(/[_-]+/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A value of a field for people. */
export function shown(field, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return field === "category" ? title(value) : String(value);
}

/** The last part of a key. */
export const basename = (key) => key.slice(key.lastIndexOf("/") + 1);

/** 1.2 MiB */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** 0.4 s, 12 s, 3 min 20 s, 2 h 5 min */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const near = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A moment of the server's clock in the reader's zone. */
export const moment = (iso) => near.format(new Date(iso));
