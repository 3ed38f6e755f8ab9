/** A heat map over a photograph: a small canvas that the browser enlarges smoothly. */

// From nothing over red to yellow, in equal steps of brightness.
const STOPS = [
  [80, 18, 120, 0],
  [150, 30, 110, 120],
  [225, 80, 50, 180],
  [255, 190, 60, 210],
];

/** Paint a HeatMap of the API. */
export function paintHeat(canvas, map) {
  canvas.width = map.columns;
  canvas.height = map.rows;
  const pen = canvas.getContext("2d");
  const picture = pen.createImageData(map.columns, map.rows);
  map.values.flat().forEach((value, at) => picture.data.set(colour(value), at * 4));
  pen.putImageData(picture, 0, 0);
}

function colour(value) {
  const place = Math.min(0.999, Math.max(0, value)) * (STOPS.length - 1);
  const below = Math.floor(place);
  return STOPS[below].map((from, channel) => from + (STOPS[below + 1][channel] - from) * (place - below));
}
