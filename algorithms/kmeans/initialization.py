"""Initialization of the centroids: random rows, k-means++, or scalable k-means||.

Every host draws the same numbers, so that all agree on the rows chosen.
"""

from __future__ import annotations

import math
from typing import Callable, Iterator

import numpy as np

from ...core import Array, NDArray, mx
from .network import squared_distances
from .sharding import ShardedRows

ROUNDS = 5  # of k-means||
OVERSAMPLING = 2  # rows drawn in each, for each centroid


def random_rows(shards: ShardedRows, k: int, rng: np.random.Generator) -> Array:
    """``k`` different rows, (K, D)."""
    return shards.fetch(np.sort(rng.choice(shards.count, k, replace=False)))


def kmeans_plus_plus(shards: ShardedRows, k: int, rng: np.random.Generator) -> Array:
    """Rows drawn one by one, each in proportion to its squared distance from those before.

    D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; of
    several drawn at a time the one that helps most is kept, as its authors and scikit-learn do.
    """
    trials = 2 + int(math.log(k))
    cover = _DistancesToChosen(shards)
    chosen = [shards.fetch(rng.integers(shards.count, size=1))]
    cover.try_each(chosen[0])
    cover.keep(0)
    while len(chosen) < k:
        drawn = shards.fetch(cover.draw(rng.random(trials)))
        best = int(cover.try_each(drawn).argmin())
        cover.keep(best)
        chosen.append(drawn[best : best + 1])
    return np.concatenate(chosen)


def kmeans_parallel(
    shards: ShardedRows,
    k: int,
    rng: np.random.Generator,
    rng_of: Callable[[int, int], np.random.Generator],
) -> Array:
    """Some rounds that draw about 2 k rows each, weighed by the rows around them, then k-means++.

    ``rng_of`` gives the generator of a round and the block that begins with a row. B. Bahmani et
    al., "Scalable k-means++", VLDB 2012: passes over the rows are few, whatever ``k``.
    """
    cover = _DistancesToChosen(shards)
    drawn = [shards.fetch(rng.integers(shards.count, size=1))]
    cover.add(drawn[0])
    for number in range(ROUNDS):
        found = cover.sample(OVERSAMPLING * k, lambda first, n=number: rng_of(n, first))  # type: ignore[misc]
        if len(found):
            drawn.append(shards.fetch(found))
            cover.add(drawn[-1])
    points = np.unique(np.concatenate(drawn), axis=0)
    if len(points) < k:
        return random_rows(shards, k, rng)
    weights = np.zeros(len(points))
    for _, closest, _ in shards.closest(points):
        weights += np.bincount(closest, minlength=len(points))
    counts = shards.sum_whole(weights).astype(np.float64)
    return _weighted_kmeans_plus_plus(points, counts, k, rng)


def _weighted_kmeans_plus_plus(
    points: Array, weights: Array, k: int, rng: np.random.Generator
) -> Array:
    """k-means++ over ``points`` (M, D), each of which counts ``weights`` (M,) times."""
    near = np.full(len(points), np.inf)
    chosen: list[int] = []
    mass = weights
    while len(chosen) < k:
        edges = np.cumsum(mass)
        place = np.searchsorted(edges, rng.random() * edges[-1], "right")
        chosen.append(min(int(place), len(points) - 1))
        apart = np.square(points - points[chosen[-1]]).sum(axis=1, dtype=np.float64)
        near = np.minimum(near, apart)
        mass = weights * near
    return points[chosen]


class _DistancesToChosen:
    """How far each row is from the nearest of the points chosen so far, squared."""

    def __init__(self, shards: ShardedRows) -> None:
        self.shards = shards
        self._near: list[NDArray] = []  # (B,) for each block
        self._masses: Array = np.zeros(0)  # and its sum
        self._tried: list[NDArray] = []
        self._tried_masses: Array = np.zeros((0, 0))

    def try_each(self, points: Array) -> Array:
        """What the sum over all rows would be with each of ``points`` (M, D): (M,)."""
        self._tried = list(self._with(points))
        masses = [tried.sum(axis=0).asnumpy() for tried in self._tried]
        self._tried_masses = np.array(masses, np.float64).reshape(-1, len(points))
        return self.shards.sum("potentials", self._tried_masses.sum(axis=0))

    def keep(self, index: int) -> None:
        """Choose one of the points tried."""
        self._near = [tried[:, index] for tried in self._tried]
        self._masses = self._tried_masses[:, index]

    def add(self, points: Array) -> None:
        """Choose all of ``points`` (M, D)."""
        self._near = [tried.min(axis=1) for tried in self._with(points)]
        self._masses = np.array([near.sum().asscalar() for near in self._near], np.float64)

    def _with(self, points: Array) -> Iterator[NDArray]:
        shards = self.shards
        for i, (block, x) in enumerate(shards.each()):
            there = mx.nd.array(points, ctx=block.device, dtype=shards.dtype)
            apart = squared_distances(x, shards.norms[i], there)
            if self._near:
                apart = mx.nd.broadcast_minimum(apart, self._near[i].expand_dims(1))
            yield apart

    def draw(self, at: Array) -> Array:
        """The indices (M,) of rows, each in proportion to its distance; ``at`` (M,) in [0, 1)."""
        shards, cluster = self.shards, self.shards.run.cluster
        edges = np.cumsum(cluster.gather([self._masses.sum()], "the masses"))
        target = at * edges[-1]
        host = np.minimum(np.searchsorted(edges, target, "right"), cluster.count - 1)
        found = np.zeros(len(at), np.int64)
        inside = np.cumsum(self._masses)
        for i in np.flatnonzero(host == cluster.rank):
            rest = target[i] - (edges[cluster.rank - 1] if cluster.rank else 0)
            block = min(int(np.searchsorted(inside, rest, "right")), len(inside) - 1)
            rest -= inside[block - 1] if block else 0
            near = np.cumsum(self._near[block].asnumpy(), dtype=np.float64)
            row = min(int(np.searchsorted(near, rest, "right")), len(near) - 1)
            found[i] = shards.first + shards.blocks[block].start + row
        return shards.sum_whole(found)

    def sample(self, expected: int, rng_of: Callable[[int], np.random.Generator]) -> Array:
        """Indices of about ``expected`` rows, each drawn in proportion to its distance."""
        shards, cluster = self.shards, self.shards.run.cluster
        whole = shards.total(self._masses)
        mine: list[Array] = []
        for block, near in zip(shards.blocks, self._near):
            first = shards.first + block.start
            chance = near.asnumpy() * (expected / whole) if whole else np.zeros(len(near))
            mine.append(first + np.flatnonzero(rng_of(first).random(len(near)) < chance))
        found = np.concatenate([*mine, np.zeros(0, np.int64)]).astype(np.int64)
        return np.concatenate(cluster.gather_arrays(found, "the rows drawn"))
