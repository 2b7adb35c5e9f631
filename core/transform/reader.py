"""The record reader: divide a file into records, and group them into requests.

Where a part ends depends on nothing but the content after its start and the limits: so a run that
resumes at the end of a part sees the same parts again.
"""

from __future__ import annotations

from typing import IO, Any, Iterator, NamedTuple, Sequence, Union, overload

import numpy as np

from .. import payload
from ..artifact.network import EVALUATION_BATCH as BATCH
from ..data import recordio
from ..inference.intake import Intake
from ..runtime.errors import (
    DataError,
    InputError,
    MalformedPayloadError,
    PayloadError,
    PayloadTooLargeError,
)

LINE, RECORDIO, NONE = "line", "recordio", "none"
SPLIT_TYPES = (LINE, NONE, RECORDIO)
READ_BYTES = 2**20
_LINE_FEED, _BLANK = 10, 32


class Fault(NamedTuple):
    """Why a record cannot be answered."""

    kind: type[PayloadError]
    reason: str


class Limits(NamedTuple):
    """What a part holds at the most, and a record of it, in bytes without its line feed."""

    records: int
    part: int
    record: int


Record = Union[bytes, Fault]
"""What a line or frame holds, or why it cannot be asked."""


class Lines(Sequence[bytes]):
    """Lines, split only when a single one is needed: most are predicted together.

    ``body`` is as they stand in the file, each of the ``count`` with its line feed.
    """

    def __init__(self, body: bytes, count: int) -> None:
        self.body = body
        self._count = count
        self._lines: list[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: Any) -> Any:
        """Line ``index`` without its line feed."""
        if self._lines is None:
            self._lines = self.body.split(b"\n")[:-1]
        return self._lines[index]

    def may_be_blank(self) -> bool:
        """Whether any line is blank, or at least begins so."""
        content = np.frombuffer(b"\n" + self.body, np.uint8)
        return bool((content[1:][content[:-1] == _LINE_FEED] <= _BLANK).any())


class Part(NamedTuple):
    """Consecutive records, and the offset after them in the file.

    ``first`` is the number of the first, from 1; the ``last`` part of a file may hold none.
    """

    first: int
    records: Sequence[Record]
    end: int
    last: bool


def read_parts(
    source: Intake, split: str, limits: Limits, offset: int, before: int
) -> Iterator[Part]:
    """The parts of ``source`` from ``offset`` on; ``before`` is the number of records before it.

    Raises DataError where the file cannot be read.
    """
    path = source.path
    try:
        if split == NONE and (source.rewrites or source.lead):
            yield _rewritten(source, limits)
            return
        with source.opened(offset) as stream:
            if split == NONE:
                yield _whole(stream, limits)
            elif split == LINE:
                yield from _lines(stream, limits, offset, before)
            else:
                yield from _collected(_frames(stream, limits), limits, offset, before)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _rewritten(source: Intake, limits: Limits) -> Part:
    size = source.path.stat().st_size
    try:
        body = source.body(limits.record)
    except InputError:
        return Part(1, [_too_large("the file", size, limits)], size, True)
    return Part(1, [body] if body else [], size, True)


def _whole(stream: IO[bytes], limits: Limits) -> Part:
    body = stream.read(limits.record + 1)
    if len(body) > limits.record:
        size = stream.seek(0, 2)
        return Part(1, [_too_large("the file", size, limits)], size, True)
    return Part(1, [body] if body else [], len(body), True)


def _lines(stream: IO[bytes], limits: Limits, offset: int, before: int) -> Iterator[Part]:
    """Parts of lines; a mark of UTF-8 at the start of the file is left out.

    Line feeds are looked for in all that is read at once: to take up each line by itself takes as
    long as k-means takes to answer it.
    """
    held = bytearray()  # from ``offset`` on
    ends = np.empty(0, np.int64)  # behind each line feed in it
    at_end, lacks_feed = False, False
    while True:
        while not (at_end or _holds_a_part(len(held), len(ends), limits)):
            piece = stream.read(READ_BYTES)
            if not piece:
                at_end, lacks_feed = True, bool(held) and not held.endswith(b"\n")
                piece = b"\n" * lacks_feed
            ends = np.concatenate((ends, _ends(piece) + len(held)))
            held += piece
        records: Sequence[Record]
        if not (at_end or len(ends)):
            length, rest = _skipped(stream, len(held))
            records = [_too_large("the line", length - bool(rest), limits)]
            held, ends, last = bytearray(rest[1:]), _ends(rest[1:]), False
        else:
            fitting = int(np.searchsorted(ends[: limits.records], limits.part, "right"))
            count = max(fitting, min(1, len(ends)))
            last = at_end and count == len(ends)
            if count > BATCH and not last:  # of whole batches none is left half full
                count -= count % BATCH
            length = int(ends[count - 1]) if count else 0
            if length - 1 > limits.record:
                records = [_too_large("the line", length - 1, limits)]
            else:
                records = _without_mark(bytes(held[:length]), count, offset)
            del held[:length]
            ends = ends[count:] - length
            length -= last and lacks_feed
        offset += length
        yield Part(before + 1, records, offset, last)
        if last:
            return
        before += len(records)


def _holds_a_part(size: int, lines: int, limits: Limits) -> bool:
    """Whether a part ends within ``size`` bytes of ``lines``, or there is one line too long."""
    return size > limits.part or lines > limits.records if lines else size > limits.record


def _ends(piece: bytes) -> Any:
    """The offsets behind line feeds: (N,) int64."""
    return np.flatnonzero(np.array(bytearray(piece), np.uint8) == _LINE_FEED) + 1


def _skipped(stream: IO[bytes], length: int) -> tuple[int, bytes]:
    """How long the line is of which ``length`` bytes are read, and what is read from its line feed
    on; the length counts the line feed.
    """
    while True:
        piece = stream.read(READ_BYTES)
        at = piece.find(b"\n")
        if at >= 0:
            return length + at + 1, piece[at:]
        if not piece:
            return length, b""
        length += len(piece)


def _without_mark(body: bytes, count: int, offset: int) -> Lines:
    marked = offset == 0 and body.startswith(payload.UTF8_MARK)
    return Lines(body[len(payload.UTF8_MARK) :] if marked else body, count)


def _collected(
    found: Iterator[tuple[Record, int]], limits: Limits, offset: int, before: int
) -> Iterator[Part]:
    """Records, each with the offset behind it, in parts."""
    records: list[Record] = []
    ends: list[int] = []
    start, size = offset, 0
    for record, end in found:
        length = 0 if isinstance(record, Fault) else len(record) + 1
        while records and (len(records) == limits.records or size + length > limits.part):
            count = len(records)
            if count > BATCH:
                count -= count % BATCH
            yield Part(before + 1, records[:count], ends[count - 1], False)
            before, start = before + count, ends[count - 1]
            records, ends = records[count:], ends[count:]
            size = sum(0 if isinstance(kept, Fault) else len(kept) + 1 for kept in records)
        records.append(record)
        ends.append(end)
        size += length
    yield Part(before + 1, records, ends[-1] if ends else start, True)


def _frames(stream: IO[bytes], limits: Limits) -> Iterator[tuple[Record, int]]:
    """The bodies of RecordIO's frames. Behind a damaged frame no other can be found."""
    bodies = recordio.read_bodies(stream, MalformedPayloadError)
    while True:
        try:
            body: bytes | None = next(bodies, None)
        except MalformedPayloadError as error:
            reason = error.faults[0].split(" ", 2)[2]  # the record's number is said elsewhere
            yield (
                Fault(MalformedPayloadError, f"{reason}; what follows cannot be read"),
                stream.seek(0, 2),
            )
            return
        if body is None:
            return
        long = len(body) > limits.record
        yield _too_large("the record", len(body), limits) if long else body, stream.tell()


def _too_large(what: str, size: int, limits: Limits) -> Fault:
    return Fault(
        PayloadTooLargeError,
        f"{what} has {size:,} bytes; --max-payload allows {limits.record:,}",
    )
