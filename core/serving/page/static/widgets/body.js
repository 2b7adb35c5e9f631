/** A request as it is: its content type and its body, written by hand or a file. */

import { fileButton, takeFiles } from "../dom.js";

export function create({ model, element, ask, changed }) {
  let file = null;
  const type = element("select", { id: "type", onchange: describe },
    model.accepts.map((name) => element("option", { value: name }, name)));
  const help = element("p", { class: "quiet hint", id: "type-help", dir: "auto" });
  const field = element("textarea", {
    id: "body", rows: "8", spellcheck: "false", dir: "auto", class: "code", "aria-describedby": "type-help",
    oninput: () => {
      forget();
      changed();
    },
    onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form.requestSubmit();
    },
  });
  const name = element("p", { class: "quiet hint", role: "status", dir: "auto" });

  function describe() {
    help.textContent = model.forms[type.value] ?? "";
  }

  function forget() {
    file = null;
    name.textContent = "";
  }

  function take(given) {
    file = given;
    field.value = "";
    name.textContent = `${given.name}, ${given.size.toLocaleString("en")} bytes`;
    if (model.accepts.includes(given.type)) type.value = given.type;
    describe();
    ask();
  }

  describe();
  takeFiles(field, take);
  return {
    root: element("div", { class: "field" },
      element("label", { for: "type" }, "Content type"), type, help,
      element("label", { for: "body" }, "Body"), field, name),
    actions: fileButton("Choose a file", "", take),
    lacking: "Write a body first, or choose a file.",
    request() {
      if (file) return { type: type.value, body: file, file: file.name, isFile: true };
      return field.value === "" ? null : { type: type.value, body: field.value, file: "body" };
    },
    example({ content_type: given, body }) {
      forget();
      const media = given.split(";")[0].trim();
      if (model.accepts.includes(media)) type.value = media;
      describe();
      field.value = body;
      return true;
    },
    clear() {
      forget();
      field.value = "";
      field.focus();
    },
  };
}
