"""Sharding: rows divided into blocks over devices and hosts, and the sums over all of them.

The blocks follow from the rows alone, not from how many devices there are, and their float32 sums
are added in float64: so the result is the same, however many devices there are. Few rows, and those
of which float32 would lose the digits that matter, are computed with in float64 throughout.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generator, Iterable, Iterator, NamedTuple

import numpy as np

from ...core import Array, Context, NDArray, Run, mx
from ...core.data.dataset import chunks, prefetched
from ...core.data.rows import Rows
from .network import nearest, place, squared_distances

BLOCK_NUMBERS = 2**24  # float32 in a block of rows, or in its distances: 64 MiB
STREAMED_NUMBERS = 2**21  # the same where rows are read from disk: several blocks are held at once
LEAST_BLOCKS = 4  # so that few rows too are shared by the devices
FEW_PRODUCTS = 2**24  # up to so many in a pass, float64 costs nothing that is noticed
SAMPLED = 256  # rows that tell where most of them lie
DIFFERENCE_NUMBERS = 2**17  # at a time, which stay in a processor's cache
LARGEST = float(np.finfo(np.float32).max)


class Totals(NamedTuple):
    """The sums of an assignment: ``sums`` (K, D), ``counts`` (K,) float64."""

    sums: Array
    counts: Array

    def plus(self, changes: Totals) -> Totals:
        return Totals(self.sums + changes.sums, self.counts + changes.counts)


@dataclass
class Block:
    """Rows ``start`` to ``stop`` of this host, on ``device``."""

    start: int
    stop: int
    device: Context


class ShardedRows:
    """The sharded rows of a run: this host's part in blocks, each on one of its devices.

    Hosts that hold the same rows share them; others bring their own. Rows in memory lie on the
    devices, rows on disk are read anew in each pass. A row's index is its place among the rows of
    all hosts.
    """

    def __init__(
        self,
        run: Run[Any],
        rows: Rows,
        k: int,
        *,
        shared: bool | None = None,
        exact: bool | None = None,
    ) -> None:
        self.run, self.rows, self.k = run, rows, k
        cluster = run.cluster
        self.shared = cluster.agrees(rows.digest) if shared is None else shared
        counts = cluster.exchange(len(rows), "the numbers of rows")
        self.first = 0 if self.shared else sum(counts[: cluster.rank])
        self.count = len(rows) if self.shared else sum(counts)
        self.columns = rows.shape[1]
        self.blocks = self._cut(len(rows))
        few = self.count * self.columns * k <= FEW_PRODUCTS
        self._compute_in(np.float64 if (few if exact is None else exact) else np.float32)
        self.mean = np.zeros(self.columns)  # of the rows, as they are counted

    def _compute_in(self, dtype: type[Any]) -> None:
        self.dtype = dtype
        self.nearest = nearest(self.k, self.columns, self.run.devices, np.dtype(dtype).name)
        self._resident: list[NDArray] = []

    @property
    def _fits(self) -> bool:
        """Whether the rows, as they are computed with, may stay in memory."""
        allowed = int(self.run.hyperparameters.memory_mb) * 2**20
        return self.rows.in_memory and (
            self.dtype is np.float32
            or len(self.rows) * self.columns * np.dtype(self.dtype).itemsize <= allowed
        )

    @property
    def exact(self) -> bool:
        """Whether all is computed in float64."""
        return self.dtype is np.float64

    def compute_exactly(self) -> None:
        """Use float64 from now on, with the rows as they are held."""
        self._compute_in(np.float64)
        for name in ("norms", "scatter"):
            self.__dict__.pop(name, None)

    def _cut(self, size: int) -> list[Block]:
        """The blocks of this host, of its ``size`` rows."""
        numbers = BLOCK_NUMBERS if self.rows.in_memory else STREAMED_NUMBERS
        most = max(1, numbers // max(self.columns, self.k))
        length = min(most, -(-self.count // LEAST_BLOCKS))
        starts = list(range(0, size, length))
        if self.shared:
            rank, hosts = self.run.cluster.rank, self.run.cluster.count
            starts = starts[rank * len(starts) // hosts : (rank + 1) * len(starts) // hosts]
        devices = self.run.devices
        return [
            Block(start, min(start + length, size), devices[i % len(devices)])
            for i, start in enumerate(starts)
        ]

    def centre(self) -> None:
        """Count rows from among them from now on, where the formula of distances is accurate.

        From their mean, that is, unless few that lie far off have drawn it to where no others are:
        then from the edge of what nine tenths of a sample cover, column by column.
        """
        total = np.zeros(self.columns)
        for block in self.blocks:
            rows = self._read(block)
            total += np.ones(len(rows), rows.dtype) @ rows
        mean = self.sum("mean", total) / self.count
        places = np.linspace(0, self.count - 1, min(self.count, SAMPLED)).astype(np.int64)
        low, high = np.percentile(self.fetch(places), (5, 95), axis=0)
        self.rows.move_origin(np.clip(mean, low, high))
        self.mean = mean - self.rows.origin

    @cached_property
    def norms(self) -> list[NDArray]:
        """The squared length of each row, (B,) for each block."""
        return [lend(squared_lengths(self._read(b)), b.device) for b in self.blocks]

    @cached_property
    def scatter(self) -> float:
        """The sum of the squared lengths of all rows; infinite where float32 does not hold one."""
        lengths = (squared_lengths(self._read(block)) for block in self.blocks)
        return self.total(
            each.sum(dtype=np.float64) if (each <= LARGEST).all() else np.inf for each in lengths
        )

    @property
    def variance(self) -> float:
        """The mean variance of the columns."""
        about_mean = self.scatter - self.count * float(np.square(self.mean).sum())
        return max(0.0, about_mean) / self.count / self.columns

    def sum(self, name: str, mine: Array) -> Array:
        """``mine`` and the arrays of the other hosts, added up in float64."""
        every = self.run.cluster.gather(np.ravel(mine), name)
        total: Array = every.sum(axis=0).reshape(np.shape(mine))
        return total

    def inertia(self, centroids: Array, labels: list[Array]) -> float:
        """The squared distances of all rows from the ``centroids`` (K, D) of their ``labels``.

        Their sum, from the differences: no digits are lost, however near the rows lie.
        """
        return self.apart(centroids, zip(labels, map(self._read, self.blocks)))

    def apart(self, centroids: Array, parts: Iterable[tuple[Array, Array]]) -> float:
        """The same of rows (B, D) in ``parts``, each after its labels (B,)."""
        return self.total(
            squared_differences(rows, centroids.astype(self.dtype), own).sum(dtype=np.float64)
            for own, rows in parts
        )

    def total(self, mine: Iterable[float]) -> float:
        return float(self.sum("total", np.array([sum(mine)]))[0])

    def each(self) -> Iterator[tuple[Block, NDArray]]:
        """Each block with its rows (B, D), centred, on its device."""
        return zip(self.blocks, self.rows_on_devices())

    def rows_on_devices(self) -> Generator[NDArray, None, None]:
        """The rows (B, D) of each block, centred, on its device."""
        if self._fits:
            if not self._resident:
                self._resident = [lend(self._read(b), b.device) for b in self.blocks]
            yield from self._resident
            return
        stream = prefetched(self._read, self.blocks, depth=1)
        try:
            for block, rows in zip(self.blocks, stream):
                yield lend(rows, block.device)
        finally:
            stream.close()

    def _read(self, block: Block) -> Array:
        return self.rows.take(slice(block.start, block.stop), self.dtype)

    def no_labels(self) -> list[Array]:
        """For each block the labels (B,) of rows that belong to no centroid yet."""
        return [self.unassigned(block.stop - block.start) for block in self.blocks]

    def unassigned(self, count: int) -> Array:
        """The labels (count,) of rows that belong to no centroid yet."""
        return np.full(count, self.k, np.int32)

    def draw(self, size: int, *key: int) -> list[tuple[Array, Context]]:
        """The part of this host in ``size`` rows drawn with replacement, in pieces for its devices.

        Like the blocks, the pieces are the same for any number of devices.
        """
        cluster, devices = self.run.cluster, self.run.devices
        indices = self.run.rng(*key).integers(self.count, size=size)
        if not self.shared:  # each row as often as any other, whichever host has it
            inside = (indices >= self.first) & (indices < self.first + len(self.rows))
            indices = indices[inside] - self.first
            if not len(indices):
                return []
        pieces = np.array_split(indices, min(LEAST_BLOCKS * cluster.count, len(indices)))
        if self.shared:
            rank, hosts = cluster.rank, cluster.count
            pieces = pieces[rank * len(pieces) // hosts : (rank + 1) * len(pieces) // hosts]
        return [
            (self.rows.take(np.sort(piece), self.dtype), devices[i % len(devices)])
            for i, piece in enumerate(pieces)
        ]

    def fetch(self, indices: Array) -> Array:
        """The rows (M, D) at ``indices`` (M,), on every host."""
        if self.shared:
            return np.array(self.rows.take(indices, self.dtype))
        rows = np.zeros((len(indices), self.columns), self.dtype)
        own = (indices >= self.first) & (indices < self.first + len(self.rows))
        rows[own] = self.rows.take(indices[own] - self.first, self.dtype)
        if self.exact:
            return self.sum("rows", rows)
        parts = [mx.nd.array(rows, ctx=self.run.devices[0])]  # to which others add nothing but 0
        return self.run.sum("rows", parts).astype(np.float32)

    def sum_whole(self, mine: Array) -> Array:
        """Whole numbers (M,) of all hosts, added up exactly."""
        return self.run.cluster.sum_whole(mine)

    def changes(self, centroids: Array, parts: Iterable[tuple[Array, NDArray]]) -> Totals:
        """What moving rows to the closest of ``centroids`` (K, D) changes in the totals.

        A part is the labels (B,) int32 of rows, and the rows. A label is the centroid that a row
        has belonged to, or K for none; it is set to the new one.
        """
        place(self.nearest, centroids)
        devices = self.run.devices
        sums = {
            device: mx.nd.zeros((self.k, self.columns), device, "float64") for device in devices
        }
        exact_sums = np.zeros((self.k, self.columns))
        counts = np.zeros(self.k)
        pending: deque[tuple[Array, NDArray, NDArray]] = deque()

        def settle() -> None:
            labels, x, found = pending.popleft()
            new = found.asnumpy().astype(np.int32)
            if (labels != new).any():
                signs, places, ends = _moves(labels, new, self.k)
                signs = signs.astype(self.dtype, copy=False)
                counts[:] += np.bincount(places, signs, minlength=self.k)
                arrays = tuple(mx.nd.from_numpy(array) for array in (signs, places, ends))
                moves = mx.nd.sparse.csr_matrix(arrays, (len(new), self.k), x.context)
                change = mx.nd.dot(moves, x, transpose_a=True, forward_stype="default")
                if self.exact:  # in the order of the blocks, wherever they are
                    exact_sums[:] += change.asnumpy()
                else:
                    sums[x.context] += change.astype("float64")
                labels[:] = new

        for labels, x in parts:
            pending.append((labels, x, self.nearest(x)))
            if len(pending) > len(devices):  # each device has the next block while one is settled
                settle()
        while pending:
            settle()
        return Totals(
            self.sum("sums", exact_sums)
            if self.exact
            else self.run.sum("sums", list(sums.values())),
            self.sum_whole(counts).astype(np.float64),
        )

    def farthest(self, centroids: Array, labels: list[Array], count: int) -> tuple[Array, Array]:
        """The ``count`` rows (M, D) farthest from the centroid that ``labels`` gives them.

        And the labels. Rows that lie on their centroid are left out.
        """
        found: list[tuple[float, int, int]] = []
        for (block, x), own in zip(self.each(), labels):
            centres = mx.nd.array(centroids[own], ctx=block.device, dtype=self.dtype)
            apart = mx.nd.square(x - centres).sum(axis=1).asnumpy()
            best = np.argsort(-apart, kind="stable")[:count]
            rows = self.first + block.start + best
            found += zip((-apart[best]).tolist(), rows.tolist(), own[best].tolist())
            found = sorted(found)[:count]
        gathered = self._gather(found, count)
        chosen = [(row, label) for apart, row, label in gathered[:count] if apart < 0]
        indices = np.array([row for row, _ in chosen], np.int64)
        return self.fetch(indices), np.array([label for _, label in chosen], np.int64)

    def _gather(
        self, found: list[tuple[float, int, int]], count: int
    ) -> list[tuple[float, int, int]]:
        """What all hosts have found, in order."""
        filled = np.zeros((count, 3))
        filled[: len(found)] = np.array(found).reshape(-1, 3)
        every = self.run.cluster.gather(filled.ravel(), "the farthest rows").reshape(-1, 3)
        return sorted((float(apart), int(row), int(label)) for apart, row, label in every)

    def closest(self, centroids: Array) -> Generator[tuple[Block, Array, Array], None, None]:
        """For each block the closest of ``centroids`` (K, D) and its squared distance, (B,)."""
        for (block, x), norms in zip(self.each(), self.norms):
            points = mx.nd.array(centroids, ctx=block.device, dtype=self.dtype)
            apart = squared_distances(x, norms, points)
            yield block, apart.argmin(axis=1).asnumpy().astype(int), apart.min(axis=1).asnumpy()


def _moves(old: Array, new: Array, k: int) -> tuple[Array, Array, Array]:
    """The parts (data, indices, indptr) of a sparse matrix (B, K) of what labels (B,) change.

    In the row of each that moved there is 1 where to, and -1 where from unless that was nowhere.
    The product of its transpose with the rows is the change of all sums, without a pass over the
    rows that stay: after a few iterations nearly all do.
    """
    moved = old != new
    used = np.stack([moved, moved & (old < k)], axis=1)
    signs = np.broadcast_to(np.array([1, -1], np.float32), used.shape)[used]
    places = np.stack([new, old], axis=1)[used].astype(np.int64)
    return signs, places, np.concatenate([[0], np.cumsum(used.sum(axis=1))])


def squared_lengths(rows: Array) -> Array:
    """Of each of ``rows`` (B, D): (B,). On the host: mxnet takes 20 times as long."""
    lengths: Array = np.einsum("ij,ij->i", rows, rows)
    return lengths


def squared_differences(rows: Array, centroids: Array, labels: Array) -> Array:
    """Of each of ``rows`` (B, D) from its own of ``centroids`` (K, D): (B,)."""
    found = np.empty(len(rows), centroids.dtype)
    for chunk in chunks(len(rows), max(1, DIFFERENCE_NUMBERS // rows.shape[1])):
        apart = centroids[labels[chunk]]
        np.subtract(rows[chunk], apart, out=apart)
        found[chunk] = squared_lengths(apart)
    return found


def lend(rows: Array, device: Context) -> NDArray:
    """``rows`` on ``device``; on the CPU they are used where they lie, and not to be written to."""
    return mx.nd.from_numpy(rows, zero_copy=True).as_in_context(device)
