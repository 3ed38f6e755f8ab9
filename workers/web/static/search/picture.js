/** Photographs of this tab: chosen, dropped, pasted or taken; made small before they travel. */

const LARGEST_SIDE = 1024;
const SMALL_BYTES = 400_000;
const QUALITY = 0.9;

/** Photographs by id, in memory only: a link never holds one. */
export class Pictures {
  #held = new Map();
  #next = Date.now();

  /** @returns {Promise<number>} the id of the photograph in `file`; throws when it is none that this browser can show */
  async add(file) {
    const picture = await prepared(file);
    const id = this.#next++;
    this.#held.set(id, { ...picture, url: URL.createObjectURL(picture.blob) });
    return id;
  }

  get(id) {
    return this.#held.get(id);
  }

  has(id) {
    return this.#held.has(id);
  }
}

async function prepared(file) {
  const name = file.name || "photograph";
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // Perhaps a format that only the server knows; it says what is wrong if it does not.
    return { blob: file, name, width: 0, height: 0 };
  }
  const { width, height } = bitmap;
  const scale = LARGEST_SIDE / Math.max(width, height);
  if (scale >= 1 && file.size <= SMALL_BYTES) {
    bitmap.close();
    return { blob: file, name, width, height };
  }
  const size = { width: Math.round(width * Math.min(1, scale)), height: Math.round(height * Math.min(1, scale)) };
  const canvas = new OffscreenCanvas(Math.max(1, size.width), Math.max(1, size.height));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // JPEG has no transparency
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  return { blob, name: name.replace(/\.\w+$/, "") + ".jpg", width: canvas.width, height: canvas.height };
}

/** Let photographs come in from everywhere. `take` gets a File; `veil` is shown while one hovers over the page. */
export function receive({ take, veil, buttons, inputs }) {
  buttons.choose.addEventListener("click", () => inputs.file.click());
  buttons.camera.addEventListener("click", () => inputs.camera.click());
  for (const input of [inputs.file, inputs.camera]) {
    input.addEventListener("change", () => {
      if (input.files.length) take(input.files[0]);
      input.value = "";
    });
  }
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if (!holdsFile(event.dataTransfer)) return;
    depth += 1;
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!holdsFile(event.dataTransfer)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  addEventListener("dragover", (event) => {
    if (holdsFile(event.dataTransfer)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    if (!holdsFile(event.dataTransfer)) return;
    event.preventDefault();
    const file = pictureIn(event.dataTransfer.files);
    if (file) take(file);
  });
  addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData?.files ?? []);
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

const holdsFile = (transfer) => Boolean(transfer && [...transfer.types].includes("Files"));

function pictureIn(files) {
  return [...files].find((file) => file.type.startsWith("image/")) ?? files[0] ?? null;
}
