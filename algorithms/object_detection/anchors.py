"""Anchors: the sizes of boxes from which a detector starts, found in the data.

J. Redmon and A. Farhadi, "YOLO9000: better, faster, stronger", CVPR 2017, section 2: k-means on
sizes, where nearness is intersection over union.
"""

from __future__ import annotations

import numpy as np

from ...core import Array

ROUNDS = 100
ENDS = (0.02, 0.98)  # what is smaller or larger than almost all may be a mistake
COLUMNS = 5  # of an anchor, see grid
# Where there are no boxes to learn from: sides from a 16th of the picture to all of it.
WITHOUT_DATA = (1 / 16, 1.0)


def sizes_of(sizes: Array, count: int) -> Array:
    """The ``count`` anchors (count, 2), widths and heights, that fit boxes of ``sizes`` (N, 2)
    best, the smallest first; all from 0 to 1, in widths and heights of the picture.

    The same boxes give the same anchors, whatever their order.
    """
    sizes = np.asarray(sizes, np.float64)
    sizes = sizes[(sizes > 0).all(axis=1)]
    if not len(sizes):
        sides = np.geomspace(*WITHOUT_DATA, count)
        return np.stack([sides, sides], axis=1)
    sizes = sizes[np.lexsort((*sizes.T, sizes.prod(axis=1)))]
    # From sizes that are spread evenly, however many boxes have them: else a rare kind of object
    # that is small is left to an anchor of the common ones.
    areas = np.log(sizes.prod(axis=1))
    low, high = np.quantile(areas, ENDS)
    spread = np.linspace(low, high, count)
    found = sizes[np.abs(areas[:, None] - spread).argmin(axis=0)]
    for _ in range(ROUNDS):
        nearest = overlaps(sizes, found).argmax(axis=1)
        moved = found.copy()
        for place in np.unique(nearest):
            moved[place] = np.median(sizes[nearest == place], axis=0)
        if np.array_equal(moved, found):
            break
        found = moved
    ordered: Array = found[np.lexsort((*found.T, found.prod(axis=1)))]
    return ordered


def overlaps(sizes: Array, others: Array) -> Array:
    """Intersection over union (N, K) of boxes of ``sizes`` (N, 2) and ``others`` (K, 2) that share
    their centres.
    """
    both = np.minimum(sizes[:, None], others[None]).prod(axis=2)
    found: Array = both / (sizes.prod(axis=1)[:, None] + others.prod(axis=1)[None] - both)
    return found


def grid(sizes: Array, sides: tuple[int, ...]) -> Array:
    """Anchors (A, COLUMNS) of centre x, centre y, width, height and the side of the cell, all in
    widths and heights of the picture: those of ``sizes`` (L, K, 2) at each place of L maps,
    ``sides`` wide and high.

    In the order of the maps, of their rows, of the places in a row, and of the K.
    """
    parts = []
    for side, of_map in zip(sides, sizes):
        centres = (np.arange(side) + 0.5) / side
        y, x = np.meshgrid(centres, centres, indexing="ij")
        part = np.empty((side, side, len(of_map), COLUMNS))
        part[..., 0], part[..., 1], part[..., 2:4] = x[..., None], y[..., None], of_map
        part[..., 4] = 1 / side
        parts.append(part.reshape(-1, COLUMNS))
    whole: Array = np.concatenate(parts).astype(np.float32)
    return whole
