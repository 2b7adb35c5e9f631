"""The figures of a recommender and its baselines, held against the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from algoshelf.core.data.interactions import Candidates, Interactions, Seen
from algoshelf.core.tasks import ranking_baselines
from algoshelf.core.tasks.nearest import highest
from algoshelf.core.tasks.ranking_baselines import Biases
from algoshelf.core.tasks.ranking_figures import evaluate_places, evaluate_ranking, places_of


def test_places_of_equal_scores_are_the_last() -> None:
    scores = np.float32([[1, 2, 0, 1], [3, 2, 2, 1], [0, 0, 0, 0], [5, 9, 9, 9]])
    assert places_of(scores, np.float32([3, 3, 3, 1])).tolist() == [2, 0, 3, 1]
    assert places_of(scores[:1], np.float32([-1]))[0] > 10**6


def test_hit_rate_and_ndcg_are_as_defined() -> None:
    found = evaluate_places(np.array([0, 1, 9, 10, 50]))
    assert found.metrics["hit_rate"] == pytest.approx(3 / 5)
    gains = [1, 1 / math.log2(3), 1 / math.log2(11)]
    assert found.metrics["ndcg"] == pytest.approx(sum(gains) / 5)
    assert found.metrics["error"] == pytest.approx(1 - sum(gains) / 5)
    for name in ("hit_rate", "ndcg"):
        low, high = found.intervals[name]
        assert 0 <= low < found.metrics[name] < high <= 1


def data_of(pairs: list[tuple[int, int]], users: int, items: int) -> Interactions:
    names = {"users": [f"u{n}" for n in range(users)], "items": [f"i{n}" for n in range(items)]}
    return Interactions(np.array(pairs, np.int32), np.ones(len(pairs), np.float32), names)


def test_full_ranking_counts_all_items_that_the_user_has_not_chosen() -> None:
    rng = np.random.default_rng(1)
    train = data_of([(u, int(i)) for u in range(1, 6) for i in rng.choice(299, 20) + 1], 5, 300)
    test = data_of([(1, 300), (2, 300), (0, 7), (3, 0)], 5, 300)
    seen = Seen.of(np.concatenate([train.pairs, test.pairs]), 5)
    scores = rng.normal(size=(6, 300)).astype(np.float32)
    found = evaluate_ranking(lambda users: scores[users].copy(), Candidates(test, seen))
    hits = []
    for user, item in test.pairs.tolist():
        left = np.setdiff1d(np.arange(1, 301), [*seen.of_user(user), item])
        better = (scores[user, left - 1] >= scores[user, item - 1]).sum()
        hits.append(item > 0 and better < 10)
    assert found.metrics["full_hit_rate"] == np.mean(hits)
    assert found.examples == 4
    (curve,) = found.curves
    assert curve.points[9] == (10, found.metrics["hit_rate"])
    assert curve.points[-1] == (100, 3 / 4)  # one is none that the training had


def test_neighbours_are_cosines_of_who_has_an_item() -> None:
    pairs = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (3, 3)]
    alike = ranking_baselines.neighbours(Seen.of(np.array(pairs), 3), 3)
    assert alike is not None
    assert alike[0, 1] == pytest.approx(2 / math.sqrt(2 * 3))
    assert alike[1, 2] == pytest.approx(1 / math.sqrt(3))
    assert alike[0, 2] == 0
    assert alike == pytest.approx(alike.T)
    scores = ranking_baselines.scored({"alike": alike}, [3], Seen.of(np.array(pairs), 3))
    assert scores[0, 0] == pytest.approx(alike[1, 0])


def test_biases_are_damped_means() -> None:
    pairs = np.array([(1, 1), (1, 2), (2, 1)], np.int32)
    found = Biases.of(pairs, np.float32([5, 3, 4]), 2, 2)
    assert found.mean[0] == 4
    assert found.item[1] == pytest.approx(1 / 4)
    assert found.user[1] == pytest.approx((1 - 1 / 4 - 1 + 1 / 3) / 7, abs=1e-6)
    assert found.estimates(np.array([[0, 0]]))[0] == 4


@pytest.mark.parametrize(("items", "count"), [(5, 10), (50, 10), (700, 10), (1682, 10), (5000, 70)])
def test_the_highest_are_those_of_a_sort(items: int, count: int) -> None:
    scores = np.random.default_rng(items).integers(-500, 500, (40, items)).astype(np.float32)
    found = highest(scores, count)
    expected = np.sort(scores, axis=1)[:, ::-1][:, :count]
    assert (np.take_along_axis(scores, found, axis=1) == expected).all()
    assert all(len(set(row)) == len(row) for row in found.tolist())
