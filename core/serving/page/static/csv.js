/** Rows of cells, as spreadsheets put them on the clipboard, and as CSV. */

/** The cells of `text`: with tabs between them where it has any, else semicolons, else commas. */
export function parse(text) {
  const delimiter = text.includes("\t") ? "\t" : text.includes(";") ? ";" : ",";
  const rows = [[]];
  let cell = "";
  let isQuoted = false;
  const end = () => {
    rows.at(-1).push(cell.trim());
    cell = "";
  };
  const characters = text.replace(/\r\n?/g, "\n");
  for (let place = 0; place < characters.length; place += 1) {
    const character = characters[place];
    if (isQuoted) {
      if (character !== '"') cell += character;
      else if (characters[place + 1] === '"') {
        cell += character;
        place += 1;
      } else isQuoted = false;
    } else if (character === '"' && cell === "") isQuoted = true;
    else if (character === delimiter) end();
    else if (character === "\n") {
      end();
      rows.push([]);
    } else cell += character;
  }
  end();
  return rows.filter((row) => row.some((value) => value !== ""));
}

/** Rows as CSV, without a line feed at its end. */
export function written(rows) {
  const cell = (value) => /[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  return rows.map((row) => row.map(cell).join(",")).join("\n");
}
