"""A measurement as a SageMaker training job: its hyperparameter, and the record that it writes.

A job of one host has as many runs as it has seeds, each in a process of its own. The hosts of one
that has several are one run: MXNet's scheduler serves the training that it was started for.
"""
# pydantic evaluates annotations, and Python 3.8 knows no list[str] or X | None
# ruff: noqa: UP006, UP045

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..algorithm.base import Algorithm
from ..algorithm.hyperparameters import Hyperparameters
from ..data.reading import Reading
from ..runtime import opt_ml as container
from ..runtime.errors import InputError
from ..runtime.staging import write_whole
from ..training.cluster import is_worker
from .machine import process_started
from .running import measured
from .training import Outcome, Setting, record_of, run_once

RECORD = "results.jsonl"  # in /opt/ml/output/data
MAX_SEEDS = 100


class Task(BaseModel):
    """What the job's hyperparameter ``benchmark`` holds, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    seeds: List[int] = Field(min_length=1, max_length=MAX_SEEDS)
    target: Optional[float] = None

    @classmethod
    def parse(cls, text: str) -> Task:
        """Raises ValueError, which says what is wrong."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors()[0]
            where = "".join(f"{part}: " for part in fault["loc"])
            raise ValueError(f"{where}{fault['msg']}, in {text[:200]!r}") from None


def measure_job(
    algorithm: Algorithm[Any],
    channels: Mapping[str, Path],
    hyperparameters: Hyperparameters,
    task: Task,
    model: Path,
    distribution: str,
    reading: Reading,
) -> None:
    """Run ``task`` in a training job and write its record, first after the first run.

    Raises InputError where what it was given is wrong. Of several hosts each does this, and the
    chief alone leaves the record; what a training raises is raised there.
    """
    setting = Setting(
        algorithm,
        channels,
        hyperparameters,
        target=task.target,
        distribution=distribution,
        reading=reading,
    )
    if not is_worker():
        outcomes: list[Outcome] = []
        for seed in task.seeds:
            outcomes.append(run_once(setting, seed))
            _leave(setting, outcomes)
        return
    if len(task.seeds) > 1:
        raise InputError(f"benchmark: with several hosts, expected one seed, got {task.seeds}")
    outcome = measured(setting, task.seeds[0], process_started(), model)
    if outcome is not None:
        _leave(setting, [outcome])


def _leave(setting: Setting, outcomes: Sequence[Outcome]) -> None:
    """Replace the record, whole."""
    path = container.base() / "output" / "data" / RECORD
    record = record_of(setting, outcomes, command=f"{setting.algorithm.name} in a training job")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, f"{record.model_dump_json()}\n".encode())
