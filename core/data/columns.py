"""The columns of a table: what each holds, and what its cells are as numbers (N, D)."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Literal

from .cells import number_of
from .reading import Headings
from .sources import text_of

Kind = Literal["number", "category", "time", "text"]
DayPart = Literal["month", "weekday", "clock"]
NUMBER: Kind = "number"
CATEGORY: Kind = "category"
TIME: Kind = "time"
TEXT: Kind = "text"
MONTH: DayPart = "month"
WEEKDAY: DayPart = "weekday"
CLOCK: DayPart = "clock"
DAY_SIZES = {MONTH: 12, WEEKDAY: 7}
MAX_CATEGORIES = 2**16  # the most frequent; all others are one


class Column(BaseModel):
    """One column: what it is called, what it holds, and how that becomes numbers.

    ``left_out`` says why it is no feature; empty where it is one. ``count`` cells are filled,
    ``gaps`` are not. Numbers and times (days since 1970) have a ``centre`` and a ``scale``;
    ``decimal`` stands before their decimals. ``categories`` have the codes from 1 on; where
    ``has_other``, the code after them is that of rare ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    left_out: str = ""
    count: int = Field(default=0, ge=0)
    gaps: int = Field(default=0, ge=0)
    distinct: Optional[int] = None  # None for very many
    example: str = ""
    centre: float = Field(default=0.0, allow_inf_nan=False)
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    decimal: Literal[".", ","] = "."
    order: Literal["", "ymd", "dmy", "mdy"] = ""
    parts: Tuple[DayPart, ...] = ()
    categories: Tuple[str, ...] = ()
    has_other: bool = False
    words_are_gaps: bool = False

    @property
    def size(self) -> int:
        """How many codes a category has: 0 is a gap, or a category that training did not have."""
        return 1 + len(self.categories) + self.has_other


class Feature(NamedTuple):
    """One number of an encoded row: ``kind`` is NUMBER, or CATEGORY with codes below ``size``.

    ``column`` is the index among ``Schema.features``: a time becomes several.
    """

    name: str
    kind: str
    size: int
    column: int
    part: str = ""


class Columns(BaseModel):
    """The columns of a table in their order; ``targets`` are what is to be estimated.

    ``classes`` are the names of a target's classes; empty where numbers are estimated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Tuple[Column, ...]
    targets: Tuple[str, ...]
    classes: Tuple[str, ...] = ()
    has_names: bool = True

    def to_json(self) -> Dict[str, Any]:
        """In JSON types, for ``Dataset.encoding``."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def target(self) -> Optional[Column]:
        """The first of the targets; None where there is none."""
        return next(iter(self.target_columns), None)

    @property
    def target_columns(self) -> Tuple[Column, ...]:
        """The columns that are to be estimated, in the order in which they were named."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.targets)

    @property
    def features(self) -> Tuple[Column, ...]:
        """The columns that are learned from."""
        return tuple(c for c in self.columns if not c.left_out and c.name not in self.targets)

    @property
    def encoded(self) -> Tuple[Feature, ...]:
        """What each of the D numbers of an encoded row is."""
        found: List[Feature] = []
        for index, column in enumerate(self.features):
            if column.kind == CATEGORY:
                found.append(Feature(column.name, CATEGORY, column.size, index))
                continue
            found.append(Feature(column.name, NUMBER, 0, index))
            for part in column.parts:
                kind = NUMBER if part == CLOCK else CATEGORY
                size = 0 if part == CLOCK else 1 + DAY_SIZES[part]
                found.append(Feature(f"{column.name}: {part}", kind, size, index, part))
        return tuple(found)

    def headings(self) -> Optional[Headings]:
        """The headings by which columns of later tables are taken; None where there are none."""
        if not self.has_names:
            return None
        return Headings(columns=tuple(c.name for c in self.features), labels=self.targets)

    def shown(self) -> str:
        """A line a column: its name, what it holds, gaps, different values, an example."""
        rows = [("column", "kind", "gaps", "different", "example")]
        for column in self.columns:
            kind: str = column.kind
            if column.name in self.targets:
                kind = f"target, {len(self.classes)} classes" if self.classes else "target, number"
            elif column.left_out:
                kind = f"left out: {column.left_out}"
            total = column.count + column.gaps
            gaps = f"{column.gaps / total:.1%}" if column.gaps and total else ""
            distinct = "many" if column.distinct is None else f"{column.distinct:,}"
            rows.append((column.name[:30], kind, gaps, distinct, column.example[:24]))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(
            "  ".join(cell.rjust(w) if i in (2, 3) else cell.ljust(w) for i, (cell, w) in
                      enumerate(zip(row, widths))).rstrip()
            for row in rows
        )  # fmt: skip


def key_of(word: str) -> str:
    """By which words of categories are alike where they are not the same: ``1.0`` and ``1``,
    ``Yes`` and ``yes``.
    """
    number = number_of(word)
    if number is not None and math.isfinite(number):
        return text_of(number)
    return " ".join(word.split()).casefold()


def class_name(word: str) -> str:
    """What the class of a target's cell is called: ``1`` for ``1.0``, else as it stands."""
    number = number_of(word)
    if number is None or not math.isfinite(number) or not _is_plain(word):
        return word
    return text_of(number)


def _is_plain(word: str) -> bool:
    return all(sign in "0123456789+-.eE" for sign in word)


def class_order(name: str) -> Tuple[bool, float, str]:
    number = number_of(name)
    return (number is None, number or 0.0, name)
