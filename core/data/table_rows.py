"""Rows of tables and of requests, encoded by a schema that is known."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from ..runtime import bounds
from ..runtime.errors import DataError, UnfitPayloadError, did_you_mean
from ..runtime.faults import MAX_FAULTS, quoted
from ..runtime.types import Array
from . import reading
from .cells import is_no_value
from .coding import Encoder, Wrong, numbers
from .columns import NUMBER, Column, Columns, class_name
from .rows import Collected, Rows
from .sources import Cells, Part, Table, as_texts

SHOWN = 5  # names in a sentence
LOOKED_AT = 64  # records, after which the clock is looked at
CELL_BYTES = 100  # of a request's cell, as text and as number


class TableReading:
    """One reading of a table by a schema that is known."""

    def __init__(self, schema: Columns, table: Table, memory: int) -> None:
        self.schema, self.table = schema, table.like([c.name for c in schema.columns])
        self.encoder = Encoder(schema.features, schema.encoded)
        self.collected = Collected(memory)
        self.y: list[Array] = []
        self.faults: list[str] = []
        self.more = 0
        self.without = 0
        self.first_without: str | None = None
        self.classes = {name: code for code, name in enumerate(schema.classes)}

    def found(self) -> tuple[Rows, Array, str, Mapping[str, int]]:
        """The rows (N, D), what is to be estimated (N, …), a note and its figures."""
        headings = self.schema.headings()
        if headings is not None:
            reading.keep(headings)
        places = self._places()
        count = len(self.schema.targets)
        columns = (*self.schema.target_columns, *self.schema.features)
        numeric = [i for i, c in zip(places, columns) if c.kind == NUMBER and c.decimal == "."]
        for part, block in self.table.blocks_once_more(places, numeric):
            self._block(part, block.places, block.columns[count:], block.columns[:count])
        if self.more:
            self.faults.append(f"... and {self.more:,} more")
        if self.faults:
            raise DataError(*self.faults)
        if not self.collected.count:
            raise DataError(f"{self.table.path}: no row has a target")
        return self.collected.rows(), np.concatenate(self.y), *self._told()

    def _places(self) -> list[int]:
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

    def _by_name(self, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
        """Where the columns ``wanted`` stand; of those that training left out nothing is said."""
        left_out = {reading.key_of(c.name) for c in self.schema.columns if c.left_out}
        places = [i for i, name in enumerate(names) if reading.key_of(name) not in left_out]
        among = set(wanted)
        in_order = [c.name for c in self.schema.columns if c.name in among]
        header = [names[i] for i in places]
        found = reading.placed(self.table.path, header, in_order)
        by_name = {name: places[i] for name, i in zip(in_order, found)}
        return [by_name[name] for name in wanted]

    def _block(
        self,
        part: Part,
        places: Sequence[int],
        features: Sequence[Cells],
        given: Sequence[Cells],
    ) -> None:
        wrong: list[Wrong] = []
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
            first = left_out[0]
            word = next(filter(None, (as_texts(cells)[first].strip() for cells in given)), "")
            place = f"{part.unit} {places[first]:,}" + (f", {quoted(word)}" if word else "")
            self.first_without = self.first_without or place
        x, more = self.encoder.block(features)
        for each in [*wrong, *more]:
            if len(self.faults) < MAX_FAULTS:
                place = f"{part.unit} {places[each.row]}"
                self.faults.append(
                    f"{part.path}: {place}, column {quoted(each.column.name)}: {each.reason}"
                )
            else:
                self.more += 1
        if kept.any():
            self.collected.add(x[kept], part.path)
            found = y[kept]
            self.y.append(found if self.schema.classes or found.shape[1] > 1 else found[:, 0])

    def _target(self, column: Column, cells: Cells, wrong: list[Wrong]) -> Array:
        values = numbers(column, cells, wrong)
        return values.astype(np.float32)

    def _classes(self, cells: Cells, wrong: list[Wrong]) -> Array:
        """The classes (B,) int32, -1 for a gap."""
        words = as_texts(cells)
        column = self.schema.target_columns[0]
        found: dict[str, int] = {}
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

    def _told(self) -> tuple[str, Mapping[str, int]]:
        """A sentence on what was left out or not known, and the figures in it."""
        parts: list[str] = []
        counts: dict[str, int] = {}
        if self.without:
            what = "row without a target is" if self.without == 1 else "rows without a target are"
            parts.append(f"{self.without:,} {what} left out (the first: {self.first_without})")
            counts["without_target"] = self.without
        with_others = {c.name for c in self.schema.features if c.has_other}
        for key, what, columns in (
            ("unseen_categories", "categories that training did not have, taken for gaps",
             {name for name in self.encoder.unseen if name not in with_others}),
            ("other_categories", "rare or new categories, taken together as one", with_others),
        ):  # fmt: skip
            found = {name: n for name, n in self.encoder.unseen.items() if name in columns}
            if found:
                shown = [
                    f"{name}: {count:,} (such as {quoted(self.encoder.first_unseen[name])})"
                    for name, count in list(found.items())[:SHOWN]
                ]
                parts.append(f"{what}: {', '.join(shown)}")
                counts[key] = sum(found.values())
        return "; ".join(parts), counts


class RequestEncoder:
    """Encodes the records of requests; made once for a model, and used by any number of threads."""

    def __init__(self, schema: Columns) -> None:
        self.features = schema.features
        self.names = [c.name for c in self.features]
        self.known = {reading.key_of(c.name): c.name for c in schema.columns}
        self.encoder = Encoder(self.features, schema.encoded)
        columns = [c.name for c in schema.columns]
        inputs = [name for name in columns if name not in schema.targets]
        # where the features stand in a row, by its width
        self.places: dict[int, list[int]] = {}
        for names in (columns, inputs, self.names):
            place = {name: i for i, name in enumerate(names)}
            self.places[len(names)] = [place[name] for name in self.names]

    def encoded(self, records: Sequence[Any]) -> Array:
        """As ``Schema.encode``."""
        bounds.charge(CELL_BYTES * len(records) * max(1, len(self.features)))
        faults: list[str] = []
        rows = []
        for number, record in enumerate(records, 1):
            if number % LOOKED_AT == 0:
                bounds.check_time()
            rows.append(self._cells(number, record, faults))
            if len(faults) > MAX_FAULTS:
                break
        _refuse(faults)
        block, wrong = self.encoder.block(list(map(list, zip(*rows))))
        _refuse(
            [
                f"example {each.row + 1}, column {quoted(each.column.name)}: {each.reason}"
                for each in wrong
            ]
        )
        return block

    def _cells(self, number: int, record: Any, faults: list[str]) -> list[str]:
        if isinstance(record, Mapping):
            values = self._of_object(number, record, faults)
        elif isinstance(record, (list, tuple)):
            values = self._of_row(number, record, faults)
        elif len(self.features) == 1:
            values = [record]
        else:
            faults.append(
                f"example {number}: expected an object by column, or a list of "
                f"{len(self.features)} cells ({self._listed()})"
            )
            values = []
        return [_cell(number, c, value, faults) for c, value in zip(self.features, values)]

    def _of_row(self, number: int, row: Sequence[Any], faults: list[str]) -> list[Any]:
        places = self.places.get(len(row))
        if places is None:
            faults.append(
                f"example {number} has {len(row)} cells, expected {len(self.features)}: "
                f"{self._listed()}"
            )
            return []
        return [row[i] for i in places]

    def _of_object(self, number: int, record: Mapping[str, Any], faults: list[str]) -> list[Any]:
        given = {self.known.get(reading.key_of(str(key)), str(key)): v for key, v in record.items()}
        missing = [name for name in self.names if name not in given]
        if len(missing) == len(self.names):
            faults.append(f"example {number} names no column: expected {self._listed()}")
            return []
        if missing and len(given) > len(self.names) - len(missing):
            known = set(self.known.values())
            unknown = [name for name in given if name not in known][:SHOWN]
            near = next(((n, m) for n in unknown for m in [did_you_mean(n, missing)] if m), None)
            if near:
                faults.append(f"example {number} has no column {quoted(near[0])}{near[1]}")
                return []
        return [given.get(name) for name in self.names]

    def _listed(self) -> str:
        more = len(self.names) - 20
        return ", ".join(name[:40] for name in self.names[:20]) + (
            f" and {more:,} more" if more > 0 else ""
        )


def _cell(number: int, column: Column, value: Any, faults: list[str]) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        text = str(value) if isinstance(value, int) else repr(value)
        return text.replace(".", column.decimal)
    faults.append(
        f"example {number}, column {quoted(column.name)}: expected a number, a text or null, "
        f"got {'an object' if isinstance(value, dict) else 'a list'}"
    )
    return ""


def _refuse(faults: Sequence[str]) -> None:
    """Raises UnfitPayloadError where there are any."""
    if faults:
        more = len(faults) - MAX_FAULTS
        raise UnfitPayloadError(
            *faults[:MAX_FAULTS], *([f"... and {more:,} more"] if more > 0 else [])
        )
