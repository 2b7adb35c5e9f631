"""The cells of a table as its columns were told by them, so that it need not be read twice."""

from __future__ import annotations

from typing import Any, Collection, Iterator, List, Sequence, Union

import numpy as np

from ..runtime.types import Array

Cells = Union[List[str], Array]
"""One column of a block: text, or float64 with NaN for gaps."""

MEMORY = 2**28  # bytes; a table of more is read again
TEXT_BYTES = 68  # of a short cell, and of where it stands in a list


class Remembered:
    """Columns by their index among those of a table, block by block, as long as there is room.

    What was text, and is kept as numbers, serves where numbers are asked for alone.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._columns: dict[int, list[Cells]] = {}
        self._numbers: set[int] = set()
        self._blocks: list[tuple[Any, Sequence[int]]] = []
        self._bytes = 0
        self._has_room = True

    def begin(self, columns: Sequence[int]) -> None:
        """All blocks of ``columns`` are going to come, in order."""
        self._blocks = []
        self._numbers -= {*columns}
        self._columns.update((index, []) for index in columns)

    def add(self, index: int, cells: Cells, found: Cells) -> None:
        """A column's ``cells`` in the next block, which are the same as ``found``."""
        if not self._has_room:
            return
        are_numbers = isinstance(found, np.ndarray)
        if are_numbers and not isinstance(cells, np.ndarray):
            self._numbers.add(index)
        self._bytes += found.nbytes if isinstance(found, np.ndarray) else TEXT_BYTES * len(found)
        self._columns[index].append(found)
        if self._bytes > MEMORY:
            self.clear()
            self._has_room = False

    def end_block(self, part: Any, places: Sequence[int]) -> None:
        """All columns of a block were added: of ``part``, where its rows have these ``places``."""
        if self._has_room:
            self._blocks.append((part, places))

    def blocks(
        self, wanted: Sequence[int], numbers: Collection[int]
    ) -> Iterator[tuple[Any, list[Cells], Sequence[int]]] | None:
        """All blocks of the columns ``wanted``: part, cells and places; those of ``numbers`` may
        come as numbers. None where they were not all kept.
        """
        count = len(self._blocks)
        if not count or (self._numbers & {*wanted}) - {*numbers}:
            return None
        columns = [self._columns.get(index, []) for index in wanted]
        if any(len(column) != count for column in columns):
            return None
        return (
            (part, [column[number] for column in columns], places)
            for number, (part, places) in enumerate(self._blocks)
        )
