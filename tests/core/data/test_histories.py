"""Histories: what each user had, in order of time, and what was before an interaction."""

from __future__ import annotations

import numpy as np
from algoshelf.core.data.histories import Histories, NextItems
from algoshelf.core.data.interactions import Interactions

# user 1 has items 5, 6, 7 at times 30, 10, 20; user 2 has item 5 alone
PAIRS = np.array([[1, 5], [1, 6], [2, 5], [1, 7]], np.int32)
TIMES = np.array([30, 10, 5, 20])
VALUES = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


def histories(times: np.ndarray | None = TIMES) -> Histories:
    return Histories.of(PAIRS[:, 0], PAIRS[:, 1], VALUES, times, rows=4)


def test_the_latest_comes_first_and_gaps_are_unknown() -> None:
    recent, values = histories().latest(2)
    assert recent.tolist() == [[0, 0], [5, 7], [5, 0], [0, 0]]
    assert np.allclose(values, [[0, 0], [0.1, 0.4], [0.3, 0], [0, 0]])


def test_without_times_the_order_is_that_of_the_data() -> None:
    assert histories(None).latest(3)[0][1].tolist() == [7, 6, 5]


def test_before_an_interaction_is_neither_itself_nor_what_came_later() -> None:
    found = histories().before(PAIRS[:, 0], np.arange(4), 3)
    assert found.tolist() == [[7, 6, 0], [0, 0, 0], [0, 0, 0], [6, 0, 0]]


def test_a_share_of_the_interactions_finds_its_place_among_all() -> None:
    encoding = {"users": ["a", "b"], "items": [str(i) for i in range(1, 8)]}
    mine = Interactions(PAIRS[2:], VALUES[2:], encoding, TIMES[2:])
    x, y = NextItems(mine, histories(), 2, first=2).take(np.array([1, 0]))
    assert x.tolist() == [[1, 7, 6, 0], [2, 5, 0, 0]]
    assert y.tolist() == [6, 4]
