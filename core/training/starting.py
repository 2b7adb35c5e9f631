"""Warm start: a network begins as a model that was trained before, and not at random.

Arrays are paired by their names, without the numbers that Gluon counts blocks by. Where an axis is
as long as a list of names in the encoding, such as a vocabulary or the classes, rows are paired by
these names: words and classes that are new begin at random, whatever their places.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

import numpy as np

from ..artifact.folder import Artifact
from ..runtime import mx, params
from ..runtime.errors import DataError
from ..runtime.types import Array, HybridBlock

Encoding = Mapping[str, Any]
_DIGITS = re.compile(r"(\d+)")


def start(network: HybridBlock, encoding: Encoding, artifact: Artifact) -> str:
    """Give the initialized ``network`` for data of ``encoding`` what ``artifact`` has learned; how
    much of it, in a sentence.

    Raises DataError where nothing of it fits.
    """
    arrays = artifact.check(numbers=True).parameters.arrays
    old = _by_kind({params.plain(name): array for name, array in arrays.items()})
    new = _by_kind(network.collect_params())
    taken, count = 0, 0
    for kind, parameters in new.items():
        count += len(parameters)
        known = old.get(kind, ())
        if len(known) == len(parameters):
            pairs = zip(parameters, known)
            taken += sum(_take(*pair, artifact.metadata.encoding, encoding) for pair in pairs)
    if not taken:
        raise DataError(
            f"{artifact.folder}: nothing of it fits the network: give the hyperparameters of its "
            f"training, which {artifact.folder / 'algorithm.json'} holds"
        )
    return f"starting from {artifact.folder}: {taken} of {count} arrays"


def _by_kind(named: Mapping[str, Any]) -> dict[str, list[Any]]:
    """By name without numbers, in the order of these."""
    found: dict[str, list[Any]] = {}
    for name in sorted(named, key=_counted):
        found.setdefault(_DIGITS.sub("", name), []).append(named[name])
    return found


def _counted(name: str) -> tuple[Any, ...]:
    return tuple(int(part) if part.isdigit() else part for part in _DIGITS.split(name))


def _take(parameter: Any, array: Any, before: Encoding, now: Encoding) -> bool:
    """Give ``parameter`` what fits of ``array``; whether anything does."""
    values = array if isinstance(array, np.ndarray) else array.asnumpy()
    shape = parameter.shape or values.shape
    if len(shape) != values.ndim:
        return False
    places = [_places(size, there, before, now) for size, there in zip(shape, values.shape)]
    if any(each is None for each in places):
        return False
    if 0 in shape:  # Gluon waits for an input, which tells no more
        parameter.shape = tuple(size or there for size, there in zip(shape, values.shape))
        parameter._finish_deferred_init()
    whole = parameter.data(parameter.list_ctx()[0]).asnumpy()
    known = [each for each in places if each is not None]
    targets, sources = (np.ix_(*(each[side] for each in known)) for side in (0, 1))
    whole[targets] = values[sources]
    parameter.set_data(mx.nd.array(whole, dtype=parameter.dtype))
    return True


def _places(size: int, there: int, before: Encoding, now: Encoding) -> tuple[Array, Array] | None:
    """Which of ``size`` rows are which of the ``there`` old ones; None where that cannot be told.

    A ``size`` of 0 is not known yet.
    """
    for key, names in before.items():
        mine = now.get(key)
        if not (isinstance(names, list) and isinstance(mine, list)) or names == mine:
            continue
        if len(names) == there and size in (0, len(mine)):
            place = {name: i for i, name in enumerate(_hashable(names))}
            pairs = [(i, place[n]) for i, n in enumerate(_hashable(mine)) if n in place]
            if size == 0 and len(mine) != there:
                continue
            return np.array([i for i, _ in pairs], int), np.array([j for _, j in pairs], int)
    if size not in (0, there):
        return None
    return np.arange(there), np.arange(there)


def _hashable(names: Sequence[Any]) -> list[str]:
    return [name if isinstance(name, str) else repr(name) for name in names]
