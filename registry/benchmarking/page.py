"""The report as one page of HTML, which needs no other file: tables, and plots as SVG.

It reads on a phone, in the dark, and in print: tables become cards where it is narrow, and colours
are those of the reader's scheme.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Callable, Sequence

from ...core.measuring import Record
from . import drawing
from .drawing import Series
from .figures import label
from .report import (
    REQUESTS,
    SERVED,
    Table,
    best_of,
    cell,
    connections,
    facts,
    front,
    groups,
    in_words,
    markdown,
    remarks,
    rules,
    scaling,
    serving_table,
    summary_table,
)
from .storing import write_text

MOST_DOTS = 30  # of a curve: of more than that the line alone is drawn
MARKDOWN, PAGE = "report.md", "report.html"


def write_report(folder: Path, records: Sequence[Record]) -> None:
    """Write ``report.md`` and ``report.html`` into ``folder``. Raises OutputError."""
    write_text(folder / MARKDOWN, markdown(records))
    write_text(folder / PAGE, page(records))


def _colours() -> str:
    numbers = range(drawing.COLOURS)
    return "\n".join(
        f"circle.c{n}, rect.c{n} {{ fill: var(--c{n}); }} .line.c{n} {{ stroke: var(--c{n}); }} "
        f"i.c{n} {{ background: var(--c{n}); }}"
        for n in numbers
    )


def page(records: Sequence[Record]) -> str:
    """One page of HTML with everything in it."""
    names = ", ".join(dict.fromkeys(record.algorithm for record in records))
    title = escape(f"Benchmark of {names}")
    body = [f"<h1>{title}</h1>"]
    for name, trained, served in groups(records):
        body.append("<section>")
        if name != names:
            body.append(f"<h2>{escape(name)}</h2>")
        if trained:
            body.append(_in_html(summary_table(trained)))
            body += [f'<p class="best">{escape(text)}</p>' for text in best_of(trained)]
            body.append(f"<p>{escape(rules(trained))}</p>")
            body.append(f'<div class="plots">{"".join(_plots(trained))}</div>')
        for record in served:
            body.append(f"<h3>Serving on {escape(record.devices)}</h3>")
            cold = escape(cell(record, "cold_start_seconds"))
            body.append(f"<p>Cold start, from the process to its first answer: {cold}.</p>")
            body.append(_in_html(serving_table(record)))
            body.append(f'<div class="plots">{"".join(_serving_plots(record))}</div>')
        told = [*remarks([*trained, *served]), *facts([*trained, *served])]
        body.append("<h3>To repeat it</h3>")
        body.append(f"<pre>{escape((trained + served)[0].command)}</pre>")
        body.append(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in told)}</ul></section>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}{_colours()}</style></head>\n"
        f"<body>{chr(10).join(body)}</body></html>\n"
    )


def _in_html(table: Table) -> str:
    """A line breaks before ± alone, and in the name of the row."""
    head = "".join(f"<th>{escape(text)}</th>" for text in table.headings)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{escape(heading)}">{text}</td>'
            for heading, cell in zip(table.headings, row)
            for text in [escape(cell) if cell == row[0] else _unbroken(escape(cell))]
        )
        + "</tr>"
        for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _unbroken(text: str) -> str:
    return text.replace(" ", "&nbsp;").replace("&nbsp;±", " ±")


def _figure(title: str, svg: str, names: Sequence[str], caption: str = "") -> str:
    keys = "".join(
        f'<span class="key"><i class="{drawing.style(number)}"></i>{escape(name)}</span>'
        for number, name in enumerate(names)
    )
    told = f"<figcaption>{keys} {escape(caption)}</figcaption>"
    return f"<figure><h3>{escape(title)}</h3>{svg}{told}</figure>"


def _plots(records: Sequence[Record]) -> list[str]:
    makers: tuple[Callable[[Sequence[Record]], str], ...] = (
        _curves, _throughputs, _scaling_plot, _pareto,
    )  # fmt: skip
    return [drawn for drawn in (make(records) for make in makers) if drawn]


def _curves(records: Sequence[Record]) -> str:
    objective = records[0].objective
    series = []
    for record in records:
        curves = [
            [
                (point.seconds, point.metrics[objective.metric])
                for point in run.curve
                if objective.metric in point.metrics
            ]
            for run in record.runs
        ]
        series.append(Series(label(record), [curve for curve in curves if curve]))
    if not any(each.lines for each in series):
        return ""
    times = [seconds for each in series for line in each.lines for seconds, _ in line]
    level = objective.target
    drawn = drawing.lines(
        series,
        ("seconds since the first step", objective.metric),
        "learning curves",
        guide=[] if level is None else [(0.0, level), (max(times), level)],
        dots=max(len(line) for each in series for line in each.lines) <= MOST_DOTS,
    )
    dashed = f"Dashed: the target, {level:g}." if level is not None else ""
    return _figure("Learning curves", drawn, [each.name for each in series], dashed)


def _throughputs(records: Sequence[Record]) -> str:
    rows = [
        (label(record), figure.mean or 0.0, record.values("throughput"))
        for record in records
        for figure in [record.summary.get("throughput")]
        if figure is not None
    ]
    if not rows:
        return ""
    drawn = drawing.bars(rows, "examples a second", "throughput of each setting")
    return _figure("Throughput", drawn, [], "Bar: the mean; dots: all runs.")


def _scaling_plot(records: Sequence[Record]) -> str:
    found = scaling(records)
    if not found:
        return ""
    batches: dict[Any, list[tuple[float, float]]] = {}
    for each in found:
        at = batches.setdefault(each.record.batch_size, [(1.0, 1.0)])
        at.append((float(each.devices), each.speed))
    most = float(max(each.devices for each in found))
    series = [Series(f"batch {batch}", [sorted(line)]) for batch, line in batches.items()]
    drawn = drawing.lines(
        series,
        ("devices", "times as fast as one"),
        "scaling",
        guide=[(1.0, 1.0), (most, most)],
        dots=True,
        zero=(True, True),
    )
    caption = "Dashed: the ideal of devices that share nothing."
    if any(not each.record.on_gpus for each in found):
        caption += " Replicas on a processor share its cores."
    return _figure("Scaling", drawn, [each.name for each in series], caption)


def _pareto(records: Sequence[Record]) -> str:
    points = [
        (label(record), dollars, seconds)
        for record in records
        for dollars in [record.dollars_to_target]
        if dollars is not None
        for seconds in [record.summary["seconds_to_target"].mean]
        if seconds is not None
    ]
    if not points:
        return ""
    best = front([(dollars, seconds) for _, dollars, seconds in points])
    drawn = drawing.scatter(
        points, best, ("dollars to the target", "seconds to the target"), "time and cost"
    )
    caption = "Joined: the Pareto front; no setting is both cheaper and faster than one of it."
    return _figure("Time and cost", drawn, [name for name, _, _ in points], caption)


def _serving_plots(record: Record) -> list[str]:
    counts = connections(record)
    rows = []
    for count in counts:
        name = f"{REQUESTS}@{count}"
        mean = record.summary[name].mean or 0.0
        rows.append((in_words(count), mean, record.values(name)))
    series = [
        Series(
            name.split("_")[0],
            [
                [
                    (float(count), figure.mean)
                    for count in counts
                    for figure in [record.summary.get(f"{name}@{count}")]
                    if figure is not None and figure.mean is not None
                ]
            ],
        )
        for name in SERVED
    ]
    plots = [
        _figure("Requests a second", drawing.bars(rows, "requests a second", "requests"), [],
                "Bar: the mean; dots: all runs.")
    ]  # fmt: skip
    if all(each.lines[0] for each in series):
        axes = ("connections", "ms")
        drawn = drawing.lines(series, axes, "latency", dots=True, zero=(True, True))
        plots.append(_figure("Latency", drawn, [each.name for each in series]))
    return plots


STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6573; --line: #d5dae1; --page: #fff;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0508a; --c4: #8a6d00; --c5: #3a8fc0;
  --c6: #7a4fbf; --c7: #555f6b; }
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
pre, li { overflow-wrap: anywhere; }
.plots { display: grid; gap: 1.5rem; margin: 1.5rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; max-width: 36rem; }
figcaption { margin-top: .25rem; font-size: .9rem; }
figure h3 { margin: 0 0 .25rem; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 11.5px; fill: var(--soft); }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; } .again { stroke-dasharray: 5 3; }
.guide { fill: none; stroke: var(--soft); stroke-dasharray: 4 4; } .mark { fill: var(--ink); }
.key { white-space: nowrap; margin-right: 1rem; display: inline-block; }
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
  table { font-size: 9pt; } figure, tr, pre { break-inside: avoid; }
  .plots { grid-template-columns: 1fr 1fr; } }
"""
