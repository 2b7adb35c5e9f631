"""Figures that say how good a model is, each with how sure one may be of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Sequence

import numpy as np

from .types import Array


@dataclass(frozen=True)
class ClassFigures:
    """How one class fares: ``support`` is its number of examples."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class GroupFigures:
    """How one group of examples that a model has found fares: its size and its mean square."""

    name: str
    size: int
    msd: float


@dataclass(frozen=True)
class Scatter:
    """Examples in a plane: ``points`` (N, 2), the group of each (N,), and ``centres`` (G, 2)."""

    points: Array
    groups: Array
    centres: Array
    axes: tuple[str, str]


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` returns: ``metrics`` by name, and what lies behind them.

    ``intervals`` holds 95 % confidence intervals of the metrics that have one. A classifier has
    ``classes`` and ``confusion`` (C, C): row = the true class, column = the predicted one; what
    finds groups by itself has ``groups`` and ``scatter``.
    """

    examples: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    classes: tuple[ClassFigures, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    groups: tuple[GroupFigures, ...] = ()
    scatter: Scatter | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the scatter, which is for pictures."""
        plain = asdict(replace(self, scatter=None))
        del plain["scatter"]
        return plain


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % confidence interval of a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA
    22 (1927): unlike the textbook's normal interval it holds near 0 and 1, where good models are.
    """
    if trials == 0:
        return 0.0, 1.0
    p = successes / trials
    scale = 1 + z * z / trials
    middle = p + z * z / (2 * trials)
    spread = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def evaluate_classes(probabilities: Array, labels: Array, classes: Sequence[str]) -> Evaluation:
    """Accuracy, mean cross-entropy and the figures of each class.

    ``probabilities`` is (N, C) float32, ``labels`` (N,) integers in [0, C).
    """
    count = len(classes)
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * count + predicted, minlength=count * count).reshape(
        count, count
    )
    hits = np.diag(confusion)
    support, guesses = confusion.sum(axis=1), confusion.sum(axis=0)
    correct, total = int(hits.sum()), len(labels)
    likelihood = probabilities[np.arange(total), labels].astype(np.float64)
    return Evaluation(
        examples=total,
        metrics={
            "accuracy": correct / total,
            "cross_entropy": float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
        },
        intervals={"accuracy": wilson_interval(correct, total)},
        classes=tuple(
            ClassFigures(
                name=name,
                precision=_ratio(hits[i], guesses[i]),
                recall=_ratio(hits[i], support[i]),
                f1=_ratio(2 * hits[i], guesses[i] + support[i]),
                support=int(support[i]),
            )
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else 0.0
