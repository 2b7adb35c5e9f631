"""What a server is told: its workers, how long they may take, and who may ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from ..artifact.engines import AUTO
from ..runtime.bounds import MAX_EXAMPLES, Bounds

MAX_MODELS = 100


@dataclass(frozen=True)
class Options:
    """How a pool works: ``max_delay`` and ``timeout`` in seconds, ``threads`` of an operator,
    ``engine`` one of ENGINES.

    ``max_queue`` is how many requests may wait in all, ``max_payload`` how many bytes a body holds,
    ``max_examples`` how many examples; ``manages`` is whether models may be loaded, replaced and
    unloaded by request, from the folders ``roots``.

    ``folder`` holds further models by name, which are loaded when they are asked: at most
    ``max_models`` at a time, and as many as memory holds; None for no such folder.

    ``hosts`` are the names by which the server may be called, None for any name; with a ``token``
    whoever asks has to know it. ``page`` is whether there is a page for people at ``/``.
    ``capture`` is a folder in which ``capture_percent`` of the requests are kept, at most
    ``capture_bytes`` of them; None for none.
    """

    workers: int
    threads: int
    engine: str = AUTO
    devices: Sequence[str] = ("cpu",)
    max_batch: int = 32
    max_delay: float = 0.002
    timeout: float = 60.0
    max_queue: int = 1000
    max_payload: int = 6 * 2**20
    max_examples: int = MAX_EXAMPLES
    manages: bool = False
    roots: Sequence[Path] = ()
    folder: Path | None = None
    max_models: int = MAX_MODELS
    hosts: tuple[str, ...] | None = None
    token: bytes = b""
    page: bool = False
    capture: Path | None = None
    capture_percent: float = 100.0
    capture_bytes: int = 2**30

    @property
    def bounds(self) -> Bounds:
        """What one request may cost."""
        return Bounds.of(self.max_payload, self.max_examples, self.timeout)
