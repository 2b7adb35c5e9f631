"""Clusters in a plane, by the two principal components of the rows: for plots and text."""

from __future__ import annotations

import numpy as np

from ...core import Array
from ...core.algorithm.evaluation import Scatter
from ...core.data.rows import Rows

MAX_POINTS = 5000
_MARKS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def project(rows: Rows, clusters: Array, centroids: Array) -> Scatter:
    """Rows evenly chosen, at most MAX_POINTS, and ``centroids`` (K, D), on two axes.

    With more than two columns those are the first principal components, with one it is drawn
    twice. ``clusters`` (N,) is the cluster of each row.
    """
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_POINTS)).astype(np.int64))
    points = rows.take(chosen, np.float64)
    names = ("column 1", f"column {min(2, points.shape[1])}")
    axes = np.eye(points.shape[1])[:, [0, min(1, points.shape[1] - 1)]]
    mean = np.zeros(points.shape[1])
    if points.shape[1] > 2:
        mean = points.mean(axis=0)
        axes, shares = _principal(points - mean)
        names = (f"first principal component ({shares[0]:.0%} of the variance)",
                 f"second principal component ({shares[1]:.0%})")  # fmt: skip
    return Scatter((points - mean) @ axes, clusters[chosen], (centroids - mean) @ axes, names)


def _principal(points: Array) -> tuple[Array, Array]:
    """Two directions (D, 2) of centred ``points`` (N, D), and their shares of the variance."""
    count, columns = points.shape
    if columns <= count:
        values, vectors = np.linalg.eigh(points.T @ points)
        axes = vectors[:, [-1, -2]]
    else:
        values, vectors = np.linalg.eigh(points @ points.T)
        axes = points.T @ vectors[:, [-1, -2]] if count > 1 else np.eye(columns)[:, :2]
        axes = axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-30)
    # a direction and its opposite are one: let the largest part be positive
    largest = axes[np.abs(axes).argmax(axis=0), [0, 1]]
    shares = np.append(values[::-1], [0.0, 0.0])[:2] / max(float(values.sum()), 1e-30)
    return axes * np.where(largest < 0, -1, 1), shares


def preview(scatter: Scatter, width: int) -> str:
    """The plane in characters: the cluster of a row, ``·`` where there are too many to name."""
    columns, lines = max(10, min(width, 72)), 20
    low, high = scatter.points.min(axis=0), scatter.points.max(axis=0)
    place = (scatter.points - low) / np.maximum(high - low, 1e-30)
    across = (place[:, 0] * (columns - 1)).round().astype(int)
    down = ((1 - place[:, 1]) * (lines - 1)).round().astype(int)
    canvas = [[" "] * columns for _ in range(lines)]
    for x, y, group in zip(across, down, scatter.groups):
        canvas[y][x] = _MARKS[group] if group < len(_MARKS) else "·"
    return "\n".join("".join(line).rstrip() for line in canvas)
