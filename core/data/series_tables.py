"""Series in tables: a row for each value, a column for each series, or a row for each series."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..runtime.errors import DataError
from ..runtime.faults import MAX_FAULTS, quoted
from ..runtime.types import Array
from . import series_columns, sources, stamps, tables
from .cells import is_no_value, number_of
from .interaction_tables import Faults
from .numbers import FLOAT32_LIMIT
from .series import Series
from .series_columns import TOLD, Columns, Roles, roles_of
from .sources import Cells, as_texts
from .survey import plain_numbers

WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


class Values(NamedTuple):
    """Values by series and time: ``series`` (N,) int64 from 0, ``seconds`` (N,) int64, ``target``
    (N,) float64, ``features`` (F, N) float32.
    """

    series: Array
    seconds: Array
    target: Array
    features: Array

    def at(self, places: Array | slice) -> Values:
        """Those at ``places``, indices or which of them."""
        return Values(*(each[..., places] for each in self))


@dataclass(frozen=True)
class TableOfSeries:
    """What a table says of series: their ``names`` and ``categories``, the names of the
    ``features``, and all values in order of series and time.

    Where ``counted``, the seconds are places and no times. ``by_series`` is whether columns tell
    the series; ``unsorted`` values stood before an earlier one. Gaps at the ends of a series are
    none where a table has a cell for each series and time, ``is_wide``. The clock is ``offset``
    seconds before UTC, None where that is not told.
    """

    names: Sequence[str]
    categories: Sequence[tuple[str, ...]]
    features: tuple[str, ...]
    values: Values
    counted: bool
    by_series: bool
    is_wide: bool
    unsorted: int
    notes: tuple[str, ...]
    offset: int | None

    def each(self) -> Iterator[tuple[Series, stamps.Found]]:
        """Each series with the times of its values, which are in no steps yet."""
        order = self.values.series
        bounds = np.flatnonzero(np.append(True, order[1:] != order[:-1])).tolist()
        for begin, end in zip(bounds, [*bounds[1:], len(order)]):
            part = self.values.at(slice(begin, end))
            if self.is_wide:
                known = np.flatnonzero(np.isfinite(part.target))
                part = part.at(slice(known[0], known[-1] + 1) if len(known) else slice(0, 0))
            number = int(order[begin])
            series = Series(
                self.names[number], None, part.target, self.categories[number], part.features
            )
            yield series, stamps.Found(part.seconds, self.counted, "", self.offset)


def read_series_table(
    path: Path,
    columns: Columns = TOLD,
    offset: int | None = None,
) -> TableOfSeries:
    """The series in a table or a folder of tables; times by a clock ``offset`` seconds before UTC,
    where that is given and they tell it. Raises DataError.
    """
    return series_of_table(sources.read_table(path), columns, offset)


def series_of_table(
    table: sources.Table,
    columns: Columns = TOLD,
    offset: int | None = None,
) -> TableOfSeries:
    """The same of a table that is open."""
    roles = roles_of(table, columns)
    reader = _ByRows if roles.is_by_row else _ByColumns
    return reader(table.path, table, roles, offset).read()


@dataclass(frozen=True)
class _Given(sources.Part):
    """Rows that are in memory, all of one width, which begin at line ``first``."""

    rows: Sequence[Sequence[str]] = ()
    first: int = 1

    def blocks(self, chosen: Sequence[int]) -> Iterator[sources.Block]:
        columns = list(zip(*self.rows))
        places = range(self.first, self.first + len(self.rows))
        yield sources.Block([list(columns[i]) for i in chosen], places)


def table_of_rows(rows: Sequence[Sequence[str]], name: str) -> sources.Table:
    """A table called ``name`` of rows that may begin with headings. Raises DataError."""
    width = len(rows[0])
    unlike = [place for place, row in enumerate(rows, 1) if len(row) != width]
    if unlike:
        raise DataError(
            f"line {unlike[0]} has {len(rows[unlike[0] - 1])} columns, expected {width} as in the "
            "first"
        )
    headed = tables.are_names(rows[: tables.HEAD_ROWS]) and len(rows) > 1
    names = tuple(
        cell.strip() if headed and cell.strip() else f"column {place}"
        for place, cell in enumerate(rows[0], 1)
    )
    part = _Given(Path(name), names, headed, rows=rows[headed:], first=1 + headed)
    return sources.Table(Path(name), (part,), tuple(range(width)))


class _Numbers:
    """The numbers of a column that comes block by block, with a point or a comma for decimals; of
    what is the case or not, true and false, where ``may_be_words``.
    """

    def __init__(self, name: str, faults: Faults, may_be_words: bool = False) -> None:
        self.name, self.faults = name, faults
        self.words = WORDS if may_be_words else {}
        self.decimal = "."

    def of(self, cells: Cells, places: Sequence[int], unit: str) -> Array:
        """(N,) float64, NaN for gaps and for faults."""
        if isinstance(cells, np.ndarray):
            return self._finite(np.asarray(cells, np.float64), cells, places, unit)
        found = plain_numbers(cells)
        if found is not None:
            return self._finite(found, cells, places, unit)
        found = self._parsed(cells)
        if found is None and self.decimal == ".":
            self.decimal = ","
            found = self._parsed(cells)
        if found is not None:
            return self._finite(found, cells, places, unit)
        self.decimal = "."
        return self._finite(self._faulty(cells, places, unit), cells, places, unit)

    def _parsed(self, cells: Sequence[str]) -> Array | None:
        """None where a cell is neither a number nor a gap."""
        known: dict[str, float] = {}
        for cell in set(cells):
            number = self.words.get(cell.strip().lower())
            if number is None:
                number = np.nan if is_no_value(cell) else number_of(cell, self.decimal)
            if number is None:
                return None
            known[cell] = number
        return np.fromiter(map(known.__getitem__, cells), np.float64, len(cells))

    def _faulty(self, cells: Sequence[str], places: Sequence[int], unit: str) -> Array:
        found = np.full(len(cells), np.nan)
        for index, cell in enumerate(cells):
            if is_no_value(cell):
                continue
            number = number_of(cell)
            if number is None:
                self.faults.add(
                    f"{unit} {places[index]}", f"{self.name!r}: {quoted(cell)} is no number"
                )
            else:
                found[index] = number
        return found

    def _finite(self, found: Array, cells: Cells, places: Sequence[int], unit: str) -> Array:
        for index in np.flatnonzero(np.abs(found) >= FLOAT32_LIMIT).tolist():
            shown = quoted(str(cells[index]))
            what = f"{self.name!r}: {shown} is not a finite float32"
            self.faults.add(f"{unit} {places[index]}", what)
        return found


@dataclass
class _Keys:
    """A number for each name, blanks around it aside, as it came; of several columns, of the cells
    together.
    """

    names: list[tuple[str, ...]] = field(default_factory=list)
    numbers: dict[tuple[str, ...], int] = field(default_factory=dict)
    _seen: dict[tuple[str, ...], int] = field(default_factory=dict)

    def of(self, columns: Sequence[Sequence[str]]) -> Array:
        """(N,) int64; -1 where a cell is empty."""
        count = len(columns[0])
        return np.fromiter(map(self._number, zip(*columns)), np.int64, count)

    def _number(self, cells: tuple[str, ...]) -> int:
        number = self._seen.get(cells)
        if number is None:
            name = tuple(cell.strip() for cell in cells)
            if not all(name):
                return -1
            number = self._seen[cells] = self.number(name)
        return number

    def number(self, name: tuple[str, ...]) -> int:
        """That of a name."""
        number = self.numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


class _Reader:
    def __init__(self, path: Path, table: sources.Table, roles: Roles, offset: int | None) -> None:
        self.path, self.table, self.roles, self.offset = path, table, roles, offset
        self.names = [name.strip() for name in table.names]
        self.faults = Faults(table.parts[0].path)
        self.keys = _Keys()
        self.series: list[Array] = []
        self.target: list[Array] = []
        self.notes: list[str] = []

    def read(self) -> TableOfSeries:
        raise NotImplementedError

    def keyed(self, columns: Sequence[Cells], places: Sequence[int], unit: str) -> Array:
        """Which series each row is of."""
        found = self.keys.of([as_texts(column) for column in columns])
        for index in np.flatnonzero(found < 0)[:MAX_FAULTS].tolist():
            self.faults.add(f"{unit} {places[index]}", "there is no name of a series")
        return found

    def _needed(self, series: Array, seconds: Array, labels: _Labels) -> Array:
        """The numbers of the series, (N,), without the columns that tell no series: of those that
        are a guess, where each time has one cell, as of a holiday; and those that are not needed to
        tell all series apart.
        """
        roles, names = self.roles, self.keys.names
        moments = np.unique(seconds, return_inverse=True)[1].astype(np.int64)

        def different(places: Sequence[int]) -> int:
            """How many times there are of all series that these columns tell apart."""
            told = [tuple(name[place] for place in places) for name in names]
            numbers = {each: number for number, each in enumerate(dict.fromkeys(told))}
            owner = np.array([numbers[each] for each in told], np.int64)
            return len(np.unique(moments * len(names) + owner[series]))

        every, wrong = range(len(roles.series)), []
        if roles.is_guess:
            count = len(np.unique(moments))
            wrong = [place for place in every if different([place]) == count]
        elif roles.extra:
            first = [place for place in every if roles.series[place] not in roles.extra]
            if different(first) == different(every):
                wrong = [place for place in every if place not in first]
        if not wrong:
            return series
        self.roles = roles.without([roles.series[place] for place in wrong])
        left = _Keys()
        kept = [tuple(c for i, c in enumerate(name) if i not in wrong) for name in names]
        numbers = np.array([left.number(name) for name in kept], np.int64)
        self.keys = left
        labels.renumber(numbers.tolist())
        return numbers[series]

    def done(
        self, values: Values, counted: bool, names: Sequence[str],
        categories: Sequence[tuple[str, ...]], is_wide: bool,
    ) -> TableOfSeries:  # fmt: skip
        """In order of series and time; what was added last stands last of what is of one time."""
        series, seconds = values.series, values.seconds
        same = series[1:] == series[:-1]
        unsorted = int((same & (seconds[1:] < seconds[:-1])).sum())
        if unsorted or (series[1:] < series[:-1]).any():
            values = values.at(np.lexsort((seconds, series)))
        features = tuple(self.names[i] for i in self.roles.features)
        series_columns.keep(self.table, self.roles)
        self.notes.insert(0, series_columns.described(self.table, self.roles))
        return TableOfSeries(
            names, categories, features, values, counted, bool(self.roles.series), is_wide,
            unsorted, tuple(filter(None, self.notes)), self.offset,
        )  # fmt: skip


class _ByColumns(_Reader):
    """A row for each time, of one series or, with a column of values for each, of several."""

    def read(self) -> TableOfSeries:
        roles = self.roles
        wanted = [*roles.series, *roles.time, *roles.values, *roles.features, *roles.categories]
        ends = np.cumsum([len(roles.series), len(roles.time), len(roles.values),
                          len(roles.features)]).tolist()  # fmt: skip
        column = stamps.Stamps()
        numbers = [
            _Numbers(self.names[i], self.faults, i in roles.features)
            for i in wanted[ends[1] : ends[3]]
        ]
        told = () if roles.categories == roles.series else roles.categories
        labels = _Labels([self.names[i] for i in told])
        features: list[Array] = []
        for part, block in self.table.blocks(wanted):
            cells, unit = block.columns, part.unit
            self.faults.path = part.path
            count = len(block.places)
            key = np.zeros(count, np.int64)
            if roles.series:
                key = self.keyed(cells[: ends[0]], block.places, unit)
            self.series.append(key)
            if roles.time:
                column.add(_joined(cells[ends[0] : ends[1]]), block.places)
            found = [
                each.of(column_cells, block.places, unit)
                for each, column_cells in zip(numbers, cells[ends[1] : ends[3]])
            ]
            self.target.append(np.stack(found[: len(roles.values)]))
            features.append(np.array(found[len(roles.values) :], np.float32).reshape(-1, count))
            labels.add(key, cells[ends[3] :])
        name = " and ".join(repr(self.names[i]) for i in roles.time)
        for place, cell in column.faults:
            what = f"{quoted(cell)} is no time: expected {stamps.EXPECTED}" if cell else "is empty"
            self.faults.add(f"{self.table.unit} {place}", f"{name} {what}")
        self.faults.count += column.faulty - len(column.faults)
        self.faults.refuse()
        return self._together(column, np.concatenate(features, axis=1), labels)

    def _together(self, column: stamps.Stamps, features: Array, labels: _Labels) -> TableOfSeries:
        series = np.concatenate(self.series)
        try:
            times = column.found(self.offset) if self.roles.time else _in_order(series)
        except ValueError as error:
            raise DataError(f"{self.path}: {error}") from None
        self.notes.append(times.note)
        self.offset = times.offset
        series = self._needed(series, times.seconds, labels)
        target = np.concatenate(self.target, axis=1)
        width = len(target)
        keys = self.keys.names or [()]
        roles = self.roles
        by_series = roles.categories == roles.series
        categories = keys if by_series else labels.of(len(keys), keys, self.path)
        names = ["/".join(key) for key in keys]
        if width == 1:
            values = Values(series, times.seconds, target[0], features)
            if not roles.series:
                names = [self.names[self.roles.values[0]]]
            return self.done(values, times.counted, names, categories, False)
        headings = [self.names[i] for i in self.roles.values]
        values = Values(
            (np.arange(width)[:, None] + width * series).ravel(),
            np.tile(times.seconds, width),
            target.ravel(),
            np.tile(features, width),
        )
        every = [f"{name}/{heading}" if name else heading for name in names for heading in headings]
        repeated = [each for each in categories for _ in headings]
        return self.done(values, times.counted, every, repeated, True)


class _ByRows(_Reader):
    """A row for each series."""

    def read(self) -> TableOfSeries:
        roles = self.roles
        wanted = [*roles.series, *roles.values, *roles.categories]
        begin, end = len(roles.series), len(roles.series) + len(roles.values)
        numbers = [_Numbers(self.names[i], self.faults) for i in roles.values]
        labels = _Labels([self.names[i] for i in roles.categories])
        done = 0
        for part, block in self.table.blocks(wanted):
            count, self.faults.path = len(block.places), part.path
            if roles.series:
                key = self.keyed(block.columns[:begin], block.places, part.unit)
            else:
                key = self.keys.of([[f"row {done + i + 1}" for i in range(count)]])
            done += count
            self.series.append(key)
            labels.add(key, block.columns[end:])
            found = [
                each.of(cells, block.places, part.unit)
                for each, cells in zip(numbers, block.columns[begin:end])
            ]
            self.target.append(np.stack(found, axis=1))
        self.faults.refuse()
        series = np.concatenate(self.series)
        series = self._needed(series, np.zeros(len(series), np.int64), labels)
        if len(np.unique(series)) < len(series):
            twice = int(np.argmax(np.bincount(series) > 1))
            raise DataError(
                f"{self.path}: several rows are of the series "
                f"{quoted('/'.join(self.keys.names[twice]))}: --series-column names what tells "
                "them apart"
            )
        seconds, counted = self._times()
        target = np.concatenate(self.target)
        width = target.shape[1]
        values = Values(
            np.repeat(series, width), np.tile(seconds, len(target)), target.ravel(),
            np.zeros((0, target.size), np.float32),
        )  # fmt: skip
        names = ["/".join(key) for key in self.keys.names]
        categories = labels.of(len(names), self.keys.names, self.path)
        return self.done(values, counted, names, categories, True)

    def _times(self) -> tuple[Array, bool]:
        """Those that the headings say, or their order."""
        headings = [self.names[i] for i in self.roles.values]
        if stamps.stamp(headings[0]) is None:
            return np.arange(len(headings)), True
        column = stamps.Stamps()
        column.add(headings, range(1, 1 + len(headings)))
        try:
            found = column.found(self.offset)
        except ValueError as error:
            raise DataError(f"{self.path}: its headings: {error}") from None
        self.notes.append(found.note)
        self.offset = found.offset
        return found.seconds, found.counted


class _Labels:
    """The categories of series: of each the cells of its first row, which all others have too."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.first: dict[int, tuple[str, ...]] = {}
        self.unlike: tuple[int, tuple[str, ...]] | None = None

    def add(self, series: Array, columns: Sequence[Cells]) -> None:
        if not self.names or self.unlike:
            return
        for number, *cells in set(zip(series.tolist(), *map(as_texts, columns))):
            found = tuple(cell.strip() for cell in cells)
            if self.first.setdefault(number, found) != found:
                self.unlike = (number, found)
                return

    def renumber(self, numbers: Sequence[int]) -> None:
        """Where several series are one: ``numbers`` has the new number of each."""
        first, self.first = self.first, {}
        for old, found in first.items():
            if self.first.setdefault(numbers[old], found) != found and not self.unlike:
                self.unlike = (numbers[old], found)

    def of(
        self, count: int, keys: Sequence[tuple[str, ...]], path: Path
    ) -> Sequence[tuple[str, ...]]:
        """Of each of ``count`` series. Raises DataError where one has several."""
        if self.unlike:
            number, found = self.unlike
            name = quoted("/".join(keys[number])) if keys[number] else "it"
            raise DataError(
                f"{path}: --category-columns: {', '.join(self.names)} are to be the same in all "
                f"of a series, but {name} has {', '.join(found)} and "
                f"{', '.join(self.first[number])}"
            )
        return [self.first.get(number, ()) for number in range(count)]


def _in_order(series: Array) -> stamps.Found:
    """The place of each value in its series, (N,)."""
    order = np.argsort(series, kind="stable")
    places = np.empty(len(series), np.int64)
    counts = np.bincount(series)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    places[order] = np.arange(len(series)) - first
    return stamps.Found(places, True, "")


def _joined(columns: Sequence[Cells]) -> Cells:
    """A column of times; of a date and a clock or an hour, both together."""
    if len(columns) == 1:
        return columns[0]
    dates, clocks = map(as_texts, columns)
    return [
        f"{date.strip()} {clock.strip() if ':' in clock else clock.strip() + ':00'}"
        for date, clock in zip(dates, clocks)
    ]
