"""The report of a benchmark as one HTML page, with tables and plots."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Callable, Sequence

from ...core.benchmark import Record, Run
from ...core.pages import document, drawing, figure, table
from ...core.pages.drawing import Axis, Series
from ..files import write_text
from .figures import label
from .report import (
    REQUESTS,
    SERVED,
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
from .results_file import RESULTS, write

MAX_DOTS = 30  # of a curve: of more than that the line alone is drawn
MARKDOWN, PAGE = "report.md", "report.html"


def write_all(folder: Path, records: Sequence[Record]) -> None:
    """Write the results and the report of them into ``folder``. Raises OutputError."""
    write(folder / RESULTS, records)
    write_text(folder / MARKDOWN, markdown(records))
    write_text(folder / PAGE, page(records))


def page(records: Sequence[Record]) -> str:
    """One page of HTML with everything in it."""
    names = ", ".join(dict.fromkeys(record.algorithm for record in records))
    body = []
    for name, trained, served in groups(records):
        body.append("<section>")
        if name != names:
            body.append(f"<h2>{escape(name)}</h2>")
        if trained:
            body.append(table(summary_table(trained)))
            body += [f'<p class="best">{escape(text)}</p>' for text in best_of(trained)]
            body.append(f"<p>{escape(rules(trained))}</p>")
            body.append(f'<div class="plots">{"".join(_plots(trained))}</div>')
        for record in served:
            body.append(f"<h3>Serving on {escape(record.devices)}</h3>")
            cold = escape(cell(record, "cold_start_seconds"))
            body.append(f"<p>Cold start, from the process to its first answer: {cold}.</p>")
            body.append(table(serving_table(record)))
            body.append(f'<div class="plots">{"".join(_serving_plots(record))}</div>')
        told = [*remarks([*trained, *served]), *facts([*trained, *served])]
        body.append("<h3>To repeat it</h3>")
        body.append(f"<pre>{escape((trained + served)[0].command)}</pre>")
        body.append(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in told)}</ul></section>")
    return document(f"Benchmark of {names}", body)


def _plots(records: Sequence[Record]) -> list[str]:
    makers: tuple[Callable[[Sequence[Record]], str], ...] = (
        _curves, _throughputs, _scaling_plot, _pareto,
    )  # fmt: skip
    return [drawn for drawn in (make(records) for make in makers) if drawn]


def _curves(records: Sequence[Record]) -> str:
    objective = records[0].objective
    curves = [
        [line for run in record.runs for line in _lines(run, objective.metric)]
        for record in records
    ]
    drawn = [line for by_record in curves for line in by_record]
    if not drawn:
        return ""
    few = max(map(len, drawn)) <= MAX_DOTS
    series = [
        Series(label(record), by_record, number, few)
        for number, (record, by_record) in enumerate(zip(records, curves))
    ]
    last = max(seconds for line in drawn for seconds, _ in line)
    level = objective.target
    plot = drawing.lines(
        series,
        Axis("seconds since the first step", zero=True),
        Axis(objective.metric),
        "learning curves",
        guide=[] if level is None else [(0.0, level), (last, level)],
    )
    dashed = f"Dashed: the target, {level:g}." if level is not None else ""
    return figure("Learning curves", plot, series, dashed)


def _lines(run: Run, metric: str) -> list[list[tuple[float, float]]]:
    """A run's metric by its seconds. It is a line more wherever the run began anew, as k-means does
    with each of its restarts: there the epoch is not higher than before.
    """
    drawn: list[list[tuple[float, float]]] = []
    last = 0
    for point in run.curve:
        value = point.metrics.get(metric)
        if value is None:
            continue
        if not drawn or point.epoch <= last:
            if drawn and drawn[-1][-1][1] == value:  # told once more, at the end
                continue
            drawn.append([])
        drawn[-1].append((point.seconds, value))
        last = point.epoch
    return drawn


def _throughputs(records: Sequence[Record]) -> str:
    rows = [
        (label(record), found.mean or 0.0, record.values("throughput"))
        for record in records
        for found in [record.summary.get("throughput")]
        if found is not None
    ]
    if not rows:
        return ""
    drawn = drawing.bars(rows, "examples a second", "throughput of each setting")
    return figure("Throughput", drawn, caption="Bar: the mean; dots: all runs.")


def _scaling_plot(records: Sequence[Record]) -> str:
    found = scaling(records)
    if not found:
        return ""
    lines: dict[str, list[tuple[float, float]]] = {}
    for each in found:
        place, batch = each.record.place, each.record.batch_size
        kind = "gpu" if each.record.on_gpus else "cpu"
        name = kind if place is None else f"{place.instance_type}, {kind}"
        line = lines.setdefault(name + (f", batch {batch}" if batch else ""), [(1.0, 1.0)])
        line.append((float(each.devices), each.speed))
    most = float(max(each.devices for each in found))
    series = [
        Series(name, [sorted(line)], number, dots=True)
        for number, (name, line) in enumerate(lines.items())
    ]
    drawn = drawing.lines(
        series,
        Axis("devices", zero=True, counted=True),
        Axis("times as fast as one", zero=True),
        "scaling",
        guide=[(1.0, 1.0), (most, most)],
    )
    caption = "Dashed: the ideal of devices that share nothing."
    if any(not each.record.on_gpus for each in found):
        caption += " Replicas on a processor share its cores."
    return figure("Scaling", drawn, series, caption)


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
    x, y = (Axis(f"{what} to the target", zero=True) for what in ("dollars", "seconds"))
    drawn = drawing.scatter(points, best, x, y, "time and cost")
    caption = "Joined: the Pareto front; no setting is both cheaper and faster than one of it."
    keys = [Series(name, (), number) for number, (name, _, _) in enumerate(points)]
    return figure("Time and cost", drawn, keys, caption)


def _serving_plots(record: Record) -> list[str]:
    counts = connections(record)
    if not counts:  # all servers have failed
        return []
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
                    (float(count), found.mean)
                    for count in counts
                    for found in [record.summary.get(f"{name}@{count}")]
                    if found is not None and found.mean is not None
                ]
            ],
            number,
            dots=True,
        )
        for number, name in enumerate(SERVED)
    ]
    drawn = drawing.bars(rows, "requests a second", "requests")
    plots = [figure("Requests a second", drawn, caption="Bar: the mean; dots: all runs.")]
    if all(each.lines[0] for each in series):
        x, y = Axis("connections", zero=True, counted=True), Axis("ms", zero=True)
        plots.append(figure("Latency", drawing.lines(series, x, y, "latency"), series))
    return plots
