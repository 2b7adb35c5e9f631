"""pages: HTML pages that need no other file: tables, and plots as SVG; ``notebook``, parts of them.

Imports nothing of core.

They suit phones, dark mode and print: on narrow screens tables become cards, and colours follow
the reader's colour scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Sequence

from . import drawing
from .drawing import Series

__all__ = ["Series", "Table", "document", "drawing", "figure", "markdown_table", "table"]

MANY = 8  # columns: more are written smaller


@dataclass(frozen=True)
class Table:
    """Cells as they are read; the first column names the row."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def document(title: str, body: Sequence[str]) -> str:
    """The page of ``body``, which is HTML, under the heading ``title``, which is text."""
    title = escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}{colours()}</style></head>\n"
        f"<body><h1>{title}</h1>{chr(10).join(body)}</body></html>\n"
    )


def table(content: Table) -> str:
    """A line breaks before ± alone, and in the name of the row."""
    head = "".join(f"<th>{_breaking(escape(text))}</th>" for text in content.headings)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{escape(heading)}">{text}</td>'
            for heading, cell in zip(content.headings, row)
            for text in [escape(cell) if cell == row[0] else _unbroken(escape(cell))]
        )
        + "</tr>"
        for row in content.rows
    )
    kind = ' class="many"' if len(content.headings) > MANY else ""
    body = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{body}</div>'


def _breaking(text: str) -> str:
    """``validation:accuracy`` and ``learning_rate`` may go on below."""
    return text.replace(":", ":<wbr>").replace("_", "_<wbr>")


def _unbroken(text: str) -> str:
    return text.replace(" ", "&nbsp;").replace("&nbsp;±", " ±")


def markdown_table(content: Table) -> str:
    """The same in Markdown."""
    rows = [content.headings, ["---"] + ["---:"] * (len(content.headings) - 1), *content.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def figure(title: str, svg: str, series: Sequence[Series] = (), caption: str = "") -> str:
    """A plot under its title, with the names of its colours and a sentence below."""
    keys = "".join(
        f'<span class="key"><i class="{drawing.style(each.colour)}"></i>{escape(each.name)}</span>'
        for each in series
    )
    told = f"<figcaption>{keys} {escape(caption)}</figcaption>"
    return f"<figure><h3>{escape(title)}</h3>{svg}{told}</figure>"


def colours() -> str:
    """The rules of the colours of series."""
    return "\n".join(
        f"circle.c{n}, rect.c{n} {{ fill: var(--c{n}); }} .line.c{n} {{ stroke: var(--c{n}); }} "
        f"i.c{n} {{ background: var(--c{n}); }}"
        for n in range(drawing.COLOURS)
    )


# Colours on a light ground, and how the parts of a plot are drawn.
LIGHT = """--ink: #1d2430; --soft: #5b6573; --line: #d5dae1; --page: #fff;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0508a; --c4: #8a6d00; --c5: #3a8fc0;
  --c6: #7a4fbf; --c7: #555f6b;"""
DRAWN = """svg text { font-size: 11.5px; fill: var(--soft); }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; } .again { stroke-dasharray: 5 3; }
.guide { fill: none; stroke: var(--soft); stroke-dasharray: 4 4; } .mark { fill: var(--ink); }
"""
STYLE = f"""
:root {{ color-scheme: light dark; {LIGHT} }}
"""
STYLE += """
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a2acb9;
  --line: #3a424e; --page: #14181e; --c0: #56b4e9; --c1: #f28e4b; --c2: #35c79b; --c3: #e08fc0;
  --c4: #e0c341; --c5: #8fd0f5; --c6: #b79af0; --c7: #b5bec9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink); background: var(--page);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.25rem; margin-top: 2rem; } h3 { font-size: 1rem; }
p, li { max-width: 44rem; } .best { font-weight: 600; } li, figcaption { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .many { font-size: .85rem; }
.many th, .many td { padding: .25rem .35rem; overflow-wrap: normal; }
.many td:first-child { white-space: nowrap; }
pre, li { overflow-wrap: anywhere; }
.plots { display: grid; gap: 1.5rem; margin: 1.5rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; max-width: 36rem; }
figcaption { margin-top: .25rem; font-size: .9rem; }
figure h3 { margin: 0 0 .25rem; }
svg { width: 100%; height: auto; display: block; }
"""
STYLE += DRAWN
STYLE += """.key { white-space: nowrap; margin-right: 1rem; display: inline-block; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; }
pre { white-space: pre-wrap; border: 1px solid var(--line); padding: .6rem; font-size: .85rem; }
@media screen and (max-width: 40rem) {
  thead { display: none; } table, tbody, tr, td { display: block; width: 100%; }
  tr { border: 1px solid var(--line); margin-bottom: .8rem; padding: .3rem .6rem; }
  td { border: 0; padding: .15rem 0; display: flex; justify-content: space-between; gap: 1rem; }
  td::before { content: attr(data-label); color: var(--soft); }
  td:first-child { font-weight: 600; } td:first-child::before { content: none; }
}
@media print { body { max-width: none; padding: 0; font-size: 10pt; } h2, h3 { break-after: avoid; }
  table { font-size: 9pt; } .many { font-size: 6pt; } .many th, .many td { padding: .2rem; }
  .wide { overflow: visible; } figure, tr, pre { break-inside: avoid; }
  .plots { grid-template-columns: 1fr 1fr; } }
"""
