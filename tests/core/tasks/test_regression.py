"""Regressions as a third party writes them: in any unit, of several targets, refused by name."""

from __future__ import annotations

import json
import os
import re
import subprocess
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
    Model,
    PluginError,
    Regressor,
    Reporter,
    RunOptions,
    TrainingHyperparameters,
    UnfitPayloadError,
    codecs,
    files,
    mx,
    supervised_channels,
    train,
)
from algoshelf.core.artifact.folder import Artifact
from algoshelf.core.data.reading import Reading, using
from algoshelf.core.tasks.target_figures import evaluate_targets

from tests.conftest import ROOT, Algoshelf
from tests.core.training.test_cluster import PROGRAM, start_roles
from tests.registry.conftest import Site, install

IRIS = ROOT / "algorithms" / "kmeans" / "sample" / "iris.csv"
OPTIONS = TrainingHyperparameters(epochs=60, batch_size=16, learning_rate=0.02)


class Petals(Regressor[TrainingHyperparameters]):
    """The length and width of an iris's petal, ``unit`` times, by its sepal's."""

    name = "petals"
    task = "tabular-regression"
    summary = "Estimates the sizes of petals."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("CSV: four sizes, those of the petal last")
    accepts = (ContentType(codecs.JSON, "two sizes a flower"),)
    unit: Any = 1.0
    targets = ("length", "width")

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        rows = files.read_numbers_csv(path, columns=4).astype(np.float64)
        return ArrayDataset(rows[:, :2], self.of(rows[:, 2:] * self.unit), targets=self.targets)

    def of(self, sizes: Array) -> Array:
        return sizes

    def network(self, hyperparameters: TrainingHyperparameters, data: Dataset) -> Any:
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Dense(16, activation="relu"), nn.Dense(2))
        return net


class Log(Reporter):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def learned(
    algorithm: Petals, folder: Path, path: Path = IRIS, options: Any = OPTIONS, **channels: Path
) -> tuple[Model, dict[str, float], list[str]]:
    log = Log()
    _, metrics = train(algorithm, {"train": path, **channels}, options, folder / "m", reporter=log)
    return algorithm.model_fn(folder / "m"), metrics, log.messages


def table(folder: Path, rows: Array, name: str = "rows.csv") -> Path:
    np.savetxt(folder / name, rows, delimiter=",", fmt="%.6g")
    return folder / name


@pytest.fixture(scope="module")
def sizes() -> Array:
    return np.loadtxt(IRIS, delimiter=",", skiprows=1)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_the_unit_of_a_target_changes_nothing_but_the_unit(unit: float, tmp_path: Path) -> None:
    """Powers of ten are no powers of two: the same but for rounding."""
    algorithm = Petals()
    algorithm.unit = unit
    model, metrics, _ = learned(algorithm, tmp_path)
    assert metrics["validation:r2"] > 0.6
    assert metrics["validation:rmse"] / unit == pytest.approx(0.43, abs=0.05)
    found = algorithm.evaluate(model, IRIS)
    assert [each.name for each in found.targets] == ["length", "width"]
    assert found.metrics["rmse"] == pytest.approx(np.mean([each.rmse for each in found.targets]))
    assert found.metrics["r2"] > 0.6
    low, high = found.intervals["rmse"]  # of 150 examples
    assert low < found.metrics["rmse"] < high
    answer = algorithm.predict_fn(np.float32([[5.1, 3.5], [6.5, 3.0]]), model)
    assert answer.values.dtype == np.float32
    assert answer.values / unit == pytest.approx(np.array([[1.5, 0.25], [5.4, 2.0]]), abs=0.8)


def test_the_answers_name_the_targets(tmp_path: Path) -> None:
    algorithm = Petals()
    model, _, _ = learned(algorithm, tmp_path, options=TrainingHyperparameters(epochs=1))
    example = model.metadata.example
    body = algorithm.input_fn(example.body.encode(), example.content_type)
    answer = algorithm.predict_fn(np.repeat(body, 3, axis=0), model)
    document = json.loads(algorithm.output_fn(answer, codecs.JSON))
    assert [list(row) for row in document["predictions"]] == [["length", "width"]] * 3
    assert algorithm.output_fn(answer[1:], codecs.JSONLINES).count(b"\n") == len(answer[1:]) == 2
    rows = [list(row.values()) for row in document["predictions"]]
    cells = algorithm.output_fn(answer, codecs.CSV).decode().splitlines()
    assert [[float(cell) for cell in line.split(",")] for line in cells] == rows
    array = codecs.decode_array(algorithm.output_fn(answer, codecs.NPY), codecs.NPY)
    assert array.tolist() == pytest.approx(np.array(rows))


def test_one_target_may_be_a_number_or_a_row_of_one_and_needs_no_name(tmp_path: Path) -> None:
    class Lengths(Petals):
        targets = ()

        def of(self, sizes: Array) -> Array:
            return sizes[:, 0]

        def network(self, hyperparameters: Any, data: Dataset) -> Any:
            return mx.gluon.nn.Dense(1)

    class Columns(Lengths):
        def of(self, sizes: Array) -> Array:
            return sizes[:, :1]

    bodies = []
    for kind in (Lengths, Columns):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        model, _, _ = learned(kind(), folder)
        answer = kind().predict_fn(np.float32([[5.1, 3.5]]), model)
        bodies.append(kind().output_fn(answer, codecs.JSON))
    assert list(json.loads(bodies[0])["predictions"][0]) == ["target"]
    assert bodies[0] == bodies[1]


def test_a_loss_of_ones_own_is_given_standardized_targets(tmp_path: Path) -> None:
    class Robust(Petals):
        unit = 1e6
        seen: list[float] = []

        def loss(self, hyperparameters: Any) -> Any:
            return mx.gluon.loss.HuberLoss()

        def augment(self, x: Any, y: Any, hyperparameters: Any, rng: Any) -> Any:
            self.seen.append(float(y.abs().max().asscalar()))
            return x, y

    _, metrics, _ = learned(Robust(), tmp_path)
    assert metrics["validation:r2"] > 0.6
    assert max(Robust.seen) < 4


def test_figures_are_those_of_the_book_and_hold_in_nineteen_of_twenty_cases() -> None:
    truth = np.array([[1.0, 5], [2, 5], [4, 5]])
    found = evaluate_targets(truth + np.array([[1, 0], [-1, 0], [2, 3]]), truth, ("a", "b"))
    a, b = found.targets
    assert (a.rmse, a.mae) == pytest.approx((2**0.5, 4 / 3))
    assert a.r2 == pytest.approx(1 - 6 / (14 / 3))
    assert (b.rmse, b.mae, b.r2) == (pytest.approx(3**0.5), 1, None)
    assert found.metrics["rmse"] == pytest.approx((2**0.5 + 3**0.5) / 2)
    assert found.metrics["r2"] == a.r2
    assert found.intervals == {}  # of so few, none is honest
    rng, hits = np.random.default_rng(0), np.zeros(3)
    for _ in range(1000):
        truth = rng.normal(size=(100, 1))
        bounds = evaluate_targets(truth + rng.normal(size=(100, 1)), truth, ("a",)).intervals
        true = {"rmse": 1.0, "mae": (2 / np.pi) ** 0.5, "r2": 0.0}
        hits += [bounds[name][0] <= value <= bounds[name][1] for name, value in true.items()]
    assert (hits >= 930).all()
    assert (hits <= 970).all()


def test_r2_is_left_out_where_it_is_undefined(tmp_path: Path, sizes: Array) -> None:
    """One example to validate on, or a target that does not change."""
    one = table(tmp_path, sizes[:1], "one.csv")
    model, metrics, _ = learned(Petals(), tmp_path, validation=one)
    assert "validation:r2" not in metrics
    assert metrics["validation:rmse"] < 1
    found = Petals().evaluate(model, one)
    assert found.examples == 1
    assert [each.r2 for each in found.targets] == [None, None]
    flat = sizes.copy()
    flat[:, 3] = 2.5
    (tmp_path / "flat").mkdir()
    path = table(tmp_path, flat)
    model, metrics, said = learned(Petals(), tmp_path / "flat", path)
    assert "targets that are the same in all examples: width (2.5)" in said
    found = Petals().evaluate(model, path)
    assert found.targets[1].r2 is None
    assert found.targets[1].rmse < 0.2
    assert found.metrics["r2"] == found.targets[0].r2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda y: y[:, :, None], r"its labels have the shape \(150, 2, 1\) and the type float32"),
        (lambda y: y.astype(str), "the type <U"),
        (lambda y: y[:, :1], "an example has 1 targets, but 2 are named: length, width"),
        (lambda y: np.where(y == y.max(), np.nan, y), "target length of example 119 is nan, no f"),
        (lambda y: np.where(y > 2.2, np.inf, y), r"target width of example 101 is inf, .*nor are"),
        (lambda y: y * 0 + 3, r"all 135 examples .* same target: length \(3\), width \(3\): exp"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(
    change: Any, fault: str, tmp_path: Path
) -> None:
    class Spoilt(Petals):
        def of(self, sizes: Array) -> Array:
            spoilt: Array = change(sizes)
            return spoilt

    with pytest.raises(DataError, match=fault) as caught:
        learned(Spoilt(), tmp_path)
    assert str(IRIS) in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_a_channel_with_other_targets_is_refused_before_the_first_step(tmp_path: Path) -> None:
    class Other(Petals):
        targets = ()

        def dataset(
            self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
        ) -> Dataset:
            whole = super().dataset(path, channel, hyperparameters, encoding)
            assert isinstance(whole, ArrayDataset)
            return whole if channel == "train" else ArrayDataset(whole.x, whole.y[:, 0])

    with pytest.raises(DataError, match=r"an example have the shape \(\), those .* \(2,\)"):
        learned(Other(), tmp_path, validation=IRIS)

    class Renamed(Petals):
        def dataset(
            self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
        ) -> Dataset:
            self.targets = ("length", "width" if channel == "train" else "breadth")
            return super().dataset(path, channel, hyperparameters, encoding)

    match = "its targets are not those of the training: length, breadth there, length, width in"
    with pytest.raises(DataError, match=match):
        learned(Renamed(), tmp_path, validation=IRIS)


def test_a_network_with_another_number_of_outputs_is_refused_before_it_learns(
    tmp_path: Path,
) -> None:
    class Short(Petals):
        def network(self, hyperparameters: Any, data: Dataset) -> Any:
            return mx.gluon.nn.Dense(3)

    match = r"gives \(3,\) outputs an example for 2 targets \(length, width\): .* a layer of 2"
    with pytest.raises(PluginError, match=match):
        learned(Short(), tmp_path)


def test_numbers_beyond_what_it_can_compute_with_are_refused(tmp_path: Path) -> None:
    model, _, _ = learned(Petals(), tmp_path, options=TrainingHyperparameters(epochs=1))
    with pytest.raises(UnfitPayloadError, match="example 2: its numbers are too large"):
        Petals().predict_fn(np.float32([[1, 1], [3e38, 3e38]]), model)
    with pytest.raises(UnfitPayloadError, match=r"expected examples of the shape \(2,\)"):
        Petals().predict_fn(np.float32([[1, 1, 1]]), model)


def test_an_artifact_with_other_targets_than_outputs_does_not_load(tmp_path: Path) -> None:
    learned(Petals(), tmp_path, options=TrainingHyperparameters(epochs=1))
    path = tmp_path / "m" / "algorithm.json"
    document = json.loads(path.read_text())
    for targets, fault in (
        (["length"], r"the network gives \(2,\) outputs an example for 1 targets"),
        (["length", "length"], "targets: the name 'length' is listed twice"),
        (["length", "\x1b[2J"], r"targets: the name .* holds the control character U\+001B"),
    ):
        document["encoding"]["targets"] = targets
        path.write_text(json.dumps(document))
        with pytest.raises(Exception, match=fault):
            Petals().model_fn(tmp_path / "m")


def test_the_same_graph_answers_on_several_devices(tmp_path: Path) -> None:
    """Each device has the mean and the scale."""
    metrics = []
    for devices in ("cpu", "cpu:2"):
        _, found = train(
            Petals(), {"train": IRIS}, OPTIONS, tmp_path / devices, reporter=Reporter(),
            options=RunOptions(devices=devices),
        )  # fmt: skip
        metrics.append(found["validation:rmse"])
    assert metrics[0] == pytest.approx(metrics[1], rel=0.02)


PLUGIN = """
from algoshelf.core import *


class Widths(Regressor[TrainingHyperparameters]):
    name = "widths"
    task = "tabular-regression"
    summary = "Estimates the width of petals."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("CSV: the width first, then three sizes")
    accepts = (ContentType(codecs.CSV, "three sizes"),)

    def dataset(self, path, channel, hyperparameters, encoding=None):
        rows = files.read_numbers_csv(path, columns=4, target_first=True)
        import os
        names = (os.environ.get("TARGET", "width"),)
        return ArrayDataset(rows[:, 1:], rows[:, 0] * 1e4, targets=names)

    def network(self, hyperparameters, data):
        return mx.gluon.nn.Dense(1)


@hookimpl
def algoshelf_algorithms():
    return [Widths]
"""


def on_hosts(
    folder: Path, environment: dict[str, str], parts: list[Path], *targets: str
) -> tuple[list[int], str]:
    """A job in which each host has a file of its own; exit codes and what all have said."""
    more = ["--epochs", "40", "--batch-size", "16", "--learning-rate", "0.05", "--output", "m"]
    commands = [
        ["env", *(f"TARGET={name}" for name in targets[i : i + 1]), PROGRAM, "train", "widths",
         "--train", str(part), *more]
        for i, part in enumerate(parts)
    ]  # fmt: skip
    processes = start_roles(folder, environment, commands)
    try:
        logs = [each.communicate(timeout=200)[1] for each in processes[2:]]
    except subprocess.TimeoutExpired:
        logs = ["it never ended"]
    finally:
        for each in processes:
            each.kill()
            each.communicate()
    return [each.returncode for each in processes[2:]], "\n".join(logs)


def test_hosts_with_data_of_their_own_agree_on_the_scale(
    algoshelf: Algoshelf, tmp_path: Path, sizes: Array
) -> None:
    """The one has small petals alone, the other large ones: mean and scale of the target, and those
    of the inputs that are standardized, are those of both.
    """
    rows = sizes[np.argsort(sizes[:, 3], kind="stable")][:, [3, 0, 1, 2]]
    parts = [table(tmp_path, rows[:70], "small.csv"), table(tmp_path, rows[70:], "large.csv")]
    site = Site(algoshelf, tmp_path / "site")
    asked = "    def network"
    site.install("widths", PLUGIN.replace(asked, f"    standardize_inputs = True\n\n{asked}"))

    environment = {**os.environ, "PYTHONPATH": str(site.folder), "OMP_NUM_THREADS": "1"}
    validation = table(tmp_path, rows, "both.csv")
    codes, said = on_hosts(tmp_path, environment, parts)
    assert codes == [0, 0], said
    kept = mx.nd.load(str(tmp_path / "m" / "model-0000.params"))
    mean = float(kept["arg:units_mean"].asscalar())
    scale = float(kept["arg:units_scale"].asscalar())
    assert mean == pytest.approx(rows[:, 0].mean() * 1e4, rel=0.05)  # a tenth is held out
    assert scale == pytest.approx(rows[:, 0].std() * 1e4, rel=0.05)
    inputs = rows[:, 1:]
    for name, expected in (("mean", inputs.mean(axis=0)), ("scale", inputs.std(axis=0))):
        values = kept[f"arg:standardized_{name}"].asnumpy()[0]
        assert values == pytest.approx(expected, rel=0.05)
    assert Artifact.open(tmp_path / "m").metadata.encoding == {"targets": ["width"]}
    found = site("evaluate", tmp_path / "m", "--test", validation, "--json")
    assert found.json["metrics"]["r2"] > 0.85, found.text
    codes, said = on_hosts(tmp_path, environment, parts, "width", "length")
    assert 0 not in codes
    assert "Give every host the same targets" in said


def test_evaluate_shows_each_target_and_says_what_is_undefined(
    algoshelf: Algoshelf, tmp_path: Path, sizes: Array
) -> None:
    plugin = PLUGIN.replace('(os.environ.get("TARGET", "width"),)', '("width", "length")')
    plugin = plugin.replace("rows[:, 0] * 1e4", "rows[:, [0, 3]]").replace("Dense(1)", "Dense(2)")
    site = Site(algoshelf, tmp_path / "site")
    install(site.folder, "widths", plugin)
    path = table(tmp_path, sizes[:, [3, 0, 1, 2]])
    trained = site("train", "widths", "--train", path, "--epochs", 5, "--output", "m")
    assert trained.code == 0, trained.stderr
    shown = site("evaluate", "m", "--test", path).text
    assert [line.split()[0] for line in shown.splitlines() if line.strip()] == [
        *("rmse", "mae", "r2", "examples", "target", "width", "length"),
    ]
    assert "95 % confidence" in shown.splitlines()[0]
    one = table(tmp_path, sizes[:1, [3, 0, 1, 2]], "one.csv")
    shown = site("evaluate", "m", "--test", one).text
    assert re.search(r"^width +\d\S* +\d\S* +–\s*$", shown, re.MULTILINE)
    assert "r2 is undefined where all examples have the same value: width, length" in shown


def test_numbers_are_read_with_the_target_first_and_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,price\n1,2,3.5\n4,5,-6\n")
    for decided, first, expected in (
        (Reading(), False, [[1, 2, 3.5], [4, 5, -6]]),
        (Reading(label_column="price"), True, [[3.5, 1, 2], [-6, 4, 5]]),
        (Reading(label_column="price"), False, [[1, 2], [4, 5]]),
        (Reading(columns="b"), False, [[2], [5]]),
    ):
        with using(decided, print):
            rows = files.read_numbers_csv(path, columns=len(expected[0]), target_first=first)
        assert rows.dtype == np.float32
        assert rows.tolist() == expected
    with pytest.raises(DataError, match=r"t\.csv: .*3.* expected 4"):
        files.read_numbers_csv(path, columns=4)
    with using(Reading(columns="1,2"), print), pytest.raises(
        DataError, match="2 of its 3 columns are chosen, expected 3"
    ):
        files.read_numbers_csv(path, columns=3)
    path.write_text("1,2\n3,many\n")
    with pytest.raises(DataError, match=r"t\.csv: .*many"):
        files.read_numbers_csv(path, columns=2)
    path.write_text("")
    with pytest.raises(DataError, match=r"t\.csv: holds no examples"):
        files.read_numbers_csv(path, columns=2)
