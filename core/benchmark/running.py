"""One measured run, in this process."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Mapping

from ..runtime.devices import parse_devices
from ..training import RunOptions, train
from ..training.reporting import LogReporter, Reporter, Reporters, peak_memory_mb
from .machine import environment
from .records import TO_TARGET, WARM_UP, Objective, Point, Run
from .training import Outcome, Setting

THROUGHPUT, DATA_WAIT = "train:throughput", "train:data_wait"
# A curve is thinned to so many points; k-means tells hundreds of thousands.
MAX_POINTS = 400
LOG_SECONDS = 2.0


def measured(setting: Setting, seed: int, started: float, model: Path) -> Outcome | None:
    """Train once, in this process, which began at ``started`` of time.monotonic.

    None on a host that is not the chief. Raises what the training raises.
    """
    clock = Clock()
    artifact, final = train(
        setting.algorithm,
        setting.channels,
        setting.hyperparameters,
        model,
        seed=seed,
        options=RunOptions(
            devices=setting.devices, target_metric=setting.target, reading=setting.reading
        ),
        reporter=Reporters([clock, Log(sys.stderr)]),
        distribution=setting.distribution,
    )
    if artifact is None:
        return None
    figures, notes = figures_of(clock.points, setting.objective, final)
    figures["setup_seconds"] = clock.zero - started
    figures["peak_memory_mb"] = peak_memory_mb()
    figures["process_seconds"] = time.monotonic() - started
    run = Run(seed=seed, figures=figures, metrics=final, curve=_thinned(clock.points), notes=notes)
    facts = {
        "contexts": [str(device) for device in parse_devices(setting.devices)],
        "data": artifact.metadata.data,
        "environment": environment(),
    }
    return Outcome(run, facts)


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
        notes.append(WARM_UP)
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
    every = -(-len(points) // MAX_POINTS)
    return [p for i, p in enumerate(points) if i % every == 0 or i == len(points) - 1]
