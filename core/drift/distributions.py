"""Tails of distributions, and the correction for many tests: what scipy.stats would give.

Written out, since they are few and scipy is 40 MB, which no command of ours needs otherwise.
"""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from ..runtime.types import Array

MAX_TERMS = 10_000
TINY = 1e-300
CLOSE = 1e-15
# Below it the series of Kolmogorov's distribution in exp(-2 k² t²) needs many terms.
SMALL = 1.18


def normal_tail(z: float) -> float:
    """The probability that a standard normal number is above ``z``."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def chi_squared_tail(x: float, degrees: float) -> float:
    """The probability that chi-squared with ``degrees`` of freedom is above ``x``.

    The regularized incomplete gamma function Q(degrees / 2, x / 2), by its series or its continued
    fraction: W. H. Press et al., "Numerical Recipes", 3rd edition, 6.2.
    """
    a, half = degrees / 2, x / 2
    if half <= 0:
        return 1.0
    scale = a * math.log(half) - half - math.lgamma(a)
    if half < a + 1:
        term = total = 1 / a
        for n in range(1, MAX_TERMS):
            term *= half / (a + n)
            total += term
            if term < total * CLOSE:
                break
        return max(0.0, 1 - math.exp(scale) * total)
    b = half + 1 - a
    c, d = 1 / TINY, 1 / b
    fraction = d
    for n in range(1, MAX_TERMS):
        numerator = -n * (n - a)
        b += 2
        d = 1 / (numerator * d + b or TINY)
        c = b + numerator / c or TINY
        fraction *= c * d
        if abs(c * d - 1) < CLOSE:
            break
    return min(1.0, math.exp(scale) * fraction)


def kolmogorov_tail(t: float) -> float:
    """The probability that Kolmogorov's limiting distribution is above ``t``."""
    if t <= 0:
        return 1.0
    if t < SMALL:
        odd = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * t * t)) for k in range(1, 6))
        return 1 - math.sqrt(2 * math.pi) / t * sum(odd)
    signs = (1.0, -1.0, 1.0, -1.0, 1.0)
    return 2 * sum(s * math.exp(-2 * k * k * t * t) for k, s in enumerate(signs, 1))


def hypergeometric_two_sided(found: int, drawn: int, marked: int, total: int) -> float:
    """Twice the smaller tail: the probability of ``found`` marked, or fewer, or more, among
    ``drawn`` of ``total``, of which ``marked`` are so. At most 1.
    """
    least, most = max(0, drawn + marked - total), min(drawn, marked)
    values = np.arange(least, most + 1)
    logs: Array = (
        _log_choose(marked, values)
        + _log_choose(total - marked, drawn - values)
        - _log_choose(total, np.array([drawn]))
    )
    chances = np.exp(logs)
    at = found - least
    below, above = float(chances[: at + 1].sum()), float(chances[at:].sum())
    return min(1.0, 2 * min(below, above))


def _log_choose(n: int, k: Array) -> Array:
    return np.array(
        [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k.tolist()]
    )


def holm(values: Sequence[float]) -> list[float]:
    """p-values so adjusted that, where nothing has changed, one of them all is below a level with
    at most that probability, whatever their dependence: S. Holm, "A simple sequentially rejective
    multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted = [1.0] * len(values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, values[i] * (len(values) - rank)))
        adjusted[i] = highest
    return adjusted
