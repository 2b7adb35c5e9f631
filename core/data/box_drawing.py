"""Pictures with boxes drawn into them, for people."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from ..runtime.types import Array

# Colours that people tell apart who see few: M. Okabe and K. Ito, "Color universal design", 2008.
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
DARK, LIGHT = (0, 0, 0), (255, 255, 255)
SMALLEST = 320  # a picture whose shorter side has fewer pixels is enlarged
LARGEST_SCALE = 8


class Caption(NamedTuple):
    """What is written at a box, whose ``edges`` are from 0 to 1; its colour goes by ``kind``, and
    it is dashed where something was missed.
    """

    edges: tuple[float, ...]
    text: str
    kind: int
    dashed: bool = False


def with_boxes(picture: Array, captions: Sequence[Caption]) -> Array:
    """``picture`` (H, W, 3) uint8 with ``captions``, the last on top; a small one is enlarged."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.ascontiguousarray(picture))
    scale = min(LARGEST_SCALE, -(-SMALLEST // max(1, min(image.size))))
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    stroke = max(2, round(min(image.size) / 200))
    font = _font(max(11, round(min(image.size) / 36)))
    for edges, text, kind, dashed in captions:
        colour = COLOURS[kind % len(COLOURS)]
        box = _pixels(edges, image.size)
        _frame(draw, box, colour, stroke, dashed)
        if text:
            _label(draw, box, text, colour, font, image.size)
    return np.asarray(image)


def _font(size: int) -> object:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):  # before Pillow 10.1, or without FreeType, it has one size
        return ImageFont.load_default()


def _pixels(edges: Sequence[float], size: tuple[int, int]) -> tuple[int, ...]:
    """Edges in pixels that lie within the picture."""
    sides = (*size, *size)
    return tuple(min(side - 1, max(0, round(edge * side))) for edge, side in zip(edges, sides))


def _frame(
    draw: object, box: tuple[int, ...], colour: tuple[int, ...], stroke: int, dashed: bool
) -> None:
    """The box, with a dark line around it so that it shows on any ground."""
    left, top, right, bottom = box
    dash = 5 * stroke if dashed else max(right - left, bottom - top) + 1
    sides = (
        ((left, top), (right, top)), ((left, bottom), (right, bottom)),
        ((left, top), (left, bottom)), ((right, top), (right, bottom)),
    )  # fmt: skip
    for ink, width in ((DARK, stroke + 2), (colour, stroke)):
        for (x, y), (x_end, y_end) in sides:
            for start in range(0, max(x_end - x, y_end - y, 1), 2 * dash):
                end = min(start + dash, max(x_end - x, y_end - y))
                line = (x + start, y, x + end, y) if y == y_end else (x, y + start, x, y + end)
                draw.line(line, fill=ink, width=width)  # type: ignore[attr-defined]


def _label(
    draw: object,
    box: tuple[int, ...],
    text: str,
    colour: tuple[int, ...],
    font: object,
    size: tuple[int, int],
) -> None:
    """The text on a ground of the box's colour: above the box where there is room, else in it."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)  # type: ignore[attr-defined]
    wide, high = right - left + 4, bottom - top + 4
    x = max(0, min(box[0], size[0] - wide))
    y = box[1] - high if box[1] >= high else box[1]
    draw.rectangle((x, y, x + wide, y + high), fill=colour)  # type: ignore[attr-defined]
    ink = DARK if sum(w * c for w, c in zip((0.299, 0.587, 0.114), colour)) > 110 else LIGHT
    draw.text((x + 2 - left, y + 2 - top), text, fill=ink, font=font)  # type: ignore[attr-defined]
