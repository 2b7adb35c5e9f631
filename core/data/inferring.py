"""What the columns of a table hold, told by all of their cells and by what the user decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from ..runtime.errors import DataError
from ..runtime.faults import MAX_FAULTS, quoted
from . import reading, times
from .columns import (
    CATEGORY,
    CLOCK,
    MAX_CATEGORIES,
    MONTH,
    NUMBER,
    TEXT,
    TIME,
    WEEKDAY,
    Column,
    Kind,
    class_name,
    class_order,
)  # fmt: skip
from .sources import Table
from .survey import MOSTLY, Oddity, Survey

AUTO, CLASSES, NUMBERS = "auto", "classes", "numbers"
TARGET_NAMES = ("target", "label", "class", "y", "outcome")
FEW_CLASSES = 20  # so many whole numbers may name classes
ROWS_OF_A_CLASS = 10  # on average, where they do
RARE = 2  # rows; a category of fewer is one of the others
SHOWN = 5


@dataclass(frozen=True)
class Overrides:
    """What the user decides of the columns: lists of headings, or of numbers from 1.

    ``target_kind`` is AUTO, CLASSES or NUMBERS. ``rare`` is the number of rows below which a
    category is one of the others.
    """

    target: str = ""
    target_kind: str = AUTO
    categorical: str = ""
    numeric: str = ""
    ignore: str = ""
    id: str = ""
    rare: int = RARE


class Inference:
    """One look, or where something turns out late, two, through all cells of a table."""

    def __init__(self, table: Table, overrides: Overrides) -> None:
        self.table, self.overrides = table, overrides
        self.path = table.path
        self.names = _unlike(table)
        self.targets = self._chosen("target") or self._default_target()
        self.ids = self._chosen("id")
        self.ignored = self._chosen("ignore")
        self.kinds: dict[int, Kind] = dict.fromkeys(self._chosen("categorical"), CATEGORY)
        self.kinds.update(dict.fromkeys(self._chosen("numeric"), NUMBER))
        both = [i for i in self.targets if i in (*self.ids, *self.ignored)]
        both += [i for i in self._chosen("categorical") if i in self._chosen("numeric")]
        if both:
            names = ", ".join(repr(self.names[i]) for i in both)
            raise DataError(f"{self.path}: {names}: decided in two ways that exclude each other")
        self.classes: tuple[str, ...] = ()
        self.faults: list[str] = []

    def _chosen(self, what: str) -> list[int]:
        text = getattr(self.overrides, what)
        label_column = reading.current().label_column
        if what == "target" and label_column is not None:
            if text and text != label_column:
                raise DataError(
                    f"--target {text}: --label-column says {label_column}: give one of them"
                )
            text = label_column
        if not text:
            return []
        header = self.names if self.table.has_names else ()
        return reading.places(text, len(self.names), header, str(self.path), f"--{what}")

    def _default_target(self) -> list[int]:
        """The first column where there are no headings, as SageMaker has it; else by its name."""
        if not self.table.has_names:
            return [0]
        keys = [reading.key_of(name) for name in self.names]
        found = [keys.index(name) for name in TARGET_NAMES if name in keys]
        if len(found) != 1:
            names = ", ".join(name[:40] for name in self.names[:20])
            more = f" and {len(self.names) - 20:,} more" if len(self.names) > 20 else ""
            raise DataError(
                f"{self.path}: which column is to be estimated? --target says it, by its heading "
                f"or its number from 1; its columns are {names}{more}"
            )
        return found

    def columns(self) -> tuple[Column, ...]:
        surveys = self._surveyed({})
        commas = any(each.comma and not each.point for each in surveys)
        again = {
            i: (found.kind, found.decimal)
            for i, found in enumerate(self._recounted(each, commas) for each in surveys)
            if found is not None
        }
        if again:
            for i, survey in enumerate(self._surveyed(again)):
                if i in again:
                    surveys[i] = survey
        columns = tuple(self._column(i, survey) for i, survey in enumerate(surveys))
        if self.faults:
            raise DataError(*self.faults)
        if all(c.left_out or i in self.targets for i, c in enumerate(columns)):
            reasons = "; ".join(f"{c.name}: {c.left_out}" for c in columns[:SHOWN] if c.left_out)
            raise DataError(f"{self.path}: no column is left to learn from ({reasons})")
        return columns

    def _surveyed(self, again: Mapping[int, tuple[Kind | None, str]]) -> list[Survey]:
        surveys = []
        for i, name in enumerate(self.names):
            kind, decimal = again.get(i, (self.kinds.get(i), "."))
            surveys.append(Survey(name, kind, decimal, with_places=i in self.targets))
        looked = [i for i in (again or range(len(self.names))) if i not in self.ignored]
        memory = self.table.remembered
        memory.begin(looked)
        for part, block in self.table.blocks(looked):
            for i, cells in zip(looked, block.columns):
                memory.add(i, cells, surveys[i].add(cells, block.places))
            memory.end_block(part, block.places)
        return surveys

    def _recounted(self, survey: Survey, commas: bool) -> Survey | None:
        """How a column is looked at again, None where that is not needed; ``commas`` says whether
        the table has decimal ones.
        """
        kind = self._kind(survey)
        if kind == NUMBER and commas and not survey.point and survey.kind != CATEGORY:
            return Survey(survey.name, survey.kind, ",")
        if kind in (CATEGORY, TEXT) and survey.uncounted and survey.kind != CATEGORY:
            return Survey(survey.name, CATEGORY)
        return None

    def _kind(self, survey: Survey) -> Kind:
        if survey.kind:
            return survey.kind
        filled = survey.filled
        numbers = survey.spread.count + survey.commas
        if filled and not survey.others and survey.times == filled:
            return TIME
        if not filled or numbers >= MOSTLY * filled:
            return NUMBER
        return CATEGORY

    def _column(self, index: int, survey: Survey) -> Column:
        name = survey.name
        if index in self.ignored:
            return Column(name=name, kind=TEXT, left_out="--ignore")
        kind = self._kind(survey)
        column = Column(
            name=name, kind=kind, count=survey.filled, gaps=survey.gaps, example=survey.example
        )
        if kind == NUMBER:
            column = self._number(index, survey, column)
        elif kind == TIME:
            column = self._time(survey, column)
        else:
            column = self._category(index, survey, column)
        if index in self.targets:
            return self._target(index, survey, column)
        if index in self.ids:
            return column.model_copy(update={"left_out": "--id"})
        return column.model_copy(update={"left_out": self._left_out(index, survey, column)})

    def _left_out(self, index: int, survey: Survey, column: Column) -> str:
        """Why a column is no feature; empty where it is one."""
        if not survey.filled:
            return "empty in every row"
        if column.distinct == 1 and not survey.gaps:
            return f"{column.example} in every row"
        if index in self.kinds:
            return ""
        if column.kind == TEXT:
            return "text, nearly all different"
        if survey.is_another_each() and column.kind != TIME:
            return "another value in each row, as an id"
        if column.kind == CATEGORY and not column.categories:
            return "hardly a value comes twice"
        return ""

    def _number(self, index: int, survey: Survey, column: Column) -> Column:
        wrong = [
            (f"is not a number in {survey.others:,} of {survey.filled:,} rows", survey.other)
            if survey.others and survey.kind != NUMBER
            else None,
            ("is not finite in float32", survey.beyond) if survey.beyond else None,
            (
                "has decimal commas and decimal points",
                survey.comma if survey.decimal == "." else survey.point,
            )
            if survey.comma and survey.point
            else None,
        ]
        for what, odd in filter(None, wrong):
            self._fault(column, what, odd)
        spread = survey.spread
        known = {} if spread.many or spread.distinct is None else {"distinct": len(spread.distinct)}
        return column.model_copy(
            update={
                "centre": spread.mean,
                "scale": spread.scale,
                "decimal": survey.decimal,
                "count": spread.count,
                "gaps": survey.rows - spread.count,
                "words_are_gaps": survey.kind == NUMBER and survey.others > 0,
                **known,
            }
        )

    def _fault(self, column: Column, what: str, odd: Oddity | None) -> None:
        unit = self.table.unit
        where = f" (the first in {unit} {odd.place}: {quoted(odd.cell)})" if odd else ""
        flags = (
            f": mend that, or decide: --categorical {quoted(column.name)} takes all its values for "
            f"names, --numeric {quoted(column.name)} those that are no numbers for gaps"
        )
        self.faults.append(f"{self.path}: column {quoted(column.name)} {what}{where}{flags}")

    def _time(self, survey: Survey, column: Column) -> Column:
        counts = {order: spread.count for order, spread in survey.moments.items()}
        order = max(counts, key=lambda each: (counts[each], each == times.DMY))
        spread = survey.moments[order]
        if spread.count < survey.filled:
            self.faults.append(
                f"{self.path}: column {quoted(column.name)} holds dates, some with the day first "
                "and some with the month: write them as 2020-01-31"
            )
        both = counts[times.DMY] == counts[times.MDY]
        if both and survey.moments[times.DMY].mean != survey.moments[times.MDY].mean:
            reading.note(
                f"column {column.name!r}: dates such as {column.example} are read with the day "
                "first; write them as 2020-01-31 if the month is",
                self.path,
            )
        parts = [name for name in (MONTH, WEEKDAY) if len(survey.bits[name]) > 1]
        if survey.has_clock and parts:
            parts.append(CLOCK)
        return column.model_copy(
            update={
                "centre": spread.mean,
                "scale": spread.scale,
                "order": order,
                "parts": tuple(parts),
                "distinct": len(spread.values),
            }
        )

    def _category(self, index: int, survey: Survey, column: Column) -> Column:
        decided = index in self.kinds or index in self.targets
        if survey.words is None or (survey.is_text() and not decided):
            return column.model_copy(update={"kind": TEXT})
        words = survey.words
        often = [word for word, count in words.items() if count >= self.overrides.rare]
        often.sort(key=lambda word: (-words[word], word))
        known = sorted(often[:MAX_CATEGORIES])
        return column.model_copy(
            update={
                "categories": tuple(known),
                "has_other": len(known) < len(words),
                "distinct": len(words),
            }
        )

    def _target(self, index: int, survey: Survey, column: Column) -> Column:
        """The target's column; where it is of classes, ``classes`` are set."""
        name = column.name
        wanted = self.overrides.target_kind
        if not survey.filled:
            self.faults.append(f"{self.path}: the target {name!r} is empty in every row")
            return column
        numeric = column.kind == NUMBER
        if wanted == NUMBERS and not numeric:
            where = survey.other or Oddity(0, column.example)
            self.faults.append(
                f"{self.path}: the target {name!r} is not a number in every row "
                f"({self.table.unit} {where.place}: {quoted(where.cell)})"
            )
            return column
        are_classes = wanted == CLASSES or (wanted == AUTO and self._are_classes(survey, column))
        if not are_classes or len(self.targets) > 1:
            if not numeric:
                self.faults.append(
                    f"{self.path}: of several targets, each is a number: {name!r} is none"
                )
            return column
        words = self._class_names(survey)
        if words is None or len(words) > MAX_CATEGORIES:
            self.faults.append(
                f"{self.path}: the target {name!r} has another value in nearly each row (such as "
                f"{quoted(column.example)}): it names no classes; --target names another column"
            )
            return column
        self.classes = tuple(sorted(words, key=class_order))
        self._say_odd(survey, words)
        return column.model_copy(
            update={"kind": CATEGORY, "categories": (), "has_other": False, "distinct": len(words)}
        )

    def _are_classes(self, survey: Survey, column: Column) -> bool:
        if column.kind != NUMBER:
            return True
        spread = survey.spread
        if spread.many or spread.distinct is None or not spread.whole:
            return False
        count = len(spread.distinct)
        return count <= 2 or (count <= FEW_CLASSES and spread.count >= ROWS_OF_A_CLASS * count)

    def _class_names(self, survey: Survey) -> dict[str, int] | None:
        """The rows of each class by its name; those that are one number have one name."""
        if survey.words is None:
            return None
        found: dict[str, int] = {}
        for word, count in survey.words.items():
            name = class_name(word)
            found[name] = found.get(name, 0) + count
        return found

    def _say_odd(self, survey: Survey, words: Mapping[str, int]) -> None:
        """A class with one row beside classes of many may be mistyped."""
        single = [word for word, count in words.items() if count == 1]
        if not single or len(words) < 3 or max(words.values()) < ROWS_OF_A_CLASS:
            return
        places = {class_name(word): line for word, line in (survey.places or {}).items()}
        unit = self.table.unit
        shown = ", ".join(f"{word!r} ({unit} {places.get(word, 0):,})" for word in single[:SHOWN])
        more = f" and {len(single) - SHOWN:,} more" if len(single) > SHOWN else ""
        reading.note(
            f"warning: of the target {survey.name!r}, one row alone has the value {shown}{more}: "
            "mend it if it is mistyped",
            self.path,
        )


def _unlike(table: Table) -> tuple[str, ...]:
    """The names of the columns. Raises DataError where two are alike."""
    seen: dict[str, int] = {}
    faults = []
    for i, name in enumerate(table.names):
        key = reading.key_of(name)
        if key in seen:
            faults.append(
                f"{table.path}: columns {seen[key] + 1} and {i + 1} have the same heading, "
                f"{name[:40]!r}: give each its own, or choose by number: --columns"
            )
        seen.setdefault(key, i)
    if faults:
        raise DataError(*faults[:MAX_FAULTS])
    return table.names
