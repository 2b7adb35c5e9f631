"""Runs load.c, the load client, which gcc compiles when it is first needed.

Client and server share the machine's cores, so the client is to cost little: less than wrk does.
"""

from __future__ import annotations

import functools
import json
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

SOURCE = Path(__file__).with_name("load.c")
ENTRY = struct.Struct("=QIIII")


@dataclass(frozen=True)
class Answer:
    """``count`` answers to request number ``request``, alike to the byte."""

    request: int
    status: int
    count: int
    body: bytes


@dataclass(frozen=True)
class Load:
    """What the client measured.

    ``figures``: ``rate`` (answers 200 a second), ``p50_ms``, ``p99_ms``, ``statuses``, ``failed``
    and ``failures`` ([seconds since the start, kind]: no answer, or another status than 200),
    ``answered_in_second``, ``client_cpu_seconds``. The warm-up counts in the last four alone.
    """

    figures: dict[str, Any]
    answers: list[Answer]

    @property
    def summary(self) -> dict[str, Any]:
        """The figures without the lists."""
        return {name: v for name, v in self.figures.items() if not isinstance(v, list)}


def request(path: str, body: bytes, content_type: str, accept: str) -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Running:
    """A client at work; ``finish`` waits for its end."""

    def __init__(self, port: int, connections: int, requests: Sequence[bytes], **options: float):
        self._folder = tempfile.TemporaryDirectory(prefix="load-")
        sent = Path(self._folder.name, "requests")
        sent.write_bytes(b"".join(struct.pack("=I", len(r)) + r for r in requests))
        self._answers = Path(self._folder.name, "answers")
        flags = {"seconds": "-d", "count": "-n", "warm_up": "-w", "seed": "-s", "timeout": "-t"}
        given = [text for name, v in options.items() for text in (flags[name], str(v))]
        command = [str(_compiled()), "-p", str(port), "-c", str(connections), *given]
        self.process = subprocess.Popen(
            [*command, str(sent), str(self._answers)], stdout=subprocess.PIPE
        )

    def finish(self) -> Load:
        output, _ = self.process.communicate()
        if self.process.returncode:
            raise SystemExit("the load client failed")
        load = Load(json.loads(output), list(_read(self._answers)))
        self._folder.cleanup()
        return load


def load(port: int, connections: int, requests: Sequence[bytes], **options: float) -> Load:
    """Loads a server on this machine: for ``seconds``, or with ``count`` requests in all.

    Further options: ``warm_up`` (seconds before the measurement), ``seed`` (of the order of the
    requests), ``timeout`` (seconds for an answer).
    """
    return Running(port, connections, requests, **options).finish()


def _read(path: Path) -> Iterator[Answer]:
    with path.open("rb") as file:
        while head := file.read(ENTRY.size):
            count, number, status, length, _ = ENTRY.unpack(head)
            yield Answer(number, status, count, file.read(length))


_build = tempfile.TemporaryDirectory(prefix="load-client-")


@functools.lru_cache(maxsize=None)
def _compiled() -> Path:
    program = Path(_build.name, "load")
    subprocess.run(["gcc", "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program
