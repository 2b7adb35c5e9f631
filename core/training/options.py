"""How a run is carried out: its options, and the texts by which they are given."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..data.reading import Reading
from ..runtime.devices import COMPRESSING_STORES
from ..runtime.errors import InputError
from .cluster import PEER_TIMEOUT_SECONDS

MAX_SEED = 2**31 - 1


def parse_seed(text: str) -> int:
    """A seed from 0 to MAX_SEED. Raises ValueError, which says what was expected."""
    if not (re.fullmatch(r"[0-9]{1,10}", text) and int(text) <= MAX_SEED):
        raise ValueError(f"expected a whole number from 0 to {MAX_SEED}, got {text!r}")
    return int(text)


def parse_threads(text: str) -> int | None:
    """A number of threads; None of ``auto``. Raises ValueError."""
    if text == "auto":
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise ValueError(text)
    return int(text)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; the hyperparameters say what is learned.

    ``devices`` as in ``--devices``; ``threads`` of an operator, None to go by what is free;
    ``checkpoint_every`` and ``max_runtime`` are seconds;
    ``target_metric`` is a value of the algorithm's objective that ends the training;
    ``gradient_compression`` above 0 is the threshold to which pushed gradients are rounded;
    ``peer_timeout`` is how many seconds a host may say nothing before the others give it up;
    ``examples`` is about how many of a channel are used, where a trial on a part will do;
    ``reading`` is what the user decides of tables and texts.
    """

    devices: str = "auto"
    threads: int | None = None
    kvstore: str = "auto"
    gradient_compression: float = 0.0
    checkpoints: Path | None = None
    checkpoint_every: float = 600.0
    max_runtime: float | None = None
    target_metric: float | None = None
    peer_timeout: float = PEER_TIMEOUT_SECONDS
    examples: int | None = None
    reading: Reading = field(default_factory=Reading)

    def check_compression(self, store: str | None) -> None:
        """Raises InputError where gradients cannot be compressed as asked for."""
        if not self.gradient_compression:
            return
        if store not in COMPRESSING_STORES:
            raise InputError(
                f"--gradient-compression: works with the KVStores {', '.join(COMPRESSING_STORES)}; "
                f"here it is {store or 'none, since one device sends nothing'}"
            )
        if self.checkpoints is not None:
            raise InputError(
                "--gradient-compression: what it leaves out of a step is nowhere to be saved: "
                "give no --checkpoints"
            )
