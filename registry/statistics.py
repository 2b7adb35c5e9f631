"""Confidence intervals by Student's t: of a mean, and of the difference of two means."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

MAX_DEGREES = 1000.0  # from there on it is the normal distribution's


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """The mean of two values and more, and half of its confidence interval."""
    found = np.asarray(values, np.float64)
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    return float(found.mean()), student_quantile((1 + confidence) / 2, len(found) - 1) * error


def welch_interval(
    first: Sequence[float], second: Sequence[float], confidence: float
) -> tuple[float, float]:
    """The difference of the means, second minus first, and half of its confidence interval.

    Of two values and more each, whose variances may differ: B. L. Welch, "The generalization of
    Student's problem", Biometrika 34, 1947.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    parts = [float(values.var(ddof=1)) / len(values) for values in (a, b)]
    difference, error = float(b.mean() - a.mean()), math.sqrt(sum(parts))
    if error == 0:
        return difference, 0.0
    degrees = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (a, b)))
    return difference, student_quantile((1 + confidence) / 2, degrees) * error


def student_quantile(probability: float, degrees: float) -> float:
    """The quantile above 1/2 of Student's t with ``degrees`` (1 and more) of freedom.

    With t = √ν tan θ its density is as cos(θ)^(ν-1), which is summed up here.
    """
    degrees = min(degrees, MAX_DEGREES)
    angles = np.linspace(0, math.pi / 2, 40_001)
    density = np.cos(angles) ** (degrees - 1)
    sums = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = np.interp(2 * probability - 1, sums / sums[-1], angles)
    return float(math.sqrt(degrees) * math.tan(angle))
