"""A file divided into records, some of which together are one part of the work.

Where a part ends depends on nothing but the content after its start and the limits: whoever goes on
at the end of a part sees the same parts again.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Iterator, NamedTuple, Union

from .. import codecs, recordio
from ..errors import (
    DataError,
    MalformedPayloadError,
    PayloadError,
    PayloadTooLargeError,
)

LINE, RECORDIO, NONE = "line", "recordio", "none"
SPLIT_TYPES = (LINE, NONE, RECORDIO)
# As many examples as an evaluation takes at once: a part of whole batches leaves none half full.
BATCH = 256
SKIPPED_BYTES = 2**20


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


class Part(NamedTuple):
    """Records that follow one another, and the offset behind them in the file.

    ``first`` is the number of the first, from 1; the ``last`` part of a file may hold none.
    """

    first: int
    records: list[Record]
    end: int
    last: bool


def parts(path: Path, split: str, limits: Limits, offset: int, before: int) -> Iterator[Part]:
    """The parts of ``path`` from ``offset`` on, ``before`` which there are so many records.

    Raises DataError where the file cannot be read.
    """
    try:
        with path.open("rb", buffering=2**20) as stream:
            stream.seek(offset)
            if split == NONE:
                yield _whole(stream, limits)
            else:
                read = _lines if split == LINE else _frames
                yield from _collected(read(stream, offset, limits, before), limits, offset, before)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _whole(stream: IO[bytes], limits: Limits) -> Part:
    body = stream.read(limits.record + 1)
    if len(body) > limits.record:
        size = stream.seek(0, 2)
        return Part(1, [_too_large("the file", size, limits)], size, True)
    return Part(1, [body] if body else [], len(body), True)


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


def _lines(
    stream: IO[bytes], offset: int, limits: Limits, before: int
) -> Iterator[tuple[Record, int]]:
    """Lines without their line feed; a mark of UTF-8 at the start of the file is left out."""
    while True:
        raw = stream.readline(limits.record + 1)
        if not raw:
            return
        at_start, length = offset == 0, len(raw)
        record: Record = raw
        if raw.endswith(b"\n"):
            record = raw[:-1]
        elif length > limits.record:
            piece = raw
            while piece and not piece.endswith(b"\n"):
                piece = stream.readline(SKIPPED_BYTES)
                length += len(piece)
            record = _too_large("the line", length - piece.endswith(b"\n"), limits)
        if at_start and isinstance(record, bytes) and record.startswith(codecs.UTF8_MARK):
            record = record[len(codecs.UTF8_MARK) :]
        offset += length
        yield record, offset


def _frames(
    stream: IO[bytes], offset: int, limits: Limits, before: int
) -> Iterator[tuple[Record, int]]:
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
        f"{what} has {size:,} bytes, of which --max-payload allows {limits.record:,}",
    )
