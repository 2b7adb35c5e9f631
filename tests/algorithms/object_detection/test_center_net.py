"""CenterNet's loss and boxes, against the paper, in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from algoshelf.algorithms.object_detection import center_net
from algoshelf.core import mx

SIDE, CLASSES = 32, 2
ACROSS = SIDE // center_net.STRIDE


def predictions(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, ACROSS * ACROSS, CLASSES + 4)).astype(np.float32)


def test_the_loss_is_that_of_points_by_the_number_of_objects() -> None:
    rng = np.random.default_rng(0)
    found = predictions(rng)
    boxes = np.full((2, 3, 5), -1, np.float32)
    boxes[0, :2] = [[0, 0.1, 0.2, 0.5, 0.8], [1, 0.5, 0.5, 0.9, 0.7]]
    boxes[1, :1] = [[1, 0.0, 0.0, 1.0, 1.0]]
    loss = center_net.loss(SIDE)
    loss.hybridize()
    got = loss(mx.nd.array(found), mx.nd.array(boxes)).asnumpy()
    for each, rows, value in zip(found.astype(np.float64), boxes, got):
        assert value == pytest.approx(expected_loss(each, rows[rows[:, 0] >= 0]), rel=1e-4)


def expected_loss(found: np.ndarray, boxes: np.ndarray) -> float:
    true, close = np.zeros((2, ACROSS, ACROSS, CLASSES))
    rows, columns = np.mgrid[:ACROSS, :ACROSS]
    total = 0.0
    for kind, *edges in boxes.astype(np.float64):
        left, top, right, bottom = (edge * ACROSS for edge in edges)
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        column, row = int(x), int(y)
        true[row, column, int(kind)] = 1
        spread = (1 + 2 * center_net.NEAR * np.sqrt(width * height)) / 6
        apart = (rows - row) ** 2 + (columns - column) ** 2
        close[..., int(kind)] += np.exp(-apart / (2 * spread**2))
        guessed = found[row * ACROSS + column, CLASSES:]
        moved = np.abs(guessed[:2] - [x - column, y - row]).sum()
        total += moved + center_net.SIZE_WEIGHT * np.abs(guessed[2:] - [width, height]).sum()
    sure = 1 / (1 + np.exp(-found[:, :CLASSES].reshape(true.shape)))
    missed = -true * (1 - sure) ** 2 * np.log(sure)
    invented = -(1 - true) * (1 - close.clip(0, 1)) ** 4 * sure**2 * np.log(1 - sure)
    return (total + missed.sum() + invented.sum()) / max(1, len(boxes))


def test_a_peak_is_a_box_and_its_neighbours_are_none() -> None:
    found = np.full((1, ACROSS * ACROSS, CLASSES + 4), -8.0, np.float32)
    row, column = 2, 5
    found[0, row * ACROSS + column] = [-8, 3, 0.25, 0.5, 2.0, 3.0]
    found[0, row * ACROSS + column + 1, 1] = 2
    got = center_net.decoder(SIDE)
    got.initialize()
    candidates = got(mx.nd.array(found)).asnumpy()[0]
    best = candidates[candidates[:, 4:].max(axis=1) > 0.5]
    x, y = (column + 0.25) / ACROSS, (row + 0.5) / ACROSS
    width, height = 2 / ACROSS, 3 / ACROSS
    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert best.shape == (1, 4 + CLASSES)
    assert np.allclose(best[0, :4], box)
    assert best[0, 5] == pytest.approx(1 / (1 + np.exp(-3)))


def test_the_network_of_gluoncv_s_blocks_learns_by_every_parameter() -> None:
    pytest.importorskip("gluoncv")
    network = center_net.network(CLASSES, SIDE, 8)
    network.initialize()
    x = mx.nd.array(np.random.default_rng(0).integers(256, size=(2, 3, SIDE, SIDE)), dtype="uint8")
    boxes = mx.nd.array([[[0, 0.1, 0.2, 0.5, 0.8]], [[-1] * 5]])
    with mx.autograd.record():
        found = network(x)
        value = center_net.loss(SIDE)(found, boxes)
    value.backward()
    assert found.shape == (2, ACROSS * ACROSS, CLASSES + 4)
    learned = [each for each in network.collect_params().values() if each.grad_req != "null"]
    assert learned
    assert all(np.isfinite(each.grad().asnumpy()).all() for each in learned)
