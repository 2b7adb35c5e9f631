"""Windows of series: what is in one, and that nothing of the future is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from algoshelf.core.data.series import ManySeries, Series
from algoshelf.core.data.windows import (
    FEATURE_MOMENTS,
    KNOWN,
    OTHERS,
    TARGET,
    DrawnWindows,
    Layout,
    laid_out,
    last_windows,
)

LAYOUT = Layout(6, 3)


def many(*targets: Any, **encoding: Any) -> ManySeries:
    told = {"frequency": "D", "categories": [], "features": [], **encoding}
    series = [Series(str(n), None, np.array(each, float)) for n, each in enumerate(targets)]
    return ManySeries(series, told)


def test_a_window_holds_the_past_and_hides_what_is_to_be_forecast() -> None:
    whole = many(range(1, 13))
    x = laid_out(whole, LAYOUT, np.array([0]), np.array([8]))
    assert x[0, :, TARGET].tolist() == [3, 4, 5, 6, 7, 8, 0, 0, 0]
    assert x[0, :, KNOWN].tolist() == [1] * 6 + [0] * 3


def test_before_a_series_and_where_a_value_is_missing_nothing_is_known() -> None:
    whole = many([1, np.nan, 3])
    x = laid_out(whole, LAYOUT, np.array([0]), np.array([3]))
    assert x[0, :, TARGET].tolist() == [0, 0, 0, 1, 0, 3, 0, 0, 0]
    assert x[0, :, KNOWN].tolist() == [0, 0, 0, 1, 0, 1, 0, 0, 0]


def test_a_series_without_a_value_has_a_window_that_knows_nothing() -> None:
    x = laid_out(many([]), LAYOUT, np.array([0]), np.array([0]))
    assert x.shape[:2] == (1, 9)
    assert not x[:, :, :OTHERS].any()


def test_features_are_standardized_and_known_of_the_future() -> None:
    features = np.array([[10, 20, np.nan, 40, 50]], np.float32)
    series = Series("a", None, np.arange(1.0, 4.0), ("x",), features)
    told = {"frequency": "D", "categories": [["w", "x"]], "features": ["price"]}
    whole = ManySeries([series], {**told, FEATURE_MOMENTS: [[30.0, 10.0]]})
    x = laid_out(whole, Layout(2, 2), np.array([0]), np.array([3]))
    assert x[0, :, -2].tolist() == [-1, 0, 1, 2]  # a missing one counts as the mean
    assert x[0, :, -1].tolist() == [2] * 4  # the number of "x"


def test_what_is_held_out_is_never_learned_from() -> None:
    """Values after the end are so large that none could be missed."""
    lengths, ends = [40, 9, 2, 30], np.array([25, 9, 2, 12])
    targets = [np.where(np.arange(n) < end, 1.0, 1e9) for n, end in zip(lengths, ends.tolist())]
    drawn = DrawnWindows(many(*targets), LAYOUT, ends)
    seen = set()
    for epoch in range(20):
        one = drawn.drawn(np.random.default_rng(epoch))
        for learned in (0, 5):
            part = DrawnWindows(one.whole, LAYOUT, ends, learned, one.salt)
            x, y = part.take(np.arange(len(part)))
            assert x[:, :, TARGET].max() <= 1
            assert np.nanmax(y[:, :-3]) <= 1
            assert y.shape[1] == (learned or LAYOUT.horizon) + 3
            assert np.isfinite(y[:, :-3]).any(axis=1).all()
            seen |= {tuple(row) for row in x[:, :, KNOWN].tolist()}
    assert len(seen) > 5


def test_a_window_depends_on_its_index_and_the_epoch_alone() -> None:
    whole = many(np.arange(50.0), np.arange(30.0))
    drawn = DrawnWindows(whole, LAYOUT, whole.lengths_in_time).drawn(np.random.default_rng(3))
    x, y = drawn.take(np.arange(8))
    again, labels = drawn.take(np.array([5, 1]))
    assert np.array_equal(again, x[[5, 1]])
    assert np.array_equal(labels, y[[5, 1]], equal_nan=True)
    other, _ = drawn.drawn(np.random.default_rng(4)).take(np.arange(8))
    assert not np.array_equal(other, x)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_an_error_counts_by_the_size_of_its_series(nonnegative: bool) -> None:
    target = 10 + np.arange(50) % 7
    one, other = (
        DrawnWindows(many(scale * target, nonnegative=nonnegative), Layout(14, 3), np.array([50]))
        for scale in (1.0, 1e6)
    )
    (_, small), (_, large) = (each.take(np.arange(4)) for each in (one, other))
    assert large[:, -3] == pytest.approx(1e6 * small[:, -3])  # the unit of logarithms
    assert large[:, -2] == pytest.approx(1e-6 * small[:, -2])  # by value
    assert (large[:, -1] == small[:, -1]).all()  # by logarithm
    assert bool(small[:, -1].any()) == nonnegative


def test_the_last_windows_are_a_horizon_apart() -> None:
    found = last_windows(many(range(10), range(3), range(5)), LAYOUT, 2)
    assert [*zip(found.which.tolist(), found.begins.tolist())] == [(0, 4), (0, 7), (2, 2)]
    assert found.truth()[0].tolist() == [4, 5, 6]
