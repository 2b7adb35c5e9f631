"""Who chose what: pairs of a user and an item, what each user has seen, and draws of what not.

Users and items are whole numbers from 1; 0 stands for one that the training did not have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Mapping, Sequence

import numpy as np

from ..runtime.errors import DataError
from ..runtime.types import Array
from .dataset import Dataset, Subset

UNKNOWN = 0
CANDIDATES = 99  # beside the item that was chosen, as in NCF's protocol
ATTEMPTS = 64  # to draw an item that a user has not seen


@dataclass(frozen=True)
class Seen:
    """The items of each user: those of user u are ``items[offsets[u]:offsets[u + 1]]``, ascending.

    ``items`` is (M,) int32, ``offsets`` (U + 2,) int64, since users count from 1.
    """

    items: Array
    offsets: Array

    @classmethod
    def of(cls, pairs: Array, users: int) -> Seen:
        """Of ``pairs`` (N, 2), each of which may stand there several times."""
        keys = np.unique(pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1])
        known = keys[(keys >> 32 != UNKNOWN) & (keys & 0xFFFFFFFF != UNKNOWN)]
        counts = np.bincount(known >> 32, minlength=users + 1)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return cls((known & 0xFFFFFFFF).astype(np.int32), offsets.astype(np.int64))

    def of_user(self, user: int) -> Array:
        """The items of one user, (S,)."""
        found: Array = self.items[self.offsets[user] : self.offsets[user + 1]]
        return found

    @property
    def counts(self) -> Array:
        """How many items each user has, (U + 1,)."""
        counts: Array = np.diff(self.offsets)
        return counts

    @cached_property
    def keys(self) -> Array:
        """All pairs as numbers, ascending, (M,) int64."""
        users = np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int64), self.counts)
        keys: Array = users << 32 | self.items
        return keys

    def has(self, users: Array, items: Array) -> Array:
        """Whether each of ``users`` (…) has seen the one of ``items`` (…)."""
        asked = users.astype(np.int64) << 32 | items
        places = np.searchsorted(self.keys, asked)
        found: Array = self.keys[np.minimum(places, len(self.keys) - 1)] == asked
        return found


@dataclass(frozen=True)
class Interactions:
    """Pairs (N, 2) int32 of a user and an item, with ``ratings`` (N,) float32.

    ``encoding`` has the names of the ``users`` and ``items``, of the numbers from 1, and as
    ``scale`` the least and the greatest rating of the training; without it ratings do not count,
    and an interaction is a choice. ``when`` (N,) int64, where it is known, says when.

    ``user_sides`` (U + 1, F) and ``item_sides`` (I + 1, F) int32 are the properties of each, 0 for
    none, by their places from 1 in ``user_properties`` and ``item_properties`` of the encoding.
    """

    pairs: Array
    ratings: Array
    encoding: Mapping[str, Any]
    when: Array | None = None
    note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    user_sides: Array | None = None
    item_sides: Array | None = None

    @property
    def users(self) -> Sequence[str]:
        names: Sequence[str] = self.encoding["users"]
        return names

    @property
    def items(self) -> Sequence[str]:
        names: Sequence[str] = self.encoding["items"]
        return names

    @property
    def scale(self) -> tuple[float, float] | None:
        low, high = self.encoding.get("scale", (None, None))
        return None if low is None else (low, high)

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, indices: Array) -> tuple[Array, Array]:
        return self.pairs[indices], self.ratings[indices]

    def labels(self) -> Array:
        return self.ratings

    def digest(self) -> str:
        digest = hashlib.sha256(repr(sorted(self.encoding.items())).encode())
        for array in (self.pairs, self.ratings, self.when, self.user_sides, self.item_sides):
            digest.update(b"" if array is None else array.tobytes())
        return digest.hexdigest()

    def at(self, indices: Array) -> Interactions:
        """Those at ``indices``."""
        times = None if self.when is None else self.when[indices]
        return replace(self, pairs=self.pairs[indices], ratings=self.ratings[indices], when=times)

    @cached_property
    def seen(self) -> Seen:
        return Seen.of(self.pairs, len(self.users))


def interactions_of(dataset: Dataset) -> Interactions:
    """``dataset``, which may be a part of some interactions, as interactions of its own."""
    if isinstance(dataset, Subset):
        return interactions_of(dataset.whole).at(dataset.indices)
    assert isinstance(dataset, Interactions)
    return dataset


def one_of_each_user(data: Interactions, rng: np.random.Generator, *, last: bool) -> Array:
    """Which interactions are held out, (N,) bool: one of each user who has two or more.

    The ``last`` by time, of equal times the last in the data, or a random one.
    """
    order = np.arange(len(data))
    if last:
        if data.when is None:
            raise DataError("there are no times to tell which interaction of a user is the last")
        rank = np.lexsort((order, data.when))
    else:
        rank = rng.permutation(len(data))
    by_user = rank[np.argsort(data.pairs[rank, 0], kind="stable")]
    users = data.pairs[by_user, 0]
    ends = np.append(users[1:] != users[:-1], True)
    chosen = by_user[ends]
    several = data.seen.counts[data.pairs[chosen, 0]] > 1
    held = np.zeros(len(data), bool)
    held[chosen[several]] = True
    return held


def mixed(numbers: Array) -> Array:
    """A hash of each uint64: the last step of splitmix64 (G. Steele et al., OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        x = numbers + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found: Array = x ^ (x >> np.uint64(31))
    return found


def drawn_items(keys: Array, count: int, items: int, attempt: int) -> Array:
    """``count`` items from 1 to ``items`` for each of ``keys`` (B,) uint64: (B, count) int64.

    A function of the key, the place and the ``attempt`` alone.
    """
    places = np.arange(count, dtype=np.uint64) + np.uint64(attempt * 2**20)
    hashes = mixed(mixed(keys)[:, None] ^ mixed(places))
    return 1 + (hashes >> np.uint64(32)).astype(np.int64) * items // 2**32


@dataclass(frozen=True)
class WithNegatives:
    """Each interaction with ``count`` items that its user has not seen, others in each epoch.

    x is (B, 2 + count) int32: the user, the item, and those; y (B,) float32 is 1. A user who has
    seen nearly everything may be given an item that was seen.
    """

    whole: Interactions
    count: int
    salt: int = 0

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    def __len__(self) -> int:
        return len(self.whole)

    def drawn(self, rng: np.random.Generator) -> WithNegatives:
        return replace(self, salt=int(rng.integers(2**63)))

    def take(self, indices: Array) -> tuple[Array, Array]:
        pairs = self.whole.pairs[indices]
        keys = mixed(indices.astype(np.uint64)) ^ np.uint64(self.salt)
        items = len(self.whole.items)
        found = drawn_items(keys, self.count, items, 0)
        users = np.broadcast_to(pairs[:, :1], found.shape)
        wrong = self.whole.seen.has(users, found)
        for attempt in range(1, ATTEMPTS):
            rows = np.flatnonzero(wrong.any(axis=1))
            if not len(rows):
                break
            again = drawn_items(keys[rows], self.count, items, attempt)
            found[rows] = np.where(wrong[rows], again, found[rows])
            wrong[rows] = self.whole.seen.has(users[rows], found[rows])
        x = np.concatenate([pairs, found.astype(np.int32)], axis=1)
        return x, np.ones(len(indices), np.float32)

    def labels(self) -> Array:
        return np.ones(len(self), np.float32)

    def digest(self) -> str:
        return self.whole.digest()


@dataclass(frozen=True)
class Candidates:
    """Each interaction with items that its user never chose, among which it has to be found.

    x is (B, 2 + CANDIDATES) int32: the user, the item, and the others, as many as there are and
    then UNKNOWN; which they are depends on user and item alone. The labels (N,) are how many there
    are, or -1 where the item is none that the training had. ``seen`` is all that a user has chosen,
    in whichever channel.
    """

    whole: Interactions
    seen: Seen

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    def __len__(self) -> int:
        return len(self.whole)

    @cached_property
    def others(self) -> Array:
        """(N, CANDIDATES) int32."""
        return never_chosen(self.whole.pairs, self.seen, len(self.whole.items))

    def take(self, indices: Array) -> tuple[Array, Array]:
        x = np.concatenate([self.whole.pairs[indices], self.others[indices]], axis=1)
        return x, self.labels()[indices]

    def labels(self) -> Array:
        counts = (self.others != UNKNOWN).sum(axis=1)
        return np.where(self.whole.pairs[:, 1] == UNKNOWN, -1, counts).astype(np.float32)

    def digest(self) -> str:
        return self.whole.digest()


def never_chosen(pairs: Array, seen: Seen, items: int) -> Array:
    """CANDIDATES different items for each of ``pairs`` (N, 2) that its user has not ``seen``, nor
    are the item of the pair; (N, CANDIDATES) int32, filled up with UNKNOWN where there are fewer.
    """
    keys = pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1].astype(np.uint64)
    found = drawn_items(keys, CANDIDATES, items, 0)
    users = np.broadcast_to(pairs[:, :1], found.shape)
    for attempt in range(1, ATTEMPTS):
        order = np.argsort(found, axis=1, kind="stable")
        ordered = np.take_along_axis(found, order, axis=1)
        again = np.zeros(found.shape, bool)
        again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        wrong = np.zeros(found.shape, bool)
        np.put_along_axis(wrong, order, again, axis=1)
        wrong |= seen.has(users, found) | (found == pairs[:, 1:])
        if not wrong.any():
            return found.astype(np.int32)
        found = np.where(wrong, drawn_items(keys, CANDIDATES, items, attempt), found)
    for row in np.flatnonzero(wrong.any(axis=1)):  # of few items, or for who has seen most
        left = np.setdiff1d(np.arange(1, items + 1), seen.of_user(pairs[row, 0]))
        left = left[left != pairs[row, 1]]
        chosen = np.random.default_rng(keys[row]).permutation(left)[:CANDIDATES]
        found[row] = UNKNOWN
        found[row, : len(chosen)] = chosen
    return found.astype(np.int32)
