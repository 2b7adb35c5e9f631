"""What a file of arrays may hold, and how it is told that it does not."""

from __future__ import annotations

import math
from typing import Any

from ..runtime.params import LONGEST_NAME, MAX_AXES, MAX_SIZE


class FormatError(ValueError):
    """What is wrong with a file; the message begins after its name."""


def named(name: Any) -> str:
    """How an array is called in an error. Raises FormatError where mxnet takes no such name."""
    text = str(name)
    if not text or len(text.encode("utf-8", "replace")) > LONGEST_NAME or not text.isprintable():
        raise FormatError(f"an array's name cannot be read: {text[:80]!r}")
    return f"the array {text!r}"


def check_shape(shape: tuple[int, ...], what: str) -> tuple[int, ...]:
    """``shape``, if mxnet takes arrays of it. Raises FormatError."""
    if len(shape) > MAX_AXES or min(shape) < 1 or math.prod(shape) > MAX_SIZE:
        raise FormatError(f"{what}: has the shape {shape[:20]}, which no weights have")
    return shape
