from __future__ import annotations

import math

import numpy as np
import pytest
from algoshelf.core.evaluation import evaluate_classes, wilson_interval

LABELS = np.array([0, 0, 0, 1, 1, 2], np.int32)
PREDICTED = np.array([0, 0, 1, 1, 1, 0], np.int32)


def probabilities() -> np.ndarray:
    rows = np.full((6, 3), 0.1, np.float32)
    rows[np.arange(6), PREDICTED] = 0.8
    return rows


def test_figures_agree_with_a_calculation_by_hand() -> None:
    evaluation = evaluate_classes(probabilities(), LABELS, ["a", "b", "c"])
    assert evaluation.examples == 6
    assert evaluation.metrics["accuracy"] == pytest.approx(4 / 6)
    expected = -(4 * math.log(0.8) + 2 * math.log(0.1)) / 6
    assert evaluation.metrics["cross_entropy"] == pytest.approx(expected, rel=1e-6)
    assert evaluation.confusion == ((2, 1, 0), (0, 2, 0), (1, 0, 0))
    a, b, c = evaluation.classes
    assert (a.precision, a.recall, a.f1, a.support) == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3))
    assert (b.precision, b.recall, b.f1, b.support) == pytest.approx((2 / 3, 1, 0.8, 2))
    assert (c.precision, c.recall, c.f1, c.support) == (0, 0, 0, 1)


def test_a_certain_mistake_costs_much_but_not_infinitely() -> None:
    wrong = np.array([[1, 0]], np.float32)
    assert evaluate_classes(wrong, np.array([1]), ["a", "b"]).metrics["cross_entropy"] < 30


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # R: prop.test(x, n, correct = FALSE)$conf.int
    [(9950, 10000, 0.99342, 0.99620), (10, 10, 0.72247, 1.0), (0, 10, 0.0, 0.27753)],
)
def test_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=2e-5)


def test_wilson_interval_of_nothing_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
