/** Answers as people read them: classes as bars, numbers, clusters, many rows as a table. */

import { element } from "./dom.js";
import { parse } from "./csv.js";

const LONG_VECTOR = 20; // numbers, which nobody reads one by one
const FEW_BARS = 5;
const MOST_BARS = 100;
const MOST_ROWS = 1000;
const MOST_CHARACTERS = 20000;

/** What of a model's content types says most, and can be shown. */
export function wantedType(offered) {
  const known = ["application/json", "application/jsonlines", "text/csv", "text/plain"];
  return known.find((name) => offered.includes(name)) ?? offered[0];
}

/** The answers in `text`, one an example. Throws where it is not what its type says. */
export function parsed(text, type) {
  if (type.startsWith("application/jsonlines")) {
    return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  }
  if (type.startsWith("application/json")) {
    const value = JSON.parse(text);
    const rows = Array.isArray(value) ? value : value?.predictions;
    return Array.isArray(rows) ? rows : [value];
  }
  if (type.startsWith("text/csv")) {
    return parse(text).map((row) => row.map((cell) => Number.isNaN(Number(cell)) ? cell : Number(cell)));
  }
  return [text];
}

/** The answers `rows` as an element. */
export function shown(rows) {
  if (rows.length === 0) return element("p", { class: "quiet" }, "The answer is empty.");
  return rows.length === 1 ? one(rows[0]) : many(rows);
}

/** The answers in a sentence, for a screen reader. */
export function said(rows) {
  if (rows.length !== 1) return `${rows.length.toLocaleString("en")} answers`;
  if (Array.isArray(rows[0]?.objects)) return counted(rows[0].objects.map((each) => each.class));
  const { name, probability, others } = verdict(rows[0]);
  const parts = name === "" ? [] : [name];
  if (probability !== null) parts.push(percent(probability));
  const numbers = Object.entries(others).filter(([, value]) => typeof value === "number");
  parts.push(...numbers.slice(0, 4).map(([key, value]) => `${words(key)} ${number(value)}`));
  return parts.join(", ") || "answered";
}

/** How many there are of each name: `2 cat, 1 dog`. */
function counted(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(", ") || "nothing is found";
}

/** A probability in percent; what is nearly nothing, and nearly certain, is not rounded to it. */
export function percent(value) {
  if (value > 0 && value < 0.0005) return "< 0.1 %";
  if (value < 1 && value >= 0.9995) return "> 99.9 %";
  return `${(100 * value).toFixed(1)} %`;
}

/** A number as it is read: no more digits than tell it from others. */
export function number(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toPrecision(4);
  return value.toLocaleString("en", { maximumSignificantDigits: 5 });
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const areObjects = (value) => Array.isArray(value) && value.length > 0 && value.every(isObject);
const arePlain = (value) => Array.isArray(value) && value.length > 0 && value.length <= 100 &&
  value.every((each) => typeof each === "string" || typeof each === "number");
const isVector = (value) => Array.isArray(value) && value.length > LONG_VECTOR &&
  value.every((each) => typeof each === "number");
const words = (name) => name.replaceAll("_", " ");

/** What an answer says first, and what else it holds. */
function verdict(answer) {
  if (!isObject(answer)) return { name: "", probability: null, bars: null, others: {} };
  const { label, probability, probabilities, closest_cluster: cluster, ...others } = answer;
  const found = { name: "", probability: null, bars: null, others };
  if (label !== undefined && !isObject(label)) found.name = String(label);
  else if (label !== undefined) others.label = label;
  if (typeof probability === "number") found.probability = probability;
  else if (probability !== undefined) others.probability = probability;
  const isBars = isObject(probabilities) &&
    Object.values(probabilities).every((value) => typeof value === "number");
  if (isBars) found.bars = Object.entries(probabilities);
  else if (probabilities !== undefined) others.probabilities = probabilities;
  if (cluster !== undefined) found.name ||= `Cluster ${cluster}`;
  return found;
}

function one(answer) {
  if (typeof answer === "number") return figures({ answer });
  if (areObjects(answer)) return many(answer);
  if (arePlain(answer)) return chips(answer);
  if (!isObject(answer)) return raw(answer);
  const { name, probability, bars, others } = verdict(answer);
  const parts = [];
  if (name !== "") {
    parts.push(element("p", { class: "verdict" },
      element("bdi", { class: "name" }, name),
      probability === null ? null : element("span", { class: "sure" }, percent(probability))));
  }
  if (bars && bars.length > 0) parts.push(barsOf(bars));
  const numbers = Object.entries(others).filter(([, value]) => typeof value === "number");
  if (numbers.length > 0) parts.push(figures(Object.fromEntries(numbers), name === ""));
  for (const [key, value] of Object.entries(others)) {
    if (typeof value === "number") continue;
    if (isVector(value)) {
      const told = `${words(key)}: ${value.length.toLocaleString("en")} numbers`;
      parts.push(element("details", {}, element("summary", {}, told), raw(value.map(number).join(" "))));
    } else if (arePlain(value)) parts.push(element("h4", {}, words(key)), chips(value));
    else if (areObjects(value)) parts.push(element("h4", {}, words(key)), many(value));
    else if (Array.isArray(value) || isObject(value)) parts.push(element("h4", {}, words(key)), raw(value));
    else parts.push(element("p", { class: "remark" }, `${words(key)}: `, element("bdi", {}, plain(value))));
  }
  return parts.length > 0 ? element("div", { class: "one" }, parts) : raw(answer);
}

/** Probabilities by name, the likeliest first; of many, the others on demand. */
function barsOf(entries) {
  const sorted = [...entries].sort(([, one], [, other]) => other - one);
  const list = (part) => element("ul", { class: "bars" }, part.map(([name, value]) => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--part", String(Math.max(0, Math.min(1, value))));
    return element("li", {},
      element("bdi", { class: "name", title: name }, name), bar,
      element("span", { class: "part" }, percent(value)));
  }));
  if (sorted.length <= FEW_BARS + 5) return list(sorted);
  const rest = sorted.slice(FEW_BARS, MOST_BARS);
  const left = sorted.length - FEW_BARS - rest.length;
  return element("div", {}, list(sorted.slice(0, FEW_BARS)), element("details", {},
    element("summary", {}, `${(sorted.length - FEW_BARS).toLocaleString("en")} more classes`),
    list(rest),
    left > 0 ? element("p", { class: "quiet" }, `${left.toLocaleString("en")} less likely ones are not listed.`) : null));
}

function chips(values) {
  return element("ul", { class: "chips" }, values.map((value) =>
    element("li", {}, element("bdi", {}, typeof value === "number" ? number(value) : cut(value)))));
}

function figures(numbers, isLarge = true) {
  return element("dl", { class: isLarge ? "figures large" : "figures" },
    Object.entries(numbers).map(([name, value]) => element("div", {},
      element("dt", {}, element("bdi", {}, words(name))), element("dd", {}, number(value)))));
}

/** A row of the table for each answer. */
function many(rows) {
  const cells = rows.slice(0, MOST_ROWS).map(flat);
  const names = [...new Set(cells.flatMap((row) => Object.keys(row)))];
  const isNumber = (name) => cells.every((row) => typeof row[name] !== "string");
  const table = element("table", { class: "answers" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "row"),
      names.map((name) => element("th", { scope: "col", class: isNumber(name) ? "number" : null },
        element("bdi", {}, words(name)))))),
    element("tbody", {}, cells.map((row, place) => element("tr", {},
      element("th", { scope: "row" }, String(place + 1)),
      names.map((name) => cellOf(name, row[name], isNumber(name)))))));
  const scroller = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Answers by row" }, table);
  if (rows.length <= MOST_ROWS) return scroller;
  const left = (rows.length - MOST_ROWS).toLocaleString("en");
  return element("div", {}, scroller, element("p", { class: "quiet" }, `${left} more answers are not listed.`));
}

function flat(answer) {
  if (!isObject(answer)) {
    return Array.isArray(answer)
      ? Object.fromEntries(answer.slice(0, 50).map((value, place) => [String(place + 1), simple(value)]))
      : { answer: simple(answer) };
  }
  const { name, probability, bars, others } = verdict(answer);
  const found = {};
  if (answer.closest_cluster !== undefined) found.cluster = name;
  else if (name !== "") found.label = name;
  if (probability !== null) found.probability = percent(probability);
  if (bars && probability === null) {
    for (const [key, value] of bars.slice(0, 20)) found[key] = percent(value);
  }
  for (const [key, value] of Object.entries(others)) found[key] = simple(value);
  return found;
}

const simple = (value) => typeof value === "number" ? value : plain(value);

function cellOf(name, value, isNumber) {
  if (value === undefined) return element("td");
  if (name === "cluster") {
    const index = Number(String(value).replace(/\D+/g, ""));
    return element("td", {}, element("span", { class: `dot hue${index % 6}`, "aria-hidden": "true" }), value);
  }
  const text = typeof value === "number" ? number(value) : value;
  return element("td", { class: isNumber || name === "probability" ? "number" : null }, element("bdi", {}, text));
}

function plain(value) {
  if (value === true) return "yes";
  if (value === false) return "no";
  return typeof value === "string" ? cut(value) : cut(JSON.stringify(value) ?? "");
}

function raw(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 1);
  return element("pre", { class: "raw", tabindex: "0", dir: "auto" }, cut(text));
}

function cut(text) {
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, MOST_CHARACTERS)} … (${(text.length - MOST_CHARACTERS).toLocaleString("en")} more characters)`;
}
