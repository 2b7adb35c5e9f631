"""What looks odd in a table that is read all the same: it is said, and changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol, Sequence

from . import reading
from .cells import is_number, ranges

COUNTED_ROWS = 20  # from so many on, whole numbers that rise row by row are hardly a measure
NAMED_ROWS = 3  # where the heading says so too
NUMBERED_COLUMNS = 10  # from so many on, they are hardly numbered by chance
FEWEST_BELOW = 5  # rows by which a first line can be told from the others
FIRST_YEAR, LAST_YEAR = 1900, 2100
_ID = re.compile(
    r"(?:.*[ _.-])?(?:ids?|uuid|index|idx|key|rowid|row|record|nr|no|number|#)"
    r"|id[ _.-].*|unnamed: 0|",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(.*?)(\d{1,9})")
_CAMEL_ID = re.compile(r".*[a-z]I[Dd]")

Rows = Sequence[Sequence[str]]


class Table(Protocol):
    """What is looked at of a table; see ``tables.Layout``."""

    @property
    def path(self) -> Path: ...

    @property
    def header(self) -> tuple[str, ...]: ...

    @property
    def decimal(self) -> str: ...

    @property
    def above(self) -> int: ...

    def named(self, index: int) -> str: ...

    def meant(self) -> Sequence[int]: ...


def say_counted(layout: Table, rows: Rows) -> None:
    """A column that counts or names the rows is a number as any other, and hardly meant."""
    meant = list(layout.meant())
    found = [
        (column, why)
        for column in meant
        for why in [_counted(layout, column, [r[column] for r in rows if len(r) > column])]
        if why
    ]
    left = [column + 1 for column in meant if column not in dict(found)]
    for column, why in found:
        advice = f"; --columns {ranges(left)} leaves it out" if left else ""
        reading.note(
            f"{layout.named(column)}, {why}, and is read as a number like the others{advice}",
            layout.path,
        )


def _counted(layout: Table, column: int, cells: Sequence[str]) -> str:
    """Why a column is hardly a measure; empty where it may well be one."""
    is_id = column < len(layout.header) and is_id_name(layout.header[column].strip())
    fewest = NAMED_ROWS if is_id else COUNTED_ROWS
    if len(cells) < fewest or not all(cell.strip().isdecimal() for cell in cells):
        return ""
    numbers = [int(cell.strip()[:18]) for cell in cells]
    steps = {after - before for before, after in zip(numbers, numbers[1:])}
    if steps == {1}:
        return "counts the rows"
    if min(steps) > 0:
        return "rises by whole numbers from row to row, as one that names the rows"
    if is_id and len(set(numbers)) == len(numbers):
        return "is another whole number in each row, as one that names the rows"
    return ""


def is_id_name(name: str) -> bool:
    """Whether ``name`` is a heading of columns that number or name the rows."""
    return bool(_ID.fullmatch(name) or _CAMEL_ID.fullmatch(name))


def say_order(layout: Table) -> None:
    """Columns whose headings are numbered otherwise than they stand, as pixels in reverse."""
    names = [layout.header[i].strip() for i in layout.meant() if i < len(layout.header)]
    found = [match for match in map(_NUMBERED.fullmatch, names) if match]
    numbers = [int(match[2]) for match in found]
    if len(found) < NUMBERED_COLUMNS or len({match[1] for match in found}) > 1:
        return
    if numbers != sorted(numbers):
        reading.note(
            "its columns are taken in the order in which they stand, though their headings "
            f"({found[0][0]}, {found[1][0]}, …) count otherwise: put them in order if what is "
            "learned depends on it, as a picture's pixels do",
            layout.path,
        )


def say_first_line(layout: Table, rows: Rows) -> None:
    """Headings may be numbers too, such as years; then the first line is read as a row."""
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    if _are_headings(first, below, layout.decimal):
        reading.note(
            f"line {layout.above + 1} ({', '.join(first[:4])}{', …' * (len(first) > 4)}) was read "
            "as a row; --header yes if it holds the headings, --header no if it does not",
            layout.path,
        )


def _are_headings(first: Sequence[str], below: Rows, decimal: str) -> bool:
    """Whether whole numbers that count up, or years, stand above what is neither."""
    names = [_whole(cell) for cell in first]
    if len(below) < FEWEST_BELOW or len(names) < 2 or any(map(_is_counting, below)):
        return False
    years = _are_years(names)
    if not (years or (len(names) > 2 and _is_counting(first))):
        return False
    if years and sum(_are_years([_whole(cell) for cell in row]) for row in below):
        return False
    strange = sum(_is_strange(n, [r[i] for r in below], decimal) for i, n in enumerate(names))
    return 2 * strange > len(names)


def _whole(cell: str) -> int:
    """A whole number; -1 for any other cell."""
    cell = cell.strip()
    return int(cell[:18]) if cell.isdecimal() else -1


def _is_counting(row: Sequence[str]) -> bool:
    numbers = [_whole(cell) for cell in row]
    steps = {after - before for before, after in zip(numbers, numbers[1:])}
    return len(steps) == 1 and min(steps) > 0 and min(numbers) >= 0


def _are_years(numbers: Sequence[int]) -> bool:
    plausible = all(FIRST_YEAR <= number <= LAST_YEAR for number in numbers)
    return plausible and len(set(numbers)) == len(numbers)


def _is_strange(number: int, cells: Sequence[str], decimal: str) -> bool:
    """Whether ``number`` lies beyond all cells below it, or is whole above none that are."""
    values = [float(cell.replace(",", ".")) for cell in cells if is_number(cell, decimal)]
    if not values:
        return False
    fractions = sum(value != int(value) for value in values if abs(value) < 2**53)
    return not min(values) <= number <= max(values) or 2 * fractions > len(values)
