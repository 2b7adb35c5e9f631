"""The places that faults name: of a part or of what was rewritten, put back to what was sent."""

from __future__ import annotations

import re
from typing import Sequence

_LINE = re.compile(r"^line (\d+)")
_COLUMN = re.compile(r"\bcolumn (\d+)")
_EXAMPLE = re.compile(r"\b(example|instance) (\d+)")
_ONLY = re.compile(r"(?:line|example|record) 1(?:, |: )")


def moved(
    fault: str, *, lines: int = 0, examples: int = 0, columns: Sequence[int] | None = None
) -> str:
    """``fault`` as it is of the whole, where so many lines and examples stand before the part.

    ``columns`` are where the columns of the part stand in the whole, None for all as they stand.
    """

    def column(found: re.Match[str]) -> str:
        place = int(found[1]) - 1
        if columns is None or not 0 <= place < len(columns):
            return found[0]
        return f"column {columns[place] + 1}"

    fault = _LINE.sub(lambda found: f"line {int(found[1]) + lines}", fault, count=1)
    fault = _EXAMPLE.sub(lambda found: f"{found[1]} {int(found[2]) + examples}", fault)
    return _COLUMN.sub(column, fault, count=1)


def of_one(fault: str, columns: Sequence[int] | None) -> str:
    """``fault`` of a request of one record, without saying which."""
    return moved(_ONLY.sub("", fault, count=1), columns=columns)
