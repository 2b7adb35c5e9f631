/** The review app: a text, the model's verdict, and what it should have been. */

import { about } from "./about.js";
import { fetched, token, Trouble } from "./asking.js";
import { said, shown } from "./answer.js";
import { button, element } from "./dom.js";

const SECONDS = 30; // API Gateway waits no longer
const PAUSE_MILLISECONDS = 150; // each question costs whoever runs this page something
const MOST_CLASSES = 30;

const main = document.getElementById("main");
const state = { asked: null, pause: 0, password: null };

const field = element("textarea", {
  id: "text", rows: "6", dir: "auto", maxlength: about.maxText, placeholder: "Type or paste a text…",
  oninput: changed,
  onkeydown: (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form.requestSubmit();
  },
});
const spoken = element("p", { class: "spoken", "aria-live": "polite" });
const latency = element("p", { class: "latency" });
const verdict = element("div", { class: "answer" });
const doubt = element("div", { class: "doubt", hidden: true });

main.append(element("div", { class: "review" },
  element("header", { class: "about" },
    element("h1", {}, "What does the model say?"),
    element("p", { class: "quiet" }, "Answered by the model ", element("bdi", {}, about.model), ", which can be wrong.")),
  element("form", {
    class: "card ask", "aria-label": "Ask",
    onsubmit: (event) => {
      event.preventDefault();
      ask();
    },
  }, element("label", { for: "text" }, "Text"), field,
  element("p", { class: "quiet hint" }, "Answered as you type; Ctrl-Enter asks at once."),
  element("div", { class: "actions" },
    element("button", { type: "submit", class: "primary" }, "Ask"),
    about.example ? button("Use an example", () => {
      field.value = about.example;
      ask();
    }) : null,
    button("Clear", () => {
      field.value = "";
      ask({ isSilent: true });
      field.focus();
    }))),
  element("section", { class: "card", "aria-labelledby": "result" },
    element("div", { class: "bar-of-title" }, element("h2", { id: "result" }, "Verdict"), latency),
    spoken, verdict, doubt)));
document.getElementById("brand").textContent = about.model;
document.title = `${about.model}: what does the model say?`;
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  field.focus();
});
settle(null);

/** The text is another one: ask about it as soon as it rests. */
function changed() {
  clearTimeout(state.pause);
  state.pause = setTimeout(() => ask({ isSilent: true }), PAUSE_MILLISECONDS);
}

/** Ask about the text; what was asked before and is not answered yet is given up. */
async function ask({ isSilent = false } = {}) {
  clearTimeout(state.pause);
  state.asked?.abort();
  const text = field.value;
  if (text.trim() === "") {
    settle(isSilent ? null : complaint(new Trouble("Type a text first.")));
    return;
  }
  const asked = new AbortController();
  state.asked = asked;
  verdict.classList.add("waiting");
  latency.textContent = "asking…";
  try {
    const { document: told, seconds } = await posted("ask", { text }, asked.signal);
    if (asked.signal.aborted) return;
    settle(shown([told.answer]), said([told.answer]));
    latency.textContent = `${Math.round(1000 * seconds)} ms`;
    offer(text, told.answer);
  } catch (error) {
    if (error.name !== "AbortError" && !asked.signal.aborted) trouble(error, () => ask());
  } finally {
    if (state.asked === asked) {
      state.asked = null;
      verdict.classList.remove("waiting");
      if (latency.textContent === "asking…") latency.textContent = "";
    }
  }
}

/** What the app answers to `value` at `path`: {document, seconds}. Throws Trouble. */
async function posted(path, value, signal) {
  const { blob, seconds } = await fetched(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value),
    timeout: SECONDS, signal,
  });
  try {
    return { document: JSON.parse(await blob.text()), seconds };
  } catch {
    throw new Trouble("What answered was not this app. Reload the page, then ask again.");
  }
}

/** Show what went wrong in words for whoever asked; `again` asks once more. */
function trouble(error, again) {
  if (error.needsToken) askForPassword(again);
  else settle(element("div", {}, complaint(error), element("p", { class: "actions" }, button("Try again", again))));
}

function complaint(error) {
  let { message } = error;
  let faults = error.faults ?? [];
  if (error.isSilent) {
    message = "The app does not answer. Is there a connection to the network? Try again in a moment.";
  } else if (/^The server answered with status 429/.test(message)) {
    message = "Too many questions at the same time. Try again in a moment.";
  } else if (!(error instanceof Trouble)) message = `The page failed at this: ${error.message}`;
  else if (faults.length > 0) [message, ...faults] = faults;
  return element("div", { class: "complaint", role: "alert" },
    element("p", { dir: "auto" }, message),
    faults.length > 0 ? element("ul", {}, faults.slice(0, 10).map((fault) => element("li", { dir: "auto" }, fault))) : null);
}

/** Show `content` in the place of the verdict, or what to do where there is none. */
function settle(content, words = "") {
  latency.textContent = "";
  spoken.textContent = words;
  doubt.hidden = true;
  doubt.replaceChildren();
  verdict.replaceChildren(content ?? element("p", { class: "quiet" }, "What the model says is shown here."));
}

/** Below a verdict, the way to say that it is wrong. */
function offer(text, answer) {
  doubt.hidden = false;
  doubt.replaceChildren(button("Wrong?", () => correct(text, answer)));
}

/** The classes that an answer names, without its verdict. */
function others(answer) {
  const shares = answer?.probabilities;
  const names = shares && typeof shares === "object" && !Array.isArray(shares) ? Object.keys(shares) : [];
  return names.filter((name) => name !== answer.label);
}

/** A form for what the verdict should have been. */
function correct(text, answer) {
  const names = others(answer);
  const few = names.length <= MOST_CLASSES ? names : [];
  const other = element("input", {
    type: "text", class: "other", id: "other", maxlength: about.maxLabel, dir: "auto", autocomplete: "off",
    "aria-label": "The right verdict, in your words",
    oninput: () => {
      if (free) free.checked = true;
    },
  });
  const choices = few.map((name, place) => element("label", {},
    element("input", { type: "radio", name: "label", value: String(place) }), element("bdi", {}, name)));
  const free = few.length > 0 ? element("input", { type: "radio", name: "label", value: "other" }) : null;
  const consent = element("input", { type: "checkbox", id: "consent" });
  const wrong = element("div");
  const send = element("button", { type: "submit", class: "primary" }, "Send the correction");
  const form = element("form", {
    "aria-label": "Correction",
    onsubmit: async (event) => {
      event.preventDefault();
      const chosen = form.querySelector("input[name=label]:checked")?.value;
      const label = few.length > 0 && chosen !== "other" ? few[Number(chosen)] : other.value.trim();
      const lacking = [];
      if (!label) lacking.push("Say what the verdict should have been.");
      if (!consent.checked) lacking.push("Nothing is kept unless you agree to it.");
      if (lacking.length > 0) {
        wrong.replaceChildren(complaint(new Trouble("", { faults: lacking })));
        return;
      }
      send.disabled = true;
      wrong.replaceChildren(element("p", { class: "waiting-word" }, "sending…"));
      try {
        const { document: kept } = await posted("corrections", { text, label, answer, consent: true });
        doubt.replaceChildren(element("p", { class: "thanks", role: "status", tabindex: "-1" },
          `Kept, thank you. Its number is ${kept.id}: by that, whoever runs this page can delete it.`));
        doubt.firstChild.focus();
      } catch (error) {
        if (error.needsToken) {
          askForPassword(() => offer(text, answer));
          return;
        }
        wrong.replaceChildren(complaint(error));
        send.disabled = false;
      }
    },
  },
  element("fieldset", { class: "choices" }, element("legend", {}, "What should the verdict have been?"),
    choices, element("label", {}, free, free ? element("span", {}, "other:") : null, other)),
  element("label", { class: "consent" }, consent, element("span", {},
    "I agree that this text, the model's answer and my correction are kept by whoever runs this page, and that models learn from them. The text holds no personal data.")),
  wrong,
  element("div", { class: "actions" }, send, button("Cancel", () => offer(text, answer))));
  doubt.replaceChildren(form);
  form.querySelector("input").focus();
}

/** A form for the password, as long as the app does not know the one that was given. */
function askForPassword(again) {
  const wasGiven = token.get() !== "";
  const secret = element("input", { type: "password", id: "password", autocomplete: "current-password", required: true });
  const wrong = element("p", { class: "complaint", role: "alert", hidden: true });
  const refuse = (text) => {
    wrong.textContent = text;
    wrong.hidden = false;
  };
  if (wasGiven) refuse("This is not the password.");
  settle(element("form", {
    class: "token",
    onsubmit: (event) => {
      event.preventDefault();
      const given = secret.value.trim();
      if (!token.isSendable(given)) {
        refuse("The password holds letters, digits and signs, without blanks.");
        return;
      }
      token.set(given);
      settle(null);
      again();
    },
  },
  element("label", { for: "password" }, "This app asks for a password"), secret, wrong,
  element("button", { type: "submit", class: "primary" }, "Continue")));
  secret.focus();
}
