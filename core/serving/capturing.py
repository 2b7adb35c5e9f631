"""Keep requests and their answers, as SageMaker's data capture does: some of them, up to a size.

DIR/MODEL/2026/01/31/12/….jsonl, by the time in UTC. A thread writes, so that no request waits for
the disk; where it does not keep up, requests are left out and counted. The oldest files of a
capture go when all are larger than they may be.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import random
import re
import threading
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from ..data import capture
from ..inference.requests import Reply, Request
from ..runtime.errors import InputError

log = logging.getLogger(__name__)

WAITING = 1000  # requests, and
WAITING_BYTES = 64 * 2**20  # that wait for the disk
FILES = 16  # of which all together are as large as a capture may be
FILE_SECONDS = 600.0
CLOSE_SECONDS = 10.0
# What this server, or another one before it, has written, and what may be removed.
_OURS = re.compile(r"\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f]{32}\.jsonl")


class Capture:
    """The requests that are kept in ``folder``: ``percent`` of them, of at most ``most`` bytes."""

    def __init__(self, folder: Path, percent: float, most: int) -> None:
        self.folder = folder
        self.percent = percent
        self.most = most
        self.dropped = 0
        self._random = random.Random()
        self._queue: queue.Queue[tuple[str, bytes] | None] = queue.Queue(WAITING)
        self._bytes = 0
        self._count = 0  # of files
        self._files: dict[str, tuple[IO[bytes], float, Path]] = {}
        self._sizes = self._found()
        self._thread = threading.Thread(target=self._write_all, name="capture", daemon=True)
        self._thread.start()

    def keep(self, model: str, request: Request, reply: Reply, inference_id: str) -> None:
        """Keep a request that was answered, if it is one of those that are drawn."""
        if reply.status != 200 or self._random.random() * 100 >= self.percent:
            return
        size = len(request.body) + len(reply.body)
        if self._bytes + size > WAITING_BYTES:
            self._drop()
            return
        line = capture.written(
            request.body, request.content_type, reply.body, reply.content_type, inference_id
        )
        try:
            self._queue.put_nowait((model, line))
            self._bytes += len(line)
        except queue.Full:
            self._drop()

    def close(self) -> None:
        """Write what waits."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped == 1 or self.dropped % 1000 == 0:
            log.warning("capture: the disk is slow: %s requests were not kept", self.dropped)

    def _write_all(self) -> None:
        is_broken = False
        while True:
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=1.0)
                if item is None:
                    break
                model, line = item
                self._bytes -= len(line)
                try:
                    self._write(model, line)
                    is_broken = False
                except OSError as error:
                    if not is_broken:  # once, and again after it has worked
                        log.error("capture: %s cannot be written: %s", self.folder, error.strerror)
                    is_broken = True
            self._close_old()
        self._close_old(all_of_them=True)

    def _write(self, model: str, line: bytes) -> None:
        stream, _, path = self._files.get(model) or self._opened(model)
        stream.write(line)
        stream.flush()
        self._sizes[path] = self._sizes.get(path, 0) + len(line)
        if self._sizes[path] * FILES >= self.most:
            self._files.pop(model)[0].close()
        self._make_room()

    def _opened(self, model: str) -> tuple[IO[bytes], float, Path]:
        now = datetime.now(timezone.utc)
        # In order, also within a millisecond; another process's are told apart by the rest.
        self._count += 1
        unique = f"{self._count:08x}{uuid.uuid4().hex[8:]}"
        name = f"{now:%M-%S}-{now.microsecond // 1000:03}-{unique}{capture.SUFFIX}"
        path = self.folder / model / now.strftime(capture.FOLDERS) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # of what people have sent, others on the machine need not know
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._files[model] = (os.fdopen(descriptor, "wb"), time.monotonic(), path)
        return self._files[model]

    def _close_old(self, *, all_of_them: bool = False) -> None:
        now = time.monotonic()
        for model, (stream, since, _) in list(self._files.items()):
            if all_of_them or now - since >= FILE_SECONDS:
                with contextlib.suppress(OSError):
                    stream.close()
                del self._files[model]

    def _make_room(self) -> None:
        """Remove the oldest files until all are small enough."""
        open_ones = {path for _, _, path in self._files.values()}
        while sum(self._sizes.values()) > self.most:
            closed = [path for path in self._sizes if path not in open_ones]
            if not closed:
                return
            oldest = min(closed, key=lambda path: path.parts[-5:])
            with contextlib.suppress(FileNotFoundError):
                oldest.unlink()
            del self._sizes[oldest]

    def _found(self) -> dict[Path, int]:
        """What is in the folder already, which is made if it is not there. Raises InputError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
            return {
                path: path.stat().st_size
                for path in self.folder.rglob(f"*{capture.SUFFIX}")
                if _OURS.fullmatch("/".join(path.parts[-5:]))
            }
        except OSError as error:
            raise InputError(f"--capture: {self.folder}: {error.strerror}") from None
