"""Series that are asked about, and what is forecast of them, are compared by what they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from algoshelf.core.data.series import Series
from algoshelf.core.drift import columns
from algoshelf.core.drift.asked import rows_as_columns
from algoshelf.core.drift.changes import Change, judged
from algoshelf.core.drift.comparing import _leaves
from algoshelf.core.drift.figures import is_better_high
from algoshelf.core.tasks.forecasts import Question


def asked(seed: int, length: int = 40, level: float = 50.0, gaps: float = 0.1) -> list[Question]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(200):
        target = rng.poisson(level * rng.uniform(0.5, 2), length + rng.integers(20)).astype(float)
        target[rng.random(len(target)) < gaps] = math.nan
        found.append(Question(Series(f"s{number}", None, target, ("north",))))
    return found


def changed(first: list[Question], second: list[Question]) -> set[str]:
    tables: list[dict[str, list[Any]]] = [rows_as_columns(side) for side in (first, second)]
    found: list[Change] = [
        change
        for name, cells in tables[0].items()
        for change in columns.compared("input", name, cells, tables[1][name])
    ]
    return {each.subject for each in judged(found, 0.01) if each.verdict == "drift"}


def test_the_same_series_do_not_drift() -> None:
    assert changed(asked(1), asked(2)) == set()


@pytest.mark.parametrize(
    ("other", "subjects"),
    [
        ({"length": 90}, {"length"}),
        ({"level": 80.0}, {"level", "spread", "step"}),
        ({"gaps": 0.3}, {"missing"}),
    ],
)
def test_what_has_changed_is_named(other: dict[str, Any], subjects: set[str]) -> None:
    assert changed(asked(1), asked(2, **other)) == subjects


def test_of_nothing_known_there_are_gaps() -> None:
    for target in ([], [math.nan, math.nan]):
        row = Question(Series("s", None, np.array(target))).described()
        assert row["level"] is row["spread"] is row["step"] is None
        assert row["length"] == len(target)


def test_forecasts_are_compared_by_their_mean() -> None:
    answer = {
        "item_id": "s",
        "start": "2024-05-31",
        "mean": [1.0, 3.0],
        "quantiles": {"0.5": [1.0]},
    }
    assert _leaves(answer) == {"mean": 2.0}
    assert not any(map(is_better_high, ("wql", "mase", "smape", "owa", "rmse")))
    assert is_better_high("accuracy")
