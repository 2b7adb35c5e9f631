"""Tables of numbers, words and gaps from files, column by column in blocks, read as often as asked.

A block's column is a list of cells as text, or, where a file says that it is of numbers, an array
of float64 with NaN for gaps.
"""

from __future__ import annotations

import importlib
import itertools
import math
import re
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Collection, Iterable, Iterator, NamedTuple, Sequence

import numpy as np

from ..runtime.errors import DataError, MissingDependencyError
from ..runtime.faults import MAX_FAULTS, quoted
from ..runtime.types import Array
from . import encoding, opening, protobuf, reading, recordio, tables
from .cells import NUMBER
from .encoding import TextForm
from .files import TABLE_SUFFIXES, NoRowsError, check_empty, check_unpacked, table_files
from .remembered import Cells as Cells
from .remembered import Remembered
from .tables import Layout

FORMATS = (
    "CSV or TSV, gz or not, with or without headings; without them, the first column is the target",
    "Parquet, or an Excel workbook (.xlsx), of which the first sheet is read",
    "LibSVM's lines, such as 1 3:0.5 7:1",
    "RecordIO-protobuf, dense or sparse, with a label in each record",
    "a folder of such files",
)
PARQUET, EXCEL = b"PAR1", b"PK\x03\x04"
FOREIGN_SUFFIXES = (".parquet", ".xlsx", ".xlsm")
SUFFIXES = (
    *TABLE_SUFFIXES, *FOREIGN_SUFFIXES, ".libsvm", ".svm", ".libsvm.gz", ".svm.gz", ".pbr", ".rec",
    ".recordio",
)  # fmt: skip
INSTALL_HINT = "{} needs {}, which is not installed: pip install 'algoshelf[tables]'"
BLOCK_ROWS = 8192
BLOCK_CELLS, BLOCK_NUMBERS = 2**20, 2**23  # of text, of 60 bytes each, and of float64
MAX_COLUMNS = 2**16
MAX_COUNTED = 1000  # rows of another width that are counted before a table is refused
HEAD_ROWS = 200  # by which headings are told


class Block(NamedTuple):
    """Rows of a table: ``columns``, all of one length, and the ``places`` where they stand."""

    columns: Sequence[Cells]
    places: Sequence[int]


@dataclass(frozen=True)
class Part:
    """The part of a table that is in one file: ``path``, and ``unit``, what its places count.

    ``names`` are those of its columns, the headings where it ``has_names``.
    """

    path: Path
    names: tuple[str, ...]
    has_names: bool
    unit: str = "line"

    def blocks(self, chosen: Sequence[int]) -> Iterator[Block]:
        """All rows in blocks, the ``chosen`` columns alone. Raises DataError."""
        raise NotImplementedError


@dataclass(frozen=True)
class Table:
    """A table in one file or several, whose columns are those of the first, by their headings.

    ``chosen`` are the indices of those that are read, in order. What was read of them is
    ``remembered`` by who looks at all.
    """

    path: Path
    parts: tuple[Part, ...]
    chosen: tuple[int, ...]
    remembered: Remembered = field(default_factory=Remembered, compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The headings; of a column without one, ``column 3``."""
        return tuple(self.parts[0].names[i] for i in self.chosen)

    @property
    def has_names(self) -> bool:
        """Whether its columns have headings."""
        return self.parts[0].has_names

    @property
    def unit(self) -> str:
        """What the places of its rows count."""
        return self.parts[0].unit

    def like(self, names: Sequence[str]) -> Table:
        """The same table, in LibSVM's form with all columns ``names``, of which it may use few."""
        found = [re.fullmatch(r"feature (\d+)", name) for name in names]
        indices = [int(match[1]) for match in found if match]
        sparse = [part for part in self.parts if isinstance(part, SparsePart)]
        if not indices or len(sparse) < len(self.parts):
            return self
        parts = tuple(part.of(min(indices), max(indices) + 1) for part in sparse)
        chosen = tuple(range(len(parts[0].names)))
        if (parts, chosen) == (self.parts, self.chosen):
            return self  # with what is remembered of it
        return Table(self.path, parts, chosen)

    def blocks(self, wanted: Sequence[int] | None = None) -> Iterator[tuple[Part, Block]]:
        """All rows in blocks, of ``names`` the columns ``wanted``, and the part where they are."""
        for part in self.parts:
            places = self._places(part)
            if wanted is not None:
                places = [places[i] for i in wanted]
            for block in part.blocks(places):
                yield part, block

    def blocks_once_more(
        self, wanted: Sequence[int], numbers: Collection[int]
    ) -> Iterator[tuple[Part, Block]]:
        """``blocks`` for the last time, from memory where they are ``remembered``; of those that
        are ``numbers``, cells may be numbers where the file has text.
        """
        found = self.remembered.blocks(wanted, numbers)
        if found is None:
            self.remembered.clear()
            yield from self.blocks(wanted)
            return
        for part, columns, places in found:
            yield part, Block(columns, places)
        self.remembered.clear()

    def _places(self, part: Part) -> Sequence[int]:
        """Where the chosen columns stand in ``part``."""
        first = self.parts[0]
        if part.has_names and first.has_names:
            if part is first:
                return self.chosen
            return reading.placed(part.path, part.names, self.names, f"{first.path} has")
        if len(part.names) != len(first.names):
            raise DataError(
                f"{part.path}: has {len(part.names)} columns, {first.path} {len(first.names)}"
            )
        return self.chosen


def read_table(path: Path) -> Table:
    """The table at ``path``, in any of FORMATS. Raises DataError."""
    files = table_files(path, SUFFIXES)
    parts = []
    empty = []
    for file in files:
        try:
            parts.append(part_of(file))
        except NoRowsError:
            empty.append(file)
    check_empty(path, empty, len(files))
    sparse = [part for part in parts if isinstance(part, SparsePart)]
    if sparse:
        begin, end = min(part.first for part in sparse), max(part.end for part in sparse)
        parts = [part.of(begin, end) if isinstance(part, SparsePart) else part for part in parts]
    first = parts[0]
    width = len(first.names)
    if width > MAX_COLUMNS:
        raise DataError(f"{first.path}: has {width:,} columns, expected {MAX_COLUMNS:,} at most")
    decided = reading.current().columns
    chosen = range(width)
    if decided is not None:
        header = first.names if first.has_names else ()
        chosen = reading.places(decided, width, header, str(first.path), "--columns")  # type: ignore[assignment]
    return Table(path, tuple(parts), tuple(chosen))


def part_of(path: Path) -> Part:
    """The table in one file. Raises DataError, and NoRowsError for one without rows."""
    with opening.open_bytes(path) as stream:
        head = stream.read(opening.HEAD_BYTES)
    if head.startswith(recordio.MAGIC):
        return _recordio(path)
    if head.startswith(PARQUET):
        return _parquet(path)
    if head.startswith(EXCEL) and _is_workbook(path):
        return _excel(path)
    opening.check_is_text(path, head)
    if tables.LIBSVM.match(head.decode("latin-1")):
        return _libsvm(path)
    layout = tables.mixed(path)
    if layout.is_empty:
        raise NoRowsError(f"{path}: holds no rows")
    names = _named(layout.header if layout.has_header else [""] * layout.width)
    return TextPart(path, names, layout.has_header, layout=layout)


def is_other(path: Path) -> bool:
    """Whether the file holds a table in another form than text in columns."""
    with opening.open_bytes(path) as stream:
        head = stream.read(opening.HEAD_BYTES)
    if head.startswith((recordio.MAGIC, PARQUET)):
        return True
    if head.startswith(EXCEL):
        return _is_workbook(path)
    return tables.LIBSVM.match(head.decode("latin-1")) is not None


def as_texts(cells: Cells) -> Sequence[str]:
    """The cells of a column as text; a gap is empty."""
    return [text_of(value) for value in cells.tolist()] if isinstance(cells, np.ndarray) else cells


def text_of(value: float) -> str:
    """A number as a cell: a whole one without decimals, NaN as a gap."""
    if math.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(value)


def _named(header: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() or f"column {i}" for i, name in enumerate(header, 1))


def block_rows(width: int, cells: int = BLOCK_CELLS) -> int:
    """How many rows of ``width`` columns make a block of about so many ``cells``."""
    return max(1, min(BLOCK_ROWS, cells // max(1, width)))


def library(name: str, what: str) -> ModuleType:
    """A module of pyarrow or openpyxl. Raises MissingDependencyError: what to install."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.split(".")[0]
        if error.name != package:
            raise
        raise MissingDependencyError(INSTALL_HINT.format(what, package)) from None
    except ImportError as error:
        raise MissingDependencyError(f"{name} does not import: {error}") from error


# Text


@dataclass(frozen=True)
class TextPart(Part):
    """A file of text in columns, whose form is told by ``layout``."""

    layout: Layout = field(default_factory=lambda: Layout(Path(), TextForm()))

    def blocks(self, chosen: Sequence[int]) -> Iterator[Block]:
        layout, width = self.layout, self.layout.width
        count = block_rows(width)
        cells = layout.cells(count)
        line: int | None = None
        for line, found in cells:
            if found is None:
                layout = layout.begun_at(line)
                break
            columns = [found[i::width] for i in chosen]
            yield Block(columns, range(line, line + len(found) // width))
        else:
            return
        yield from _in_blocks(self, chosen, layout.batches(count))


def _in_blocks(
    part: Part,
    chosen: Sequence[int],
    batches: Iterable[tuple[Sequence[int], Sequence[list[str]]]],
) -> Iterator[Block]:
    """Rows with their places, all of one width. Raises DataError for those of another."""
    width = len(part.names)
    ragged: list[tuple[int, int]] = []
    for places, rows in batches:
        if set(map(len, rows)) != {width}:
            ragged += [(place, len(row)) for place, row in zip(places, rows) if len(row) != width]
        if len(ragged) >= MAX_COUNTED:
            break
        if not ragged and rows:
            columns = list(zip(*rows))
            yield Block([list(columns[i]) for i in chosen], places)
    if ragged:
        raise _ragged(part.path, width, ragged, part.unit)


def _ragged(path: Path, width: int, found: Sequence[tuple[int, int]], unit: str) -> DataError:
    faults = [
        f"{path}: {unit} {place} has {count} columns, expected {width} as in the first"
        for place, count in found[:MAX_FAULTS]
    ]
    more = len(found) - MAX_FAULTS
    if more > 0:
        at_least = "at least " if len(found) >= MAX_COUNTED else ""
        faults.append(f"... and {at_least}{more:,} more")
    return DataError(*faults, "a cell that holds the delimiter is written in double quotes")


# Parquet


@dataclass(frozen=True)
class ParquetPart(Part):
    """A Parquet file."""

    def blocks(self, chosen: Sequence[int]) -> Iterator[Block]:
        pyarrow = library("pyarrow", "Parquet")
        start = 1
        try:
            with _opened(self.path) as file:
                for batch in file.iter_batches(block_rows(len(self.names))):
                    columns = [
                        _cells(pyarrow, self.path, self.names[i], batch.column(i)) for i in chosen
                    ]
                    yield Block(columns, range(start, start + batch.num_rows))
                    start += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(self.path, "Parquet file", error) from None


def _parquet(path: Path) -> Part:
    pyarrow = library("pyarrow", "Parquet")
    try:
        with _opened(path) as file:
            names = _named(file.schema_arrow.names)
            if not file.metadata.num_rows:
                raise NoRowsError(f"{path}: holds no rows")
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, "Parquet file", error) from None
    return ParquetPart(path, names, True, "row")


def _opened(path: Path) -> Any:
    return library("pyarrow.parquet", "Parquet").ParquetFile(path)


def _damaged(path: Path, what: str, error: Exception) -> DataError:
    return DataError(f"{path}: is no readable {what}: {str(error)[:200]}")


def _cells(pyarrow: ModuleType, path: Path, name: str, column: Any) -> Cells:
    """A column of Arrow as cells."""
    types = pyarrow.types
    kind = column.type
    if types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        numbers = column.cast(pyarrow.float64(), safe=False)
        return np.array(numbers.to_numpy(zero_copy_only=False), np.float64)
    if types.is_duration(kind):
        return _cells(pyarrow, path, name, column.cast(pyarrow.int64()))
    if types.is_timestamp(kind):
        column = column.cast(pyarrow.timestamp(kind.unit))  # in UTC, without a time zone's name
    elif not (
        types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind)
        or types.is_date(kind) or types.is_time(kind) or types.is_null(kind)
    ):  # fmt: skip
        raise DataError(
            f"{path}: column {quoted(name)} holds {kind}, expected numbers, text, times or true "
            "and false: --columns reads others"
        )
    return [cell or "" for cell in column.cast(pyarrow.string()).to_pylist()]


# Excel


@dataclass(frozen=True)
class ExcelPart(Part):
    """The first sheet that holds anything in an Excel workbook."""

    sheet: str = ""

    def blocks(self, chosen: Sequence[int]) -> Iterator[Block]:
        width = len(self.names)
        rows = _sheet_rows(self.path, self.sheet, width)
        if self.has_names:
            next(rows, None)
        return _in_blocks(self, chosen, _batches(rows, block_rows(width)))


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception:  # zipfile raises many kinds for a damaged archive
        return False
    if not any(entry.filename.startswith("xl/") for entry in entries):
        return False
    size = sum(entry.file_size for entry in entries)
    check_unpacked(path, size, "sheets", "save the sheet as CSV")
    return True


def _excel(path: Path) -> Part:
    filled = []
    with _workbook(path) as book:
        for sheet in book.worksheets:
            if any(any(cell is not None for cell in row) for row in _values(path, sheet)):
                filled.append(sheet.title)
    if not filled:
        raise NoRowsError(f"{path}: holds no rows")
    if len(filled) > 1:
        others = ", ".join(filled[1:6])
        reading.note(
            f"the sheet {filled[0]!r} is read, the others are not ({others}): save one as a file "
            "of its own to read that",
            path,
        )
    rows = [row for _, row in itertools.islice(_sheet_rows(path, filled[0]), HEAD_ROWS)]
    width = max(map(len, rows))
    rows = [row + [""] * (width - len(row)) for row in rows]
    decided = reading.current().header
    headed = tables.are_names(rows) if decided is None else decided
    if len(rows) <= headed:
        raise NoRowsError(f"{path}: holds no rows")
    names = _named(rows[0] if headed else [""] * width)
    return ExcelPart(path, names, headed, "row", filled[0])


@contextmanager
def _workbook(path: Path) -> Iterator[Any]:
    """A workbook that is read row by row, whatever its name."""
    openpyxl = library("openpyxl", "Excel's form")
    with opening.open_bytes(path) as stream:
        try:
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        except Exception as error:  # openpyxl raises many kinds for a damaged workbook
            raise _damaged(path, "Excel workbook", error) from None
        try:
            yield book
        finally:
            book.close()


def _values(path: Path, sheet: Any) -> Iterator[Sequence[Any]]:
    try:
        yield from sheet.values
    except Exception as error:  # as many kinds as there are damages
        raise _damaged(path, "Excel workbook", error) from None


def _sheet_rows(path: Path, sheet: str, width: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, filled up to ``width``, each with its number."""
    with _workbook(path) as book:
        for number, values in enumerate(_values(path, book[sheet]), 1):
            row = [_written(value) for value in values]
            while row and not row[-1] and len(row) > width:
                row.pop()
            if any(row):
                yield number, row + [""] * (width - len(row))


def _batches(
    rows: Iterator[tuple[int, list[str]]], count: int
) -> Iterator[tuple[list[int], list[list[str]]]]:
    while True:
        batch = list(itertools.islice(rows, count))
        if not batch:
            return
        yield [number for number, _ in batch], [row for _, row in batch]


def _written(value: Any) -> str:
    """A cell of a sheet as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return text_of(value)
    return value if isinstance(value, str) else str(value)


# SageMaker's forms


@dataclass(frozen=True)
class SparsePart(Part):
    """LibSVM's lines: a label, and the numbers that are not zero, each with its index.

    Indices begin at ``first``, 0 or 1; the file holds none from ``end`` on.
    """

    form: TextForm = field(default_factory=TextForm)
    first: int = 1
    end: int = 1

    def of(self, first: int, end: int) -> SparsePart:
        """The same file as one of indices from ``first`` on up to ``end`` at least."""
        first, end = min(first, self.first), max(end, self.end)
        return replace(self, first=first, end=end, names=_numbered(range(first, end)))

    def blocks(self, chosen: Sequence[int]) -> Iterator[Block]:
        width = len(self.names)
        lines = libsvm_lines(self.path, self.form)
        while True:
            batch = list(itertools.islice(lines, block_rows(width, BLOCK_NUMBERS)))
            if not batch:
                return
            rows = np.zeros((len(batch), width))
            for row, (_, label, pairs) in zip(rows, batch):
                row[0] = label
                for index, value in pairs:
                    row[index - self.first + 1] = value
            yield Block(list(rows.T[list(chosen)]), [number for number, _, _ in batch])


def _libsvm(path: Path) -> Part:
    form = encoding.form_of(path, whole=False)
    first, end = 1, 1
    for _, _, pairs in libsvm_lines(path, form):
        for index, _ in pairs:
            first, end = min(first, index), max(end, index + 1)
    if end - first >= MAX_COLUMNS:
        raise DataError(f"{path}: has the index {end - 1:,}, expected {MAX_COLUMNS:,} at most")
    return SparsePart(path, _numbered(range(first, end)), True, form=form, first=first, end=end)


def _numbered(indices: Iterable[int]) -> tuple[str, ...]:
    return ("label", *(f"feature {i}" for i in indices))


def libsvm_lines(
    path: Path, form: TextForm
) -> Iterator[tuple[int, float, list[tuple[int, float]]]]:
    """Each line's number, its label, and its pairs of an index and a number. Raises DataError."""
    for number, line in encoding.lines(path, form):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            pairs = [_pair(word) for word in words[1:] if not word.startswith("qid:")]
            yield number, _finite(words[0]), pairs
        except ValueError as error:
            raise DataError(
                f"{path}: line {number}: {error}: expected a label and pairs of an index and a "
                "number, such as 1 3:0.5 7:1"
            ) from None


def _pair(word: str) -> tuple[int, float]:
    index, colon, value = word.partition(":")
    if not (colon and index.isdecimal() and len(index) < 10):
        raise ValueError(f"{quoted(word)} is no such pair")
    return int(index), _finite(value)


def _finite(text: str) -> float:
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f"{quoted(text)} is not a finite number")
    return float(text)


@dataclass(frozen=True)
class RecordsPart(Part):
    """RecordIO-protobuf: a record a row, with its label."""

    def blocks(self, chosen: Sequence[int]) -> Iterator[Block]:
        start = 1
        with opening.open_bytes(self.path) as stream:
            for block in _records(self.path, stream):
                columns = list(block.T[list(chosen)].astype(np.float64))
                yield Block(columns, range(start, start + len(block)))
                start += len(block)


def _records(path: Path, stream: Any) -> Iterator[Array]:
    return protobuf.read_blocks(stream, DataError, f"{path}: ", labelled=True)


def _recordio(path: Path) -> Part:
    with opening.open_bytes(path) as stream:
        width = next(_records(path, stream)).shape[1]
    if width > MAX_COLUMNS:
        raise DataError(f"{path}: has {width:,} columns, expected {MAX_COLUMNS:,} at most")
    return RecordsPart(path, _numbered(range(1, width)), True, "record")
