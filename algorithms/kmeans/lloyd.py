"""Training: Lloyd's iterations over all rows, or steps over mini-batches.

S. P. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28, 1982;
D. Sculley, "Web-scale k-means clustering", WWW 2010. Both go on from a checkpoint to the same bits:
all that is random is a function of the seed and the place in the training.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, NamedTuple

import numpy as np

from ...core import Array, Context, Run, mx
from ...core.data.dataset import prefetched
from ...core.training.reporting import peak_memory_mb
from ...core.training.stopping import stopped
from .sharding import ShardedRows, Totals, lend, squared_lengths

# What random numbers are for, so that no two purposes share a stream.
SAMPLE, START, BATCH, RESEED = range(4)
MAX_RESEEDED = 1000  # centroids in one iteration
SEGMENT = 8  # mini-batches between two looks at the clock and at signals
# The scatter of the rows, in multiples of what is left within the clusters: from here on sums in
# float32 no longer give that to the digits that are reported; from there on float32 no longer tells
# which centroid is the closest, and all is computed in float64.
UNTRUSTED, UNTOLD = 2.0**4, 2.0**12


@dataclass
class Position:
    """Where a training stands: ``done`` iterations, or mini-batches, of restart ``restart``.

    ``inertia`` is the sum of the squared distances of all rows from their centroids, ``passed``
    that of the mini-batches of this pass, and ``best`` the least at the end of a restart. ``exact``
    is whether the rows have turned out to need float64.
    """

    restart: int = 0
    done: int = 0
    inertia: float = 0.0
    passed: float = 0.0
    best: float | None = None
    exact: bool = False
    metrics: dict[str, float] = field(default_factory=dict)


class Found(NamedTuple):
    """``centroids`` (K, D) float64, how many rows are closest to each (K,), and the inertia."""

    centroids: Array
    sizes: Array
    inertia: float


class Fit:
    """Restarts of k-means over ``shards``; ``start`` gives the first centroids of each, (K, D)."""

    def __init__(self, run: Run[Any], shards: ShardedRows, start: Callable[[int], Array]) -> None:
        self.run, self.shards, self.start = run, shards, start
        self.options = run.hyperparameters
        # Relative to the variance of the columns, as in scikit-learn.
        self.tolerance = self.options.tolerance * shards.variance
        self.batch = min(self.options.batch_size, shards.count)
        self.per_pass = -(-shards.count // self.batch) if self.batch else 1
        self.steps = self.options.max_iterations * self.per_pass
        self.position = Position()
        self.state: dict[str, Array] = {}  # all float64
        self.passes = self.step = 0  # at the last report

    def run_all(self) -> Found:
        """What the best restart has found."""
        position = self._resume()
        self.run.reporter.begin(self.steps * self.options.restarts)
        ended = ""
        while position.restart < self.options.restarts and not ended:
            if self.options.restarts > 1:
                self.run.reporter.message(
                    f"restart {position.restart + 1} of {self.options.restarts}"
                )
            if "centroids" not in self.state:
                self.state["centroids"] = self.start(position.restart).astype(np.float64)
            ended = self._batches() if self.batch else self._iterations()
            if position.best is None or position.inertia < position.best:
                position.best = position.inertia
                self.state["best"] = self.state["centroids"]
                self.state["sizes"] = self.state["assigned"]
            self.state = {name: self.state[name] for name in ("best", "sizes")}
            position.restart, position.done = position.restart + 1, 0
        if ended:
            self.run.reporter.message(f"stopping early: {ended}")
        return Found(self.state["best"], self.state["sizes"], float(position.best or 0.0))

    def _resume(self) -> Position:
        checkpoint = self.run.resume()
        if checkpoint is not None:
            self.position = Position(**checkpoint.position)
            saved = checkpoint.arrays["clusters"]
            self.state = {name: array.asnumpy() for name, array in saved.items()}
            self.run.metrics.update(self.position.metrics)
            self.step = checkpoint.step
            if self.position.exact:
                self.shards.compute_exactly()
        return self.position

    def _iterations(self) -> str:
        """Lloyd's iterations to the end of a restart; why all should end, or an empty string."""
        position, state, shards = self.position, self.state, self.shards
        labels, totals = self._assigned()
        if "sums" in state:  # of a checkpoint: kept, since adding up anew would round anew
            totals = Totals(state["sums"], state["counts"])
        ended = ""
        while position.done < self.options.max_iterations and not ended:
            started = time.monotonic()
            before = state["centroids"]
            state["centroids"] = self._means(totals, labels)
            changes = shards.changes(state["centroids"], zip(labels, shards.rows_on_devices()))
            totals = totals.plus(changes)
            position.inertia = self._inertia(totals, labels)
            if self._needs_float64(position.inertia):
                labels, totals = self._assigned()
                position.inertia = shards.inertia(state["centroids"], labels)
            state["sums"], state["counts"] = totals
            self._count()
            self._report(position.inertia / shards.count, position.done, started)
            if self._settled(before):
                break
            ended = self._look_up()
        position.inertia = shards.inertia(state["centroids"], labels)
        state["assigned"] = totals.counts
        return ended

    def _assigned(self) -> tuple[list[Array], Totals]:
        """The labels (B,) of each block by the centroids as they are, and what they add up to."""
        labels, shards = self.shards.no_labels(), self.shards
        parts = zip(labels, shards.rows_on_devices())
        totals = shards.changes(self.state["centroids"], parts)
        return labels, totals

    def _needs_float64(self, inertia: float) -> bool:
        """Whether the digits of float32 have turned out too few; from now on float64 is used."""
        if self.shards.exact or self.shards.scatter <= UNTOLD * inertia:
            return False
        self.run.reporter.message(
            "the rows are close together compared with their range: computing in float64 from "
            "here on"
        )
        self.shards.compute_exactly()
        self.position.exact = True
        return True

    def _means(self, totals: Totals, labels: list[Array]) -> Array:
        """The means of the rows of each centroid; one without rows gets the row farthest off.

        That row is taken from the centroid it belonged to, as scikit-learn does it. A centroid
        stays where it is when every row lies on one already.
        """
        sums, counts = totals.sums.copy(), totals.counts.copy()
        empty = np.flatnonzero(counts == 0)[:MAX_RESEEDED]
        if len(empty):
            rows, owners = self.shards.farthest(self.state["centroids"], labels, len(empty))
            for place, row, owner in zip(empty, rows, owners):
                if counts[owner] > 1:
                    sums[owner] -= row
                    counts[owner] -= 1
                    sums[place], counts[place] = row, 1
        stay = counts[:, None] == 0
        return np.where(stay, self.state["centroids"], sums / np.maximum(counts, 1)[:, None])

    def _inertia(self, totals: Totals, labels: list[Array]) -> float:
        """The inertia in the course of a restart: from sums, where that is accurate enough."""
        found = self._distance(totals, self.shards.scatter)
        return self.shards.inertia(self.state["centroids"], labels) if found is None else found

    def _distance(self, totals: Totals, lengths: float) -> float | None:
        """The squared distances of rows from the centroids that ``totals`` were assigned by.

        Their sum, that is, from sums alone; ``lengths`` is that of the rows' squared lengths. None
        where too few of its digits are left.
        """
        if self.shards.exact:
            return None
        centroids = self.state["centroids"]
        products = 2 * np.vdot(totals.sums, centroids)
        from_origin = totals.counts @ np.square(centroids).sum(axis=1)
        found = float(lengths - products + from_origin)
        return found if found * UNTRUSTED > lengths else None

    def _settled(self, before: Array) -> bool:
        moved = np.square(self.state["centroids"] - before).sum()
        return bool(moved <= self.tolerance)

    def _batches(self) -> str:
        """Mini-batches to the end of a restart; why all should end, or an empty string.

        A centroid is the mean of all rows of mini-batches that were the closest to it when drawn.
        """
        position, state, shards = self.position, self.state, self.shards
        if "counts" not in state:
            state["counts"] = np.zeros(len(state["centroids"]))
            self._begin_pass()
        ended, started = "", time.monotonic()
        stream = prefetched(self._read, range(position.done, self.steps))
        try:
            for pieces in stream:
                self._step(pieces)
                if position.done % self.per_pass == 0:
                    msd = position.passed / state["seen"].sum()
                    self._needs_float64(msd * shards.count)
                    self._report(msd, position.done // self.per_pass, started)
                    before, started = state["before"], time.monotonic()
                    self._reseed()
                    if self._settled(before):
                        break
                    self._begin_pass()
                if position.done % SEGMENT == 0:
                    ended = self._look_up()
                    if ended:
                        break
        finally:
            stream.close()
        labels, totals = self._assigned()
        position.inertia = shards.inertia(state["centroids"], labels)
        state["assigned"] = totals.counts
        return ended

    def _read(self, step: int) -> list[tuple[Array, Context]]:
        """The part of this host in mini-batch ``step``, in pieces for its devices."""
        return self.shards.draw(self.batch, BATCH, self.position.restart, step)

    def _step(self, pieces: list[tuple[Array, Context]]) -> None:
        """D. Sculley's update for all rows of a mini-batch (on this host: ``pieces``) at once."""
        state, shards = self.state, self.shards
        # those read ahead may have the dtype of before
        host = [rows.astype(shards.dtype, copy=False) for rows, _ in pieces]
        lengths = shards.total(squared_lengths(rows).sum(dtype=np.float64) for rows in host)
        placed = [lend(rows, device) for rows, (_, device) in zip(host, pieces)]
        labels = [shards.unassigned(len(rows)) for rows in host]
        sums, counts = shards.changes(state["centroids"], zip(labels, placed))
        passed = self._distance(Totals(sums, counts), lengths)
        if passed is None:
            passed = shards.apart(state["centroids"], zip(labels, host))
        self.position.passed += passed
        state["counts"] = state["counts"] + counts
        state["seen"] = state["seen"] + counts
        moves: Array = sums - counts[:, None] * state["centroids"]
        state["centroids"] = state["centroids"] + moves / np.maximum(state["counts"], 1)[:, None]
        self._count()

    def _begin_pass(self) -> None:
        self.position.passed = 0.0
        self.state["before"] = self.state["centroids"]
        self.state["seen"] = np.zeros(len(self.state["centroids"]))

    def _reseed(self) -> None:
        """Move centroids that a whole pass gave no row to rows drawn at random."""
        empty = np.flatnonzero(self.state["seen"] == 0)
        if len(empty):
            rng = self.run.rng(RESEED, self.position.restart, self.position.done)
            centroids, counts = self.state["centroids"].copy(), self.state["counts"].copy()
            centroids[empty] = self.shards.fetch(rng.integers(self.shards.count, size=len(empty)))
            counts[empty] = 0
            self.state.update(centroids=centroids, counts=counts)

    def _count(self) -> None:
        self.position.done += 1
        self.step = self.position.restart * self.steps + self.position.done
        self.run.reporter.step(self.step)

    def _report(self, msd: float, epoch: int, started: float) -> None:
        """Tell the mean squared distance after pass ``epoch`` over the rows."""
        measured = {
            "train:throughput": self.shards.count / max(1e-9, time.monotonic() - started),
            "train:peak_memory_mb": peak_memory_mb(),
        }
        self.passes = epoch
        self.run.report({"train:msd": msd}, epoch=epoch, step=self.step, measured=measured)
        self.position.metrics = dict(self.run.metrics)

    def _look_up(self) -> str:
        """Between two steps: why the training should end here, or an empty string.

        Takes a checkpoint where one is due. Raises Stopped where a signal asks for an end.
        """
        run = self.run
        target = run.options.target_metric
        msd = run.metrics.get("train:msd")
        decision = run.decide()
        if decision.save:
            saved = {
                name: mx.nd.array(array, dtype="float64") for name, array in self.state.items()
            }
            run.checkpoint(self.step, asdict(self.position), {"clusters": saved})
        if decision.stop:
            raise stopped(decision.stop, f"after step {self.step}")
        if target is not None and msd is not None and msd <= target:
            return f"train:msd has reached {msd:.6g}; the target is {target:.6g}"
        return decision.why if decision.over else ""
