"""SSD's anchors, its loss and its boxes, each against what the papers say, in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from algoshelf.algorithms.object_detection import anchors, pretrained, ssd
from algoshelf.core import DataError, mx

SIDE, CLASSES = 64, 3


def boxes_of(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rows of class and edges (count, 5)."""
    low, size = rng.uniform(0, 0.6, (count, 2)), rng.uniform(0.05, 0.4, (count, 2))
    classes = rng.integers(CLASSES, size=(count, 1))
    return np.concatenate([classes, low, low + size], axis=1).astype(np.float32)


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M) of corners (N, 4) and (M, 4)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = (high - low).clip(0).prod(axis=2)
    areas = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (one, other))
    return both / (np.add.outer(*areas) - both)


@pytest.fixture(scope="module")
def found() -> tuple[np.ndarray, np.ndarray]:
    """Predictions (2, A, C + 4) at random, and anchors (1, A, 5) of nine sizes of boxes."""
    rng = np.random.default_rng(0)
    sizes = anchors.sizes_of(rng.uniform(0.05, 0.5, (60, 2)), 9).reshape(3, 3, 2)
    grid = anchors.grid(sizes, ssd.sides(SIDE))[None]
    return rng.normal(size=(2, grid.shape[1], CLASSES + 4)).astype(np.float32), grid


def corners(grid: np.ndarray) -> np.ndarray:
    return np.concatenate([grid[:, :2] - grid[:, 2:4] / 2, grid[:, :2] + grid[:, 2:4] / 2], axis=1)


def test_anchors_of_the_same_boxes_in_another_order_are_the_same() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.uniform(0.05, 0.5, (200, 2))
    found = anchors.sizes_of(sizes, 9)
    assert np.array_equal(found, anchors.sizes_of(rng.permutation(sizes), 9))
    assert (np.diff(found.prod(axis=1)) >= 0).all()


def test_anchors_fit_boxes_of_few_sizes_exactly() -> None:
    true = np.array([[0.05, 0.08], [0.2, 0.15], [0.6, 0.5]])
    found = anchors.sizes_of(np.repeat(true, 20, axis=0), 3)
    assert np.allclose(found, true)
    assert np.allclose(anchors.sizes_of(true[:1], 9), true[0])


def test_there_are_anchors_without_boxes_and_for_boxes_without_area() -> None:
    for sizes in (np.zeros((0, 2)), np.zeros((5, 2))):
        found = anchors.sizes_of(sizes, 9)
        assert found.shape == (9, 2)
        assert (found > 0).all()
        assert (found <= 1).all()


def test_the_grid_lies_evenly_in_the_order_of_a_convolution() -> None:
    sizes = np.array([[[0.1, 0.2], [0.3, 0.4]]])
    found = anchors.grid(sizes, (2,)).reshape(2, 2, 2, 5)  # row, column, size
    assert np.allclose(found[1, 0, 1], [0.25, 0.75, 0.3, 0.4, 0.5])


def test_the_loss_is_focal_and_smooth_l1_by_the_anchors_that_find_something(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    rng = np.random.default_rng(2)
    predictions, grid = found
    boxes = np.full((2, 6, 5), -1, np.float32)
    boxes[0, :4], boxes[1, :1] = boxes_of(rng, 4), boxes_of(rng, 1)
    loss = ssd.loss(SIDE)
    loss.hybridize()
    given = [mx.nd.array(each) for each in found]
    got = loss(given, mx.nd.array(boxes)).asnumpy()
    for each, rows, value in zip(predictions.astype(np.float64), boxes, got):
        assert value == pytest.approx(expected_loss(each, grid[0], rows[rows[:, 0] >= 0]), rel=1e-4)


def expected_loss(predictions: np.ndarray, grid: np.ndarray, boxes: np.ndarray) -> float:
    fits = overlaps(corners(grid), boxes[:, 1:])
    which, best = fits.argmax(axis=1), fits.max(axis=1)
    for number in range(len(boxes)):
        own = fits[:, number] == fits[:, number].max()
        which[own], best[own] = number, 2.0
    positive = best >= ssd.POSITIVE
    true = np.zeros((len(grid), CLASSES))
    true[positive, boxes[which[positive], 0].astype(int)] = 1
    sure = 1 / (1 + np.exp(-predictions[:, :CLASSES]))
    of_truth = np.where(true == 1, sure, 1 - sure)
    weight = np.where(true == 1, ssd.ALPHA, 1 - ssd.ALPHA)
    focal = -weight * (1 - of_truth) ** ssd.GAMMA * np.log(of_truth)
    focal = focal[positive | (best < ssd.NEGATIVE)].sum()
    box = boxes[which[positive]].astype(np.float64)
    own, offsets = grid[positive], predictions[positive, CLASSES:]
    moved = ((box[:, 1:3] + box[:, 3:]) / 2 - own[:, :2]) / own[:, 2:4] / ssd.UNITS[0]
    grown = np.log((box[:, 3:] - box[:, 1:3]) / own[:, 2:4]) / ssd.UNITS[1]
    apart = np.abs(offsets - np.concatenate([moved, grown], axis=1))
    smooth = np.where(apart < 1, apart**2 / 2, apart - 0.5).sum()
    return float((focal + smooth) / max(1, positive.sum()))


def test_a_picture_without_objects_teaches_that_there_are_none(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    predictions, grid = (mx.nd.array(each) for each in found)
    predictions.attach_grad()
    with mx.autograd.record():
        value = ssd.loss(SIDE)([predictions, grid], mx.nd.full((2, 3, 5), -1.0))
    value.backward()
    gradient = predictions.grad.asnumpy()
    assert np.isfinite(value.asnumpy()).all()
    assert (gradient[..., :CLASSES] > 0).all()
    assert not gradient[..., CLASSES:].any()


def test_the_decoder_gives_the_boxes_that_are_learned(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    grid = found[1]
    edges = boxes_of(np.random.default_rng(3), grid.shape[1])[None, :, 1:]
    centres, sides = (edges[..., :2] + edges[..., 2:]) / 2, edges[..., 2:] - edges[..., :2]
    moved = (centres - grid[..., :2]) / grid[..., 2:4] / ssd.UNITS[0]
    grown = np.log(sides / grid[..., 2:4]) / ssd.UNITS[1]
    predictions = np.concatenate([np.zeros_like(edges[..., :CLASSES]), moved, grown], axis=2)
    got = ssd.decoder(SIDE)([mx.nd.array(predictions), mx.nd.array(grid)]).asnumpy()
    assert np.allclose(got[..., :4], edges, atol=1e-5)
    assert np.allclose(got[..., 4:], 0.5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of MobileNetV2 as Gluon saves them, at random."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.params"
    whole = mx.gluon.model_zoo.vision.mobilenet_v2_1_0()
    whole.initialize(mx.init.Xavier())
    whole(mx.nd.zeros((1, 3, 32, 32)))
    whole.save_parameters(str(path))
    return path


def test_pretrained_features_are_taken_whole_and_the_frozen_ones_stay(weights: Path) -> None:
    network = ssd.network(CLASSES, SIDE, 16)
    network.initialize()
    ssd.set_anchors(network, np.full((1, 2), 0.2), SIDE)
    message, digest = pretrained.load(network.features, weights)
    pretrained.settle(network.features, 6, 0.25)
    assert "starting from 260 arrays" in message
    assert len(digest) == 64
    saved = mx.nd.load(str(weights))
    trainer = mx.gluon.Trainer(network.collect_params(), "sgd", {"learning_rate": 0.1})
    x = mx.nd.array(np.random.default_rng(0).integers(256, size=(2, 3, SIDE, SIDE)), dtype="uint8")
    boxes = mx.nd.array(np.full((2, 1, 5), 0.3, np.float32) + np.array([0, 0, 0, 0.2, 0.2]))
    network.hybridize()
    with mx.autograd.record():
        value = ssd.loss(SIDE)(network(x), boxes)
    value.backward()
    trainer.step(2)
    now = network.features._collect_params_with_prefix("features")
    moved = {name for name, each in now.items() if (each.data() != saved[name]).sum().asscalar()}
    assert moved
    assert all(int(name.split(".")[1]) >= 6 for name in moved)
    assert not any("running" in name for name in moved)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.params"
    mx.nd.save(str(path), {"features.0.weight": mx.nd.zeros((8, 3, 3, 3))})
    network = ssd.network(CLASSES, SIDE, 16)
    network.initialize()
    with pytest.raises(DataError, match=r"other\.params: has no matching weights for 260 of 260"):
        pretrained.load(network.features, path)
    (tmp_path / "text.params").write_text("no weights")
    with pytest.raises(DataError, match=r"text\.params: not a params file"):
        pretrained.load(network.features, tmp_path / "text.params")
