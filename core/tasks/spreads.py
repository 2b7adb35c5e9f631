"""How far quantiles are to be from the median, so that as much lies below each as it says."""

from __future__ import annotations

import numpy as np

from ..runtime.types import Array
from .forecasts import LEVELS, Forecasts

MIDDLE = LEVELS.index(0.5)
FEWEST = 20  # windows by which spreads can be told
BEYOND = 5  # windows that are to be expected beyond a quantile whose spread is told by them
NARROWEST, WIDEST = 0.5, 3.0


def distances(found: Forecasts, truth: Array) -> Array:
    """How far the ``truth`` (N, H) is from the median, by how far each quantile is: (N, H, Q)
    float32, in the direction of the quantile; NaN where nothing is known, or the quantile is the
    median.
    """
    median = found.values[..., MIDDLE : MIDDLE + 1].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (truth[..., None] - median) / (found.values - median)
    return np.where(np.isfinite(ratios), ratios, np.nan).astype(np.float32)


def spreads(ratios: Array) -> Array:
    """Of ``distances`` (N, H, Q) the factor of each quantile's distance from the median, (Q,)
    float32: with it, as much of the truth is below it as its level says (split conformal
    prediction: J. Lei et al., "Distribution-free predictive inference for regression", JASA 2018).

    1 where there are few windows; the outermost quantiles, beyond which hardly any is, have the
    factor of the next one inside.
    """
    factors = np.ones(len(LEVELS))
    if len(ratios) < FEWEST:
        return factors.astype(np.float32)
    for places in (range(MIDDLE + 1, len(LEVELS)), range(MIDDLE - 1, -1, -1)):
        factor = 1.0
        for place in places:
            outside = min(LEVELS[place], 1 - LEVELS[place])
            known = ratios[..., place][np.isfinite(ratios[..., place])]
            if len(ratios) * outside >= BEYOND and len(known):
                factor = float(np.clip(np.quantile(known, 1 - outside), NARROWEST, WIDEST))
            factors[place] = factor
    return factors.astype(np.float32)
