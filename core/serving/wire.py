"""Messages between the server and its workers: a JSON header, then the bodies unchanged."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from typing import Any, Iterator, NamedTuple, Sequence

PIECE_BYTES = 2**18
AWAKE_SECONDS = 0.0002
# After a batch of more requests there are so many that no core sleeps for long, and asking takes
# from who brings the next ones: with 32 connections a fifth of all answers.
MOST_AWAKE_BODIES = 2
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
    """The messages that arrive at ``connection`` until the other end closes it.

    After few requests it asks again and again for a moment before it sleeps: on a processor that
    slept for 0.3 ms, the next batch took half as long again, more than twice as long after 2 ms.
    """
    unpacker = Unpacker()
    few = True
    while True:
        piece = _awaited(connection) if few else connection.recv(PIECE_BYTES)
        if not piece:
            return
        for message in unpacker.feed(piece):
            few = len(message.bodies) <= MOST_AWAKE_BODIES
            yield message


def _awaited(connection: socket.socket) -> bytes:
    deadline = time.perf_counter() + AWAKE_SECONDS
    while time.perf_counter() < deadline:
        try:
            return connection.recv(PIECE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            os.sched_yield()
    return connection.recv(PIECE_BYTES)
