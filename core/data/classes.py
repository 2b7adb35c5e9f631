"""The classes that the labels of data name: how many examples each has, and which look odd."""

from __future__ import annotations

from collections import defaultdict
from typing import Iterator, Sequence

from .cells import is_no_value

SHOWN = 20  # classes with their counts
NAMED = 5  # of those that look odd


def sentences(names: Sequence[str], counts: Sequence[int]) -> Iterator[str]:
    """What classes were found, for the log; then a warning for each oddity.

    ``counts`` are those of the examples of each of ``names``.
    """
    pairs = list(zip(names, counts))
    shown = ", ".join(f"{name} ({count:,})" for name, count in pairs[:SHOWN])
    more = f" and {len(pairs) - SHOWN:,} more" if len(pairs) > SHOWN else ""
    yield f"{len(pairs):,} classes: {shown}{more}"
    alike = defaultdict(list)
    for name, count in pairs:
        alike[" ".join(name.split()).casefold()].append(f"{name!r} ({count:,})")
    several = [" and ".join(group) for group in alike.values() if len(group) > 1]
    if several:
        yield (
            f"warning: classes that differ in case or blanks only: {_some(several)}: each is "
            "learned as a class of its own; write them alike if they are one"
        )
    missing = [f"{name!r} ({count:,})" for name, count in pairs if is_no_value(name)]
    if missing:
        yield (
            f"warning: classes whose name says that there is no value: {_some(missing)}: each is "
            "learned as a class; leave these examples out if their label is missing"
        )


def _some(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - NAMED:,} more" if len(texts) > NAMED else ""
    return "; ".join(texts[:NAMED]) + more
