"""What each user has had, in order of time: the latest, and what was before an interaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping

import numpy as np

from ..runtime.types import Array
from .interactions import UNKNOWN, Interactions


@dataclass(frozen=True)
class Histories:
    """Of each user the items, or of each item the users, from the earliest to the latest.

    Those of number n are ``others[offsets[n]:offsets[n + 1]]``, (M,) int32, each with one of the
    ``values`` (M,) float32; ``offsets`` is (R + 1,) int64. ``places`` (M,) int64 says of each
    interaction that was given where it stands.
    """

    others: Array
    values: Array
    offsets: Array
    places: Array

    @classmethod
    def of(
        cls, numbers: Array, others: Array, values: Array, times: Array | None, rows: int
    ) -> Histories:
        """Of interactions of ``numbers`` (M,) less than ``rows`` with ``others`` (M,), which
        without ``times`` (M,) stand in the order in which they came.
        """
        came = np.arange(len(numbers))
        order = np.lexsort((came, came if times is None else times, numbers))
        places = np.empty(len(order), np.int64)
        places[order] = came
        counts = np.bincount(numbers, minlength=rows)
        return cls(
            others[order].astype(np.int32),
            values[order].astype(np.float32),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            places,
        )

    def latest(self, length: int) -> tuple[Array, Array]:
        """Of each number the latest ``length`` others (R, length) int32, the latest first, filled
        up with UNKNOWN, and their values (R, length) float32.
        """
        found, values = self._ending(self.offsets[1:], self.offsets[:-1], length)
        found[UNKNOWN], values[UNKNOWN] = UNKNOWN, 0
        return found, values

    def before(self, numbers: Array, indices: Array, length: int) -> Array:
        """What ``numbers`` (B,) had before their interactions at ``indices`` (B,) of those that
        were given: (B, length) int32, the latest first, filled up with UNKNOWN.
        """
        return self._ending(self.places[indices], self.offsets[numbers], length)[0]

    def _ending(self, ends: Array, starts: Array, length: int) -> tuple[Array, Array]:
        at = ends[:, None] - 1 - np.arange(length)
        inside = at >= starts[:, None]
        at = np.where(inside, at, 0)
        return (
            np.where(inside, self.others[at], UNKNOWN).astype(np.int32),
            np.where(inside, self.values[at], 0).astype(np.float32),
        )


@dataclass(frozen=True)
class NextItems:
    """Each interaction as what a user chose next, after at most ``length`` others.

    x is (B, 2 + length) int32: the user, the item, and what the user had before, the latest first;
    y (B,) float32 is the item's place, from 0. ``first`` is the index in ``histories`` of the first
    interaction of ``whole``. Who had nothing before teaches how popular an item is.
    """

    whole: Interactions
    histories: Histories
    length: int
    first: int = 0

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    def __len__(self) -> int:
        return len(self.whole)

    def take(self, indices: Array) -> tuple[Array, Array]:
        pairs = self.whole.pairs[indices]
        had = self.histories.before(pairs[:, 0], self.first + indices, self.length)
        return np.concatenate([pairs, had], axis=1), (pairs[:, 1] - 1).astype(np.float32)

    def labels(self) -> Array:
        return (self.whole.pairs[:, 1] - 1).astype(np.float32)

    def digest(self) -> str:
        return self.whole.digest()


def gathered(data: Interactions, cluster: Any) -> tuple[Interactions, int]:
    """The interactions of all hosts, and the index of this host's first among them."""
    if cluster.agrees(data.digest(), "the interactions"):
        return data, 0
    times = np.zeros(0, np.int64) if data.when is None else data.when
    parts = [
        cluster.gather_arrays(each, "the interactions")
        for each in (data.pairs, data.ratings, times)
    ]
    pairs, ratings, times = (np.concatenate(each) for each in parts)
    first = sum(len(each) for each in parts[0][: cluster.rank])
    whole = replace(data, pairs=pairs, ratings=ratings, when=times if len(times) else None)
    return whole, first
