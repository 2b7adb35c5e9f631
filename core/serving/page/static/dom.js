/**
 * Build the page of elements and text. Whatever comes from a model, a file or a person becomes text
 * nodes here, never markup.
 */

/** An element with attributes, listeners (`onclick: …`) and children: elements, texts, or nothing. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button of the page. */
export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

/** Let `target` take files that are dropped on it or pasted into it, the first one of each time. */
export function takeFiles(target, take) {
  const given = (transfer) => transfer && [...transfer.files][0];
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    const file = given(event.dataTransfer);
    if (file) take(file);
  });
  target.addEventListener("paste", (event) => {
    const file = given(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

/** A button that opens the file chooser; `accept` as in HTML. */
export function fileButton(text, accept, take) {
  const input = element("input", {
    type: "file", accept, class: "hidden", tabindex: "-1", "aria-hidden": "true",
    onchange: () => {
      const [file] = input.files;
      input.value = "";
      if (file) take(file);
    },
  });
  return [button(text, () => input.click()), input];
}

/** The content of a blob as a canvas reads it; rejects where the browser knows no such picture. */
export async function bitmap(blob) {
  return createImageBitmap(blob);
}

/** A canvas as a file of a picture. */
export function pictureOf(canvas, type = "image/png", quality = 0.92) {
  return new Promise((resolve) => canvas.toBlob(resolve, type, quality));
}
