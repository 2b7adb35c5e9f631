"""Limits of one request: examples, decoded bytes, seconds, bytes of its answer.

A small body can become a large thing: six million line feeds are as many texts, a picture of 250
bytes 600 MB. Decoders say beforehand what they are about to make (``charge``) and, where they go
through a body step by step, look at the clock (``check_time``). Outside of ``within`` nothing is
counted: users may read files of their own of any size.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from dataclasses import dataclass

from .deprecated import keep_old_names
from .errors import AlgoshelfError, PayloadTooLargeError

MAX_EXAMPLES = 10_000
# A number in JSON takes two bytes with its comma, and 32 in memory.
DECODED_BYTES_PER_BYTE = 32
# Of a processor, for so many bytes: the slowest decoder reads 3 MB in that time.
DECODING_SECONDS, DECODING_BYTES = 1.0, 6 * 2**20
ENOUGH_SECONDS = 1.0  # of computing, to tell how long all of it will take
MAX_ANSWER_BYTES = 32 * 2**20
# Less is not worth an entry: it is what every request holds.
ENTERED_BYTES = 2**20
_CELL = struct.Struct("=q")
_state = threading.local()


class CrowdedError(AlgoshelfError):
    """What other requests hold leaves no memory for this one; later it may."""

    code = "overloaded"


@dataclass(frozen=True)
class Bounds:
    """The limits of one request.

    ``decoding_seconds`` are those of a processor, ``computing_seconds`` those of a clock.
    """

    examples: int
    decoded_bytes: int
    decoding_seconds: float
    computing_seconds: float
    answer_bytes: int

    @classmethod
    def of(cls, payload: int, examples: int, seconds: float) -> Bounds:
        """What suits bodies of at most ``payload`` bytes that are answered within ``seconds``."""
        return cls(
            examples,
            DECODED_BYTES_PER_BYTE * payload,
            DECODING_SECONDS * max(1.0, payload / DECODING_BYTES),
            seconds,
            max(MAX_ANSWER_BYTES, payload),
        )


class Ledger:
    """The decoded bytes that each of ``count`` processes holds, in memory that all of them see.

    ``descriptor`` is handed to the others. Each writes its own cell alone, so it takes no lock.
    """

    def __init__(self, count: int, most: int, descriptor: int | None = None) -> None:
        self.most = most
        self.count = count
        if descriptor is None:
            descriptor = os.memfd_create("algoshelf-decoded")
        os.truncate(descriptor, _CELL.size * count)
        self.descriptor = descriptor
        self._cells = mmap.mmap(descriptor, _CELL.size * count)

    def set(self, index: int, held: int) -> None:
        """Say that process ``index`` holds ``held`` bytes."""
        _CELL.pack_into(self._cells, _CELL.size * index, held)

    def total(self) -> int:
        """What all of them hold."""
        return sum(held for (held,) in _CELL.iter_unpack(self._cells[:]))

    def close(self) -> None:
        """Give the memory back; the other processes keep theirs."""
        self._cells.close()
        os.close(self.descriptor)


class Account:
    """What one process holds of decoded data, entered in a ledger where there is one."""

    def __init__(self, ledger: Ledger | None = None, index: int = 0) -> None:
        self._ledger, self._index = ledger, index
        self._entered = 0
        self.held = 0

    def take(self, size: int) -> None:
        """Hold ``size`` bytes more. Raises CrowdedError where all together hold too much."""
        if self._ledger is not None and self.held + size - self._entered >= ENTERED_BYTES:
            others = self._ledger.total() - self._entered
            # Alone it may always go on: it would never fit otherwise.
            if others > 0 and others + self.held + size > self._ledger.most:
                raise CrowdedError(
                    "other requests hold the memory that this one needs: send it again later"
                )
            self._enter(self._ledger, self.held + size)
        self.held += size

    def give_back(self, size: int) -> None:
        """Hold ``size`` bytes less."""
        self.held -= size
        if self._entered and self._ledger is not None:
            self._enter(self._ledger, self.held if self.held >= ENTERED_BYTES else 0)

    def _enter(self, ledger: Ledger, held: int) -> None:
        self._entered = held
        ledger.set(self._index, held)


class Cost:
    """What one request has cost so far; ``release`` gives its memory back.

    Within it (``with``), what this thread decodes is counted, and PayloadTooLargeError raised.
    """

    __slots__ = ("_account", "_deadline", "bounds", "decoded")

    def __init__(self, bounds: Bounds, account: Account | None = None) -> None:
        self.bounds = bounds
        self.decoded = 0
        self._account = account or Account()
        self._deadline = 0.0

    def __enter__(self) -> Cost:
        _state.cost = self
        self._deadline = time.thread_time() + self.bounds.decoding_seconds
        return self

    def __exit__(self, *_: object) -> None:
        _state.cost = None

    def charge(self, size: int) -> None:
        if self.decoded + size > self.bounds.decoded_bytes:
            raise PayloadTooLargeError(
                f"the decoded body would take {self.decoded + size:,} bytes, expected at most "
                f"{self.bounds.decoded_bytes:,}: send it in several requests"
            )
        self._account.take(size)
        self.decoded += size

    def check_time(self) -> None:
        if time.thread_time() > self._deadline:
            raise PayloadTooLargeError(
                f"decoding the body takes longer than {self.bounds.decoding_seconds:g} s: "
                "send it in several requests"
            )

    def check_examples(self, count: int) -> None:
        if count > self.bounds.examples:
            raise _too_many(self.bounds.examples)

    def check_answer(self, size: int) -> None:
        """Raises PayloadTooLargeError where an answer of ``size`` bytes is not given."""
        if size > self.bounds.answer_bytes:
            raise PayloadTooLargeError(
                f"the answer would hold more than {self.bounds.answer_bytes:,} bytes: send the "
                "examples in several requests, or accept a more compact content type"
            )

    def check_pace(self, examples: int, seconds: float, count: int) -> None:
        """Raises PayloadTooLargeError where ``count`` examples will not be answered in time.

        ``examples`` of them have taken ``seconds``.
        """
        expected = seconds / examples * count
        if seconds >= ENOUGH_SECONDS and expected > self.bounds.computing_seconds:
            raise PayloadTooLargeError(
                f"{count:,} examples would take about {expected:,.0f} s, expected "
                f"{self.bounds.computing_seconds:g} s at most: send them in several requests"
            )

    def release(self) -> None:
        if self.decoded:
            self._account.give_back(self.decoded)
            self.decoded = 0


def _too_many(most: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"the body holds more than {most:,} examples: send them in several requests "
        "(serve --max-examples allows more)"
    )


def _cost() -> Cost | None:
    return getattr(_state, "cost", None)


def charge(size: int) -> None:
    """Say that ``size`` bytes are about to be made of a body. Raises PayloadTooLargeError."""
    cost = _cost()
    if cost is not None:
        cost.charge(size)


def check_time() -> None:
    """Raise PayloadTooLargeError where decoding has taken too long."""
    cost = _cost()
    if cost is not None:
        cost.check_time()


def check_examples(count: int) -> None:
    """Raise PayloadTooLargeError where a body of ``count`` examples holds too many."""
    cost = _cost()
    if cost is not None:
        cost.check_examples(count)


keep_old_names(__name__, "runtime.bounds")
