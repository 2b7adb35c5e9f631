"""What the networks make of a row, held against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from algoshelf.algorithms.tabular import data as tables
from algoshelf.algorithms.tabular import networks
from algoshelf.core import mx
from algoshelf.core.data.columns import Feature
from algoshelf.core.data.dataset import ArrayDataset

FEATURES = (
    Feature("size", "number", 0, 0),
    Feature("place", "category", 4, 1),
    Feature("age", "number", 0, 2),
    Feature("code", "category", 100, 3),
)
BORDERS = ((-1.0, 0.0, 2.0), ())
ROWS = np.array([[1.0, 2, -0.5, 99], [math.nan, 0, 7.0, 3], [-1.5, 3, math.nan, 0]], np.float32)


def initialized(network: mx.gluon.HybridBlock) -> mx.gluon.HybridBlock:
    mx.random.seed(1)
    network.initialize(mx.init.Normal(0.5))
    return network


def outputs(network: mx.gluon.HybridBlock, rows: np.ndarray) -> np.ndarray:
    return network(mx.nd.array(rows)).asnumpy()


def test_a_row_becomes_bins_gaps_and_codes() -> None:
    found = outputs(initialized(networks.Encoded(FEATURES, BORDERS, [0])), ROWS)
    expected = [
        # two bins of size; age as it is; whether size is a gap; a column a code of place; the code
        [1, 0.5, -0.5, 0, 0, 0, 1, 0, 99],
        [1, 0, 7, 1, 1, 0, 0, 0, 3],  # a gap counts as the mean, 0
        [-0.5, 0, 0, 0, 0, 0, 0, 1, 0],  # below the first border, a little
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kept", [FEATURES, FEATURES[:1], FEATURES[1:2], FEATURES[3:]])
def test_training_takes_the_rows_that_the_graph_makes_to_the_bit(kept: tuple[Feature, ...]) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(scale=2, size=(500, len(kept))).astype(np.float32)
    for place, feature in enumerate(kept):
        if feature.size:
            rows[:, place] = rng.integers(0, feature.size, 500)
        else:
            rows[rng.random(500) < 0.1, place] = math.nan
    borders = [np.sort(rng.normal(size=9)).tolist() for each in kept if not each.size]
    gaps = [place for place, each in enumerate(kept) if not each.size]
    block = initialized(networks.Encoded(kept, borders, gaps))
    np.testing.assert_array_equal(block.of(rows), outputs(block, rows), strict=True)


def test_rows_without_room_in_memory_are_encoded_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = initialized(networks.Encoded(FEATURES, BORDERS, [0]))
    rows = ArrayDataset(np.tile(ROWS, (1500, 1)), np.arange(4500, dtype=np.float32))
    kept = tables.EncodedRows(rows, block.of)
    monkeypatch.setattr(tables, "MEMORY", 1000)
    anew = tables.EncodedRows(rows, block.of)
    assert kept.kept is not None
    assert anew.kept is None
    places = np.array([4499, 0, 7, 4200])
    for one, other in zip(kept.take(places), anew.take(places)):
        np.testing.assert_array_equal(one, other, strict=True)


def test_far_outside_of_the_bins_all_is_one() -> None:
    network = initialized(networks.Encoded(FEATURES[:1], BORDERS[:1], []))
    far = np.array([[1e30], [-1e30], [1e9], [-1e9]], np.float32)
    np.testing.assert_array_equal(outputs(network, far), [[1, 2], [-1, 0], [1, 2], [-1, 0]])


def member(network: networks.Ensemble, k: int, rows: np.ndarray) -> np.ndarray:
    """What one member says, (N, O), computed by hand."""
    values = {name[len(network.prefix) :]: p.data().asnumpy() for name, p in
              network.collect_params().items()}  # fmt: skip
    x, vectors = (each.asnumpy() for each in network.columns(mx.nd.array(rows)))
    x = np.concatenate([x, vectors[:, 0]], axis=1)
    h = network.hidden
    own = slice(k * h, (k + 1) * h)
    first = x @ values["dense0_weight"][own].T + values["dense0_bias"][own]
    second = np.maximum(first, 0) @ values["layer1_weight"][k] + values["layer1_bias"][k]
    found: np.ndarray = (
        np.maximum(second, 0) @ values["output_weight"][k] + values["output_bias"][k]
    )
    return found


def test_members_are_networks_of_their_own() -> None:
    sizes = {"members": 3, "hidden": 5, "layers": 2, "dropout": 0.0, "residual": False}
    network = initialized(networks.Ensemble(FEATURES, 2, **sizes))
    rows = initialized(networks.Encoded(FEATURES, BORDERS, [0])).of(ROWS)
    said = outputs(network, rows)
    assert said.shape == (3, 3, 2)
    for k in range(3):
        np.testing.assert_allclose(said[:, k], member(network, k, rows), rtol=1e-4, atol=1e-5)
    mean = outputs(networks.averaged(network, are_classes=False), rows)
    np.testing.assert_allclose(mean, said.mean(axis=1), rtol=1e-5)
    logits = outputs(networks.averaged(network, are_classes=True), rows)
    each = np.exp(said) / np.exp(said).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(np.exp(logits), each.mean(axis=1), rtol=1e-4)


def test_the_loss_is_the_mean_of_the_members() -> None:
    said = np.random.default_rng(1).normal(size=(4, 3, 2)).astype(np.float32)
    labels = np.array([0, 1, 1, 0], np.int32)
    loss = networks.of_each_member(mx.gluon.loss.SoftmaxCrossEntropyLoss(), 3)
    found = loss(mx.nd.array(said), mx.nd.array(labels, dtype="int32")).asnumpy()
    logs = said - np.log(np.exp(said).sum(axis=2, keepdims=True))
    expected = -np.take_along_axis(logs, labels[:, None, None], axis=2)[..., 0].mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    squares = networks.of_each_member(mx.gluon.loss.L2Loss(), 3)
    targets = np.array([[1.0, 2.0]] * 4, np.float32)
    found = squares(mx.nd.array(said), mx.nd.array(targets)).asnumpy()
    expected = (np.square(said - targets[:, None]) / 2).mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "bins", "borders"),
    [
        ([1, 1, 1, 2, 3, math.nan], 8, (1, 2, 3)),
        (list(range(101)), 4, (0, 25, 50, 75, 100)),
        ([0] * 1000 + [1, 2, 3, 4], 4, (0, 1, 2, 3, 4)),  # however rare
        ([5, 5, math.nan], 8, ()),
        ([math.nan], 8, ()),
    ],
)
def test_borders(values: list[float], bins: int, borders: tuple[float, ...]) -> None:
    assert tables.borders_of(np.array(values, np.float32), bins) == borders


@pytest.mark.parametrize(
    ("examples", "devices", "batch"),
    [(50, 1, 32), (911, 2, 32), (3119, 1, 64), (29_259, 3, 258), (10**7, 4, 256)],
)
def test_batches_go_by_the_number_of_examples(examples: int, devices: int, batch: int) -> None:
    assert tables.batch_for(examples, devices) == batch
