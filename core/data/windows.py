"""Windows of series: a piece of the past and the steps that follow it, which are forecast."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Mapping

import numpy as np

from ..runtime.types import Array
from .dataset import Dataset, Subset
from .interactions import mixed
from .series import ManySeries

TARGET, KNOWN, OTHERS = 0, 1, 2  # the first channels of a window, and where the others begin
FEATURE_MOMENTS = "feature_moments"  # in the encoding: mean and deviation of each feature
OVERLAP = 8  # windows of an epoch begin an eighth of a horizon apart, on average
# In the encoding: whether no value of the training is negative, and whether all are small counts.
NONNEGATIVE, COUNTS = "nonnegative", "counts"
# A change from a season before is taken to be at least so much of the level.
LEAST = 0.03
# An error of so much of the value, where values are not negative, counts as much as one of the
# usual change from a season before; of others, one of so much of the level does.
OF_VALUE = 0.08


def bend(encoding: Mapping[str, Any]) -> float:
    """From which part of the size of a series on its values are taken by their logarithm: below, a
    difference counts by itself.
    """
    if not encoding.get(NONNEGATIVE):
        return 1.0
    return 0.3 if encoding.get(COUNTS) else 0.03


@dataclass(frozen=True)
class Layout:
    """The shape of a window: ``context`` steps of the past, ``horizon`` steps to forecast."""

    context: int
    horizon: int

    @property
    def steps(self) -> int:
        return self.context + self.horizon


@dataclass(frozen=True)
class Steps:
    """All steps of some series, one series after the other: those of number n begin at
    ``offsets[n]``, and there are ``counts[n]`` of them, a horizon more than it has values.

    ``values`` (M, channels) float32 are a window's channels but for the categories.
    """

    values: Array
    offsets: Array
    counts: Array

    @classmethod
    def of(cls, whole: ManySeries, beyond: int) -> Steps:
        """With ``beyond`` steps after the last value of each."""
        counts = whole.lengths_in_time + beyond
        offsets = np.concatenate([[0], np.cumsum(counts)])
        features, width = len(whole.encoding["features"]), whole.frequency.calendar_width
        values = np.zeros((offsets[-1], OTHERS + width + features), np.float32)
        moments = whole.encoding.get(FEATURE_MOMENTS, [[0.0, 1.0]] * features)
        for first, count, each in zip(offsets.tolist(), counts.tolist(), whole.series):
            rows = values[first : first + count]
            known = np.isfinite(each.target)
            rows[: len(known), TARGET] = np.where(known, each.target, 0)
            rows[: len(known), KNOWN] = known
            rows[:, OTHERS : OTHERS + width] = whole.frequency.calendar(each.start, 0, count)
            for column, (mean, scale) in enumerate(moments, OTHERS + width):
                given = each.features[column - OTHERS - width, :count]
                rows[: len(given), column] = np.nan_to_num((given - mean) / scale)
        return cls(values, offsets, counts)


def steps_of(whole: ManySeries, horizon: int) -> Steps:
    """The steps of ``whole``, which keeps them."""
    kept: dict[int, Steps] = whole.__dict__.setdefault("_steps", {})
    if horizon not in kept:
        kept[horizon] = Steps.of(whole, horizon)
    return kept[horizon]


def laid_out(
    whole: ManySeries, layout: Layout, which: Array, begins: Array, *, teaching: bool = False
) -> Array:
    """Windows of the series ``which`` (B,) whose first steps to forecast are ``begins`` (B,):
    (B, context + horizon, channels) float32.

    The channels are the target, 0 where it is missing or to be forecast; whether it is known, 1 or
    0; what the calendar says; the features, standardized by those of the training, 0 where missing;
    and the numbers of the categories, the same at each step. All but those are 0 before the series
    begins. With ``teaching``, what is to be forecast is there too.
    """
    steps = steps_of(whole, layout.horizon)
    places = begins[:, None] - layout.context + np.arange(layout.steps)
    inside = (places >= 0) & (places < steps.counts[which][:, None])
    rows = steps.offsets[which][:, None] + np.where(inside, places, 0)
    found = steps.values[rows]
    found[~inside] = 0
    if not teaching:
        found[:, layout.context :, :OTHERS] = 0
    numbers = whole.numbers[which].astype(np.float32)
    every = np.broadcast_to(numbers[:, None], (*found.shape[:2], numbers.shape[1]))
    return np.concatenate([found, every], axis=2) if numbers.shape[1] else found


@dataclass(frozen=True)
class Windows:
    """Windows of ``whole`` as a Dataset: number i is of the series ``which[i]``, and its first step
    to forecast is ``begins[i]``, counted from the start of the series.

    x is (B, context + horizon, channels) float32, see ``laid_out``; y, as the labels, is
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

    def inputs(self) -> Array:
        """x of all."""
        return laid_out(self.whole, self.layout, self.which, self.begins)

    def take(self, indices: Array) -> tuple[Array, Array]:
        part = self.at(indices)
        return part.inputs(), part.labels()

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


def drawn_windows_of(dataset: Dataset) -> DrawnWindows:
    """``dataset``, which is what a Forecaster learns from."""
    assert isinstance(dataset, DrawnWindows)
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


@dataclass(frozen=True)
class DrawnWindows:
    """Windows of ``whole`` to learn from, drawn anew in each epoch, all within the first ``ends``
    (N,) steps of each series.

    An epoch has so many that each step is forecast OVERLAP times on average. What is forecast is at
    least half a context after the start, or half of what comes before the last horizon, and ends
    with the series, where that is long enough. x is as that of
    Windows; y (B, horizon + 3) float32 are the values that are to be forecast, NaN where they are
    not known, and then of each window the unit of its logarithms (see ``bend``), how much an error
    counts in units of the series, as MASE has it, and how much in logarithms, as sMAPE has it.

    With ``learned`` steps, x holds what is to be forecast too, and y is (B, learned + 3): the
    values of so many last steps of the window.
    """

    whole: ManySeries
    layout: Layout
    ends: Array
    learned: int = 0
    salt: int = 0

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    @property
    def firsts(self) -> Array:
        """Where the first window of each series may begin, (N,)."""
        last = np.maximum(1, self.ends - self.layout.horizon)
        found: Array = np.minimum(max(1, self.layout.context // 2), (last + 1) // 2)
        return found

    @property
    def choices(self) -> Array:
        """How many windows each series has, (N,): none where there is no value to forecast."""
        last = np.maximum(1, self.ends - self.layout.horizon)
        found: Array = np.where(self.ends > 1, last - self.firsts + 1, 0)
        return found

    def __len__(self) -> int:
        apart = max(1, self.layout.horizon // OVERLAP)
        return int(max(np.count_nonzero(self.choices), self.choices.sum() // apart))

    def drawn(self, rng: np.random.Generator) -> DrawnWindows:
        return replace(self, salt=int(rng.integers(2**63)))

    def take(self, indices: Array) -> tuple[Array, Array]:
        sums = np.cumsum(self.choices)
        keys = mixed(mixed(indices.astype(np.uint64)) ^ np.uint64(self.salt)) >> np.uint64(1)
        place = (keys % np.uint64(sums[-1])).astype(np.int64)
        which = np.searchsorted(sums, place, side="right")
        begins = self.firsts[which] + place - (sums - self.choices)[which]
        x = laid_out(self.whole, self.layout, which, begins, teaching=True)
        known = x[:, :, KNOWN] > 0
        known &= (
            begins[:, None] - self.layout.context + np.arange(known.shape[1])
            < (self.ends[which][:, None])
        )
        values = np.where(known, x[:, :, TARGET], np.nan)
        x[:, :, :OTHERS] *= known[:, :, None]
        if not self.learned:
            x[:, self.layout.context :, :OTHERS] = 0
        truth = values[:, -(self.learned or self.layout.horizon) :]
        scales = self._scales(values[:, : self.layout.context])
        return x, np.concatenate([truth, scales], axis=1).astype(np.float32)

    def _scales(self, past: Array) -> Array:
        """The last three of y, (B, 3), for each ``past`` (B, context)."""
        season = min(self.whole.frequency.season, past.shape[1] - 1)
        size = _means(np.abs(past))
        change = _means(np.abs(past[:, season:] - past[:, : past.shape[1] - season]))
        size[size == 0] = 1
        of_change, of_value = 1 / np.maximum(change, LEAST * size), np.full(len(size), 1 / OF_VALUE)
        if not self.encoding.get(NONNEGATIVE):
            of_change, of_value = of_change + of_value / size, np.zeros(len(size))
        return np.stack([bend(self.encoding) * size, of_change, of_value], axis=1)

    def labels(self) -> Array:
        """How long each series is, (N,): what is to be learned is drawn."""
        return self.ends.astype(np.float32)

    def digest(self) -> str:
        return hashlib.sha256(self.whole.digest().encode() + self.ends.tobytes()).hexdigest()


def _means(values: Array) -> Array:
    """The mean of the known ``values`` of each row (B, T), 0 where none is."""
    known = np.isfinite(values)
    sums = np.where(known, values, 0).sum(axis=1)
    found: Array = sums / np.maximum(known.sum(axis=1), 1)
    return found
