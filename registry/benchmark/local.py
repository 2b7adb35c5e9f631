"""Measure settings on this machine, in rounds, so that a drift affects all of them alike."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Sequence

from ...core.benchmark import Outcome, Record, Setting, record_of, run_once
from .figures import meaning


def measure_here(
    settings: Sequence[Setting],
    repeats: int,
    command: str,
    *,
    tell: Callable[[str], None],
    keep: Callable[[Sequence[Record]], None],
    model: Path | None = None,
) -> list[Record]:
    """A record a setting, of ``repeats`` runs with the seeds 1 to ``repeats``.

    ``keep`` is given all records after each run, so that an interruption loses one run at most.
    The model of the first setting is left at ``model``, by its first run that does not fail.
    """
    outcomes: list[list[Outcome]] = [[] for _ in settings]
    records: list[Record] = []
    for seed in range(1, repeats + 1):
        for i, setting in enumerate(settings):
            number = (seed - 1) * len(settings) + i + 1
            batch = f", batch {setting.batch_size}" if setting.batch_size else ""
            tell(
                f"run {number} of {repeats * len(settings)}: {setting.algorithm.name} on "
                f"{setting.devices}{batch}, seed {seed}"
            )
            wanted = i == 0 and model is not None and not model.exists()
            outcome = run_once(setting, seed, model if wanted else None)
            outcomes[i].append(outcome)
            records = [record_of(s, o, command) for s, o in zip(settings, outcomes) if o]
            keep(records)
            tell(_said(records[i], outcome))
    return records


def _said(record: Record, outcome: Outcome) -> str:
    run = outcome.run
    if run.failure is not None:
        return f"  failed: {run.failure}"
    shown = [(name, meaning(name, record.objective)) for name in run.figures]
    return "  " + ", ".join(f"{m.title} {m.written(run.figures[name])}" for name, m in shown)
