"""Pictures in requests: files, files in base64, and pixels."""

from __future__ import annotations

import base64
import binascii
import io
import json
from typing import Any, Callable, Mapping, TypeVar

import numpy as np

from ..data import images
from ..runtime.errors import (
    MalformedPayloadError,
    PayloadError,
    PayloadTooLargeError,
    UnfitPayloadError,
)
from ..runtime.types import Array
from .content_types import JPEG, NPY, PNG, WEBP
from .decode import decode_array, decode_records

T = TypeVar("T")
MAX_NUMBERS = 2**14  # of a picture that is written as pixels

Beside = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def decode(
    body: bytes,
    content_type: str,
    of_file: Callable[[bytes], T],
    of_pixels: Callable[[Array], T],
    beside: Beside = lambda record: {},
) -> list[tuple[T, Mapping[str, Any]]]:
    """The pictures of a request: what ``of_file`` makes of a file and ``of_pixels`` of pixels
    (H, W, 3) uint8, with what ``beside`` finds in a record ``{"b64": …, …}``.

    ``beside`` raises ValueError. Raises PayloadError.
    """
    if content_type in (PNG, JPEG, WEBP):
        return [(of_file(body), {})]
    if content_type == NPY:
        return [(of_pixels(each), {}) for each in _pixels(decode_array(body, content_type))]
    found: list[tuple[T, Mapping[str, Any]]] = []
    left = images.MAX_PIXELS
    for number, record in enumerate(decode_records(body, content_type), 1):
        if isinstance(record, dict):
            picture, pixels = _from_base64(record, number, left, of_file)
            left -= pixels
            try:
                found.append((picture, beside(record)))
            except ValueError as error:
                raise UnfitPayloadError(f"example {number}: {error}") from None
        else:
            try:
                array = np.asarray(record, np.float64)
            except (ValueError, TypeError):
                raise UnfitPayloadError(
                    f"example {number}: expected a picture, rows of pixels of three intensities"
                ) from None
            found.extend((of_pixels(each), {}) for each in _pixels(array[None]))
    return found


def _from_base64(
    record: Mapping[str, Any], number: int, left: int, of_file: Callable[[bytes], T]
) -> tuple[T, int]:
    """The picture of a file in base64, and how many of the ``left`` pixels of a request it has."""
    text = record.get("b64")
    if not isinstance(text, str):
        raise UnfitPayloadError(f'example {number}: expected {{"b64": "…"}}, a file in base64')
    try:
        body = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise MalformedPayloadError(f"example {number}: no base64: {error}") from None
    try:
        frame = images.inspect(body)
        pixels = frame.width * frame.height
        if pixels > left:
            raise PayloadTooLargeError(
                f"the pictures of one request have more than {images.MAX_PIXELS:,} pixels "
                "together: send fewer at once, or smaller ones"
            )
        return of_file(body), pixels
    except PayloadError as error:
        raise type(error)(*(f"example {number}: {fault}" for fault in error.faults)) from None


def _pixels(array: Array) -> Array:
    """Intensities (N, H, W, 3) as uint8; raises UnfitPayloadError."""
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise UnfitPayloadError(
            f"expected pictures (N, height, width, 3), got the shape {array.shape}"
        )
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
        raise UnfitPayloadError("expected intensities from 0 to 255")
    return array.round().astype(np.uint8)


def as_json(picture: Array) -> str:
    """A request that holds one picture (H, W, 3) uint8: its pixels, or if they are many a file."""
    from PIL import Image

    if picture.size <= MAX_NUMBERS:
        return json.dumps({"instances": [picture.tolist()]})
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", optimize=True)
    return json.dumps({"instances": [{"b64": base64.b64encode(stream.getvalue()).decode()}]})
