"""A record: the measurements of one setting, one line of ``results.jsonl`` (docs/benchmark.md).

The rules are those of MLPerf (P. Mattson et al., "MLPerf training benchmark", MLSys 2020): the
quality is fixed beforehand, each run has its own seed, and of enough runs the fastest and the
slowest are dropped before the rest is averaged.
"""
# pydantic evaluates annotations, and Python 3.8 knows no list[str] or X | None
# ruff: noqa: UP006, UP045

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional

from pydantic import BaseModel, ConfigDict, Field, computed_field
from typing_extensions import Annotated, Literal

SCHEMA_VERSION = 1
ENOUGH_TO_DROP = 5
TO_TARGET, THROUGHPUT = "seconds_to_target", "throughput"
WARM_UP = "one epoch alone: its throughput includes the warm-up"  # a note of a run
MOST = 1e150  # a figure above is a mistake, and sums and squares of such ones are not numbers


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="ignore", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class Objective(_Part):
    """The objective metric, and the target value that ends the measurement."""

    metric: str
    maximize: bool
    target: Optional[float] = None

    def is_reached_by(self, value: Optional[float]) -> bool:
        """Whether ``value`` is at the target or better."""
        if value is None or self.target is None:
            return False
        return value >= self.target if self.maximize else value <= self.target


class Place(_Part):
    """Where a remote run was measured: instances of one type, and their price."""

    instance_type: str
    instances: int = Field(default=1, ge=1)
    dollars_an_hour: Optional[float] = Field(default=None, ge=0, description="of one instance")


class Point(_Part):
    """Metrics as they were told, ``seconds`` after the training began its first step."""

    seconds: float
    epoch: int
    step: int
    metrics: Dict[str, float]


class Run(_Part):
    """One run in a process of its own; ``figures`` are empty where there is a ``failure``."""

    seed: int
    figures: Dict[str, Annotated[float, Field(ge=-MOST, le=MOST)]] = Field(default_factory=dict)
    metrics: Dict[str, float] = Field(default_factory=dict, description="the last of each")
    curve: List[Point] = Field(default_factory=list)
    notes: List[str] = Field(default_factory=list)
    failure: Optional[str] = None


class Figure(_Part):
    """A figure over the runs of a setting; ``mean`` is None where too many runs missed it."""

    mean: Optional[float]
    least: Optional[float]
    most: Optional[float]
    averaged: int
    dropped: int
    missed: int = 0


class Record(_Part):
    """All runs of one setting, and what is needed to repeat them.

    ``batch_size`` is that of the whole job; ``data`` maps channels to the SHA-256 of their
    examples. It holds no name of a host, and no path but those of ``command``.
    """

    schema_version: Literal[1] = 1
    kind: Literal["training", "serving"]
    command: str
    algorithm: str
    algorithm_version: str
    distribution: str = ""
    devices: str
    contexts: List[str] = Field(default_factory=list, description="mxnet's, that devices means")
    batch_size: Optional[int] = None
    hyperparameters: Dict[str, Any] = Field(default_factory=dict)
    objective: Objective
    data: Dict[str, str] = Field(default_factory=dict)
    environment: Dict[str, Any] = Field(default_factory=dict)
    place: Optional[Place] = None
    runs: List[Run] = Field(min_length=1)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> Dict[str, Figure]:
        """Each figure over the runs that did not fail, by its name."""
        runs = [run.figures for run in self.runs if run.failure is None]
        names = list(dict.fromkeys(name for figures in runs for name in figures))
        if runs and self.kind == "training" and self.objective.target is not None:
            names = list(dict.fromkeys([*names, TO_TARGET]))
        return {
            name: _summarized(
                [figures.get(name) for figures in runs]
                if name != THROUGHPUT
                else [*self.values(name)]
            )
            for name in names
        }

    def values(self, name: str) -> List[float]:
        """The figure ``name`` of each run that has it.

        Of throughputs those of warm-ups count only where there are no others.
        """
        runs = [run for run in self.runs if name in run.figures]
        if name == THROUGHPUT:
            runs = [run for run in runs if WARM_UP not in run.notes] or runs
        return [run.figures[name] for run in runs]

    @property
    def device_count(self) -> int:
        """Of all instances."""
        return max(1, len(self.contexts)) * (self.place.instances if self.place else 1)

    @property
    def on_gpus(self) -> bool:
        return any(context.startswith("gpu") for context in self.contexts)

    @property
    def failures(self) -> List[str]:
        return [run.failure for run in self.runs if run.failure is not None]

    @property
    def dollars_to_target(self) -> Optional[float]:
        """What setting up and training up to the target costs on average, where it is known."""
        found = self.summary.get(TO_TARGET)
        setup = self.summary.get("setup_seconds")
        place = self.place
        if place is None or place.dollars_an_hour is None or found is None or found.mean is None:
            return None
        seconds = found.mean + (setup.mean or 0.0 if setup else 0.0)
        return place.instances * place.dollars_an_hour * seconds / 3600


def _summarized(values: List[Optional[float]]) -> Figure:
    """The mean without the least and the greatest, where ENOUGH_TO_DROP; a missing one is worst."""
    found = [value for value in values if value is not None]
    missed = len(values) - len(found)
    ordered = sorted(math.inf if value is None else value for value in values)
    dropped = 2 if len(ordered) >= ENOUGH_TO_DROP else 0
    kept = ordered[1:-1] if dropped else ordered
    mean = math.fsum(kept) / len(kept)
    return Figure(
        mean=mean if math.isfinite(mean) else None,
        least=min(found, default=None),
        most=max(found, default=None),
        averaged=len(kept),
        dropped=dropped,
        missed=missed,
    )
