"""Figures of telling two classes apart: how they are ranked, how sure it is, where to decide."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np

from ..algorithm.evaluation import Curve, Evaluation
from ..runtime.types import Array
from . import intervals
from .class_figures import evaluate_classes
from .intervals import Interval

MAX_POINTS = 200  # of a curve: more can neither be seen nor are worth their bytes
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Rule:
    """How ``choose_threshold`` decides: by the highest F1; or where ``recall`` is given, by the
    highest threshold at which this part of the positive examples is found; or where costs are
    given, by the least cost of false alarms and misses, of which one costs ``costs``.
    """

    recall: float | None = None
    costs: tuple[float, float] | None = None


F1 = Rule()


def recall_of(recall: float) -> Rule:
    """At least the part ``recall`` in (0, 1] of the positive examples is to be found."""
    return Rule(recall=recall)


def costs_of(false_positive: float, false_negative: float) -> Rule:
    """A false alarm costs ``false_positive`` > 0, a miss ``false_negative`` > 0."""
    return Rule(costs=(false_positive, false_negative))


@dataclass(frozen=True)
class _Ranking:
    """Examples by falling score, those of one score together: ``scores`` (G,) that differ, and of
    those with this score or a higher one, how many are positive and how many are not, (G,) each.
    """

    scores: Array
    true: Array
    false: Array

    @property
    def groups(self) -> Array:
        """How many positive examples have each score, (G,)."""
        return np.diff(self.true, prepend=0)


def _ranked(scores: Array, labels: Array) -> _Ranking:
    order = np.argsort(-scores, kind="stable")
    falling = scores[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    true = np.cumsum(labels[order] != 0, dtype=np.int64)[ends]
    return _Ranking(falling[ends], true, ends + 1 - true)


def roc_auc(scores: Array, labels: Array) -> float:
    """The area under the ROC curve: how often a positive example has the higher score, of equal
    ones half. ``scores`` (N,), ``labels`` (N,) 0 or 1. NaN where there is one class only.
    """
    return _auc_and_error(scores, labels)[0]


def _auc_and_error(scores: Array, labels: Array) -> tuple[float, float]:
    """The area and its standard error, by E. R. DeLong et al., "Comparing the areas under two or
    more correlated receiver operating characteristic curves", Biometrics 44 (1988).
    """
    positive = labels != 0
    found, missed = int(positive.sum()), int((~positive).sum())
    if not found or not missed:
        return math.nan, math.nan
    ranks = _midranks(scores)
    of_positive = (ranks[positive] - _midranks(scores[positive])) / missed
    of_negative = 1 - (ranks[~positive] - _midranks(scores[~positive])) / found
    variance = sum(
        float(part.var(ddof=1)) / len(part) for part in (of_positive, of_negative) if len(part) > 1
    )
    return float(of_positive.mean()), math.sqrt(variance)


def _midranks(values: Array) -> Array:
    """The rank of each, from 1; of equal ones the middle of theirs. (N,) float64."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[places]
    return ranks


def average_precision(scores: Array, labels: Array) -> float:
    """The mean of the precision over the positive examples, each at its own score: the area under
    the precision-recall curve, not interpolated. NaN where no example is positive.
    """
    ranking = _ranked(scores, labels)
    if not ranking.true[-1]:
        return math.nan
    precision = ranking.true / (ranking.true + ranking.false)
    return float((ranking.groups * precision).sum() / ranking.true[-1])


def average_precision_moves(scores: Array, labels: Array) -> Array:
    """By how much the weight of each example moves ``average_precision``, (N,) float64."""
    ranking, positive = _ranked(scores, labels), labels != 0
    total = ranking.true + ranking.false
    place = len(ranking.scores) - 1 - np.searchsorted(ranking.scores[::-1], scores)
    # of the examples that score no higher, what one more above them adds to their precision
    gained = np.cumsum((ranking.groups / total)[::-1])[::-1]
    lost = np.cumsum((ranking.groups * ranking.true / total**2)[::-1])[::-1]
    own = (ranking.true / total)[place] + gained[place] - average_precision(scores, labels)
    moves: Array = (np.where(positive, own, 0.0) - lost[place]) / ranking.true[-1]
    return moves


def log_loss(probabilities: Array, labels: Array) -> float:
    """The mean of -log(probability of the true class), in nats."""
    return float(_surprises(probabilities, labels).mean())


def _surprises(probabilities: Array, labels: Array) -> Array:
    given = probabilities.astype(np.float64)
    likelihood = np.where(labels != 0, given, 1 - given)
    surprises: Array = -np.log(np.maximum(likelihood, 1e-12))
    return surprises


def brier(probabilities: Array, labels: Array) -> float:
    """The mean squared difference of ``probabilities`` (N,) and ``labels`` (N,) of 0 and 1."""
    return float(_squares(probabilities, labels).mean())


def _squares(probabilities: Array, labels: Array) -> Array:
    squares: Array = (probabilities.astype(np.float64) - (labels != 0)) ** 2
    return squares


@dataclass(frozen=True)
class Calibration:
    """What was given for the probability, and how often it came true, in bins of about equally
    many examples: mean ``given``, mean ``observed`` and number of examples, (B,) each.
    """

    given: Array
    observed: Array
    counts: Array

    @property
    def error(self) -> float:
        """The mean over the examples of |given - observed| of their bin: the expected calibration
        error. It is above 0 by chance alone, the more the fewer examples a bin has.
        """
        return float((self.counts * np.abs(self.given - self.observed)).sum() / self.counts.sum())


def calibration(probabilities: Array, labels: Array, bins: int = CALIBRATION_BINS) -> Calibration:
    """How well ``probabilities`` (N,) tell how often ``labels`` (N,) are 1.

    Examples of one probability share a bin, so that there may be fewer.
    """
    given = probabilities.astype(np.float64)
    edges = np.unique(np.quantile(given, np.arange(1, bins) / bins))
    places = np.searchsorted(edges, given, side="right")
    counts = np.bincount(places, minlength=len(edges) + 1)
    means = [
        np.bincount(places, weights=values, minlength=len(counts))[counts > 0] / counts[counts > 0]
        for values in (given, (labels != 0).astype(np.float64))
    ]
    return Calibration(means[0], means[1], counts[counts > 0])


def choose_threshold(probabilities: Array, labels: Array, rule: Rule) -> float:
    """The probability from which on an example is to be called positive, by ``rule``.

    ``probabilities`` (N,) are those of the positive class, ``labels`` (N,) 0 or 1, of examples that
    were not learned from. The threshold lies in the middle between two probabilities that occur:
    rounding, which differs between engines, changes no answer. Of equally good ones it is the
    highest. Raises ValueError where no example is positive.
    """
    ranking = _ranked(probabilities, labels)
    positives = int(ranking.true[-1])
    if not positives:
        raise ValueError("no example is positive: no threshold can be chosen")
    bounds = np.concatenate([[1.0], ranking.scores, [0.0]])
    places = (bounds[:-1] + bounds[1:]) / 2
    places[0] = places[0] if bounds[1] < 1 else np.nextafter(1.0, 2.0)  # nothing is positive
    true, false = np.append(0, ranking.true), np.append(0, ranking.false)
    if rule.costs is not None:
        per_alarm, per_miss = rule.costs
        least = float(places[np.argmin(per_alarm * false + per_miss * (positives - true))])
        return _by_theory_or(least, probabilities, labels, rule.costs)
    if rule.recall is not None:
        return float(places[np.argmax(true >= rule.recall * positives - 1e-9)])
    return float(places[np.argmax(2 * true / (true + false + positives))])


def _by_theory_or(
    least: float, probabilities: Array, labels: Array, costs: tuple[float, float]
) -> float:
    """The threshold that is right for probabilities that are, per_alarm / (per_alarm + per_miss)
    (C. Elkan, "The foundations of cost-sensitive learning", IJCAI 2001), unless ``least``, at which
    these examples cost the least, costs less by more than chance explains: the least cost of a few
    hundred examples is much a matter of chance. On credit data (``Status`` by logistic regression,
    40 splits, a miss five times a false alarm) other examples then cost 0.490 each, 0.504 by
    ``least`` alone, 0.800 at 0.5.
    """
    theory = costs[0] / (costs[0] + costs[1])
    saved = _costs(probabilities, labels, theory, costs)
    saved -= _costs(probabilities, labels, least, costs)
    mean = float(saved.mean())
    error = intervals.standard_error((saved - mean) / len(saved))
    return least if mean > intervals.Z * error else theory


def _costs(
    probabilities: Array, labels: Array, threshold: float, costs: tuple[float, float]
) -> Array:
    """What each example costs, (N,) float64."""
    alarm, truth = probabilities.astype(np.float64) >= threshold, labels != 0
    each: Array = costs[0] * (alarm & ~truth) + costs[1] * (~alarm & truth)
    return each


def called(probabilities: Array, threshold: float | None, positive: int = 1) -> Array:
    """The class (N,) that each of ``probabilities`` (N, C) is called: the likeliest, or of two
    classes ``positive`` from ``threshold`` on.
    """
    if threshold is None:
        likeliest: Array = probabilities.argmax(axis=1)
        return likeliest
    is_positive = probabilities[:, positive].astype(np.float64) >= threshold
    return np.where(is_positive, positive, 1 - positive)


def evaluate_binary(
    probabilities: Array,
    labels: Array,
    classes: Sequence[str],
    threshold: float | None = None,
    positive: int = 1,
    rule: Rule | None = None,
) -> Evaluation:
    """The figures of a classification, and those that only two classes have.

    ``probabilities`` are (N, 2), or (N,) of the class ``positive``, by its index; ``labels`` (N,)
    integers, 0 and 1, are indices into ``classes``. From ``threshold`` on an example counts as
    positive; without one, from that on which ``rule`` chooses by these very examples; without a
    rule, where that is the likelier class. With costs there is the mean ``cost`` of an example.
    The figures by rank have 95 % intervals from ten examples of either class on; the calibration
    error has none, since chance alone raises it: each point of its curve has.
    """
    given = probabilities[:, positive] if probabilities.ndim == 2 else probabilities
    both = probabilities if probabilities.ndim == 2 else _of_both(probabilities, positive)
    truth = (labels == positive).astype(np.int64)
    if threshold is None and rule is not None:
        threshold = choose_threshold(given, truth, rule)
    predicted = called(both, threshold, positive)
    evaluation = evaluate_classes(both, labels, classes, predicted)
    metrics, bounds = _of_decisions(truth, predicted == positive, rule)
    for name, (value, interval) in _of_probabilities(given, truth).items():
        metrics[name] = value
        bounds[name] = interval
    evaluation.metrics.update((k, v) for k, v in metrics.items() if not math.isnan(v))
    evaluation.intervals.update((k, v) for k, v in bounds.items() if v is not None)
    curves = () if len(set(truth.tolist())) < 2 else curves_of(given, truth)
    return replace(evaluation, curves=curves, positive=classes[positive], threshold=threshold)


def _of_both(probabilities: Array, positive: int) -> Array:
    columns = (1 - probabilities, probabilities)
    return np.stack(columns if positive else columns[::-1], axis=1)


def _of_decisions(
    truth: Array, is_called: Array, rule: Rule | None
) -> tuple[dict[str, float], dict[str, Interval | None]]:
    """F1 of the positive class, and the mean cost an example."""
    true, false = (truth == 1) & is_called, (truth == 0) & is_called
    missed = (truth == 1) & ~is_called
    f1, moves = f1_and_moves(true, false, missed)
    metrics, bounds = {"f1": f1}, {"f1": _enough(truth, f1, intervals.standard_error(moves))}
    if rule is not None and rule.costs is not None:
        each = rule.costs[0] * false + rule.costs[1] * missed
        metrics["cost"] = float(each.mean())
        bounds["cost"] = intervals.of_mean(each)
    return metrics, bounds


def _of_probabilities(given: Array, truth: Array) -> dict[str, tuple[float, Interval | None]]:
    auc, error = _auc_and_error(given, truth)
    precision = average_precision(given, truth)
    moves = average_precision_moves(given, truth) if truth.any() else np.zeros(1)
    squares = _squares(given, truth)
    return {
        "roc_auc": (auc, _enough(truth, auc, error)),
        "average_precision": (
            precision,
            _enough(truth, precision, intervals.standard_error(moves)),
        ),
        "brier": (float(squares.mean()), intervals.of_mean(squares)),
        "calibration_error": (calibration(given, truth).error, None),
        "cross_entropy": (log_loss(given, truth), intervals.of_mean(_surprises(given, truth))),
    }


def _enough(truth: Array, value: float, error: float) -> Interval | None:
    """An interval of a part, where there are enough examples of either class."""
    fewest = min(int(truth.sum()), int(len(truth) - truth.sum()))
    return intervals.of_part(value, error) if fewest >= intervals.FEWEST_OF_CLASS else None


def f1_and_moves(true: Array, false: Array, missed: Array) -> tuple[float, Array]:
    """F1, and by how much the weight of each example moves it, (N,): of how many labels each
    example has those that are found, called wrongly, and missed, (N,) each.
    """
    whole = max(1, int(2 * true.sum() + false.sum() + missed.sum()))
    f1 = float(2 * true.sum() / whole)
    moves: Array = (2 * true - f1 * (2 * true + false + missed)) / whole
    return f1, moves


def curves_of(given: Array, truth: Array) -> tuple[Curve, ...]:
    """ROC, precision-recall and calibration, of ``given`` (N,) for ``truth`` (N,) of 0 and 1."""
    ranking = _ranked(given, truth)
    positives, negatives = ranking.true[-1], ranking.false[-1]
    recall, alarms = np.append(0, ranking.true) / positives, np.append(0, ranking.false) / negatives
    precision = ranking.true / (ranking.true + ranking.false)
    found = calibration(given, truth)
    spread = [
        intervals.wilson_interval(round(part * count), count)
        for part, count in zip(found.observed.tolist(), found.counts.tolist())
    ]
    share = float(positives / (positives + negatives))
    return (
        Curve(
            "ROC",
            ("false positive rate", "true positive rate"),
            _thinned(alarms, recall),
            guide=((0.0, 0.0), (1.0, 1.0)),
        ),
        Curve(
            "precision-recall",
            ("recall", "precision"),
            _thinned(recall[1:], precision),
            guide=((0.0, share), (1.0, share)),
        ),
        Curve(
            "calibration",
            ("probability given", "fraction that is positive"),
            tuple(zip(found.given.tolist(), found.observed.tolist())),
            guide=((0.0, 0.0), (1.0, 1.0)),
            spread=tuple(spread),
        ),
    )


def _thinned(x: Array, y: Array) -> tuple[tuple[float, float], ...]:
    """At most MAX_POINTS of a curve, about equally far apart along it, its ends among them."""
    if len(x) > MAX_POINTS:
        way = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        marks = np.linspace(0, way[-1], MAX_POINTS)
        chosen = np.unique(np.append(np.searchsorted(way, marks), len(x) - 1).clip(0, len(x) - 1))
        x, y = x[chosen], y[chosen]
    return tuple(zip(x.tolist(), y.tolist()))
