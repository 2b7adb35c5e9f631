"""Metrics of a classification: accuracy with its confidence interval, F1 per class, confusions."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from ..algorithm.evaluation import ClassFigures, Confused, Evaluation
from ..runtime.types import Array

# So many classes have their confusions in a matrix: more can neither be read nor drawn. Of more,
# so many pairs are told that were confused the most.
MAX_IN_MATRIX = 100
MAX_PAIRS = 100


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
    count, total = len(classes), len(labels)
    predicted = probabilities.argmax(axis=1)
    right = predicted == labels
    hits = np.bincount(labels[right], minlength=count)
    support = np.bincount(labels, minlength=count)
    guesses = np.bincount(predicted, minlength=count)
    correct = int(right.sum())
    likelihood = probabilities[np.arange(total), labels].astype(np.float64)
    columns = (
        _ratios(hits, guesses),
        _ratios(hits, support),
        _ratios(2 * hits, guesses + support),
        support.tolist(),
    )
    few = count <= MAX_IN_MATRIX
    return Evaluation(
        examples=total,
        metrics={
            "accuracy": correct / total,
            "cross_entropy": float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
        },
        intervals={"accuracy": wilson_interval(correct, total)},
        classes=tuple(ClassFigures(*row) for row in zip(classes, *columns)),
        confusion=_matrix(labels, predicted, count) if few else None,
        confused=() if few else _pairs(labels[~right], predicted[~right], classes),
    )


def _matrix(labels: Array, predicted: Array, count: int) -> tuple[tuple[int, ...], ...]:
    flat = np.bincount(labels * count + predicted, minlength=count * count)
    return tuple(map(tuple, flat.reshape(count, count).tolist()))


def _pairs(true: Array, predicted: Array, classes: Sequence[str]) -> tuple[Confused, ...]:
    """The most frequent pairs of a ``true`` and another ``predicted`` class, each (N,)."""
    places = true.astype(np.int64) * len(classes) + predicted
    pairs, counts = np.unique(places, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MAX_PAIRS]
    return tuple(
        Confused(classes[pair // len(classes)], classes[pair % len(classes)], number)
        for pair, number in zip(pairs[most].tolist(), counts[most].tolist())
    )


def _ratios(parts: Array, wholes: Array) -> list[float]:
    """Each part by its whole; 0 where that is nothing."""
    ratios: list[float] = (parts / np.maximum(wholes, 1)).tolist()
    return ratios
