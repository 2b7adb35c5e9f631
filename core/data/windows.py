"""Windows of series: a piece of the past and the steps that follow it, which are forecast."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Mapping

import numpy as np

from ..runtime.types import Array
from .dataset import Dataset, Subset
from .series import ManySeries, Series, numbers_of

TARGET, KNOWN = 0, 1  # the first channels of a window


@dataclass(frozen=True)
class Layout:
    """The shape of a window: ``context`` steps of the past, ``horizon`` steps to forecast."""

    context: int
    horizon: int

    def window(
        self, series: Series, begin: int, encoding: Mapping[str, Any], calendar: Array
    ) -> Array:
        """A window whose first step to forecast is ``begin``; (context + horizon, channels)
        float32: the target, 0 where it is missing or to be forecast; whether it is known, 1 or 0;
        the ``calendar`` of these steps (context + horizon, K); the features, 0 where missing; and
        the numbers of the categories, the same at each step.
        """
        steps = self.context + self.horizon
        first = begin - self.context
        target = np.full(steps, np.nan)
        low, high = max(first, 0), min(begin, len(series))
        if high > low:
            target[low - first : high - first] = series.target[low:high]
        known = np.isfinite(target)
        features = np.zeros((len(encoding["features"]), steps), np.float32)
        high = min(begin + self.horizon, series.features.shape[1])
        if high > low:
            features[:, low - first : high - first] = np.nan_to_num(series.features[:, low:high])
        numbers = numbers_of(series.categories, encoding)
        return np.concatenate(
            [
                np.where(known, target, 0).astype(np.float32)[:, None],
                known.astype(np.float32)[:, None],
                calendar,
                features.T,
                np.broadcast_to(np.array(numbers, np.float32), (steps, len(numbers))),
            ],
            axis=1,
        )


@dataclass(frozen=True)
class Windows:
    """Windows of ``whole`` as a Dataset: number i is of the series ``which[i]``, and its first step
    to forecast is ``begins[i]``, counted from the start of the series.

    x is (B, context + horizon, channels) float32, see Layout; y, as the labels, is
    (B, horizon + 1) float32: the truth, NaN where it is missing or beyond the end of the series,
    and last the ``scales`` of the window, by which MASE divides.
    """

    whole: ManySeries
    layout: Layout
    which: Array
    begins: Array

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    def __len__(self) -> int:
        return len(self.which)

    def history(self, index: int) -> Array:
        """All that was known of a series before window ``index``, (T,) float64, NaN: missing."""
        past: Array = self.whole.series[self.which[index]].target[: self.begins[index]]
        return past

    def truth(self) -> Array:
        """What came, (N, horizon) float64, NaN where it is not known."""
        found = np.full((len(self), self.layout.horizon), np.nan)
        for row, which, begin in zip(found, self.which.tolist(), self.begins.tolist()):
            came = self.whole.series[which].target[begin : begin + len(row)]
            row[: len(came)] = came
        return found

    def scales(self) -> Array:
        """MASE's scale of each window, (N,) float64: see ``seasonal_error``."""
        season = self.whole.frequency.season
        errors = [seasonal_error(self.history(index), season) for index in range(len(self))]
        return np.array(errors, np.float64)

    def take(self, indices: Array) -> tuple[Array, Array]:
        x = []
        for which, begin in zip(self.which[indices].tolist(), self.begins[indices].tolist()):
            series = self.whole.series[which]
            first, steps = begin - self.layout.context, self.layout.context + self.layout.horizon
            calendar = self.whole.frequency.calendar(series.start, first, steps)
            x.append(self.layout.window(series, begin, self.encoding, calendar))
        return np.stack(x), self.at(indices).labels()

    def labels(self) -> Array:
        both = [self.truth(), self.scales()[:, None]]
        return np.concatenate(both, axis=1).astype(np.float32)

    def at(self, indices: Array) -> Windows:
        """The windows at ``indices``."""
        return replace(self, which=self.which[indices], begins=self.begins[indices])

    def digest(self) -> str:
        digest = hashlib.sha256(self.whole.digest().encode())
        for array in (self.which, self.begins):
            digest.update(array.astype(np.int64).tobytes())
        return digest.hexdigest()


def seasonal_error(history: Array, season: int) -> float:
    """The mean distance of the values of ``history`` (T,), NaN where missing, from those a
    ``season`` before; of no more than a season from the last ones, as GluonTS takes it. NaN where
    there are none, or it is 0.

    R. J. Hyndman, A. B. Koehler, "Another look at measures of forecast accuracy", International
    Journal of Forecasting 22, 2006.
    """
    lag = season if len(history) > season else 1
    changes = np.abs(history[lag:] - history[:-lag])
    changes = changes[np.isfinite(changes)]
    return float(changes.mean()) if changes.any() else float("nan")


def windows_of(dataset: Dataset) -> Windows:
    """``dataset``, which may be a part of some windows, as windows of its own."""
    if isinstance(dataset, Subset):
        return windows_of(dataset.whole).at(dataset.indices)
    assert isinstance(dataset, Windows)
    return dataset


def last_windows(whole: ManySeries, layout: Layout, count: int = 1) -> Windows:
    """The last ``count`` windows of each series, a horizon apart, those with a past only: the
    hold-out by time, and for ``count`` above 1 rolling windows.
    """
    which, begins = [], []
    for number, length in enumerate(whole.lengths_in_time.tolist()):
        for back in range(count, 0, -1):
            begin = length - back * layout.horizon
            if begin > 0:
                which.append(number)
                begins.append(begin)
    return Windows(whole, layout, np.array(which, np.int64), np.array(begins, np.int64))
