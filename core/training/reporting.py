"""What a run says while it goes on: one stream of events, any number of listeners."""

from __future__ import annotations

import sys
from typing import Mapping, Sequence, TextIO


class Reporter:
    """A listener; override what it cares for."""

    def message(self, text: str) -> None:
        """A sentence for people."""

    def begin(self, steps: int) -> None:
        """Training starts, and is going to take ``steps`` steps."""

    def step(self, step: int) -> None:
        """``step`` steps are done; called often."""

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        """Metrics by their full names (``train:loss``), after so many epochs and steps."""

    def end(self) -> None:
        """Training is over, well or not."""


class Reporters(Reporter):
    """Hands every event on to each of ``listeners``."""

    def __init__(self, listeners: Sequence[Reporter]) -> None:
        self.listeners = listeners

    def message(self, text: str) -> None:
        for listener in self.listeners:
            listener.message(text)

    def begin(self, steps: int) -> None:
        for listener in self.listeners:
            listener.begin(steps)

    def step(self, step: int) -> None:
        for listener in self.listeners:
            listener.step(step)

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        for listener in self.listeners:
            listener.metrics(values, epoch=epoch, step=step)

    def end(self) -> None:
        for listener in self.listeners:
            listener.end()


class LogReporter(Reporter):
    """Plain lines, one an event, each written at once: for logs and pipes."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self.stream = stream

    def message(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.message(metrics_line(values, epoch=epoch, step=step))


def metrics_line(values: Mapping[str, float], *, epoch: int, step: int) -> str:
    """``epoch=3 step=1266 train:loss=0.0312 validation:accuracy=0.9921``."""
    figures: dict[str, str] = {"epoch": str(epoch), "step": str(step)}
    figures.update((name, f"{value:.6g}") for name, value in values.items())
    return " ".join(f"{name}={value}" for name, value in figures.items())
