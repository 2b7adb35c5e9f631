"""A load generator: connections that send a request, wait for the answer and send again.

A process of its own (``python -m algoshelf.registry.benchmark.load``), which reads what to do on
stdin and prints its figures: client and server share the machine, and are not to share a process.
It runs on uvloop, as the server does, and finds the end of an answer by its Content-Length alone.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Sequence, cast

from ...core.runtime.children import ordered

ANSWER_SECONDS = 60.0  # a connection that waits for longer has failed
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


def request(path: str, content_type: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Tally:
    """What is counted between the warm-up and the end."""

    def __init__(self, begins: float, ends: float) -> None:
        self.begins, self.ends = begins, ends
        self.latencies: list[float] = []
        self.failed = 0

    def count(self, asked: float, answered: float, good: bool) -> None:
        if not self.begins <= answered < self.ends:
            return
        if good:
            self.latencies.append(answered - asked)
        else:
            self.failed += 1


class Connection(asyncio.Protocol):
    """One connection in a closed loop: a request at a time, until the tally ends."""

    def __init__(self, asking: bytes, tally: Tally) -> None:
        self.asking, self.tally = asking, tally
        self.received = b""
        self.expected = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone
        self._ask()

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.expected:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            found = LENGTH.search(self.received, 0, end + 2)
            if found is None:
                self.transport.close()
                return
            self.expected = end + 4 + int(found[1])
        if len(self.received) < self.expected:
            return
        now = time.perf_counter()
        self.tally.count(self.asked, now, self.received[9:12] == b"200")
        if now < self.tally.ends:
            self._ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        now = time.perf_counter()
        if now < self.tally.ends:  # the server, or a strange answer, ended it
            self.tally.count(self.asked, now, False)
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self.received, self.expected = b"", 0
        self.asked = time.perf_counter()
        self.transport.write(self.asking)


async def load(
    port: int, asking: bytes, connections: int, warm_up: float, seconds: float
) -> dict[str, float]:
    """Requests a second (of answers 200), percentiles of their latency in ms, and failures."""
    begins = time.perf_counter() + warm_up
    tally = Tally(begins, begins + seconds)
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: Connection(asking, tally), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.wait([each.done for each in made], timeout=warm_up + seconds + ANSWER_SECONDS)
    silent = sum(not each.done.done() for each in made)
    return figures(tally.latencies, tally.failed + silent, seconds)


def figures(latencies: Sequence[float], failed: int, seconds: float) -> dict[str, float]:
    """What ``latencies`` (in seconds) of answers within ``seconds`` come to."""
    found: dict[str, float] = {"requests_per_second": len(latencies) / seconds}
    ordered = sorted(latencies)
    for percent in (50, 90, 99) if ordered else ():
        place = min(len(ordered) - 1, len(ordered) * percent // 100)
        found[f"p{percent}_ms"] = 1000 * ordered[place]
    return {**found, "failed_requests": float(failed)}


def main() -> None:
    job, answer = ordered()
    try:
        import uvloop

        uvloop.install()
    except ModuleNotFoundError:
        pass  # slower, and no more
    asking = request(job["path"], job["content_type"], job["body"].encode())
    working = load(job["port"], asking, job["connections"], job["warm_up"], job["seconds"])
    answer(asyncio.run(working))


if __name__ == "__main__":
    main()
