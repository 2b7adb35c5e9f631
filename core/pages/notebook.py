"""What an object shows under the cell of a notebook: tables, and plots as pictures.

A notebook shows it among the HTML of others, and takes out styles, scripts and SVG where it does
not trust who wrote it. So there are none here: a cell carries its own colours, and a plot is the
SVG of an ``<img>``, on a ground of its own, which is read in light and in dark.
"""

from __future__ import annotations

import base64
import re
from html import escape
from typing import Sequence

from . import DRAWN, LIGHT, colours

NUMBERED = 20  # rows of a table that are shown; the rest is counted
_NUMBER = re.compile(r"[-+\d][\d.,e+-]*( to [-+\d.,e]+)?$|–$")
_DARKEST = 0.8  # of the blue of a matrix's cell


def shown(parts: Sequence[str]) -> str:
    """``parts``, each HTML, below one another."""
    return f"<div>{''.join(parts)}</div>"


def said(text: str) -> str:
    """Some lines, as they were said."""
    style = "white-space: pre-wrap; font-family: monospace"
    return f'<div style="{style}"><small>{escape(text)}</small></div>'


def heading(text: str) -> str:
    return f"<p><strong>{escape(text)}</strong></p>"


def rows(headings: Sequence[str], cells: Sequence[Sequence[str]], most: int = NUMBERED) -> str:
    """A table of texts, of which the first ``most`` rows are shown; numbers stand to the right."""
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in cells[:most])
    left = len(cells) - most
    told = f"<p>{left:,} more</p>" if left > 0 else ""
    return _wide(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>") + told


def _wide(table: str) -> str:
    return f'<div style="overflow-x: auto">{table}</div>'


def _cell(text: str) -> str:
    side = "right" if _NUMBER.match(text) else "left"
    return f'<td style="text-align: {side}">{escape(text)}</td>'


def photograph(title: str, png: bytes) -> str:
    """A picture of the data, and what it shows."""
    coded = base64.b64encode(png).decode()
    style = "max-width: 100%; max-height: 24rem"
    return (
        f'<figure><img alt="{escape(title)}" style="{style}" src="data:image/png;base64,{coded}">'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def folded(title: str, html: str) -> str:
    """``html`` behind a line to click on."""
    return f"<details><summary>{escape(title)}</summary>{html}</details>"


def matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Counts (C, C), a row for each true class, a column for each predicted one.

    Colour is the share of the true class: a small class is as readable as a large one.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(_counted(count, count / max(1, sum(row))) for count in row)
        + "</tr>"
        for name, row in zip(names, counts)
    )
    corner = "<th>true \\ predicted</th>"
    top = f"<thead><tr>{corner}{head}</tr></thead>"
    return _wide(f"<table>{top}<tbody>{body}</tbody></table>")


def _counted(count: int, share: float) -> str:
    ink = "#fff" if share > 0.5 else "#1d2430"
    red, green, blue = (round(255 - share * _DARKEST * (255 - each)) for each in (0, 88, 152))
    text = f"{count:,}" if count else ""
    return f'<td style="background: rgb({red},{green},{blue}); color: {ink}">{text}</td>'


def plots(drawn: Sequence[tuple[str, str]]) -> str:
    """Plots (title, SVG) beside one another."""
    each = "".join(
        f'<figure style="display: inline-block; margin: 0 1em 1em 0">'
        f"<figcaption>{escape(title)}</figcaption>{picture(svg, title)}</figure>"
        for title, svg in drawn
    )
    return f"<div>{each}</div>"


def picture(svg: str, title: str) -> str:
    """An SVG of ``drawing`` as an image, with its style."""
    style = f"svg {{ {LIGHT} background: #fff; font-family: sans-serif; }} {DRAWN} {colours()}"
    whole = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="400" ', 1)
    whole = whole.replace(">", f"><style>{style}</style>", 1)
    content = base64.b64encode(whole.encode()).decode()
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{content}">'
