"""The report of a benchmark in Markdown: tables, the best settings, how they were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ...core.benchmark import TO_TARGET, Record
from ...core.pages import Table, markdown_table
from .compare import CONFIDENCE, ratio_of
from .figures import FINAL, label, meaning

REQUESTS, SERVED = "requests_per_second", ("p50_ms", "p90_ms", "p99_ms")


@dataclass(frozen=True)
class Efficiency:
    """``devices`` against one: how many times as fast, and which share of the ideal that is."""

    record: Record
    devices: int
    speed: float
    share: float


def summary_table(records: Sequence[Record]) -> Table:
    """A row a setting of the trainings: every figure's mean, and the price where it is known."""
    efficiencies = {id(e.record): e for e in scaling(records)}
    names = ["throughput", "seconds_to_target", FINAL, "data_wait", "peak_memory_mb"]
    names = [name for name in names if any(name in r.summary for r in records)] or names[:1]
    objective = records[0].objective
    headings = ["setting", *(meaning(name, objective).title for name in names)]
    priced = any(record.dollars_to_target is not None for record in records)
    headings += ["scaling efficiency"] * bool(efficiencies) + ["cost to target"] * priced
    rows = []
    for record in records:
        row = [label(record), *(cell(record, name) for name in names)]
        if len(record.failures) == len(record.runs):
            row[1] = "failed"
        if efficiencies:
            found = efficiencies.get(id(record))
            row.append(f"{found.share:.0%}" if found else "–")
        if priced:
            dollars = record.dollars_to_target
            row.append("–" if dollars is None else money(dollars))
        rows.append(row)
    return Table(headings, rows)


def serving_table(record: Record) -> Table:
    """A row for each number of connections."""
    headings = ["load", "requests", "p50", "p90", "p99"]
    rows = [
        [in_words(count), *(cell(record, f"{name}@{count}") for name in (REQUESTS, *SERVED))]
        for count in connections(record)
    ]
    return Table(headings, rows)


def scaling(records: Sequence[Record]) -> list[Efficiency]:
    """Each record of several devices beside the one of one device and the same, or its, batch.

    On a processor, devices share its cores: what counts there is the cores, the devices times the
    threads of each.
    """
    found = []
    for record in records:
        single = _single(record, records) if record.device_count > 1 else None
        if single is None:
            continue
        fast, slow = (r.summary["throughput"].mean for r in (record, single))
        if fast and slow:
            speed, size = fast / slow, _threads(record) / _threads(single) * record.device_count
            found.append(Efficiency(record, record.device_count, speed, speed / size))
    return found


def _single(record: Record, records: Sequence[Record]) -> Record | None:
    """The record of one device like those of ``record``, with as large a batch, or its share."""
    batches = [record.batch_size]
    if record.batch_size:
        batches.append(record.batch_size // record.device_count)
    alike = [
        other
        for other in records
        if other.device_count == 1
        and _kind(other) == _kind(record)
        and all("throughput" in each.summary for each in (other, record))
    ]
    return next((other for b in batches for other in alike if other.batch_size == b), None)


def _kind(record: Record) -> tuple[str, bool, str]:
    instance = "" if record.place is None else record.place.instance_type
    return record.algorithm, record.on_gpus, instance


def _threads(record: Record) -> int:
    return 1 if record.on_gpus else int(record.environment.get("threads", 1))


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The Pareto front: the numbers of the points of which none is better in both, by their x."""
    chosen: list[int] = []
    for number in sorted(range(len(points)), key=lambda i: points[i]):
        if not chosen or points[number][1] < points[chosen[-1]][1]:
            chosen.append(number)
    return chosen


def cell(record: Record, name: str) -> str:
    figure = record.summary.get(name)
    found = meaning(name, record.objective)
    if figure is None:
        return "–"
    if figure.mean is None:
        total = len(record.runs) - len(record.failures)
        return f"missed by {figure.missed} of {total}"
    text = found.written(figure.mean)
    if figure.least is not None and figure.most is not None and figure.most > figure.least:
        spread = max(figure.most / figure.mean - 1, 1 - figure.least / figure.mean)
        if figure.mean > 0 and spread >= 0.0005 and name != "data_wait":
            text += f" ± {spread:.0%}" if spread >= 0.1 else f" ± {spread:.1%}"
    return text


def money(dollars: float) -> str:
    """``$12.34``, ``$0.0123``, or ``$0.000064``."""
    if dollars >= 1:
        return f"${dollars:,.2f}"
    return f"${dollars:.3g}" if dollars >= 1e-3 else f"${dollars:.6f}"


def in_words(count: int) -> str:
    """``4 connections``."""
    return f"{count} connection{'s' * (count > 1)}"


def connections(record: Record) -> list[int]:
    return [int(name.split("@")[1]) for name in record.summary if name.startswith(REQUESTS)]


def facts(records: Sequence[Record]) -> list[str]:
    """What has to be known to read the figures and to repeat them, each fact once."""
    found = [fact for record in records for fact in _facts(record)]
    return list(dict.fromkeys(found))


def _facts(record: Record) -> list[str]:
    known = record.environment
    told = [f"version {record.algorithm_version} of the algorithm, {record.distribution}"]
    told += [f"{channel}: SHA-256 {digest}" for channel, digest in sorted(record.data.items())]
    if not known:  # every run has failed
        return told
    place = "" if record.place is None else f"{record.place.instance_type}: "
    gpus = ", ".join(known.get("gpus") or ()) or "no GPU"
    count = known.get("threads", "?")
    threads = f"{count} thread{'s' * (count != 1)} an operator"
    packages = ", ".join(f"{n} {known[n]}" for n in ("python", "mxnet", "numpy") if n in known)
    return [
        f"{place}{known.get('processor', 'unknown processor')}, {known.get('cores', '?')} cores, "
        f"{threads}, {gpus}; {packages}",
        *told,
    ]


def rules(records: Sequence[Record]) -> str:
    runs = max(len(record.runs) for record in records)
    target = records[0].objective.target
    dropped = max((f.dropped for r in records for f in r.summary.values()), default=0)
    rule = (
        "of each figure the least and the greatest are dropped and the rest averaged"
        if dropped
        else "all are averaged: with fewer than five none is dropped"
    )
    seeds = f"{runs} times, with the seeds 1 to {runs}; {rule}" if runs > 1 else "once, with seed 1"
    text = (
        f"Each setting ran {seeds}. Each run had a process of its own. Throughput is that of the "
        "epochs after the first, without validation."
    )
    text += " ± is the farthest of all runs from the mean." if runs > 1 else ""
    if target is not None:
        text += (
            f" The target, {records[0].objective.metric} "
            f"{'≥' if records[0].objective.maximize else '≤'} {target:g}, was fixed beforehand; "
            "time to it is from the first step to the end of the validation that found it reached."
        )
    return text


def remarks(records: Sequence[Record]) -> list[str]:
    """Notes and failures of runs, each said once with how often."""
    counted: dict[str, int] = {}
    for record in records:
        for run in record.runs:
            for note in (*run.notes, *([f"failed: {run.failure}"] if run.failure else [])):
                text = f"{label(record)}: {note}"
                counted[text] = counted.get(text, 0) + 1
    return [f"{text} ({count} run{'s' * (count > 1)})" for text, count in counted.items()]


def best_of(records: Sequence[Record]) -> list[str]:
    """The fastest setting to the target, and where prices are known the cheapest, and all between
    that no other is both cheaper and faster than.
    """
    timed = [
        (record, figure.mean)
        for record in records
        for figure in [record.summary.get("seconds_to_target")]
        if figure is not None and figure.mean is not None
    ]
    told = []
    if len(timed) > 1:
        (record, seconds), (other, _) = sorted(timed, key=lambda pair: pair[1])[:2]
        _, low, high = ratio_of(record.values(TO_TARGET), other.values(TO_TARGET), CONFIDENCE)
        close = low is not None and high is not None and low <= 1 <= high
        doubt = f", too close to {label(other)} to tell" if close else ""
        told.append(f"Fastest to the target: {label(record)}, {seconds:,.4g} s{doubt}.")
    priced = [(r, r.dollars_to_target) for r, _ in timed if r.dollars_to_target is not None]
    if priced:
        record, dollars = min(priced, key=lambda pair: pair[1] or 0.0)
        told.append(f"Cheapest to the target: {label(record)}, {money(dollars or 0.0)}.")
    if len(priced) > 2:
        times = {id(record): seconds for record, seconds in timed}
        best = front([(dollars or 0.0, times[id(record)]) for record, dollars in priced])
        told.append(f"Pareto front: {'; '.join(label(priced[number][0]) for number in best)}.")
    return told


def groups(records: Sequence[Record]) -> list[tuple[str, list[Record], list[Record]]]:
    """Of each algorithm its trainings and its servings."""
    names = dict.fromkeys(record.algorithm for record in records)
    return [
        (
            name,
            [r for r in records if r.algorithm == name and r.kind == "training"],
            [r for r in records if r.algorithm == name and r.kind == "serving"],
        )
        for name in names
    ]


# Markdown


def markdown(records: Sequence[Record]) -> str:
    """The tables, and how they were measured."""
    parts = []
    for name, trained, served in groups(records):
        parts.append(f"# {name}")
        if trained:
            parts += [markdown_table(summary_table(trained)), *best_of(trained), rules(trained)]
        for record in served:
            parts += [
                f"## Serving on {record.devices}",
                f"Cold start, from the process to its first answer: "
                f"{cell(record, 'cold_start_seconds')}.",
                markdown_table(serving_table(record)),
            ]
        told = [*remarks([*trained, *served]), *facts([*trained, *served])]
        parts.append("\n".join(f"- {text}" for text in told))
        parts.append(f"```text\n{(trained + served)[0].command}\n```")
    return "\n\n".join(parts) + "\n"
