"""Forecasts: what a forecaster is asked, the distribution that it answers, and their forms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Mapping

import numpy as np

from .. import payload
from ..data.series import Series
from ..data.stamps import Found
from ..runtime.types import Array

# The quantiles that a network is trained for, or that are taken of its samples.
LEVELS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
MEAN, QUANTILES, SAMPLES = "mean", "quantiles", "samples"
OUTPUT_TYPES = (MEAN, QUANTILES, SAMPLES)


@dataclass(frozen=True)
class Forecasts:
    """Of N series the distribution of each of the H steps that follow.

    ``mean`` (N, H); ``values`` (N, H, Q) the quantiles at ``levels`` (Q,), ascending; both float32
    in units of the series. ``drawn`` (N, S, H) are sample paths, of a network that draws them.
    """

    mean: Array
    values: Array
    levels: tuple[float, ...] = LEVELS
    drawn: Array | None = None

    @classmethod
    def of(cls, outputs: Array) -> Forecasts:
        """Of what a forecaster's ``computed`` gives: (N, H, 1 + Q), the mean first."""
        return cls(outputs[..., 0], outputs[..., 1:])

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, part: slice) -> Forecasts:
        drawn = None if self.drawn is None else self.drawn[part]
        return replace(self, mean=self.mean[part], values=self.values[part], drawn=drawn)

    @property
    def median(self) -> Array:
        """(N, H)."""
        return self.quantile(0.5)

    def quantile(self, level: float) -> Array:
        """The quantile at ``level``, above 0 and below 1, (N, H): between two of ``levels`` on a
        line over the normal distribution's quantiles, beyond them on the line of the outermost two.
        """
        if level in self.levels:
            exact: Array = self.values[..., self.levels.index(level)]
            return exact
        at = [NormalDist().inv_cdf(each) for each in self.levels]
        asked = NormalDist().inv_cdf(level)
        place = int(np.clip(np.searchsorted(at, asked), 1, len(at) - 1))
        part = (asked - at[place - 1]) / (at[place] - at[place - 1])
        low, high = self.values[..., place - 1], self.values[..., place]
        found: Array = low + (high - low) * np.float32(part)
        return found

    def samples(self, count: int, seed: int = 0) -> Array:
        """``count`` sample paths of each, (N, count, H); the same for the same ``seed``.

        Those that were drawn; else each path takes one place in the distribution of every step.
        """
        if self.drawn is not None:
            return self.drawn[:, :count]
        places = (np.random.default_rng(seed).permutation(count) + 0.5) / count
        return np.stack([self.quantile(place) for place in places.tolist()], axis=1)


@dataclass(frozen=True)
class Question:
    """What of ``series`` is asked: its next values, as ``output_types`` with these ``quantiles``
    (written as they are answered, ``"0.9"``) and so many ``samples``, DeepAR's ``num_samples``.

    ``times`` are those of its values, where it is not in steps yet; ``begin`` is when the forecast
    begins, once that is known. The name is empty where it has none.
    """

    series: Series
    output_types: tuple[str, ...] = (MEAN, QUANTILES)
    quantiles: tuple[str, ...] = ("0.1", "0.5", "0.9")
    samples: int = 100
    times: Found | None = None
    begin: str = ""

    def described(self) -> Mapping[str, Any]:
        """What of it `algoshelf drift` compares: how long the series is, its level and how far it
        moves about it, from one step to the next, what is missing, and its categories.
        """
        target = self.series.target
        known = target[np.isfinite(target)]
        return {
            "length": float(len(target)),
            "missing": float(1 - len(known) / len(target)) if len(target) else None,
            "level": float(known.mean()) if len(known) else None,
            "spread": float(known.std()) if len(known) else None,
            "step": float(np.abs(np.diff(known)).mean()) if len(known) > 1 else None,
            **{f"category {n}": name for n, name in enumerate(self.series.categories, 1)},
        }


@dataclass(frozen=True)
class Answer:
    """One answer: what was asked for alone. ``mean`` (H,), ``quantiles`` by level (H,), ``samples``
    (S, H); of a series with a ``name`` also that, and when the forecast begins.
    """

    mean: Array | None
    quantiles: Mapping[str, Array]
    samples: Array | None
    name: str = ""
    begin: str = ""

    @classmethod
    def of(cls, question: Question, forecast: Forecasts) -> Answer:
        """Of the ``forecast`` (of one series) what ``question`` asks for."""
        asked = question.output_types
        levels = question.quantiles if QUANTILES in asked else ()
        return cls(
            forecast.mean[0] if MEAN in asked else None,
            {level: forecast.quantile(float(level))[0] for level in levels},
            forecast.samples(question.samples)[0] if SAMPLES in asked else None,
            question.series.name,
            question.begin,
        )

    def to_json(self) -> dict[str, Any]:
        """As DeepAR answers, and what a series is called that has a name."""
        found: dict[str, Any] = {}
        if self.name:
            found = {"item_id": self.name, **({"start": self.begin} if self.begin else {})}
        if self.mean is not None:
            found[MEAN] = payload.plain(self.mean)
        if self.quantiles:
            found[QUANTILES] = {each: payload.plain(row) for each, row in self.quantiles.items()}
        if self.samples is not None:
            found[SAMPLES] = payload.plain(self.samples)
        return found

    def to_cells(self) -> list[Any]:
        """The name, when the forecast begins, and the numbers step by step: the mean, then each
        quantile, then each sample path.
        """
        rows = [] if self.mean is None else [self.mean]
        rows += [*self.quantiles.values(), *([] if self.samples is None else self.samples)]
        return [self.name, self.begin, *(each for row in rows for each in payload.plain(row))]


def with_mean(values: Array) -> Array:
    """Quantiles (N, H, Q) at LEVELS in ascending order after the mean of the distribution that is
    even between them, (N, H, 1 + Q).
    """
    values = np.sort(values, axis=-1)
    edges = np.array([0.0, *(np.add(LEVELS[1:], LEVELS[:-1]) / 2), 1.0])
    mean = (values * np.diff(edges)).sum(axis=-1, keepdims=True)
    found: Array = np.concatenate([mean, values], axis=-1).astype(np.float32)
    return found


def of_paths(paths: Array) -> Array:
    """The mean and the quantiles at LEVELS of sample paths (N, S, H): (N, H, 1 + Q)."""
    levels = np.quantile(paths, LEVELS, axis=1)
    found: Array = np.concatenate([paths.mean(axis=1)[None], levels]).transpose(1, 2, 0)
    return found.astype(np.float32)
