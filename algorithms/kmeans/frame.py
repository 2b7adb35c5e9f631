"""The offset or precision of the answers, so that float32 does not blur clusters of large numbers.

A network takes rows in float32, whose steps between 1.7e9 and 3.4e9 are of 128. Where that matters,
an offset is taken from the rows in float64 before. Where it does not help, since some values of a
column are far from each other and others too near, answers are computed in float64 throughout.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

import numpy as np

from ...core import Array, ArtifactError
from ...core.artifact.metadata import METADATA
from ...core.data.dataset import chunks
from .sharding import squared_differences

ROUNDING = 2.0**-24  # of a float32, at most, relative to itself
FINE = 2.0**-10  # a rounding that does not count, relative to a distance that does
MAX_COMPARED = 2048  # clusters of which the nearest two are sought
MAX_NUMBERS = 2**20  # of centroids in the metadata
MAX_NAMED = 5
OFFSET, CENTROIDS = "offset", "centroids"  # in the artifact's metadata
SCORES = 2**22  # at a time


class Frame(NamedTuple):
    """How an artifact keeps the precision of its answers.

    ``offset`` (D,) float64 is taken from rows before the network, 0 for most columns; ``origin``
    (D,) is where the network counts from, after that. ``centroids`` (K, D) float64 are there where
    its float32 does not do. ``notes`` are for the log.
    """

    offset: Array
    origin: Array
    centroids: Array | None
    notes: tuple[str, ...] = ()

    def encoding(self) -> dict[str, Any]:
        """For the artifact's metadata; nothing for most."""
        held = {OFFSET: self.offset if self.offset.any() else None, CENTROIDS: self.centroids}
        return {name: array.tolist() for name, array in held.items() if array is not None}


def choose_frame(centroids: Array, sizes: Array, inertia: float) -> Frame:
    """The frame of ``centroids`` (K, D) float64 of so many rows (K,), for the ``inertia`` left.

    The origin is the median of the centroids, each counted as often as it has rows: the mean may
    lie far from all.
    """
    middle = _medians(centroids, sizes).astype(np.float32).astype(np.float64)
    limit = FINE * _distance_that_counts(centroids, sizes, inertia)
    blurred = ROUNDING * np.abs(centroids).max(axis=0) > limit
    offset = np.where(blurred, middle, 0.0)
    hopeless = ROUNDING * np.abs(centroids - offset).max(axis=0) > limit
    exact: Array | None = None
    notes: tuple[str, ...] = ()
    if hopeless.any() and centroids.size <= MAX_NUMBERS:
        exact = centroids
        notes = (
            f"{_named(hopeless)}: values are too close together for float32, given their range: "
            "predictions are computed in float64, with the centroids in the metadata",
        )
    elif hopeless.any():
        notes = (
            f"warning: {_named(hopeless)}: values are too close together for float32, given "
            "their range, and a model of this size predicts in float32: predictions may differ "
            "from the clusters of the training; leave the column out, or split the rows",
        )
    elif blurred.any():
        notes = (
            f"{_named(blurred)}: values are too large for float32 to tell apart: an offset, kept "
            "in the metadata, is subtracted before the network",
        )
    return Frame(offset, middle - offset, exact, notes)


def read_frame(encoding: Mapping[str, Any], k: int, columns: int) -> Frame:
    """The frame in an artifact's metadata; earlier ones hold none. Raises ArtifactError."""
    offset = _array(encoding, OFFSET, (columns,))
    exact = _array(encoding, CENTROIDS, (k, columns))
    nothing = np.zeros(columns)
    return Frame(nothing if offset is None else offset, nothing, exact)


def _array(encoding: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array | None:
    given = encoding.get(name)
    if given is None:
        return None
    fault = ArtifactError(
        f"{METADATA}: encoding: {name}: expected finite numbers, in lists of shape {shape}"
    )
    if not isinstance(given, list):
        raise fault
    try:
        array: Array = np.array(given)
    except (TypeError, ValueError, OverflowError):  # ragged, or of other things
        raise fault from None
    if array.shape != shape or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise fault
    return array.astype(np.float64)


def nearest_in_float64(rows: Array, centroids: Array) -> tuple[Array, Array]:
    """The closest of ``centroids`` (K, D) to each of ``rows`` (N, D), (N,), and the distance."""
    middle = np.median(centroids, axis=0)
    held = centroids - middle
    halves = np.square(held).sum(axis=1) / 2
    closest = np.empty(len(rows), np.int64)
    for chunk in chunks(len(rows), max(1, SCORES // len(centroids))):
        scores = (rows[chunk].astype(np.float64) - middle) @ held.T
        closest[chunk] = (scores - halves).argmax(axis=1)
    return closest, np.sqrt(squared_differences(rows.astype(np.float64), centroids, closest))


def _medians(centroids: Array, sizes: Array) -> Array:
    """Of each column of ``centroids`` (K, D) the median, weighed by ``sizes`` (K,): (D,)."""
    order = np.argsort(centroids, axis=0, kind="stable")
    weights = np.cumsum(sizes[order], axis=0)
    places = (weights >= weights[-1] / 2).argmax(axis=0)
    columns = np.arange(centroids.shape[1])
    medians: Array = centroids[order[places, columns], columns]
    return medians


def _distance_that_counts(centroids: Array, sizes: Array, inertia: float) -> float:
    """How far rows are from their centroid on average, or the nearest two centroids apart."""
    found = [np.sqrt(inertia / sizes.sum())] if inertia > 0 else []
    filled = centroids[sizes > 0]
    if 1 < len(filled) <= MAX_COMPARED:
        filled = filled - filled.mean(axis=0)
        lengths = np.square(filled).sum(axis=1)
        apart = lengths[:, None] - 2 * filled @ filled.T + lengths
        apart[np.diag_indices(len(filled))] = np.inf
        nearest = np.unravel_index(apart.argmin(), apart.shape)
        found.append(np.sqrt(np.square(filled[nearest[0]] - filled[nearest[1]]).sum()))
    return float(min((each for each in found if each > 0), default=1.0))


def _named(chosen: Array) -> str:
    """The columns ``chosen`` (D,), counted from 1."""
    columns = np.flatnonzero(chosen) + 1
    more = len(columns) - MAX_NAMED
    word = "column" if len(columns) == 1 else "columns"
    numbers = ", ".join(map(str, columns[:MAX_NAMED]))
    return f"{word} {numbers}" + (f" and {more:,} more" if more > 0 else "")
