"""Cells of a table's columns as numbers: standardized, codes of categories, parts of times.

What a cell becomes depends on its column alone, as training found it.
"""

from __future__ import annotations

import math
from typing import Dict, NamedTuple, Sequence

import numpy as np

from ..runtime.faults import quoted
from ..runtime.types import Array
from . import times
from .cells import is_no_value, number_of
from .columns import (
    CATEGORY,
    CLOCK,
    MAX_CATEGORIES,
    TIME,
    WEEKDAY,
    Column,
    Feature,
    key_of,
)  # fmt: skip
from .numbers import FLOAT32_LIMIT
from .sources import Cells, as_texts
from .survey import plain_numbers

MAX_KEPT = 100  # characters of a cell whose code is kept


class _Codes(Dict[str, int]):
    """Codes of a column's categories by cell, -1 for one that is not among them; kept as found."""

    def __init__(self, column: Column) -> None:
        super().__init__((word, code) for code, word in enumerate(column.categories, 1))
        self.alike: dict[str, int] = {}
        twice: set[str] = set()
        for word, code in list(self.items()):
            key = key_of(word)
            twice.update({key} if key in self.alike else ())
            self.alike[key] = code
        for key in twice:
            del self.alike[key]

    def __missing__(self, cell: str) -> int:
        word = cell.strip()
        code = 0
        if not is_no_value(word):
            code = dict.get(self, word, 0) or self.alike.get(key_of(word), -1)
        if len(self) < 2 * MAX_CATEGORIES and len(cell) < MAX_KEPT:
            self[cell] = code
        return code


class Wrong(NamedTuple):
    """A cell that cannot be encoded: its row in the block, its column, and why."""

    row: int
    column: Column
    reason: str


class Encoder:
    """Makes blocks (B, D) float32 of cells, by what was found in training."""

    def __init__(self, features: Sequence[Column], encoded: Sequence[Feature]) -> None:
        self.features, self.encoded = features, encoded
        self.codes = {c.name: _Codes(c) for c in self.features if c.kind == CATEGORY}
        self.unseen: dict[str, int] = {}
        self.first_unseen: dict[str, str] = {}

    def block(self, columns: Sequence[Cells]) -> tuple[Array, list[Wrong]]:
        """The cells of the features, column by column, encoded; and what is wrong with them."""
        rows = len(columns[0])
        block = np.empty((rows, len(self.encoded)), np.float32)
        wrong: list[Wrong] = []
        place = 0
        for column, cells in zip(self.features, columns):
            if column.kind == CATEGORY:
                block[:, place] = self._category(column, cells)
                place += 1
                continue
            if column.kind == TIME:
                values = moments(column, cells, wrong)
            else:
                values = numbers(column, cells, wrong)
            block[:, place] = standardized(column, values, wrong)
            place += 1
            for part in column.parts:
                block[:, place] = part_of(values, part)
                place += 1
        return block, wrong

    def _category(self, column: Column, cells: Cells) -> Array:
        words = as_texts(cells)
        known = self.codes[column.name]
        codes = np.fromiter(map(known.__getitem__, words), np.int64, len(words))
        unseen = codes < 0
        count = int(unseen.sum())
        if count:
            self.unseen[column.name] = self.unseen.get(column.name, 0) + count
            self.first_unseen.setdefault(column.name, words[int(np.argmax(unseen))].strip())
            codes[unseen] = column.size - 1 if column.has_other else 0
        return codes


def numbers(column: Column, cells: Cells, wrong: list[Wrong]) -> Array:
    """The numbers (B,) float64 in ``cells``, NaN for gaps; what is none goes to ``wrong``."""
    if isinstance(cells, np.ndarray):
        return cells.astype(np.float64)
    values = plain_numbers(cells) if column.decimal == "." else None
    if values is None:
        found = {cell: _number(cell, column) for cell in set(cells)}
        values = np.fromiter(map(found.__getitem__, cells), np.float64, len(cells))
        if any(map(math.isinf, found.values())):
            bad = np.flatnonzero(np.isinf(values)).tolist()
            wrong += [Wrong(i, column, _why_no_number(cells[i])) for i in bad]
            values[bad] = math.nan
    return values


def _number(cell: str, column: Column) -> float:
    """NaN for a gap, infinite for what is no finite number."""
    if is_no_value(cell):
        return math.nan
    number = number_of(cell, column.decimal)
    if number is None:
        return math.nan if column.words_are_gaps else math.inf
    return number


def _why_no_number(cell: str) -> str:
    if number_of(cell) is not None:
        return f"{quoted(cell)} is not a finite float32"
    return f"{quoted(cell)} is not a number"


def moments(column: Column, cells: Cells, wrong: list[Wrong]) -> Array:
    """The days since 1970 (B,) float64 in ``cells``, NaN for gaps."""
    words = as_texts(cells)
    found: dict[str, float] = {}
    for cell in set(words):
        moment = times.moment(cell, column.order)
        found[cell] = moment.days if moment else math.nan if is_no_value(cell) else math.inf
    values = np.fromiter(map(found.__getitem__, words), np.float64, len(words))
    bad = np.flatnonzero(np.isinf(values)).tolist()
    wrong += [Wrong(i, column, f"{quoted(words[i])} is not a date or time") for i in bad]
    values[bad] = math.nan
    return values


def standardized(column: Column, values: Array, wrong: list[Wrong]) -> Array:
    """``values`` (B,) float64 less the centre, in scales; what is beyond float32 is ``wrong``."""
    with np.errstate(over="ignore"):
        found: Array = (values - column.centre) / column.scale
    beyond = np.flatnonzero((np.abs(found) >= FLOAT32_LIMIT) | (np.abs(values) >= FLOAT32_LIMIT))
    for row in beyond.tolist():
        wrong.append(Wrong(row, column, f"{values[row]:g} is not a finite float32"))
    found[beyond] = math.nan
    return found


def part_of(values: Array, part: str) -> Array:
    """The month (1 to 12) or weekday (1 to 7) of days since 1970, 0 for a gap; or the time of day
    from -1 to 1, NaN for a gap.
    """
    if part == CLOCK:
        clock: Array = 2 * (values - np.floor(values)) - 1
        return clock
    codes: Array = np.zeros(len(values), np.float64)
    filled = np.flatnonzero(~np.isnan(values))
    days = np.floor(values[filled]).astype(np.int64)
    if part == WEEKDAY:
        codes[filled] = (days + 3) % 7 + 1
    else:
        codes[filled] = (
            days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
        )
    return codes
