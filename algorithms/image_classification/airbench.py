"""The network airbench, and what its layers begin with: for small pictures, learned in few epochs.

Few wide layers, of which the first whitens the pictures' patches and need not be learned: K.
Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498. What differs here is in
docs/decisions/0037.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ...core import Array, Dataset, HybridBlock, mx

WIDTHS = (64, 256, 256)
SIDE = 32
SMALLEST = 9  # of a side, of which one pixel is left behind the last pooling
KERNEL = 2  # the side of a patch
DIRECTIONS = 3 * KERNEL**2  # of a patch's numbers
KEPT = 0.6  # of the running statistics, in a step
LOGITS = 1 / 9  # what they are multiplied by
# Of the variance of intensities in [0, 1] by ImageNet's deviation: the least that is whitened.
LEAST = 5e-4
# So many patches tell their covariance: of 5,000 pictures of 32 pixels.
PATCHES = 5_000 * SIDE**2
AT_ONCE = 2**18  # pixels


def build(classes: int) -> HybridBlock:
    """The network with one logit for each of ``classes``, not initialized.

    Of pictures (N, 3, S, S), S from SMALLEST on, normalized.
    """
    nn = mx.gluon.nn
    network = nn.HybridSequential(prefix="airbench_")
    with network.name_scope():
        network.add(nn.Conv2D(2 * DIRECTIONS, KERNEL, in_channels=3), nn.GELU())
        given = 2 * DIRECTIONS
        for width in WIDTHS:
            for pooling in ([nn.MaxPool2D(2)], []):
                network.add(nn.Conv2D(width, 3, padding=1, use_bias=False, in_channels=given))
                network.add(*pooling, nn.BatchNorm(momentum=KEPT, scale=False), nn.GELU())
                given = width
        network.add(nn.GlobalMaxPool2D(), nn.Dense(classes, use_bias=False, in_units=given))
        network.add(nn.HybridLambda(lambda operators, logits: logits * LOGITS))
    return network


def begin(network: HybridBlock, rng: np.random.Generator) -> None:
    """Give the initialized ``network`` the weights to begin with, all but the first layer's.

    Uniform ones, and of the convolutions as many filters as there are channels pass those on.
    """
    for layer in network:
        weight = getattr(layer, "weight", None)
        if weight is None or layer is network[0]:
            continue
        shape = weight.shape
        limit = np.prod(shape[1:]) ** -0.5
        values = rng.uniform(-limit, limit, shape).astype(np.float32)
        if len(shape) == 4:
            passed = min(shape[:2])
            values[:passed] = 0
            values[np.arange(passed), np.arange(passed), shape[2] // 2, shape[3] // 2] = 1
        weight.set_data(mx.nd.array(values))


def whiten(
    network: HybridBlock,
    data: Dataset,
    mean: Sequence[float],
    deviation: Sequence[float],
    rng: np.random.Generator,
) -> None:
    """Let the first layer of ``network`` whiten the patches of ``data``, and stay so but for its
    bias.

    Its filters are the patches' principal directions, each by its standard deviation, and the
    opposites of these. ``data`` are pictures (N, 3, S, S) of intensities from 0 to 255, which the
    network is given in [0, 1], less the ``mean`` of each colour, by its ``deviation``.
    """
    variances, directions = np.linalg.eigh(_covariance(data, mean, deviation, rng))
    filters = directions.T[::-1] / np.sqrt(variances[::-1, None] + LEAST)
    both = np.concatenate([filters, -filters]).astype(np.float32)
    weight = network[0].weight
    weight.set_data(mx.nd.array(both.reshape(weight.shape)))
    network[0].bias.set_data(mx.nd.zeros(network[0].bias.shape))
    keep(network)


def keep(network: HybridBlock) -> None:
    """Leave the filters of the first layer of ``network`` as they are."""
    network[0].weight.grad_req = "null"


def _covariance(
    data: Dataset, mean: Sequence[float], deviation: Sequence[float], rng: np.random.Generator
) -> Array:
    """The mean product of two numbers of a patch, (DIRECTIONS, DIRECTIONS), in some of ``data``."""
    centre, width = (np.reshape(each, (3, 1, 1)) for each in (mean, deviation))
    area = int(np.prod(data.take(np.zeros(1, np.int64))[0].shape[2:]))
    chosen = np.sort(rng.permutation(len(data))[: max(1, PATCHES // area)])
    total, count = np.zeros((DIRECTIONS, DIRECTIONS)), 0
    size = max(1, AT_ONCE // area)
    for start in range(0, len(chosen), size):
        pictures = data.take(chosen[start : start + size])[0]
        patches = _patches((pictures / 255 - centre) / width)
        total += patches @ patches.T
        count += patches.shape[1]
    return total / count


def _patches(x: Array) -> Array:
    """All patches of pictures ``x`` (B, 3, S, S), a column each."""
    high, wide = (side - KERNEL + 1 for side in x.shape[2:])
    places = [
        x[:, channel, row : row + high, column : column + wide].ravel()
        for channel in range(3)
        for row in range(KERNEL)
        for column in range(KERNEL)
    ]
    return np.stack(places)
