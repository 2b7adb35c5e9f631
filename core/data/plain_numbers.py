"""Tables of numbers alone, some of which are names, without a step of Python for each cell."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Sequence

import numpy as np

from ..runtime.errors import InputError
from ..runtime.types import Array
from .encoding import TextForm, open_utf8
from .numbers import UTF8_MARK, parse_csv

BLOCK_BYTES = 4 * 2**20
MOST_DIGITS = 15  # of a name: such a number is exact in float64
_NEWLINE, _ZERO, _NINE, _COMMA = b"\n09,"


class NotPlainError(ValueError):
    """A cell that is no number, or a name that is not written as its number is."""


def blocks(
    path: Path, form: TextForm, delimiter: str, skipped: int, width: int, names: Sequence[int]
) -> Iterator[Array]:
    """The rows of ``path`` below the ``skipped`` lines, (N, ``width``) float64, some at a time.

    The columns ``names`` hold whole numbers as Python writes them, so that ``str(int(number))`` is
    the cell. Raises NotPlainError where that is not so, or a row is not regular.
    """
    rest, left = b"", skipped
    with open_utf8(path, form) as stream:
        while True:
            read = stream.read(BLOCK_BYTES)
            text = rest + read
            while left and b"\n" in text:
                text, left = text[text.index(b"\n") + 1 :], left - 1
            end = text.rfind(b"\n") + 1 if read else len(text)
            rest = text[end:]
            if len(rest) > BLOCK_BYTES:
                raise NotPlainError
            if not left and text[:end].strip():
                yield _numbers(text[:end], delimiter.encode(), width, names)
            if not read:
                return


def _numbers(text: bytes, delimiter: bytes, width: int, names: Sequence[int]) -> Array:
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if delimiter != b"," and b"," in text:
        raise NotPlainError
    text = text[len(UTF8_MARK) :] if text.startswith(UTF8_MARK) else text
    text = text.replace(delimiter, b",").rstrip(b"\n") + b"\n"
    if text.translate(None, b"0123456789+-.eE,\n"):
        raise NotPlainError
    try:
        found = parse_csv(text, columns=width, dtype=np.float64)
    except InputError:
        raise NotPlainError from None
    signs = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((signs == _COMMA) | (signs == _NEWLINE))
    starts = np.concatenate([[0], ends[:-1] + 1])
    others = np.concatenate([[0], np.cumsum((signs < _ZERO) | (signs > _NINE))])
    for place in names:
        begin, end = starts[place::width], ends[place::width]
        zeros = (signs[begin] == _ZERO) & (end - begin > 1)
        if zeros.any() or (others[end] != others[begin]).any() or (end - begin > MOST_DIGITS).any():
            raise NotPlainError
    return found
