"""The schema of a table: what its columns hold, and how rows become numbers (N, D) float32.

A number is standardized, with NaN for a gap; a category is a whole number, 0 for a gap or one that
training did not have. So a network fills gaps itself, and a request with a gap is answered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np
from pydantic import ValidationError

from ..runtime.errors import ArtifactError, DataError
from ..runtime.types import Array
from . import reading
from .columns import CATEGORY, CLOCK, MONTH, NUMBER, TIME, WEEKDAY, Column, Columns, class_order
from .columns import Feature as Feature
from .inferring import AUTO as AUTO
from .inferring import CLASSES as CLASSES
from .inferring import NUMBERS as NUMBERS
from .inferring import Inference, Overrides
from .rows import Rows
from .sources import Table
from .sources import read_table as read_table  # whoever has a schema has a table
from .survey import Spread
from .table_rows import RequestRows, TableReading


class Schema(Columns):
    """The columns of a table, told by its cells, and how rows are encoded by them."""

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

    def encode(self, records: Sequence[Any]) -> Array:
        """Records of a request as (N, D) float32: each a list of cells, of the features, or of all
        columns with or without the targets; or an object by headings, where what is missing is a
        gap. Raises UnfitPayloadError, with the column of each fault.
        """
        return RequestRows(self, records).encoded()

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
        if len({column.order for column in filled}) > 1:
            has = "; ".join(f"{c.order} on {host}" for c, host in zip(same, hosts))
            faults.append(
                f"column {same[0].name!r} has dates of unlike order: {has}: write them as "
                "2020-01-31"
            )
        columns.append(_united(filled or list(same)))
    if faults:
        raise DataError(*faults)
    classes = sorted({name for schema in schemas for name in schema.classes}, key=class_order)
    return schemas[0].model_copy(update={"columns": tuple(columns), "classes": tuple(classes)})


def _united(same: Sequence[Column]) -> Column:
    spread = Spread()
    for column in same:
        squares = 0.0 if column.distinct == 1 else column.count * column.scale**2
        spread.merge(column.count, column.centre, squares)
    words = sorted({word for column in same for word in column.categories})
    reasons = {column.left_out for column in same}
    parts = {part for column in same for part in column.parts}
    first = same[0]
    return first.model_copy(
        update={
            "left_out": first.left_out if len(reasons) == 1 else "",
            "count": spread.count,
            "gaps": sum(column.gaps for column in same),
            "distinct": len(words) if first.kind == CATEGORY else None,
            "decimal": "," if any(column.decimal == "," for column in same) else ".",
            "words_are_gaps": any(column.words_are_gaps for column in same),
            "centre": spread.mean,
            "scale": spread.scale if first.kind in (NUMBER, TIME) else 1.0,
            "categories": tuple(words),
            "has_other": any(column.has_other for column in same),
            "parts": tuple(part for part in (MONTH, WEEKDAY, CLOCK) if part in parts),
        }
    )
