"""Requests of CSV that begin with headings: their columns are taken by those, as of files."""

from __future__ import annotations

import csv
import io
import itertools
import logging
import re
from pathlib import Path
from typing import NamedTuple, Sequence

from .. import payload
from ..data.cells import is_number
from ..data.reading import Headings, Reading, are_known, key_of, matched, using
from ..runtime.errors import DataError, MalformedPayloadError, UnfitPayloadError
from .places import moved

HEAD_BYTES = 2**18  # in which the headings end
_NAME = Path("the request")
_ROW = re.compile(rb"(?:\xef\xbb\xbf)?[ \t]*[\d+.-]")
_LOG = logging.getLogger(__name__)


class Taken(NamedTuple):
    """A body without headings, with the columns that the model knows; ``lead`` lines of the request
    are left out, ``columns`` are where its own stand there, None for all as they stand.
    """

    body: bytes
    lead: int = 0
    columns: Sequence[int] | None = None

    def placed(self, fault: str) -> str:
        """``fault`` of the body with its line and column as they are in the request."""
        return moved(fault, lines=self.lead, columns=self.columns)


def taken(body: bytes, content_type: str, headings: Headings | None, mixed: bool = False) -> Taken:
    """What of ``body`` is asked about, by the ``headings`` that the model was trained on.

    Where cells may be words (``mixed``), a first line is one of headings where most of its cells
    are known ones; else where none is a number. Raises UnfitPayloadError where it has others,
    MalformedPayloadError where it does not parse.
    """
    if headings is None or headings.kinds or payload.media_type(content_type) != payload.CSV:
        return Taken(body)
    if _ROW.match(body) and not any(_ROW.match(name.encode()) for name in headings.columns):
        return Taken(body)
    text = body[:HEAD_BYTES].decode("utf-8-sig", "replace")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader, [])
    except csv.Error:
        return Taken(body)
    if mixed and not _are_mostly_known(header, headings):
        return Taken(body)
    rows = _below(body, reader.line_num)
    filled = any(cell.strip() for cell in header) and rows and not rows.isspace()
    if mixed and not filled:
        raise UnfitPayloadError("the body holds a line of headings, and no row")
    if not filled or (any(map(is_number, header)) and not are_known(header, headings)):
        return Taken(body)
    try:
        with using(Reading(), _LOG.debug, headings):
            _, columns = matched(_NAME, header, [], range(len(header)), False, False)
    except DataError as error:
        raise UnfitPayloadError(*error.faults) from None
    if columns == list(range(len(header))):
        return Taken(rows, reader.line_num)
    return Taken(_rewritten(body, columns, len(header)), reader.line_num, columns)


def _are_mostly_known(header: Sequence[str], headings: Headings) -> bool:
    known = {key_of(name) for name in (*headings.columns, *headings.labels)}
    filled = [key_of(cell) for cell in header if cell.strip()]
    return bool(filled) and 2 * sum(cell in known for cell in filled) >= len(filled)


def _below(body: bytes, lines: int) -> bytes:
    ends = b"\n" if b"\n" in body else b"\r"
    return b"".join(body.split(ends, lines)[lines:])


def _rewritten(body: bytes, columns: Sequence[int], width: int) -> bytes:
    rows = payload.decode_records(body, payload.CSV)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for number, row in enumerate(itertools.islice(rows, 1, None), 2):
        if len(row) != width:
            raise MalformedPayloadError(
                f"line {number} has {len(row)} columns, expected {width} as there are headings"
            )
        writer.writerow([row[i] for i in columns])
    return stream.getvalue().encode("utf-8", "replace")
