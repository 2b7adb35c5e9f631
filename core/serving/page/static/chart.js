/** A chart of a series and its forecast: lines and a band, in one picture that grows with the page. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 640;
const HEIGHT = 260;
const LEFT = 56;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 22;
const TICKS = 4;

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** Round numbers that divide `low` to `high`. */
function ticksOf(low, high) {
  const raw = (high - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) {
    ticks.push(Math.abs(tick) < step * 1e-6 ? 0 : tick);
  }
  return ticks;
}

/**
 * `past` and what follows it: `middle`, and from `low` to `high`, which may be empty. A value may be
 * null, where it is missing. `number` writes a value, `label` says what is to be seen.
 */
export function chart({ past, middle, low, high, number, label }) {
  const values = [...past, ...middle, ...low, ...high].filter((value) => value !== null);
  let least = Math.min(...values);
  let most = Math.max(...values);
  if (least > 0 && least < 0.4 * most) least = 0;
  if (least === most) [least, most] = [least - 1, most + 1];
  const count = past.length + middle.length;
  const x = (place) => LEFT + (place / Math.max(1, count - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((most - value) / (most - least)) * (HEIGHT - TOP - BOTTOM);
  const at = (value, place) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`;

  /** A line that is broken where a value is missing; one that stands alone is a dot. */
  const line = (row, begin) => {
    const parts = [];
    row.forEach((value, place) => {
      if (value === null) return;
      const goesOn = place > 0 && row[place - 1] !== null;
      parts.push(`${goesOn ? "L" : "M"}${at(value, begin + place)}`);
      const isAlone = !goesOn && (place + 1 === row.length || row[place + 1] === null);
      if (isAlone) parts.push("h0.01");
    });
    return parts.join("");
  };

  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart", "aria-label": label });
  for (const tick of ticksOf(least, most)) {
    picture.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }),
      drawn("text", { x: LEFT - 8, y: y(tick) + 4, class: "tick" }, number(tick)));
  }
  if (low.length > 0) {
    const edge = [...low.map((value, place) => at(value, past.length + place)),
      ...high.map((value, place) => at(value, past.length + place)).reverse()];
    picture.append(drawn("polygon", { points: edge.join(" "), class: "band" }));
  }
  // The forecast begins at the last value that is known.
  const last = past.length > 0 ? past.at(-1) : null;
  const joined = last === null ? line(middle, past.length) : line([last, ...middle], past.length - 1);
  picture.append(drawn("path", { d: line(past, 0), class: "past" }), drawn("path", { d: joined, class: "middle" }));
  if (past.length > 0) {
    const begin = x(past.length - 0.5);
    picture.append(drawn("line", { x1: begin, x2: begin, y1: TOP, y2: HEIGHT - BOTTOM, class: "now" }));
  }
  return picture;
}
