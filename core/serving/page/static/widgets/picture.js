/** A place for a picture: dropped, pasted, chosen, or taken by the camera. */

import { shown } from "../answer.js";
import { fileButton, pictureOf, takeFiles } from "../dom.js";
import { boxed, drawn, objectsOf, requestOf } from "../pictures.js";

export function create({ model, limits, element, button, ask, say }) {
  let given = null; // the request, or null
  let url = "";
  let stream = null;
  const preview = element("div", { class: "preview" });
  const name = element("p", { class: "quiet hint", dir: "auto" });
  const hint = element("p", { class: "invitation" }, "Drop a picture here, or paste one");
  const place = element("div", {
    class: "drop", tabindex: "0", role: "group", "aria-label": "Picture: drop or paste one here",
  }, hint, preview);
  const shutter = button("Take the picture", shoot, { class: "primary", hidden: true });
  const camera = navigator.mediaDevices?.getUserMedia ? button("Camera", toggle) : null;

  function show(content, text) {
    preview.replaceChildren(element("div", { class: "framed" }, content));
    hint.hidden = true;
    name.textContent = text;
  }

  function clear() {
    stopCamera();
    if (url) URL.revokeObjectURL(url);
    url = "";
    given = null;
    preview.replaceChildren();
    hint.hidden = false;
    name.textContent = "";
  }

  async function take(file) {
    clear();
    try {
      const request = await requestOf(file, model.accepts, limits.payload);
      given = request;
      url = URL.createObjectURL(request.body);
      const note = request.note ? " (converted by this page, so that the server takes it)" : "";
      const size = `${Math.max(1, Math.round(request.body.size / 1024)).toLocaleString("en")} kB`;
      show(element("img", { src: url, alt: `The picture ${file.name || "that was given"}` }), `${file.name || "picture"}, ${size}${note}`);
      ask();
    } catch (error) {
      say(error);
    }
  }

  function stopCamera() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    shutter.hidden = true;
    if (camera) camera.textContent = "Camera";
  }

  async function toggle() {
    if (stream) {
      clear();
      return;
    }
    clear();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      say("The camera cannot be used: the browser, or who uses it, has not allowed it.");
      return;
    }
    const video = element("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "What the camera sees" });
    video.srcObject = stream;
    show(video, "");
    shutter.hidden = false;
    camera.textContent = "Camera off";
    shutter.focus();
  }

  async function shoot() {
    const video = preview.querySelector("video");
    if (!video || video.videoWidth === 0) return;
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await pictureOf(canvas, "image/jpeg");
    await take(new File([blob], "camera.jpeg", { type: blob.type }));
  }

  takeFiles(place, take);
  return {
    root: element("div", { class: "field" }, element("p", { class: "label" }, "Picture"), place, name),
    actions: [shutter, fileButton("Choose a picture", "image/*", take), camera],
    lacking: "Give a picture first.",
    request: () => given,
    /** Objects that were found are drawn into the picture; the answer is their table. */
    answer(rows) {
      const framed = preview.querySelector(".framed");
      framed?.querySelectorAll(".box").forEach((box) => box.remove());
      const objects = objectsOf(rows);
      if (!objects) return null;
      framed?.append(...boxed(objects, rows[0].width, rows[0].height));
      return objects.length === 0
        ? element("p", { class: "quiet" }, "Nothing is found in this picture.")
        : shown([objects.map(({ class: name, score, box }) => ({ object: name, score, ...box }))]);
    },
    example({ content_type: type, body }) {
      clear();
      given = { type, body, file: "example.json" };
      drawn(body).then((canvas) => {
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", "The example's picture");
        show(canvas, `the model's own example, ${canvas.width} x ${canvas.height} pixels`);
      }, () => show(element("p", {}, "the model's own example"), ""));
      return true;
    },
    clear,
    leave: clear,
  };
}
