"""Dates and times of day as people write them, as days since 1970."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

YMD, DMY, MDY = "ymd", "dmy", "mdy"
ORDERS = (YMD, DMY, MDY)
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = rf"(?P<name>{'|'.join(_MONTHS)})[a-z]*\.?"
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"(?:\s?(?P<half>[ap]m))?(?:\s?(?:z|utc|(?P<zone>[+-]\d{2}):?(?P<zoned>\d{2})?))?"
)
_DATES = (
    r"(?P<y>\d{4})(?P<mark>[-/.])(?P<m>\d{1,2})(?P=mark)(?P<d>\d{1,2})",
    r"(?P<a>\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<y>\d{4}|\d{2})",
    rf"(?P<d>\d{{1,2}})[ -]{_NAME}[ -](?P<y>\d{{4}}|\d{{2}})",
    rf"{_NAME} (?P<d>\d{{1,2}}),? (?P<y>\d{{4}})",
)
_FORMS = (
    *(re.compile(rf"{date}(?:(?:t|,?\s+){_CLOCK})?", re.IGNORECASE) for date in _DATES),
    re.compile(_CLOCK, re.IGNORECASE),
)
_PIVOT = 70  # two digits from here on are of the 20th century


class Moment(NamedTuple):
    """Days since 1970-01-01, of a time of day its part of a day; and of which order its numbers may
    be: all of ORDERS where that does not matter.
    """

    days: float
    orders: tuple[str, ...]
    has_date: bool
    has_clock: bool


def moment(cell: str, order: str = "") -> Moment | None:
    """The date and time that ``cell`` writes, None where it is none.

    Of ``03/04/2020``, ``order`` says what comes first; without it, the day where both can be.
    """
    cell = cell.strip()
    if not 4 <= len(cell) <= 40 or not any(map(str.isdigit, cell)):
        return None
    for form in _FORMS:
        found = form.fullmatch(cell)
        if found:
            return _of(found.groupdict(), order)
    return None


def _of(parts: dict[str, str | None], order: str) -> Moment | None:
    clock = _clock(parts)
    if clock is None:
        return None
    has_clock = parts["hour"] is not None
    if parts.get("y") is None:
        return Moment(clock, ORDERS, False, True)
    dates = {each: _date(parts, each) for each in ((DMY, MDY) if parts.get("a") else (YMD,))}
    orders = tuple(each for each, days in dates.items() if days is not None)
    if not orders or (parts.get("a") and order and order not in orders):
        return None
    chosen = dates[order if order in orders else orders[0]]
    assert chosen is not None
    return Moment(chosen + clock, orders if parts.get("a") else ORDERS, True, has_clock)


def _date(parts: dict[str, str | None], order: str) -> int | None:
    year = int(parts["y"] or 0)
    if len(parts["y"] or "") == 2:
        year += 1900 if year >= _PIVOT else 2000
    if order == YMD:
        name = parts.get("name")
        month = _MONTHS.index(name.lower()) + 1 if name else int(parts["m"] or 0)
        day = int(parts["d"] or 0)
    else:
        first, second = int(parts["a"] or 0), int(parts["b"] or 0)
        day, month = (first, second) if order == DMY else (second, first)
    try:
        return datetime.date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None


def _clock(parts: dict[str, str | None]) -> float | None:
    """The part of a day; None where there is no such time."""
    if parts["hour"] is None:
        return 0.0
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    half = (parts["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + 12 * (half == "pm")
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and minute + second):
        return None
    seconds = 3600 * hour + 60 * minute + second + float(f"0.{parts['part'] or 0}")
    zone = parts["zone"]
    if zone:
        away = 60 * int(zone[1:]) + int(parts["zoned"] or 0)
        seconds -= 60 * away * (-1 if zone[0] == "-" else 1)
    return seconds / 86400
