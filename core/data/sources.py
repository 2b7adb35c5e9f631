"""Tables of numbers, words and gaps from files, column by column in blocks, read as often as asked.

A block's column is a list of cells as text, or, where a file says that it is of numbers, an array
of float64 with NaN for gaps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, NamedTuple, Sequence, Union

from ..runtime.errors import DataError
from ..runtime.faults import MAX_FAULTS
from ..runtime.types import Array
from . import reading, tables
from .files import NoRowsError, check_empty, table_files
from .tables import Layout

BLOCK_ROWS = 8192
BLOCK_CELLS = 2**20
MAX_COLUMNS = 2**16
MAX_COUNTED = 1000  # rows of another width that are counted before a table is refused

Cells = Union[List[str], Array]
"""One column of a block: text, or float64 with NaN for gaps."""


class Block(NamedTuple):
    """Rows of a table: ``columns``, all of one length, and the ``places`` where they stand."""

    columns: Sequence[Cells]
    places: Sequence[int]


@dataclass(frozen=True)
class Part:
    """The part of a table that is in one file: ``path``, and ``unit``, what its places count."""

    path: Path
    names: tuple[str, ...]
    has_names: bool
    unit: str = "line"

    def blocks(self) -> Iterator[Block]:
        """All rows in blocks. Raises DataError."""
        raise NotImplementedError


@dataclass(frozen=True)
class TextPart(Part):
    """A file of text in columns, whose form is told by ``layout``."""

    layout: Layout | None = None

    def blocks(self) -> Iterator[Block]:
        assert self.layout is not None
        width, columns = self.layout.width, self.layout.columns
        count = block_rows(width)
        ragged: list[tuple[int, int]] = []
        rows = (row for row in self.layout.rows() if row[1])
        while True:
            batch = list(itertools.islice(rows, count))
            if not batch:
                break
            if any(len(row) != width for _, row in batch):
                ragged += [(line, len(row)) for line, row in batch if len(row) != width]
                if len(ragged) >= MAX_COUNTED:
                    break
            if not ragged:
                cells = list(map(list, zip(*(row for _, row in batch))))
                if columns is not None:
                    cells = [cells[i] for i in columns]
                yield Block(cells, [line for line, _ in batch])
        if ragged:
            raise _ragged(self.path, width, ragged)


@dataclass(frozen=True)
class Table:
    """A table in one file or several, whose columns are those of the first, by their headings."""

    path: Path
    parts: tuple[Part, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The headings; of a column without one, ``column 3``."""
        return self.parts[0].names

    @property
    def has_names(self) -> bool:
        """Whether its columns have headings."""
        return self.parts[0].has_names

    def blocks(self) -> Iterator[tuple[Part, Block]]:
        """All rows in blocks, their columns as ``names``, and the part in which they stand."""
        for part in self.parts:
            places = self._places(part)
            for block in part.blocks():
                yield (
                    part,
                    block
                    if places is None
                    else Block([block.columns[i] for i in places], block.places),
                )

    def _places(self, part: Part) -> list[int] | None:
        """Where the columns of the first part stand in ``part``; None for as there."""
        first = self.parts[0]
        if len(part.names) != len(first.names) and not (part.has_names and first.has_names):
            raise DataError(
                f"{part.path}: has {len(part.names)} columns, {first.path} {len(first.names)}"
            )
        if part is first or not (part.has_names and first.has_names):
            return None
        return reading.placed(part.path, part.names, first.names, f"{first.path} has")


def read_table(path: Path) -> Table:
    """The table at ``path``, a file or a folder of files, such as Spark writes. Raises DataError."""
    files = table_files(path)
    parts = []
    empty = []
    for file in files:
        try:
            parts.append(_part(file))
        except NoRowsError:
            empty.append(file)
    check_empty(path, empty, len(files))
    if len(parts[0].names) > MAX_COLUMNS:
        raise DataError(
            f"{parts[0].path}: has {len(parts[0].names):,} columns, expected {MAX_COLUMNS:,} at most"
        )
    return Table(path, tuple(parts))


def _part(path: Path) -> Part:
    layout = tables.mixed(path)
    if layout.is_empty:
        raise NoRowsError(f"{path}: holds no rows")
    named = [layout.header[i].strip() if layout.has_header else "" for i in layout.meant()]
    names = tuple(name or f"column {i + 1}" for name, i in zip(named, layout.meant()))
    return TextPart(path, names, layout.has_header, layout=layout)


def block_rows(width: int) -> int:
    """How many rows of ``width`` columns make a block."""
    return max(1, min(BLOCK_ROWS, BLOCK_CELLS // max(1, width)))


def _ragged(path: Path, width: int, found: Sequence[tuple[int, int]]) -> DataError:
    faults = [
        f"{path}: line {line} has {count} columns, expected {width} as in the first line"
        for line, count in found[:MAX_FAULTS]
    ]
    more = len(found) - MAX_FAULTS
    if more > 0:
        at_least = "at least " if len(found) >= MAX_COUNTED else ""
        faults.append(f"... and {at_least}{more:,} more")
    return DataError(*faults, "a cell that holds the delimiter is written in double quotes")
