/** A text box: the model is asked about what stands in it, as it is typed. */

import { json } from "../curl.js";

const JSON_TYPE = "application/json";

export function create({ model, element, changed }) {
  const field = element("textarea", {
    id: "text", rows: "7", dir: "auto", spellcheck: "false", placeholder: "Type or paste a text…",
    oninput: changed,
    onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form.requestSubmit();
    },
  });
  const accepted = model.accepts;
  return {
    root: element("div", { class: "field" }, element("label", { for: "text" }, "Text"), field,
      element("p", { class: "quiet hint" }, "Answered as you type; Ctrl-Enter asks at once.")),
    lacking: "Type a text first.",
    request() {
      const text = field.value;
      if (text.trim() === "") return null;
      if (accepted.includes(JSON_TYPE)) {
        return { type: JSON_TYPE, body: json({ instances: [text] }), file: "text.json" };
      }
      // one text a line
      return { type: accepted[0], body: text.replace(/\s*[\r\n]+\s*/g, " "), file: "text.txt" };
    },
    example({ content_type: type, body }) {
      let text = body;
      if (type.startsWith(JSON_TYPE)) {
        const value = JSON.parse(body);
        const first = (value.instances ?? value)[0];
        text = typeof first === "string" ? first : Object.values(first)[0];
      }
      field.value = String(text).trimEnd();
      return true;
    },
    clear() {
      field.value = "";
      field.focus();
    },
  };
}
