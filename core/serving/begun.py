"""A worker's process, begun before it is known what it is to do.

It imports while its server does: nothing is imported here that takes long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Iterator

WORKER = "algoshelf.core.serving.worker"


@dataclass
class Begun:
    """A process on whose ``connection`` a worker waits for its limits; ``ledger`` is the descriptor
    of the memory in which it enters what it holds, ``threads`` how many an operator runs on.
    """

    process: subprocess.Popen[bytes]
    connection: socket.socket
    ledger: int
    threads: int

    def end(self) -> None:
        """Kill it; nobody has taken it over."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


class First:
    """The worker that is begun first, until a server takes it, and the descriptor of the ledger."""

    def __init__(self, threads: int) -> None:
        self.ledger = os.memfd_create("algoshelf-decoded")
        self._begun: Begun | None = begin(threads, self.ledger)

    def take(self, threads: int) -> Begun | None:
        """The worker, once, if it is one for so many ``threads``."""
        begun, self._begun = self._begun, None
        if begun is not None and begun.threads != threads:
            begun.end()
            return None
        return begun


@contextlib.contextmanager
def first(threads: int) -> Iterator[First]:
    """Begin a worker, which is ended if no server takes it."""
    found = First(threads)
    try:
        yield found
    finally:
        begun = found.take(threads)
        if begun is not None:
            begun.end()
        os.close(found.ledger)


def begin(threads: int, ledger: int) -> Begun:
    """Start the process of a worker."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", WORKER, str(theirs.fileno()), str(ledger)],
            env={"OMP_NUM_THREADS": str(threads), **os.environ},
            pass_fds=(theirs.fileno(), ledger),
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard error, whatever stands for it in Python
            start_new_session=True,  # a terminal's Ctrl-C is the server's affair
        )
    return Begun(process, ours, ledger, threads)
