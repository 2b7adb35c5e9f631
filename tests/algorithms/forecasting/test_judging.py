"""How forecasts are judged through the command line: figures, baselines, windows, plot, drift."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import InProcess

QUICK = (
    *("--prediction-length", 7, "--epochs", 10, "--batch-size", 64, "--hidden", 16),
    *("--layers", 1, "--learning-rate", 0.005),
)
WEEK = np.array([0.6, 0.8, 1.0, 1.0, 1.2, 1.6, 0.8])
FIRST = datetime.date(2024, 1, 1)


def written(
    path: Path, seed: int, days: int = 63, level: float = 50.0, count: int = 60, gaps: float = 0.0
) -> Path:
    """``count`` daily series with a week of their own level, a row for each value."""
    rng = np.random.default_rng(seed)
    rows = ["shop,day,sold"]
    for shop in range(count):
        mean = level * rng.uniform(0.5, 2) * WEEK
        for day in range(days):
            if rng.random() >= gaps or day in (0, days - 1):
                value = rng.poisson(mean[day % 7])
                rows.append(f"shop {shop:02},{FIRST + datetime.timedelta(day)},{value}")
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With train.csv, test.csv of the same shops, and the model in models/forecasting."""
    folder = tmp_path_factory.mktemp("shops")
    train, test = written(folder / "train.csv", 1), written(folder / "test.csv", 1, days=70)
    result = InProcess(folder)("train", "forecasting", "--train", train, "--test", test, *QUICK)
    assert result.code == 0, result.stderr
    return folder


@pytest.fixture
def shops(folder: Path) -> InProcess:
    return InProcess(folder)


def found(shops: InProcess, *more: object, test: str = "test.csv") -> dict[str, Any]:
    document: dict[str, Any] = shops(
        "evaluate", "models/forecasting", "--test", test, "--json", *more
    ).json
    return document


def test_evaluate_measures_what_training_has_measured(shops: InProcess) -> None:
    measured = found(shops)
    trained = json.loads((shops.folder / "models/forecasting/algorithm.json").read_text())
    for name in ("wql", "mase", "smape", "coverage", "rmse"):
        expected = trained["metrics"][f"test:{name}"]
        assert measured["metrics"][name] == pytest.approx(expected, rel=1e-5)
    assert measured["examples"] == 60
    assert [each["step"] for each in measured["steps"]] == [1, 2, 3, 4, 5, 6, 7]
    (curve,) = measured["curves"]
    assert curve["name"] == "quantiles"


def test_it_beats_the_last_value_and_the_last_week(shops: InProcess) -> None:
    measured = found(shops)
    for baseline in measured["baselines"]:
        for metric in ("wql", "mase", "smape", "owa"):
            assert measured["metrics"][metric] < baseline["metrics"][metric], baseline["name"]
    assert 0.6 < measured["metrics"]["coverage"] < 0.95


def test_evaluate_shows_the_baselines_and_the_steps(shops: InProcess) -> None:
    shown = shops(
        "evaluate", "models/forecasting", "--test", "test.csv", "--plot", "drawn.png"
    ).text
    for line in ("this model", "seasonal naive", "Naive2", "steps ahead"):
        assert line in shown
    with Image.open(shops.folder / "drawn.png") as picture:
        assert min(picture.size) > 1000  # nine panels


def test_windows_are_forecast_by_what_was_before_them(shops: InProcess) -> None:
    rolled = found(shops, "--windows", 3)
    assert rolled["examples"] == 180
    one = found(shops)
    assert rolled["metrics"] != one["metrics"]
    # the last 7 days of what ends a week earlier is the window before the last
    text = (shops.folder / "test.csv").read_text().splitlines()
    until = str(FIRST + datetime.timedelta(63))
    earlier = [text[0], *(row for row in text[1:] if row.split(",")[1] < until)]
    (shops.folder / "earlier.csv").write_text("\n".join(earlier))
    before = found(shops, test="earlier.csv")
    both = found(shops, "--windows", 2)
    for metric in ("mase", "smape"):
        means = (before["metrics"][metric] + one["metrics"][metric]) / 2
        assert both["metrics"][metric] == pytest.approx(means, rel=1e-5)


def test_what_cannot_be_measured_is_said(shops: InProcess) -> None:
    rows = (shops.folder / "test.csv").read_text().splitlines()
    for name, kept in (("short.csv", 7), ("some.csv", 70 + 12)):
        (shops.folder / name).write_text("\n".join(rows[: 1 + kept]))
    result = shops("evaluate", "models/forecasting", "--test", "short.csv")
    assert result.code == 2
    assert "no series has more than the 7 values that are to be forecast" in result.stderr
    result = shops("evaluate", "models/forecasting", "--test", "some.csv", "--windows", 2)
    assert result.code == 0, result.stderr
    assert "1 series is too short for 2 windows of 7 steps" in result.stderr


def test_drift_tells_other_series_from_noise(shops: InProcess) -> None:
    asked = ("drift", "models/forecasting", "--baseline", "test.csv", "--current")
    written(shops.folder / "same.csv", 2, days=70)
    result = shops(*asked, "same.csv")
    assert result.code == 0, result.text + result.stderr
    written(shops.folder / "more.csv", 2, days=70, level=90.0, gaps=0.2)
    result = shops(*asked, "more.csv", "--json")
    assert result.code == 3, result.text + result.stderr
    changed = {each["subject"] for each in result.json["changes"] if each["verdict"] == "drift"}
    assert {"level", "missing", "mean"} <= changed
    assert "length" not in changed
