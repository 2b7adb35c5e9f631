"""Times in steps: what frequency times have, and which step of it each of them is.

Times are seconds since 1970 by the clock, (N,) int64, ascending within each series; ``series`` (N,)
int64, ascending, says which series, from 0, a time is of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..runtime.types import Array
from .frequencies import MONTHS, SECONDS, Frequency

MINUTE, HOUR, DAY = 60, 3600, 86_400
WEEK = 7 * DAY
COMMON = 0.02  # of all differences: what is rarer is a gap, or a slip
STEADY, FEWEST = 0.9, 4  # how many differences of a series are one, of how many, to have its own
MOST_APART = 20  # steps, half of the times at least: more, and their step is not known
SLIP = HOUR + MINUTE  # by which days differ where clocks are changed
NEAR = 0.1  # of a step, by which times may miss it
SHORTEST_MONTH = 25  # days between the last business days of two months
NICE = tuple(
    unit * each
    for unit, numbers in (
        (MINUTE, (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)), (HOUR, (1, 2, 3, 4, 6, 8, 12, 24))
    )
    for each in numbers
)  # fmt: skip
MOST_LOOKED_AT = 2000  # series whose own frequency is looked for
MONDAY = 4 * DAY  # the first one since 1970


class Placed(NamedTuple):
    """Which step each time is, (N,) int64, from 0 at the start of its series; the ``starts`` (S,)
    int64 of the series; and how many times were ``off`` the steps, and are taken to the nearest.
    """

    steps: Array
    starts: Array
    off: int


def detected(series: Array, times: Array) -> Frequency:
    """The frequency of all series. Raises ValueError, with the reason, where there is none, or
    several.
    """
    later = (series[1:] == series[:-1]) & (times[1:] > times[:-1])
    if not later.any():
        raise ValueError("no series has two times, by which its frequency could be told")
    before, after, owner = times[:-1][later], times[1:][later], series[1:][later]
    found = _told_by(before, after)
    others = _unlike(found, before, after, owner)
    if others:
        shown = ", ".join(f"{count:,} of {name}" for name, count in others.items())
        raise ValueError(
            f"of its series some have a step of {found}, others are steadily of another ({shown})"
        )
    return found


def _unlike(whole: Frequency, before: Array, after: Array, owner: Array) -> dict[str, int]:
    """How many series are steadily of another frequency than ``whole``, by its name."""
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(owner)) + 1, [len(owner)]])
    counts: dict[str, int] = {}
    stride = max(1, len(bounds) // MOST_LOOKED_AT)
    for begin, end in zip(bounds[:-1:stride].tolist(), bounds[1::stride].tolist()):
        if end - begin < FEWEST:
            continue
        try:
            found = _told_by(before[begin:end], after[begin:end])
        except ValueError:
            continue
        if found == whole:
            continue
        start = int(before[begin])
        steps = steps_since(found, start, np.append(before[begin:end], after[end - 1]))
        if (np.diff(steps) == 1).mean() >= STEADY:  # else its times are sparse
            counts[str(found)] = counts.get(str(found), 0) + 1
    return counts


def _told_by(before: Array, after: Array) -> Frequency:
    apart = after - before
    days = _whole_days(apart)
    if ((np.abs(apart - days * DAY) <= SLIP) & (days >= 1)).mean() >= 1 - COMMON:
        return _of_days(before, after)
    values, counts = np.unique(apart, return_counts=True)
    common = values[counts >= COMMON * len(apart)]
    step = int(np.gcd.reduce(common)) if len(common) else 0
    is_usual = step in NICE or (step and step % DAY == 0)
    if is_usual and np.median(apart) <= MOST_APART * step:
        return _of_seconds(step)
    nice = min(NICE, key=lambda each: abs(np.log(each / np.median(apart))))
    times_apart = np.rint(apart / nice)
    near = (np.abs(apart - times_apart * nice) <= NEAR * nice) & (times_apart >= 1)
    if near.mean() >= STEADY:
        return _of_seconds(nice)
    usual = values[np.argsort(-counts, kind="stable")[:3]].tolist()
    shown = ", ".join(f"{_written(each)} ({(apart == each).mean():.0%})" for each in usual)
    raise ValueError(f"its times are not evenly apart: most often {shown}")


def _whole_days(apart: Array) -> Array:
    return (apart + DAY // 2) // DAY


def _of_days(before: Array, after: Array) -> Frequency:
    """Of times that are whole days apart."""
    days = _whole_days(after - before)
    values, counts = np.unique(days, return_counts=True)
    common = values[counts >= COMMON * len(days)]
    months = _months(after) - _months(before)
    same_day = (_day_of_month(before) == _day_of_month(after)) | (
        _is_month_end(before) & _is_month_end(after)
    )
    in_weeks = (days % 7 == 0).mean() >= STEADY
    apart = common.min(initial=10**6) >= SHORTEST_MONTH and (months >= 1).all()
    if apart and (same_day.mean() >= STEADY or not in_weeks):
        return _of_months(months)
    if in_weeks:
        weeks = int(np.gcd.reduce(np.unique(common // 7)))
        return Frequency(max(1, weeks), "W")
    step = int(np.gcd.reduce(common)) if len(common) else 1
    crossed = (after // DAY + 3) % 7 < (before // DAY + 3) % 7  # a weekend
    on_weekends = _on_weekends(np.append(before, after)).any()
    if step == 1 and len(days) > FEWEST and crossed.any() and not on_weekends:
        return Frequency(1, "B")
    return Frequency(step, "D")


def _of_months(months: Array) -> Frequency:
    values, counts = np.unique(months, return_counts=True)
    step = int(np.gcd.reduce(values[counts >= COMMON * len(months)]))
    for unit in ("Y", "Q"):
        if step % MONTHS[unit] == 0:
            return Frequency(step // MONTHS[unit], unit)
    return Frequency(step, "M")


def _of_seconds(step: int) -> Frequency:
    unit = next(each for each in ("W", "D", "H", "min") if step % SECONDS[each] == 0)
    return Frequency(step // SECONDS[unit], unit)


def _written(seconds: int) -> str:
    for unit, name in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if seconds % unit == 0:
            return f"{seconds // unit:,} {name}"
    return f"{seconds:,} seconds"


def _months(times: Array) -> Array:
    """The month of each, counted from January 1970."""
    return (times // DAY).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _day_of_month(times: Array) -> Array:
    first = _months(times).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    found: Array = times // DAY - first
    return found


def _is_month_end(times: Array) -> Array:
    found: Array = _months(times + DAY) != _months(times)
    return found


def _on_weekends(times: Array) -> Array:
    found: Array = (times // DAY + 3) % 7 >= 5
    return found


def steps_since(frequency: Frequency, start: Array | int, times: Array) -> Array:
    """How many steps of ``frequency`` after ``start`` each of ``times`` (N,) is, (N,) int64: to the
    nearest, or where steps are months or business days, whole ones.
    """
    seconds = frequency.seconds
    if seconds is not None:
        found: Array = (times - start + seconds // 2) // seconds
        return found
    if frequency.unit == "B":
        first, last = (np.asarray(each // DAY).astype("datetime64[D]") for each in (start, times))
        passed: Array = np.busday_count(np.broadcast_to(first, last.shape), last)
        return passed // frequency.count
    months: Array = _months(times) - _months(np.asarray(start))
    return months // (MONTHS[frequency.unit] * frequency.count)


def placed(series: Array, times: Array, frequency: Frequency) -> Placed:
    """The times in steps from the first of each series on."""
    first = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
    counts = np.diff(np.append(first, len(series)))
    seconds = frequency.seconds
    starts = times[first]
    if seconds is not None:
        phases = _usual_phases(series, times, seconds)
        starts = (starts - phases + seconds // 2) // seconds * seconds + phases
        start = np.repeat(starts, counts)
        steps = steps_since(frequency, start, times)
        off = times != start + steps * seconds
    elif frequency.unit == "B":
        off = _on_weekends(times)
        steps = steps_since(frequency, np.repeat(starts, counts), times)
    else:
        start = np.repeat(starts, counts)
        steps = steps_since(frequency, start, times)
        off = (_months(times) - _months(start)) % (MONTHS[frequency.unit] * frequency.count) != 0
    return Placed(steps, starts, int(off.sum()))


def _usual_phases(series: Array, times: Array, seconds: int) -> Array:
    """What is left of most of the times of each series, divided by a step, (S,) int64; 0 for those
    of which less than half agree.
    """
    different, counts = np.unique(series * seconds + times % seconds, return_counts=True)
    owner, phase = np.divmod(different, seconds)
    order = np.lexsort((-counts, owner))
    first = order[np.append(True, np.diff(owner[order]) > 0)]
    agreed = 2 * counts[first] > np.bincount(series)
    found: Array = np.where(agreed, phase[first], MONDAY % seconds)
    return found


def gathered(series: Array, times: Array, frequency: Frequency) -> Placed:
    """The times in the steps within which they lie: days from midnight, weeks from Monday, months
    from the first day, and several of them from those that begin 1970.
    """
    first = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
    counts = np.diff(np.append(first, len(series)))
    seconds = frequency.seconds
    if seconds is not None:
        origin = MONDAY % seconds if seconds % WEEK == 0 else 0
        number = (times - origin) // seconds
        begins = number[first] * seconds + origin
    elif frequency.unit == "B":
        number = steps_since(frequency, MONDAY, times)
        monday = np.datetime64(MONDAY // DAY, "D")
        days = np.busday_offset(monday, number[first] * frequency.count)
        begins = days.astype("datetime64[s]").astype(np.int64)
    else:
        months = MONTHS[frequency.unit] * frequency.count
        number = _months(times) // months
        begins = (number[first] * months).astype("datetime64[M]")
        begins = begins.astype("datetime64[s]").astype(np.int64)
    steps = number - np.repeat(number[first], counts)
    return Placed(steps, begins, 0)
