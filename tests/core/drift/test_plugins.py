"""Plugins get drift by what they declare: a classifier and a regressor of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from algoshelf.core import (
    ArrayDataset,
    Classifier,
    ContentType,
    Regressor,
    Reporter,
    TrainingHyperparameters,
    codecs,
    files,
    mx,
    supervised_channels,
    train,
)
from algoshelf.core.drift import comparing
from algoshelf.core.drift.changes import DRIFT
from algoshelf.core.inference.handlers import Handlers

ROWS = 400


class _OfRows:
    task: ClassVar[str] = "tabular"
    summary: ClassVar[str] = "Of rows of two numbers."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("CSV: the label first, then two numbers")
    accepts = (ContentType(codecs.CSV, "A line an example.", "1,2"),)

    def network(self, hyperparameters: Any, data: Any) -> Any:
        return mx.gluon.nn.Dense(self.outputs)  # type: ignore[attr-defined]


class Side(_OfRows, Classifier[TrainingHyperparameters]):
    name = "side"
    outputs = 2

    def dataset(self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None) -> Any:
        x, y = files.read_labelled_csv(path, features=2, labels=2)
        return ArrayDataset(x, y, ("left", "right"))


class Sum(_OfRows, Regressor[TrainingHyperparameters]):
    name = "sum"
    outputs = 1

    def dataset(self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None) -> Any:
        rows = np.loadtxt(path, delimiter=",", dtype=np.float32)
        return ArrayDataset(rows[:, 1:], rows[:, 0], targets=("sum",))


def written(path: Path, seed: int, name: str, moved: float = 0.0, flipped: bool = False) -> Path:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, 2)) + np.array([moved, 0])
    sums = x.sum(axis=1)
    y = sums + 0.1 * rng.normal(size=ROWS) if name == "sum" else (sums > 0).astype(int)
    if flipped:
        y = -y if name == "sum" else 1 - y
    np.savetxt(path, np.column_stack([y, x]), delimiter=",", fmt="%.5f" if name == "sum" else "%g")
    return path


@pytest.mark.parametrize("algorithm", [Side(), Sum()], ids=lambda each: each.name)
def test_a_plugins_rows_answers_and_figures(algorithm: Any, tmp_path: Path) -> None:
    data = written(tmp_path / "train.csv", 1, algorithm.name)
    options = TrainingHyperparameters(epochs=5, batch_size=20, learning_rate=0.05)
    train(algorithm, {"train": data}, options, tmp_path / "m", reporter=Reporter())
    handlers = Handlers.load(algorithm, tmp_path / "m")
    same = written(tmp_path / "same.csv", 2, algorithm.name)
    report = comparing.compare(handlers, data, same, same, 0.01)
    assert not report.drifted, report.changes[0]
    assert {each.part for each in report.changes} == {"input", "answer", "metric"}

    moved = written(tmp_path / "moved.csv", 3, algorithm.name, moved=1.0)
    found = comparing.compare(handlers, data, moved, None, 0.01)
    drifted = {(each.part, each.subject) for each in found.changes if each.verdict == DRIFT}
    assert ("input", "column 1") in drifted
    assert ("input", "column 2") not in drifted
    assert any(part == "answer" for part, _ in drifted)

    flipped = written(tmp_path / "flipped.csv", 4, algorithm.name, flipped=True)
    (first, *_) = comparing.compare(handlers, data, flipped, flipped, 0.01).changes
    assert (first.part, first.verdict, first.detail) == ("metric", DRIFT, "worse")
