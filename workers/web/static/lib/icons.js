/** The icons, drawn on a grid of 24; decoration only, so hidden from screen readers. */
import { svg } from "./dom.js";

const PATHS = {
  photo: ["M4 6.5A2.5 2.5 0 0 1 6.5 4h11A2.5 2.5 0 0 1 20 6.5v11a2.5 2.5 0 0 1-2.5 2.5h-11A2.5 2.5 0 0 1 4 17.5z", "m4.5 17 4.5-4.5 3 3 3.5-4 4 4.5", "M8.5 9.5h.01"],
  camera: ["M4 8.5A1.5 1.5 0 0 1 5.5 7H8l1.5-2.5h5L16 7h2.5A1.5 1.5 0 0 1 20 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5z", "M15.5 13a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0z"],
  crop: ["M7 3v14h14", "M3 7h14v14"],
  heat: ["M12 3c1 3.5 5 5 5 10a5 5 0 0 1-10 0c0-2 1-3 2-4 .3 1.5 1 2 1.5 2C10 8.5 10.5 5 12 3z"],
  box: ["M4 9V5.5A1.5 1.5 0 0 1 5.5 4H9", "M15 4h3.5A1.5 1.5 0 0 1 20 5.5V9", "M20 15v3.5a1.5 1.5 0 0 1-1.5 1.5H15", "M9 20H5.5A1.5 1.5 0 0 1 4 18.5V15"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  like: ["M12 19.5s-7-4.3-7-9.2A3.8 3.8 0 0 1 12 8a3.8 3.8 0 0 1 7 2.3c0 4.9-7 9.2-7 9.2z"],
  dislike: ["M5 12h14"],
  exclude: ["M19 12a7 7 0 1 1-14 0 7 7 0 0 1 14 0z", "M7.2 7.2l9.6 9.6"],
  more: ["M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z", "m15.5 15.5 4.5 4.5"],
  filter: ["M4 7h16", "M7 12h10", "M10 17h4"],
  key: ["M14.5 14.5a5 5 0 1 1 .5-7 5 5 0 0 1 0 6z", "M15 11h6v3", "M18 11v2"],
  open: ["M9 5H5v14h14v-4", "M13 4h7v7", "M20 4l-9 9"],
};

/** An icon by name. */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    PATHS[name].map((d) => svg("path", { d })),
  );
}
