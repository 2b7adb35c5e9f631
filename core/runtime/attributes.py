"""Parse the attributes of a graph's operators, which mxnet writes as text.

A kind is a function from the text to the value; it raises ValueError with what was expected. mxnet
itself takes any number, and divides by it.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable

Kind = Callable[[str], Any]

MOST = 2**24  # of anything that is counted; float32 counts no further
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_TUPLE = re.compile(r"[(\[]([^()\[\]]{0,1000})[)\]]")


def boolean(text: str) -> bool:
    if text not in ("True", "False", "true", "false", "1", "0"):
        raise ValueError("True or False")
    return text in ("True", "true", "1")


def whole(least: int, most: int = MOST) -> Kind:
    """A whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        value = int(text) if _INTEGER.fullmatch(text) else None
        if value is None or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return parse


def number(least: float = -math.inf, most: float = math.inf) -> Kind:
    """A finite number, of which float32 has one, from ``least`` to ``most``."""

    def parse(text: str) -> float:
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not (least <= value <= most and abs(value) < 3.4e38):
            bounds = "" if math.isinf(least) else f" from {least:g}"
            raise ValueError(f"a finite number{bounds}" + ("" if most > 1e38 else f" to {most:g}"))
        return value

    return parse


def choice(*names: str) -> Kind:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(" or ".join(names))
        return text

    return parse


def or_none(kind: Kind) -> Kind:
    """What ``kind`` takes, or None."""

    def parse(text: str) -> Any:
        return None if text == "None" else kind(text)

    return parse


def each(kind: Kind, most: int = 8) -> Kind:
    """A tuple of at most ``most`` of what ``kind`` takes; one alone needs no parentheses."""

    def parse(text: str) -> tuple[Any, ...]:
        found = _TUPLE.fullmatch(text)
        inside = text if found is None else found[1]
        parts = [part.strip() for part in inside.split(",")]
        if parts and not parts[-1]:  # as in (3,)
            parts.pop()
        if len(parts) > most:
            raise ValueError(f"at most {most} numbers")
        return tuple(kind(part) for part in parts)

    return parse


COUNT = whole(1)
NATURAL = whole(0)
INDEX = whole(-MOST)
AXIS = whole(-8, 7)
AXES = each(AXIS)
SIZES = each(whole(1, 2**16), 3)  # kernels, strides, dilations
PADS = each(whole(0, 2**16), 3)
SHAPE = each(whole(0))
DTYPE = choice("float32", "float16", "float64", "int32", "int64", "int8", "uint8")


def missing_or(kind: Kind | None) -> Kind:
    """``kind``, or nothing where the attribute may stand but has to be empty."""

    def parse(text: str) -> Any:
        if text in ("", "None", "()", "[]"):
            return None
        if kind is None:
            raise ValueError("nothing")
        return kind(text)

    return parse
