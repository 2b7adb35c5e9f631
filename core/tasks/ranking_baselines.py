"""What needs no network: the popular items, the neighbours of items, and the biases of ratings.

A model that does not beat them is of no use; their figures stand beside its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Mapping, Sequence

import numpy as np

from ..data.interactions import Seen
from ..runtime.types import Array

NEIGHBOURS = 50
# Beyond so many items, or products of what users have seen, neighbours take too long to find.
MOST_ITEMS = 20_000
MOST_PRODUCTS = 10**9
# How strongly a bias of few ratings is drawn to 0, chosen on a tenth of MovieLens-100k's training:
# RMSE 0.9407, for 0.9523 with the 25 and 10 of Y. Koren, "Factor in the neighbors", 2010.
ITEM_DAMPING, USER_DAMPING = 2.0, 5.0
USUAL_DAMPING = 25.0


@dataclass(frozen=True)
class Biases:
    """The ``mean`` of all ratings (1,), and by how much a user (U + 1,) and an item (I + 1,) are
    apart from it; 0 for what is unknown.
    """

    mean: Array
    user: Array
    item: Array

    @classmethod
    def of(cls, pairs: Array, ratings: Array, users: int, items: int) -> Biases:
        """Those of ``ratings`` (N,) of ``pairs`` (N, 2)."""
        user, item = pairs[:, 0], pairs[:, 1]
        mean = float(ratings.mean(dtype=np.float64))
        of_item = _damped(item, ratings - mean, items + 1, ITEM_DAMPING)
        of_user = _damped(user, ratings - mean - of_item[item], users + 1, USER_DAMPING)
        parts = (np.array([mean]), of_user, of_item)
        return cls(*(part.astype(np.float32) for part in parts))

    def estimates(self, pairs: Array) -> Array:
        """The rating (N,) of ``pairs`` (N, 2), by biases alone."""
        found: Array = self.mean + self.user[pairs[:, 0]] + self.item[pairs[:, 1]]
        return found


def usual(numbers: Array, ratings: Array) -> Array:
    """The mean rating (N,) of what ``numbers`` (N,) name, drawn to the mean of all ``ratings``."""
    mean = float(ratings.mean(dtype=np.float64))
    found: Array = (
        mean + _damped(numbers, ratings - mean, numbers.max() + 1, USUAL_DAMPING)[numbers]
    )
    return found


def _damped(numbers: Array, values: Array, size: int, damping: float) -> Array:
    """The mean of the ``values`` of each number, as if there were ``damping`` more of 0."""
    sums = np.bincount(numbers, values.astype(np.float64), minlength=size)
    means: Array = sums / (np.bincount(numbers, minlength=size) + damping)
    means[0] = 0
    return means


def popularity(seen: Seen, items: int) -> Array:
    """How many users have each of ``items``, (I,) float32."""
    return np.bincount(seen.items, minlength=items + 1)[1:].astype(np.float32)


def neighbours(seen: Seen, items: int) -> Array | None:
    """How like each item (I, I) the NEIGHBOURS most like it are, by the cosine of who has them,
    float32, 0 for all others: column j has the neighbours of item j. None where it takes too long.

    G. Linden, B. Smith, J. York, "Amazon.com recommendations", 2003.
    """
    if items > MOST_ITEMS or int((seen.counts.astype(np.int64) ** 2).sum()) > MOST_PRODUCTS:
        return None
    common = np.zeros((items, items), np.float32)
    for user in range(1, len(seen.counts)):
        own = seen.of_user(user) - 1
        common[own[:, None], own] += 1
    lengths = np.sqrt(np.maximum(common.diagonal(), 1))
    common /= lengths[:, None]
    common /= lengths
    np.fill_diagonal(common, 0)
    if items > NEIGHBOURS:
        least = np.partition(common, items - NEIGHBOURS, axis=0)[items - NEIGHBOURS]
        common[common < least] = 0
    return common


def scorers(seen: Seen, items: int) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """The baselines by name, each with what ``scored`` takes."""
    yield "popularity", {"popular": popularity(seen, items)}
    alike = neighbours(seen, items)
    if alike is not None:
        yield f"item-kNN ({NEIGHBOURS})", {"alike": alike}


def scored(baseline: Mapping[str, Array], users: Sequence[int], seen: Seen) -> Array:
    """The scores of all items for each of ``users``, (B, I)."""
    if "popular" in baseline:
        popular = baseline["popular"]
        return np.broadcast_to(popular, (len(users), len(popular)))
    alike = baseline["alike"]
    return np.stack([alike[seen.of_user(user) - 1].sum(axis=0) for user in users])
