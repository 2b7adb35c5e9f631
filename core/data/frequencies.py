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
_ALIASES = {"T": "min", "MIN": "min", "h": "H", "MS": "M", "ME": "M", "A": "Y", "QS": "Q"}
_FORM = re.compile(r"(\d*)\s*([A-Za-z]+)(?:-[A-Z]{3})?")


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
        if not found or unit not in SEASONS or found[1] == "0":
            raise DataError(
                f"the frequency {text[:40]!r}: expected a number and one of "
                f"{', '.join(SEASONS)}, such as 30min, H, D, W or M"
            )
        return cls(int(found[1] or 1), str(unit))

    def __str__(self) -> str:
        return f"{self.count if self.count > 1 else ''}{self.unit}"

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
        All 0 where ``start`` is None: a series whose times are not known.
        """
        cycles = _CYCLES[self.unit]
        if start is None:
            return np.zeros((length, 2 * len(cycles)), np.float32)
        times = self.times(start, first, length)
        places = np.stack([_place(times, cycle) for cycle in cycles], axis=1) * 2 * np.pi
        found: Array = np.concatenate([np.sin(places), np.cos(places)], axis=1)
        return found.astype(np.float32)

    def times(self, start: np.datetime64, first: int, length: int) -> Array:
        """The times of the steps ``first`` to ``first + length`` after ``start``, (length,)
        datetime64[s].
        """
        steps = np.arange(first, first + length) * self.count
        if self.unit in _MONTHS:
            months = start.astype("datetime64[M]")
            within = start.astype("datetime64[s]") - months.astype("datetime64[s]")
            found: Array = (months + steps * _MONTHS[self.unit]).astype("datetime64[s]") + within
            return found
        if self.unit == "B":
            days = np.busday_offset(start.astype("datetime64[D]"), steps, roll="forward")
            found = days.astype("datetime64[s]")
            return found
        found = start.astype("datetime64[s]") + steps * np.timedelta64(_SECONDS[self.unit], "s")
        return found


_SECONDS = {"min": 60, "H": 3600, "D": 86400, "W": 604800}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
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
    found = (times - begins.astype("datetime64[s]")) / length
    return found
