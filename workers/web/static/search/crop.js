/** A part of the photograph: drawn with mouse, pen or finger, or moved with the keys. */
import { announce, el } from "../lib/dom.js";
import { percent } from "../lib/format.js";

const LEAST = 0.06; // of a side
const STEP = 0.04;

/** A layer over a picture that holds at most one rectangle. `onChange` gets [x1, y1, x2, y2] as shares, or null. */
export class Cropper {
  constructor(onChange) {
    this.crop = null;
    this.active = false;
    this.#onChange = onChange;
    this.frame = el("div", {
      class: "crop-frame",
      tabindex: 0,
      role: "group",
      "aria-roledescription": "selection",
      "aria-describedby": "crop-help",
      hidden: true,
      on: { keydown: (event) => this.#key(event) },
    });
    this.layer = el(
      "div",
      { class: "crop-layer", on: { pointerdown: (event) => this.#down(event) } },
      this.frame,
      el("p", {
        id: "crop-help",
        class: "sr",
        text: "Arrow keys move the selection, Shift and arrow keys change its size, Enter searches for it, Delete removes it.",
      }),
    );
  }

  #onChange;

  /** Show a rectangle, or none. */
  show(crop) {
    this.crop = crop;
    this.frame.hidden = crop === null;
    this.layer.classList.toggle("cropped", crop !== null);
    if (crop === null) return;
    const [x1, y1, x2, y2] = crop;
    Object.assign(this.frame.style, {
      left: `${x1 * 100}%`,
      top: `${y1 * 100}%`,
      width: `${(x2 - x1) * 100}%`,
      height: `${(y2 - y1) * 100}%`,
    });
    this.frame.setAttribute("aria-label", `Part of the photograph: ${describe(crop)}`);
  }

  /** Let a finger draw instead of scrolling, and the keys have something to move. */
  setActive(active) {
    this.active = active;
    this.layer.classList.toggle("active", active);
    if (active && this.crop === null) {
      this.show([0.2, 0.2, 0.8, 0.8]);
      this.frame.focus();
      announce("A selection was put on the photograph. Move it with the arrow keys, then press Enter.");
    }
  }

  #down(event) {
    if (event.button !== 0 || (event.pointerType === "touch" && !this.active)) return;
    event.preventDefault();
    const from = this.#place(event);
    const before = this.crop;
    const inside = before && event.target === this.frame;
    const move = (next) => {
      const to = this.#place(next);
      this.show(inside ? shifted(before, to[0] - from[0], to[1] - from[1]) : ordered(from, to));
    };
    const stop = (commit) => {
      this.layer.removeEventListener("pointermove", move);
      this.layer.removeEventListener("pointerup", up);
      this.layer.removeEventListener("pointercancel", cancel);
      if (!commit || this.crop === null || tooSmall(this.crop)) this.show(before);
      else if (this.crop !== before) this.#onChange(this.crop);
    };
    const up = () => stop(true);
    const cancel = () => stop(false);
    this.layer.setPointerCapture(event.pointerId);
    this.layer.addEventListener("pointermove", move);
    this.layer.addEventListener("pointerup", up);
    this.layer.addEventListener("pointercancel", cancel);
  }

  #place(event) {
    const box = this.layer.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
  }

  #key(event) {
    const [dx, dy] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [0, 0];
    if (event.key === "Enter") this.#onChange(this.crop);
    else if (event.key === "Delete" || event.key === "Backspace") this.#onChange(null);
    else if (dx || dy) this.show(event.shiftKey ? grown(this.crop, dx, dy) : shifted(this.crop, dx, dy));
    else return;
    event.preventDefault();
  }
}

/** `60 % wide, 40 % high, 20 % from the left, 10 % from the top` */
export function describe([x1, y1, x2, y2]) {
  return `${percent(x2 - x1)} wide, ${percent(y2 - y1)} high, ${percent(x1)} from the left, ${percent(y1)} from the top`;
}

const clamp = (value) => Math.min(1, Math.max(0, value));
const ordered = ([ax, ay], [bx, by]) => [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
const tooSmall = ([x1, y1, x2, y2]) => x2 - x1 < LEAST || y2 - y1 < LEAST;

function shifted([x1, y1, x2, y2], dx, dy) {
  const right = Math.min(1 - x2, Math.max(-x1, dx));
  const down = Math.min(1 - y2, Math.max(-y1, dy));
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

function grown([x1, y1, x2, y2], dx, dy) {
  return [x1, y1, clamp(Math.max(x1 + LEAST, x2 + dx)), clamp(Math.max(y1 + LEAST, y2 + dy))];
}
