"""Which columns of a table say what of series: whose a value is, when it was, and how much."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Collection, NamedTuple, Sequence

import numpy as np

from ..runtime.errors import DataError
from ..runtime.faults import either
from . import reading, stamps
from .cells import is_no_value, number_of
from .reading import places
from .sources import Cells, Table, as_texts
from .survey import plain_numbers

# By these headings columns are known, the likeliest first.
TIMES = (
    "time", "timestamp", "datetime", "date", "date_time", "ds", "day", "month", "week", "year",
    "period", "quarter", "hour", "time_idx", "utc_timestamp", "date time", "order_date", "t", "idx",
)  # fmt: skip
VALUES = (
    "value", "values", "target", "y", "sales", "demand", "quantity", "qty", "amount", "count",
    "cnt", "visits", "views", "load", "price", "close", "units", "units_sold", "unit_sales",
    "item_cnt_day", "volume", "revenue", "passengers", "consumption", "total",
)  # fmt: skip
NAMES = (
    "unique_id", "item_id", "series_id", "series", "series_name", "ts_id", "timeseries_id", "id",
    "name", "key",
)  # fmt: skip
PARTS = (
    "store", "store_id", "store_nbr", "shop", "shop_id", "item", "item_nbr", "product",
    "product_id", "sku", "stockcode", "article", "dept", "dept_id", "department", "family",
    "category", "brand", "country", "region", "state", "state_id", "city", "location",
    "location_id", "site", "station", "station_id", "sensor", "sensor_id", "meter", "meter_id",
    "building", "building_id", "household", "machine", "machine_id", "device", "device_id",
    "warehouse", "channel", "customer", "customer_id", "symbol", "ticker", "page",
)  # fmt: skip
CLOCKS = ("time", "hour", "hr", "clock", "time_of_day", "hour_of_day")
TIME, NUMBER, WORD, CLOCK, EMPTY = "time", "number", "word", "clock", "empty"
LOOKED_AT, MANY, FEW = 200, 100, 20  # rows; of many columns, fewer of each
FEWEST = 3  # columns of values, in a table with a row for each series
_NUMBERED = re.compile(r"\s*([A-Za-z_.]*)\s*(\d{1,7})\s*")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?(\s?[ap]m)?", re.IGNORECASE)


class Columns(NamedTuple):
    """What the user decides: columns by their headings or their numbers from 1; empty: told by the
    table. ``value`` may be several, each of which is a series.
    """

    series: str = ""
    time: str = ""
    value: str = ""
    category: str = ""
    feature: str = ""


TOLD = Columns()  # by the table


@dataclass(frozen=True)
class Roles:
    """Which columns say what, by their indices. ``series`` may be several; ``time`` too, a date and
    a clock, and where there is none the order of rows counts; of several ``values`` each is a
    series. Where ``is_by_row``, each row is a series, and the headings say when, or the order does.

    That columns of words tell the series ``is_guess``, which all values show to be one or not; the
    columns ``extra`` tell it only where those before them do not tell all series apart.
    """

    series: tuple[int, ...]
    time: tuple[int, ...]
    values: tuple[int, ...]
    categories: tuple[int, ...]
    features: tuple[int, ...]
    is_by_row: bool = False
    is_guess: bool = False
    extra: tuple[int, ...] = ()

    def without(self, places: Collection[int]) -> Roles:
        """Where these columns tell no series."""
        series = tuple(i for i in self.series if i not in places)
        categories = tuple(i for i in self.categories if i not in places)
        return replace(self, series=series, categories=categories if len(series) > 1 else ())


def roles_of(table: Table, columns: Columns) -> Roles:
    """What the columns of ``table`` say. Raises DataError, with the flag that decides."""
    return _Finder(table, columns).found()


def keep(table: Table, roles: Roles) -> None:
    """From now on, ``roles`` are those of tables with the same headings."""
    if roles.is_by_row or not table.has_names or reading.headings() is not None:
        return
    kinds = (roles.series, roles.time, roles.values, roles.categories, roles.features)
    pairs = [(i, kind) for kind, found in zip(Columns._fields, kinds) for i in found]
    reading.keep(
        reading.Headings(
            columns=tuple(table.names[i].strip() for i, _ in pairs),
            kinds=tuple(kind for _, kind in pairs),
        )
    )


def described(table: Table, roles: Roles) -> str:
    """What the columns are taken for, in a sentence."""

    def named(found: Sequence[int]) -> str:
        shown = [repr(table.names[i].strip()) for i in found[:4]]
        if len(found) > 4:
            shown.append(f"{len(found) - 4:,} more")
        return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))

    if roles.is_by_row:
        ends = [repr(table.names[i].strip()) for i in (roles.values[0], roles.values[-1])]
        note = f"each row is a series, {' to '.join(ends)} are its {len(roles.values):,} steps"
        return f"{note}, {named(roles.series)} its name" if roles.series else note
    parts = [f"{named(roles.time)} {'is' if len(roles.time) == 1 else 'are'} the time"]
    if not roles.time:
        parts = ["there are no times, but rows in their order"]
    if len(roles.values) > 1:
        parts.append(f"{named(roles.values)} are a series each")
    else:
        parts.append(f"{named(roles.values)} is the value")
    if roles.series:
        one = "tells" if len(roles.series) == 1 else "tell"
        parts.insert(0, f"{named(roles.series)} {one} the series")
    used = {*roles.series, *roles.time, *roles.values, *roles.categories, *roles.features}
    left = [i for i in range(len(table.names)) if i not in used]
    if left:
        more = f"{named(left)} {'is' if len(left) == 1 else 'are'} not read"
        parts.append(f"{more} (--feature-columns takes numbers that are known beforehand)")
    return ", ".join(parts)


class _Finder:
    """Looks at the headings and the first rows of a table."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self.table = table
        self.path = table.parts[0].path
        self.names = [name.strip() for name in table.names]
        self.lower = [name.lower() for name in self.names]
        self.decided = {
            kind: self._decided(kind, text) for kind, text in columns._asdict().items() if text
        } or self._known()
        block = next((block for _, block in table.blocks()), None)
        self.cells: list[Cells] = [] if block is None else [c[:LOOKED_AT] for c in block.columns]
        looked_at = LOOKED_AT if len(self.names) < MANY else FEW
        self.kinds = [kind_of(cells[:looked_at]) for cells in self.cells]
        self.taken = {
            place for kind, found in self.decided.items() if kind != "category" for place in found
        }

    def _decided(self, kind: str, text: str) -> tuple[int, ...]:
        header = self.table.names if self.table.has_names else ()
        flag = f"--{kind}-column{'s' if kind in ('category', 'feature') else ''}"
        return tuple(places(text, len(self.names), header, str(self.path), flag))

    def _known(self) -> dict[str, tuple[int, ...]]:
        """Those of the training, where the table has them all but for categories."""
        known = reading.headings()
        if known is None or not known.kinds or not self.table.has_names:
            return {}
        found: dict[str, tuple[int, ...]] = {"series": ()}
        for name, kind in zip(known.columns, known.kinds):
            if reading.key_of(name) in self.lower:
                at = self.lower.index(reading.key_of(name))
                found[kind] = (*found.get(kind, ()), at)
            elif kind != "category":
                return {}
        return found

    def found(self) -> Roles:
        time = self.decided.get("time") or self._time()
        if not time and self._is_by_row():
            return self._by_row()
        if not time and not set(self.kinds) <= {NUMBER, EMPTY}:
            raise DataError(
                f"{self.path}: no column of times is found among {self._listed()}: --time-column "
                "names it" + self._header_advice()
            )
        self.taken.update(time)
        if time and "time" not in self.decided:
            time = self._with_clock(time)
        value = self.decided.get("value") or self._by_heading(VALUES, (NUMBER,))
        value = value or self._by_heading(VALUES[:4], (WORD,))  # all of whose faults are told
        self.taken.update(value)
        self.taken.update(self.decided.get("category", ()))
        series, is_guess = self.decided.get("series"), False
        extra: tuple[int, ...] = ()
        if series is None:
            series, is_guess = self._series(bool(value))
            extra = self._parts(series)
            series = (*series, *extra) or self.decided.get("category", ())
        self.taken.update(series)
        value = value or self._values(series)
        self._check_numbers(value, time)
        categories = self.decided.get("category", series if len(series) > 1 else ())
        features = self.decided.get("feature", ())
        return Roles(series, time, value, categories, features, False, is_guess, extra)

    def _listed(self) -> str:
        shown = ", ".join(map(repr, self.names[:10]))
        return shown + (f" and {len(self.names) - 10:,} more" if len(self.names) > 10 else "")

    def _header_advice(self) -> str:
        return (
            "; --header no, if the first line holds no headings" if self.table.has_names
            else "; --header yes, if the first line holds headings"
        )  # fmt: skip

    def _free(self, *kinds: str) -> list[int]:
        """Columns of which nothing is known yet, of these kinds."""
        return [i for i, kind in enumerate(self.kinds) if kind in kinds and i not in self.taken]

    def _by_heading(self, names: Sequence[str], kinds: Collection[str]) -> tuple[int, ...]:
        if not self.table.has_names:
            return ()
        found = [i for i in self._free(*kinds) if self.lower[i] in names]
        return (min(found, key=lambda i: names.index(self.lower[i])),) if found else ()

    def _time(self) -> tuple[int, ...]:
        """The likeliest by its heading, or the first that holds times."""
        named = self._by_heading(TIMES, (TIME,)) or tuple(self._free(TIME)[:1])
        if named:
            return named
        if self._is_by_row():
            return ()
        return self._by_heading(TIMES, (NUMBER,))

    def _with_clock(self, time: tuple[int, ...]) -> tuple[int, ...]:
        """With the column of the time of day, where the date stands alone."""
        if any(":" in cell for cell in as_texts(self.cells[time[0]])):
            return time
        clock = self._free(CLOCK) or list(self._by_heading(CLOCKS, (NUMBER,)))
        if not clock or (not self.table.has_names and self.kinds[clock[0]] != CLOCK):
            return time
        self.taken.add(clock[0])
        return (*time, clock[0])

    def _series(self, has_value: bool) -> tuple[tuple[int, ...], bool]:
        """The columns that tell the series, and whether that is a guess."""
        kinds = (WORD, NUMBER, CLOCK, TIME)
        named = self._by_heading(NAMES, kinds) or self._parts(())
        if named:
            return named, False
        words = tuple(self._free(WORD))
        if words:
            return words, True
        numbers = self._free(NUMBER)
        if not has_value and len(numbers) == 2 and not self.table.has_names:
            return ((numbers[0],) if self._has_repeated_times() else ()), False
        return (), False

    def _parts(self, named: tuple[int, ...]) -> tuple[int, ...]:
        """Columns that tell series together, by their headings; none beside those."""
        if not self.table.has_names or (named and self.lower[named[0]] not in NAMES):
            return ()
        kinds = (WORD, NUMBER, CLOCK, TIME)
        free = [i for i in self._free(*kinds) if i not in named]
        return tuple(i for i in free if self.lower[i] in (*PARTS, "item_id"))

    def _has_repeated_times(self) -> bool:
        cells = [c for i in self._free(TIME) or self.taken for c in as_texts(self.cells[i])]
        return len(set(cells)) < len(cells)

    def _values(self, series: tuple[int, ...]) -> tuple[int, ...]:
        """The one column of numbers that is left, or each as a series of its own."""
        numbers = tuple(self._free(NUMBER))
        if len(numbers) == 1 or (numbers and not series):
            return numbers
        if not numbers:
            raise DataError(
                f"{self.path}: no column of numbers is found among {self._listed()}: "
                "--value-column names it" + self._header_advice()
            )
        raise DataError(
            f"{self.path}: several columns hold numbers, "
            f"{either([repr(self.names[i]) for i in numbers[:10]])}: --value-column names that of "
            "the values; --feature-columns those of what is known of each step besides"
        )

    def _check_numbers(self, value: tuple[int, ...], time: tuple[int, ...]) -> None:
        twice = set(value) & set(time)
        if twice:
            raise DataError(
                f"{self.path}: {self.names[min(twice)]!r} is the column of times and of values"
            )

    def _is_by_row(self) -> bool:
        return len(self._of_rows()) >= FEWEST

    def _of_rows(self) -> tuple[int, ...]:
        """The columns of values in a table with a row for each series: their headings are times, or
        are numbered.
        """
        if not self.table.has_names or {"time", "value"} & self.decided.keys():
            return ()
        free = [i for i in self._free(NUMBER, EMPTY) if self.lower[i] not in (*NAMES, *PARTS)]
        dated = tuple(i for i in free if stamps.stamp(self.names[i]) is not None)
        if len(dated) >= FEWEST:
            return dated
        found = {i: _NUMBERED.fullmatch(self.names[i]) for i in free}
        marks = {match[1] for match in found.values() if match}
        if len(marks) != 1:
            return ()
        numbers = {i: int(match[2]) for i, match in found.items() if match}
        if not numbers or len(numbers) < len(free) - 1:
            return ()
        low = min(numbers.values())
        counted = list(numbers.values()) == list(range(low, low + len(numbers)))
        return tuple(numbers) if counted else ()

    def _by_row(self) -> Roles:
        values = self._of_rows()
        self.taken.update(values)
        series = self.decided.get("series") or self._by_heading(NAMES, (WORD, NUMBER))
        series = series or tuple(self._free(WORD))
        extra = () if "series" in self.decided else self._parts(series)
        series = (*series, *extra)
        categories = self.decided.get("category", ())
        return Roles(series, (), values, categories, (), True, extra=extra)


def kind_of(cells: Cells) -> str:
    """What the cells of a column are."""
    numbers = cells if isinstance(cells, np.ndarray) else plain_numbers(cells)
    if numbers is not None:
        return EMPTY if np.isnan(numbers).all() else NUMBER
    filled = [cell.strip() for cell in cells if not is_no_value(cell)]
    if not filled:
        return EMPTY
    for kind, least, is_so in _KINDS:
        if sum(map(is_so, filled)) >= least * len(filled):
            return kind
    return WORD


def _is_number(cell: str) -> bool:
    return number_of(cell) is not None or number_of(cell, ",") is not None


def _is_clock(cell: str) -> bool:
    return _CLOCK.fullmatch(cell) is not None


def _is_time(cell: str) -> bool:
    return stamps.stamp(cell) is not None


# What a column holds, and what part of its cells at least: those that are none are faults.
_KINDS = ((NUMBER, 0.9, _is_number), (CLOCK, 0.9, _is_clock), (TIME, 0.5, _is_time))
