/** Pictures that people give: sent as they are where the model reads them, else made such that it does. */

import { bitmap, element, pictureOf } from "./dom.js";
import { Trouble } from "./asking.js";

const TYPES = ["image/jpeg", "image/png", "image/webp"];
const SIDES = [2048, 1024, 512];

/** A request {type, body, file} of a file; Trouble where it is no picture that the browser knows. */
export async function requestOf(file, accepted, most) {
  const types = TYPES.filter((type) => accepted.includes(type));
  if (types.includes(file.type) && file.size <= most) {
    return { type: file.type, body: file, file: file.name, isFile: true };
  }
  let image;
  try {
    image = await bitmap(file);
  } catch {
    throw new Trouble(`${file.name || "What was given"} is no picture that this browser can read: give a JPEG, PNG or WebP.`);
  }
  const type = types[0] ?? "image/png";
  for (const side of SIDES) {
    const blob = await pictureOf(fitted(image, side), type);
    if (blob.size <= most) return { type: blob.type, body: blob, file: `picture.${blob.type.split("/")[1]}`, note: true };
  }
  throw new Trouble(`The picture is larger than the ${most.toLocaleString("en")} bytes that this server takes, also scaled down.`);
}

function fitted(image, side) {
  const scale = Math.min(1, side / Math.max(image.width, image.height));
  const canvas = element("canvas", {
    width: Math.max(1, Math.round(image.width * scale)),
    height: Math.max(1, Math.round(image.height * scale)),
  });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** What was found in the one picture of an answer, [{class, score, box}]; null for other answers. */
export function objectsOf(rows) {
  return rows.length === 1 && Array.isArray(rows[0]?.objects) ? rows[0].objects : null;
}

/** A frame with its name around each of `objects`, in parts of a picture of so many pixels. */
export function boxed(objects, width, height) {
  const kinds = [...new Set(objects.map((each) => each.class))];
  return objects.map(({ class: name, score, box }) => {
    const label = element("bdi", {}, `${name} ${Math.round(100 * score)} %`);
    const frame = element("span", { class: `box line${kinds.indexOf(name) % 6}`, "aria-hidden": "true" }, label);
    const places = {
      left: box.xmin / width, top: box.ymin / height,
      width: (box.xmax - box.xmin) / width, height: (box.ymax - box.ymin) / height,
    };
    for (const [side, part] of Object.entries(places)) frame.style.setProperty(side, `${100 * part}%`);
    return frame;
  });
}

/** The picture of an example in JSON, on a canvas: a file in base64, or rows of numbers. */
export async function drawn(body) {
  const value = JSON.parse(body);
  const first = (value.instances ?? value)[0];
  if (first?.b64) {
    const bytes = Uint8Array.from(atob(first.b64), (character) => character.charCodeAt(0));
    const image = await bitmap(new Blob([bytes]));
    return fitted(image, SIDES[0]);
  }
  const isFlat = typeof first[0] === "number";
  const side = Math.round(Math.sqrt(first.length));
  const rows = isFlat ? Array.from({ length: side }, (_, row) => first.slice(row * side, (row + 1) * side)) : first;
  const [height, width] = [rows.length, rows[0].length];
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const numbers = rows.flat();
  const scale = numbers.flat().every((each) => each <= 1) ? 255 : 1;
  numbers.forEach((pixel, place) => {
    const colours = Array.isArray(pixel) ? pixel : [pixel, pixel, pixel];
    pixels.data.set([...colours.slice(0, 3).map((each) => each * scale), 255], 4 * place);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
