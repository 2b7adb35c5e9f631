"""Find what is wrong with a table of numbers, all faults at once, column by column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Sequence

from ..runtime.deprecated import keep_old_names
from ..runtime.errors import DataError
from .cells import (
    BLANKS,
    has_other_minus,
    has_thousands,
    has_unit,
    holds_blanks,
    is_hexadecimal,
    is_in_brackets,
    is_no_value,
    is_number,
    ranges,
)
from .tables import Layout, Row

MAX_COLUMNS = 10  # shown
MAX_LINES = 1_000_000  # looked through: after so many, the kinds of faults are known
FLOAT32_LIMIT = float.fromhex("0x1.ffffffp127")  # from here on, float32 rounds to infinity
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
TEXT, EMPTY, NOTHING, BEYOND = "text", "empty", "no value", "not a finite float32"
MARKED, SEVERAL = "numbers with marks between thousands", "several numbers with blanks between them"
UNIT = "numbers with a sign or unit"
MINUS, BRACKETS = "numbers with another character than - for minus", "numbers in brackets"
HEXADECIMAL = "hexadecimal numbers"
_ONE = {
    TEXT: "{cell!r} is not a number",
    EMPTY: "is empty, expected a number",
    NOTHING: "{cell!r} is not a number",
    MARKED: "{cell!r} has marks between thousands",
    UNIT: "{cell!r} has a sign or unit",
    MINUS: "{cell!r} has another character than - for minus",
    BRACKETS: "{cell!r} is in brackets",
    HEXADECIMAL: "{cell!r} is hexadecimal",
    SEVERAL: "{cell!r} are several numbers with blanks between them",
    BEYOND: "{cell!r} is not a finite float32",
}


_ADVICE = {
    UNIT: "write numbers alone, and their sign or unit in the heading",
    MINUS: "write minus as -, as by: sed 's/{minus}/-/g' FILE > NEW",
    BRACKETS: "write negative numbers with -, as by: sed -E 's/\\(([0-9.,]+)\\)/-\\1/g' FILE > NEW",
    HEXADECIMAL: "write numbers in decimal: 0x1f is 31",
}


@dataclass
class _Kind:
    """Faults of one kind in one column: how many, and where the first is."""

    line: int
    cell: str
    count: int = 0


class _Found:
    """What is wrong in the rows of one table."""

    def __init__(self, layout: Layout, width: int) -> None:
        self.layout = layout
        self.width = width
        self.columns: dict[int, dict[str, _Kind]] = {}
        self.ragged: list[tuple[int, int]] = []
        self.blank: list[int] = []
        self.hollow: list[int] = []
        self.lines = self.ragged_count = 0
        self.more = False

    def look(self) -> None:
        """Through all rows; blank lines at the end are no fault."""
        meant, decimal = list(self.layout.meant()), self.layout.decimal
        blank: list[int] = []
        hollow: list[Row] = []
        for number, row in self.layout.rows():
            filled = any(cell.strip() for cell in row)
            if not filled and len(row) < 2:
                blank.append(number)
                continue
            self.blank += blank
            blank = []
            if not filled:
                hollow.append((number, row))
                continue
            if not self._take([*hollow, (number, row)], meant, decimal):
                return
            hollow = []
        if self.lines:
            self.hollow = [number for number, _ in hollow]
        else:
            self._take(hollow, meant, decimal)

    def _take(self, rows: Sequence[Row], meant: Sequence[int], decimal: str) -> bool:
        """Look at ``rows``; whether more may follow."""
        for number, row in rows:
            self.lines += 1
            if self.lines > MAX_LINES:
                self.more = True
                return False
            if len(row) != self.width:
                self.ragged_count += 1
                self.ragged += [(number, len(row))] if self.ragged_count == 1 else []
                continue
            for index in meant:
                if index < len(row):
                    self._cell(index, number, row[index], decimal)
        return True

    def _cell(self, index: int, line: int, cell: str, decimal: str) -> None:
        cell = cell.strip(BLANKS)
        kind = _kind(cell, decimal)
        if kind:
            kinds = self.columns.setdefault(index, {})
            kinds.setdefault(kind, _Kind(line, cell)).count += 1

    def sentences(self) -> list[str]:
        """A sentence for each column, and one for rows of another width, and for blank ones."""
        found = []
        if self.blank:
            more = f", and {len(self.blank) - 1:,} more" if len(self.blank) > 1 else ""
            found.append(f"line {self.blank[0]} is empty{more}")
        if self.ragged:
            line, cells = self.ragged[0]
            more = f", and {self.ragged_count - 1:,} more lines do not have {self.width} either"
            columns = f"line {line} has {cells} columns, expected {self.width}"
            found.append(columns + (more if self.ragged_count > 1 else ""))
        if self.hollow:
            first, last = self.hollow[0], self.hollow[-1]
            lines = (
                f"line {first}, the last, holds"
                if first == last
                else (f"lines {first} to {last}, the last, hold")
            )
            mark = self.layout.delimiter
            found.append(
                f"{lines} no values: leave {'it' if first == last else 'them'} out, as by: "
                f"grep '[^{mark}\"[:space:]]' FILE > NEW"
            )
        shown = sorted(self.columns)[:MAX_COLUMNS]
        found += [self._column(index, self.columns[index]) for index in shown]
        if len(self.columns) > len(shown):
            found.append(f"... and {len(self.columns) - len(shown):,} more columns")
        return found

    def _column(self, index: int, kinds: dict[str, _Kind]) -> str:
        if len(kinds) == 1:
            ((kind, found),) = kinds.items()
            if found.count == 1:
                reason = _ONE[kind].format(cell=_short(found.cell))
                return f"line {found.line}, column {index + 1}: {reason}"
        parts = [self._part(kind, found) for kind, found in kinds.items()]
        return f"{self.layout.named(index)}: {', '.join(parts)}"

    def _part(self, kind: str, found: _Kind) -> str:
        first = f"line {found.line}" + ("" if kind == EMPTY else f": {_short(found.cell)!r}")
        if found.count == self.lines - self.ragged_count and self.lines > 1:
            return f"{kind} throughout (first in {first})"
        lines = "1 line" if found.count == 1 else f"{found.count:,} lines"
        return f"{kind} in {lines} of {self.lines:,} (first in {first})"

    def advice(self) -> str:
        """The flag that would read it: of its headings, or of the columns that are numbers."""
        kinds = [kind for found in self.columns.values() for kind in found.values()]
        in_line_1 = bool(kinds) and all((kind.line, kind.count) == (1, 1) for kind in kinds)
        if in_line_1 and not (self.ragged or self.blank) and self.lines > 1:
            return "--header yes reads line 1 as headings"
        found = {name for kinds in self.columns.values() for name in kinds}
        if MARKED in found:
            cell = next(k[MARKED].cell for k in self.columns.values() if MARKED in k)
            mark = re.sub(r"[+\-\d]", "", cell)[0]
            return (
                "write numbers without marks between thousands: in a spreadsheet by the format of "
                f"the cells, in Python by pandas.read_csv(…, thousands={mark!r}"
                + (", decimal=',')" if mark == "." else ")")
                + " and to_csv(…, index=False)"
            )
        for kind in (kind for kind in _ADVICE if kind in found):
            cell = next(k[kind].cell for k in self.columns.values() if kind in k)
            return _ADVICE[kind].format(minus=cell[0])
        if SEVERAL in found and self.width == 1:
            if all(kind.cell.split() == kind.cell.split(" ") for kind in kinds):
                return "--delimiter space takes blanks for what stands between columns"
            return (
                "its columns stand apart by several blanks: put a comma between them, as by: "
                "sed -E 's/^ +| +$//g; s/ +/,/g' FILE > NEW"
            )
        bad = [
            index
            for index, kinds in self.columns.items()
            if sum(kind.count for kind in kinds.values()) > (self.lines - self.ragged_count) / 2
        ]
        good = [index + 1 for index in self.layout.meant() if index not in bad]
        return f"--columns {ranges(good)} leaves such columns out" if bad and good else ""


def summary(layout: Layout, width: int | None = None) -> DataError | None:
    """All that is wrong with the numbers of a table whose rows have ``width`` columns in the file,
    those of its first row where it is not given. None where nothing is.
    """
    found = _Found(layout, width or layout.width)
    found.look()
    sentences = found.sentences()
    if not sentences:
        return None
    advice = found.advice()
    if found.more:
        sentences.append(f"(of the first {MAX_LINES:,} lines)")
    path = layout.path
    return DataError(*(f"{path}: {text}" for text in sentences), *([advice] if advice else []))


def _kind(cell: str, decimal: str) -> str:
    """What is wrong with a cell; empty where it is a number."""
    if not cell:
        return EMPTY
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        cell = cell[1:-1].strip()
    if is_number(cell, decimal):
        return "" if abs(float(cell.replace(",", "."))) < FLOAT32_LIMIT else BEYOND
    if _NOT_FINITE.fullmatch(cell):
        return BEYOND
    if has_thousands(cell):
        return MARKED
    if holds_blanks(cell):
        return SEVERAL
    if is_hexadecimal(cell):
        return HEXADECIMAL
    if has_unit(cell):
        return UNIT
    if has_other_minus(cell):
        return MINUS
    if is_in_brackets(cell):
        return BRACKETS
    return NOTHING if is_no_value(cell) else TEXT


def _short(cell: str) -> str:
    return cell if len(cell) <= 40 else f"{cell[:37]}..."


keep_old_names(__name__, "data.faults")
