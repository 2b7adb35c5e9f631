"""The networks of object-detection, their losses and decoders."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import HybridBlock, mx

STRIDE = 16


def cells(side: int) -> int:
    """How many cells a picture has in each direction."""
    return -(-side // STRIDE)


def build(side: int, classes: int) -> HybridBlock:
    """For pictures (N, 3, S, S) a box and the logits of classes for each cell, (N, A, 4 + C): the
    middle in cells from the cell's, and the logarithms of width and height, in the picture's.
    """
    nn = mx.gluon.nn

    class Grid(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            with self.name_scope():
                self.features = nn.HybridSequential()
                for channels in (16, 32, 64, 64):
                    self.features.add(
                        nn.Conv2D(channels, 3, strides=2, padding=1, use_bias=False),
                        nn.BatchNorm(),
                        nn.Activation("relu"),
                    )
                self.head = nn.Conv2D(4 + classes, 3, padding=1)

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
            x = F.cast(x, dtype="float32") / 127.5 - 1
            found = F.transpose(self.head(self.features(x)), axes=(0, 2, 3, 1))
            return F.reshape(found, shape=(0, -1, 4 + classes))

    return Grid()


def loss(side: int) -> HybridBlock:
    """An object is the concern of the cell in which its centre lies: of all cells the cross-entropy
    of each class, where objects are rare by T.-Y. Lin et al., "Focal loss", arXiv:1708.02002; of
    those with an object the distance of the box. Both per object.
    """
    across = cells(side)

    class GridLoss(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any, boxes: Any) -> Any:  # noqa: N803
            label, left, top, right, bottom = F.split(boxes, 5, axis=2, squeeze_axis=True)
            there = label >= 0
            x, y = (left + right) / 2 * across, (top + bottom) / 2 * across
            column, row = (F.clip(F.floor(each), 0, across - 1) for each in (x, y))
            cell = F.where(there, row * across + column, -F.ones_like(row))
            chosen = F.one_hot(cell, depth=across * across)  # (B, M, A)
            guessed = F.slice_axis(found, axis=2, begin=0, end=4)
            logits = F.slice_axis(found, axis=2, begin=4, end=None)
            numbers = F.reshape(F.contrib.arange_like(logits, axis=2), shape=(1, 1, -1))
            classes = F.broadcast_equal(F.expand_dims(label, axis=2), numbers)  # (B, M, C)
            wanted = F.clip(F.batch_dot(chosen, classes, transpose_a=True), 0, 1)
            sure = F.sigmoid(logits)
            apart = F.abs(wanted - sure)
            entropy = F.relu(logits) - logits * wanted + F.Activation(-F.abs(logits), "softrelu")
            weight = 0.25 + 0.5 * wanted  # of an object 0.75, of none 0.25
            focal = F.sum(weight * apart * apart * entropy, axis=(1, 2))
            sides = [F.log(F.maximum(each, 1e-3)) for each in (right - left, bottom - top)]
            boxed = F.stack(x - column - 0.5, y - row - 0.5, *sides, axis=2)
            distance = F.smooth_l1(F.batch_dot(chosen, guessed) - boxed, scalar=1.0)
            distance = F.sum(F.sum(distance, axis=2) * there, axis=1)
            return (focal + distance) / F.maximum(F.sum(there, axis=1), 1)

    return GridLoss()


def decoder(side: int) -> HybridBlock:
    """Of what ``build`` gives, candidates (N, A, 4 + C)."""
    across = cells(side)
    middles = (np.arange(across) + 0.5) / across
    grid = np.stack(np.meshgrid(middles, middles), axis=2).reshape(1, -1, 2).astype(np.float32)

    class GridDecoder(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            with self.name_scope():
                self.grid = self.params.get_constant("grid", grid)

        def hybrid_forward(self, F: Any, found: Any, grid: Any) -> Any:  # noqa: N803
            middle = F.slice_axis(found, axis=2, begin=0, end=2)
            middle = F.broadcast_add(F.clip(middle, -1.5, 1.5) / across, grid)
            size = F.exp(F.clip(F.slice_axis(found, axis=2, begin=2, end=4), -7, 0.5)) / 2
            scores = F.sigmoid(F.slice_axis(found, axis=2, begin=4, end=None))
            return F.concat(middle - size, middle + size, scores, dim=2)

    return GridDecoder()
