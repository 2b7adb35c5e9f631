"""One connection between a host and the hub, on which whole messages go.

A message is ``>4sIQ`` (MAGIC, the length of a JSON object, that of a body), the object, the body.
Nothing is unpickled. Like the parameter server's own, the line trusts the network of the job.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from typing import Any

MAGIC = b"ASH1"
HEADER = struct.Struct(">4sIQ")
MAX_OBJECT = 2**20
MAX_BODY = 2**36
MAX_BEAT_SECONDS = 1.0
CHUNK = 2**20


class Line:
    """Whole messages, from any thread."""

    def __init__(self, stream: socket.socket, timeout: float) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seconds = max(1, int(timeout))  # whoever does not read for so long is gone
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))
        self._stream = stream
        self._lock = threading.Lock()
        self.heard = time.monotonic()

    def send(self, message: dict[str, Any], body: bytes = b"", *, wait: bool = True) -> None:
        """Send ``message``; without ``wait`` nothing is sent while another message is under way."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            text = json.dumps(message).encode()
            self._stream.sendall(HEADER.pack(MAGIC, len(text), len(body)) + text)
            if body:
                self._stream.sendall(body)
        finally:
            self._lock.release()

    def receive(self, most: int = MAX_BODY) -> tuple[dict[str, Any], bytearray] | None:
        """The next message; None at the end of the connection.

        Raises ValueError for other data, and for a body of more than ``most`` bytes.
        """
        head = self._read(HEADER.size)
        if head is None:
            return None
        magic, length, size = HEADER.unpack(bytes(head))
        if magic != MAGIC or length > MAX_OBJECT or size > most:
            raise ValueError("no message of algoshelf's")
        text, body = self._read(length), self._read(size)
        if text is None or body is None:
            return None
        message = json.loads(bytes(text))
        if not isinstance(message, dict):
            raise ValueError("no message of algoshelf's")
        return message, body

    def _read(self, size: int) -> bytearray | None:
        found = bytearray()
        while len(found) < size:
            part = self._stream.recv(min(CHUNK, size - len(found)))
            if not part:
                return None
            found += part
            self.heard = time.monotonic()
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()


def beat_seconds(timeout: float) -> float:
    """How often a side says that it lives, which after ``timeout`` of silence is given up."""
    return min(MAX_BEAT_SECONDS, timeout / 5)
