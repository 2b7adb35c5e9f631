"""How often a series is measured, from every minute to every year, and what the calendar says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping

import numpy as np

from ..runtime.errors import DataError
from ..runtime.types import Array

# Each unit as pandas and DeepAR write it, with what is seasonal: the lengths of its seasons in
# units, the shortest first (a day and a week of hours). The first is what MASE and the seasonal
# naive forecast go by, as in the M4 competition.
SEASONS: Mapping[str, tuple[int, ...]] = {
    "min": (60, 1440),
    "H": (24, 168),
    "D": (7,),
    "B": (5,),
    "W": (52,),
    "M": (12,),
    "Q": (4,),
    "Y": (1,),
}
SECONDS = {"min": 60, "H": 3600, "D": 86400, "W": 604800}
MONTHS = {"M": 1, "Q": 3, "Y": 12}
# As pandas (old and new), GluonTS and people write the units.
_ALIASES = {
    "T": "min", "MIN": "min", "minute": "min", "minutes": "min", "minutely": "min",
    "h": "H", "hour": "H", "hours": "H", "hourly": "H",
    "d": "D", "day": "D", "days": "D", "daily": "D",
    "b": "B", "C": "B", "w": "W", "week": "W", "weeks": "W", "weekly": "W",
    "MS": "M", "ME": "M", "BM": "M", "BMS": "M", "BME": "M", "month": "M", "months": "M",
    "monthly": "M",
    "QS": "Q", "QE": "Q", "BQ": "Q", "BQS": "Q", "BQE": "Q", "quarter": "Q", "quarterly": "Q",
    "A": "Y", "YS": "Y", "YE": "Y", "AS": "Y", "BA": "Y", "BY": "Y", "BAS": "Y", "BYS": "Y",
    "BYE": "Y", "year": "Y", "years": "Y", "yearly": "Y", "annual": "Y",
}  # fmt: skip
_FORM = re.compile(r"(\d{0,4})\s*([A-Za-z]+)(?:-[A-Za-z]{3})?")


@dataclass(frozen=True)
class Frequency:
    """``count`` of a ``unit`` of SEASONS between one value and the next: 30 min, 1 H, 1 M."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Frequency:
        """Of ``"H"``, ``"30min"``, ``"W-SUN"``, ``"MS"``. Raises DataError."""
        found = _FORM.fullmatch(text.strip())
        unit = found and _ALIASES.get(found[2], found[2])
        if not found or unit not in SEASONS or (found[1] and not int(found[1])):
            raise DataError(
                f"the frequency {text[:40]!r}: expected a number and one of "
                f"{', '.join(SEASONS)}, such as 30min, H, D, W or M"
            )
        return cls(int(found[1] or 1), str(unit))

    def __str__(self) -> str:
        return f"{self.count if self.count > 1 else ''}{self.unit}"

    @property
    def seconds(self) -> int | None:
        """How long a step is; None where that differs, as of months and business days."""
        return SECONDS[self.unit] * self.count if self.unit in SECONDS else None

    @property
    def seasons(self) -> tuple[int, ...]:
        """The lengths of the seasons in steps, the shortest first; ``(1,)`` where there is none:
        of 30min (48, 336), of H (24, 168), of Y (1,).
        """
        lengths = SEASONS[self.unit]
        if self.unit == "min" and self.count > 1:
            lengths = tuple(n for n in (1440, 10080) if n // self.count > 1)
        fits = tuple(n // self.count for n in lengths if n % self.count == 0)
        return tuple(n for n in fits if n > 1) or (1,)

    @property
    def season(self) -> int:
        """The season that MASE and the seasonal naive forecast go by."""
        return self.seasons[0]

    @property
    def calendar_width(self) -> int:
        """How many numbers ``calendar`` gives for a step: the same for every series."""
        return 2 * len(_CYCLES[self.unit])

    def calendar(self, start: np.datetime64 | None, first: int, length: int) -> Array:
        """What the calendar says of the steps ``first`` to ``first + length`` after ``start``:
        (length, calendar_width) float32 in [-1, 1], the sine and cosine of the place in each cycle
        (minute of the hour, hour of the day, day of the week, day of the month, month of the year).
        All 0 where ``start`` is None: a series whose times are not known. Of years nothing.
        """
        cycles = _CYCLES[self.unit]
        if start is None or not cycles:
            return np.zeros((length, 2 * len(cycles)), np.float32)
        times = self.times(start, first, length)
        places = np.stack([_place(times, cycle) for cycle in cycles], axis=1) * 2 * np.pi
        found: Array = np.concatenate([np.sin(places), np.cos(places)], axis=1)
        return found.astype(np.float32)

    def times(self, start: np.datetime64, first: int, length: int) -> Array:
        """The times of the steps ``first`` to ``first + length`` after ``start``, (length,)
        datetime64[s]. Of months the day is that of ``start``, or the last one of a month that has
        no such day; where ``start`` is a month's last day, all are.
        """
        steps = np.arange(first, first + length) * self.count
        start = start.astype("datetime64[s]")
        day = start.astype("datetime64[D]")
        if self.unit in MONTHS:
            month = start.astype("datetime64[M]")
            begins = month + steps * MONTHS[self.unit]
            days, last = (each.astype("datetime64[D]") for each in (begins, begins + 1))
            place = day - month.astype("datetime64[D]")
            if (day + 1).astype("datetime64[M]") != month:  # of a month's end, each month's
                place = np.timedelta64(30, "D")
            days = np.minimum(days + place, last - 1)
        elif self.unit == "B":
            days = np.busday_offset(day, steps, roll="forward")
        else:
            days, day = start + steps * np.timedelta64(SECONDS[self.unit], "s"), start
        found: Array = days.astype("datetime64[s]") + (start - day.astype("datetime64[s]"))
        return found


_CYCLES: Mapping[str, tuple[str, ...]] = {
    "min": ("hour", "day", "week"),
    "H": ("day", "week", "year"),
    "D": ("week", "month", "year"),
    "B": ("week", "month", "year"),
    "W": ("year",),
    "M": ("year",),
    "Q": ("year",),
    "Y": (),
}


def _place(times: Array, cycle: str) -> Array:
    """Where each of ``times`` (T,) stands in a cycle, from 0 to 1."""
    if cycle in ("hour", "day", "week"):
        seconds = times.astype("datetime64[s]").astype(np.int64)
        length = {"hour": 3600, "day": 86400, "week": 604800}[cycle]
        found: Array = (seconds % length) / length
        return found
    unit = {"month": "M", "year": "Y"}[cycle]
    begins = times.astype(f"datetime64[{unit}]")
    length = (begins + 1).astype("datetime64[s]") - begins.astype("datetime64[s]")
    part: Array = (times - begins.astype("datetime64[s]")) / length
    return part
