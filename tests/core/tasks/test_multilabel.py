"""Several labels an example: figures, answers, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import (
    Array,
    ArrayDataset,
    ContentType,
    DataError,
    Dataset,
    MultiLabelClassifier,
    Objective,
    PluginError,
    ThresholdHyperparameters,
    TrainingHyperparameters,
    codecs,
    mx,
    supervised_channels,
    train,
)
from algoshelf.core.tasks.label_figures import evaluate_labels

from tests.core.tasks.test_regression import Log

TRUTH = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 0]])
GIVEN = np.float32(
    [[0.9, 0.2, 0.4], [0.3, 0.1, 0.8], [0.4, 0.7, 0.6], [0.6, 0.6, 0.1], [0.8, 0.3, 0.2]]
)
SKLEARN = {
    "micro_f1": 0.7142857142857143,
    "macro_f1": 0.7222222222222222,
    "mean_average_precision": 0.9166666666666666,
    "cross_entropy": 0.43031127568727506,
    "exact_match": 0.4,
}
PRECISIONS = [0.9166666666666666, 1.0, 0.8333333333333333]
OPTIONS = TrainingHyperparameters(epochs=12, batch_size=32, learning_rate=0.05)


class Marks(MultiLabelClassifier[TrainingHyperparameters]):
    """Whether each of two numbers is above 0; ``rows`` is what the file holds."""

    name = "marks"
    task = "tabular-multi-label"
    summary = "Tells which numbers are above 0."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("a .npy file: two numbers, two labels")
    accepts = (ContentType(codecs.JSON, "two numbers"),)
    names = ("one", "other")
    outputs = 2

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        rows = np.load(path)
        return ArrayDataset(rows[:, :2], rows[:, 2:], self.names)

    def network(self, hyperparameters: TrainingHyperparameters, data: Dataset) -> Any:
        return mx.gluon.nn.Dense(self.outputs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    numbers = np.random.default_rng(0).normal(size=(400, 2))
    return saved(tmp_path, np.hstack([numbers, numbers > 0]))


def saved(folder: Path, rows: Array) -> Path:
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


def test_the_figures_are_those_of_scikit_learn() -> None:
    """scikit-learn 1.9.1: f1_score, average_precision_score, accuracy_score, log_loss."""
    found = evaluate_labels(GIVEN, TRUTH, ("a", "b", "c"))
    assert found.metrics == pytest.approx(SKLEARN, rel=1e-6)
    assert [each.average_precision for each in found.labels] == pytest.approx(PRECISIONS)
    assert [each.support for each in found.labels] == [3, 2, 2]
    assert [curve.name for curve in found.curves] == ["ROC", "precision-recall"]


def test_a_label_that_no_example_has_is_left_out_of_the_mean() -> None:
    truth = TRUTH * (1, 0, 1)
    found = evaluate_labels(GIVEN, truth, ("a", "b", "c"))
    assert found.labels[1].average_precision is None
    assert found.metrics["mean_average_precision"] == pytest.approx(
        (PRECISIONS[0] + PRECISIONS[2]) / 2
    )
    none = evaluate_labels(GIVEN, TRUTH * 0, ("a", "b", "c"))
    assert "mean_average_precision" not in none.metrics
    assert none.curves == ()


def test_intervals_hold_the_truth_though_labels_depend_on_each_other() -> None:
    def drawn(rng: np.random.Generator, count: int) -> Any:
        scores = rng.normal(size=(count, 1)) + 0.5 * rng.normal(size=(count, 4))
        given = 1 / (1 + np.exp(1 - 1.5 * scores))
        return evaluate_labels(given, rng.random((count, 4)) < given, tuple("abcd"))

    rng = np.random.default_rng(0)
    true = drawn(rng, 100_000).metrics
    held = dict.fromkeys(true, 0)
    for _ in range(200):
        for name, (low, high) in drawn(rng, 250).intervals.items():
            held[name] += low <= true[name] <= high
    assert all(0.9 <= times / 200 <= 0.995 for times in held.values()), held


def test_it_learns_and_answers_by_label(path: Path, tmp_path: Path) -> None:
    _, metrics = train(Marks(), {"train": path}, OPTIONS, tmp_path / "m", reporter=Log())
    assert metrics["validation:micro_f1"] > 0.9
    model = Marks().model_fn(tmp_path / "m")
    assert Marks().evaluate(model, path).metrics["mean_average_precision"] > 0.97
    answer = Marks().predict_fn(np.float32([[3, -3], [3, 3], [-3, -3]]), model)
    rows = json.loads(Marks().output_fn(answer, codecs.JSON))["predictions"]
    assert [row["labels"] for row in rows] == [["one"], ["one", "other"], []]
    assert [list(row["probabilities"]) for row in rows] == [["one", "other"]] * 3
    assert Marks().output_fn(answer[1:], codecs.JSONLINES).count(b"\n") == len(answer[1:]) == 2
    array = codecs.decode_array(Marks().output_fn(answer, codecs.NPY), codecs.NPY)
    assert array.dtype == np.float32
    cells = Marks().output_fn(answer, codecs.CSV).decode().splitlines()
    assert [[float(cell) for cell in line.split(",")] for line in cells] == pytest.approx(array)


class RareOptions(ThresholdHyperparameters, TrainingHyperparameters):
    pass


class Rare(Marks):
    """A rare label that is uncertain beside one in two."""

    Hyperparameters = RareOptions  # type: ignore[assignment]
    objective = Objective("validation:cross_entropy", maximize=False)


@pytest.mark.parametrize(
    "how", [{"threshold": "f1"}, {"min_recall": 0.9}, {"cost_fn": 9, "cost_fp": 1}]
)
def test_thresholds_are_chosen_by_the_validation(how: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def drawn(name: str) -> Path:
        x = rng.normal(size=(600, 2))
        rare = rng.random(600) < 1 / (1 + np.exp(3 - 1.2 * x[:, 0]))
        np.save(tmp_path / name, np.hstack([x, rare[:, None], x[:, 1:] > 0]))
        return tmp_path / f"{name}.npy"

    channels = {"train": drawn("train"), "validation": drawn("held")}
    options = {"epochs": 12, "batch_size": 32, "learning_rate": 0.05}
    found = {}
    for name, more in (("usual", {}), ("chosen", how)):
        parsed = RareOptions.parse({**options, **more})
        log = Log()
        train(Rare(), channels, parsed, tmp_path / name, reporter=log)
        model = Rare().model_fn(tmp_path / name)
        found[name] = Rare().evaluate(model, channels["validation"])
    usual, chosen = (found[name].labels[0] for name in ("usual", "chosen"))
    assert usual.threshold == 0.5
    assert 0 < chosen.threshold < 0.3
    assert chosen.recall > usual.recall + 0.3
    assert chosen.recall >= how.get("min_recall", 0)
    if "threshold" in how:
        assert chosen.f1 > usual.f1
    kept = model.metadata.encoding["decision"]["thresholds"]
    assert kept[0] == chosen.threshold
    x = np.load(channels["validation"])[:, :2].astype(np.float32)
    given = list(Rare().predict_fn(x, model).given())
    probabilities = Rare().predict_fn(x, model).values
    assert ["one" in each for each in given] == (probabilities[:, 0] >= kept[0]).tolist()
    broken = model.metadata.model_copy(
        update={
            "encoding": {**model.metadata.encoding, "decision": {"chosen": True, "thresholds": [1]}}
        }
    )
    faults = list(Rare().disagreements(broken, ((1, 2),)))
    assert faults == ["encoding: decision: thresholds: expected a number for each label"]


def test_what_are_no_labels_is_refused(path: Path, tmp_path: Path) -> None:
    rows = np.load(path)
    rows[7, 2] = 2
    rows[9, 3] = np.nan

    def refused(changed: Array, algorithm: Marks | None = None) -> str:
        here = saved(tmp_path, changed)
        with pytest.raises(DataError) as caught:
            train(algorithm or Marks(), {"train": here}, OPTIONS, tmp_path / "m")
        return str(caught.value)

    told = refused(rows)
    assert "the label one of example 8 is 2: expected 0 or 1" in told
    assert "the label other of example 10 is nan: expected 0 or 1" in told
    rows = np.nan_to_num(rows).clip(-9, 1)
    same = rows.copy()
    same[:, 2:] = (0, 1)
    assert "all 400 examples have the same labels" in refused(same)
    unnamed = Marks()
    unnamed.names = ("one",)  # type: ignore[assignment]
    assert "an example has 2 labels, but 1 are named: one" in refused(rows, unnamed)
    wide = Marks()
    wide.outputs = 3
    here = saved(tmp_path, rows)
    with pytest.raises(PluginError, match=r"let it end in a layer of 2"):
        train(wide, {"train": here}, OPTIONS, tmp_path / "m")
