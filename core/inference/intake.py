"""Make requests of the files of tables, texts and pictures that predict and transform are given.

Headings are left out, the chosen columns alone remain, in comma-separated UTF-8: what training
reads, predict and transform read alike.
"""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Callable, Iterator, Sequence

from .. import payload
from ..algorithm.base import Algorithm
from ..data import (
    encoding,
    images,
    opening,
    reading,
    recordio,
    series_files,
    sources,
    tables,
)
from ..data.encoding import TextForm
from ..data.files import TABLE_ENDINGS, NoRowsError
from ..data.tables import Layout
from ..runtime.errors import DataError, InputError, UnsupportedContentTypeError

TEXTS = (payload.CSV, payload.JSON, payload.JSONLINES, payload.TEXT)
_SEEK_BYTES = 2**20


@dataclass(frozen=True)
class Intake:
    """How the file at ``path`` becomes requests of ``content_type``.

    ``form`` is None for what is no text; ``layout`` for what is no table, or asked as it stands.
    ``is_empty`` where it is a table without a row. ``table`` is one that is no text, such as a
    sheet of Excel, asked as lines of CSV, and ``columns`` those of it that are meant. Of a table of
    series, ``series`` gives these as lines of JSON.
    """

    path: Path
    content_type: str
    form: TextForm | None = None
    layout: Layout | None = None
    is_empty: bool = False
    table: sources.Table | None = None
    columns: Sequence[int] = ()
    series: Callable[[], Iterator[bytes]] | None = None

    @property
    def is_made(self) -> bool:
        """Whether what is asked does not stand in the file as it is asked."""
        return self.rewrites or self.table is not None or self.series is not None

    @property
    def lead(self) -> int:
        """How many lines at the start are no records."""
        return 0 if self.layout is None else self.layout.lead

    @property
    def rewrites(self) -> bool:
        """Whether lines are rewritten, and not only left out."""
        layout = self.layout
        return layout is not None and (layout.delimiter != "," or layout.columns is not None)

    def settings(self) -> dict[str, Any]:
        """What of it the answers depend on, for a journal."""
        found: dict[str, Any] = {}
        if self.form is not None and not self.form.is_usual:
            found["encoding"] = [self.form.encoding, self.form.newline]
        if self.layout is not None:
            columns = None if self.layout.columns is None else list(self.layout.columns)
            found["table"] = [self.layout.delimiter, self.layout.lead, columns]
        if self.table is not None:
            found["table"] = list(self.columns)
        return found

    @contextmanager
    def opened(self, offset: int = 0) -> Iterator[IO[bytes]]:
        """What is asked, from ``offset`` on: the file, or its text as UTF-8. Raises DataError."""
        pieces = None if self.series is None else self.series()
        if self.table is not None:
            pieces = _lines_of(self.table, self.columns)
        if pieces is not None:
            with io.BufferedReader(_Written(pieces), _SEEK_BYTES) as stream:
                _skip(stream, offset)
                yield stream
            return
        if self.form is None or (self.form.is_usual and not opening.is_packed(self.path)):
            with self.path.open("rb", buffering=2**20) as stream:
                stream.seek(offset)
                yield stream
            return
        with encoding.open_utf8(self.path, self.form) as stream:
            _skip(stream, offset)
            yield stream

    def body(self, most: int) -> bytes:
        """The whole file as one request. Raises InputError beyond ``most`` bytes."""
        with self.opened() as stream:
            body = stream.read(most + 1)
        if len(body) > most:
            raise InputError(f"{self.path}: larger than {most:,} bytes: divide it")
        if not self.rewrites:
            return b"\n".join(body.split(b"\n", self.lead)[self.lead :]) if self.lead else body
        return "".join(f"{line}\n" for line in self._written()).encode()

    def _written(self) -> Iterator[str]:
        assert self.layout is not None
        for _, row in self.layout.rows():
            yield self.written(row) if row else ""

    def written(self, row: Sequence[str]) -> str:
        """A row as a line of CSV with the meant cells alone."""
        assert self.layout is not None
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerow(self.layout.chosen(row))
        return stream.getvalue()[:-1]

    def line(self, line: bytes) -> bytes:
        """One line of the table, rewritten where that is needed; what cannot be parsed stays."""
        if not self.rewrites or not line.strip():
            return line
        assert self.layout is not None
        try:
            text = line.decode("utf-8-sig").rstrip("\r")
            if self.layout.delimiter == "\t":
                row = next(tables.tabbed([(1, text)]))[1]
            else:
                row = next(csv.reader([text], delimiter=self.layout.delimiter, strict=True))
        except (ValueError, csv.Error, StopIteration):
            return line
        return self.written(row).encode()


def _skip(stream: IO[bytes], count: int) -> None:
    while count:
        count -= len(stream.read(min(count, _SEEK_BYTES))) or count


class _Written(io.RawIOBase):
    """What is made piece by piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            piece = next(self.pieces, None)
            if piece is None:
                return 0
            self.rest = piece
        count = min(len(buffer), len(self.rest))
        buffer[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count


def _lines_of(table: sources.Table, columns: Sequence[int]) -> Iterator[bytes]:
    """The chosen ``columns`` of a table as lines of CSV in UTF-8."""
    for _, block in table.blocks(columns):
        chosen = list(map(sources.as_texts, block.columns))
        stream = io.StringIO()
        # a line end in a cell would make two records of it
        rows = ([cell.replace("\n", " ") for cell in row] for row in zip(*chosen))
        csv.writer(stream, lineterminator="\n").writerows(rows)
        yield stream.getvalue().encode("utf-8", "replace")


def intake(algorithm: Algorithm[Any], path: Path, content_type: str | None = None) -> Intake:
    """How ``path`` is asked about. Raises InputError for what is no input, and what it then is."""
    if algorithm.asks_series:
        found = _series(path, content_type)
        if found is not None:
            return found
    if algorithm.mixed_tables and content_type in (None, payload.CSV) and sources.is_other(path):
        return _table(path)
    kind = content_type or content_type_of(path, algorithm)
    media = payload.check_content_type(kind, algorithm.accepted_media_types())
    if media not in TEXTS:
        return Intake(path, media)
    if media != payload.CSV:
        form = encoding.form_of(path, whole=True)
        encoding.say(path, form)
        return Intake(path, media, form)
    if algorithm.mixed_tables:
        layout = _mixed(path)
        usual = layout.is_plain and not layout.lead
        return Intake(path, media, layout.form, None if usual else layout, layout.is_empty)
    holds_texts = algorithm.text_headings or payload.TEXT in algorithm.accepted_media_types()
    layout = _texts(algorithm, path) if holds_texts else tables.numeric(path, request=True)
    usual = layout.is_plain and not layout.lead
    return Intake(path, media, layout.form, None if usual else layout, layout.is_empty)


def _series(path: Path, content_type: str | None) -> Intake | None:
    """Series a line each; None for a document, which is asked about as it stands."""
    if content_type not in (None, payload.CSV, payload.JSONLINES) or not path.stat().st_size:
        return None
    if series_files.is_lined(path):
        form = encoding.form_of(path, whole=True)
        encoding.say(path, form)
        return Intake(path, payload.JSONLINES, form)
    if not series_files.is_document(path):
        lines = series_files.asked_lines(path)
        return Intake(path, payload.JSONLINES, TextForm(), series=lines)
    return None


def _mixed(path: Path) -> Layout:
    """A table of numbers, words and gaps; the columns that the model knows by their headings."""
    layout = tables.mixed(path)
    header, known, chosen = layout.header, reading.headings(), reading.current().columns
    if chosen is not None and layout.width:
        places = reading.places(chosen, layout.width, header, str(path), "--columns")
        layout = replace(layout, columns=tuple(places))
    elif layout.has_header and known is not None:
        found = tuple(reading.placed(path, header, known.columns))
        if found != tuple(range(layout.width)):
            layout = replace(layout, columns=found)
    return layout


def _table(path: Path) -> Intake:
    """A table that is no text, with the columns that the model knows by their headings."""
    known = reading.headings()
    try:
        table = sources.read_table(path)
    except NoRowsError:
        return Intake(path, payload.CSV, TextForm(), None, True)
    places: Sequence[int] = range(len(table.names))
    if known is not None:
        table = table.like(known.columns)
        if table.has_names:
            places = reading.placed(path, table.names, known.columns)
    return Intake(path, payload.CSV, TextForm(), table=table, columns=tuple(places))


def _texts(algorithm: Algorithm[Any], path: Path) -> Layout:
    """A table with a column of texts; without a heading that says so, it is asked as it stands."""
    form = encoding.form_of(path, whole=True)
    encoding.say(path, form)
    layout = tables.of_texts(path, form, algorithm.text_headings)
    several = layout.columns is None and layout.delimiter != "," and layout.width > 1
    if several and algorithm.text_headings:
        raise DataError(
            f"{path}: line 1: {layout.width} columns, of which none is headed as texts are "
            f"({', '.join(algorithm.text_headings[:3])}, …): --text-column N says which holds them"
        )
    if layout.columns is not None:
        chosen = layout.named(layout.columns[0])
        reading.note(f"asked about {chosen} (--text-column decides)", path)
    return layout


def content_type_of(path: Path, algorithm: Algorithm[Any]) -> str:
    """Of a picture by its content, else by the file's name, and where that has no ending, by how
    it begins. Raises InputError.
    """
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    accepted = algorithm.accepted_media_types()
    picture = _picture(path, accepted)
    if picture:
        return picture
    if name.suffix.lower() in TABLE_ENDINGS and payload.CSV in accepted:
        return payload.CSV
    if name.suffix:
        kind = _by_ending(path, name, accepted)
        table = kind == payload.TEXT and kind not in accepted and payload.CSV in accepted
        return payload.CSV if table else kind
    with opening.open_bytes(path) as stream:
        head = stream.read(16)
    if head.startswith(recordio.MAGIC):
        return payload.RECORDIO_PROTOBUF
    if head.startswith(b"\x93NUMPY"):
        return payload.NPY
    return payload.CSV if payload.CSV in accepted else _by_ending(path, name, accepted)


def _picture(path: Path, accepted: Sequence[str]) -> str:
    """The content type of a picture, where pictures are ``accepted``; empty for what is none.

    Raises UnsupportedContentTypeError for a picture, or a drawing, that is never opened.
    """
    types = {images.PNG: payload.PNG, images.JPEG: payload.JPEG, images.WEBP: payload.WEBP}
    if not set(accepted) & set(types.values()):
        return ""
    with opening.open_bytes(path) as stream:
        head = stream.read(images.HEAD_BYTES)
    found = types.get(images.format_of(head), "")
    if found in accepted:
        return found
    if found or images.is_foreign(head):
        kinds = payload.either([name for name, kind in types.items() if kind in accepted])
        raise UnsupportedContentTypeError(f"{path}: {images.refusal(head, kinds)}")
    return ""


def _by_ending(path: Path, name: Path, accepted: Sequence[str]) -> str:
    """By the ending of ``name``. Raises InputError: what the file is, where it begins so."""
    try:
        kind = payload.content_type_of(name)
    except UnsupportedContentTypeError:
        kind = ""
    if kind in accepted or (kind == payload.TEXT and payload.CSV in accepted):
        return kind
    with opening.open_bytes(path) as stream:
        opening.check_is_text(path, stream.read(opening.HEAD_BYTES))
    if kind:
        return kind
    ending = f"names that end in {name.suffix}" if name.suffix else "names without an ending"
    raise UnsupportedContentTypeError(
        f"{path}: no content type is known for {ending}: expected {payload.endings(accepted)}; "
        "for any other file, pass --content-type"
    )
