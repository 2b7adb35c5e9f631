"""How good forecasts are: MASE, sMAPE, weighted quantile loss, coverage of the intervals."""

from __future__ import annotations

import numpy as np

from ..algorithm.evaluation import Evaluation
from ..runtime.types import Array
from .forecasts import Forecasts


def evaluate_forecasts(found: Forecasts, truth: Array, scales: Array) -> Evaluation:
    """How well ``found`` fits the ``truth`` (N, H), NaN where it is not known; ``scales`` (N,) are
    those of MASE, NaN where there is none.

    sMAPE and MASE are of the median, each the mean over series of the mean over steps.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.abs(truth - found.median)
        sizes = np.abs(truth) + np.abs(found.median)
        smape = 200 * np.where((sizes == 0) & np.isfinite(truth), 0, errors / sizes)
        mase = errors / scales[:, None]
        losses = [
            2 * np.nansum(np.maximum(level * gap, (level - 1) * gap))
            for level in found.levels
            for gap in [truth - found.quantile(level)]
        ]
        known = np.isfinite(truth)
        inside = (truth >= found.quantile(0.1)) & (truth <= found.quantile(0.9))
    metrics = {
        "wql": float(np.mean(losses) / max(np.nansum(np.abs(truth)), 1e-12)),
        "mase": _of_series(mase),
        "smape": _of_series(smape),
        "coverage": float(inside[known].mean()) if known.any() else 0.0,
    }
    return Evaluation(int(known.any(axis=1).sum()), metrics)


def _of_series(values: Array) -> float:
    """The mean over series of the mean over the steps that are known, 0 where there are none."""
    usable = np.isfinite(values)
    counts = usable.sum(axis=1)
    means = np.where(usable, values, 0).sum(axis=1)[counts > 0] / counts[counts > 0]
    return float(means.mean()) if len(means) else 0.0
