"""Algorithms whose labels are no classes, as a third party writes them: trained from end to end."""

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
    Dataset,
    Evaluation,
    ImageFiles,
    Objective,
    RecordImages,
    Reporter,
    RunOptions,
    SupervisedAlgorithm,
    TrainingHyperparameters,
    codecs,
    mx,
    supervised_channels,
    train,
)
from algoshelf.core.data.dataset import hold_out, part_of

from tests.core.data.packs import png, write_records


class Estimator(SupervisedAlgorithm[TrainingHyperparameters]):
    """Numbers to be estimated: y (N, K) or (N,), of the file's columns after the first two."""

    name = "estimator"
    task = "regression"
    summary = "Estimates numbers."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("a .npy file of rows")
    accepts = (ContentType(codecs.JSON, "rows"),)
    metrics = {**SupervisedAlgorithm.metrics, "validation:mse": "mean squared error"}
    objective = Objective("validation:mse", maximize=False)
    outputs = 1

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        table = np.load(path)
        return ArrayDataset(table[:, :2], table[:, 2])

    def network(self, hyperparameters: TrainingHyperparameters, data: Dataset) -> Any:
        return mx.gluon.nn.Dense(self.outputs)

    def loss(self, hyperparameters: TrainingHyperparameters) -> Any:
        return mx.gluon.loss.L2Loss()

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        labels = data.labels()
        return Evaluation(
            len(data), {"mse": float(np.mean((outputs.reshape(labels.shape) - labels) ** 2))}
        )


class Targets(Estimator):
    """Three numbers an example."""

    name = "targets"
    outputs = 3

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        table = np.load(path)
        return ArrayDataset(table[:, :2], table[:, 2:5])


class Autoencoder(Estimator):
    """Its examples are what it is to give back: y (N, 4, 4)."""

    name = "autoencoder"

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        pictures = np.load(path)[:, :1] * np.ones((1, 16))
        pictures = pictures.reshape(-1, 4, 4)
        return ArrayDataset(pictures, pictures)

    def network(self, hyperparameters: TrainingHyperparameters, data: Dataset) -> Any:
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Dense(2), mx.gluon.nn.Dense(16))
        net.add(mx.gluon.nn.HybridLambda(lambda api, x: api.reshape(x, (0, 4, 4))))
        return net


class Log(Reporter):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def table(folder: Path, *, twice: bool) -> Path:
    """400 rows: two numbers, and three that follow from them; each target stands there twice."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200 if twice else 400, 2))
    rows = np.concatenate([x, x[:, :1] * 2 - x[:, 1:], x[:, :1], x[:, 1:] + 1], axis=1)
    np.save(folder / "rows.npy", np.repeat(rows, 2, axis=0) if twice else rows)
    return folder / "rows.npy"


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("algorithm", [Estimator, Targets, Autoencoder])
def test_it_learns_and_a_tenth_is_held_out(
    tmp_path: Path, algorithm: type[Estimator], twice: bool
) -> None:
    log = Log()
    options = TrainingHyperparameters(epochs=30, batch_size=20, learning_rate=0.05)
    path = table(tmp_path, twice=twice)
    artifact, metrics = train(algorithm(), {"train": path}, options, tmp_path / "m", reporter=log)
    assert "no validation channel: 40 examples of train, 10%, are held out" in log.messages
    assert metrics["validation:mse"] < 0.05
    assert artifact is not None
    model = algorithm().model_fn(tmp_path / "m")
    assert algorithm().evaluate(model, path).metrics["mse"] < 0.05
    example = artifact.metadata.example
    body = algorithm().input_fn(example.body.encode(), example.content_type)
    found = algorithm().predict_fn(np.repeat(body, 3, axis=0), model)
    answer = json.loads(algorithm().output_fn(found, codecs.JSON))["predictions"]
    assert np.isfinite(answer).all()
    assert len(answer) == 3
    lines = algorithm().output_fn(found, codecs.JSONLINES).splitlines()
    assert [json.loads(line) for line in lines] == answer
    cells = algorithm().output_fn(found, codecs.CSV).decode().splitlines()
    assert [[float(cell) for cell in line.split(",")] for line in cells] == [
        np.ravel(row).tolist() for row in answer
    ]
    array = codecs.decode_array(algorithm().output_fn(found, codecs.NPY), codecs.NPY)
    np.testing.assert_allclose(array, answer, rtol=1e-6)


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("group", "40 examples of train, about 10% in whole groups, are held out"),
        ("time", "40 examples of train, the latest 10%, are held out"),
    ],
)
def test_a_training_holds_out_as_its_dataset_says(tmp_path: Path, by: str, said: str) -> None:
    """Twenty examples a group, or a time."""

    class Grouped(Estimator):
        def dataset(
            self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
        ) -> Dataset:
            rows = np.load(path)
            return ArrayDataset(rows[:, :2], rows[:, 2], **{by: np.arange(400) // 20})

    log = Log()
    options = TrainingHyperparameters(epochs=1, batch_size=20)
    path = table(tmp_path, twice=False)
    train(Grouped(), {"train": path}, options, tmp_path / "m", reporter=log)
    assert f"no validation channel: {said}" in log.messages


@pytest.mark.parametrize("algorithm", [Estimator, Targets, Autoencoder])
def test_a_trial_on_a_part_takes_as_many_as_asked(
    tmp_path: Path, algorithm: type[Estimator]
) -> None:
    log = Log()
    options = TrainingHyperparameters(epochs=1, batch_size=20)
    train(
        algorithm(), {"train": table(tmp_path, twice=True)}, options, tmp_path / "m",
        reporter=log, options=RunOptions(examples=100),
    )  # fmt: skip
    assert "train: 100 examples" in log.messages


@pytest.mark.parametrize(
    "y",
    [
        np.repeat(np.arange(200, dtype=np.float32), 2),
        np.repeat(np.arange(200), 2),  # counts: whole numbers that name no classes
        np.zeros((400, 3), np.int64),
        np.zeros((400, 5, 5), np.float32),
    ],
)
def test_what_names_no_classes_is_divided_as_a_whole(y: np.ndarray) -> None:
    data = ArrayDataset(np.zeros((400, 1), np.float32), y)
    kept, held = hold_out(data, 0.1, np.random.default_rng(0))
    assert (len(kept), len(held)) == (360, 40)
    assert len(part_of(data, 50)) == 50


def test_pictures_with_numbers_for_labels_keep_them(tmp_path: Path) -> None:
    """As float32: a class's index would be 1 for 1.75."""
    rng = np.random.default_rng(0)
    bodies = [png(image) for image in rng.integers(0, 255, (4, 5, 5), np.uint8)]
    paths = []
    for place, body in enumerate(bodies):
        paths.append(tmp_path / f"{place}.png")
        paths[-1].write_bytes(body)

    def decode(body: bytes) -> Array:
        return np.asarray(codecs.decode_image(body, mode="L", size=(5, 5)), np.float32)

    for labels in ([1.75, -0.5, 0.25, 3], [[1.75, 2], [0, 1], [2, 2.5], [1, 1]]):
        data = ImageFiles(paths, labels, (), decode)  # type: ignore[arg-type]
        np.testing.assert_array_equal(data.take(np.arange(4))[1], np.float32(labels))
        np.testing.assert_array_equal(data.labels(), np.float32(labels))
        assert len(hold_out(data, 0.25, np.random.default_rng(0))[1]) == 1
    several = np.float32([[1.75, 2], [0, 1], [2, 2.5], [1, 1]])
    pack = RecordImages(write_records(tmp_path / "p.rec", bodies, [*several]), decode)
    np.testing.assert_array_equal(pack.labels(), several)
    assert len(hold_out(pack, 0.25, np.random.default_rng(0))[1]) == 1
