"""Progress and metrics of a run: one stream of events for any number of reporters."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Callable, Iterable, Mapping, TextIO

from ..runtime.errors import OutputError

SILENCE = 10.0  # seconds without a line in a log, after which progress is told
# Figures of the machine, which say nothing of the model.
MEASURED = ("train:throughput", "train:data_wait", "train:peak_memory_mb")
SILENT_PART = 0.02  # the same, as a part of the time that the training has taken so far


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


class _Forwarding(Reporter):
    """Hands every event to ``_tell``, which knows to whom."""

    def _tell(self, event: Callable[[Reporter], None]) -> None:
        raise NotImplementedError

    def message(self, text: str) -> None:
        self._tell(lambda listener: listener.message(text))

    def begin(self, steps: int) -> None:
        self._tell(lambda listener: listener.begin(steps))

    def step(self, step: int) -> None:
        self._tell(lambda listener: listener.step(step))

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self._tell(lambda listener: listener.metrics(values, epoch=epoch, step=step))

    def end(self) -> None:
        self._tell(lambda listener: listener.end())


class Reporters(_Forwarding):
    """Hands every event on to each of ``listeners``."""

    def __init__(self, listeners: Iterable[Reporter]) -> None:
        self.listeners = list(listeners)

    def _tell(self, event: Callable[[Reporter], None]) -> None:
        for listener in self.listeners:
            event(listener)


class Guarded(_Forwarding):
    """A stranger's listener: when it raises it is dropped, and ``complain`` is told why."""

    def __init__(self, listener: Reporter, name: str, complain: Callable[[str], None]) -> None:
        self.listener: Reporter | None = listener
        self.name = name
        self.complain = complain

    def _tell(self, event: Callable[[Reporter], None]) -> None:
        if self.listener is None:
            return
        try:
            event(self.listener)
        except Exception as error:
            self.listener = None
            self.complain(f"warning: {self.name} is dropped: {type(error).__name__}: {error}")


class JsonLinesReporter(Reporter):
    """``metrics.jsonl``: an object a line, ``{"epoch": 1, "step": 540, "train:loss": 0.03, …}``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        there = next(each for each in (path, *path.absolute().parents) if each.exists())
        if there.is_dir() == (there == path) or not os.access(there, os.W_OK):
            raise OutputError(f"{path}: cannot be written")

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        line = json.dumps({"epoch": epoch, "step": step, **values}, allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            print(line, file=stream)


class LogReporter(Reporter):
    """Plain lines, one an event, each written at once: for logs and pipes.

    Where nothing else was to be said for a while, a line tells how many of the ``unit`` are done;
    the longer a training lasts, the fewer of these.
    """

    def __init__(
        self,
        stream: TextIO = sys.stderr,
        unit: str = "steps",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self.unit = unit
        self.clock = clock
        self.steps = 0
        self.began = self.spoke = clock()

    def message(self, text: str) -> None:
        print(text, file=self.stream, flush=True)
        self.spoke = self.clock()

    def begin(self, steps: int) -> None:
        self.steps = steps
        self.began = self.clock()

    def step(self, step: int) -> None:
        now = self.clock()
        if self.steps and now - self.spoke >= max(SILENCE, (now - self.began) * SILENT_PART):
            done = f"{step:,} of {self.steps:,} {self.unit}"
            self.message(f"{done}, {step / self.steps:.0%}, after {now - self.began:.0f} s")

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.message(metrics_line(values, epoch=epoch, step=step))


def peak_memory_mb() -> float:
    """The most memory that this process has held, in MiB; ru_maxrss begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def metrics_line(values: Mapping[str, float], *, epoch: int, step: int) -> str:
    """``epoch=3 step=1266 train:loss=0.0312 validation:accuracy=0.9921``."""
    figures: dict[str, str] = {"epoch": str(epoch), "step": str(step)}
    figures.update((name, f"{value:.6g}") for name, value in values.items())
    return " ".join(f"{name}={value}" for name, value in figures.items())


def metric_definitions(names: Iterable[str]) -> list[dict[str, str]]:
    """SageMaker's metric definitions: a regular expression for each metric in a log line."""
    return [{"Name": name, "Regex": f"(?:^| ){re.escape(name)}=(\\S+)"} for name in names]
