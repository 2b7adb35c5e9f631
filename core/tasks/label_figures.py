"""Figures of several labels an example: F1 over all and of each, and how each label ranks."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..algorithm.evaluation import Curve, Evaluation, LabelFigures
from ..runtime.types import Array
from . import intervals
from .binary_figures import (
    Rule,
    average_precision,
    average_precision_moves,
    choose_threshold,
    curves_of,
    f1_and_moves,
)

HALF = 0.5


def chosen_thresholds(probabilities: Array, truth: Array, rule: Rule) -> tuple[float, ...]:
    """The threshold of each label by ``rule``, of ``probabilities`` and ``truth`` (N, L).

    Of a label that no example has it is HALF.
    """
    return tuple(
        choose_threshold(given, is_true, rule) if is_true.any() else HALF
        for given, is_true in zip(probabilities.T, (truth != 0).T)
    )


def evaluate_labels(
    probabilities: Array,
    truth: Array,
    names: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> Evaluation:
    """F1 over all labels (micro) and its mean over them (macro), mean average precision, binary
    cross-entropy, and the part of the examples all of whose labels are right.

    ``probabilities`` (N, L) in [0, 1], ``truth`` (N, L) of 0 and 1. A label is given from its
    threshold on, by default 0.5. The mean average precision is that of the labels which occur;
    where none does, there is none. Intervals count examples, whose labels need not be independent.
    """
    given, is_true = probabilities.astype(np.float64), truth != 0
    at = [HALF] * len(names) if thresholds is None else list(thresholds)
    called = given >= at
    true, false, missed = called & is_true, called & ~is_true, ~called & is_true
    parts = [
        f1_and_moves(*(each[:, i] for each in (true, false, missed))) for i in range(len(names))
    ]
    micro = f1_and_moves(*(each.sum(axis=1) for each in (true, false, missed)))
    macro = float(np.mean([f1 for f1, _ in parts])), np.mean([moves for _, moves in parts], axis=0)
    occurring = np.flatnonzero(is_true.any(axis=0))
    precisions = {i: average_precision(given[:, i], truth[:, i]) for i in occurring.tolist()}
    surprises = -np.log(np.maximum(np.where(is_true, given, 1 - given), 1e-12)).mean(axis=1)
    right = int((called == is_true).all(axis=1).sum())
    by_moves = {"micro_f1": micro, "macro_f1": macro}
    if precisions:
        moves = [average_precision_moves(given[:, i], truth[:, i]) for i in precisions]
        by_moves["mean_average_precision"] = (
            float(np.mean(list(precisions.values()))),
            np.mean(moves, axis=0),
        )
    metrics = {
        **{name: value for name, (value, _) in by_moves.items()},
        "cross_entropy": float(surprises.mean()),
        "exact_match": right / len(truth),
    }
    bounds = {
        **{name: intervals.of_moved_part(value, m) for name, (value, m) in by_moves.items()},
        "cross_entropy": intervals.of_mean(surprises),
        "exact_match": intervals.wilson_interval(right, len(truth)),
    }
    return Evaluation(
        examples=len(truth),
        metrics=metrics,
        intervals={name: bound for name, bound in bounds.items() if bound is not None},
        labels=tuple(
            LabelFigures(
                name,
                *_precision_and_recall(true[:, i], false[:, i], missed[:, i]),
                parts[i][0],
                precisions.get(i),
                int(is_true[:, i].sum()),
                at[i],
            )
            for i, name in enumerate(names)
        ),
        curves=_curves(given, is_true),
    )


def _precision_and_recall(true: Array, false: Array, missed: Array) -> tuple[float, float]:
    found = int(true.sum())
    return found / max(1, found + int(false.sum())), found / max(1, found + int(missed.sum()))


def _curves(given: Array, is_true: Array) -> tuple[Curve, ...]:
    """Of all labels together; without the calibration, whose intervals would count labels."""
    if is_true.all() or not is_true.any():
        return ()
    every = curves_of(given.ravel(), is_true.ravel().astype(np.int64))
    return tuple(each for each in every if not each.spread)
