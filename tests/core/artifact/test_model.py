"""A loaded model computes, whatever is behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import Artifact, Example, InputSignature, Metadata, Model, NetworkError, mx
from algoshelf.core.artifact import folder as artifact
from algoshelf.core.artifact.network import EVALUATION_BATCH
from algoshelf.core.artifact.sized import MAX_WORK, sized
from algoshelf.core.runtime.graph import Fit
from algoshelf.core.training import loop


def _written(folder: Path, network: Any) -> Artifact:
    network.initialize(mx.init.Constant(0.5))
    network.hybridize()
    network(mx.nd.zeros((1, 3)))
    metadata = Metadata(
        algorithm="acme",
        algorithm_version="1",
        hyperparameters={},
        seed=0,
        input=InputSignature(shape=(0, 3)),
        example=Example(content_type="text/csv", body="1,2,3\n"),
    )
    artifact.write(folder, network, metadata)
    return Artifact.open(folder)


@pytest.fixture
def one(tmp_path: Path) -> Artifact:
    return _written(tmp_path, mx.gluon.nn.Dense(2, use_bias=False, prefix="dense_"))


@pytest.fixture
def two(tmp_path: Path) -> Artifact:
    """Sums of each row, and their squares."""

    class Two(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="two_")
            self.dense = mx.gluon.nn.Dense(1, use_bias=False, prefix="two_dense_")

        def hybrid_forward(self, api: Any, x: Any) -> Any:
            halves = self.dense(x)
            return 2 * halves, api.square(2 * halves)

    return _written(tmp_path, Two())


def _rows(count: int) -> np.ndarray:
    return np.arange(3 * count, dtype=np.float32).reshape(count, 3) % 100


@pytest.mark.parametrize("count", [1, 5, EVALUATION_BATCH, 2 * EVALUATION_BATCH + 3])
def test_one_output_is_an_array(one: Artifact, count: int) -> None:
    x = _rows(count)
    expected = np.repeat(x.sum(axis=1, keepdims=True) / 2, 2, axis=1)
    np.testing.assert_array_equal(one.load().outputs(x), expected)


def _tuned(opened: Artifact) -> Model:
    return opened.load().tuned(opened.load)


@pytest.mark.parametrize("count", [1, 5, 37, 2 * EVALUATION_BATCH + 3])
@pytest.mark.parametrize("load", [Artifact.load, _tuned])
def test_several_outputs_are_a_tuple(two: Artifact, load: Any, count: int) -> None:
    x = _rows(count)
    sums, squares = load(two).outputs(x)
    np.testing.assert_array_equal(sums, x.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(squares, np.square(x.sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("load", [Artifact.load, _tuned])
def test_what_was_learned_is_there_by_name(one: Artifact, load: Any) -> None:
    (learned,) = load(one).parameters().items()
    assert learned[0] == "dense_weight"
    np.testing.assert_array_equal(learned[1], np.full((2, 3), 0.5, np.float32))


def test_a_network_too_large_for_copies_is_never_planned_for_another_size() -> None:
    sizes = []

    class Sums(mx.gluon.Block):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            sizes.append(len(x))
            return x.sum(axis=1, keepdims=True)

    large = Fit(outputs=[(1, 1)], peak=0, work=MAX_WORK, vocabularies=(), shapes={}, dtypes={})
    network = sized(Sums, mx.nd.zeros((1, 3)), large)
    for count in (2, 1, 3):
        (answer,) = network(mx.nd.array(_rows(count)))
        np.testing.assert_array_equal(answer.asnumpy(), _rows(count).sum(axis=1, keepdims=True))
    assert sizes == [1] * 6


def test_an_input_with_which_it_cannot_compute(one: Artifact) -> None:
    with pytest.raises(NetworkError, match=r"cannot compute with an input \(1, 4\)"):
        one.load().outputs(np.zeros((1, 4), np.float32))


def test_a_batch_of_nothing(one: Artifact) -> None:
    with pytest.raises(ValueError, match="no example"):
        one.load().outputs(_rows(0))


def test_a_plugin_that_asks_for_the_block_is_warned_and_served(one: Artifact) -> None:
    model = one.load()
    with pytest.warns(DeprecationWarning, match=r"Model\.block .* model\.outputs\(x\)"):
        block = model.block
    with pytest.warns(DeprecationWarning, match=r"Model\.device"):
        device = model.device
    with pytest.warns(DeprecationWarning, match=r"loop\.predict .* model\.outputs\(x\)"):
        predicted = loop.predict(block, _rows(2), device)
    np.testing.assert_array_equal(predicted, model.outputs(_rows(2)))
    found = block(mx.nd.array(_rows(2), ctx=device)).asnumpy()
    np.testing.assert_array_equal(found, model.outputs(_rows(2)))
