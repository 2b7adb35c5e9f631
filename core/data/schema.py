"""The schema of a table: what its columns hold, and how rows become numbers (N, D) float32.

A number is standardized, with NaN for a gap; a category is a whole number, 0 for a gap or one that
training did not have. So a network fills gaps itself, and a request with a gap is answered.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from pydantic import BaseModel, ConfigDict, ValidationError

from ..runtime.errors import ArtifactError, DataError
from ..runtime.types import Array
from . import reading
from .columns import (
    CATEGORY,
    CLOCK,
    DAY_SIZES,
    MONTH,
    NUMBER,
    TIME,
    WEEKDAY,
    Column,
    Feature,
    Spread,
    class_order,
)  # fmt: skip
from .inferring import AUTO as AUTO
from .inferring import CLASSES as CLASSES
from .inferring import NUMBERS as NUMBERS
from .inferring import Inference, Overrides
from .reading import Headings
from .sources import Table
from .sources import read_table as read_table  # whoever has a schema has a table
from .table_rows import RequestRows, TableDataset, TableReading

SHOWN = 5  # reasons in a message


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
    def infer(cls, table: Table, overrides: Optional[Overrides] = None) -> Schema:
        """Told by all cells of ``table``, and by ``overrides``. Raises DataError."""
        found = Inference(table, overrides or Overrides())
        columns = found.columns()
        return cls(
            columns=columns,
            targets=tuple(found.names[i] for i in found.targets),
            classes=found.classes,
            has_names=table.has_names,
        )

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
        return RequestRows(self, records).encoded()

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

    def dataset(self, table: Table, memory: int = 2**30) -> TableDataset:
        """The rows of ``table`` that have a target, encoded. Raises DataError."""
        return TableReading(self, table, memory).dataset()


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
    classes = sorted({name for schema in schemas for name in schema.classes}, key=class_order)
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
