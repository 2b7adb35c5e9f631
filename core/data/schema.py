"""The schema of a table: what its columns hold, and how rows of cells become numbers (N, D) float32.

A number is standardized, with NaN for a gap; a category is a whole number, 0 for a gap or one that
training did not have. So a network fills gaps itself, and a request with a gap is answered.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ..runtime import bounds
from ..runtime.errors import ArtifactError, DataError, UnfitPayloadError, did_you_mean
from ..runtime.faults import MAX_FAULTS, quoted
from ..runtime.types import Array
from . import reading, times
from .cells import is_no_value, number_of
from .columns import (
    CATEGORY,
    CLOCK,
    DAY_SIZES,
    MAX_CATEGORIES,
    MONTH,
    MOSTLY,
    NUMBER,
    TEXT,
    TIME,
    WEEKDAY,
    Column,
    Oddity,
    Spread,
    Survey,
    key_of,
    plain_numbers,
    text_of,
    texts_of,
)
from .numbers import FLOAT32_LIMIT
from .reading import Headings
from .rows import Collected, Rows
from .sources import Block, Cells, Part, Table
from .sources import read_table as read_table  # whoever has a schema has a table

AUTO, CLASSES, NUMBERS = "auto", "classes", "numbers"
TARGET_NAMES = ("target", "label", "class", "y", "outcome")
FEW_CLASSES = 20  # so many whole numbers may name classes
ROWS_OF_A_CLASS = 10  # on average, where they do
RARE = 2  # rows; a category of fewer is one of the others
SHOWN = 5
CELL_BYTES = 100  # of a request's cell, as text and as number


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


class Feature(NamedTuple):
    """One number of an encoded row: ``kind`` is NUMBER, or CATEGORY with codes below ``size``.

    ``column`` is the index among ``Schema.features``: a time becomes several.
    """

    name: str
    kind: str
    size: int
    column: int
    part: str = ""


class Schema(BaseModel):
    """The columns of a table in their order; ``targets`` are what is to be estimated.

    ``classes`` are the names of a target's classes; empty where numbers are estimated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Tuple[Column, ...]
    targets: Tuple[str, ...]
    classes: Tuple[str, ...] = ()
    has_names: bool = True

    @classmethod
    def infer(cls, table: Table, overrides: Overrides = Overrides()) -> Schema:
        """Told by all cells of ``table``, and by ``overrides``. Raises DataError."""
        return _Inference(table, overrides).schema()

    @classmethod
    def from_json(cls, value: Any) -> Schema:
        """Of what ``to_json`` gave. Raises ArtifactError."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ArtifactError(
                f"the schema of the table's columns: {place}: {first['msg']}"
            ) from None

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

    def encode(self, records: Sequence[Any]) -> Array:
        """Records of a request as (N, D) float32: each a list of cells, of the features, or of all
        columns with or without the targets; or an object by headings, where what is missing is a
        gap. Raises UnfitPayloadError, with the column of each fault.
        """
        return _Request(self, records).encoded()

    def headings(self) -> Optional[Headings]:
        """The headings by which columns of later tables are taken; None where there are none."""
        if not self.has_names:
            return None
        return Headings(
            columns=tuple(c.name for c in self.features), labels=self.targets, mixed=True
        )

    def shown(self) -> str:
        """A line a column: its name, what it holds, gaps, different values, an example."""
        rows = [("column", "kind", "gaps", "different", "example")]
        for column in self.columns:
            kind = column.kind
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

    def dataset(self, table: Table, memory: int = 2**30) -> TableDataset:
        """The rows of ``table`` that have a target, encoded. Raises DataError."""
        return _Reading(self, table, memory).dataset()


@dataclass(frozen=True)
class TableDataset:
    """Encoded rows: ``rows`` (N, D) float32, ``y`` (N,) int32 classes or (N,) or (N, T) float32."""

    schema: Schema
    rows: Rows
    y: Array
    note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def encoding(self) -> Mapping[str, Any]:
        named: Dict[str, Any] = {"schema": self.schema.to_json()}
        if self.schema.classes:
            named["classes"] = list(self.schema.classes)
        else:
            named["targets"] = list(self.schema.targets)
        return named

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: Array) -> tuple[Array, Array]:
        return self.rows.take(indices), self.y[indices]

    def labels(self) -> Array:
        return self.y

    def digest(self) -> str:
        digest = hashlib.sha256(self.rows.digest.encode())
        digest.update(f"{self.y.dtype.str}{self.y.shape}".encode())
        digest.update(np.ascontiguousarray(self.y).view(np.uint8).data)
        return digest.hexdigest()


class _Inference:
    """One look, or where something turns out late, two, through all cells of a table."""

    def __init__(self, table: Table, overrides: Overrides) -> None:
        self.table, self.overrides = table, overrides
        self.path = table.path
        self.names = _unlike(table)
        self.targets = self._chosen("target") or self._default_target()
        self.ids = self._chosen("id")
        self.ignored = self._chosen("ignore")
        self.kinds = dict.fromkeys(self._chosen("categorical"), CATEGORY)
        self.kinds.update(dict.fromkeys(self._chosen("numeric"), NUMBER))
        both = [i for i in self.targets if i in (*self.ids, *self.ignored)]
        both += [i for i in self._chosen("categorical") if i in self._chosen("numeric")]
        if both:
            names = ", ".join(repr(self.names[i]) for i in both)
            raise DataError(f"{self.path}: {names}: decided in two ways that exclude each other")
        self.classes: Tuple[str, ...] = ()
        self.faults: List[str] = []

    def _chosen(self, what: str) -> List[int]:
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

    def _default_target(self) -> List[int]:
        """The first column where there are no headings, as SageMaker has it; else by its name."""
        if not self.table.has_names:
            return [0]
        keys = [reading.key_of(name) for name in self.names]
        found = [keys.index(name) for name in TARGET_NAMES if name in keys]
        if len(found) != 1:
            names = ", ".join(name[:40] for name in self.names[:20])
            more = f" and {len(self.names) - 20:,} more" if len(self.names) > 20 else ""
            raise DataError(
                f"{self.path}: which column is to be estimated? --target says it, by its heading or "
                f"its number from 1; its columns are {names}{more}"
            )
        return found

    def schema(self) -> Schema:
        surveys = self._surveyed({})
        again = {
            i: (survey.kind, survey.decimal)
            for i, survey in enumerate(surveys)
            for survey in [self._recounted(i, survey, surveys)]
            if survey is not None
        }
        if again:
            for i, survey in enumerate(self._surveyed(again)):
                if i in again:
                    surveys[i] = survey
        columns = tuple(self._column(i, survey) for i, survey in enumerate(surveys))
        if self.faults:
            raise DataError(*self.faults)
        schema = Schema(
            columns=columns,
            targets=tuple(self.names[i] for i in self.targets),
            classes=self.classes,
            has_names=self.table.has_names,
        )
        if not schema.features:
            reasons = "; ".join(f"{c.name}: {c.left_out}" for c in columns[:SHOWN] if c.left_out)
            raise DataError(f"{self.path}: no column is left to learn from ({reasons})")
        return schema

    def _surveyed(self, again: Mapping[int, Tuple[str, str]]) -> List[Survey]:
        surveys = []
        for i, name in enumerate(self.names):
            kind, decimal = again.get(i, (self.kinds.get(i, ""), "."))
            surveys.append(Survey(name, kind, decimal, with_places=i in self.targets))
        looked = [i for i in (again or range(len(self.names))) if i not in self.ignored]
        for _, block in self.table.blocks():
            for i in looked:
                surveys[i].add(block.columns[i], block.places)
        return surveys

    def _recounted(self, index: int, survey: Survey, surveys: Sequence[Survey]) -> Optional[Survey]:
        """How a column is looked at again; None where that is not needed."""
        kind = self._kind(index, survey)
        commas = any(each.comma and not each.point for each in surveys)
        if kind == NUMBER and commas and not survey.point and not survey.kind == CATEGORY:
            return Survey(survey.name, survey.kind, ",")
        if kind in (CATEGORY, TEXT) and survey.uncounted and survey.kind != CATEGORY:
            return Survey(survey.name, CATEGORY)
        return None

    def _kind(self, index: int, survey: Survey) -> str:
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
        kind = self._kind(index, survey)
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

    def _fault(self, column: Column, what: str, odd: Optional[Oddity]) -> None:
        unit = self.table.parts[0].unit
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
                f"{self.path}: the target {name!r} is not a number in every row (line {where.place}: "
                f"{quoted(where.cell)})"
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
        self.classes = tuple(sorted(words, key=_class_order))
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

    def _class_names(self, survey: Survey) -> Optional[Dict[str, int]]:
        """The rows of each class by its name; those that are one number have one name."""
        if survey.words is None:
            return None
        found: Dict[str, int] = {}
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
        unit = self.table.parts[0].unit
        shown = ", ".join(f"{word!r} ({unit} {places.get(word, 0):,})" for word in single[:SHOWN])
        more = f" and {len(single) - SHOWN:,} more" if len(single) > SHOWN else ""
        reading.note(
            f"warning: of the target {survey.name!r}, one row alone has the value {shown}{more}: "
            "mend it if it is mistyped",
            self.path,
        )


def class_name(word: str) -> str:
    """What the class of a target's cell is called: ``1`` for ``1.0``, else as it stands."""
    number = number_of(word)
    plain = number is not None and math.isfinite(number) and _is_plain(word)
    return text_of(number) if plain else word


def _is_plain(word: str) -> bool:
    return all(sign in "0123456789+-.eE" for sign in word)


def _class_order(name: str) -> Tuple[bool, float, str]:
    number = number_of(name)
    return (number is None, number or 0.0, name)


def _unlike(table: Table) -> Tuple[str, ...]:
    """The names of the columns. Raises DataError where two are alike."""
    seen: Dict[str, int] = {}
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


class _Codes(Dict[str, int]):
    """Codes of a column's categories by cell, -1 for one that is not among them; kept as found."""

    def __init__(self, column: Column) -> None:
        super().__init__((word, code) for code, word in enumerate(column.categories, 1))
        self.alike: Dict[str, int] = {}
        twice = set()
        for word, code in list(self.items()):
            key = key_of(word)
            twice.update({key} if key in self.alike else ())
            self.alike[key] = code
        for key in twice:
            del self.alike[key]

    def __missing__(self, cell: str) -> int:
        word = cell.strip()
        code = 0
        if not is_no_value(word):
            code = dict.get(self, word, 0) or self.alike.get(key_of(word), -1)
        if len(self) < 2 * MAX_CATEGORIES and len(cell) < CELL_BYTES:
            self[cell] = code
        return code


class Wrong(NamedTuple):
    """A cell that cannot be encoded: its row in the block, its column, and why."""

    row: int
    column: Column
    reason: str


class Encoder:
    """Makes blocks (B, D) float32 of cells, by what was found in training."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.features = schema.features
        self.encoded = schema.encoded
        self.codes = {c.name: _Codes(c) for c in self.features if c.kind == CATEGORY}
        self.unseen: Dict[str, int] = {}
        self.first_unseen: Dict[str, str] = {}

    def block(self, columns: Sequence[Cells]) -> Tuple[Array, List[Wrong]]:
        """The cells of the features, column by column, encoded; and what is wrong with them."""
        rows = len(columns[0])
        block = np.empty((rows, len(self.encoded)), np.float32)
        wrong: List[Wrong] = []
        place = 0
        for column, cells in zip(self.features, columns):
            if column.kind == CATEGORY:
                block[:, place] = self._category(column, cells)
                place += 1
                continue
            if column.kind == TIME:
                values = moments(column, cells, wrong)
            else:
                values = numbers(column, cells, wrong)
            block[:, place] = standardized(column, values, wrong)
            place += 1
            for part in column.parts:
                block[:, place] = part_of(values, part)
                place += 1
        return block, wrong

    def _category(self, column: Column, cells: Cells) -> Array:
        words = texts_of(cells) if isinstance(cells, np.ndarray) else cells
        known = self.codes[column.name]
        codes = np.fromiter(map(known.__getitem__, words), np.int64, len(words))
        unseen = codes < 0
        count = int(unseen.sum())
        if count:
            self.unseen[column.name] = self.unseen.get(column.name, 0) + count
            self.first_unseen.setdefault(column.name, words[int(np.argmax(unseen))].strip())
            codes[unseen] = column.size - 1 if column.has_other else 0
        return codes


def numbers(column: Column, cells: Cells, wrong: List[Wrong]) -> Array:
    """The numbers (B,) float64 in ``cells``, NaN for gaps; what is none goes to ``wrong``."""
    if isinstance(cells, np.ndarray):
        return cells.astype(np.float64)
    values = plain_numbers(cells) if column.decimal == "." else None
    if values is None:
        found = {cell: _number(cell, column) for cell in set(cells)}
        values = np.fromiter(map(found.__getitem__, cells), np.float64, len(cells))
        if any(map(math.isinf, found.values())):
            bad = np.flatnonzero(np.isinf(values)).tolist()
            wrong += [Wrong(i, column, _why_no_number(cells[i])) for i in bad]
            values[bad] = math.nan
    return values


def _number(cell: str, column: Column) -> float:
    """NaN for a gap, infinite for what is no finite number."""
    if is_no_value(cell):
        return math.nan
    number = number_of(cell, column.decimal)
    if number is None:
        return math.nan if column.words_are_gaps else math.inf
    return number


def _why_no_number(cell: str) -> str:
    if number_of(cell) is not None:
        return f"{quoted(cell)} is not a finite float32"
    return f"{quoted(cell)} is not a number"


def moments(column: Column, cells: Cells, wrong: List[Wrong]) -> Array:
    """The days since 1970 (B,) float64 in ``cells``, NaN for gaps."""
    words = texts_of(cells) if isinstance(cells, np.ndarray) else cells
    found: Dict[str, float] = {}
    for cell in set(words):
        moment = times.moment(cell, column.order)
        found[cell] = moment.days if moment else math.nan if is_no_value(cell) else math.inf
    values = np.fromiter(map(found.__getitem__, words), np.float64, len(words))
    bad = np.flatnonzero(np.isinf(values)).tolist()
    wrong += [Wrong(i, column, f"{quoted(words[i])} is not a date or time") for i in bad]
    values[bad] = math.nan
    return values


def standardized(column: Column, values: Array, wrong: List[Wrong]) -> Array:
    """``values`` (B,) float64 less the centre, in scales; what is beyond float32 is ``wrong``."""
    with np.errstate(over="ignore"):
        found: Array = (values - column.centre) / column.scale
    beyond = np.flatnonzero((np.abs(found) >= FLOAT32_LIMIT) | (np.abs(values) >= FLOAT32_LIMIT))
    for row in beyond.tolist():
        wrong.append(Wrong(row, column, f"{values[row]:g} is not a finite float32"))
    found[beyond] = math.nan
    return found


def part_of(values: Array, part: str) -> Array:
    """The month (1 to 12) or weekday (1 to 7) of days since 1970, 0 for a gap; or the time of day
    from -1 to 1, NaN for a gap.
    """
    if part == CLOCK:
        clock: Array = 2 * (values - np.floor(values)) - 1
        return clock
    codes: Array = np.zeros(len(values), np.float64)
    filled = np.flatnonzero(~np.isnan(values))
    days = np.floor(values[filled]).astype(np.int64)
    if part == WEEKDAY:
        codes[filled] = (days + 3) % 7 + 1
    else:
        codes[filled] = (
            days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
        )
    return codes


class _Reading:
    """One reading of a table by a schema that is known."""

    def __init__(self, schema: Schema, table: Table, memory: int) -> None:
        self.schema, self.table = schema, table.like([c.name for c in schema.columns])
        self.encoder = Encoder(schema)
        self.collected = Collected(memory)
        self.y: List[Array] = []
        self.faults: List[str] = []
        self.more = 0
        self.without = 0
        self.first_without: Optional[str] = None
        self.classes = {name: code for code, name in enumerate(schema.classes)}

    def dataset(self) -> TableDataset:
        headings = self.schema.headings()
        if headings is not None:
            reading.keep(headings)
        places = self._places()
        count = len(self.schema.targets)
        for part, block in self.table.blocks():
            self._block(part, block, places[count:], places[:count])
        if self.more:
            self.faults.append(f"... and {self.more:,} more")
        if self.faults:
            raise DataError(*self.faults)
        if not self.collected.count:
            raise DataError(f"{self.table.path}: no row has a target")
        return TableDataset(
            self.schema, self.collected.rows(), np.concatenate(self.y), *self._told()
        )

    def _places(self) -> List[int]:
        """Where the targets and the features stand in the table."""
        wanted = [*self.schema.targets, *(c.name for c in self.schema.features)]
        names = self.table.names
        if self.table.has_names and self.schema.has_names:
            return self._by_name(names, wanted)
        if len(names) != len(self.schema.columns):
            raise DataError(
                f"{self.table.path}: has {len(names):,} columns, the training's table "
                f"{len(self.schema.columns):,}, and not both have headings by which to take them"
            )
        by_name = {column.name: i for i, column in enumerate(self.schema.columns)}
        return [by_name[name] for name in wanted]

    def _by_name(self, names: Sequence[str], wanted: Sequence[str]) -> List[int]:
        """Where the columns ``wanted`` stand; of those that training left out nothing is said."""
        left_out = {reading.key_of(c.name) for c in self.schema.columns if c.left_out}
        places = [i for i, name in enumerate(names) if reading.key_of(name) not in left_out]
        in_order = [c.name for c in self.schema.columns if c.name in set(wanted)]
        header = [names[i] for i in places]
        found = reading.placed(self.table.path, header, in_order)
        by_name = {name: places[i] for name, i in zip(in_order, found)}
        return [by_name[name] for name in wanted]

    def _block(
        self, part: Part, block: Block, features: Sequence[int], targets: Sequence[int]
    ) -> None:
        wrong: List[Wrong] = []
        given = [block.columns[i] for i in targets]
        y = (
            self._classes(given[0], wrong)
            if self.schema.classes
            else np.stack([self._target(c, g, wrong) for c, g in
                           zip(self.schema.target_columns, given)], axis=1)
        )  # fmt: skip
        kept = y >= 0 if self.schema.classes else ~np.isnan(y).any(axis=1)
        left_out = np.flatnonzero(~kept)
        if len(left_out) and not wrong:
            self.without += len(left_out)
            place = f"{part.unit} {block.places[left_out[0]]:,}"
            self.first_without = self.first_without or place
        x, more = self.encoder.block([block.columns[i] for i in features])
        for each in [*wrong, *more]:
            if len(self.faults) < MAX_FAULTS:
                place = f"{part.unit} {block.places[each.row]}"
                self.faults.append(
                    f"{part.path}: {place}, column {quoted(each.column.name)}: {each.reason}"
                )
            else:
                self.more += 1
        if kept.any():
            self.collected.add(x[kept], part.path)
            found = y[kept]
            self.y.append(found if self.schema.classes or found.shape[1] > 1 else found[:, 0])

    def _target(self, column: Column, cells: Cells, wrong: List[Wrong]) -> Array:
        values = numbers(column, cells, wrong)
        return values.astype(np.float32)

    def _classes(self, cells: Cells, wrong: List[Wrong]) -> Array:
        """The classes (B,) int32, -1 for a gap."""
        words = texts_of(cells) if isinstance(cells, np.ndarray) else cells
        column = self.schema.target_columns[0]
        found: Dict[str, int] = {}
        for cell in set(words):
            word = cell.strip()
            code = self.classes.get(class_name(word), self.classes.get(word))
            found[cell] = -1 if is_no_value(word) else -2 if code is None else code
        codes = np.fromiter(map(found.__getitem__, words), np.int32, len(words))
        for i in np.flatnonzero(codes == -2).tolist():
            known = ", ".join(self.schema.classes[:SHOWN])
            wrong.append(
                Wrong(
                    i,
                    column,
                    f"{quoted(words[i].strip())} is none of the training's classes: {known}",
                )
            )
        return codes

    def _told(self) -> Tuple[str, Mapping[str, int]]:
        """A sentence on what was left out or not known, and the figures in it."""
        parts: List[str] = []
        counts: Dict[str, int] = {}
        if self.without:
            what = "row without a target is" if self.without == 1 else "rows without a target are"
            parts.append(f"{self.without:,} {what} left out (the first: {self.first_without})")
            counts["without_target"] = self.without
        rare = {c.name for c in self.schema.features if c.has_other}
        unseen = {name: n for name, n in self.encoder.unseen.items() if name not in rare}
        if unseen:
            shown = [
                f"{name}: {count:,} (such as {quoted(self.encoder.first_unseen[name])})"
                for name, count in list(unseen.items())[:SHOWN]
            ]
            parts.append(f"categories that training did not have, by column: {', '.join(shown)}")
            counts["unseen_categories"] = sum(unseen.values())
        return "; ".join(parts), counts


class _Request:
    """The records of one request, column by column."""

    def __init__(self, schema: Schema, records: Sequence[Any]) -> None:
        self.schema, self.records = schema, records
        self.features = schema.features
        self.names = [c.name for c in self.features]
        self.known = {reading.key_of(c.name): c.name for c in schema.columns}
        used = {name: i for i, name in enumerate(self.names)}
        columns = [c.name for c in schema.columns]
        inputs = [name for name in columns if name not in schema.targets]
        self.places: Dict[int, List[int]] = {}
        for names in (columns, inputs, self.names):
            self.places[len(names)] = [names.index(name) for name in used]
        self.faults: List[str] = []

    def encoded(self) -> Array:
        bounds.charge(CELL_BYTES * len(self.records) * max(1, len(self.features)))
        rows = []
        for number, record in enumerate(self.records, 1):
            if number % 1024 == 0:
                bounds.check_time()
            rows.append(self._cells(number, record))
            if len(self.faults) > MAX_FAULTS:
                break
        self._refuse()
        block, wrong = Encoder(self.schema).block(list(zip(*rows)))  # type: ignore[arg-type]
        self.faults = [
            f"example {each.row + 1}, column {quoted(each.column.name)}: {each.reason}"
            for each in wrong
        ]
        self._refuse()
        return block

    def _refuse(self) -> None:
        if self.faults:
            more = len(self.faults) - MAX_FAULTS
            raise UnfitPayloadError(
                *self.faults[:MAX_FAULTS], *([f"... and {more:,} more"] if more > 0 else [])
            )

    def _cells(self, number: int, record: Any) -> List[str]:
        if isinstance(record, Mapping):
            values = self._of_object(number, record)
        elif isinstance(record, (list, tuple)):
            values = self._of_row(number, record)
        elif len(self.features) == 1 and not isinstance(record, Mapping):
            values = [record]
        else:
            self.faults.append(
                f"example {number}: expected an object by column, or a list of "
                f"{len(self.features)} cells ({self._listed()})"
            )
            values = []
        return [self._cell(number, c, value) for c, value in zip(self.features, values)]

    def _of_row(self, number: int, row: Sequence[Any]) -> List[Any]:
        places = self.places.get(len(row))
        if places is None:
            self.faults.append(
                f"example {number} has {len(row)} cells, expected {len(self.features)}: "
                f"{self._listed()}"
            )
            return []
        return [row[i] for i in places]

    def _of_object(self, number: int, record: Mapping[str, Any]) -> List[Any]:
        given = {self.known.get(reading.key_of(str(key)), str(key)): v for key, v in record.items()}
        missing = [name for name in self.names if name not in given]
        unknown = [name for name in given if name not in set(self.known.values())]
        if (missing and unknown) or len(missing) == len(self.names):
            near = did_you_mean(unknown[0], missing) if unknown else ""
            what = f"has no column {quoted(unknown[0])}{near}" if unknown else "names no column"
            self.faults.append(
                f"example {number} {what}: expected {self._listed()}; a column that is left out is "
                "a gap"
            )
            return []
        return [given.get(name) for name in self.names]

    def _cell(self, number: int, column: Column, value: Any) -> str:
        if isinstance(value, str):
            return value
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            text = str(value) if isinstance(value, int) else repr(value)
            return text.replace(".", column.decimal)
        self.faults.append(
            f"example {number}, column {quoted(column.name)}: expected a number, a text or null, "
            f"got {'an object' if isinstance(value, dict) else 'a list'}"
        )
        return ""

    def _listed(self) -> str:
        more = len(self.names) - 20
        return ", ".join(name[:40] for name in self.names[:20]) + (
            f" and {more:,} more" if more > 0 else ""
        )


def united(schemas: Sequence[Schema], hosts: Sequence[str]) -> Schema:
    """One schema in place of those of ``hosts``, as if it were told by all of their rows.

    Raises DataError, with each column that is of another kind on some host.
    """
    names = [tuple(reading.key_of(c.name) for c in schema.columns) for schema in schemas]
    if len(set(names)) > 1 or len({schema.targets for schema in schemas}) > 1:
        raise DataError("the hosts' tables have not the same columns, in the same order")
    faults: List[str] = []
    columns = []
    for same in zip(*(schema.columns for schema in schemas)):
        filled = [column for column in same if column.count]
        kinds = {column.kind for column in filled}
        if len(kinds) > 1:
            has = "; ".join(f"{c.kind} on {host}" for c, host in zip(same, hosts))
            faults.append(
                f"column {same[0].name!r} is not of one kind: {has}: --categorical, --numeric or "
                "--ignore decides"
            )
        columns.append(_united(filled or list(same)))
    if faults:
        raise DataError(*faults)
    classes = sorted({name for schema in schemas for name in schema.classes}, key=_class_order)
    return schemas[0].model_copy(update={"columns": tuple(columns), "classes": tuple(classes)})


def _united(same: Sequence[Column]) -> Column:
    spread = Spread()
    for column in same:
        spread.merge(column.count, column.centre, column.count * column.scale**2)
    words = sorted({word for column in same for word in column.categories})
    reasons = {column.left_out for column in same}
    parts = {part for column in same for part in column.parts}
    first = same[0]
    return first.model_copy(
        update={
            "left_out": first.left_out if len(reasons) == 1 else "",
            "count": spread.count,
            "gaps": sum(column.gaps for column in same),
            "distinct": None,
            "centre": spread.mean,
            "scale": spread.scale if first.kind in (NUMBER, TIME) else 1.0,
            "categories": tuple(words),
            "has_other": any(column.has_other for column in same),
            "parts": tuple(part for part in (MONTH, WEEKDAY, CLOCK) if part in parts),
        }
    )
