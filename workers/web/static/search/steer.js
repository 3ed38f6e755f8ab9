/**
 * A photograph steered by marks. The server takes one starting point, so the direction is made here of its own vectors, as
 * it does with keys alone: what is liked counts together with the photograph, away from what is disliked.
 */
import { ask } from "../lib/api.js";
import { look } from "./query.js";

const vectors = new Map();

/** The direction of a state with a photograph and marks, in base64. */
export async function steer(state, picture, context, signal) {
  const own = look(state, context, { with_vectors: true, signal }).then((seen) => decode(seen.vector_base64));
  const of = (keys) => Promise.all(keys.map((key) => vectorOf(state.catalog, key, signal)));
  const [photograph, likes, dislikes] = await Promise.all([own, of(state.likes), of(state.dislikes)]);
  const towards = mean([photograph, ...likes]);
  if (dislikes.length === 0) return encode(towards);
  const away = mean(dislikes);
  return encode(towards.map((value, at) => 2 * value - away[at]));
}

async function vectorOf(catalog, key, signal) {
  const slot = `${catalog}\n${key}`;
  if (!vectors.has(slot)) {
    const answer = await ask("v1/search", {
      method: "POST",
      body: { catalog, image_key: key, limit: 1, with_vectors: true },
      signal,
    });
    vectors.set(slot, decode(answer.query.vector_base64));
  }
  return vectors.get(slot);
}

function mean(rows) {
  return rows[0].map((_, at) => rows.reduce((sum, row) => sum + row[at], 0) / rows.length);
}

function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 4 }, (_, at) => view.getFloat32(at * 4, true));
}

function encode(values) {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, at) => view.setFloat32(at * 4, value, true));
  return btoa(String.fromCharCode(...new Uint8Array(view.buffer)));
}
