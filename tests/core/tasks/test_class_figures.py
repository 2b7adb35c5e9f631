from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from algoshelf.core.tasks.class_figures import MAX_IN_MATRIX, evaluate_classes
from algoshelf.core.tasks.intervals import wilson_interval

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


def rows(predicted: np.ndarray, count: int) -> np.ndarray:
    """Probabilities (N, count) float32 whose greatest are at ``predicted`` (N,)."""
    found = np.zeros((len(predicted), count), np.float32)
    found[np.arange(len(predicted)), predicted] = 1
    return found


@pytest.mark.parametrize("count", [2, 7, MAX_IN_MATRIX, MAX_IN_MATRIX + 1, 500])
def test_figures_do_not_depend_on_how_they_are_counted(count: int) -> None:
    """Against the dense matrix, which is the definition."""
    rng = np.random.default_rng(count)
    labels, predicted = rng.integers(0, count, (2, 300))
    predicted[::2] = labels[::2]
    evaluation = evaluate_classes(rows(predicted, count), labels, [str(i) for i in range(count)])
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (labels, predicted), 1)
    for i, figures in enumerate(evaluation.classes):
        hits, true, said = matrix[i, i], matrix[i].sum(), matrix[:, i].sum()
        assert figures.support == true
        assert figures.recall == (hits / true if true else 0)
        assert figures.precision == (hits / said if said else 0)
        assert figures.f1 == (2 * hits / (true + said) if true + said else 0)
    assert evaluation.metrics["accuracy"] == np.trace(matrix) / 300
    if count <= MAX_IN_MATRIX:
        assert evaluation.confusion == tuple(map(tuple, matrix.tolist()))
        assert evaluation.confused == ()
    else:
        assert evaluation.confusion is None
        np.fill_diagonal(matrix, 0)
        told = [pair.examples for pair in evaluation.confused]
        assert told == sorted(matrix[matrix > 0].tolist(), reverse=True)[: len(told)]
        for pair in evaluation.confused:
            assert matrix[int(pair.true), int(pair.predicted)] == pair.examples


def test_many_classes_take_no_matrix_of_them() -> None:
    count, examples = 20_000, 50
    probabilities = rows(np.arange(examples), count)
    labels = np.arange(examples)
    names = [str(i) for i in range(count)]
    tracemalloc.start()
    try:
        evaluation = evaluate_classes(probabilities, labels, names)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert evaluation.metrics["accuracy"] == 1
    assert peak < 8 * count**2 / 100


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
