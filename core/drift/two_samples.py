"""Tests of two samples: do both come of one distribution? Each gives a p-value and an effect.

An effect is 0 where nothing has changed, and says how much has whatever the sizes of the samples:
of large ones, a p-value is small for changes that nobody needs to know of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping, Sequence

import numpy as np

from ..runtime.types import Array
from .distributions import chi_squared_tail, kolmogorov_tail, normal_tail

BINS = 10  # of the population stability index
FLOOR = 1e-4  # the least share of a bin there, or an empty one would be infinite
FEWEST_EXPECTED = 5.0  # in a cell of chi-squared's table; rarer categories are joined
MAX_CATEGORIES = 30
OTHERS = "(others)"
PERMUTATIONS = 1999
PERMUTED = 200  # at once


@dataclass(frozen=True)
class Tested:
    """``effect`` from 0 to 1, and the probability of one as large, or larger, by chance.

    ``psi`` is the population stability index, where there is one.
    """

    effect: float
    p: float
    psi: float | None = None


def kolmogorov_smirnov(first: Array, second: Array) -> Tested:
    """Of numbers (N,) and (M,): the effect is the largest distance of their distributions.

    The p-value is of continuous numbers, with M. A. Stephens' correction for small samples (JRSS B
    32, 1970); of ties it is too large, and so on the safe side.
    """
    one, other = np.sort(first), np.sort(second)
    both = np.concatenate([one, other])
    below = np.searchsorted(one, both, "right") / len(one)
    below -= np.searchsorted(other, both, "right") / len(other)
    distance = float(np.abs(below).max())
    root = math.sqrt(len(one) * len(other) / len(both))
    p = kolmogorov_tail((root + 0.12 + 0.11 / root) * distance)
    return Tested(distance, min(1.0, max(0.0, p)), stability(first, second))


def stability(first: Array, second: Array) -> float:
    """The population stability index over tenths of ``first``: below 0.1 little, above 0.25 much
    has changed, as banks read it.
    """
    edges = np.unique(np.quantile(first, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) for x in (first, second)
    ]
    return _index(*(each / each.sum() for each in counts))


def _index(first: Array, second: Array) -> float:
    a, b = np.maximum(first, FLOOR), np.maximum(second, FLOOR)
    return float(((b - a) * np.log(b / a)).sum())


def chi_squared(first: Mapping[str, int], second: Mapping[str, int]) -> Tested:
    """Of counts by category: the effect is the share of examples that would have to be in another
    category, the total variation distance.

    Categories that are rare in both are joined, as are all but the most frequent MAX_CATEGORIES.
    """
    table = np.array(list(zip(*joined(first, second).values())), float).reshape(2, -1)
    totals = table.sum(axis=1, keepdims=True)
    shares = table / totals
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    degrees = table.shape[1] - 1
    if degrees < 1:
        return Tested(0.0, 1.0, 0.0)
    expected = totals * table.sum(axis=0) / table.sum()
    statistic = float((np.square(table - expected) / expected).sum())
    return Tested(effect, chi_squared_tail(statistic, degrees), _index(shares[0], shares[1]))


def joined(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The counts of each category in both, those of rare ones together as OTHERS."""
    names = sorted({*first, *second}, key=lambda n: (-first.get(n, 0) - second.get(n, 0), n))
    sizes = sum(first.values()), sum(second.values())
    part = min(sizes) / max(1, sum(sizes))
    found: dict[str, tuple[int, int]] = {}
    rest = [0, 0]
    for name in names:
        pair = first.get(name, 0), second.get(name, 0)
        if len(found) < MAX_CATEGORIES and sum(pair) * part >= FEWEST_EXPECTED:
            found[name] = pair
        else:
            rest = [rest[0] + pair[0], rest[1] + pair[1]]
    if sum(rest) * part >= FEWEST_EXPECTED or not found:
        found[OTHERS] = rest[0], rest[1]
    elif sum(rest):  # too few to be a category: with the rarest
        name = min(found, key=lambda n: sum(found[n]))
        found[name] = found[name][0] + rest[0], found[name][1] + rest[1]
    return found


def energy(first: Array, second: Array, rng: np.random.Generator) -> Tested:
    """Of vectors (N, D) and (M, D): the energy distance, by permutation.

    The effect is the root of 1 - (mean distance within) / (mean distance between): for a shift of
    the mean of one number about half of the shift in standard deviations. G. Székely and M. Rizzo,
    "Testing for equal distributions in high dimension", InterStat, 2004.
    """
    both = np.concatenate([first, second]).astype(np.float64)
    n, m = len(first), len(second)
    squares = np.square(both).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0))
    np.fill_diagonal(distances, 0)
    whole = float(distances.sum())
    rows = distances.sum(axis=1)

    def statistics(members: Array) -> tuple[Array, Array]:
        """Between less within, and between, of masks (B, N + M) of the first sample."""
        within = ((members @ distances) * members).sum(axis=1)
        reached = members @ rows
        between = (reached - within) / (n * m)
        others = whole - 2 * reached + within
        inner = within / (n * (n - 1)) + others / (m * (m - 1))
        return 2 * between - inner, 2 * between

    own = np.zeros((1, n + m))
    own[0, :n] = 1
    (found,), (between,) = statistics(own)
    larger = 0
    for start in range(0, PERMUTATIONS, PERMUTED):
        count = min(PERMUTED, PERMUTATIONS - start)
        masks = np.zeros((count, n + m))
        chosen = np.argpartition(rng.random((count, n + m)), n - 1, axis=1)[:, :n]
        np.put_along_axis(masks, chosen, 1.0, axis=1)
        larger += int((statistics(masks)[0] >= found - 1e-12).sum())
    effect = math.sqrt(max(0.0, found / between)) if between else 0.0
    return Tested(effect, (1 + larger) / (1 + PERMUTATIONS))


def separability(
    first: Array, second: Array, rng: np.random.Generator
) -> tuple[Tested, Array, Array]:
    """Of rows (N, D) and (M, D) of length 1 or 0: how well a classifier tells them apart.

    A ridge classifier learns from either half, and is asked about the other; what counts is the
    area under its ROC curve (0.5: not at all), whose distance from 0.5 is half the effect, by the
    test of Mann and Whitney. The two p-values depend on each other, and twice their mean is one
    whatever their dependence (L. Rüschendorf, "Random variables with maximum sums", 1982).
    Besides, the scores of ``first`` and of ``second``, the higher the more like ``second``.
    """
    halves = []
    for rows in (first, second):
        order = rng.permutation(len(rows))
        halves.append((order[: len(order) // 2], order[len(order) // 2 :]))
    scores = np.zeros(len(first)), np.zeros(len(second))
    areas, chances = [], []
    for learn, ask in ((0, 1), (1, 0)):
        x = np.concatenate([first[halves[0][learn]], second[halves[1][learn]]])
        counts = [len(halves[side][learn]) for side in (0, 1)]
        y = np.concatenate([np.full(counts[0], -1 / counts[0]), np.full(counts[1], 1 / counts[1])])
        dual = np.linalg.solve(x @ x.T + np.eye(len(x)), y)
        weights = x.T @ dual
        for side, rows in ((0, first), (1, second)):
            scores[side][halves[side][ask]] = rows[halves[side][ask]] @ weights
        area, p = mann_whitney(scores[0][halves[0][ask]], scores[1][halves[1][ask]])
        areas.append(area)
        chances.append(p)
    mean = sum(areas) / 2
    return Tested(max(0.0, 2 * mean - 1), min(1.0, sum(chances))), *scores


def mann_whitney(first: Array, second: Array) -> tuple[float, float]:
    """The area under the ROC curve by which ``second`` has the larger numbers, and the probability
    of one as large, or larger, by chance, in its normal approximation with ties.
    """
    n, m = len(first), len(second)
    both = np.concatenate([first, second])
    _, places, counts = np.unique(both, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[places]
    area = float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))
    ties = float((counts.astype(float) ** 3 - counts).sum())
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 0.5, 1.0
    return area, normal_tail((area - 0.5) * n * m / math.sqrt(variance))


def counted(values: Sequence[str]) -> dict[str, int]:
    """How often each of ``values`` stands there."""
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found
