"""What is wrong with an input: all of it, in the words that every reader shares."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Iterable, Sequence

from .errors import InputError, MalformedPayloadError, UnfitPayloadError

if TYPE_CHECKING:
    from typing import Tuple, Type

    Fault = Tuple[Type[InputError], str]

MAX_FAULTS = 10  # shown
MAX_COUNTED = 1000  # a body that is all faults must not cost more than a good one


# Faults


def refuse(
    faults: Iterable[Fault], error: type[InputError] | None = None, source: str = ""
) -> None:
    """Raise what faults there are: the first ones, and the number of the others.

    The class is ``error``; without it, the body is malformed if any of its faults says so.
    """
    counted = list(itertools.islice(faults, MAX_COUNTED))
    if not counted:
        return
    shown = [f"{source}: {text}" if source else text for _, text in counted[:MAX_FAULTS]]
    more = len(counted) - len(shown)
    if more:
        at_least = "at least " if len(counted) == MAX_COUNTED else ""
        shown.append(f"... and {at_least}{more} more")
    malformed = any(kind is MalformedPayloadError for kind, _ in counted)
    raise (error or (MalformedPayloadError if malformed else UnfitPayloadError))(*shown)


def empty_body(expected: str) -> MalformedPayloadError:
    return MalformedPayloadError(f"the body is empty: expected {expected}")


def quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def either(names: Sequence[str]) -> str:
    """``a, b or c``."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def place_of(example: int, element: Sequence[int]) -> str:
    if not element:
        return f"example {example}"
    inner = element[0] if len(element) == 1 else tuple(element)
    return f"example {example}, element {inner}"
