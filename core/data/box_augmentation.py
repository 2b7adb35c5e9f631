"""Augmentation of labelled pictures: what is drawn for each, and how its boxes go along.

Each example's random numbers are its own: they go by the epoch's seed and its index alone, so that
whichever thread or host makes it, it is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, NamedTuple

import numpy as np

from ..runtime.types import Array
from .box_pictures import LabelledPictures, joined, padded, pictures_of
from .boxes import CLASS, XMAX, XMIN, YMAX, YMIN
from .dataset import Dataset

# The mean of ImageNet's pictures: what lies beside a picture.
GROUND = (124, 116, 104)
# Weights of red, green and blue in brightness: ITU-R BT.601.
GREY = np.array([0.299, 0.587, 0.114], np.float32)
# Of a crop: W. Liu et al., "SSD: single shot multibox detector", arXiv:1512.02325, 2.2. An object
# stays where its centre does.
OVERLAPS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)
TRIES = 50
SMALLEST_SIDE = 0.3
SHAPES = (0.5, 2.0)  # width, in heights
LARGEST_GROUND = 2.0  # sides of the ground on which a picture is laid, in its own
LEAST = 1.0  # pixel: what of a box is smaller in the network's input is none


@dataclass(frozen=True)
class Changes:
    """How much is changed: fractions of the pictures, and of colours; see the hyperparameters."""

    flip: bool = False
    crop: float = 0.0
    expand: float = 0.0
    mosaic: float = 0.0
    colour: float = 0.0

    def __bool__(self) -> bool:
        return any((self.flip, self.crop, self.expand, self.mosaic, self.colour))


class Window(NamedTuple):
    """The part of a picture that is shown, in its widths and heights; it may reach beyond it."""

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Window(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Augmented:
    """The examples of ``whole``, of LabelledPictures or a part of them, with ``changes`` that are
    drawn anew in each epoch.
    """

    whole: Dataset
    changes: Changes
    seed: int | None = None

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    def __len__(self) -> int:
        return len(self.whole)

    def labels(self) -> Array:
        return self.whole.labels()

    def digest(self) -> str:
        return self.whole.digest()

    def drawn(self, rng: np.random.Generator) -> Augmented:
        return Augmented(self.whole, self.changes, int(rng.integers(2**63)))

    def take(self, indices: Array) -> tuple[Array, Array]:
        if self.seed is None:
            return self.whole.take(indices)
        pictures, places = pictures_of(self.whole)
        seed = self.seed

        def make(index: int) -> tuple[Array, Array]:
            rng = np.random.default_rng((seed, index))
            return changed(pictures, index, places, self.changes, rng)

        return joined(pictures.store.each(make, places[indices].tolist()))


def changed(
    pictures: LabelledPictures,
    index: int,
    others: Array,
    changes: Changes,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """The picture at ``index`` changed, (3, S, S) uint8, and its boxes (M, BOX_WIDTH).

    ``others`` are the indices of those that it may be joined with.
    """
    side = pictures.side
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = GROUND
    boxes = None
    if rng.random() < changes.mosaic:
        boxes = _mosaic(canvas, pictures, index, others, changes, rng)
    if boxes is None:
        boxes = _shown(canvas, WHOLE, pictures, index, changes, rng)
    canvas = coloured(canvas, rng, changes.colour)
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)), padded(boxes, pictures.most)


def _mosaic(
    canvas: Array,
    pictures: LabelledPictures,
    index: int,
    others: Array,
    changes: Changes,
    rng: np.random.Generator,
) -> Array | None:
    """Four pictures around a point: A. Bochkovskiy et al., "YOLOv4", arXiv:2004.10934.

    None where they have more boxes together than an example may.
    """
    x, y = rng.uniform(0.3, 0.7, 2)
    chosen = [index, *rng.choice(others, 3).tolist()]
    parts = [
        Window(0.0, 0.0, x, y), Window(x, 0.0, 1.0, y),
        Window(0.0, y, x, 1.0), Window(x, y, 1.0, 1.0),
    ]  # fmt: skip
    found = [
        _shown(canvas, parts[place], pictures, which, changes, rng)
        for place, which in zip(rng.permutation(4).tolist(), chosen)
    ]
    boxes = np.concatenate(found)
    if len(boxes) <= pictures.most:
        return boxes
    canvas[:] = GROUND
    return None


def _shown(
    canvas: Array,
    part: Window,
    pictures: LabelledPictures,
    index: int,
    changes: Changes,
    rng: np.random.Generator,
) -> Array:
    """Draw a picture into ``part`` of ``canvas``, of it a part that is random; its boxes."""
    taken, picture = pictures.store.picture(index)
    boxes = pictures.relative(taken)
    if changes.flip and rng.random() < 0.5:
        picture, boxes = picture[:, ::-1], flipped(boxes)
    if rng.random() < changes.expand:
        window = _ground(rng)
    elif rng.random() < changes.crop:
        window = _crop(boxes, rng)
    else:
        window = WHOLE
    side = len(canvas)
    left, top, right, bottom = (round(edge * side) for edge in part)
    draw(canvas[top:bottom, left:right], picture, window)
    scale = np.array([right - left, bottom - top] * 2, np.float32) / side
    offset = np.array([left, top] * 2, np.float32) / side
    return within(boxes, window, (LEAST / (right - left), LEAST / (bottom - top)), scale, offset)


def flipped(boxes: Array) -> Array:
    """Boxes (G, BOX_WIDTH) of a picture that is mirrored left to right."""
    found = boxes.copy()
    found[:, XMIN], found[:, XMAX] = 1 - boxes[:, XMAX], 1 - boxes[:, XMIN]
    return found


def draw(canvas: Array, picture: Array, window: Window) -> None:
    """What of ``picture`` (H, W, 3) lies in ``window``, scaled into ``canvas`` (h, w, 3)."""
    from PIL import Image

    height, width = picture.shape[:2]
    high, wide = canvas.shape[:2]
    across, down = window.right - window.left, window.bottom - window.top
    inner = Window(
        max(0.0, window.left), max(0.0, window.top),
        min(1.0, window.right), min(1.0, window.bottom),
    )  # fmt: skip
    left, right = (round((x - window.left) / across * wide) for x in (inner.left, inner.right))
    top, bottom = (round((y - window.top) / down * high) for y in (inner.top, inner.bottom))
    if right <= left or bottom <= top:
        return
    box = (inner.left * width, inner.top * height, inner.right * width, inner.bottom * height)
    image = Image.fromarray(np.ascontiguousarray(picture))
    size = (right - left, bottom - top)
    scaled = image.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    canvas[top:bottom, left:right] = np.asarray(scaled)


def within(
    boxes: Array, window: Window, least: tuple[float, float], scale: Array, offset: Array
) -> Array:
    """Those of ``boxes`` (G, BOX_WIDTH) whose centre lies in ``window``, cut at its edges, in
    widths and heights of it times ``scale`` (4,) plus ``offset`` (4,); those that are narrower or
    lower than ``least`` of the window are left out.
    """
    origin = np.array([window.left, window.top] * 2, np.float32)
    span = np.array([window.right - window.left, window.bottom - window.top] * 2, np.float32)
    edges = (boxes[:, XMIN:] - origin) / span
    centres = (edges[:, :2] + edges[:, 2:]) / 2
    edges = edges.clip(0, 1)
    sides = edges[:, 2:] - edges[:, :2]
    kept = ((centres > 0) & (centres < 1) & (sides >= np.array(least, np.float32))).all(axis=1)
    found: Array = np.concatenate(
        [boxes[kept, CLASS : CLASS + 1], edges[kept] * scale + offset], axis=1
    )
    return found.astype(np.float32)


def _ground(rng: np.random.Generator) -> Window:
    """The picture somewhere on a ground that is larger."""
    size = rng.uniform(1.0, LARGEST_GROUND)
    left, top = -rng.uniform(0, size - 1, 2)
    return Window(left, top, left + size, top + size)


def _crop(boxes: Array, rng: np.random.Generator) -> Window:
    """A part of the picture that overlaps with an object by a fraction that is drawn; the whole
    where no such part is found, or there are no objects.
    """
    least = OVERLAPS[rng.integers(len(OVERLAPS))]
    for _ in range(TRIES if len(boxes) else 0):
        size, shape = rng.uniform(SMALLEST_SIDE, 1), np.exp(rng.uniform(*np.log(SHAPES)) / 2)
        wide, high = min(1.0, size * shape), min(1.0, size / shape)
        left, top = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
        window = Window(left, top, left + wide, top + high)
        centres = (boxes[:, (XMIN, YMIN)] + boxes[:, (XMAX, YMAX)]) / 2
        inside = ((centres > window[:2]) & (centres < window[2:])).all(axis=1)
        if inside.any() and (_overlaps(boxes, window)[inside] >= least).all():
            return window
    return WHOLE


def _overlaps(boxes: Array, window: Window) -> Array:
    """What part of each box (G,) lies in the window."""
    low = np.maximum(boxes[:, (XMIN, YMIN)], window[:2])
    high = np.minimum(boxes[:, (XMAX, YMAX)], window[2:])
    own = np.prod(boxes[:, (XMAX, YMAX)] - boxes[:, (XMIN, YMIN)], axis=1)
    found: Array = np.prod((high - low).clip(0), axis=1) / np.maximum(own, 1e-12)
    return found


def coloured(picture: Array, rng: np.random.Generator, strength: float) -> Array:
    """A picture (H, W, 3) uint8 with brightness, contrast and saturation changed by up to
    ``strength``; contrast is about the middle intensity.
    """
    if not strength:
        return picture
    brightness, contrast, saturation = 1 + rng.uniform(-strength, strength, 3)
    mixing = saturation * np.eye(3) + (1 - saturation) * np.array([GREY] * 3)
    matrix = (brightness * contrast * mixing.T).astype(np.float32)
    found: Array = picture.astype(np.float32) @ matrix + np.float32(127.5 * (1 - contrast))
    return found.clip(0, 255).astype(np.uint8)
