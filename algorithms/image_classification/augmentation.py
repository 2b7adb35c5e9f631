"""Augmentation of training images: crop, flip, colour, cutout, mixup, and label smoothing.

A batch is changed as a whole, on its device: one affine map of pixels and one of colours per image.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Mapping

import numpy as np

from ...core import Array, Dataset, NDArray, mx, on_device

# Weights of red, green and blue in brightness: ITU-R BT.601.
GREY = np.array([0.299, 0.587, 0.114], np.float32)
BLACK, REFLECT = "black", "reflect"


def moved(
    x: NDArray,
    rng: np.random.Generator,
    *,
    shift: float,
    scale: float,
    flip: bool,
    border: str = BLACK,
) -> Any:
    """Images (B, C, H, W) moved by up to ``shift`` of a side, mirrored, and enlarged.

    The part of an image's area that is seen is at least 1 - ``scale``, of an aspect from 3:4 to
    4:3 where ``scale`` is not 0. What lies outside is black, or where ``border`` is REFLECT, the
    mirror image of what lies inside.
    """
    if not (shift or scale or flip):
        return x
    count, _, height, width = x.shape
    area = rng.uniform(1 - scale, 1, count)
    limit = np.log(4 / 3) if scale else 0.0
    aspect = np.exp(rng.uniform(-limit, limit, count) / 2)
    wide, high = np.sqrt(area) * aspect, np.sqrt(area) / aspect
    # Whole pixels where nothing is scaled, so that nothing is blurred.
    pixels = [rng.uniform(-1, 1, count) * (shift * side) for side in (width, height)]
    right, down = (p if scale else np.round(p) for p in pixels)
    right = 2 * right / (width - 1) + rng.uniform(-1, 1, count) * np.maximum(0, 1 - wide)
    down = 2 * down / (height - 1) + rng.uniform(-1, 1, count) * np.maximum(0, 1 - high)
    mirror = np.where(rng.random(count) < 0.5 if flip else False, -1.0, 1.0)
    zero = np.zeros(count)
    affine = np.stack([wide * mirror, zero, right, zero, high, down], axis=1)
    if border == REFLECT and shift:
        beyond = min(math.ceil(shift * max(height, width)), height - 1, width - 1)
        x = mx.nd.pad(x, mode="reflect", pad_width=(0, 0, 0, 0, *[beyond] * 4))
        # The grid counts from -1 to 1 over what is wider now.
        affine[:, :3] *= (width - 1) / (width + 2 * beyond - 1)
        affine[:, 3:] *= (height - 1) / (height + 2 * beyond - 1)
    theta = on_device(affine.astype(np.float32), x.context)
    grid = mx.nd.GridGenerator(theta, transform_type="affine", target_shape=(height, width))
    return mx.nd.BilinearSampler(x, grid)


class Alternating:
    """The pictures (N, C, H, W) of ``whole``, each mirrored in every second epoch.

    Which of them in the first one, ``rng`` draws: K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a
    single GPU", arXiv:2404.00498, section 3.6. So two epochs show every picture both ways.
    """

    def __init__(self, whole: Dataset, rng: np.random.Generator) -> None:
        self._whole = whole
        self._mirrored: Array = rng.random(len(whole)) < 0.5

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self._whole.encoding

    def __len__(self) -> int:
        return len(self._whole)

    def take(self, indices: Array) -> tuple[Array, Array]:
        x, y = self._whole.take(indices)
        mirrored = self._mirrored[indices]
        return np.where(mirrored[:, None, None, None], x[..., ::-1], x), y

    def labels(self) -> Array:
        return self._whole.labels()

    def digest(self) -> str:
        return self._whole.digest()

    def in_epoch(self, number: int) -> Alternating:
        if number % 2 == 0:
            return self
        other = copy.copy(self)
        other._mirrored = ~self._mirrored
        return other


def coloured(x: NDArray, rng: np.random.Generator, strength: float) -> Any:
    """Images (B, 3, H, W) with brightness, contrast and saturation changed by up to ``strength``.

    A. Howard, "Some improvements on deep convolutional neural network based image classification",
    arXiv:1312.5402; contrast is about the middle intensity, 127.5.
    """
    if not strength:
        return x
    count = len(x)
    brightness, contrast, saturation = 1 + rng.uniform(-strength, strength, (3, count, 1, 1))
    mixing = saturation * np.eye(3) + (1 - saturation) * GREY
    matrix = (brightness * contrast * mixing).astype(np.float32)
    offset = (127.5 * (1 - contrast)).astype(np.float32)
    flat = mx.nd.batch_dot(on_device(matrix, x.context), x.reshape((0, 0, -1)))
    shifted = mx.nd.broadcast_add(flat, on_device(offset, x.context))
    return shifted.clip(0, 255).reshape(x.shape)


def cut_out(x: NDArray, rng: np.random.Generator, side: float) -> Any:
    """Images with a square of ``side`` of their height in the middle intensity, anywhere.

    T. DeVries and G. Taylor, "Improved regularization of convolutional neural networks with
    cutout", arXiv:1708.04552.
    """
    if not side:
        return x
    count, _, height, width = x.shape
    half = side * height / 2
    rows = np.abs(np.arange(height) - rng.uniform(0, height, (count, 1))) > half
    columns = np.abs(np.arange(width) - rng.uniform(0, width, (count, 1))) > half
    kept = (rows[:, None, :, None] | columns[:, None, None, :]).astype(np.float32)
    return mx.nd.broadcast_mul(x - 127.5, on_device(kept, x.context)) + 127.5


def mixed(x: NDArray, y: NDArray, rng: np.random.Generator, alpha: float) -> tuple[Any, Any]:
    """Each image blended with another; labels (B,) as (B, 3): its own, the other's, its weight.

    H. Zhang et al., "mixup: beyond empirical risk minimization", arXiv:1710.09412.
    """
    labels = y.astype("float32")
    if not alpha:
        return x, mx.nd.stack(labels, labels, mx.nd.ones_like(labels), axis=1)
    weight = float(rng.beta(alpha, alpha))
    order: Array = rng.permutation(len(x)).astype(np.int32)
    other = on_device(order, x.context)
    blended = weight * x + (1 - weight) * mx.nd.take(x, other)
    pair = (labels, mx.nd.take(labels, other), mx.nd.full(labels.shape, weight, ctx=x.context))
    return blended, mx.nd.stack(*pair, axis=1)


def blended_cross_entropy(smoothing: float) -> Any:
    """The loss of logits (B, C) for labels (B, 3) as ``mixed`` gives them, (B,).

    ``smoothing`` of a label is spread over all classes: C. Szegedy et al., "Rethinking the
    inception architecture", arXiv:1512.00567.
    """

    class BlendedCrossEntropy(mx.gluon.loss.Loss):  # type: ignore[misc]
        def hybrid_forward(self, operators: Any, logits: Any, labels: Any) -> Any:
            logs = operators.log_softmax(logits)
            own, other, weight = operators.split(labels, 3, axis=1, squeeze_axis=True)
            found = weight * operators.pick(logs, own) + (1 - weight) * operators.pick(logs, other)
            return -(1 - smoothing) * found - smoothing * operators.mean(logs, axis=1)

    return BlendedCrossEntropy(weight=None, batch_axis=0)
