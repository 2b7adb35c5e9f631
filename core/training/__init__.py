"""training: the training loop, its devices and hosts, checkpoints, and what it reports.

May import algorithm, artifact, data and runtime; never serving, container, or an algorithm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime import lazy

if TYPE_CHECKING:
    from ..data.dataset import ArrayDataset, Dataset
    from ..runtime.durations import parse_duration
    from . import loop, starting, together
    from .options import RunOptions, parse_seed, parse_threads
    from .reporting import LogReporter, Reporter
    from .run import Run
    from .trainer import train

__all__ = [
    "ArrayDataset",
    "Dataset",
    "LogReporter",
    "Reporter",
    "Run",
    "RunOptions",
    "loop",
    "parse_duration",
    "parse_seed",
    "parse_threads",
    "starting",
    "together",
    "train",
]

lazy.offer(
    __name__,
    {
        ".data.dataset": "ArrayDataset Dataset",
        "loop": "loop=",
        ".runtime.durations": "parse_duration",
        "options": "RunOptions parse_seed parse_threads",
        "reporting": "LogReporter Reporter",
        "run": "Run",
        "starting": "starting=",
        "together": "together=",
        "trainer": "train",
    },
)
