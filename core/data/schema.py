"""The schema of a table: what its columns hold, and how rows become numbers (N, D) float32.

A number is standardized, with NaN for a gap; a category is a whole number, 0 for a gap or one that
training did not have. So a network fills gaps itself, and a request with a gap is answered.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from pydantic import ValidationError

from ..runtime.errors import ArtifactError, DataError
from ..runtime.types import Array
from . import reading
from .columns import CATEGORY, DAY_SIZES, NUMBER, TIME, Column, Columns, class_order
from .columns import Feature as Feature
from .inferring import (
    AN_ID,
    HARDLY_TWICE,
    IN_EVERY_ROW,
    RARE,
    Inference,
    Overrides,
    categories_of,
    parts_of,
)
from .inferring import AUTO as AUTO
from .inferring import CLASSES as CLASSES
from .inferring import NUMBERS as NUMBERS
from .notices import is_id_name
from .rows import Rows
from .sources import Table
from .sources import read_table as read_table  # whoever has a schema has a table
from .survey import Spread
from .table_rows import RequestEncoder, TableReading

Facts = Mapping[str, Mapping[str, Any]]
"""What the cells of a column were, by its name, in JSON types: of categories how many rows each
has, of dates which months and weekdays there are.
"""


class Schema(Columns):
    """The columns of a table, told by its cells, and how rows are encoded by them."""

    @classmethod
    def infer(cls, table: Table, overrides: Optional[Overrides] = None) -> Schema:
        """Told by all cells of ``table``, and by ``overrides``; it is shown. Raises DataError."""
        return cls.with_facts(table, overrides)[0]

    @classmethod
    def with_facts(
        cls, table: Table, overrides: Optional[Overrides] = None
    ) -> Tuple[Schema, Facts]:
        """As ``infer``, and what else there was, by which ``united`` agrees with other tables."""
        found = Inference(table, overrides or Overrides())
        columns = found.columns()
        schema = cls(
            columns=columns,
            targets=tuple(found.names[i] for i in found.targets),
            classes=found.classes,
            has_names=table.has_names,
        )
        flags = "--target, --target-kind, --categorical, --numeric, --ignore and --id decide"
        reading.note(f"its columns are taken so ({flags}):\n{schema.shown()}", table.path)
        return schema, found.facts

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

    @cached_property
    def _requests(self) -> RequestEncoder:
        return RequestEncoder(self)

    def encode(self, records: Sequence[Any]) -> Array:
        """Records of a request as (N, D) float32: each a list of cells, of the features, or of all
        columns with or without the targets; or an object by headings, where what is missing is a
        gap. Raises UnfitPayloadError, with the column of each fault.
        """
        return self._requests.encoded(records)

    def dataset(self, table: Table, memory: int = 2**30) -> TableDataset:
        """The rows of ``table`` that have a target, encoded. Raises DataError."""
        return TableDataset(self, *TableReading(self, table, memory).found())


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
        named: dict[str, Any] = {"schema": self.schema.to_json()}
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


def united(
    schemas: Sequence[Schema], facts: Sequence[Facts], hosts: Sequence[str], rare: int = RARE
) -> Schema:
    """One schema in place of those of ``hosts``, as if it were told by all of their rows.

    ``facts`` are those beside each. ``rare`` is the number of rows below which a category is one of
    the others. Raises DataError, with each column that is of another kind on some host.
    """
    names = [tuple(reading.key_of(c.name) for c in schema.columns) for schema in schemas]
    if len(set(names)) > 1 or len({schema.targets for schema in schemas}) > 1:
        raise DataError("the hosts' tables have not the same columns, in the same order")
    faults: List[str] = []
    if len({bool(schema.classes) for schema in schemas}) > 1:
        kinds = ("classes" if schema.classes else "numbers" for schema in schemas)
        has = ", ".join(f"{kind} on {host}" for kind, host in zip(kinds, hosts))
        faults.append(f"the target {schemas[0].targets[0]!r} holds {has}: --target-kind decides")
    columns = []
    for same in zip(*(schema.columns for schema in schemas)):
        known = [fact.get(column.name, {}) for fact, column in zip(facts, same)]
        kinds_of = {column.kind for column in same if column.count}
        if len(kinds_of) > 1:
            has = "; ".join(f"{c.kind} on {host}" for c, host in zip(same, hosts))
            faults.append(
                f"column {same[0].name!r} is not of one kind: {has}: --categorical, --numeric or "
                "--ignore decides"
            )
        # what might be of either order is of that which others leave no doubt of
        sure = {c.order for c, fact in zip(same, known) if c.count and not fact.get("either")}
        if len(sure) > 1:
            has = "; ".join(f"{c.order} on {host}" for c, host in zip(same, hosts))
            faults.append(
                f"column {same[0].name!r} has dates of unlike order: {has}: write them as "
                "2020-01-31, or let --date-order decide"
            )
        order = next(iter(sure), same[0].order)
        columns.append(_united(same, known, rare, order))
    if faults:
        raise DataError(*faults)
    classes = sorted({name for schema in schemas for name in schema.classes}, key=class_order)
    return Schema(
        columns=tuple(columns),
        targets=schemas[0].targets,
        classes=tuple(classes),
        has_names=schemas[0].has_names,
    )


def _united(
    same: Sequence[Column], facts: Sequence[Mapping[str, Any]], rare: int, order: str
) -> Column:
    spread, filled = Spread(), [column for column in same if column.count] or list(same)
    first = filled[0]
    moments = [fact["moments"][order] for fact in facts if order in fact.get("moments", {})]
    for column in filled if first.kind != TIME else ():
        squares = 0.0 if column.distinct == 1 else column.count * column.scale**2
        spread.merge(column.count, column.centre, squares)
    for each in moments:
        spread.merge(*each["spread"])
    found: dict[str, Any] = {
        "count": spread.count,
        "gaps": sum(column.gaps for column in same),
        "decimal": "," if any(column.decimal == "," for column in filled) else ".",
        "words_are_gaps": any(column.words_are_gaps for column in filled),
        "centre": spread.mean,
        "scale": spread.scale if first.kind in (NUMBER, TIME) else 1.0,
    }
    counts: Counter[str] = Counter()
    for fact in facts:
        counts.update(fact.get("words", {}))
    found.update(categories_of(counts, rare) if counts else {"distinct": None})
    if first.kind == TIME:
        found["order"] = order
        found["parts"] = parts_of(
            {part: {value for each in moments for value in each[part]} for part in DAY_SIZES},
            has_clock=any(fact.get("clock") for fact in facts),
        )
    column = first.model_copy(update=found)
    ranges = sorted(fact["range"] for fact in facts if fact.get("range"))
    apart = all(before[1] < after[0] for before, after in zip(ranges, ranges[1:]))
    return column.model_copy(update={"left_out": _left_out(column, filled, apart)})


def _left_out(column: Column, filled: Sequence[Column], apart: bool) -> str:
    """Why the united ``column`` is no feature; empty where it is one. ``apart``: of numbers, those
    of each host are less than those of the next.
    """
    reasons = {each.left_out for each in filled}
    if AN_ID in reasons:
        may_be = all(c.left_out == AN_ID or c.distinct in (None, c.count) for c in filled)
        differs = apart or is_id_name(column.name)
        if column.kind == CATEGORY:
            differs = column.distinct == column.count
        if may_be and differs and not column.gaps:
            return AN_ID
        reasons = {"" if each == AN_ID else each for each in reasons}
    (reason, *others) = sorted(reasons)
    if others:
        return HARDLY_TWICE if column.kind == CATEGORY and not column.categories else ""
    if reason == HARDLY_TWICE:
        return "" if column.categories else reason
    is_constant = len(filled) and filled[0].distinct == 1 and column.count > 0
    return "" if reason.endswith(IN_EVERY_ROW) and is_constant and column.gaps else reason
