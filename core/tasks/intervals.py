"""95 % confidence intervals of figures, of a closed form, so that they are the same every time.

They hold for examples that were drawn independently, not for readings of one series. Where nothing
is left to chance, as where all is right, or too few examples were seen, there is none but that of
a proportion.
"""

from __future__ import annotations

import math
from typing import Tuple

from ..runtime.types import Array

Interval = Tuple[float, float]

Z = 1.959964
# From so few examples, no interval of an error is honest: of fewer, none is given.
FEWEST = 100
# Of either class, for figures that compare the two.
FEWEST_OF_CLASS = 10


def wilson_interval(successes: int, trials: int, z: float = Z) -> Interval:
    """The 95 % confidence interval of a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA
    22 (1927): unlike the textbook's normal interval it holds near 0 and 1, where good models are.
    """
    if trials == 0:
        return 0.0, 1.0
    p = successes / trials
    scale = 1 + z * z / trials
    middle = p + z * z / (2 * trials)
    spread = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def standard_error(moves: Array) -> float:
    """That of a figure which each example's weight moves by ``moves`` (N,), as the weight of all
    is their number (A. W. van der Vaart, "Asymptotic Statistics", 1998, chapters 3 and 20).
    """
    return float(moves.std(ddof=1)) * math.sqrt(len(moves)) if len(moves) > 1 else 0.0


def of_positive(value: float, error: float) -> Interval | None:
    """That of a positive ``value`` with the standard ``error``: symmetric in its logarithm."""
    if value <= 0 or error <= 0:
        return None
    factor = math.exp(Z * error / value)
    return value / factor, value * factor


def of_mean(values: Array) -> Interval | None:
    """That of the mean of positive ``values`` (N,), one an example; None of fewer than FEWEST."""
    mean = float(values.mean())
    return of_moved_error(mean, values - mean)


def of_part(value: float, error: float) -> Interval | None:
    """That of a ``value`` between 0 and 1 with the standard ``error``: symmetric in its log-odds,
    and so between 0 and 1 too.
    """
    if not 0 < value < 1 or error <= 0:
        return None
    middle, spread = math.log(value / (1 - value)), Z * error / (value * (1 - value))
    return _logistic(middle - spread), _logistic(middle + spread)


def of_moved_error(value: float, moves: Array) -> Interval | None:
    """That of a positive ``value`` that each example moves by ``moves`` (N,) over their number."""
    return of_positive(value, standard_error(moves / len(moves))) if _are_enough(moves) else None


def of_moved_part(value: float, moves: Array) -> Interval | None:
    """That of a ``value`` between 0 and 1 that the weight of each example moves by ``moves``."""
    return of_part(value, standard_error(moves)) if _are_enough(moves) else None


def _are_enough(moves: Array) -> bool:
    return len(moves) >= FEWEST


def _logistic(x: float) -> float:
    """Of any ``x``, without overflow."""
    return 0.5 * (1 + math.tanh(x / 2))
