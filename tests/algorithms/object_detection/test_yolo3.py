"""YOLOv3's loss and boxes, against the paper, in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from algoshelf.algorithms.object_detection import anchors, ssd, yolo3
from algoshelf.core import mx

SIDE, CLASSES = 64, 2


@pytest.fixture(scope="module")
def found() -> tuple[np.ndarray, np.ndarray]:
    """Predictions (1, A, C + 5) at random, and anchors (1, A, 5)."""
    rng = np.random.default_rng(0)
    sizes = anchors.sizes_of(rng.uniform(0.05, 0.5, (60, 2)), 9).reshape(3, 3, 2)
    grid = anchors.grid(sizes, ssd.sides(SIDE))[None]
    return rng.normal(size=(1, grid.shape[1], CLASSES + 5)).astype(np.float32), grid


def entropy(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    sure = 1 / (1 + np.exp(-logits))
    return -(truth * np.log(sure) + (1 - truth) * np.log(1 - sure))


def test_one_anchor_learns_a_box_and_the_others_that_there_is_none(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    predictions, grid = found
    best = 40  # the box is a little larger than this anchor, and moved within its cell
    x, y, width, height, cell = grid[0, best]
    x, y, width, height = x + cell / 8, y - cell / 8, width * 1.05, height * 1.05
    edges = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    boxes = np.array([[[1, *edges], [-1] * 5]], np.float32)
    loss = yolo3.loss(SIDE)
    loss.hybridize()
    got = float(loss([mx.nd.array(each) for each in found], mx.nd.array(boxes)).asscalar())
    row = predictions[0].astype(np.float64)
    low, high = grid[0, :, :2] - grid[0, :, 2:4] / 2, grid[0, :, :2] + grid[0, :, 2:4] / 2
    both = (np.minimum(high, edges[2:]) - np.maximum(low, edges[:2])).clip(0).prod(axis=1)
    overlap = both / (grid[0, :, 2:4].prod(axis=1) + width * height - both)
    assert overlap.argmax() == best
    sure = (overlap <= yolo3.UNSURE) | (np.arange(len(overlap)) == best)
    seen = entropy(row[:, CLASSES], (np.arange(len(overlap)) == best).astype(float))
    classes = entropy(row[best, :CLASSES], np.array([0.0, 1.0])).sum()
    place = entropy(row[best, -4:-2], np.array([0.625, 0.375])).sum()
    sides = np.abs(row[best, -2:] - np.log(1.05)).sum()
    expected = (seen * sure).sum() + classes + (2 - width * height) * (place + sides)
    assert got == pytest.approx(expected, rel=1e-3)


def test_the_decoder_gives_the_box_of_an_anchor(found: tuple[np.ndarray, np.ndarray]) -> None:
    grid = found[1]
    predictions = np.zeros_like(found[0])
    predictions[..., CLASSES] = 2.0  # there is something; in the middle, as large as the anchor
    got = yolo3.decoder(SIDE)([mx.nd.array(predictions), mx.nd.array(grid)]).asnumpy()
    centres, sides = grid[..., :2], grid[..., 2:4]
    edges = np.concatenate([centres - sides / 2, centres + sides / 2], axis=2)
    assert np.allclose(got[..., :4], edges, atol=1e-6)
    assert np.allclose(got[..., 4:], 0.5 / (1 + np.exp(-2.0)))


def test_the_network_of_gluoncv_s_blocks_learns_by_every_parameter() -> None:
    pytest.importorskip("gluoncv")
    network = yolo3.network(CLASSES, SIDE, 8)
    network.initialize()
    ssd.set_anchors(network, np.full((1, 2), 0.3), SIDE)
    x = mx.nd.array(np.random.default_rng(0).integers(256, size=(2, 3, SIDE, SIDE)), dtype="uint8")
    boxes = mx.nd.array([[[0, 0.1, 0.2, 0.5, 0.8]], [[-1] * 5]])
    with mx.autograd.record():
        value = yolo3.loss(SIDE)(network(x), boxes)
    value.backward()
    learned = [each for each in network.collect_params().values() if each.grad_req != "null"]
    assert learned
    assert all(np.isfinite(each.grad().asnumpy()).all() for each in learned)
