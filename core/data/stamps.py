"""A column of times, in whichever form people write them, as seconds since 1970.

The seconds are those that the clock showed, of which the calendar is told: where times tell how far
their clock is from UTC, all are told by one such clock, so that a step is as long everywhere.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from typing import Dict, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ..runtime import bounds
from ..runtime.types import Array
from . import times
from .cells import is_no_value
from .numbers import SOME
from .sources import Cells
from .survey import plain_numbers

DAY = 86_400
NO_TIME = np.iinfo(np.int64).min
EXPECTED = (
    "a time such as 2024-05-31 14:00, 31.5.2024, 2024-05, 2024Q2, 2024-W22, 2024 or 1717164000"
)
MOST_KEPT = 2**18  # cells whose time is kept
_MONTH_NAME = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_PERIODS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        r"(?P<y>\d{4})[-/. ](?P<m>\d{1,2})",
        r"(?P<y>\d{4})-?m(?P<m>\d{1,2})",
        r"(?P<m>\d{1,2})[-/.](?P<y>\d{4})",
        rf"{_MONTH_NAME}[-/., ]*(?P<y>\d{{4}}|\d{{2}})",
        rf"(?P<y>\d{{4}})[-/., ]*{_MONTH_NAME}",
        r"(?P<y>\d{4})[-/ ]?q(?P<q>[1-4])",
        r"q(?P<q>[1-4])[-/ ]?(?P<y>\d{4})",
        r"(?P<y>\d{4})-?w(?P<w>\d{2})(?:-?(?P<day>[1-7]))?",
        r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?:[t ]?(?P<hour>\d{2}):?(?P<minute>\d{2})"
        r"(?::?(?P<second>\d{2}))?)?",
    )
)
_ZONE = re.compile(
    r"(?<=\d)\s?(?:z|utc|gmt|(?P<zone>[+-]\d{2}):?(?P<zoned>\d{2})?)$", re.IGNORECASE
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")
_ISO = re.compile(r"\d{4}-\d\d(?:-\d\d(?:[ T]\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?)?)?")
_ISO_SIGNS = b"0123456789-: T."
# What a number tells of a time, by the span in which all of a column lie.
_YEARS, _MONTHS_OF_YEARS, _DATES = (1500, 2300), (150_001, 230_012), (15_000_101, 23_001_231)
_EPOCHS = (
    (1e8, 5e9, 1.0, "seconds"),
    (1e11, 5e12, 1e3, "milliseconds"),
    (1e14, 5e15, 1e6, "microseconds"),
    (1e17, 5e18, 1e9, "nanoseconds"),
)


class Stamp(NamedTuple):
    """Seconds by the clock, where the day comes first and where the month does; and how many
    seconds the clock is before UTC, None where that is not told.
    """

    day_first: int
    month_first: int
    offset: int | None = None


class Fault(NamedTuple):
    """A cell that is no time, and where it stands."""

    place: int
    cell: str


class Found(NamedTuple):
    """The times of a column: ``seconds`` (N,) int64. Where they are ``counted`` they are places, 1,
    2, 3, and no times; ``note`` says what was assumed. The clock is ``offset`` seconds before UTC,
    None where that is not told.
    """

    seconds: Array
    counted: bool
    note: str
    offset: int | None = None


def stamp(cell: str) -> Stamp | None:
    """The time that a cell writes; None where it is none."""
    cell = cell.strip()
    for form in _PERIODS:
        found = form.fullmatch(cell)
        if found:
            seconds = _of_period(found.groupdict())
            return None if seconds is None else Stamp(seconds, seconds)
    offset = None
    zone = _ZONE.search(cell) if ":" in cell else None
    if zone:
        away = 60 * int((zone["zone"] or "0")[1:] or 0) + int(zone["zoned"] or 0)
        offset = -60 * away if (zone["zone"] or "+")[0] == "-" else 60 * away
        cell = cell[: zone.start()]
    first = times.moment(cell, times.DMY)
    if first is None or not first.has_date:
        return _of_order(cell, offset)
    other = times.moment(cell, times.MDY)
    return Stamp(_seconds(first.days), NO_TIME if other is None else _seconds(other.days), offset)


def _of_order(cell: str, offset: int | None) -> Stamp | None:
    """Of a date that is one by an order alone, as 12/31/2024."""
    found = times.moment(cell)
    if found is None or not found.has_date:
        return None
    seconds = _seconds(found.days)
    is_mdy = found.orders == (times.MDY,)
    return Stamp(NO_TIME, seconds, offset) if is_mdy else Stamp(seconds, NO_TIME, offset)


def _seconds(days: float) -> int:
    return round(days * DAY)


def _of_period(parts: Mapping[str, str | None]) -> int | None:
    year = int(parts["y"] or 0)
    if len(parts["y"] or "") == 2:
        year += 1900 if year >= 70 else 2000
    try:
        if parts.get("w"):
            monday = datetime.date(year, 1, 4) - datetime.timedelta(
                days=datetime.date(year, 1, 4).weekday()
            )
            more = 7 * (int(parts["w"] or 0) - 1) + int(parts["day"] or 1) - 1
            if not 1 <= int(parts["w"] or 0) <= 53:
                return None
            return _of_date(monday + datetime.timedelta(days=more))
        month = int(parts.get("m") or 0)
        if parts.get("name"):
            month = times._MONTHS.index((parts["name"] or "").lower()) + 1
        if parts.get("q"):
            month = 3 * int(parts["q"] or 0) - 2
        clock = [int(parts.get(name) or 0) for name in ("hour", "minute", "second")]
        if clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
            return None
        day = _of_date(datetime.date(year, month, int(parts.get("d") or 1)))
    except ValueError:
        return None
    return day + 3600 * clock[0] + 60 * clock[1] + clock[2]


def _of_date(date: datetime.date) -> int:
    return (date.toordinal() - datetime.date(1970, 1, 1).toordinal()) * DAY


class _Known(Dict[str, Optional[Stamp]]):
    """The time of each cell; of the last ones many are kept."""

    def __missing__(self, cell: str) -> Stamp | None:
        found = stamp(cell)
        if len(self) < MOST_KEPT:
            self[cell] = found
        return found


class _Clocks(Dict[str, int]):
    """The seconds of each time of day that is written so, NO_TIME for any other cell."""

    def __missing__(self, cell: str) -> int:
        found = times.moment(cell) if _CLOCK.fullmatch(cell) else None
        seconds = NO_TIME if found is None else _seconds(found.days)
        if len(self) < MOST_KEPT:
            self[cell] = seconds
        return seconds


@dataclass
class Stamps:
    """A column of times that comes block by block; ``faults`` are the cells that are none."""

    faults: list[Fault] = field(default_factory=list)
    faulty: int = 0
    _first: list[Array] = field(default_factory=list)
    _second: list[Array] = field(default_factory=list)
    _offsets: list[Array] = field(default_factory=list)
    _numbers: list[Array] = field(default_factory=list)
    _known: _Known = field(default_factory=lambda: _Known())
    _clocks: _Clocks = field(default_factory=lambda: _Clocks())

    def add(self, cells: Cells, places: Sequence[int], most: int = 10) -> None:
        """A block's cells, which stand at ``places``; of the faults ``most`` are kept."""
        if isinstance(cells, np.ndarray):
            self._number(np.asarray(cells, np.float64), places, most)
        elif not self._iso(cells):
            numbers = plain_numbers(cells)
            if numbers is not None:
                self._number(numbers, places, most)
            else:
                self._slow(cells, places, most)

    def _number(self, numbers: Array, places: Sequence[int], most: int) -> None:
        missing = np.flatnonzero(~np.isfinite(numbers))
        for index in missing[: max(0, most - len(self.faults))].tolist():
            self.faults.append(Fault(places[index], ""))
        self.faulty += len(missing)
        self._numbers.append(numbers)

    def _iso(self, cells: Sequence[str]) -> bool:
        """Whether they are times as ISO 8601 writes them, which numpy reads at once."""
        if not cells or not _ISO.match(cells[0]):
            return False
        offset = None
        bodies = cells
        if cells[0][-1] in "Zz":
            if not all(cell[-1:] in ("Z", "z") for cell in cells):
                return False
            bodies, offset = [cell[:-1] for cell in cells], np.zeros(len(cells), np.int64)
        elif len(cells[0]) > 16 and cells[0][-3] == ":" and cells[0][-6] in "+-":
            zones = [cell[-6:] for cell in cells]
            known = {zone: _offset(zone) for zone in set(zones)}
            if None in known.values():
                return False
            bodies = [cell[:-6] for cell in cells]
            offset = np.fromiter(map(known.__getitem__, zones), np.int64, len(cells))
        try:
            if "".join(bodies).encode("ascii").translate(None, _ISO_SIGNS):
                return False
            if {cell[4:5] for cell in bodies} != {"-"} or any("-" in cell[10:] for cell in bodies):
                return False
            found = np.array(bodies, "datetime64[s]").astype(np.int64)
        except ValueError:
            return False
        self._first.append(found)
        self._second.append(found)
        self._offsets.append(np.full(len(found), NO_TIME) if offset is None else offset)
        return True

    def _slow(self, cells: Sequence[str], places: Sequence[int], most: int) -> None:
        """Each different date is looked at once, and each time of day."""
        found: list[tuple[int, int, int]] = []
        for index, cell in enumerate(cells):
            if index % SOME == 0:
                bounds.check_time()
            date, _, clock = cell.rpartition(" ")
            seconds = self._clocks[clock] if date else NO_TIME
            one = self._known[cell if seconds == NO_TIME else date]
            if one is None:
                self.faulty += 1
                if len(self.faults) < most:
                    self.faults.append(Fault(places[index], "" if is_no_value(cell) else cell))
                found.append((NO_TIME, NO_TIME, NO_TIME))
                continue
            first, second, offset = one
            if seconds != NO_TIME:
                first += seconds * (first != NO_TIME)
                second += seconds * (second != NO_TIME)
            found.append((first, second, NO_TIME if offset is None else offset))
        columns = np.array(found, np.int64).reshape(-1, 3).T
        self._first.append(columns[0])
        self._second.append(columns[1])
        self._offsets.append(columns[2])

    def found(self, offset: int | None = None) -> Found:
        """All times, by a clock so many seconds before UTC where that is given. Raises ValueError,
        with the reason, where they cannot be told.
        """
        if self._numbers and self._first:
            raise ValueError("some of its times are numbers and some are not")
        if self._numbers:
            return _of_numbers(np.concatenate(self._numbers))
        first, second, offsets = map(np.concatenate, (self._first, self._second, self._offsets))
        seconds, note = _in_order(first, second)
        told = offsets != NO_TIME
        if not told.any():
            return Found(seconds, False, note)
        if not told.all():
            raise ValueError("some of its times tell how far they are from UTC, others do not")
        different = np.unique(offsets)
        clock = int(different[0]) if offset is None else offset
        if len(different) > 1 or clock != different[0]:
            hours = " and ".join(_written(each) for each in different[:4].tolist())
            note = "; ".join(
                [
                    *filter(None, [note]),
                    f"times are {hours} from UTC, and all taken as {_written(clock)}",
                ]
            )
        return Found(seconds - offsets + clock, False, note, clock)


def _offset(zone: str) -> int | None:
    if not re.fullmatch(r"[+-]\d\d:\d\d", zone):
        return None
    away = 3600 * int(zone[1:3]) + 60 * int(zone[4:])
    return -away if zone[0] == "-" else away


def _written(offset: int) -> str:
    return f"{'-' if offset < 0 else '+'}{abs(offset) // 3600:02}:{abs(offset) % 3600 // 60:02}"


def _in_order(first: Array, second: Array) -> tuple[Array, str]:
    """The times by the order of day and month that fits them all, or by which they are nearer to
    one step; and what was assumed.
    """
    day_first, month_first = ((each != NO_TIME).all() for each in (first, second))
    if not (day_first or month_first):
        raise ValueError("in some of its dates the day comes first, in others the month")
    if not month_first or (first == second).all():
        return first, ""
    if not day_first:
        return second, ""
    steady = [_steadiness(each) for each in (first, second)]
    if steady[0] == steady[1]:
        return first, "its dates are taken with the day first: write them as 2024-05-31 to be sure"
    names = ("day", "month")
    best = int(steady[1] > steady[0])
    return (first, second)[
        best
    ], f"its dates have the {names[best]} first: so they are evenly apart"


def _steadiness(seconds: Array) -> float:
    """The part of the differences between different times that are the usual one."""
    different = np.unique(seconds)
    days = different // DAY
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    places = days - months.astype("datetime64[D]").astype(np.int64)
    told = [different]
    if (places == places[0]).all():
        told.append(months.astype(np.int64))
    parts = [np.unique(np.diff(each), return_counts=True)[1] for each in told]
    return max((float(counts.max() / counts.sum()) for counts in parts if len(counts)), default=0.0)


def _of_numbers(numbers: Array) -> Found:
    """What numbers tell: a year, a date, seconds since 1970 or less than these, or places."""
    low, high = numbers.min(), numbers.max()
    whole = bool((numbers == np.floor(numbers)).all())
    if whole and _within(low, high, _YEARS) and len(np.unique(numbers)) > 1:
        years = (numbers.astype(np.int64) - 1970).astype("datetime64[Y]")
        return Found(_to_seconds(years), False, "times are taken for years")
    if whole and _within(low, high, _MONTHS_OF_YEARS):
        year, month = np.divmod(numbers.astype(np.int64), 100)
        if ((month >= 1) & (month <= 12)).all():
            months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
            return Found(_to_seconds(months), False, "times are taken for a year and a month")
    if whole and _within(low, high, _DATES):
        found = _of_dates(numbers.astype(np.int64))
        if found is not None:
            return Found(found, False, "times are taken for year, month and day")
    for least, most, scale, name in _EPOCHS:
        if least <= low and high <= most:
            seconds = np.floor(numbers / scale).astype(np.int64)
            return Found(seconds, False, f"times are taken for {name} since 1970")
    if whole and abs(low) < 2**40 and abs(high) < 2**40:
        return Found(numbers.astype(np.int64), True, "times are numbers that count, and no dates")
    raise ValueError(f"the times from {low:g} to {high:g} are neither dates nor whole numbers")


def _within(low: float, high: float, span: tuple[int, int]) -> bool:
    return span[0] <= low and high <= span[1]


def _to_seconds(moments: Array) -> Array:
    found: Array = moments.astype("datetime64[s]").astype(np.int64)
    return found


def _of_dates(numbers: Array) -> Array | None:
    """Of 20240531; None where one is no date."""
    different, places = np.unique(numbers, return_inverse=True)
    try:
        seconds = [
            _of_date(datetime.date(n // 10_000, n // 100 % 100, n % 100))
            for n in different.tolist()
        ]
    except ValueError:
        return None
    found: Array = np.array(seconds, np.int64)[places]
    return found
