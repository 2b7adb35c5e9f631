"""Metrics of a classification: accuracy with its confidence interval, F1 per class, confusions."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..algorithm.evaluation import ClassFigures, Confused, Evaluation
from ..runtime.types import Array
from .intervals import wilson_interval

# So many classes have their confusions in a matrix: more can neither be read nor drawn. Of more,
# so many pairs are told that were confused the most.
MAX_IN_MATRIX = 100
MAX_PAIRS = 100


def evaluate_classes(
    probabilities: Array, labels: Array, classes: Sequence[str], predicted: Array | None = None
) -> Evaluation:
    """Accuracy, mean cross-entropy and the figures of each class.

    ``probabilities`` is (N, C) float32, ``labels`` (N,) integers in [0, C), and ``predicted`` (N,)
    what each example is taken for: without it, the likeliest class.
    """
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    return evaluate_predicted(predicted, likelihoods(probabilities, labels), labels, classes)


def likelihoods(probabilities: Array, labels: Array) -> Array:
    """The probabilities (N,) float64 of the true classes, among those of all (N, C)."""
    found: Array = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return found


def evaluate_predicted(
    predicted: Array, likelihood: Array, labels: Array, classes: Sequence[str]
) -> Evaluation:
    """As ``evaluate_classes``, by what it needs of an example alone, each (N,): the class that it
    is taken for, the probability of its true class, and that.
    """
    count, total = len(classes), len(labels)
    right = predicted == labels
    hits = np.bincount(labels[right], minlength=count)
    support = np.bincount(labels, minlength=count)
    guesses = np.bincount(predicted, minlength=count)
    correct = int(right.sum())
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
