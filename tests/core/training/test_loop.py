"""The ready loop, through a small algorithm of the tests' own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest
from algoshelf.core import (
    ArrayDataset,
    Classifier,
    ContentType,
    DataError,
    Reporter,
    RunOptions,
    TrainingError,
    TrainingHyperparameters,
    codecs,
    mx,
    train,
)
from algoshelf.core.algorithm.channels import check_channels, supervised_channels
from algoshelf.core.data.files import read_labelled_csv
from algoshelf.core.tasks.classification import OF_PROBABILITIES, OF_TWO_CLASSES
from algoshelf.core.training.engine import Schedule


class Rows(Classifier[TrainingHyperparameters]):
    """Two classes of rows, told apart by the sign of their first number."""

    name = "rows"
    task = "test"
    summary = "rows"
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("CSV")
    accepts = (ContentType(codecs.CSV, "rows"),)

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> ArrayDataset:
        return ArrayDataset(*read_labelled_csv(path, features=2, labels=2), ("minus", "plus"))

    def network(self, hyperparameters: TrainingHyperparameters, data: Any) -> Any:
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Dense(4, activation="tanh"), mx.gluon.nn.Dense(2))
        return net


FIGURES = (*OF_PROBABILITIES, *OF_TWO_CLASSES)  # of the two classes that Rows has
OPTIMIZERS = TrainingHyperparameters.model_fields["optimizer"].annotation.__args__  # type: ignore


class Recorder(Reporter):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def message(self, text: str) -> None:
        self.events.append(("message", text))

    def begin(self, steps: int) -> None:
        self.events.append(("begin", steps))

    def step(self, step: int) -> None:
        self.events.append(("step", step))

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.events.append(("metrics", (epoch, step, dict(values))))

    def end(self) -> None:
        self.events.append(("end", None))

    def of(self, kind: str) -> list[Any]:
        return [value for name, value in self.events if name == kind]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    table = np.concatenate([(x[:, :1] > 0).astype(int), x], axis=1)
    np.savetxt(tmp_path / "rows.csv", table, delimiter=",")
    return tmp_path / "rows.csv"


def fit(rows: Path, listener: Reporter | None = None, **options: Any) -> dict[str, float]:
    hyperparameters = TrainingHyperparameters(**{"epochs": 3, "batch_size": 20, **options})
    output = rows.parent / "model"
    reporter = listener or Recorder()
    return train(Rows(), {"train": rows}, hyperparameters, output, reporter=reporter)[1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_learns(rows: Path, optimizer: str) -> None:
    metrics = fit(rows, epochs=60, learning_rate=0.05, optimizer=optimizer)
    assert metrics["validation:accuracy"] >= 0.9


def test_everything_is_reported_in_order(rows: Path) -> None:
    listener = Recorder()
    metrics = fit(rows, listener)
    assert listener.of("begin") == [12]  # 90 examples, 20 a batch, 3 epochs
    assert listener.of("step") == list(range(13))
    reported = listener.of("metrics")
    assert [(epoch, step) for epoch, step, _ in reported] == [(1, 4), (2, 8), (3, 12)]
    last = reported[-1][2]
    assert last.pop("train:throughput") > 0
    assert 0 <= last.pop("train:data_wait") < 1
    assert last.pop("train:peak_memory_mb") > 10
    assert last == metrics
    assert set(metrics) == {"train:loss", *(f"validation:{name}" for name in FIGURES)}
    assert listener.events[-1] == ("end", None)
    assert any("10 examples of train" in text for text in listener.of("message"))


def test_a_test_channel_is_measured_and_reported_once_at_the_end(rows: Path) -> None:
    listener = Recorder()
    channels = {"train": rows, "test": rows}
    options = TrainingHyperparameters(epochs=2, batch_size=20)
    _, metrics = train(Rows(), channels, options, rows.parent / "m", reporter=listener)
    reported = [values for _, _, values in listener.of("metrics")]
    assert [any(name.startswith("test:") for name in values) for values in reported] == [
        False,
        False,
        True,
    ]
    assert set(reported[-1]) == {f"test:{name}" for name in FIGURES}
    assert metrics["test:accuracy"] == reported[-1]["test:accuracy"]


def test_a_batch_larger_than_the_data_becomes_the_data(rows: Path) -> None:
    listener = Recorder()
    fit(rows, listener, batch_size=5000)
    assert listener.of("begin") == [3]
    assert any("batch size 90" in text for text in listener.of("message"))


def test_a_loss_that_is_no_longer_finite_ends_the_training(rows: Path) -> None:
    listener = Recorder()
    with pytest.raises(TrainingError, match="no longer finite"):
        fit(rows, listener, optimizer="sgd", learning_rate=100, weight_decay=1, epochs=500)
    assert listener.events[-1] == ("end", None)
    assert not (rows.parent / "model").exists()


def test_two_trainings_in_one_process_give_the_same_bytes(rows: Path) -> None:
    names = ("algorithm.json", "model-symbol.json", "model-0000.params")
    fit(rows)
    first = [(rows.parent / "model" / name).read_bytes() for name in names]
    fit(rows)
    assert [(rows.parent / "model" / name).read_bytes() for name in names] == first


def test_examples_of_one_class_are_refused(rows: Path) -> None:
    table = np.loadtxt(rows, delimiter=",")
    np.savetxt(rows, table[table[:, 0] == 1], delimiter=",")
    with pytest.raises(DataError, match=r"rows\.csv: all \d+ examples are of one class \('plus'\)"):
        fit(rows)
    assert not (rows.parent / "model").exists()


def test_channels_are_checked_once(rows: Path) -> None:
    checked = check_channels(Rows.channels, {"train": rows, "test": None})
    assert checked == {"train": rows}
    rows.rename(rows.with_name("elsewhere"))
    assert check_channels(Rows.channels, checked) is checked


def test_channels_are_checked_together(rows: Path) -> None:
    channels = {"test": rows.with_name("missing"), "valdation": rows}
    with pytest.raises(DataError) as caught:
        train(Rows(), channels, TrainingHyperparameters(), rows.parent / "m")
    text = str(caught.value)
    assert "missing: no such file" in text
    assert "no channel 'valdation' (did you mean 'validation'?)" in text
    assert "the channel 'train' is required" in text


def test_the_schedule_falls_in_steps_and_scales_with_the_batch() -> None:
    options = TrainingHyperparameters(
        learning_rate=0.5, schedule="step", warmup=0.0, batch_size=256, reference_batch=64
    )
    rates = [Schedule(options, 8)(step) for step in range(8)]
    assert rates == pytest.approx([2, 2, 2, 2, 0.2, 0.2, 0.02, 0.02])


@pytest.mark.parametrize("devices", ["cpu", "cpu:2"])
def test_clipping_bounds_the_step(rows: Path, devices: str) -> None:
    """Without momentum, one step of SGD moves the weights by learning rate x clip norm."""
    moved = []
    for clip in (0.0, 0.01):
        before, after = (
            weights(
                rows, devices, learning_rate=rate, clip_norm=clip, epochs=1, batch_size=90,
                optimizer="sgd", momentum=0.0, schedule="constant", warmup=0.0,
            )
            for rate in (1e-12, 1.0)
        )  # fmt: skip
        moved.append(float(np.linalg.norm(after - before)))
    assert moved[0] > 0.02
    assert moved[1] == pytest.approx(0.01, rel=1e-3)


def weights(rows: Path, devices: str, **options: Any) -> np.ndarray:
    run = RunOptions(devices=devices)
    settings = TrainingHyperparameters(**options)
    train(Rows(), {"train": rows}, settings, rows.parent / "m", options=run, reporter=Reporter())
    saved = mx.nd.load(str(rows.parent / "m" / "model-0000.params"))
    return np.concatenate([saved[name].asnumpy().ravel() for name in sorted(saved)])


def test_the_schedule_warms_up_and_falls_to_zero() -> None:
    options = TrainingHyperparameters(learning_rate=1.0, warmup=0.25)
    rates = [Schedule(options, 40)(step) for step in range(40)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[25] == pytest.approx(0.5)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01
    level = TrainingHyperparameters(learning_rate=1.0, warmup=0.0, schedule="constant")
    assert {Schedule(level, 40)(step) for step in range(40)} == {1.0}
    line = TrainingHyperparameters(learning_rate=1.0, warmup=0.25, schedule="linear")
    rates = [Schedule(line, 40)(step) for step in range(40)]
    assert rates[9:] == pytest.approx([10 / 11, *(1 - step / 30 for step in range(30))])
    assert math.isclose(Schedule(options, 1)(0), 1.0)
