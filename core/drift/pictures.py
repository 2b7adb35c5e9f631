"""Pictures, or any arrays: their size, brightness and contrast, and what is seen in them.

What is seen is the picture itself at SIDE x SIDE, each of its numbers in standard deviations of the
baseline: it needs no network, so that the test is the same for both engines and for all models.
"""

from __future__ import annotations

from typing import Any, Iterator, Sequence

import numpy as np

from ..runtime.types import Array
from .changes import INPUT, Change
from .columns import categories, compared
from .two_samples import energy

SIDE = 8
CONTRAST_SIDE = 64  # contrast is that of so many fields, which the size of a picture hardly changes
MAX_COMPARED = 400  # of a side
MAX_CHANNELS = 4


def changes(
    first: Sequence[Array], second: Sequence[Array], rng: np.random.Generator
) -> Iterator[Change]:
    """The tests of pictures, each (H, W), (H, W, C) or (C, H, W), or what has such ``pixels``."""
    planes = [[_plane(pixels_of(each)) for each in side] for side in (first, second)]
    sizes = [[_size(*each) for each in zip(*pair)] for pair in zip((first, second), planes)]
    if len({size for side in sizes for size in side}) > 1:
        yield categories(INPUT, "size", *sizes)
    planes = [[_small(p, CONTRAST_SIDE) for p in side] for side in planes]
    for name, measure in (("brightness", np.mean), ("contrast", np.std)):
        sides = [[float(measure(p)) for p in side] for side in planes]
        yield from compared(INPUT, name, *sides)
    vectors = [
        np.stack([_small(p).ravel() for p in side[:MAX_COMPARED]])
        for side in _shuffled(planes, rng)
    ]
    yield of_vectors(INPUT, "pictures", vectors[0], vectors[1], rng)


def of_vectors(
    part: str, subject: str, first: Array, second: Array, rng: np.random.Generator
) -> Change:
    """The test of vectors (N, D) and (M, D), standardized by the first."""
    centre, scale = first.mean(axis=0), first.std(axis=0)
    kept = scale > 1e-9 * max(1e-9, float(scale.max()))
    standard = [(each[:, kept] - centre[kept]) / scale[kept] for each in (first, second)]
    if not kept.any():
        standard = [first - centre, second - centre]
    tested = energy(standard[0], standard[1], rng)
    away = float(np.sqrt(np.square(standard[1].mean(axis=0)).mean()))
    return Change.of(
        tested, part=part, subject=subject, test="energy distance, by permutation",
        measure="energy", baseline="", current=f"{away:.2f} standard deviations away on average",
    )  # fmt: skip


def _shuffled(planes: Sequence[list[Array]], rng: np.random.Generator) -> list[list[Array]]:
    return [[side[i] for i in rng.permutation(len(side)).tolist()] for side in planes]


def pixels_of(example: Any) -> Any:
    """The picture of an example, an array; of what is no picture, the example."""
    return getattr(example, "pixels", example)


def _size(example: Any, plane: Array) -> str:
    """Width and height: those that it was sent with, where the example knows them."""
    height, width = plane.shape
    return f"{getattr(example, 'width', width)} x {getattr(example, 'height', height)}"


def _plane(picture: Array) -> Array:
    """The picture in grey, (H, W) float64."""
    array = np.asarray(picture, np.float64)
    while array.ndim > 3:
        array = array[0]
    if array.ndim == 3:
        axis = 0 if array.shape[0] <= MAX_CHANNELS < array.shape[2] else 2
        array = array.mean(axis=axis)
    return array


def _small(plane: Array, side: int = SIDE) -> Array:
    """The means of ``side`` x ``side`` fields, or the pixels of a side that has no more."""
    if side > SIDE and max(plane.shape) <= side:
        return plane
    rows, columns = (np.minimum(np.arange(side) * size // side, size - 1) for size in plane.shape)
    sums = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), columns, axis=1)
    counts = np.outer(
        *(np.diff(np.append(each, size)) for each, size in zip((rows, columns), plane.shape))
    )
    found: Array = sums / np.maximum(counts, 1)
    return found
