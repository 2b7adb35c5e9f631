"""Search: the closest centroid of every row, again and again, by as few products as will do.

By the triangle inequality: C. Elkan, "Using the triangle inequality to accelerate k-means", ICML
2003; G. Hamerly, "Making k-means even faster", SDM 2010; Y. Ding et al., "Yinyang k-means", ICML
2015. Of each row is kept how far its own centroid is at most, and how far any other of a group of
centroids is at least. When centroids move, both change by no more than they moved; a group is
looked at again only by the rows whose bounds meet.

The bounds hold in spite of rounding, and rows that float32 cannot decide are decided in float64. So
the answer is the centroid that is the closest, whatever was known before: a training that is
resumed, which knows nothing, finds the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Sequence

import numpy as np

from ...core import Array, mx
from ...core.data.dataset import chunks

CHUNK_NUMBERS = 2**21  # float32 of rows at a time: 8 MiB, which a last-level cache holds
GROUP = 32  # centroids: of fewer a matrix product wastes the processor
COLUMNS_PER_GROUP = 16  # so that the bounds take little memory beside the rows
TURNS = 3  # of the power iteration by which centroids are grouped
# Multiplications in one product: up to 2**18 OpenBLAS uses no threads of its own, which would wait
# for each other here, and with AVX-512 it multiplies without copying its operands first.
TILE = 2**18
LEAST_TILE = 4  # rows
WHOLE = 0.8  # of a chunk: from here on copying the rows that are needed costs more than it spares
LEAST_COLUMNS = 32  # of rows shorter than that the bounds cost more than the products
UNIT = 2.0**-24  # rounding of a float32, relative to itself


class _Group(NamedTuple):
    """Centroids looked at together: their numbers (n,), themselves (D, n), and -|c|²/2 (n,)."""

    members: Array
    centroids: Array
    offsets: Array


class Block(NamedTuple):
    """Rows (B, D) with the bounds of their distances, all float32.

    ``squares`` (B,) are the rows' squared lengths, ``upper`` (B,) is for the own centroid,
    ``lower`` (G, B) for the others of each group.
    """

    rows: Array
    squares: Array
    upper: Array
    lower: Array

    def part(self, chunk: slice) -> Block:
        rows, *bounds = self
        return Block(rows[chunk], *(array[..., chunk] for array in bounds))


class Search:
    """For rows in memory, on processors: ``blocks`` (B, D) float32, and their squared lengths."""

    def __init__(self, blocks: Sequence[Array], squares: Sequence[Array]) -> None:
        self._given = list(zip(blocks, squares))
        self._blocks: list[Block] = []
        self._longest = max((float(np.sqrt(own.max())) for own in squares), default=0.0)
        self._centroids: Array = np.zeros((0, 0))
        self._group_of: Array = np.zeros(0, np.int64)
        self._reach = 0.0  # of the centroids

    def closest(self, centroids: Array, labels: Sequence[Array]) -> list[Array]:
        """For each block the closest of ``centroids`` (K, D), (B,) int32.

        ``labels`` are the answers of the call before, or K everywhere at the first.
        """
        narrow = centroids.astype(np.float32)
        exact = narrow.astype(np.float64)
        if not self._blocks:
            self._begin(exact)
        self._reach = float(np.sqrt(np.square(exact).sum(axis=1).max()))
        moved, farthest = self._moves(exact)
        self._centroids = exact
        groups = self._groups(narrow)
        found = [own.copy() for own in labels]
        largest = max(len(group.members) for group in groups)
        length = max(1, CHUNK_NUMBERS // max(exact.shape[1], largest))
        with ThreadPoolExecutor(mx.threads()) as pool:
            tasks = [
                pool.submit(self._look, block.part(chunk), own[chunk], groups, moved, farthest)
                for block, own in zip(self._blocks, found)
                for chunk in chunks(len(own), length)
            ]
            for task in tasks:
                task.result()
        return found

    def _begin(self, centroids: Array) -> None:
        """Nothing is known yet: every row has to look at every group."""
        self._group_of = _grouped(centroids)
        count = int(self._group_of.max()) + 1
        for rows, squares in self._given:
            upper = np.full(len(rows), np.inf, np.float32)
            lower = np.zeros((count, len(rows)), np.float32)
            self._blocks.append(Block(rows, squares, upper, lower))

    def _groups(self, centroids: Array) -> list[_Group]:
        halves = (np.square(centroids.astype(np.float64)).sum(axis=1) / -2).astype(np.float32)
        members = [np.flatnonzero(self._group_of == g) for g in range(self._group_of.max() + 1)]
        return [_Group(own, np.ascontiguousarray(centroids[own].T), halves[own]) for own in members]

    def _moves(self, centroids: Array) -> tuple[Array, Array]:
        """How far each centroid, (K + 1,), and the farthest of each group, (G,), have moved.

        At most, that is: with what adding it to a bound in float32 may round off.
        """
        moved = np.zeros(len(centroids) + 1)  # the last is none, from which a row is anywhere
        if len(self._centroids):
            moved[:-1] = np.sqrt(np.square(centroids - self._centroids).sum(axis=1))
        moved = moved * (1 + 4 * UNIT) + 8 * UNIT * (self._longest + self._reach)
        farthest = np.zeros(int(self._group_of.max()) + 1)
        np.maximum.at(farthest, self._group_of, moved[:-1])
        return moved.astype(np.float32), farthest.astype(np.float32)

    def _look(
        self, block: Block, labels: Array, groups: list[_Group], moved: Array, farthest: Array
    ) -> None:
        """Set ``labels`` (B,) to what the rows of ``block`` are closest to now, and its bounds."""
        block.upper[:] += moved[labels]
        block.lower[:] -= farthest[:, None]
        meets = block.lower <= block.upper
        sparing = meets.mean() < WHOLE
        rows = np.flatnonzero(meets.any(axis=0)) if sparing else np.arange(len(labels))
        if not len(rows):
            return
        look = _Look(block, rows, labels[rows], self._error(block.squares[rows]), self._group_of)
        if sparing:  # the own group first: it narrows the bound
            own = self._group_of[labels[rows]]
            for number, group in enumerate(groups):
                look.at(number, group, np.flatnonzero(own == number))
            for number, group in enumerate(groups):
                closer = (look.lower[number] <= look.upper) & (own != number)
                look.at(number, group, np.flatnonzero(closer))
        else:
            for number, group in enumerate(groups):
                look.at(number, group, np.arange(len(rows)))
        look.decide(self._centroids)
        labels[rows], block.upper[rows], block.lower[:, rows] = look.labels, look.upper, look.lower

    def _error(self, squares: Array) -> Array:
        """By how much squared distances in float32 may be off, for any order of summation: (B,)."""
        columns = self._centroids.shape[1]
        reach = np.sqrt(squares) + np.float32(self._reach)
        error: Array = np.square(reach * np.float32(np.sqrt((columns + 20) * UNIT)))
        return error


class _Look:
    """The ``rows`` (M,) of a ``block`` that have to look again, with what they find."""

    def __init__(
        self, block: Block, rows: Array, labels: Array, error: Array, group_of: Array
    ) -> None:
        self.block, self.rows, self.labels, self.error = block, rows, labels, error
        self.group_of = group_of
        self.squares, self.lower = block.squares[rows], block.lower[:, rows]
        self.upper = np.full(len(rows), np.inf, np.float32)
        self.apart = self.upper.copy()  # from the label, squared; infinite before the first look

    def at(self, number: int, group: _Group, chosen: Array) -> None:
        """Look at a ``group`` from the ``chosen`` (m,) of these rows."""
        if not len(chosen):
            return
        closeness = self._closeness(group, chosen)
        each = np.arange(len(chosen))
        best = closeness.argmax(axis=1)
        first = self._apart(closeness[each, best], chosen)
        closeness[each, best] = -np.inf
        second = self._apart(closeness.max(axis=1), chosen)
        nearer = first < self.apart[chosen]
        self.lower[number, chosen] = self._at_least(np.where(nearer, second, first), chosen)
        won = chosen[nearer]
        lost = won[np.isfinite(self.apart[won])]  # their label is now another of its group
        places = self.group_of[self.labels[lost]], lost
        known = self._at_least(self.apart[lost], lost)
        self.lower[places] = np.minimum(self.lower[places], known)
        self.labels[won] = group.members[best[nearer]]
        self.apart[won] = first[nearer]
        self.upper[won] = np.sqrt(np.maximum(self.apart[won], 0) + self.error[won])

    def _closeness(self, group: _Group, chosen: Array) -> Array:
        """x·c - |c|²/2 of the ``chosen`` rows and the centroids of a ``group``: (m, n)."""
        rows, taken = self.block.rows, self.rows[chosen]
        if len(taken) < WHOLE * len(rows):
            return _products(np.take(rows, taken, axis=0), group)
        found = _products(rows, group)
        return found if len(taken) == len(rows) else found[taken]

    def _apart(self, closeness: Array, chosen: Array) -> Array:
        apart: Array = self.squares[chosen] - 2 * closeness
        return apart

    def _at_least(self, apart: Array, chosen: Array) -> Array:
        least: Array = np.sqrt(np.maximum(apart - self.error[chosen], 0))
        return least

    def decide(self, centroids: Array) -> None:
        """Decide in float64, among all ``centroids`` (K, D), where rounding leaves it open.

        Of centroids equally far the first counts.
        """
        undecided = np.flatnonzero(self.lower.min(axis=0) <= self.upper)
        lengths = np.square(centroids).sum(axis=1)
        for chunk in chunks(len(undecided), max(1, CHUNK_NUMBERS // len(centroids))):
            chosen = undecided[chunk]
            rows = self.block.rows[self.rows[chosen]].astype(np.float64)
            apart = lengths - 2 * (rows @ centroids.T)
            equal = self.error[chosen, None] * 2.0**-27  # the error of float64, and a little more
            found = (apart <= apart.min(axis=1, keepdims=True) + equal).argmax(axis=1)
            # of a label that has lost no bound is known: its group is looked at again
            other = chosen[found != self.labels[chosen]]
            self.lower[self.group_of[self.labels[other]], other] = 0
            self.labels[chosen] = found


def _products(rows: Array, group: _Group) -> Array:
    columns, count = group.centroids.shape
    found = np.empty((len(rows), count), np.float32)
    tile = TILE // (columns * count)
    tiled = len(rows) // tile * tile if tile >= LEAST_TILE else 0
    if tiled:  # numpy calls BLAS for each tile, and lets go of the interpreter for all of them
        tiles = rows[:tiled].reshape(-1, tile, columns)
        np.matmul(tiles, group.centroids, out=found[:tiled].reshape(-1, tile, count))
    np.matmul(rows[tiled:], group.centroids, out=found[tiled:])
    found += group.offsets
    return found


def _grouped(centroids: Array) -> Array:
    """The group of each of ``centroids`` (K, D), (K,): of near ones, all as large as each other.

    They are halved by where they lie along the direction in which they differ most, again and
    again. Which are together decides about time, not about the answer.
    """
    k, columns = centroids.shape
    count = max(1, min(k // GROUP, columns // COLUMNS_PER_GROUP))
    group_of = np.zeros(k, np.int64)
    pieces = [(np.arange(k), count)]
    while pieces:
        members, count = pieces.pop()
        if count == 1:
            group_of[members] = group_of.max() + 1
            continue
        apart = centroids[members] - centroids[members].mean(axis=0)
        along = apart[np.square(apart).sum(axis=1).argmax()]
        for _ in range(TURNS):
            along = (apart @ along) @ apart
            along /= max(float(np.abs(along).max()), 1e-30)
        order, left = members[np.argsort(apart @ along, kind="stable")], count // 2
        middle = len(members) * left // count
        pieces += [(order[:middle], left), (order[middle:], count - left)]
    return group_of - 1
