"""Messages between the server and its workers: a JSON header, and bodies as they are."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Iterator, NamedTuple, Sequence

_SIZES = struct.Struct("<IQ")  # of the header, of all bodies


class Message(NamedTuple):
    """``header`` in JSON types, and ``bodies``."""

    header: dict[str, Any]
    bodies: list[bytes]


def pack(header: dict[str, Any], bodies: Sequence[bytes] = ()) -> bytes:
    """A message as it is sent."""
    text = json.dumps({**header, "sizes": [len(body) for body in bodies]}).encode("ascii")
    return b"".join((_SIZES.pack(len(text), sum(map(len, bodies))), text, *bodies))


class Unpacker:
    """Messages out of the pieces in which they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that ``piece`` completes."""
        self._buffer += piece
        while len(self._buffer) >= _SIZES.size:
            header_size, bodies_size = _SIZES.unpack_from(self._buffer)
            start = _SIZES.size + header_size
            if len(self._buffer) < start + bodies_size:
                return
            header = json.loads(self._buffer[_SIZES.size : start])
            bodies = []
            for size in header.pop("sizes"):
                bodies.append(bytes(self._buffer[start : start + size]))
                start += size
            del self._buffer[:start]
            yield Message(header, bodies)


def messages(connection: socket.socket) -> Iterator[Message]:
    """The messages that arrive at ``connection`` until the other end closes it."""
    unpacker = Unpacker()
    while True:
        piece: bytes | None = connection.recv(2**18)
        if not piece:
            return
        yield from unpacker.feed(piece)
