"""CenterNet on MobileNetV2: objects as points of a fine map, of GluonCV's blocks.

X. Zhou et al., "Objects as points", arXiv:1904.07850. A network has no anchors, so objects of any
shape are alike to it, and what it predicts is one array.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from ...core import HybridBlock, mx
from ...core.runtime import gluon
from . import ssd

STRIDE = 4  # of the map on which objects are points
WIDENED = (2, 1, 1)  # channels of the three steps from the features to the map, in the head's
# Around a centre others are less wrong: the standard deviation, in cells, is a sixth of 1 and twice
# this part of a box's side, within which a box moved so overlaps with it by 0.7.
NEAR = 0.08
SIZE_WEIGHT = 0.1  # of the distance of sizes in the loss, in cells; that of centres has 1
LOWER = 0.1  # by so much a logit is lower than one beside it where its cell is no candidate
RARE = -2.19  # the logit of each class before anything is learned


def cells(image_size: int) -> int:
    """The width and height of the map."""
    return image_size // STRIDE


def network(classes: int, image_size: int, width: int) -> HybridBlock:
    """For pictures (N, 3, S, S), intensities from 0 to 255: predictions (N, A, C + 4), a cell of
    the map in each row: logits of the classes, where in the cell the centre is, width and height in
    cells. Raises MissingDependencyError where GluonCV is not installed.
    """
    gluon.gluoncv("--network center_net")
    from gluoncv.model_zoo.center_net import CenterNet
    from gluoncv.nn.block import DUC

    class Points(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="center_net_")
            nn = mx.gluon.nn
            with self.name_scope():
                self.features = ssd.features()
                base = nn.HybridSequential(prefix="")
                for times in WIDENED:
                    base.add(DUC(times * width, 2))
                heads = OrderedDict(
                    heatmap={"num_output": classes, "bias": RARE},
                    reg={"num_output": 2},
                    wh={"num_output": 2},
                )
                self.points = CenterNet(base, heads, [""] * classes, head_conv_channel=width)

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
            x = self.points.base_network(self.features(ssd.normalized(F, x)))
            found = F.concat(*(head(x) for head in self.points.heads), dim=1)
            found = F.transpose(found, axes=(0, 2, 3, 1))
            return F.reshape(found, shape=(0, -1, classes + 4))

    return Points()


def loss(image_size: int) -> HybridBlock:
    """Of what ``network`` gives and boxes (N, M, 5), as a Detector has them: (N,).

    The focal loss of all cells, which near a centre counts less, and the distances of offsets and
    sizes in the cells with a centre; both by the number of objects.
    """
    across = cells(image_size)

    class PointLoss(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any, boxes: Any) -> Any:  # noqa: N803
            boxes = F.BlockGrad(boxes)
            kinds = F.slice_axis(boxes, axis=2, begin=0, end=1)
            there = kinds >= 0  # (N, M, 1)
            low = F.slice_axis(boxes, axis=2, begin=1, end=3) * across
            high = F.slice_axis(boxes, axis=2, begin=3, end=5) * across
            centres, sizes = (low + high) / 2, F.maximum(high - low, 0)
            places = F.clip(F.floor(centres), 0, across - 1)
            number = F.contrib.arange_like(F.BlockGrad(found), axis=1)
            row = F.floor(number / across)
            grid = F.stack(number - row * across, row, axis=1)  # (A, 2)
            apart = F.broadcast_sub(
                F.expand_dims(places, axis=2), F.reshape(grid, shape=(1, 1, -1, 2))
            )
            apart = F.sum(F.square(apart), axis=3)  # (N, M, A)
            sides = F.sqrt(F.prod(sizes, axis=2, keepdims=True))
            spread = (1 + 2 * NEAR * sides) / 6
            near = F.broadcast_mul(F.exp(F.broadcast_div(-apart, 2 * F.square(spread))), there)
            chosen = F.broadcast_mul(apart < 0.5, there)
            logits = F.slice_axis(found, axis=2, begin=0, end=-4)
            each = F.reshape(F.contrib.arange_like(F.BlockGrad(logits), axis=2), shape=(1, 1, -1))
            classes = F.broadcast_equal(kinds, each)  # (N, M, C)
            true, close = (
                F.clip(F.batch_dot(part, classes, transpose_a=True), 0, 1)
                for part in (chosen, near)
            )
            heat = _focal(F, logits, F.BlockGrad(true), F.BlockGrad(close))
            guessed = F.batch_dot(chosen, F.slice_axis(found, axis=2, begin=-4, end=None))
            moved = F.abs(F.slice_axis(guessed, axis=2, begin=0, end=2) - (centres - places))
            sized = F.abs(F.slice_axis(guessed, axis=2, begin=2, end=4) - sizes)
            boxed = F.broadcast_mul(moved + SIZE_WEIGHT * sized, there)
            count = F.maximum(F.sum(there, axis=(1, 2)), 1)
            return (F.sum(heat, axis=(1, 2)) + F.sum(boxed, axis=(1, 2))) / count

    return PointLoss()


def _focal(F: Any, logits: Any, true: Any, close: Any) -> Any:  # noqa: N803
    """The focal loss of ``logits``, whose truth is ``true``, 0 or 1; others count the less, the
    nearer ``close``, how near a centre is, comes to 1. All are of one shape.
    """
    probability = F.sigmoid(logits)
    softened = F.Activation(-F.abs(logits), "softrelu")
    missed = (F.relu(-logits) + softened) * F.square(1 - probability) * true
    invented = (F.relu(logits) + softened) * F.square(probability) * (1 - true)
    return missed + invented * (1 - close) ** 4


def decoder(image_size: int) -> HybridBlock:
    """Candidates (N, A, 4 + C) of what ``network`` gives: a cell next to which another has a higher
    score is none. Nor does one suddenly become one: its score falls by how much higher the other's
    logit is, so that rounding, which no two engines do alike, changes an answer little.
    """
    across = cells(image_size)
    rows, columns = np.divmod(np.arange(across * across, dtype=np.float32), across)
    grid = np.stack([columns, rows], axis=1)[None]

    class PointBoxes(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            with self.name_scope():
                self.grid = self.params.get_constant("grid", grid)

        def hybrid_forward(self, F: Any, found: Any, grid: Any) -> Any:  # noqa: N803
            logits = F.slice_axis(found, axis=2, begin=0, end=-4)
            heat = F.reshape(F.transpose(logits, axes=(0, 2, 1)), shape=(0, 0, across, across))
            highest = F.Pooling(heat, kernel=(3, 3), pad=(1, 1), pool_type="max")
            peaks = F.sigmoid(heat) * F.relu(1 - (highest - heat) / LOWER)
            scores = F.transpose(F.reshape(peaks, shape=(0, 0, -1)), axes=(0, 2, 1))
            moved = F.slice_axis(found, axis=2, begin=-4, end=-2)
            halves = F.slice_axis(found, axis=2, begin=-2, end=None) / 2
            centres = F.broadcast_add(moved, grid)
            edges = F.concat(centres - halves, centres + halves, dim=2) / across
            return F.concat(edges, scores, dim=2)

    return PointBoxes()
