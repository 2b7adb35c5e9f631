"""The plan of a tuning: what the command line says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Sequence

from ...core.algorithm.search_space import Range
from ...core.data.reading import Reading
from ..discovery import Entry


@dataclass(frozen=True)
class Plan:
    """What is to be tuned, and how far. ``fixed`` are hyperparameters that every trial has."""

    entry: Entry
    channels: Mapping[str, Path]
    fixed: Mapping[str, Any]
    ranges: Sequence[Range]
    seed: int
    trials: int
    repeats: int
    parallel: int
    max_runtime: float | None
    reading: Reading = field(default_factory=Reading)
