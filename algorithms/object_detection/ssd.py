"""SSD on MobileNetV2: predictions at anchors on three maps of features, their loss, their boxes.

W. Liu et al., "SSD: single shot multibox detector", arXiv:1512.02325, with convolutions as light as
in M. Sandler et al., "MobileNetV2", arXiv:1801.04381 (SSDLite), a path from coarse maps to fine
ones as in T.-Y. Lin et al., "Feature pyramid networks", arXiv:1612.03144, and the loss of T.-Y. Lin
et al., "Focal loss for dense object detection", arXiv:1708.02002.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import Array, HybridBlock, mx
from . import anchors

# RGB intensities in [0, 1] of ImageNet, for which published weights were trained.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
# Of Gluon's mobilenet_v2_1_0: the layers after which features are taken, and their strides. What
# follows the last of them serves classification.
TAPS = (8, 15, 19)
STRIDES = (8, 16, 32)
# Anchors at each place of each map: all sizes on all of them. From an object that is only twice as
# wide as a cell, most anchors lie too far off: were the finest map left to the smallest objects,
# the others would have hardly one anchor each to learn by.
SIZES = 5
# In what units offsets from anchors are learned: of centres in sides of the anchor, of sides in
# natural logarithms.
UNITS = (0.1, 0.2)
# An anchor is to find the box with which it overlaps by so much at least; between the two, neither
# is it to find something nor to find nothing. Each box has the anchors that overlap with it most.
POSITIVE, NEGATIVE = 0.4, 0.3
BEST = 1.0
# Of the focal loss: the weight of what is there, and the exponent by which easy cases count less.
ALPHA, GAMMA = 0.5, 2.0
PRIOR = 0.01  # the probability of each class before anything is learned
LARGEST = 5.0  # logarithm of a side, in those of its anchor


def sides(image_size: int) -> tuple[int, ...]:
    """The width and height of each map for pictures of ``image_size`` pixels."""
    return tuple(image_size // stride for stride in STRIDES)


def features() -> HybridBlock:
    """The layers of MobileNetV2 up to the last of TAPS."""
    whole = mx.gluon.model_zoo.vision.mobilenet_v2_1_0(prefix="mobilenet_").features
    found = mx.gluon.nn.HybridSequential(prefix="")
    for layer in list(whole._children.values())[: TAPS[-1] + 1]:
        found.add(layer)
    return found


def normalized(F: Any, x: Any) -> Any:  # noqa: N803
    """Pictures (N, 3, S, S), intensities from 0 to 255, as ``features`` take them."""
    return F.image.normalize(F.cast(x, dtype="float32") / 255, mean=MEAN, std=DEVIATION)


def network(classes: int, image_size: int, width: int) -> HybridBlock:
    """For pictures (N, 3, S, S), intensities from 0 to 255: predictions (N, A, C + 4), logits of
    the classes and offsets from the anchors, and the anchors (1, A, 5), see ``anchors.grid``.

    ``width`` is how many channels the head has. The anchors are all 0 until they are set.
    """

    class Ssd(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="ssd_")
            nn = mx.gluon.nn
            with self.name_scope():
                self.features = features()
                self.lateral, self.towers = (nn.HybridSequential(prefix="") for _ in range(2))
                for _ in TAPS:
                    self.lateral.add(_convolved(width, 1, activated=False))
                    self.towers.add(_tower(width, classes))
                self.anchors = unset_anchors(self.params, image_size)

        def hybrid_forward(self, F: Any, x: Any, anchors: Any) -> Any:  # noqa: N803
            x = normalized(F, x)
            maps: list[Any] = []
            for place, layer in enumerate(self.features):
                x = layer(x)
                if place in TAPS:
                    maps.append(self.lateral[len(maps)](x))
            for fine in (1, 0):
                above = F.UpSampling(maps[fine + 1], scale=2, sample_type="nearest")
                maps[fine] = maps[fine] + above
            found = [tower(each) for tower, each in zip(self.towers, maps)]
            return F.concat(*found, dim=1), F.identity(anchors)

    return Ssd()


def unset_anchors(parameters: Any, image_size: int) -> Any:
    """A parameter of a network for its anchors, all 0."""
    shape = (1, SIZES * sum(side * side for side in sides(image_size)), anchors.COLUMNS)
    return parameters.get("anchors", shape=shape, init="zeros", grad_req="null")


def set_anchors(network: HybridBlock, sizes: Array, image_size: int) -> None:
    """Give ``network`` the anchors that fit boxes of ``sizes`` (N, 2), from 0 to 1, best: each of
    them on each map.
    """
    found = anchors.sizes_of(sizes, SIZES)
    grid = anchors.grid(np.stack([found] * len(STRIDES)), sides(image_size))
    network.anchors.set_data(mx.nd.array(grid[None]))


def _convolved(width: int, kernel: int, groups: int = 1, activated: bool = True) -> HybridBlock:
    """Without batch normalization: of a batch of few pictures, whose features move as they learn,
    running statistics are those of other features.
    """
    nn = mx.gluon.nn
    block = nn.HybridSequential(prefix="")
    block.add(nn.Conv2D(width, kernel, padding=kernel // 2, groups=groups))
    if activated:
        block.add(nn.Activation("relu"))
    return block


def _tower(width: int, classes: int) -> HybridBlock:
    """What is predicted of a map (N, width, S, S): (N, S * S * SIZES, classes + 4)."""

    class Tower(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="")
            nn = mx.gluon.nn
            self.body = nn.HybridSequential(prefix="")
            for _ in range(2):
                self.body.add(_convolved(width, 3, groups=width), _convolved(width, 1))
            rare = mx.init.Constant(-math.log((1 - PRIOR) / PRIOR))
            small = mx.init.Normal(0.01)
            self.scores = nn.Conv2D(
                SIZES * classes, 1, weight_initializer=small, bias_initializer=rare
            )
            self.offsets = nn.Conv2D(SIZES * 4, 1, weight_initializer=small)

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
            x = self.body(F.relu(x))
            found = [
                F.reshape(F.transpose(layer(x), axes=(0, 2, 3, 1)), shape=(0, -1, count))
                for layer, count in ((self.scores, classes), (self.offsets, 4))
            ]
            return F.concat(*found, dim=2)

    return Tower()


def loss(image_size: int) -> HybridBlock:
    """Of what ``network`` gives and boxes (N, M, 5), as a Detector has them: (N,).

    The focal loss of all classes at all anchors and the smooth L1 of offsets at those that are to
    find something, both by how many these are.
    """

    class SsdLoss(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any, boxes: Any) -> Any:  # noqa: N803
            predictions, anchors = found
            anchors, boxes = F.BlockGrad(anchors), F.BlockGrad(boxes)
            scores = F.slice_axis(predictions, axis=2, begin=0, end=-4)
            offsets = F.slice_axis(predictions, axis=2, begin=-4, end=None)
            score, box = (F.BlockGrad(each) for each in matched(F, anchors, boxes))
            positive = score >= POSITIVE
            count = F.maximum(F.sum(positive, axis=1), 1)
            kinds = F.slice_axis(box, axis=2, begin=0, end=1)
            each = F.reshape(F.contrib.arange_like(F.BlockGrad(scores), axis=2), shape=(1, 1, -1))
            there = F.broadcast_mul(F.broadcast_equal(kinds, each), F.expand_dims(positive, axis=2))
            certain = F.expand_dims(positive + (score < NEGATIVE), axis=2)
            of_classes = F.broadcast_mul(_focal(F, scores, there), certain)
            distance = F.smooth_l1(offsets - _offsets(F, anchors, box), scalar=1.0)
            of_boxes = F.broadcast_mul(distance, F.expand_dims(positive, axis=2))
            return (F.sum(of_classes, axis=(1, 2)) + F.sum(of_boxes, axis=(1, 2))) / count

    return SsdLoss()


def matched(F: Any, anchors: Any, boxes: Any) -> tuple[Any, Any]:  # noqa: N803
    """For each anchor how well the box fits that fits it best (N, A), and that box (N, A, 5).

    The anchors that fit a box best have more than BEST.
    """
    centres = F.slice_axis(anchors, axis=2, begin=0, end=2)
    halves = F.slice_axis(anchors, axis=2, begin=2, end=4) / 2
    corners = F.concat(centres - halves, centres + halves, dim=2)
    real = F.slice_axis(boxes, axis=2, begin=0, end=1) >= 0  # (N, M, 1)
    edges = F.slice_axis(boxes, axis=2, begin=1, end=None)
    overlaps = F.contrib.box_iou(edges, F.reshape(corners, shape=(-3, 0)), format="corner")
    overlaps = F.broadcast_mul(overlaps, real)  # (N, M, A)
    best = F.broadcast_equal(overlaps, F.max(overlaps, axis=2, keepdims=True)) * (overlaps > 0)
    fits = overlaps + (1 + BEST) * best
    which = F.argmax(fits, axis=1)  # (N, A)
    example = F.broadcast_like(F.expand_dims(F.contrib.arange_like(which, axis=0), axis=1), which)
    return F.max(fits, axis=1), F.gather_nd(boxes, F.stack(example, which, axis=0))


def _focal(F: Any, logits: Any, there: Any) -> Any:  # noqa: N803
    """The focal loss of ``logits``, whose truth is ``there``, 0 or 1; all of one shape."""
    probability = F.sigmoid(logits)
    cross_entropy = F.relu(logits) - logits * there + F.Activation(-F.abs(logits), "softrelu")
    wrong = there + probability - 2 * there * probability
    weight = ALPHA * there + (1 - ALPHA) * (1 - there)
    return weight * wrong**GAMMA * cross_entropy


def _offsets(F: Any, anchors: Any, boxes: Any) -> Any:  # noqa: N803
    """What is to be learned (N, A, 4) so that each of ``anchors`` (1, A, 4) becomes its box."""
    low = F.slice_axis(boxes, axis=2, begin=1, end=3)
    high = F.slice_axis(boxes, axis=2, begin=3, end=5)
    sides = F.slice_axis(anchors, axis=2, begin=2, end=4)
    moved = F.broadcast_sub((low + high) / 2, F.slice_axis(anchors, axis=2, begin=0, end=2))
    grown = F.log(F.broadcast_div(F.maximum(high - low, 1e-6), sides))
    return F.concat(F.broadcast_div(moved, sides) / UNITS[0], grown / UNITS[1], dim=2)


def decoder(image_size: int) -> HybridBlock:
    """Candidates (N, A, 4 + C) of what ``network`` gives."""

    class SsdBoxes(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any) -> Any:  # noqa: N803
            predictions, anchors = found
            scores = F.sigmoid(F.slice_axis(predictions, axis=2, begin=0, end=-4))
            moved = F.slice_axis(predictions, axis=2, begin=-4, end=-2) * UNITS[0]
            grown = F.slice_axis(predictions, axis=2, begin=-2, end=None) * UNITS[1]
            centres = F.slice_axis(anchors, axis=2, begin=0, end=2)
            sides = F.slice_axis(anchors, axis=2, begin=2, end=4)
            centres = F.broadcast_add(F.broadcast_mul(moved, sides), centres)
            halves = F.broadcast_mul(F.exp(F.clip(grown, -LARGEST, LARGEST)), sides) / 2
            return F.concat(centres - halves, centres + halves, scores, dim=2)

    return SsdBoxes()
