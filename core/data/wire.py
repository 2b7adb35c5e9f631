"""Messages of protocol buffers as they are on the wire: numbered fields, each with its content.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Iterator, Tuple, TypeVar, Union

from ..runtime import bounds

VARINT, BITS64, BYTES, BITS32 = 0, 1, 2, 5  # the types of fields
SOME = 1024  # steps after which the clock is looked at
Bytes = TypeVar("Bytes", bytes, memoryview)
Field = Tuple[int, int, Union[int, Bytes]]


class WireError(ValueError):
    """What is wrong with one message, as the end of a sentence."""


def fields(message: Bytes) -> Iterator[Field[Bytes]]:
    """Number, type and content of each field: an int for a varint, else the message's bytes.

    Of a memoryview nothing is copied. Raises WireError where it is none.
    """
    position, end, read = 0, len(message), 0
    while position < end:
        read += 1
        if read % SOME == 0:
            bounds.check_time()
        tag = message[position]
        position += 1
        if tag >= 0x80:
            tag, position = varint(message, position - 1)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, position = varint(message, position)
            yield number, kind, value
            continue
        if kind == BYTES:
            if position < end and message[position] < 0x80:  # of most
                length = message[position]
                position += 1
            else:
                length, position = varint(message, position)
        elif kind in (BITS32, BITS64):
            length = 4 if kind == BITS32 else 8
        else:
            raise WireError("is not a protocol buffers message")
        if length > end - position:
            raise WireError("the message is cut short")
        yield number, kind, message[position : position + length]
        position += length


def varint(message: bytes | memoryview, position: int) -> tuple[int, int]:
    """The number at ``position``, 7 bits a byte, and where it ends. Raises WireError."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise WireError("the message is cut short")
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, position
    raise WireError("a number is longer than 64 bits")
