"""The figures of forecasts and their baselines, held against definitions and what R gives."""

from __future__ import annotations

import math
import warnings
from typing import Sequence

import numpy as np
import pytest
from algoshelf.core.data.series import ManySeries, Series
from algoshelf.core.data.windows import Layout, Windows, last_windows, seasonal_error
from algoshelf.core.runtime.types import Array
from algoshelf.core.tasks import forecast_baselines as baselines
from algoshelf.core.tasks.forecast_figures import evaluate_forecasts, evaluate_windows
from algoshelf.core.tasks.forecasts import LEVELS, Forecasts

NAN = math.nan
# International airline passengers by month, 1949 to 1960 (G. E. P. Box, G. M. Jenkins, 1976).
PASSENGERS = np.fromstring(
    """112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149 170 170 158 133 114
    140 145 150 178 163 172 178 199 199 184 162 146 166 171 180 193 181 183 218 230 242 209 191 172
    194 196 196 236 235 229 243 264 272 237 211 180 201 204 188 235 227 234 264 302 293 259 229 203
    229 242 233 267 269 270 315 364 347 312 274 237 278 284 277 317 313 318 374 413 405 355 306 271
    306 315 301 356 348 355 422 465 467 404 347 305 336 340 318 362 348 363 435 491 505 404 359 310
    337 360 342 406 396 420 472 548 559 463 407 362 405 417 391 419 461 472 535 622 606 508 461 390
    432""",
    sep=" ",
)
# decompose(AirPassengers, "multiplicative")$figure and decompose(AirPassengers)$figure of R 4.
FACTORS = (
    *(0.9102304, 0.8836253, 1.0073663, 0.9759060, 0.9813780, 1.1127758),
    *(1.2265555, 1.2199110, 1.0604919, 0.9217572, 0.8011781, 0.8988244),
)
SUMMANDS = (
    *(-24.748737, -36.188131, -2.241162, -8.036616, -4.506313, 35.402778),
    *(63.830808, 62.823232, 16.520202, -20.642677, -53.593434, -28.619949),
)


def windows_of(*targets: Sequence[float], horizon: int = 2, count: int = 1) -> Windows:
    encoding = {"frequency": "Q", "categories": [], "features": []}
    series = [Series(f"s{n}", None, np.array(each)) for n, each in enumerate(targets)]
    return last_windows(ManySeries(series, encoding), Layout(4, horizon), count)


def at(mean: Array, apart: float = 0.0) -> Forecasts:
    """Forecasts whose quantile at each level is ``mean`` and ``apart`` times level - 0.5 more."""
    return Forecasts(mean, mean[..., None] + apart * (np.array(LEVELS) - 0.5))


def test_seasons_are_those_of_r() -> None:
    found = baselines.seasonal_indices(PASSENGERS, 12, multiplied=True)
    assert found == pytest.approx(FACTORS, abs=1e-7)
    found = baselines.seasonal_indices(PASSENGERS, 12, multiplied=False)
    assert found == pytest.approx(SUMMANDS, abs=1e-6)
    assert baselines.is_seasonal(PASSENGERS, 12)


def test_naive2_is_the_last_value_without_its_season() -> None:
    mean, deviation = baselines.naive2(PASSENGERS, 14, 12)
    last = 432 / FACTORS[-1]
    assert mean == pytest.approx([last * factor for factor in (*FACTORS, *FACTORS[:2])], rel=1e-6)
    assert (deviation > 0).all()
    mean, _ = baselines.naive2(PASSENGERS - 300, 3, 12)  # below 0: no factor
    last = 132 - SUMMANDS[-1]
    assert mean == pytest.approx([last + each for each in SUMMANDS[:3]], abs=1e-4)


def test_gaps_move_no_season() -> None:
    gone = PASSENGERS.copy()
    gone[-3:] = gone[40] = NAN
    whole, _ = baselines.naive2(gone[:-3], 8, 12)
    late, _ = baselines.naive2(gone, 5, 12)
    assert late == pytest.approx(whole[3:])
    mean, _ = baselines.seasonal_naive(gone, 12, 12)
    assert mean == pytest.approx([*PASSENGERS[-12:-3], *PASSENGERS[-15:-12]])


@pytest.mark.parametrize("history", [[], [NAN], [NAN, NAN, NAN]])
def test_of_nothing_0_is_forecast(history: list[float]) -> None:
    for _, method in baselines.methods(0):
        mean, deviation = method(np.array(history), 3, 12)
        assert mean.tolist() == deviation.tolist() == [0, 0, 0]


@pytest.mark.parametrize("history", [[7.0], [7.0, 7.0, 7.0], [7.0] * 100, [NAN, 7.0, NAN]])
def test_constant_histories_stay_as_they_are(history: list[float]) -> None:
    for _, method in baselines.methods(0):
        mean, deviation = method(np.array(history), 3, 12)
        assert mean.tolist() == [7, 7, 7]
        assert deviation.tolist() == [0, 0, 0]


def test_the_spread_of_a_naive_forecast_grows() -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(0, 2, 10_000))
    _, deviation = baselines.naive(walk, 9, 1)
    assert deviation[0] == pytest.approx(2, rel=0.02)
    assert deviation / deviation[0] == pytest.approx(np.sqrt(np.arange(1, 10)))
    _, deviation = baselines.seasonal_naive(walk, 9, 4)
    assert deviation / deviation[0] == pytest.approx(np.sqrt([1, 1, 1, 1, 2, 2, 2, 2, 3]))


def test_scale_of_mase() -> None:
    assert seasonal_error(np.array([1.0, 2, 4, 1, NAN, 2]), 2) == (3 + 1 + 1) / 3
    assert seasonal_error(np.array([1.0, 4, 2]), 3) == 2.5  # no more than a season
    for none in ([], [3.0], [3.0, 3, 3], [NAN, 1.0, NAN]):
        assert math.isnan(seasonal_error(np.array(none), 1))


def test_figures_are_as_defined() -> None:
    truth = np.array([[10.0, 20.0], [0.0, NAN], [5.0, 5.0]])
    mean = np.array([[12.0, 20.0], [0.0, 9.0], [4.0, 5.0]])
    found = evaluate_forecasts(at(mean), truth, np.array([2.0, 1.0, NAN]))
    metrics = found.metrics
    assert metrics["mase"] == pytest.approx((0.5 + 0) / 2)
    assert metrics["smape"] == pytest.approx((200 * 2 / 22 / 2 + 0 + 200 * 1 / 9 / 2) / 3)
    assert metrics["wql"] == pytest.approx((2 + 1) / 40)  # all quantiles are one: the median's
    assert metrics["coverage"] == pytest.approx(3 / 5)
    assert metrics["rmse"] == pytest.approx(math.sqrt((4 + 1) / 5))
    assert found.examples == 3
    first, second = found.steps
    assert (first.step, first.mase, first.coverage) == (1, 0.5, pytest.approx(1 / 3))
    assert (second.step, second.mase, second.coverage) == (2, 0.0, 1.0)


def test_quantile_loss_and_coverage_are_those_of_the_quantiles() -> None:
    truth = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 50))
    found = evaluate_forecasts(at(np.zeros_like(truth), 1.0), truth, np.ones(200))
    assert found.metrics["coverage"] == pytest.approx(0.8, abs=0.01)
    # of a uniform distribution, twice the pinball loss at p is p (1 - p)
    losses = [level * (1 - level) for level in np.arange(0.1, 0.95, 0.1)]
    assert found.metrics["wql"] == pytest.approx(np.mean(losses) / 0.25, rel=0.02)
    (curve,) = found.curves
    assert np.array(curve.points)[:, 1] == pytest.approx(np.arange(0.1, 0.95, 0.1), abs=0.01)
    for name in ("mase", "coverage"):
        low, high = found.intervals[name]
        assert low < found.metrics[name] < high


def test_windows_of_one_series_are_one_example_of_an_interval() -> None:
    rng = np.random.default_rng(0)
    truth, mean = np.repeat(rng.uniform(1, 2, (100, 4)), 9, axis=0), np.zeros((900, 4))
    series = np.repeat(np.arange(100), 9)
    once = evaluate_forecasts(at(mean[::9]), truth[::9], np.ones(100)).intervals["mase"]
    rolled = evaluate_forecasts(at(mean), truth, np.ones(900), series).intervals["mase"]
    assert rolled == pytest.approx(once)


@pytest.mark.parametrize("truth", [0.0, 3.0, NAN])
def test_no_figure_of_odd_series_is_no_number(truth: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_forecasts(at(np.ones((3, 2))), np.full((3, 2), truth), np.full(3, NAN))
        assert all(math.isfinite(value) for value in found.metrics.values())
        assert "mase" not in found.metrics
        if math.isfinite(truth):
            assert found.metrics["sql"] == pytest.approx(found.metrics["wql"])
        found = evaluate_windows(at(np.ones((2, 2))), windows_of([truth] * 9, [truth] * 3))
    assert all(math.isfinite(v) for each in found.baselines for v in each.metrics.values())
    assert "owa" not in found.metrics


def test_baselines_stand_beside_the_model_and_owa_is_by_naive2() -> None:
    year = np.array([5.0, 9.0, 2.0, 7.0])
    rng = np.random.default_rng(0)
    windows = windows_of(*(np.tile(year, 9) + rng.normal(0, 0.1, 36) for _ in range(9)), horizon=4)
    found = evaluate_windows(at(np.tile(year, (9, 1))), windows)
    by_name = {each.name: each.metrics for each in found.baselines}
    assert {"naive", "seasonal naive", "Naive2"} <= set(by_name)
    assert by_name["Naive2"]["owa"] == pytest.approx(1)
    assert found.metrics["mase"] < by_name["seasonal naive"]["mase"] < by_name["naive"]["mase"]
    names = ("smape", "mase")
    expected = sum(found.metrics[each] / by_name["Naive2"][each] for each in names) / 2
    assert found.metrics["owa"] == pytest.approx(expected)


def test_rolling_windows_are_forecast_by_what_was_before_them() -> None:
    windows = windows_of(range(10), range(3), horizon=2, count=3)
    pairs = [(windows.history(n).tolist(), row.tolist()) for n, row in enumerate(windows.truth())]
    assert pairs == [
        ([0, 1, 2, 3], [4, 5]),
        ([0, 1, 2, 3, 4, 5], [6, 7]),
        ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9]),
        ([0], [1, 2]),
    ]
    found = evaluate_windows(at(windows.truth()), windows)
    assert found.examples == 4
    assert found.metrics["mase"] == found.metrics["smape"] == 0
    assert found.metrics["coverage"] == 1


def test_drawn_are_windows_from_the_best_to_the_worst() -> None:
    targets = [[*np.arange(20.0), 20.0 + n, 21.0 + n] for n in range(30)]
    windows = windows_of(*targets)
    found = evaluate_windows(at(np.array([[20.0, 21.0]] * 30), 1.0), windows)
    assert [each.name.split(",")[0] for each in found.forecasts] == [
        *("s0", "s6", "s12", "s17", "s23", "s29")
    ]
    last = found.forecasts[-1]
    assert last.name == "s29, step 21: MASE 7.25"
    assert last.past.tolist() == [*range(14, 20)]
    assert last.truth.tolist() == [49, 50]
    assert last.band.tolist() == [pytest.approx([19.6, 20.6]), pytest.approx([20.4, 21.4])]
