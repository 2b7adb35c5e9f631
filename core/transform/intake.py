"""Files of tables and texts as the requests that ask about them: the headings left out, the meant
columns alone, in comma-separated UTF-8. What training reads, predict and transform read alike.
"""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Iterator, Sequence

from .. import payload
from ..algorithm.base import Algorithm
from ..data import encoding, opening, reading, recordio, tables
from ..data.encoding import TextForm
from ..data.tables import Layout
from ..runtime.errors import InputError, UnsupportedContentTypeError

TABBED = (".tsv", ".tab")
TEXTS = (payload.CSV, payload.JSON, payload.JSONLINES, payload.TEXT)
_SEEK_BYTES = 2**20


@dataclass(frozen=True)
class Intake:
    """How the file at ``path`` becomes requests of ``content_type``.

    ``form`` is None for what is no text; ``layout`` for what is no table, or asked as it stands.
    """

    path: Path
    content_type: str
    form: TextForm | None = None
    layout: Layout | None = None

    @property
    def skips_headings(self) -> bool:
        """Whether the first line is skipped, as headings."""
        return self.layout is not None and self.layout.has_header

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
            found["table"] = [self.layout.delimiter, self.layout.has_header, columns]
        return found

    @contextmanager
    def opened(self, offset: int = 0) -> Iterator[IO[bytes]]:
        """What is asked, from ``offset`` on: the file, or its text as UTF-8. Raises DataError."""
        if self.form is None or (self.form.is_usual and not opening.is_packed(self.path)):
            with self.path.open("rb", buffering=2**20) as stream:
                stream.seek(offset)
                yield stream
            return
        with encoding.open_utf8(self.path, self.form) as stream:
            while offset:
                offset -= len(stream.read(min(offset, _SEEK_BYTES))) or offset
            yield stream

    def body(self, most: int) -> bytes:
        """The whole file as one request. Raises InputError beyond ``most`` bytes."""
        with self.opened() as stream:
            body = stream.read(most + 1)
        if len(body) > most:
            raise InputError(f"{self.path}: larger than {most:,} bytes: divide it")
        if not self.rewrites:
            return _below_headings(body) if self.skips_headings else body
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


def intake(algorithm: Algorithm[Any], path: Path, content_type: str | None = None) -> Intake:
    """How ``path`` is asked about. Raises InputError for what is no input, and what it then is."""
    kind = content_type or content_type_of(path, algorithm)
    media = payload.check_content_type(kind, algorithm.accepted())
    if media not in TEXTS:
        return Intake(path, media)
    if media != payload.CSV:
        form = encoding.form_of(path, whole=True)
        encoding.say(path, form)
        return Intake(path, media, form)
    holds_texts = algorithm.text_headings or payload.TEXT in algorithm.accepted()
    layout = _texts(algorithm, path) if holds_texts else tables.numeric(path, request=True)
    usual = layout.is_plain and not layout.has_header
    return Intake(path, media, layout.form, None if usual else layout)


def _texts(algorithm: Algorithm[Any], path: Path) -> Layout:
    """A table with a column of texts; without a heading that says so, it is asked as it stands."""
    form = encoding.form_of(path, whole=True)
    encoding.say(path, form)
    layout = tables.of_texts(path, form, algorithm.text_headings)
    if layout.columns is not None:
        chosen = layout.named(layout.columns[0])
        reading.note(f"asked about {chosen} (--text-column decides)", path)
    return layout


def content_type_of(path: Path, algorithm: Algorithm[Any]) -> str:
    """By the file's name, and where that has no ending, by how it begins. Raises InputError."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    accepted = algorithm.accepted()
    if name.suffix.lower() in TABBED:
        return payload.CSV
    if name.suffix:
        kind = _by_ending(path, name)
        table = kind == payload.TEXT and kind not in accepted and payload.CSV in accepted
        return payload.CSV if table else kind
    with opening.open_bytes(path) as stream:
        head = stream.read(16)
    if head.startswith(recordio.MAGIC):
        return payload.RECORDIO_PROTOBUF
    if head.startswith(b"\x93NUMPY"):
        return payload.NPY
    return payload.CSV if payload.CSV in accepted else payload.content_type_of(path)


def _by_ending(path: Path, name: Path) -> str:
    """By the ending of ``name``. Raises InputError: what the file is, where it begins so."""
    try:
        return payload.content_type_of(name)
    except UnsupportedContentTypeError:
        with opening.open_bytes(path) as stream:
            opening.check_is_text(path, stream.read(opening.HEAD_BYTES))
        raise


def _below_headings(body: bytes) -> bytes:
    return body.partition(b"\n")[2]
