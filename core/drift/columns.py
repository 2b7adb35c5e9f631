"""Columns of cells, of requests or of answers: numbers, categories and gaps."""

from __future__ import annotations

import math
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np

from ..runtime.types import Array
from .changes import Change
from .two_samples import Tested, chi_squared, counted, kolmogorov_smirnov

# So many values of numbers, or fewer, are names: years of school, yes and no.
FEW_VALUES = 20
MOSTLY = 0.95  # of the filled cells of a column of numbers are numbers
SHOWN = 3
LONGEST_NAME = 40


def compared(part: str, name: str, first: Sequence[Any], second: Sequence[Any]) -> Iterator[Change]:
    """The tests of one column: what it holds, and where gaps are, how many."""
    filled = [[_scalar(cell) for cell in side] for side in (first, second)]
    known = [[cell for cell in side if cell is not None] for side in filled]
    if not known[0] and not known[1]:
        return
    numbers = [[_number(cell) for cell in side] for side in known]
    if known[0] and _share(numbers[0]) >= MOSTLY:
        # what is no number any more counts as a gap
        sides = [np.array([n for n in side if n is not None]) for side in numbers]
        known = [[str(n) for n in side.tolist()] for side in sides]
        distinct = np.unique(np.concatenate(sides))
        if len(distinct) > FEW_VALUES and min(map(len, sides)) > 1:
            yield _numbers(part, name, *sides)
        elif all(map(len, sides)):
            texts = [[f"{n:g}" for n in side.tolist()] for side in sides]
            yield categories(part, name, *texts)
    elif all(known):
        yield categories(part, name, *([str(cell) for cell in side] for side in known))
    gaps = [len(side) - len(values) for side, values in zip((first, second), known)]
    if any(gaps):
        tables = [
            {"gap": count, "filled": len(side) - count}
            for count, side in zip(gaps, (first, second))
        ]
        tested = chi_squared(*tables)
        was, now = (f"{count / len(side):.1%}" for count, side in zip(gaps, (first, second)))
        yield Change.of(
            tested, part=part, subject=f"{name}: gaps", test="chi-squared", measure="moved",
            baseline=was, current=now,
        )  # fmt: skip


def _share(numbers: Sequence[float | None]) -> float:
    return sum(number is not None for number in numbers) / len(numbers)


def _scalar(cell: Any) -> Any:
    """A cell as it is compared; None for a gap, and for what is no single value."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell)).lower()
    if isinstance(cell, (int, float, np.number)):
        value = float(cell)
        return value if math.isfinite(value) else None
    if isinstance(cell, Sequence) and cell:
        if all(isinstance(each, str) for each in cell):
            return ", ".join(cell)
        first = cell[0]
        if isinstance(first, Mapping):  # the best of several, as a recommender lists them
            return next((each for each in first.values() if isinstance(each, str)), None)
    return None


def _number(cell: Any) -> float | None:
    if isinstance(cell, float):
        return cell
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _numbers(part: str, name: str, first: Array, second: Array) -> Change:
    was, now = (_spread(side) for side in (first, second))
    return Change.of(
        kolmogorov_smirnov(first, second),
        part=part, subject=name, test="Kolmogorov-Smirnov", measure="D", baseline=was, current=now,
    )  # fmt: skip


def _spread(values: Array) -> str:
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def categories(part: str, name: str, first: Sequence[str], second: Sequence[str]) -> Change:
    """The test of a column of names."""
    counts = counted(first), counted(second)
    tested: Tested = chi_squared(*counts)
    shares = [
        {key: n / len(side) for key, n in c.items()} for c, side in zip(counts, (first, second))
    ]
    names = {*counts[0], *counts[1]}
    moved = sorted(names, key=lambda n: (-abs(shares[1].get(n, 0) - shares[0].get(n, 0)), n))
    was, now = (_told(side, moved[:SHOWN]) for side in shares)
    new = [key for key in counts[1] if key not in counts[0]]
    share = sum(counts[1][key] for key in new) / max(1, len(second))
    detail = f"{share:.1%} are new: {_told_names(new)}" if new and len(new) < len(names) else ""
    return Change.of(
        tested, part=part, subject=name, test="chi-squared", measure="moved",
        baseline=was, current=now, detail=detail,
    )  # fmt: skip


def _told(shares: Mapping[str, float], names: Sequence[str]) -> str:
    return ", ".join(f"{name[:LONGEST_NAME]} {shares.get(name, 0.0):.1%}" for name in names)


def _told_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(name[:LONGEST_NAME] for name in sorted(names)[:SHOWN]) + more


def column_names(known: Sequence[str]) -> Callable[[int], list[str]]:
    """The names of columns by their number: the ``known`` ones where there are as many."""

    def names(width: int) -> list[str]:
        if width == len(known):
            return list(known)
        return [f"column {number}" for number in range(1, width + 1)]

    return names
