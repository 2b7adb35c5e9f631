"""The network of histories: what it leaves out, and that its towers' product is its score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.recommender import histories, networks
from algoshelf.core import mx
from algoshelf.core.data.histories import Histories, NextItems
from algoshelf.core.data.interactions import Interactions

USERS, ITEMS = 5, 7


def interactions(*, rated: bool) -> Interactions:
    """Of each user three items."""
    pairs = [(u, 1 + (u + 2 * i) % ITEMS) for u in range(1, USERS + 1) for i in range(3)]
    ratings = np.array([1 + (u * i) % 5 for u, i in pairs], np.float32)
    encoding: dict[str, Any] = {
        "users": [str(u) for u in range(USERS)],
        "items": [str(i) for i in range(ITEMS)],
        **({"scale": [1, 5]} if rated else {}),
    }
    return Interactions(np.array(pairs, np.int32), ratings, encoding, np.arange(len(pairs)))


def network(data: Interactions) -> Any:
    mx.random.seed(1)
    made = networks.make(
        "history", data, factors=4, hidden=1, spread=0.5, dropout=0.0,
        user_bias=data.scale is not None, history=3,
    )  # fmt: skip
    made.initialize()
    for tower in (made.user, made.item):
        tower.settle()
    histories.remember(made, data)
    return made


def scores(made: Any, pairs: Any) -> np.ndarray:
    found: np.ndarray = made(mx.nd.array(pairs, dtype="int32")).asnumpy()
    return found


def products(made: Any, pairs: np.ndarray) -> np.ndarray:
    user, item = (
        tower(mx.nd.array(pairs[:, [side]], dtype="int32")).asnumpy()[:, 0]
        for side, tower in enumerate((made.user, made.item))
    )
    found: np.ndarray = (user * item).sum(axis=1)
    return found


@pytest.mark.parametrize("rated", [True, False])
def test_the_score_of_what_a_user_has_not_had_is_the_product_of_the_towers(rated: bool) -> None:
    data = interactions(rated=rated)
    made = network(data)
    every = np.array([(u, i) for u in range(USERS + 1) for i in range(ITEMS + 1)])
    known = {(u, i) for u, i in data.pairs.tolist()}
    new = np.array([tuple(pair) not in known for pair in every.tolist()])
    assert np.allclose(scores(made, every)[new, 0], products(made, every)[new], atol=1e-5)
    if rated:  # an estimate of a known rating is made without it
        assert not np.allclose(scores(made, every)[~new, 0], products(made, every)[~new], atol=1e-3)


def test_a_rating_changes_other_estimates_and_not_its_own() -> None:
    """Whoever estimates a rating by itself learns nothing: its error is 0 in training alone."""
    before = interactions(rated=True)
    made = network(before)
    first, rest = before.pairs[:1], before.pairs[1:3]
    own, others = scores(made, first), scores(made, rest)
    for known, axis in ((made.user.known, 0), (made.item.known, 1)):
        values, recent = known.apart.data().asnumpy(), known.recent.data().asnumpy()
        values[first[0, axis]] += 2.0 * (recent[first[0, axis]] == first[0, 1 - axis])
        known.apart.set_data(mx.nd.array(values))
    assert np.allclose(scores(made, first), own)
    assert not np.allclose(scores(made, rest), others)


def test_training_scores_every_item_by_what_was_before() -> None:
    data = interactions(rated=False)
    made = network(data)
    had = Histories.of(data.pairs[:, 0], data.pairs[:, 1], data.ratings, data.when, USERS + 1)
    x, y = NextItems(data, had, 3).take(np.array([2]))
    found = histories.NextItem(made, ITEMS)(mx.nd.array(x, dtype="int32")).asnumpy()
    assert found.shape == (1, ITEMS)
    assert y[0] == data.pairs[2, 1] - 1
    # as a model answers whose user has had just that
    recent = np.zeros((USERS + 1, 3))
    recent[1] = x[0, 2:]
    made.user.known.recent.set_data(mx.nd.array(recent))
    asked = [[1, *range(1, ITEMS + 1)]]
    assert np.allclose(found, scores(made, asked), atol=1e-5)
