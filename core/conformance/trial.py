"""The short training that the conformance checks run, the same each time."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping

from ..algorithm.base import Algorithm
from ..algorithm.hyperparameters import Hyperparameters
from ..training import RunOptions, train
from ..training.reporting import Reporter
from ..training.stopping import Stop

SEED = 1
# About so many examples of each channel: several batches, and so several steps in an epoch.
EXAMPLES = 1024
# Two, so that what passes from one epoch to the next is seen.
EPOCHS = 2


class StopAt(Stop):
    """Asks the run to end when it decides for the ``at``-th time, from 0; None: never."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.decisions = 0

    @property
    def signal(self) -> int | None:  # type: ignore[override]
        self.decisions += 1
        due = self.at is not None and self.decisions > self.at
        return int(signal.SIGTERM) if due else None


class Recorder(Reporter):
    """Keeps the names of the metrics that it is told."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.names.update(values)


@dataclass
class Trial:
    """Trains ``algorithm`` on ``channels``; ``heard`` and ``decisions`` are of the last time."""

    algorithm: Algorithm[Any]
    channels: Mapping[str, Path]
    heard: set[str] = field(default_factory=set)
    decisions: int = 0

    def __call__(self, output: Path, *, stop: StopAt | None = None, **options: Any) -> Path:
        """Train, on one device unless ``options`` (of RunOptions) say otherwise."""
        recorder, stop = Recorder(), stop or StopAt()
        try:
            train(
                self.algorithm,
                self.channels,
                settings(type(self.algorithm), self.channels),
                output,
                seed=SEED,
                options=RunOptions(**{"devices": "cpu", "examples": EXAMPLES, **options}),
                reporter=recorder,
                stop=stop,
            )
        finally:
            self.heard, self.decisions = recorder.names, stop.decisions
        return output


def settings(
    cls: type[Algorithm[Any]], channels: Mapping[str, Path] = MappingProxyType({})
) -> Hyperparameters:
    """The hyperparameters of a trial: the class's ``check_hyperparameters``, few epochs, and what
    ``channels`` imply.
    """
    fields = cls.Hyperparameters.model_fields
    few = {"epochs": EPOCHS} if "epochs" in fields else {}
    implied = cls().implied(channels)
    return cls.Hyperparameters.parse({**few, **cls.check_hyperparameters, **implied})
