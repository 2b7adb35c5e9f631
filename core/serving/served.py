"""A model that is served, and the requests to it that wait."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

from .. import payload
from ..algorithm.base import Algorithm
from ..artifact.engines import ONNX
from ..artifact.metadata import Metadata
from ..inference.requests import Reply, Request
from ..runtime.errors import AlgoshelfError

MAX_FITTING = 100


class Job:
    """A request that waits for its reply."""

    __slots__ = ("arrived", "attempts", "future", "request")

    def __init__(self, request: Request, future: asyncio.Future[Reply], arrived: float) -> None:
        self.request = request
        self.future = future
        self.arrived = arrived
        self.attempts = 0

    def reply(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)


@dataclass
class Served:
    """A model that is served: ``key`` names this version of it in the workers, ``engine`` is what
    computes it, MXNET or ONNX.

    ``fault`` is why a worker could not load it; ``lost`` why it is served no longer. ``kills``
    workers have died of it since it answered, at last the one at the place ``suspect_at``.
    ``asking`` requests to it have come and are not answered, the last at ``asked`` (monotonic);
    where it is ``leaving``, it makes room for another.
    """

    name: str
    key: str
    folder: Path
    algorithm: Algorithm[Any]
    metadata: Metadata
    engine: str
    seconds: float = 0.0
    fault: AlgoshelfError | None = None
    lost: str = ""
    kills: int = 0
    suspect_at: int | None = None
    queue: deque[Job] = field(default_factory=deque)
    long: deque[Job] = field(
        default_factory=deque
    )  # which a worker has left once, for want of room
    last_batch: int = 1
    turn: int = 0  # the last one
    fitting: set[tuple[str, str]] = field(default_factory=set)  # Content-Type and Accept
    was_long: bool = False
    asking: int = 0
    leaving: bool = False
    asked: float = field(default_factory=time.monotonic)

    def check(self, content_type: str, accept: str) -> None:
        """Raises PayloadError where no request of this Content-Type and Accept is answered."""
        if (content_type, accept) not in self.fitting:
            payload.check_content_type(content_type, self.algorithm.accepted_media_types())
            payload.negotiate(accept, self.algorithm.response_media_types())
            if len(self.fitting) < MAX_FITTING:
                self.fitting.add((content_type, accept))

    @contextmanager
    def in_use(self, start: float) -> Iterator[None]:
        """While a request is answered that came at ``start``: it is not unloaded for another."""
        self.asking, self.asked = self.asking + 1, start
        try:
            yield
        finally:
            self.asking -= 1

    @property
    def waiting(self) -> int:
        """How many requests to it wait."""
        return len(self.queue) + len(self.long)

    def order(self, device: str) -> dict[str, str]:
        """What a worker is told to load."""
        cls = type(self.algorithm)
        return {
            "key": self.key,
            "algorithm": f"{cls.__module__}:{cls.__qualname__}",
            "folder": str(self.folder),
            "device": ONNX if self.engine == ONNX else device,
        }
