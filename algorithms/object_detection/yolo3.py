"""YOLOv3 on MobileNetV2: an object is the concern of one anchor, of GluonCV's blocks.

J. Redmon and A. Farhadi, "YOLOv3: an incremental improvement", arXiv:1804.02767. Of its three maps
the coarse are joined to the fine; anchors are of the data, as ssd's.
"""

from __future__ import annotations

from typing import Any

from ...core import HybridBlock, mx
from ...core.runtime import gluon
from . import ssd

# An anchor that overlaps with a box by more, and is not the best for any, is neither right nor
# wrong to see an object.
UNSURE = 0.5
LARGEST = 5.0  # logarithm of a side, in those of its anchor
SLOPE = 0.1  # of the activation where it is negative, in GluonCV's blocks


def network(classes: int, image_size: int, width: int) -> HybridBlock:
    """For pictures (N, 3, S, S), intensities from 0 to 255: predictions (N, A, C + 5), logits of
    the classes and of there being an object, and of each box where in the cell its centre is, a
    logit, and the logarithm of its sides in those of the anchor; and the anchors (1, A, 5).

    Raises MissingDependencyError where GluonCV is not installed.
    """
    gluon.gluoncv("--network yolo3")
    from gluoncv.model_zoo.yolo.yolo3 import YOLODetectionBlockV3

    class Yolo(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="yolo3_")
            nn = mx.gluon.nn
            with self.name_scope():
                self.features = ssd.features()
                parts = (nn.HybridSequential(prefix="") for _ in range(3))
                self.blocks, self.steps, self.predictions = parts
                for place in range(len(ssd.TAPS)):  # the coarsest map is the first
                    self.blocks.add(YOLODetectionBlockV3(width))
                    self.predictions.add(nn.Conv2D(ssd.SIZES * (classes + 5), 1))
                    if place:
                        step = nn.HybridSequential(prefix="")
                        step.add(nn.Conv2D(width, 1, use_bias=False), nn.BatchNorm())
                        step.add(nn.LeakyReLU(SLOPE))
                        self.steps.add(step)
                self.anchors = ssd.unset_anchors(self.params, image_size)

        def hybrid_forward(self, F: Any, x: Any, anchors: Any) -> Any:  # noqa: N803
            x = ssd.normalized(F, x)
            maps: list[Any] = []
            for place, layer in enumerate(self.features):
                x = layer(x)
                if place in ssd.TAPS:
                    maps.append(x)
            found: list[Any] = []
            x = maps[-1]
            for place, (block, prediction) in enumerate(zip(self.blocks, self.predictions)):
                if place:
                    x = F.UpSampling(self.steps[place - 1](x), scale=2, sample_type="nearest")
                    x = F.concat(x, maps[-1 - place], dim=1)
                x, tip = block(x)
                rows = F.transpose(prediction(tip), axes=(0, 2, 3, 1))
                found.insert(0, F.reshape(rows, shape=(0, -1, classes + 5)))
            return F.concat(*found, dim=1), F.identity(anchors)

    return Yolo()


def loss(image_size: int) -> HybridBlock:
    """Of what ``network`` gives and boxes (N, M, 5), as a Detector has them: (N,).

    Of all anchors but the unsure the cross-entropy of there being an object; of those that are
    the best for a box that of its class, and how far off the box is, small ones counting more. By
    the number of these anchors.
    """

    class YoloLoss(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any, boxes: Any) -> Any:  # noqa: N803
            predictions, anchors = found
            anchors, boxes = F.BlockGrad(anchors), F.BlockGrad(boxes)
            score, box = (F.BlockGrad(each) for each in ssd.matched(F, anchors, boxes))
            positive = score > ssd.BEST
            count = F.maximum(F.sum(positive, axis=1), 1)
            logits = F.slice_axis(predictions, axis=2, begin=0, end=-5)
            seen = F.squeeze(F.slice_axis(predictions, axis=2, begin=-5, end=-4), axis=2)
            sure = positive + (score <= UNSURE)
            kinds = F.slice_axis(box, axis=2, begin=0, end=1)
            each = F.reshape(F.contrib.arange_like(F.BlockGrad(logits), axis=2), shape=(1, 1, -1))
            of_classes = _entropy(F, logits, F.broadcast_equal(kinds, each))
            sides = F.slice_axis(box, axis=2, begin=3, end=5) - F.slice_axis(
                box, axis=2, begin=1, end=3
            )
            small = 2 - F.clip(F.prod(sides, axis=2, keepdims=True), 0, 1)
            of_boxes = F.broadcast_mul(_apart(F, predictions, anchors, box, sides), small)
            of_objects = _entropy(F, seen, positive) * sure
            of_found = (F.sum(of_classes, axis=2) + F.sum(of_boxes, axis=2)) * positive
            return (F.sum(of_objects, axis=1) + F.sum(of_found, axis=1)) / count

    return YoloLoss()


def _entropy(F: Any, logits: Any, truth: Any) -> Any:  # noqa: N803
    """The cross-entropy of ``logits``, whose truth is from 0 to 1."""
    return F.relu(logits) - logits * truth + F.Activation(-F.abs(logits), act_type="softrelu")


def _apart(F: Any, predictions: Any, anchors: Any, box: Any, sides: Any) -> Any:  # noqa: N803
    """How far the predicted boxes (N, A, 4) are from ``box`` (N, A, 5)."""
    centres = F.slice_axis(box, axis=2, begin=1, end=3) + sides / 2
    cell = F.slice_axis(anchors, axis=2, begin=4, end=5)
    moved = F.broadcast_sub(centres, F.slice_axis(anchors, axis=2, begin=0, end=2))
    place = F.clip(F.broadcast_div(moved, cell) + 0.5, 0, 1)
    grown = F.log(
        F.broadcast_div(F.maximum(sides, 1e-6), F.slice_axis(anchors, axis=2, begin=2, end=4))
    )
    return F.concat(
        _entropy(F, F.slice_axis(predictions, axis=2, begin=-4, end=-2), place),
        F.abs(F.slice_axis(predictions, axis=2, begin=-2, end=None) - grown),
        dim=2,
    )


def decoder(image_size: int) -> HybridBlock:
    """Candidates (N, A, 4 + C) of what ``network`` gives."""

    class YoloBoxes(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any) -> Any:  # noqa: N803
            predictions, anchors = found
            classes = F.sigmoid(F.slice_axis(predictions, axis=2, begin=0, end=-5))
            seen = F.sigmoid(F.slice_axis(predictions, axis=2, begin=-5, end=-4))
            place = F.sigmoid(F.slice_axis(predictions, axis=2, begin=-4, end=-2)) - 0.5
            grown = F.slice_axis(predictions, axis=2, begin=-2, end=None)
            cell = F.slice_axis(anchors, axis=2, begin=4, end=5)
            centres = F.broadcast_add(
                F.broadcast_mul(place, cell), F.slice_axis(anchors, axis=2, begin=0, end=2)
            )
            sides = F.slice_axis(anchors, axis=2, begin=2, end=4)
            halves = F.broadcast_mul(F.exp(F.clip(grown, -LARGEST, LARGEST)), sides) / 2
            scores = F.broadcast_mul(classes, seen)
            return F.concat(centres - halves, centres + halves, scores, dim=2)

    return YoloBoxes()
