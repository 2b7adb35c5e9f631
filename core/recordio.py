"""RecordIO, the framing of MXNet's and SageMaker's record files: bodies behind a magic number.

A frame is the magic number, a word of 3 bits (whole, first, middle or last part) and 29 bits (the
length), and the part, filled up to a multiple of 4 bytes. A body that holds the magic number at
such a multiple is divided there, and the number left out.
Source: https://github.com/dmlc/dmlc-core, include/dmlc/recordio.h
"""

from __future__ import annotations

import struct
from typing import IO, Iterator

from .errors import InputError

MAGIC = struct.pack("<I", 0xCED7230A)
MOST_BODY_BYTES = 2**29 - 1
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


def read_bodies(stream: IO[bytes], error: type[InputError], source: str = "") -> Iterator[bytes]:
    """The bodies in ``stream``. Raises ``error``, which starts with ``source``, counted from 1."""
    number = 0
    while True:
        number += 1
        parts: list[bytes] = []
        expected = (_WHOLE, _FIRST)
        while True:
            header = stream.read(8)
            if not header and not parts:
                return
            place = f"{source}record {number}"
            if len(header) < 8:
                raise error(f"{place}: the file is cut short")
            if header[:4] != MAGIC:
                raise error(f"{place}: starts with {header[:4].hex(' ')}, which is no RecordIO")
            (word,) = struct.unpack_from("<I", header, 4)
            kind, length = word >> _LENGTH_BITS, word & MOST_BODY_BYTES
            if kind not in expected:
                raise error(f"{place}: its parts do not follow one another")
            part = _read(stream, length + -length % 4)
            if part is None:
                raise error(f"{place}: the file is cut short: {length:,} bytes are promised")
            parts.append(part[:length])
            if sum(map(len, parts)) > MOST_BODY_BYTES:
                raise error(f"{place}: longer than {MOST_BODY_BYTES:,} bytes")
            if kind in (_WHOLE, _LAST):
                break
            expected = (_MIDDLE, _LAST)
        yield MAGIC.join(parts)


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
    if len(body) > MOST_BODY_BYTES:
        raise ValueError(f"a record has at most {MOST_BODY_BYTES:,} bytes, not {len(body):,}")
    cuts, found = [-4], body.find(MAGIC)
    while found >= 0:
        aligned = found % 4 == 0
        if aligned:
            cuts.append(found)
        found = body.find(MAGIC, found + (4 if aligned else 1))
    cuts.append(len(body))
    parts = [body[start + 4 : end] for start, end in zip(cuts, cuts[1:])]
    kinds = [_FIRST, *[_MIDDLE] * (len(parts) - 2), _LAST] if len(parts) > 1 else [_WHOLE]
    return b"".join(
        MAGIC + struct.pack("<I", kind << _LENGTH_BITS | len(part)) + part + bytes(-len(part) % 4)
        for kind, part in zip(kinds, parts)
    )
