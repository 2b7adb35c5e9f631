"""What is drawn that a user has not chosen: right, other items in each epoch, wherever drawn."""

from __future__ import annotations

import numpy as np
import pytest
from algoshelf.core.data.interactions import (
    CANDIDATES,
    Candidates,
    Interactions,
    Seen,
    WithNegatives,
    one_of_each_user,
)


def some(users: int = 30, items: int = 400, count: int = 900, times: bool = True) -> Interactions:
    rng = np.random.default_rng(3)
    keys = np.sort(rng.choice(users * items, count, replace=False))
    pairs = np.stack([keys // items + 1, keys % items + 1], axis=1).astype(np.int32)
    encoding = {
        "users": [f"u{n}" for n in range(users)], "items": [f"i{n}" for n in range(items)]
    }  # fmt: skip
    when = rng.permutation(count) if times else None
    return Interactions(pairs, np.ones(count, np.float32), encoding, when)


def test_seen_is_what_a_user_has() -> None:
    data = some()
    seen = data.seen
    every = {tuple(pair) for pair in data.pairs.tolist()}
    assert {(user, int(i)) for user in range(31) for i in seen.of_user(user)} == every
    users, items = np.meshgrid(np.arange(31), np.arange(401), indexing="ij")
    has = seen.has(users, items)
    assert {tuple(pair) for pair in np.argwhere(has).tolist()} == every
    assert len(seen.of_user(0)) == 0


def test_negatives_are_items_that_were_not_chosen_and_others_in_each_epoch() -> None:
    data = some()
    whole = WithNegatives(data, 8)
    epochs = [whole.drawn(np.random.default_rng(seed)) for seed in (1, 2, 1)]
    x, y = epochs[0].take(np.arange(len(data)))
    assert x.shape == (900, 10)
    assert (y == 1).all()
    assert (x[:, :2] == data.pairs).all()
    assert x[:, 2:].min() >= 1
    assert x[:, 2:].max() <= 400
    assert not data.seen.has(np.broadcast_to(x[:, :1], (900, 8)), x[:, 2:]).any()
    others = [each.take(np.arange(len(data)))[0] for each in epochs[1:]]
    assert (others[0][:, 2:] != x[:, 2:]).mean() > 0.95
    assert (others[1] == x).all()
    # as often as any: 7,200 draws of 400 items
    counts = np.bincount(x[:, 2:].ravel(), minlength=401)[1:]
    assert np.abs(counts - 18).max() < 6 * np.sqrt(18)


def test_what_is_drawn_for_an_example_does_not_depend_on_its_batch() -> None:
    epoch = WithNegatives(some(), 4).drawn(np.random.default_rng(5))
    whole, _ = epoch.take(np.arange(900))
    order = np.random.default_rng(6).permutation(900)
    parts = np.concatenate([epoch.take(part)[0] for part in np.array_split(order, 7)])
    assert (parts == whole[order]).all()


def test_a_user_who_has_seen_all_but_one_is_given_that_one() -> None:
    pairs = np.array([(1, item) for item in range(1, 9)] + [(2, 9)], np.int32)
    encoding = {"users": ["a", "b"], "items": list("abcdefghi")}
    data = Interactions(pairs, np.ones(9, np.float32), encoding)
    x, _ = WithNegatives(data, 3).drawn(np.random.default_rng(0)).take(np.arange(8))
    assert (x[:, 2:] == 9).mean() > 0.95


@pytest.mark.parametrize("items", [400, 110, 60])
def test_candidates_are_different_items_never_chosen(items: int) -> None:
    data = some(users=10, items=items, count=250)
    asked = Candidates(data, data.seen)
    x, labels = asked.take(np.arange(250))
    assert x.shape == (250, 2 + CANDIDATES)
    for (user, item, *others), count in zip(x.tolist(), labels.tolist()):
        real = [each for each in others if each]
        left = items - len(data.seen.of_user(user))
        assert len(real) == len(set(real)) == count == min(CANDIDATES, left)
        assert item not in real
        assert not set(real) & set(data.seen.of_user(user).tolist())
    again, _ = Candidates(data, Seen.of(data.pairs, 10)).take(np.arange(250))
    assert (again == x).all()


def test_the_last_of_each_user_by_time_is_held_out() -> None:
    data = some()
    assert data.when is not None
    held = one_of_each_user(data, np.random.default_rng(0), last=True)
    users = data.pairs[:, 0]
    for user in range(1, 31):
        of_user = np.flatnonzero(users == user)
        assert held[of_user].sum() == 1
        assert held[of_user[data.when[of_user].argmax()]]
    some_held = one_of_each_user(some(times=False), np.random.default_rng(0), last=False)
    assert some_held.sum() == 30
    once = Interactions(np.array([[1, 1], [2, 1], [2, 2]], np.int32), np.ones(3, np.float32),
                        {"users": ["a", "b"], "items": ["x", "y"]})  # fmt: skip
    assert one_of_each_user(once, np.random.default_rng(0), last=False).tolist()[0] is False
