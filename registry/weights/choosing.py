"""``--weights NAME`` of the commands that train: which weights, and what goes with them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from ...core.algorithm.channels import MODEL
from ...core.runtime.errors import DataError, InputError, UnknownNameError, did_you_mean
from ...core.weights import Pretrained, is_folder, name_fault, read
from ..discovery import AnyAlgorithm, catalog
from . import cache

WEIGHTS = "weights"  # the flag


@dataclass(frozen=True)
class Chosen:
    """Weights, the hyperparameters that go with them, and how their folder is had.

    ``name`` is empty where a folder of them was given as ``--model``.
    """

    name: str
    hyperparameters: Mapping[str, Any]

    def added_to(self, channels: Mapping[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
        """``channels`` with the one that holds them, fetched if they are not in the cache.

        Raises AlgoshelfError.
        """
        return {**channels, **({MODEL: found(self.name, tell).folder} if self.name else {})}


def found(name: str, tell: Callable[[str], None]) -> Pretrained:
    """The weights ``name``, fetched if they are not in the cache. Raises AlgoshelfError."""
    stated = catalog().weights.get(name)
    if stated is not None:
        return cache.get(stated.row, tell)
    network_of(name)
    return _own(name)


def pretrained_weights(name: str) -> Path:
    """The folder of the weights ``name``, for the channel ``model`` of a training from Python.

    They are fetched if they are not in the cache. Raises AlgoshelfError.
    """
    return found(name, partial(print, file=sys.stderr)).folder


def network_of(name: str) -> str:
    """What the weights ``name`` are known by to algorithms.

    Raises UnknownNameError, with the nearest name, where there are none, DataError for own ones
    that are damaged.
    """
    stated = catalog().weights.get(name)
    if stated is not None:
        return stated.row.network
    if any(name_fault(name)) or not is_folder(cache.place(name)):
        known = sorted({*catalog().weights, *(own.name for own in added())})
        near = did_you_mean(name, known) or f"; there are {', '.join(known) or 'none'}"
        raise UnknownNameError(f"no pretrained weights {name!r}{near}")
    return _own(name, digests=False).about.network


def _own(name: str, *, digests: bool = True) -> Pretrained:
    """What the user has added as ``name``. Raises DataError where it is damaged."""
    try:
        return read(cache.place(name), digests=digests)
    except DataError as error:
        again = f"{name}: are your own: remove {cache.place(name)}, and add them again"
        raise DataError(*error.faults, again) from None


def added() -> list[Path]:
    """The folders of the cache that no row of the table states: what the user has added."""
    folder = cache.place("x").parent
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    rows = catalog().weights
    return [entry for entry in entries if entry.name not in rows and is_folder(entry)]


def for_algorithm(algorithm: AnyAlgorithm) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The weights of the table that ``algorithm`` can begin with, and what goes with them."""
    for name, stated in catalog().weights.items():
        values = algorithm.begins_with(stated.row.network)
        if values is not None:
            yield name, values


def fitting(algorithm: AnyAlgorithm, hyperparameters: Any) -> list[str]:
    """Names of the table's weights that a training by these hyperparameters could begin with."""
    return [
        name
        for name, values in for_algorithm(algorithm)
        if all(getattr(hyperparameters, key) == value for key, value in values.items())
    ]


def chosen(algorithm: AnyAlgorithm, given: Mapping[str, Any]) -> Chosen | None:
    """What ``--weights`` of the command line ``given`` names, or ``--model`` has; None without.

    Nothing is fetched. Raises InputError with all that is wrong.
    """
    name = given.get(WEIGHTS)
    if name is None:
        path = given.get(MODEL)
        implied = algorithm.implied({MODEL: Path(path)} if path else {})
        return Chosen("", implied) if implied else None
    faults = []
    if MODEL in given:
        faults.append("--weights and --model: give one of the two: both say what to begin with")
    network = network_of(name)
    values = algorithm.begins_with(network)
    if values is None:
        own = ", ".join(each for each, _ in for_algorithm(algorithm)) or "none"
        faults.append(
            f"--weights {name}: are of the network {network}, with which {algorithm.name} cannot "
            f"begin; it can with {own}"
        )
    for key, value in (values or {}).items():
        if key in given and str(given[key]) != str(value):
            faults.append(
                f"--weights {name}: goes with --{key.replace('_', '-')} {value}, got {given[key]}: "
                "leave that out"
            )
    if faults:
        raise InputError(*faults)
    return Chosen(name, values or {})
