/** A series: when it begins and its values, as they are typed, pasted from a spreadsheet or in a file. */

import { number, percent, shown } from "../answer.js";
import { Trouble } from "../asking.js";
import { chart } from "../chart.js";
import { parse, written } from "../csv.js";
import { json } from "../curl.js";
import { fileButton, takeFiles } from "../dom.js";

const CSV = "text/csv";
const JSON_TYPE = "application/json";
const QUANTILES = ["0.1", "0.5", "0.9"];
const MOST_PAST = 200; // values in the chart
const MOST_SERIES = 20;
const GAPS = ["", "nan", "null", "none", "na", "n/a", "-", "?"];

/** The numbers in a text, null for a gap and NaN for what is none, and the cells that they stand in. */
function numbersOf(text) {
  const lines = text.trim().split(/\r?\n/).map((line) => line.trim());
  const isGap = (cell) => GAPS.includes(cell.toLowerCase());
  const areDecimals = lines.length > 1 && lines.every((line) => isGap(line) || /^[+-]?\d*(,\d+)?$/.test(line));
  const cells = lines.length > 1 && !lines.some((line) => /[;\t ]/.test(line) || (!areDecimals && line.includes(",")))
    ? lines : text.trim().split(/\s*[,;\t\n]\s*|\s+/);
  const values = cells.map((cell) => {
    if (isGap(cell)) return null;
    return Number(areDecimals ? cell.replace(",", ".") : cell);
  });
  return { values, wrong: cells.find((_, place) => Number.isNaN(values[place])) };
}

export function create({ model, element, ask, changed }) {
  let file = null; // that is asked about as it is
  let past = [];
  let others = {}; // what the example has besides
  const changedByHand = () => {
    forget();
    changed();
  };
  const start = element("input", {
    type: "text", id: "start", autocomplete: "off", spellcheck: "false", placeholder: "2024-05-31 14:00", oninput: changedByHand,
  });
  const field = element("textarea", {
    id: "values", rows: "6", spellcheck: "false", class: "code", "aria-describedby": "values-help",
    placeholder: "112 118 132 129 121 …", oninput: changedByHand,
    onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form.requestSubmit();
    },
  });
  const categories = element("input", {
    type: "text", id: "categories", autocomplete: "off", spellcheck: "false", dir: "auto", oninput: changedByHand,
  });
  const features = element("textarea", {
    id: "features", rows: "3", spellcheck: "false", class: "code", "aria-describedby": "features-help", oninput: changedByHand,
  });
  const name = element("p", { class: "quiet hint", role: "status", dir: "auto" });
  const known = exampleOf(model.example);
  const hasCategories = known?.cat !== undefined;
  const hasFeatures = known?.dynamic_feat !== undefined;

  function forget() {
    file = null;
    name.textContent = "";
  }

  function take(given) {
    forget();
    file = given;
    name.textContent = `${given.name}, ${given.size.toLocaleString("en")} bytes`;
    field.value = "";
    ask();
  }

  function request() {
    past = [];
    if (file) {
      const isJson = /\.(json|jsonl|jsonlines|ndjson)$/i.test(file.name);
      const type = /\.json$/i.test(file.name) ? JSON_TYPE : isJson ? "application/jsonlines" : CSV;
      return { type, body: file, file: file.name, isFile: true };
    }
    if (field.value.trim() === "") return null;
    const { values, wrong } = numbersOf(field.value);
    if (wrong !== undefined) {
      const rows = parse(field.value);
      if (rows.every((row) => row.length === 1)) throw new Trouble(`${wrong} is no number.`);
      return { type: CSV, body: written(rows), file: "series.csv" }; // with times, or of several series
    }
    past = values;
    const series = { item_id: "series", ...others, target: values };
    delete series.start;
    if (start.value.trim() !== "") series.start = start.value.trim();
    if (hasCategories) series.cat = categories.value.split(",").map((each) => each.trim());
    if (hasFeatures) {
      series.dynamic_feat = features.value.trim().split(/\n+/).map((line) => {
        const { values: row, wrong: word } = numbersOf(line);
        if (word !== undefined) throw new Trouble(`${word} is no number: of each feature, a line of numbers.`);
        return row;
      });
    }
    const wanted = { output_types: ["mean", "quantiles"], quantiles: QUANTILES };
    return { type: JSON_TYPE, body: json({ instances: [series], configuration: wanted }), file: "series.json" };
  }

  function one(answer, history, isAlone) {
    const levels = Object.keys(answer.quantiles ?? {}).sort((one, other) => one - other);
    const middle = answer.quantiles?.["0.5"] ?? answer.mean;
    if (!Array.isArray(middle)) return shown([answer]);
    const low = answer.quantiles?.["0.1"] ?? [];
    const high = answer.quantiles?.["0.9"] ?? [];
    const begin = answer.start ? `, from ${answer.start.replace(/ 00:00:00$/, "")}` : "";
    const spoken = `${middle.length} steps${begin}: first ${number(middle[0])}, last ${number(middle.at(-1))}`;
    const steps = middle.map((value, place) => ({
      median: value,
      ...(answer.mean ? { mean: answer.mean[place] } : {}),
      ...Object.fromEntries(levels.filter((level) => level !== "0.5").map((level) =>
        [`below with ${percent(Number(level)).replace(".0", "")}`, answer.quantiles[level][place]])),
    }));
    return element("figure", { class: "forecast" },
      element("figcaption", {}, isAlone ? null : element("bdi", { class: "name" }, answer.item_id ?? ""),
        element("span", { class: "quiet" }, ` ${spoken}`)),
      chart({ past: history.slice(-MOST_PAST), middle, low, high, number, label: `Forecast of ${spoken}` }),
      element("p", { class: "quiet hint" }, "The line is the median; the band holds 80 % of what is expected."),
      element("details", {}, element("summary", {}, "Numbers"), shown(steps)));
  }

  takeFiles(field, take);
  return {
    root: element("div", { class: "field series" },
      element("label", { for: "start" }, "Time of the first value"), start,
      element("label", { for: "values" }, "Values"), field,
      element("p", { class: "quiet hint", id: "values-help" },
        "One after another, a gap as NaN. Or paste a table with times (and a name of the series), or drop a CSV file."),
      hasCategories ? [element("label", { for: "categories" }, "Categories"), categories] : null,
      hasFeatures ? [element("label", { for: "features" }, "Known of each step"), features,
        element("p", { class: "quiet hint", id: "features-help" },
          "A line for each feature, with a number for each value and for each step that is forecast.")] : null,
      name),
    actions: fileButton("Open a file", ".csv,.tsv,.txt,.json,.jsonl,text/csv", take),
    lacking: "Write some values first, or open a file.",
    said: (fault) => fault.replace(/^example 1: /, ""),
    request,
    answer(rows) {
      const some = rows.slice(0, MOST_SERIES).map((row) => one(row, rows.length === 1 ? past : [], rows.length === 1 && past.length > 0));
      const left = rows.length - some.length;
      if (left > 0) some.push(element("p", { class: "quiet" }, `${left.toLocaleString("en")} more series are not shown.`));
      return element("div", {}, some);
    },
    example(given) {
      const series = exampleOf(given);
      if (!series) return false;
      forget();
      const { target, start: begin, cat, dynamic_feat: rows, ...rest } = series;
      others = rest;
      field.value = target.map((value) => value ?? "NaN").join(" ");
      start.value = begin ?? "";
      categories.value = [cat ?? []].flat().join(", ");
      features.value = (rows ?? []).map((row) => row.map((value) => value ?? "NaN").join(" ")).join("\n");
      return true;
    },
    clear() {
      forget();
      others = {};
      for (const each of [start, field, categories, features]) each.value = "";
      field.focus();
    },
  };
}

/** The first series of an example, null where there is none. */
function exampleOf(example) {
  if (!example?.content_type.startsWith(JSON_TYPE)) return null;
  const value = JSON.parse(example.body);
  return (value.instances ?? value)[0] ?? null;
}
