"""Which columns matter, by permuting them; and columns in unlike units."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
import pytest
from algoshelf.core import (
    Array,
    ArrayDataset,
    ContentType,
    Dataset,
    InputError,
    Model,
    PluginError,
    Regressor,
    TrainingHyperparameters,
    codecs,
    mx,
    supervised_channels,
    train,
)
from algoshelf.core.tasks import importance

from tests.core.tasks.test_regression import Log

OPTIONS = TrainingHyperparameters(epochs=30, batch_size=32, learning_rate=0.05)


class Sums(Regressor[TrainingHyperparameters]):
    """3 a + b, of columns a, b, c in units of 1, 1,000 and 0.001."""

    name = "sums"
    task = "tabular-regression"
    summary = "Adds numbers."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("a .npy file: three numbers, a sum")
    accepts = (ContentType(codecs.JSON, "three numbers"),)
    standardize_inputs = True

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        rows = np.load(path)
        return ArrayDataset(rows[:, :-1], rows[:, -1])

    def network(self, hyperparameters: TrainingHyperparameters, data: Dataset) -> Any:
        return mx.gluon.nn.Dense(1)


def table(folder: Path, count: int = 400) -> Path:
    x = np.random.default_rng(0).normal(size=(count, 3))
    rows = np.hstack([x * (1, 1000, 0.001) + (5, -7000, 0), x[:, :1] * 3 + x[:, 1:2]])
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


@pytest.fixture
def learned(tmp_path: Path) -> tuple[Model, Path]:
    path = table(tmp_path)
    train(Sums(), {"train": path}, OPTIONS, tmp_path / "m", reporter=Log())
    return Sums().model_fn(tmp_path / "m"), path


def test_columns_in_any_unit_are_learned_and_the_requests_have_their_units(
    learned: tuple[Model, Path],
) -> None:
    model, path = learned
    assert Sums().evaluate(model, path).metrics["r2"] > 0.999
    answer = Sums().predict_fn(np.float32([[6, -6000, 0]]), model)
    assert answer.values[0, 0] == pytest.approx(4, abs=0.1)


def test_a_column_matters_by_its_part_of_the_variance(learned: tuple[Model, Path]) -> None:
    """Without the column the error is its deviation in the sum, times √2: 3 √2, √2 and 0."""
    model, path = learned
    found = Sums().importances(model, path)
    assert [each.name for each in found] == ["column 1", "column 2", "column 3"]
    assert {each.metric for each in found} == {"rmse"}
    assert [each.loss for each in found] == pytest.approx([3 * 2**0.5, 2**0.5, 0], abs=0.25)
    assert all(0 <= each.spread < 0.4 for each in found)
    assert found == Sums().importances(model, path)


def test_what_stands_in_several_columns_is_permuted_together(learned: tuple[Model, Path]) -> None:
    class Named(Sums):
        def columns(self, metadata: Any) -> Mapping[str, Sequence[int]]:
            return {"nothing": [2], "both": [0, 1]}

    model, path = learned
    both, nothing = Named().importances(model, path)
    assert (both.name, nothing.name) == ("both", "nothing")
    assert both.loss == pytest.approx(20**0.5, abs=0.3)


def test_of_many_rows_some_are_computed(
    learned: tuple[Model, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = learned
    computed = []

    def compute(x: Array) -> Any:
        computed.append(len(x))
        return model.outputs(x)

    data = Sums().dataset(path, "test", OPTIONS)
    monkeypatch.setattr(importance, "MAX_ROWS", 15 * 150)
    columns = importance.by_heading((), 3)
    found = importance.importances(compute, Sums().score, data, columns, Sums.objective)
    assert set(computed) == {150}
    assert found[0].loss == pytest.approx(3 * 2**0.5, abs=0.5)


def test_what_has_no_columns_says_so(tmp_path: Path) -> None:
    class Pictures(Sums):
        standardize_inputs = False

        def dataset(
            self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
        ) -> Dataset:
            rows = np.load(path)
            return ArrayDataset(rows[:, :3].reshape(-1, 1, 3), rows[:, -1])

    path = table(tmp_path)
    train(Pictures(), {"train": path}, OPTIONS, tmp_path / "m", reporter=Log())
    with pytest.raises(InputError, match="sums learns from no columns of a table"):
        Pictures().importances(Pictures().model_fn(tmp_path / "m"), path)
    Pictures.standardize_inputs = True
    with pytest.raises(PluginError, match=r"standardize_inputs: expected inputs \(N, D\)"):
        train(Pictures(), {"train": path}, OPTIONS, tmp_path / "n", reporter=Log())
