"""my-algorithm: finds discs and squares in pictures.

Read top-down: what it is told, what it learns from, what it learns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

from algoshelf.core import (
    TEST,
    TRAIN,
    Algorithm,
    Dataset,
    Detector,
    DetectorHyperparameters,
    HybridBlock,
    hookimpl,
    mx,
    supervised_channels,
)
from pydantic import Field

SAMPLE = Path(__file__).parent / "sample"
STRIDE = 8  # pixels of a cell; an object is the concern of the cell in which its centre lies


class MyAlgorithmHyperparameters(DetectorHyperparameters):
    epochs: int = Field(100, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(4, ge=1, le=65_536, description="examples in one step of the job")
    learning_rate: float = Field(0.01, gt=0, le=10, description="the highest of the schedule")
    image_size: int = Field(64, ge=32, le=1024, description="side of the network's input, pixels")


class MyAlgorithm(Detector[MyAlgorithmHyperparameters]):
    name = "my-algorithm"
    task = "object-detection"
    summary = "Finds discs and squares in pictures."
    Hyperparameters = MyAlgorithmHyperparameters
    channels = supervised_channels("VOC, COCO, YOLO, RecordIO, or a manifest of Ground Truth")
    check_hyperparameters = {"epochs": 3}

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE, TEST: SAMPLE}

    def network(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """For pictures (N, 3, S, S) a box and the logits of C classes of each cell, (N, A, 4 + C).

        The box: its middle from the cell's, in cells, and the logarithms of its width and height,
        in the picture's.
        """
        nn, width = mx.gluon.nn, 4 + len(data.encoding["classes"])

        class Cells(mx.gluon.HybridBlock):
            def __init__(self):
                super().__init__()
                with self.name_scope():
                    self.body = nn.HybridSequential()
                    for channels in (16, 32, 32):
                        self.body.add(
                            nn.Conv2D(channels, 3, strides=2, padding=1, use_bias=False),
                            nn.BatchNorm(),
                            nn.Activation("relu"),
                        )
                    self.body.add(nn.Conv2D(width, 3, padding=1))

            def hybrid_forward(self, ops, x):
                found = self.body(ops.cast(x, dtype="float32") / 127.5 - 1)
                return ops.reshape(ops.transpose(found, axes=(0, 2, 3, 1)), shape=(0, -1, width))

        return Cells()

    def loss(self, hyperparameters: MyAlgorithmHyperparameters) -> Any:
        """Of each object the focal loss of its cell's classes (arXiv:1708.02002) and how far off
        its box is; of all other cells, the focal loss of no class.
        """
        across = _across(hyperparameters)

        class CellsLoss(mx.gluon.HybridBlock):
            def hybrid_forward(self, ops, found, boxes):
                label, left, top, right, bottom = ops.split(boxes, 5, axis=2, squeeze_axis=True)
                there = label >= 0
                x, y = (left + right) / 2 * across, (top + bottom) / 2 * across
                column, row = (ops.clip(ops.floor(each), 0, across - 1) for each in (x, y))
                cell = ops.where(there, row * across + column, -ops.ones_like(row))
                chosen = ops.one_hot(cell, depth=across * across)
                logits = ops.slice_axis(found, axis=2, begin=4, end=None)
                numbers = ops.reshape(ops.contrib.arange_like(logits, axis=2), shape=(1, 1, -1))
                classes = ops.broadcast_equal(ops.expand_dims(label, axis=2), numbers)
                wanted = ops.clip(ops.batch_dot(chosen, classes, transpose_a=True), 0, 1)
                entropy = ops.Activation(-ops.abs(logits), "softrelu")
                entropy = entropy + ops.relu(logits) - logits * wanted
                apart = wanted - ops.sigmoid(logits)
                focal = ops.sum((0.25 + 0.5 * wanted) * apart * apart * entropy, axis=(1, 2))
                sides = [ops.log(ops.maximum(side, 1e-3)) for side in (right - left, bottom - top)]
                box = ops.stack(x - column - 0.5, y - row - 0.5, *sides, axis=2)
                own = ops.batch_dot(chosen, ops.slice_axis(found, axis=2, begin=0, end=4))
                distance = ops.sum(ops.smooth_l1(own - box, scalar=1.0), axis=2)
                total = focal + ops.sum(distance * there, axis=1)
                return total / ops.maximum(ops.sum(there, axis=1), 1)

        return CellsLoss()

    def decoder(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """Of what the network gives, edges from 0 to 1 and probabilities, (N, A, 4 + C)."""
        across = _across(hyperparameters)

        class Decoder(mx.gluon.HybridBlock):
            def hybrid_forward(self, ops, found):
                cell = ops.arange(0, across * across)
                row = ops.floor(cell / across)
                own = ops.expand_dims(ops.stack(cell - row * across, row, axis=1), axis=0) + 0.5
                middle = ops.clip(ops.slice_axis(found, axis=2, begin=0, end=2), -1.5, 1.5)
                middle = ops.broadcast_add(middle, own) / across
                size = ops.exp(ops.clip(ops.slice_axis(found, axis=2, begin=2, end=4), -7, 0.5))
                scores = ops.sigmoid(ops.slice_axis(found, axis=2, begin=4, end=None))
                return ops.concat(middle - size / 2, middle + size / 2, scores, dim=2)

        return Decoder()


def _across(hyperparameters: MyAlgorithmHyperparameters) -> int:
    """How many cells a picture has in each direction."""
    return -(-hyperparameters.image_size // STRIDE)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MyAlgorithm]
