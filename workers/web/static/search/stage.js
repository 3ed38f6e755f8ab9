/** The photograph, with what lies over it: the selection, the garment's box and the heat map. */
import { byId, el } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { Cropper } from "./crop.js";
import { paintHeat } from "./heat.js";

/** Shows one photograph. `on`: `crop(rectangle | null)`, `another()`, `remove()`, `heat()` → Promise of a HeatMap. */
export class Stage {
  #on;
  #shown = null;
  #cropper;
  #box = el("div", { class: "seen-box", hidden: true });
  #heat = el("canvas", { class: "seen-heat", hidden: true, "aria-hidden": "true" });
  #image = el("img", { alt: "Your photograph", draggable: "false" });
  #buttons;
  #fit;

  constructor(on) {
    this.#on = on;
    this.#cropper = new Cropper((crop) => on.crop(crop));
    const toggle = (name, text, click) =>
      el("button", { class: "button", type: "button", "aria-pressed": "false", on: { click } }, icon(name), text);
    this.#buttons = {
      part: toggle("crop", "Part", () => this.#togglePart()),
      box: toggle("box", "Box", () => this.#toggleBox()),
      heat: toggle("heat", "Heat map", () => this.#toggleHeat()),
    };
    const plain = (text, click) => el("button", { class: "button plain", type: "button", text, on: { click } });
    byId("stage-tools").append(
      ...Object.values(this.#buttons),
      plain("Another", on.another),
      plain("Remove", on.remove),
    );
    this.#fit = el("div", { class: "stage-fit" }, this.#image, this.#heat, this.#box, this.#cropper.layer);
    byId("stage-picture").append(this.#fit);
  }

  /** Show a photograph (null: none) with its selection. */
  show(picture, crop) {
    const holds = picture !== null;
    byId("stage-empty").hidden = holds;
    byId("stage-picture").hidden = !holds;
    byId("stage-tools").hidden = !holds;
    if (picture !== this.#shown) {
      this.#shown = picture;
      this.#fit.style.setProperty("--ratio", holds && picture.height ? picture.width / picture.height : 1);
      if (holds) this.#image.src = picture.url;
      else this.#image.removeAttribute("src");
      press(this.#buttons.part, false);
      this.#cropper.setActive(false);
    }
    this.#cropper.show(holds ? crop : null);
    this.#hideHeat();
    this.#box.hidden = true;
    this.#buttons.box.hidden = true;
  }

  /** Offer the box that the model saw, in shares of the whole photograph. */
  offerBox(box) {
    this.#buttons.box.hidden = box === null;
    press(this.#buttons.box, false);
    if (box === null) return;
    place(this.#box, box);
  }

  #togglePart() {
    const active = this.#buttons.part.getAttribute("aria-pressed") !== "true";
    press(this.#buttons.part, active);
    if (active) this.#cropper.setActive(true);
    else {
      this.#cropper.setActive(false);
      if (this.#cropper.crop !== null) this.#on.crop(null);
    }
  }

  #toggleBox() {
    this.#box.hidden = !this.#box.hidden;
    press(this.#buttons.box, !this.#box.hidden);
  }

  async #toggleHeat() {
    if (!this.#heat.hidden) {
      this.#hideHeat();
      return;
    }
    const { heat: button } = this.#buttons;
    press(button, true);
    button.setAttribute("aria-busy", "true");
    const shown = this.#shown;
    try {
      const map = await this.#on.heat();
      if (shown !== this.#shown || map === null || button.getAttribute("aria-pressed") !== "true") return;
      paintHeat(this.#heat, map);
      place(this.#heat, this.#cropper.crop ?? [0, 0, 1, 1]);
      this.#heat.hidden = false;
    } finally {
      button.removeAttribute("aria-busy");
      if (this.#heat.hidden) press(button, false);
    }
  }

  #hideHeat() {
    this.#heat.hidden = true;
    press(this.#buttons.heat, false);
  }
}

const press = (button, pressed) => button.setAttribute("aria-pressed", String(pressed));

function place(node, [x1, y1, x2, y2]) {
  Object.assign(node.style, {
    left: `${x1 * 100}%`,
    top: `${y1 * 100}%`,
    width: `${(x2 - x1) * 100}%`,
    height: `${(y2 - y1) * 100}%`,
  });
}

/** A thumbnail of the photograph for lists. */
export function smallPicture(picture, alt) {
  return el("img", { src: picture.url, alt, width: 56, height: 56 });
}

