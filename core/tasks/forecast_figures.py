"""What is measured of forecasts: errors beside those of repeating a season, quantiles, coverage."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Iterator, Mapping, Sequence

import numpy as np

from ..algorithm.evaluation import Baseline, Curve, Evaluation, Forecast, StepFigures
from ..data.windows import Windows
from ..runtime.types import Array
from . import forecast_baselines, intervals
from .forecasts import Forecasts
from .intervals import Interval

SCORED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # the quantiles that DeepAR's test takes
LOW, HIGH = SCORED[0], SCORED[-1]  # the ends of the 80 % interval
QUANTILES = "quantiles"  # the name of the curve of what lies at or below each
DRAWN = 6
DRAWN_HORIZONS = 3  # of a history, so many horizons are drawn before the forecast


def evaluate_windows(found: Forecasts, windows: Windows) -> Evaluation:
    """The figures of forecasts ``found`` for ``windows``, beside those of the baselines, and some
    windows for a picture.
    """
    truth, scales = windows.truth(), windows.scales()
    histories = [windows.history(row) for row in range(len(windows))]
    season = windows.whole.frequency.season
    every = {}
    for name, method in forecast_baselines.methods(sum(map(len, histories))):
        simple = forecast_baselines.forecasts(method, histories, truth.shape[1], season)
        every[name] = evaluate_forecasts(simple, truth, scales).metrics
    yardstick = every[forecast_baselines.NAIVE2]
    measured = evaluate_forecasts(found, truth, scales, windows.which)
    return replace(
        measured,
        metrics=_with_owa(measured.metrics, yardstick),
        baselines=tuple(
            Baseline(name, _with_owa(metrics, yardstick)) for name, metrics in every.items()
        ),
        forecasts=_drawn(found, windows, histories, truth, scales),
    )


def evaluate_forecasts(
    found: Forecasts, truth: Array, scales: Array, series: Array | None = None
) -> Evaluation:
    """How well ``found`` fits the ``truth`` (N, H), NaN where it is not known; ``scales`` (N,) are
    those of MASE, NaN where there is none; ``series`` (N,) tells which windows are of one series,
    by default none.

    ``mase`` and ``smape`` (in percent) are those of the median, each the mean over windows of the
    mean over steps, as the M4 competition takes them; ``wql`` is the quantile loss by the sum of
    the absolute values, the mean over SCORED (DeepAR's mean_wQuantileLoss); ``sql`` is it by the
    scales instead, a mean over windows as ``mase``, so that all series count alike; ``coverage``
    the part of the truth within the 80 % interval; ``rmse`` that of the mean. Where no window has a
    scale, there is no ``mase``, and ``sql``, by which epochs are told, is as ``wql``. There are
    none of them where nothing is known.

    The 95 % intervals are those of a mean over series that were drawn independently, and none of
    fewer than intervals.FEWEST.
    """
    truth, scales = truth.astype(np.float64), scales.astype(np.float64)
    known, median = np.isfinite(truth), found.median.astype(np.float64)
    scaled = np.abs(truth - median) / scales[:, None]
    symmetric = symmetric_errors(median, truth)
    low, high = found.quantile(LOW), found.quantile(HIGH)
    within = np.where(known, (low <= truth) & (truth <= high), np.nan)
    size = _mean(np.abs(truth)) or 1.0  # where all is 0, the loss itself
    losses = np.zeros_like(truth)
    for level in SCORED:
        losses += _pinball(found.quantile(level), truth, level) / len(SCORED)
    units = scales if np.isfinite(scales).any() else np.full_like(scales, size)
    of_windows = {
        "sql": _over_steps(losses / units[:, None]),
        "mase": _over_steps(scaled),
        "smape": _over_steps(symmetric),
        "coverage": _over_steps(within),
    }
    losses /= size
    metrics = {
        "wql": _mean(losses),
        "sql": _mean(of_windows["sql"]),
        "mase": _mean(of_windows["mase"]),
        "smape": _mean(of_windows["smape"]),
        "coverage": _mean(within),
        "rmse": math.sqrt(_mean((truth - found.mean) ** 2)),
    }
    metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
    of_steps = (scaled, symmetric, losses, within)
    return Evaluation(
        examples=int(known.any(axis=1).sum()),
        metrics=metrics,
        intervals=dict(_intervals(of_windows, series)),
        steps=tuple(
            StepFigures(step + 1, *(_or_none(_mean(values[:, step])) for values in of_steps))
            for step in range(truth.shape[1])
        ),
        curves=tuple(_calibration(found, truth)),
    )


def _intervals(
    of_windows: Mapping[str, Array], series: Array | None
) -> Iterator[tuple[str, Interval]]:
    """Those of the means over ``series`` of what each window has, (N,), NaN where it has none."""
    for name, values in of_windows.items():
        means = _over_series(values, np.arange(len(values)) if series is None else series)
        if not len(means):
            continue
        mean = float(means.mean())
        if name == "coverage":
            found = intervals.of_moved_part(mean, (means - mean) / len(means))
        else:
            found = intervals.of_mean(means)
        if found is not None:
            yield name, found


def symmetric_errors(forecast: Array, truth: Array) -> Array:
    """200 |y - f| / (|y| + |f|) of each, in percent; where both are 0, 0."""
    apart, whole = np.abs(truth - forecast), np.abs(truth) + np.abs(forecast)
    found: Array = 200 * apart / np.where(whole == 0, 1.0, whole)
    return found


def _pinball(quantile: Array, truth: Array, level: float) -> Array:
    """Twice the loss of a ``quantile`` (N, H) at ``level``."""
    apart = truth - quantile
    found: Array = 2 * np.maximum(level * apart, (level - 1) * apart)
    return found


def _with_owa(metrics: Mapping[str, float], yardstick: Mapping[str, float]) -> dict[str, float]:
    """With ``owa``, by which the M4 competition ranks: the mean of ``smape`` and ``mase``, each by
    that of Naive2, where these are not 0.
    """
    names = ("smape", "mase")
    if not all(name in metrics and yardstick.get(name) for name in names):
        return dict(metrics)
    return {**metrics, "owa": sum(metrics[name] / yardstick[name] for name in names) / 2}


def _drawn(
    found: Forecasts, windows: Windows, histories: Sequence[Array], truth: Array, scales: Array
) -> tuple[Forecast, ...]:
    """At most DRAWN, from the window that was forecast best to the one that was forecast worst, at
    even ranks by MASE, or where no window has a scale by sMAPE.
    """
    kind, errors = "MASE", _over_steps(np.abs(truth - found.median) / scales[:, None])
    if not np.isfinite(errors).any():
        kind, errors = "sMAPE", _over_steps(symmetric_errors(found.median, truth))
    ranked = np.argsort(errors, kind="stable")[: int(np.isfinite(errors).sum())]
    places = np.unique(np.linspace(0, max(0, len(ranked) - 1), DRAWN).round().astype(int))
    past = DRAWN_HORIZONS * truth.shape[1]
    band = np.stack([found.quantile(LOW), found.quantile(HIGH)], axis=1)
    return tuple(
        Forecast(
            f"{_named(windows, row)}: {kind} {errors[row]:.3g}",
            histories[row][-past:],
            truth[row],
            found.median[row],
            band[row],
        )
        for row in ranked[places[: len(ranked)]].tolist()
    )


def _named(windows: Windows, row: int) -> str:
    """The series of window ``row``, and when its forecast begins."""
    series, begin = windows.whole.series[windows.which[row]], int(windows.begins[row])
    if series.start is None:
        return f"{series.name}, step {begin + 1:,}"
    return f"{series.name}, {_written(windows.whole.frequency.times(series.start, begin, 1)[0])}"


def _written(time: np.datetime64) -> str:
    """As short as it tells the time: without the time of day at midnight, nor seconds of 0."""
    text = str(time.astype("datetime64[s]")).replace("T", " ")
    for end in (" 00:00:00", ":00"):
        if text.endswith(end):
            return text[: -len(end)]
    return text


def _calibration(found: Forecasts, truth: Array) -> Iterator[Curve]:
    """How much of the truth is at or below each quantile; on the dashed line as much as it says."""
    known = np.isfinite(truth)
    if known.any():
        below = [float((truth <= found.quantile(level))[known].mean()) for level in SCORED]
        axes = ("quantile", "part of the truth at or below it")
        yield Curve(QUANTILES, axes, tuple(zip(SCORED, below)), guide=((0.0, 0.0), (1.0, 1.0)))


def _over_steps(values: Array) -> Array:
    """The mean of the known ``values`` of each row (N, H), NaN where none is known: (N,)."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    sums = np.where(known, values, 0).sum(axis=1)
    found: Array = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    return found


def _over_series(values: Array, series: Array) -> Array:
    """The mean of the known ``values`` (N,) of the windows of each series that has one: (S,)."""
    known = np.isfinite(values)
    _, numbers = np.unique(series[known], return_inverse=True)
    found: Array = np.bincount(numbers, values[known]) / np.maximum(np.bincount(numbers), 1)
    return found


def _mean(values: Array) -> float:
    """Of all that is known, NaN of nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
