/**
 * A board to draw a digit on, by mouse, finger, pen or keyboard. It is brought to the form that the
 * digits of MNIST have: 20 pixels at most, its centre of mass in the middle of the picture.
 */

import { bitmap, fileButton, pictureOf, takeFiles } from "../dom.js";
import { drawn, requestOf } from "../pictures.js";

const BOARD = 280;
const PEN = 20;
const STEP = 10;

export function create({ model, limits, element, ask, changed, say }) {
  const side = model.shape.at(-1) > 1 ? model.shape.at(-1) : 28;
  const board = element("canvas", {
    id: "board", class: "board", width: BOARD, height: BOARD, tabindex: "0", role: "application",
    "aria-label": "Board to draw on", "aria-describedby": "board-help",
  });
  const small = element("canvas", { width: side, height: side, class: "small", role: "img", "aria-label": "The picture as the model gets it" });
  const context = board.getContext("2d", { willReadFrequently: true });
  let last = null; // where the pen is down
  let fixed = null; // a request in the place of what is drawn
  let cursor = null; // the pen of the keyboard
  const marker = element("span", { class: "marker", "aria-hidden": "true", hidden: true });

  function wipe() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, BOARD, BOARD);
    small.getContext("2d").clearRect(0, 0, side, side);
    fixed = null;
    last = null;
  }

  function line(from, to) {
    if (fixed) wipe();
    context.strokeStyle = "#fff";
    context.lineWidth = PEN;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
  }

  function point(event) {
    const box = board.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * BOARD, y: ((event.clientY - box.top) / box.height) * BOARD };
  }

  board.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    board.focus({ preventScroll: true });
    board.setPointerCapture(event.pointerId);
    const begun = point(event);
    line(begun, begun);
    last = begun;
    marker.hidden = true;
    cursor = null;
  });
  board.addEventListener("pointermove", (event) => {
    if (last === null) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const next = point(each);
      line(last, next);
      last = next;
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    board.addEventListener(end, () => {
      if (last !== null) changed();
      last = null;
    });
  }

  // Arrows move the pen, the space bar sets it down and lifts it.
  let isDown = false;
  board.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const move = moves[event.key];
    if (!move && event.key !== " " && event.key !== "Delete") return;
    event.preventDefault();
    if (event.key === "Delete") {
      wipe();
      changed();
      return;
    }
    cursor ??= { x: BOARD / 2, y: BOARD / 4 };
    const from = { ...cursor };
    if (move) {
      cursor.x = Math.min(BOARD - PEN, Math.max(PEN, cursor.x + move[0]));
      cursor.y = Math.min(BOARD - PEN, Math.max(PEN, cursor.y + move[1]));
    } else isDown = !isDown;
    if (isDown) {
      line(from, cursor);
      changed();
    }
    marker.hidden = false;
    marker.classList.toggle("down", isDown);
    marker.style.left = `${(100 * cursor.x) / BOARD}%`;
    marker.style.top = `${(100 * cursor.y) / BOARD}%`;
  });

  /** What is drawn, in MNIST's form, on `small`; false where nothing is. */
  function shrink() {
    const { data } = context.getImageData(0, 0, BOARD, BOARD);
    let [left, right, top, bottom] = [BOARD, -1, BOARD, -1];
    let [mass, massX, massY] = [0, 0, 0];
    for (let y = 0; y < BOARD; y += 1) {
      for (let x = 0; x < BOARD; x += 1) {
        const value = data[4 * (y * BOARD + x)];
        if (value < 32) continue;
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
        mass += value;
        massX += value * x;
        massY += value * y;
      }
    }
    if (mass === 0) return false;
    const [width, height] = [right - left + 1, bottom - top + 1];
    const scale = ((side * 20) / 28) / Math.max(width, height);
    const target = small.getContext("2d");
    target.fillStyle = "#000";
    target.fillRect(0, 0, side, side);
    target.imageSmoothingEnabled = true;
    target.imageSmoothingQuality = "high";
    const x = side / 2 - (massX / mass - left) * scale;
    const y = side / 2 - (massY / mass - top) * scale;
    target.drawImage(board, left, top, width, height, x, y, width * scale, height * scale);
    return true;
  }

  /** Show a picture on the board, whole. */
  function spread(image) {
    wipe();
    const scale = Math.min(BOARD / image.width, BOARD / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    context.imageSmoothingEnabled = image.width > side;
    context.drawImage(image, (BOARD - width) / 2, (BOARD - height) / 2, width, height);
  }

  async function take(file) {
    try {
      const request = await requestOf(file, model.accepts, limits.payload);
      const image = await bitmap(file);
      spread(image);
      small.getContext("2d").drawImage(image, 0, 0, side, side);
      fixed = request;
      ask();
    } catch (error) {
      say(error);
    }
  }

  wipe();
  takeFiles(board, take);
  return {
    root: element("div", { class: "field" },
      element("label", { for: "board" }, "Draw a digit"),
      element("div", { class: "drawing" },
        element("div", { class: "frame" }, board, marker),
        element("figure", {}, small, element("figcaption", { class: "quiet" }, "as the model gets it"))),
      element("p", { class: "quiet hint", id: "board-help" },
        "With the keyboard: arrows move the pen, space sets it down and lifts it, Delete clears.")),
    actions: fileButton("Choose a picture", "image/*", take),
    lacking: "Draw a digit first.",
    async request() {
      if (fixed) return fixed;
      if (!shrink()) return null;
      return { type: "image/png", body: await pictureOf(small), file: "digit.png" };
    },
    example({ content_type: type, body }) {
      drawn(body).then((canvas) => {
        spread(canvas);
        small.getContext("2d").drawImage(canvas, 0, 0, side, side);
        fixed = { type, body, file: "example.json" };
        ask();
      }, say);
      return false; // it asks by itself
    },
    clear: wipe,
  };
}
