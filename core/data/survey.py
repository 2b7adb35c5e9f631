"""All cells of one column, looked at block by block: what it holds is told by them."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, Sequence

import numpy as np

from ..runtime.types import Array
from . import times
from .cells import is_no_value, number_of
from .columns import CATEGORY, MAX_CATEGORIES, MONTH, WEEKDAY, Kind
from .notices import is_id_name
from .numbers import FLOAT32_LIMIT
from .sources import Cells, as_texts

MAX_DISTINCT = 2**18  # words of one column that are counted
MANY_NUMBERS = 1000  # different numbers that are told apart
SETTLED = 1000  # words after which a column is no longer looked at for numbers
MOSTLY = 0.9  # of the cells are numbers, and the others hardly meant
NEARLY = 0.9  # of the cells differ, as texts do
LONG_WORDS, LONG_CELL = 3, 24  # on average, of a text
COUNTED_ROWS, NAMED_ROWS = 20, 3  # by which an id is told; where the heading says so too
MAX_CELL = 1000  # characters of a category; what is longer is a text
MOST_GAPS = 64  # words for a gap in one block
_PLAIN = b"0123456789+-.eE, "
_PLAIN_SIGNS = "0123456789+-.eE "
_NOT_THOUSANDS = re.compile(r"\.(?!\d{3}(?:,|$))")


@dataclass
class Spread:
    """Number, mean and spread of numbers that come block by block, and those that differ."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    distinct: Array | None = None
    many: bool = False
    whole: bool = True
    values: set[float] = field(default_factory=set)  # those that were repeated

    def add(self, values: Array) -> None:
        """``values`` (N,) float64, all finite."""
        if not len(values):
            return
        mean = float(values.mean())
        squares = float(np.square(values - mean).sum())
        self.merge(len(values), mean, squares)
        self.low, self.high = min(self.low, values.min()), max(self.high, values.max())
        self.whole = self.whole and bool((values == np.floor(values)).all())
        if not self.many:
            before = [] if self.distinct is None else [self.distinct]
            self.distinct = np.unique(np.concatenate([*before, values]))
            self.many = len(self.distinct) > MANY_NUMBERS

    def merge(self, count: int, mean: float, squares: float) -> None:
        """Numbers of which these are known (T. Chan and others, 1979)."""
        total = self.count + count
        if not total:
            return
        away = mean - self.mean
        self.mean += away * count / total
        self.squares += squares + away * away * self.count * count / total
        self.count = total

    def repeat(self, value: float, count: int) -> None:
        """``count`` times the same number."""
        self.merge(count, value, 0.0)
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.values.add(value)

    @property
    def scale(self) -> float:
        """The standard deviation; 1 where nothing differs."""
        spread = math.sqrt(self.squares / self.count) if self.count else 0.0
        return spread if spread > 1e-12 * abs(self.mean) and math.isfinite(spread) else 1.0


class Oddity(NamedTuple):
    """A cell that is not like the others of its column, and where it stands."""

    place: int
    cell: str


class Survey:
    """What is found in the cells of one column, block by block.

    ``kind`` is decided beforehand, None where it is told by the cells. ``decimal`` is what stands
    before decimals. ``with_places`` keeps where each word stands first.
    """

    def __init__(
        self, name: str, kind: Kind | None = None, decimal: str = ".", with_places: bool = False
    ) -> None:
        self.name, self.kind, self.decimal = name, kind, decimal
        self.spread = Spread()
        self.words: dict[str, int] | None = {}
        self.places: dict[str, int] | None = {} if with_places else None
        self.gaps = self.rows = self.others = self.times = self.uncounted = self.commas = 0
        self.other: Oddity | None = None
        self.beyond: Oddity | None = None
        self.comma: Oddity | None = None  # a number with a decimal comma alone
        self.point: Oddity | None = None
        self.example = ""
        self.moments = {order: Spread() for order in (times.DMY, times.MDY)}
        self.known_moments: dict[str, dict[str, float]] = {}
        self.bits: dict[str, set[int]] = {MONTH: set(), WEEKDAY: set()}
        self.has_clock = False
        self.length = 0  # characters of all words
        self.spaces = 0
        self.are_counting = True
        self.last: float | None = None
        self.ids: list[Array] | None = [] if is_id_name(name) else None

    def add(self, cells: Cells, places: Sequence[int]) -> Cells:
        """The column's cells in one block; as numbers where all are plain ones or gaps."""
        self.rows += len(cells)
        given = cells
        if isinstance(cells, np.ndarray) and (self.kind == CATEGORY or self.places is not None):
            cells = list(as_texts(cells))
        if isinstance(cells, np.ndarray):
            self._numbers(cells, places)
            self.uncounted += len(cells)
        elif self.kind == CATEGORY or self.places is not None:
            self._counted(cells, places)
        else:
            values = None if self.decimal == "," else plain_numbers(cells)
            if values is None:
                self._counted(cells, places)
            else:
                if self.point is None:
                    self._note_points(cells, places)
                self._numbers(values, places)
                self.uncounted += len(cells)
                given = values
        if not self.example:
            first = as_texts(cells[:100]) if isinstance(cells, np.ndarray) else cells[:100]
            self.example = next((c.strip() for c in first if not is_no_value(c)), "")[:40]
        return given

    def _note_points(self, cells: Sequence[str], places: Sequence[int]) -> None:
        if _NOT_THOUSANDS.search(",".join(cells)):
            index = next((i for i, c in enumerate(cells) if _NOT_THOUSANDS.search(c)), 0)
            self.point = Oddity(places[index], cells[index])

    def _numbers(self, values: Array, places: Sequence[int]) -> None:
        filled = values[~np.isnan(values)]
        self.gaps += len(values) - len(filled)
        wrong = np.flatnonzero(np.abs(values) >= FLOAT32_LIMIT)
        if len(wrong):
            self.beyond = self.beyond or Oddity(places[wrong[0]], f"{values[wrong[0]]:g}")
            filled = filled[np.abs(filled) < FLOAT32_LIMIT]
        self.spread.add(filled)
        self._follow(values)

    def _follow(self, values: Array) -> None:
        """Whether the numbers count the rows; where the heading is that of an id, all of them."""
        if self.are_counting and len(values):
            first = values[0] in (0, 1) if self.last is None else values[0] == self.last + 1
            self.are_counting = bool(first and (np.diff(values) == 1).all())
            self.last = float(values[-1])
        if self.ids is not None:
            self.ids.append(values)
            if not self.spread.whole or len(np.unique(values)) < len(values):
                self.ids = None

    def _counted(self, cells: Sequence[str], places: Sequence[int]) -> None:
        """Cells that are not all plain numbers: word by word, each different one looked at once."""
        found = Counter(cells)
        numbers: dict[str, float] = {}
        looked = self.kind != CATEGORY and self.others < SETTLED
        for raw, count in found.items():
            word = raw.strip()
            if is_no_value(word):
                self.gaps += count
                numbers[raw] = math.nan
                continue
            self._count(word, count, raw, cells, places)
            if looked:
                number = self._looked_at(word, count, raw, cells, places)
                if number is not None:
                    numbers[raw] = number
        if looked:
            values = np.array([numbers.get(cell, math.nan) for cell in cells])
            self.spread.add(values[~np.isnan(values)])
            self._follow(values)
        else:
            self.are_counting, self.ids = False, None

    def _count(
        self, word: str, count: int, raw: str, cells: Sequence[str], places: Sequence[int]
    ) -> None:
        self.length += len(word) * count
        self.spaces += word.count(" ") * count
        if self.words is None:
            return
        if word not in self.words:
            if len(self.words) >= MAX_DISTINCT or len(word) > MAX_CELL:
                self.words = None
                return
            if self.places is not None:
                self.places[word] = places[cells.index(raw)]
        self.words[word] = self.words.get(word, 0) + count

    def _looked_at(
        self, word: str, count: int, raw: str, cells: Sequence[str], places: Sequence[int]
    ) -> float | None:
        """The number that ``word`` is; None where it is a time, or a word."""
        number = number_of(word, self.decimal)
        if number is not None and abs(number) >= FLOAT32_LIMIT:
            self.beyond = self.beyond or Oddity(places[cells.index(raw)], word)
            return math.nan
        other = number_of(word, "," if self.decimal == "." else ".")
        if number is None and other is not None:
            self.comma = self.comma or Oddity(places[cells.index(raw)], word)
            self.commas += count
            return None
        if number is not None and other is None:
            self.point = self.point or Oddity(places[cells.index(raw)], word)
        if number is not None:
            return number
        if not self._moment(word, count):
            self.others += count
            if self.other is None:
                self.other = Oddity(places[cells.index(raw)], word)
        return None

    def _moment(self, word: str, count: int) -> bool:
        found = self.known_moments.get(word)
        if found is None:
            found = self._read_moment(word)
            if len(self.known_moments) < MAX_CATEGORIES:
                self.known_moments[word] = found
        for order, days in found.items():
            self.moments[order].repeat(days, count)
        self.times += count if found else 0
        return bool(found)

    def _read_moment(self, word: str) -> dict[str, float]:
        """The days since 1970 by the order of day and month; empty where it is no time."""
        first = times.moment(word)
        if first is None:
            return {}
        self.has_clock = self.has_clock or first.has_clock
        if first.has_date:
            days = math.floor(first.days)
            self.bits[WEEKDAY].add(weekday_of(days))
            self.bits[MONTH].add(month_of(days))
        if first.orders == times.ORDERS:
            return dict.fromkeys(self.moments, first.days)
        found = {order: times.moment(word, order) for order in first.orders}
        return {order: moment.days for order, moment in found.items() if moment is not None}

    @property
    def filled(self) -> int:
        """How many cells are no gaps."""
        return self.rows - self.gaps

    def is_another_each(self) -> bool:
        """Whether all rows have another value, as an id has."""
        fewest = NAMED_ROWS if is_id_name(self.name) else COUNTED_ROWS
        if self.rows < fewest or self.gaps:
            return False
        if self.spread.count == self.rows:
            return self.are_counting or (
                bool(self.ids) and len(np.unique(np.concatenate(self.ids or []))) == self.rows
            )
        return self.words is not None and not self.uncounted and len(self.words) == self.rows

    def is_text(self) -> bool:
        """Whether its words are nearly all different, and long."""
        if self.words is None:
            return True
        return (
            self.filled >= COUNTED_ROWS
            and len(self.words) > NEARLY * self.filled
            and (
                self.spaces >= (LONG_WORDS - 1) * self.filled
                or self.length > LONG_CELL * self.filled
            )
        )


def plain_numbers(cells: Sequence[str]) -> Array | None:
    """The numbers (N,) float64 of cells that are plain ones or gaps, NaN for these; None where any
    is something else.
    """
    try:
        if ",".join(cells).encode().translate(None, _PLAIN):
            return _numbers_and_gaps(cells)
        values = _floats(cells)
    except ValueError:  # a UnicodeEncodeError is one too
        return _numbers_and_gaps(cells)
    return None if np.isinf(values).any() else values


def _floats(cells: Sequence[str]) -> Array:
    """The numbers (N,) float64 of ``cells``, NaN for an empty one. Raises ValueError."""
    if "" not in cells:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    return np.array([float(cell) if cell else math.nan for cell in cells])


def _numbers_and_gaps(cells: Sequence[str]) -> Array | None:
    """The same where some are no plain numbers, of which each different one is looked at."""
    others = {cell for cell in set(cells) if cell.strip(_PLAIN_SIGNS) or not cell.strip()}
    if len(others) > MOST_GAPS or not all(map(is_no_value, others)):
        return None
    try:
        values = np.array([math.nan if cell in others else float(cell) for cell in cells])
    except ValueError:
        return None
    return None if np.isinf(values).any() else values


def weekday_of(days: int) -> int:
    """0 for Monday to 6, of whole days since 1970-01-01, a Thursday."""
    return (days + 3) % 7


def month_of(days: int) -> int:
    """0 for January to 11."""
    return int(np.datetime64(int(days), "D").astype("datetime64[M]").astype(int)) % 12
