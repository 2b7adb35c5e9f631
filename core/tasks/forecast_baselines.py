"""What needs no network: forecasts that repeat what was last seen, and theta where it is installed.

A model that does not beat them is of no use; their figures stand beside its own.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from statistics import NormalDist
from typing import Callable, Iterator, Sequence

import numpy as np

from ..runtime.types import Array

NAIVE2 = "Naive2"
# Of the autocorrelation at one season, so many deviations tell that there is a season (M4's test).
SEASONAL_FROM = 1.645
SEASONS_NEEDED = 3  # of so many at least
# Of more values of all histories, theta takes longer than a person waits: 1.3 ms a thousand here.
MOST_OF_THETA = 2_000_000


@dataclass(frozen=True)
class Simple:
    """Forecasts of a normal distribution: ``mean`` and ``deviation`` (N, H)."""

    mean: Array
    deviation: Array

    def quantiles(self, levels: Sequence[float]) -> Array:
        """Those of ``levels`` (Q,), (N, Q, H)."""
        normal = NormalDist()
        apart = np.array([normal.inv_cdf(level) for level in levels])
        found: Array = self.mean[:, None] + apart[:, None] * self.deviation[:, None]
        return found


Forecasting = Callable[[Sequence[Array], int, int], Simple]


def forecasters(histories: Sequence[Array]) -> Iterator[tuple[str, Forecasting]]:
    """The baselines by name: each is given histories, the horizon and the length of a season.

    Theta is among them where statsforecast is installed and ``histories`` are no more than it does
    in about a minute.
    """
    yield "naive", naive
    yield "seasonal naive", seasonal_naive
    yield NAIVE2, naive2
    few = sum(map(len, histories)) <= MOST_OF_THETA
    if few and importlib.util.find_spec("statsforecast") is not None:
        yield "theta (statsforecast)", theta


def naive(histories: Sequence[Array], horizon: int, season: int) -> Simple:
    """The last known value of each history, float (L,) with NaN for what is missing.

    The deviation is that of the steps, and grows as the root of the distance (R. J. Hyndman,
    G. Athanasopoulos, "Forecasting: principles and practice", 2021, section 5.5). Of a history that
    has no value, 0 is forecast.
    """
    return seasonal_naive(histories, horizon, 1)


def seasonal_naive(histories: Sequence[Array], horizon: int, season: int) -> Simple:
    """The last known value at the same place of a season; before there is one, the last known.

    The deviation is that of a value from the one of a season before; see ``naive``.
    """
    ahead = np.arange(horizon)
    means, deviations = np.zeros((2, len(histories), horizon))
    for number, history in enumerate(histories):
        last = _last_season(history, season)
        means[number] = last[ahead % len(last)]
        deviations[number] = _deviation(history, len(last)) * np.sqrt(ahead // len(last) + 1)
    return Simple(means, deviations)


def naive2(histories: Sequence[Array], horizon: int, season: int) -> Simple:
    """The last value without its season, with the season of each step: M4's yardstick.

    Seasons are found by the classical decomposition, multiplicative, or additive of a history that
    is not above 0 throughout, and used where the autocorrelation tells that there are any (code of
    the M4 competition: S. Makridakis, E. Spiliotis, V. Assimakopoulos, "The M4 Competition",
    International Journal of Forecasting 36, 2020). Missing values are interpolated.
    """
    ahead = np.arange(horizon)
    means, deviations = np.zeros((2, len(histories), horizon))
    for number, history in enumerate(histories):
        values = filled(history)
        if not is_seasonal(values, season):
            found = naive([history], horizon, 1)
            means[number], deviations[number] = found.mean[0], found.deviation[0]
            continue
        multiplied = bool(values.min() > 0)
        seasons = seasonal_indices(values, season, multiplied)
        places = np.arange(len(values)) % season
        next_ones = seasons[(len(values) + ahead) % season]
        rest = values / seasons[places] if multiplied else values - seasons[places]
        apart = _deviation(rest, 1) * np.sqrt(ahead + 1)
        means[number] = rest[-1] * next_ones if multiplied else rest[-1] + next_ones
        deviations[number] = apart * next_ones if multiplied else apart
    return Simple(means, deviations)


def theta(histories: Sequence[Array], horizon: int, season: int) -> Simple:
    """The standard theta method of statsforecast: V. Assimakopoulos, K. Nikolopoulos, "The theta
    model", International Journal of Forecasting 16, 2000. What it cannot do, ``naive2`` does.
    """
    from statsforecast.models import Theta

    found = naive2(histories, horizon, season)
    of_side = NormalDist().inv_cdf(0.9)
    for number, history in enumerate(histories):
        values = filled(history)
        if len(values) <= 2 * season or values.min() == values.max():
            continue
        model = Theta(season_length=season)
        told = model.forecast(values, horizon, level=[80])
        if np.isfinite(told["mean"]).all() and np.isfinite(told["hi-80"]).all():
            found.mean[number] = told["mean"]
            found.deviation[number] = (told["hi-80"] - told["lo-80"]) / (2 * of_side)
    return found


def filled(history: Array) -> Array:
    """``history`` (L,) from its first known value on to its last, gaps interpolated."""
    known = np.flatnonzero(np.isfinite(history))
    if not len(known):
        return np.zeros(1)
    places = np.arange(known[0], known[-1] + 1)
    found: Array = np.interp(places, known, history[known].astype(np.float64))
    return found


def is_seasonal(values: Array, season: int) -> bool:
    """Whether the autocorrelation of ``values`` (L,) at one ``season`` is beyond chance."""
    if season < 2 or len(values) < SEASONS_NEEDED * season:
        return False
    apart = values - values.mean()
    whole = float(apart @ apart)
    if whole <= 0:
        return False
    related = np.array([apart[lag:] @ apart[:-lag] for lag in range(1, season + 1)]) / whole
    bound = SEASONAL_FROM * np.sqrt((1 + 2 * (related[:-1] ** 2).sum()) / len(values))
    return bool(abs(related[-1]) > bound)


def seasonal_indices(values: Array, season: int, multiplied: bool) -> Array:
    """How each place of a season, the first of ``values`` (L,) being place 0, differs: factors of
    mean 1 where ``multiplied``, else summands of mean 0, (season,). R's ``decompose``.
    """
    weights = np.full(season + (season % 2 == 0), 1 / season)
    if season % 2 == 0:
        weights[[0, -1]] /= 2
    trend = np.convolve(values, weights, mode="valid")
    half = season // 2
    inner = values[half : half + len(trend)]
    apart = inner / trend if multiplied else inner - trend
    places = (np.arange(len(apart)) + half) % season
    means = np.bincount(places, apart, minlength=season) / np.bincount(places, minlength=season)
    found: Array = means / means.mean() if multiplied else means - means.mean()
    return found


def _last_season(history: Array, season: int) -> Array:
    """What was last known at each place of a season, in the order of the steps ahead, (season,);
    of a history that has not all of them the last known value, (1,).
    """
    known = np.isfinite(history)
    if not known.any():
        return np.zeros(1)
    last: Array = np.full(season, np.nan)
    places = (np.arange(len(history)) - len(history)) % season
    last[places[known]] = history[known]  # of several the last stays
    return last if np.isfinite(last).all() else history[known][-1:].astype(np.float64)


def _deviation(values: Array, lag: int) -> float:
    """The root of the mean square of how much ``values`` (L,) differ from those ``lag`` before."""
    steps = values[lag:] - values[:-lag]
    steps = steps[np.isfinite(steps)]
    return float(np.sqrt((steps**2).mean())) if len(steps) else 0.0
