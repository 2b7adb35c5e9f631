/** A table of cells, which takes what was copied from a spreadsheet, or a CSV file. */

import { json } from "../curl.js";
import { parse, written } from "../csv.js";
import { fileButton, takeFiles } from "../dom.js";

const CSV = "text/csv";
const JSON_TYPE = "application/json";
const MOST_ROWS = 500;

const isNumber = (text) => text.trim() !== "" && !Number.isNaN(Number(text));

export function create({ model, element, button, ask, changed, say }) {
  const names = model.columns.length > 0 ? model.columns : ["1"];
  const body = element("tbody");
  let lead = 0; // lines above the rows in what was sent
  const note = element("p", { class: "quiet hint", role: "status" });

  function addRow(cells = []) {
    const place = body.children.length + 1;
    const row = element("tr", {}, element("th", { scope: "row" }, String(place)), names.map((name, column) => element("td", {},
      element("input", {
        type: "text", size: "4", value: cells[column] ?? "", inputmode: "text", autocomplete: "off", spellcheck: "false",
        dir: "auto", "aria-label": `row ${place}, ${model.named ? name : `column ${name}`}`, oninput: changed,
      }))));
    body.append(row);
    return row;
  }

  const rowsNow = () => [...body.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value.trim()));
  const filled = () => rowsNow().filter((row) => row.some((cell) => cell !== ""));

  /** Put `cells` into the table, from a row and a column on; more rows are added. */
  function fill(cells, firstRow, firstColumn) {
    const kept = cells.slice(0, MOST_ROWS - firstRow);
    kept.forEach((given, place) => {
      const row = body.children[firstRow + place] ?? addRow();
      const inputs = row.querySelectorAll("input");
      given.forEach((cell, column) => {
        if (inputs[firstColumn + column]) inputs[firstColumn + column].value = cell;
      });
    });
    const told = [`${kept.length.toLocaleString("en")} rows taken`];
    if (cells.length > kept.length) told.push(`the ${(cells.length - kept.length).toLocaleString("en")} after row ${MOST_ROWS} were left out`);
    const widest = Math.max(...kept.map((row) => row.length));
    if (firstColumn + widest > names.length) told.push(`columns beyond the ${names.length} of the model were left out`);
    return told;
  }

  /** Rows of a clipboard or a file: a first line of headings names the columns. */
  function take(cells, firstRow, firstColumn) {
    if (cells.length === 0) return;
    const [first, ...rest] = cells;
    const isKnown = model.named && first.filter((cell) => names.includes(cell)).length === names.length;
    const isHeading = isKnown || (rest.length > 0 && first.every((cell) => cell !== "" && !isNumber(cell)) &&
      rest.some((row) => row.some(isNumber)));
    let rows = isHeading ? rest : cells;
    if (isKnown) rows = rest.map((row) => names.map((name) => row[first.indexOf(name)] ?? ""));
    const told = fill(rows, firstRow, isHeading ? 0 : firstColumn);
    if (isHeading) told.push(isKnown ? "columns matched by their headings" : "the line of headings was left out");
    note.textContent = `${told.join("; ")}.`;
    ask();
  }

  body.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length > 0) return;
    const text = event.clipboardData.getData("text/plain");
    const cells = parse(text);
    const isTable = cells.length > 1 || (cells[0]?.length ?? 0) > 1;
    if (!isTable) return; // a cell, which the browser pastes
    event.preventDefault();
    const row = event.target.closest("tr");
    const column = [...row.querySelectorAll("input")].indexOf(event.target);
    take(cells, [...body.children].indexOf(row), Math.max(0, column));
  });
  body.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const row = event.target.closest("tr");
    const column = [...row.querySelectorAll("input")].indexOf(event.target);
    if (event.key === "Enter" && !row.nextElementSibling) return; // which asks
    const next = event.key === "ArrowUp" ? row.previousElementSibling : row.nextElementSibling;
    if (!next) return;
    event.preventDefault();
    next.querySelectorAll("input")[column]?.focus();
  });

  async function open(file) {
    try {
      const cells = parse(await file.text());
      clear();
      take(cells, 0, 0);
    } catch {
      say(`${file.name} cannot be read as a text.`);
    }
  }

  function clear() {
    body.replaceChildren();
    addRow();
    note.textContent = "";
  }

  clear();
  const table = element("table", { class: "cells" },
    element("thead", {}, element("tr", {}, element("td", { class: "corner" }), names.map((name) => element("th", { scope: "col" }, element("bdi", {}, name))))), body);
  const scroller = element("div", { class: "scroller" }, table);
  takeFiles(scroller, open);
  return {
    root: element("div", { class: "field" }, element("p", { class: "label" }, "Rows"), scroller, note,
      element("p", { class: "quiet hint" }, "Paste cells from a spreadsheet into the table, or drop a CSV file on it.")),
    actions: [
      button("Add a row", () => addRow().querySelector("input").focus()),
      fileButton("Open a CSV file", ".csv,.tsv,.txt,text/csv", open),
    ],
    lacking: "Fill in a row first.",
    said: (fault) => fault.replace(/^line (\d+)\b/, (_, line) => `row ${line - lead}`),
    request() {
      const rows = filled();
      if (rows.length === 0) return null;
      if (model.accepts.includes(CSV)) {
        // Words in the first row could be taken for headings: the model's own stand above them.
        const headings = model.named && !isNumber(rows[0][0]) ? [names] : [];
        lead = headings.length;
        return { type: CSV, body: written([...headings, ...rows]), file: "rows.csv" };
      }
      const values = rows.map((row) => row.map((cell) => cell === "" ? null : isNumber(cell) ? Number(cell) : cell));
      return { type: JSON_TYPE, body: json({ instances: values }), file: "rows.json" };
    },
    example({ content_type: type, body: text }) {
      let rows = [];
      if (type.startsWith(CSV)) rows = parse(text);
      else {
        const value = JSON.parse(text);
        rows = (value.instances ?? value).map((row) => {
          const cells = row?.features ?? row;
          if (Array.isArray(cells)) return cells.map((cell) => String(cell ?? ""));
          return names.map((name) => String(cells?.[name] ?? ""));
        });
      }
      clear();
      fill(rows, 0, 0);
      return true;
    },
    clear,
  };
}
