"""The figures of a record: their names, units, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.benchmark import Objective, Record

FINAL = "final"


@dataclass(frozen=True)
class Meaning:
    """``higher``: whether more is better; ``compared``: whether a change of it is judged."""

    title: str
    unit: str = ""
    higher: bool = False
    compared: bool = True
    form: str = "{:,.4g}"

    def written(self, value: float | None) -> str:
        return "–" if value is None else self.form.format(value) + self.unit


FIGURES = {
    "throughput": Meaning("throughput", " examples/s", higher=True, form="{:,.0f}"),
    "seconds_to_target": Meaning("time to target", " s"),
    FINAL: Meaning("final metric", form="{:.5g}"),
    "data_wait": Meaning("waiting for data", compared=False, form="{:.1%}"),
    "peak_memory_mb": Meaning("peak memory", " MiB", form="{:,.0f}"),
    "setup_seconds": Meaning("setting up", " s", compared=False),
    "process_seconds": Meaning("whole process", " s", compared=False),
    "cold_start_seconds": Meaning("cold start", " s"),
    "requests_per_second": Meaning("requests", "/s", higher=True, form="{:,.0f}"),
    "p50_ms": Meaning("p50", " ms"),
    "p90_ms": Meaning("p90", " ms"),
    "p99_ms": Meaning("p99", " ms"),
    "failed_requests": Meaning("failed requests", compared=False, form="{:,.0f}"),
}


def meaning(name: str, objective: Objective) -> Meaning:
    """Of the figure ``name``; ``p50_ms@4`` is the one with four connections."""
    base, _, connections = name.partition("@")
    found = FIGURES.get(base, Meaning(base, compared=False))
    title, higher = found.title, found.higher
    if base == FINAL:
        title, higher = objective.metric, objective.maximize
    if connections:
        title += f" at {connections} connection{'s' * (connections != '1')}"
    return Meaning(title, found.unit, higher, found.compared, found.form)


def label(record: Record) -> str:
    """The setting of ``record`` in a few words: ``2 × ml.g4dn.xlarge, gpu, batch 128``."""
    parts = []
    if record.place is not None:
        several = f"{record.place.instances} × " if record.place.instances > 1 else ""
        parts.append(several + record.place.instance_type)
    found = ", ".join(record.contexts) if record.devices == "auto" else ""
    parts.append(found or record.devices)
    if record.batch_size:
        parts.append(f"batch {record.batch_size}")
    return ", ".join(parts)
