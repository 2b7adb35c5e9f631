"""What needs no network: forecasts that repeat what was last seen, and theta where it is installed.

A model that does not beat them is of no use; their figures stand beside its own.
"""

from __future__ import annotations

import importlib.util
from statistics import NormalDist
from typing import Callable, Iterator, Sequence, Tuple

import numpy as np

from ..runtime.types import Array
from .forecasts import LEVELS, Forecasts

NAIVE2 = "Naive2"
# Of the autocorrelation at one season, so many deviations tell that there is a season (M4's test).
SEASONAL_FROM = 1.645
SEASONS_NEEDED = 3  # of so many at least
# Of more values, theta takes more than a minute: 43 s for the 353,500 of M4's hourly series.
MOST_OF_THETA = 500_000


# Of one history (L,), NaN where a value is missing, the mean and the deviation of each step, (H,),
# given the horizon H and the length of a season.
Method = Callable[[Array, int, int], Tuple[Array, Array]]


def methods(values: int) -> Iterator[tuple[str, Method]]:
    """The baselines by name; theta among them where statsforecast is installed, and the histories
    have no more ``values`` in all than it takes in about a minute.
    """
    yield "naive", naive
    yield "seasonal naive", seasonal_naive
    yield NAIVE2, naive2
    if values <= MOST_OF_THETA and importlib.util.find_spec("statsforecast") is not None:
        yield "theta (statsforecast)", theta


def forecasts(method: Method, histories: Sequence[Array], horizon: int, season: int) -> Forecasts:
    """Those of ``method`` for each history, of normal distributions."""
    found = np.array([method(history, horizon, season) for history in histories])
    mean, deviation = found.reshape(-1, 2, horizon).transpose(1, 0, 2)
    normal = NormalDist()
    apart = np.array([normal.inv_cdf(level) for level in LEVELS])
    return Forecasts(mean, mean[..., None] + apart * deviation[..., None])


def naive(history: Array, horizon: int, season: int) -> tuple[Array, Array]:
    """The last known value; 0 where there is none.

    The deviation is that of the steps, and grows as the root of the distance (R. J. Hyndman,
    G. Athanasopoulos, "Forecasting: principles and practice", 2021, section 5.5).
    """
    return seasonal_naive(history, horizon, 1)


def seasonal_naive(history: Array, horizon: int, season: int) -> tuple[Array, Array]:
    """The last known value at the same place of a season, or where not all are known, the last.

    The deviation is that of a value from the one of a season before; see ``naive``.
    """
    last, ahead = _last_season(history, season), np.arange(horizon)
    apart = _deviation(history, len(last)) * np.sqrt(ahead // len(last) + 1)
    return last[ahead % len(last)], apart


def naive2(history: Array, horizon: int, season: int) -> tuple[Array, Array]:
    """The last value without its season, with the season of each step: M4's yardstick.

    Seasons are found by the classical decomposition, multiplicative, or additive of a history that
    is not above 0 throughout, and used where the autocorrelation tells that there are any (code of
    the M4 competition: S. Makridakis, E. Spiliotis, V. Assimakopoulos, "The M4 Competition",
    International Journal of Forecasting 36, 2020). Missing values are interpolated.
    """
    values, late = filled(history)
    if not is_seasonal(values, season):
        return naive(history, horizon, season)
    ahead = np.arange(late, late + horizon)
    multiplied = bool(values.min() > 0)
    seasons = seasonal_indices(values, season, multiplied)
    of_past = np.resize(seasons, len(values))
    of_future = seasons[(len(values) + ahead) % season]
    rest = values / of_past if multiplied else values - of_past
    apart = _deviation(rest, 1) * np.sqrt(ahead + 1)
    if multiplied:
        return rest[-1] * of_future, apart * of_future
    return rest[-1] + of_future, apart


def theta(history: Array, horizon: int, season: int) -> tuple[Array, Array]:
    """The standard theta method of statsforecast: V. Assimakopoulos, K. Nikolopoulos, "The theta
    model", International Journal of Forecasting 16, 2000. What it cannot do, ``naive2`` does.
    """
    from statsforecast.models import Theta

    values, late = filled(history)
    if len(values) > 2 * season and values.min() < values.max():
        told = Theta(season_length=season).forecast(values, late + horizon, level=[80])
        apart = (told["hi-80"] - told["mean"]) / NormalDist().inv_cdf(0.9)
        found: Array = np.stack([told["mean"], apart])[:, late:]
        if np.isfinite(found).all():
            return found[0], found[1]
    return naive2(history, horizon, season)


def filled(history: Array) -> tuple[Array, int]:
    """``history`` (L,) from its first known value to its last, gaps interpolated, and how many
    steps are missing after that; of one that has none a single 0.
    """
    known = np.flatnonzero(np.isfinite(history))
    if not len(known):
        return np.zeros(1), 0
    places = np.arange(known[0], known[-1] + 1)
    values: Array = np.interp(places, known, history[known].astype(np.float64))
    return values, len(history) - 1 - int(known[-1])


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
