"""The process of one measured run: reads what to do on stdin, leaves its answer in a file."""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, Mapping

from ..algorithm import Algorithm
from ..errors import AlgoshelfError, InputError
from ..training import RunOptions, train
from ..training.devices import parse_devices
from ..training.reporting import LogReporter, Reporter, Reporters, peak_memory_mb
from .machine import environment
from .records import TO_TARGET, Objective, Point, Run

THROUGHPUT, DATA_WAIT = "train:throughput", "train:data_wait"
# A curve is thinned to so many points; k-means tells hundreds of thousands.
MOST_POINTS = 400
LOG_SECONDS = 2.0


class Clock(Reporter):
    """Notes when each epoch was told. Time 0 is the first step; before is the setting up."""

    def __init__(self) -> None:
        self.zero = time.monotonic()
        self.points: list[Point] = []

    def begin(self, steps: int) -> None:
        self.zero = time.monotonic()

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        seconds = time.monotonic() - self.zero
        self.points.append(Point(seconds=seconds, epoch=epoch, step=step, metrics=dict(values)))


class Log(LogReporter):
    """Lines of metrics, but one in LOG_SECONDS at most: a pass of k-means may last 1 ms."""

    said = -math.inf

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        if time.monotonic() - self.said >= LOG_SECONDS:
            self.said = time.monotonic()
            super().metrics(values, epoch=epoch, step=step)


def main() -> None:
    job = json.load(sys.stdin)
    try:
        answer = _measured(job)
    except InputError as error:
        answer = {"faults": error.faults}
    except AlgoshelfError as error:
        answer = {"failure": str(error)}
    except Exception as error:  # the author's code may raise anything
        answer = {"failure": f"{type(error).__name__}: {error}"}
    Path(job["answer"]).write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")


def _measured(job: Mapping[str, Any]) -> dict[str, Any]:
    algorithm: Algorithm[Any] = getattr(importlib.import_module(job["module"]), job["class"])()
    clock = Clock()
    options = RunOptions(devices=job["devices"], target_metric=job["target"])
    artifact, final = train(
        algorithm,
        {name: Path(path) for name, path in job["channels"].items()},
        algorithm.Hyperparameters.parse(job["hyperparameters"]),
        Path(job["model"]),
        seed=job["seed"],
        options=options,
        reporter=Reporters([clock, Log(sys.stderr)]),
        distribution=job["distribution"],
    )
    assert artifact is not None  # there is one host
    objective = Objective(
        metric=algorithm.objective.metric,
        maximize=algorithm.objective.maximize,
        target=job["target"],
    )
    figures, notes = figures_of(clock.points, objective, final)
    figures["setup_seconds"] = clock.zero - job["started"]
    figures["peak_memory_mb"] = peak_memory_mb()
    run = Run(
        seed=job["seed"],
        figures=figures,
        metrics=final,
        curve=_thinned(clock.points),
        notes=notes,
    )
    facts = {
        "contexts": [str(device) for device in parse_devices(job["devices"])],
        "data": artifact.metadata.data,
        "environment": environment(),
    }
    return {"run": run.model_dump(mode="json"), "facts": facts}


def figures_of(
    points: list[Point], objective: Objective, final: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """The figures of a run that told ``points``, and what has to be known of them.

    The throughput is that of all epochs after the first, in which graphs are planned and kernels
    chosen: all their examples by all their time. The time of the target is when it was told.
    """
    figures: dict[str, float] = {}
    notes: list[str] = []
    epochs = [point.metrics for point in points if point.metrics.get(THROUGHPUT, 0) > 0]
    if len(epochs) == 1:
        notes.append("one epoch alone: its throughput includes the warm-up")
    steady = epochs[1:] or epochs
    if steady:  # epochs are alike, so that the time of one is as 1 / throughput
        times = [1 / epoch[THROUGHPUT] for epoch in steady]
        figures["throughput"] = len(steady) / math.fsum(times)
        waits = [epoch.get(DATA_WAIT) for epoch in steady]
        if all(wait is not None for wait in waits):
            waited = math.fsum(wait * time for wait, time in zip(waits, times) if wait)
            figures["data_wait"] = waited / math.fsum(times)
    if objective.metric in final:
        figures["final"] = final[objective.metric]
    for point in points:
        if objective.is_reached_by(point.metrics.get(objective.metric)):
            figures[TO_TARGET] = point.seconds
            break
    return figures, notes


def _thinned(points: list[Point]) -> list[Point]:
    every = -(-len(points) // MOST_POINTS)
    return [p for i, p in enumerate(points) if i % every == 0 or i == len(points) - 1]


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # what mxnet leaves to its exit handlers is of no use any more
