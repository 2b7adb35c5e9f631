"""The search space of a tuner: ranges of hyperparameters, in a form that any tuner can use.

Optuna and SageMaker's tuner both know numbers between two bounds, by their logarithm or not, and
choices without an order.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import AbstractSet, Any, Iterator, Mapping, Sequence

from typing_extensions import Literal

from ..runtime.deprecated import renamed_argument
from ..runtime.errors import HyperparameterError
from .hyperparameters import HyperparameterInfo, Hyperparameters, Search


@dataclass(frozen=True)
class Range:
    """The values of the hyperparameter ``name``: from ``low`` to ``high``, or ``choices``.

    Both bounds are included; where ``log``, they are above 0.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __contains__(self, value: Any) -> bool:
        return value in self.choices if self.kind == "choice" else self.low <= value <= self.high

    def values(self) -> Sequence[Any] | None:
        """All of them; None of a range that is continuous."""
        if self.kind == "choice":
            return self.choices
        return range(int(self.low), int(self.high) + 1) if self.kind == "int" else None

    def __str__(self) -> str:
        if self.kind == "choice":
            return ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}" + (" (log scale)" if self.log else "")


@renamed_argument("searched", "search_space")
def tunable(
    schema: type[Hyperparameters],
    fixed: Mapping[str, Any] | None = None,
    search_space: Mapping[str, Search] | None = None,
) -> list[Range]:
    """The ranges of ``search_space``, or of what ``schema`` says is worth tuning.

    Without what ``fixed`` (name to value, which may be a string) decides, and without what has no
    effect beside it. Raises HyperparameterError where a value of ``fixed`` or ``search_space`` is
    none that the schema admits.
    """
    fixed = {name.replace("-", "_"): value for name, value in (fixed or {}).items()}
    settings = schema.parse(fixed)
    chosen = dict(schema.search_space if search_space is None else search_space)
    inherited = {} if search_space is not None else _inherited(schema)
    infos = {info.name: info for info in schema.describe()}
    faults: list[str] = []
    ranges = []
    for name, search in chosen.items():
        if name in fixed:
            continue
        wrong = list(_faults(schema, infos, name, search))
        if wrong and inherited.get(name) is search:
            continue  # of a field that the subclass narrowed
        faults += wrong
        if not wrong and _has_effect(search, settings, chosen.keys() - fixed.keys()):
            ranges.append(_range(infos[name], search))
    if faults:
        raise HyperparameterError(*faults)
    return ranges


def range_faults(schema: type[Hyperparameters]) -> list[str]:
    """What is wrong with the ranges that ``schema`` itself declares, a sentence each."""
    declared = schema.search_space
    if not isinstance(declared, Mapping) or not all(
        isinstance(search, Search) for search in declared.values()
    ):
        return [f"search_space is {reprlib.repr(declared)}, expected a dict of str to Search"]
    infos = {info.name: info for info in schema.describe()}
    inherited = _inherited(schema)
    return [
        f"search_space: {fault}"
        for name, search in declared.items()
        if inherited.get(name) is not search
        for fault in _faults(schema, infos, name, search)
    ]


def _inherited(schema: type[Hyperparameters]) -> dict[str, Search]:
    """The ranges of the base classes; ``schema`` may have narrowed fields of theirs."""
    found: dict[str, Search] = {}
    for base in reversed(schema.__mro__[1:]):
        if issubclass(base, Hyperparameters):
            found.update(base.search_space)
    return found


def _has_effect(search: Search, settings: Hyperparameters, tuned: AbstractSet[str]) -> bool:
    return all(
        other in tuned or getattr(settings, other) in values
        for other, values in search.where.items()
    )


def _faults(
    schema: type[Hyperparameters],
    infos: Mapping[str, HyperparameterInfo],
    name: str,
    search: Search,
) -> Iterator[str]:
    unknown = [each for each in (name, *search.where) if each not in infos]
    if unknown:
        yield from (f"{each}: no such hyperparameter" for each in unknown)
        return
    values = _choices(infos[name], search)
    if not values:
        low, high = search.low, search.high
        if not _is_number(infos[name]):
            yield f"{name}: expected choices, since it is not a number"
            return
        if low is None or high is None or not low < high or (search.log and low <= 0):
            above = ", above 0 for a log scale" if search.log else ""
            yield f"{name}: expected choices, or two bounds{above}, got {low} to {high}"
            return
        values = (low, high)
    for value in values:
        try:
            schema.parse({name: value})
        except HyperparameterError as error:
            yield from (fault for fault in error.faults if fault.startswith(f"{name}: "))


def _choices(info: HyperparameterInfo, search: Search) -> tuple[Any, ...]:
    return search.choices or (info.choices if search.low is None else ())


def _is_number(info: HyperparameterInfo) -> bool:
    return info.type in ("int", "float", "int or float", "float or int")


def _range(info: HyperparameterInfo, search: Search) -> Range:
    choices = _choices(info, search)
    if choices:
        return Range(info.name, "choice", choices=choices)
    low, high = search.low or 0, search.high or 0
    if info.type == "int":
        return Range(info.name, "int", int(low), int(high), search.log)
    return Range(info.name, "float", float(low), float(high), search.log)
