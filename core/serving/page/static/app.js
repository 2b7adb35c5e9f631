/** The page: the models, the widget of the one that is chosen, its answers, and the same in a shell. */

import { fetched, token, Trouble } from "./asking.js";
import { parsed, said, shown, wantedType } from "./answer.js";
import { curl, fileName, isInline } from "./curl.js";
import { button, element } from "./dom.js";

const REFRESH_SECONDS = 10;
const STARTING_SECONDS = 1;
const PAUSE_MILLISECONDS = 120; // from a question to the next one, while somebody types
const WIDGETS = ["text", "digit", "picture", "rows", "series", "body"];

const main = document.getElementById("main");
const status = document.getElementById("status");
const state = { told: null, desk: null, timer: 0 };

/** Show how the server is; `kind` is good, bad or busy. */
function tell(kind, text) {
  const same = status.textContent === text && status.dataset.kind === kind;
  if (same) return;
  status.dataset.kind = kind;
  status.replaceChildren(element("span", { class: "lamp", "aria-hidden": "true" }), text);
}

/** Read anew which models there are, and how they are; then again after a while. */
async function refresh() {
  clearTimeout(state.timer);
  let pause = REFRESH_SECONDS;
  try {
    const { blob } = await fetched("page/models", { timeout: 10 });
    const told = JSON.parse(await blob.text());
    if (told.unready) {
      tell("busy", `not ready: ${told.unready}`);
      pause = told.models.length > 0 ? REFRESH_SECONDS : STARTING_SECONDS;
    } else tell("good", `serving at ${location.host}`);
    show(told);
  } catch (error) {
    if (error.needsToken) {
      askForToken();
      return;
    }
    tell("bad", error.isSilent ? `no connection to ${location.host}` : `no good answer from ${location.host}`);
    if (state.told === null) {
      main.replaceChildren(complaint(troubleOf(error)), element("p", {}, button("Try again", refresh)));
    }
  }
  if (!document.hidden) state.timer = setTimeout(refresh, 1000 * pause);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && state.told !== null) refresh();
});
addEventListener("hashchange", () => {
  if (state.told !== null) show(state.told, true);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part after # is the name of a model
  document.querySelector("main :is(textarea, canvas, select, input, .drop, button)")?.focus();
});
addEventListener("dragover", (event) => event.preventDefault()); // a file beside its place
addEventListener("drop", (event) => event.preventDefault()); // would replace the page

/** A form for the token, as long as the server does not know the one that was given. */
function askForToken() {
  tell("busy", "a token is needed");
  const wasGiven = token.get() !== "";
  const field = element("input", {
    type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true,
    "aria-describedby": "token-help",
  });
  const wrong = element("p", { class: "complaint", role: "alert", id: "token-wrong" });
  if (wasGiven) wrong.textContent = "The server does not know this token.";
  else wrong.hidden = true;
  const form = element("form", {
    class: "card token",
    onsubmit: (event) => {
      event.preventDefault();
      const given = field.value.trim();
      if (!token.isSendable(given)) {
        wrong.textContent = "A token holds letters, digits and signs, without blanks.";
        wrong.hidden = false;
        return;
      }
      token.set(given);
      state.told = null;
      refresh();
    },
  },
  element("h1", {}, "This server asks for a token"),
  element("p", { id: "token-help", class: "quiet" },
    "It is in the file that was given to algoshelf serve --token-file. It is kept until this tab is closed."),
  element("label", { for: "token" }, "Token"), field, wrong,
  element("button", { type: "submit", class: "primary" }, "Continue"));
  state.desk?.leave();
  state.desk = null;
  state.told = null;
  main.replaceChildren(form);
  field.focus();
}

/** Show the models that there are, and the chosen one where that has changed. */
function show(told, isChosen = false) {
  state.told = told;
  if (told.models.length === 0 && told.unready && state.desk !== null) return; // it starts anew
  if (told.models.length === 0) {
    state.desk?.leave();
    state.desk = null;
    main.replaceChildren(noModel(told));
    return;
  }
  const wanted = location.hash.slice(1); // names of models need no escapes
  const model = told.models.find((each) => each.modelName === wanted) ?? told.models[0];
  if (state.desk === null || !state.desk.isOf(model)) {
    state.desk?.leave();
    state.desk = new Desk(model, told);
    main.replaceChildren(state.desk.models, state.desk.root);
    if (isChosen) state.desk.heading.focus();
  }
  state.desk.update(model, told);
  document.title = `${model.modelName} · algoshelf`;
}

function noModel(told) {
  const text = told.unready
    ? `The server is not ready yet: ${told.unready}. This page goes on by itself.`
    : "No model is served yet." + (told.manages ? " Load one by a request to /models; this page shows it then." : "");
  return element("section", { class: "card" }, element("h1", {}, told.unready ? "One moment" : "No model"),
    element("p", {}, text));
}

/** What went wrong, with what the server `said` of it, as text. */
function complaint(error, said = (fault) => fault) {
  const { message, faults = [] } = error;
  return element("div", { class: "complaint", role: "alert" },
    element("p", {}, message),
    faults.length > 0 ? element("ul", {}, faults.slice(0, 10).map((fault) => element("li", { dir: "auto" }, said(fault)))) : null);
}

function troubleOf(error) {
  if (error instanceof Trouble) return error;
  return new Trouble(error instanceof Error ? `The page failed at this: ${error.message}` : String(error));
}

/** One model: its widget, its last answer, and the command that asks the same. */
class Desk {
  constructor(model, told) {
    this.model = { ...model };
    this.told = told;
    this.widget = null;
    this.asked = null; // the request under way, or null
    this.request = null; // the last one
    this.pause = 0;
    this.begun = -PAUSE_MILLISECONDS; // when it was asked last
    this.hasLeft = false;
    this.models = element("nav", { class: "models", "aria-label": "Models" });
    this.heading = element("h1", { tabindex: "-1" }, element("bdi", {}, model.modelName));
    this.form = element("form", {
      class: "card ask", id: "ask", "aria-label": "Ask",
      onsubmit: (event) => {
        event.preventDefault();
        this.ask();
      },
    }, element("p", { class: "quiet" }, "…"));
    this.spoken = element("p", { class: "spoken", "aria-live": "polite" });
    this.latency = element("p", { class: "latency" });
    this.answer = element("div", { class: "answer" });
    this.command = element("pre", { tabindex: "0", role: "region", "aria-label": "Command", dir: "ltr" });
    this.copied = element("span", { class: "quiet", role: "status" });
    this.saved = element("a", { class: "button" }, "Save the body");
    this.shell = element("section", { class: "shell", "aria-labelledby": "shell", hidden: true },
      element("div", { class: "bar-of-title" }, element("h2", { id: "shell" }, "The same in a terminal"),
        this.copied, element("span", { class: "pair" }, this.saved, button("Copy", () => this.copy()))),
      this.command);
    this.facts = element("p", { class: "facts" });
    this.root = element("article", {},
      element("header", { class: "about" }, this.heading, element("p", {}, element("bdi", {}, model.summary)), this.facts),
      element("div", { class: "desk" }, this.form,
        element("section", { class: "card result", "aria-labelledby": "result" },
          element("div", { class: "bar-of-title" }, element("h2", { id: "result" }, "Answer"), this.latency),
          this.spoken, this.answer)),
      this.shell);
    this.settle(null);
    this.open();
  }

  /** Whether it can ask this model: what is written in it outlives a restart, and a new version. */
  isOf(model) {
    const asked = ({ modelName, algorithm, widget, module, accepts, columns, shape }) =>
      JSON.stringify([modelName, algorithm, widget, module, accepts, columns, shape]);
    return asked(model) === asked(this.model);
  }

  /** Take in how the models are now. */
  update(model, told) {
    Object.assign(this.model, model); // which the widget holds
    this.told = told;
    const engine = `computed by ${model.engine}`;
    this.facts.replaceChildren([...new Set([model.algorithm, model.task, engine])].join(" · "));
    const links = told.models.map((each) => element("a", {
      href: `#${each.modelName}`,
      "aria-current": each.modelName === model.modelName ? "true" : null,
      "data-kind": each.state === "serving" ? "good" : "bad",
    }, element("span", { class: "lamp", "aria-hidden": "true" }), element("bdi", {}, each.modelName),
    element("small", {}, each.state)));
    links.push(...told.loading.map((name) => element("span", { class: "coming", "data-kind": "busy" },
      element("span", { class: "lamp", "aria-hidden": "true" }), element("bdi", {}, name), element("small", {}, "loading"))));
    // Whoever is on one of them by the keyboard stays there.
    const place = [...this.models.children].indexOf(document.activeElement);
    const before = [...this.models.children].map((link) => link.outerHTML).join();
    if (before === links.map((link) => link.outerHTML).join()) return;
    this.models.replaceChildren(...links);
    if (place >= 0) this.models.children[place]?.focus();
  }

  /** Load the widget: the plugin's own, or else one of the page's. */
  async open() {
    const { module, widget } = this.model;
    const pages = `./widgets/${WIDGETS.includes(widget) ? widget : "body"}.js`;
    const paths = module ? [new URL(module, document.baseURI).href, pages] : [pages];
    const failed = [];
    for (const path of paths) {
      try {
        const { create } = await import(path);
        if (this.hasLeft) return;
        this.widget = create(this.host());
        break;
      } catch (error) {
        failed.push(error);
      }
    }
    if (this.widget === null) {
      this.settle(complaint(new Trouble("The page cannot be loaded whole: is the server still running? Reload the page then.")));
      return;
    }
    if (failed.length > 0) {
      this.settle(complaint(new Trouble("The widget of this model failed, so its requests are written by hand here:", {
        faults: [String(failed[0].message)],
      })));
    }
    const example = this.model.example && this.widget.example
      ? button("Use the example", () => this.useExample()) : null;
    this.form.replaceChildren(this.widget.root, element("div", { class: "actions" },
      element("button", { type: "submit", class: "primary" }, "Ask"), this.widget.actions ?? null, example,
      this.widget.clear ? button("Clear", () => this.clear()) : null));
  }

  /** What a widget is given. */
  host() {
    return {
      model: this.model,
      limits: { payload: this.told.max_payload },
      element,
      button,
      ask: () => this.ask(),
      changed: () => this.changed(),
      say: (error) => this.settle(complaint(troubleOf(error))),
    };
  }

  leave() {
    this.hasLeft = true;
    this.asked?.abort();
    clearTimeout(this.pause);
    this.widget?.leave?.();
  }

  useExample() {
    if (this.widget.example(this.model.example)) this.ask();
  }

  clear() {
    clearTimeout(this.pause);
    this.asked?.abort();
    this.widget.clear();
    this.settle(null);
  }

  /** The input is another one: ask about it at once, unless it was asked a moment ago. */
  changed() {
    clearTimeout(this.pause);
    const rest = Math.max(0, this.begun + PAUSE_MILLISECONDS - performance.now());
    this.pause = setTimeout(() => this.ask({ isSilent: true }), rest);
  }

  /** Ask the model; what was asked before and is not answered yet is given up. */
  async ask({ isSilent = false } = {}) {
    clearTimeout(this.pause);
    this.begun = performance.now();
    this.asked?.abort();
    const asked = new AbortController();
    this.asked = asked;
    try {
      const request = await this.widget?.request();
      if (asked.signal.aborted) return;
      if (!request) {
        if (isSilent) this.settle(null);
        else if (this.widget) this.settle(complaint(new Trouble(this.widget.lacking ?? "There is nothing to ask about yet.")));
        return;
      }
      this.showCommand(request);
      this.answer.classList.add("waiting");
      const accept = wantedType(this.model.answers);
      const { blob, type, seconds } = await fetched(this.model.path, {
        method: "POST",
        headers: { "Content-Type": request.type, Accept: accept },
        body: request.body,
        timeout: this.told.timeout,
        signal: asked.signal,
      });
      await this.showAnswer(blob, type, seconds);
    } catch (error) {
      if (error.name === "AbortError" || asked.signal.aborted) return;
      if (error.needsToken) askForToken();
      else this.settle(complaint(troubleOf(error), this.widget.said));
      if (error.isSilent) refresh();
    } finally {
      if (this.asked === asked) {
        this.asked = null;
        this.answer.classList.remove("waiting");
      }
    }
  }

  async showAnswer(blob, type, seconds) {
    const text = await blob.text();
    let rows = null;
    try {
      rows = parsed(text, type);
    } catch {
      rows = [text];
    }
    this.settle(this.widget.answer?.(rows) ?? shown(rows), said(rows));
    const milliseconds = 1000 * seconds;
    this.latency.textContent = `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
    this.latency.title = "from this page to the model and back";
  }

  /** Show `content` in the place of the answer, or what to do where there is none. */
  settle(content, spoken = "") {
    this.latency.textContent = "";
    this.spoken.textContent = spoken;
    this.answer.replaceChildren(content ?? element("p", { class: "quiet" }, "What the model answers is shown here."));
    if (content === null) {
      this.shell.hidden = true;
      this.request = null;
    }
  }

  showCommand(request) {
    this.request = request;
    const url = new URL(this.model.path, document.baseURI).href;
    this.command.textContent = curl(url, request, token.get() !== "");
    this.shell.hidden = false;
    this.copied.textContent = "";
    if (this.saved.href) URL.revokeObjectURL(this.saved.href);
    this.saved.removeAttribute("href");
    this.saved.hidden = isInline(request) || request.isFile === true;
    if (!this.saved.hidden) {
      this.saved.href = URL.createObjectURL(new Blob([request.body]));
      this.saved.download = fileName(request);
      this.saved.textContent = `Save ${fileName(request)}`;
    }
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.command.textContent);
      this.copied.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(this.command);
      this.copied.textContent = "selected: press Ctrl-C";
    }
  }
}

tell("busy", "connecting");
refresh();
