"""The process of a worker: started, waited for, ended."""

from __future__ import annotations

import asyncio
import subprocess
import time
from dataclasses import asdict
from typing import Protocol

from ..runtime.bounds import Ledger
from .begun import First, begin
from .failures import ServingError
from .options import Options
from .wire import Message, pack

START_SECONDS = 120.0
END_SECONDS = 3.0


class Limits(Protocol):
    """What a worker is told of its pool."""

    options: Options
    ledger: Ledger
    first: First


class Process(asyncio.Protocol):
    """The worker at the place ``index``; it is the protocol of the socket to it."""

    pool: Limits

    def __init__(self, index: int, device: str) -> None:
        self.index = index
        self.device = device
        self.reason = ""
        self._answer: asyncio.Future[Message] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    async def _start(self) -> None:
        ledger, options = self.pool.ledger, self.pool.options
        begun = self.pool.first.take(options.threads) or begin(options.threads, ledger.descriptor)
        self._process = begun.process
        loop = asyncio.get_running_loop()
        imported: asyncio.Future[Message] = loop.create_future()
        self._answer = imported
        limits = {
            "bounds": asdict(options.bounds),
            "workers": ledger.count,
            "decoded": ledger.most,
            "index": self.index,
        }
        transport, _ = await loop.create_connection(lambda: self, sock=begun.connection)
        transport.write(pack(limits))
        try:
            await asyncio.wait_for(imported, START_SECONDS)
        except asyncio.TimeoutError:
            raise ServingError(f"it did not start within {START_SECONDS:g} s") from None

    def end(self, reason: str) -> None:
        """Kill the worker."""
        self.reason = reason
        if self._process is not None:
            self._process.kill()

    async def _collect(self) -> str:
        """How the process ended; it is killed if it has not."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        process = self._process
        if process is None:
            return "no process"
        deadline = time.monotonic() + END_SECONDS
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            await asyncio.sleep(0.01)
        self._process = None
        code = process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"
