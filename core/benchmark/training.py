"""Measure trainings, each run in a process of its own, with a clean state and its own memory."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from ..algorithm.base import Algorithm
from ..algorithm.hyperparameters import Hyperparameters
from ..data.reading import Reading
from ..runtime.children import ask, name_of
from ..runtime.errors import InputError, TrainingError
from .records import Objective, Place, Record, Run

CHILD = "algoshelf.core.benchmark.child"


@dataclass(frozen=True)
class Setting:
    """What is measured: an algorithm on ``channels`` (name to path) and ``devices`` (FORMS).

    ``target`` is the value of its objective that ends a run, and the clock; ``reading`` what is
    decided of tables and texts.
    """

    algorithm: Algorithm[Any]
    channels: Mapping[str, Path]
    hyperparameters: Hyperparameters
    devices: str = "auto"
    target: float | None = None
    distribution: str = ""
    reading: Reading = field(default_factory=Reading)

    @property
    def batch_size(self) -> int | None:
        """Of the whole job; None where the algorithm knows no batches."""
        size: int | None = self.hyperparameters.model_dump().get("batch_size")
        return size

    @property
    def objective(self) -> Objective:
        """The algorithm's, with the target."""
        found = self.algorithm.objective
        return Objective(metric=found.metric, maximize=found.maximize, target=self.target)


@dataclass(frozen=True)
class Outcome:
    """A run, and what its process found out: its contexts, the data, the environment."""

    run: Run
    facts: Mapping[str, Any]


def measure(
    setting: Setting, seeds: Iterable[int], command: str, place: Place | None = None
) -> Record:
    """One run a seed, in turn. ``command`` is noted as what repeats it."""
    return record_of(setting, [run_once(setting, seed) for seed in seeds], command, place)


def run_once(setting: Setting, seed: int, model: Path | None = None) -> Outcome:
    """Train once in a new process, and leave the artifact at ``model`` if that is given.

    What the training says goes to stderr. A training that fails is an outcome as well; raises
    InputError where what it was given is wrong, which no repetition mends.
    """
    with tempfile.TemporaryDirectory(prefix="measuring-") as scratch:
        started = time.monotonic()
        order = {
            "algorithm": name_of(type(setting.algorithm)),
            "channels": {name: str(path) for name, path in setting.channels.items()},
            "hyperparameters": setting.hyperparameters.model_dump(mode="json"),
            "devices": setting.devices,
            "target": setting.target,
            "distribution": setting.distribution,
            "reading": setting.reading.written(),
            "seed": seed,
            "model": str(model or Path(scratch, "model")),
            "started": started,  # the same clock in all processes
        }
        done = ask(["-m", CHILD], order)
        seconds = time.monotonic() - started
    found = done.answer or {}
    if "faults" in found:
        raise InputError(*found["faults"])
    if "run" not in found:
        reason = found.get("failure") or _ending(done.code)
        return Outcome(Run(seed=seed, failure=reason.replace(scratch, "(scratch)")), {})
    run = Run.model_validate(found["run"])
    figures = {**run.figures, "process_seconds": seconds}
    return Outcome(run.model_copy(update={"figures": figures}), found["facts"])


def record_of(
    setting: Setting, outcomes: Sequence[Outcome], command: str, place: Place | None = None
) -> Record:
    """The record of the ``outcomes`` of one setting. Raises TrainingError if data changed."""
    algorithm = setting.algorithm
    facts = next((outcome.facts for outcome in outcomes if outcome.facts), {})
    digests = [outcome.facts["data"] for outcome in outcomes if outcome.facts]
    if any(digest != digests[0] for digest in digests):
        raise TrainingError("the data changed between two runs: they cannot be compared")
    return Record(
        kind="training",
        command=command,
        algorithm=algorithm.name,
        algorithm_version=algorithm.version,
        distribution=setting.distribution,
        devices=setting.devices,
        batch_size=setting.batch_size,
        hyperparameters=setting.hyperparameters.model_dump(mode="json"),
        objective=setting.objective,
        place=place,
        runs=[outcome.run for outcome in outcomes],
        **facts,
    )


def _ending(code: int) -> str:
    if code < 0:
        return f"the process was killed by signal {-code}"
    return f"the process ended with exit code {code}, without a message"
