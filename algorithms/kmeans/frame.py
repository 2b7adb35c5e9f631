"""What the artifact counts from, so that float32, in which it answers, tells the clusters apart.

A network takes rows in float32, whose steps between 1.7e9 and 3.4e9 are of 128: where that matters,
an offset is taken from the rows in float64 before, and kept in the artifact's metadata.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...core import Array

ROUNDING = 2.0**-24  # of a float32, at most, relative to itself
FINE, COARSE = 2.0**-10, 2.0**-2  # roundings, relative to a distance that counts
MOST_COMPARED = 2048  # clusters of which the nearest two are sought
MOST_NAMED = 5


class Frame(NamedTuple):
    """``offset`` (D,) float64 is taken from rows before the network, 0 for most columns.

    ``origin`` (D,) is where the network counts from, after that; ``notes`` are for the log.
    """

    offset: Array
    origin: Array
    notes: list[str]


def choose_frame(centroids: Array, sizes: Array, inertia: float) -> Frame:
    """The frame of ``centroids`` (K, D) float64 of so many rows (K,), for the ``inertia`` left.

    The origin is the median of the centroids, each counted as often as it has rows: the mean may
    lie far from all. A column has an offset where float32 would blur it, and is warned of where
    that does not help: where some of its values are far from each other, and others too near.
    """
    middle = _medians(centroids, sizes).astype(np.float32).astype(np.float64)
    matters = _distance_that_counts(centroids, sizes, inertia)
    blurred = ROUNDING * np.abs(centroids).max(axis=0) > FINE * matters
    offset = np.where(blurred, middle, 0.0)
    reach = np.abs(centroids - offset).max(axis=0)
    notes = []
    if offset.any():
        notes.append(
            f"{_named(np.flatnonzero(offset))}: the artifact's network, in float32, takes what is "
            f"left after the {'offset' if offset.astype(bool).sum() == 1 else 'offsets'} in its "
            "metadata; its answers allow for that"
        )
    hopeless = np.flatnonzero(ROUNDING * reach > COARSE * matters)
    if len(hopeless):
        column = hopeless[0]
        notes.append(
            f"warning: {_named(hopeless)}: float32, in which a model answers, has steps of "
            f"{2 * ROUNDING * reach[column]:.2g} there, and distances of {matters:.2g} count: "
            "answers may name another cluster than training did. Leave the column out, or divide "
            "the rows where it has its gap"
        )
    return Frame(offset, middle - offset, notes)


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
    if 1 < len(filled) <= MOST_COMPARED:
        filled = filled - filled.mean(axis=0)
        lengths = np.square(filled).sum(axis=1)
        apart = lengths[:, None] - 2 * filled @ filled.T + lengths
        apart[np.diag_indices(len(filled))] = np.inf
        nearest = np.unravel_index(apart.argmin(), apart.shape)
        found.append(np.sqrt(np.square(filled[nearest[0]] - filled[nearest[1]]).sum()))
    return float(min((each for each in found if each > 0), default=1.0))


def _named(columns: Array) -> str:
    numbers = [str(column + 1) for column in columns[:MOST_NAMED]]
    more = len(columns) - len(numbers)
    word = "column" if len(columns) == 1 else "columns"
    return f"{word} {', '.join(numbers)}" + (f" and {more:,} more" if more else "")
