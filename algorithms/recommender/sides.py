"""What is known of users and items besides: tables of ages and genres as numbers of properties."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from ...core import Array, DataError
from ...core.data import interaction_tables as files
from ...core.data.cells import is_no_value, is_number
from ...core.runtime.faults import MAX_FAULTS

FORMATS = (
    "CSV or TSV, gz or not, with or without a header, Parquet or Excel: a name, and what is known",
)
RANGES = 10  # of a column of numbers
FEW = 20  # different numbers, which stand for themselves
MOST_WORDS = 200  # different ones in a column whose cells hold several
MOST_VALUES = 2000
SEPARATORS = ("|", ";", ",", " ")


@dataclass(frozen=True)
class Sides:
    """``names`` are of users or items, ``table`` (N, F) int32 their properties, numbered from 1 as
    in ``properties``; 0 where there is none. ``note`` says how the columns were read.
    """

    names: Sequence[str]
    table: Array
    properties: Sequence[str]
    note: str

    def digest(self) -> str:
        digest = hashlib.sha256(repr((self.names, self.properties)).encode())
        digest.update(self.table.tobytes())
        return digest.hexdigest()


def read(path: Path, kind: str, column: str = "") -> Sides:
    """The table of users or items (``kind``) at ``path``: a row each, by its name.

    The name is in the ``column`` that is given, or that has a heading for it, or in the first.
    Raises DataError.
    """
    found = files.opened(path, (kind,))
    if found is None:
        raise DataError(f"{path}: holds no {kind}s: expected a row each, with a name and columns")
    header, width = found.header, len(found.first)
    place = files.place_of(path, kind, header, width, column)
    body = list(found.rows())
    faults = [
        f"{path}: line {number}: {len(row)} columns, where the first line has {width}"
        for number, row in body
        if len(row) != width
    ]
    names = [row[place].strip() for _, row in body if len(row) == width]
    again = [name for name, times in Counter(names).items() if times > 1]
    if again:
        faults.append(f"{path}: {kind} {again[0]!r} has {names.count(again[0])} rows, expected one")
    if faults:
        raise DataError(*faults[:MAX_FAULTS])
    lists: list[list[list[int]]] = []
    properties: list[str] = []
    said = []
    for index in range(width):
        if index == place:
            continue
        heading = header[index] if header else f"column {index + 1}"
        cells = [row[index].strip() for _, row in body]
        values, how = _values(cells)
        said.append(f"{heading} ({how})")
        known: dict[str, int] = {}
        for value in sorted({each for some in values for each in some}):
            properties.append(f"{heading}={value}")
            known[value] = len(properties)
        lists.append([[known[value] for value in some] for some in values])
    if not properties:
        raise DataError(
            f"{path}: no column says anything of the {kind}s: {', '.join(said) or 'there is none'}"
        )
    joined = [[each for some in row for each in some] for row in zip(*lists)]
    table = np.zeros((len(names), max(map(len, joined))), np.int32)
    for row, some in zip(table, joined):
        row[: len(some)] = some
    return Sides(names, table, properties, f"{len(names):,} {kind}s: {', '.join(said)}")


def _values(cells: Sequence[str]) -> tuple[list[list[str]], str]:
    """The values of each cell, none for a gap, and how they were read."""
    filled = [cell for cell in cells if not is_no_value(cell)]
    different = set(filled)
    if len(different) > FEW and all(map(is_number, different)):
        edges = np.unique(np.quantile([float(c) for c in filled], np.linspace(0, 1, RANGES + 1)))
        names = [f"{low:g} to {high:g}" for low, high in zip(edges, edges[1:])]
        found = [
            []
            if is_no_value(cell)
            else [names[min(len(names) - 1, int(np.searchsorted(edges[1:], float(cell))))]]
            for cell in cells
        ]
        return found, f"{len(names)} ranges"
    for separator in SEPARATORS:
        if not any(separator in cell for cell in different):
            continue
        words = [
            [word for word in dict.fromkeys(map(str.strip, cell.split(separator))) if word]
            for cell in cells
        ]
        vocabulary = {word for some in words for word in some}
        if len(vocabulary) <= min(MOST_WORDS, len(different)):
            some = [[] if is_no_value(cell) else each for cell, each in zip(cells, words)]
            return some, f"{len(vocabulary)} values, several a cell"
    if 2 * len(different) > len(filled) or len(different) > MOST_VALUES:
        return [[] for _ in cells], f"left out: {len(different):,} different values"
    return [[] if is_no_value(cell) else [cell] for cell in cells], f"{len(different)} values"


def aligned(sides: Sides, names: Sequence[str]) -> tuple[list[str], Array]:
    """``names``, and behind them those that the table has besides; and the properties of each by
    its number from 1, (N + 1, F), row 0 being 0.
    """
    place = {name: number for number, name in enumerate(names, 1)}
    more = [name for name in sides.names if name not in place]
    place.update((name, number) for number, name in enumerate(more, len(names) + 1))
    table = np.zeros((len(place) + 1, sides.table.shape[1]), np.int32)
    table[[place[name] for name in sides.names]] = sides.table
    return [*names, *more], table
