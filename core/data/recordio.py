"""RecordIO, the framing of MXNet's and SageMaker's record files: records after a magic number.

A frame is the magic number, a word of 3 bits (whole, first, middle or last part) and 29 bits (the
length), and the part, filled up to a multiple of 4 bytes. A body that holds the magic number at
such a multiple is divided there, and the number left out.
Source: https://github.com/dmlc/dmlc-core, include/dmlc/recordio.h
"""

from __future__ import annotations

import struct
from typing import IO, Callable, Iterator

from ..runtime.errors import InputError

MAGIC = struct.pack("<I", 0xCED7230A)
HEADER_BYTES = 8
MAX_BODY_BYTES = 2**29 - 1
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class FramingError(ValueError):
    """What is wrong with a record's frame."""


def parts(header_at: Callable[[int], bytes], start: int) -> Iterator[tuple[int, int]]:
    """Where each part of the record at ``start`` begins, and its length.

    ``header_at`` gives the HEADER_BYTES at a place, or fewer at the end. Raises FramingError.
    """
    at, expected = start, (_WHOLE, _FIRST)
    while True:
        header = header_at(at)
        if len(header) < HEADER_BYTES:
            raise FramingError("is cut short")
        (word,) = struct.unpack_from("<I", header, len(MAGIC))
        kind, length = word >> _LENGTH_BITS, word & MAX_BODY_BYTES
        if header[: len(MAGIC)] != MAGIC or kind not in expected:
            raise FramingError("is damaged, or this is not a RecordIO file")
        at += HEADER_BYTES
        yield at, length
        if kind in (_WHOLE, _LAST):
            return
        at += padded(length)
        expected = (_MIDDLE, _LAST)


def padded(length: int) -> int:
    """``length`` with what fills it up to a multiple of 4."""
    return length + -length % 4


def read_bodies(stream: IO[bytes], error: type[InputError], source: str = "") -> Iterator[bytes]:
    """The bodies in ``stream``. Raises ``error``, which starts with ``source``, counted from 1."""
    number = 1
    header = stream.read(HEADER_BYTES)
    while header:
        first = header
        found: list[bytes] = []
        try:
            for _, length in parts(lambda at: stream.read(HEADER_BYTES) if at else first, 0):  # noqa: B023
                part = _read(stream, padded(length))
                if part is None:
                    raise FramingError(f"is cut short: {length:,} bytes are promised")
                found.append(part[:length])
                if sum(map(len, found)) > MAX_BODY_BYTES:
                    raise FramingError(f"is longer than {MAX_BODY_BYTES:,} bytes")
        except FramingError as fault:
            raise error(f"{source}record {number} {fault}") from None
        yield MAGIC.join(found)
        number += 1
        header = stream.read(HEADER_BYTES)


def _read(stream: IO[bytes], length: int) -> bytes | None:
    """``length`` bytes, None where there are less; in pieces, so that a promise takes no memory."""
    pieces = []
    while length:
        piece = stream.read(min(length, 2**24))
        if not piece:
            return None
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def frame(body: bytes) -> bytes:
    """``body`` as it stands in a file. Raises ValueError where it is too long for one record."""
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"a record has at most {MAX_BODY_BYTES:,} bytes, not {len(body):,}")
    cuts, found = [-4], body.find(MAGIC)
    while found >= 0:
        aligned = found % 4 == 0
        if aligned:
            cuts.append(found)
        found = body.find(MAGIC, found + (4 if aligned else 1))
    cuts.append(len(body))
    pieces = [body[start + 4 : end] for start, end in zip(cuts, cuts[1:])]
    kinds = [_FIRST, *[_MIDDLE] * (len(pieces) - 2), _LAST] if len(pieces) > 1 else [_WHOLE]
    return b"".join(
        MAGIC
        + struct.pack("<I", kind << _LENGTH_BITS | len(piece))
        + piece
        + bytes(-len(piece) % 4)
        for kind, piece in zip(kinds, pieces)
    )
