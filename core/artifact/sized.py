"""A network that computes batches of a few fixed sizes, to avoid replanning.

mxnet plans the memory of a static graph, and oneDNN prepares its convolutions, for one shape, and
both begin anew for another: a batch of 2 after one of 1 took mnist-cnn 2.5 ms instead of 0.6.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Sequence

from ..runtime import mx
from ..runtime.graph import Fit
from ..runtime.types import HybridBlock

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
FEW_SIZES = (1, 4, 16)
# Nor are they where running each once takes so many multiplications, or the largest so much memory.
MAX_WORK = 2**34
MAX_EXAMPLE_BYTES = 16 * 2**20
# Copies of a large network are not worth their memory: it takes longer than what they save.
MAX_BYTES = 96 * 2**20
# A batch is filled up where that adds no more than so many examples to each of its own.
MAX_FILLING = 0.15


class Sized:
    """Calls copies of a network, each for one batch size; ``copies`` has one for 1."""

    def __init__(self, copies: dict[int, HybridBlock]) -> None:
        self._copies = copies
        self._parts = functools.lru_cache(maxsize=1024)(self._parts_of)

    def __call__(self, x: Any) -> Any:
        """Each of the network's outputs (N, …) for ``x`` (N, …)."""
        found, start = [], 0
        for size in self._parts(len(x)):
            part = x if size == len(x) else x[start : start + size]
            missing = size - len(part)
            if missing:
                zeros = mx.nd.zeros((missing, *x.shape[1:]), ctx=x.context, dtype=x.dtype)
                part = mx.nd.concat(part, zeros, dim=0)
            outputs = self._copies[size](part)
            several = outputs if isinstance(outputs, (list, tuple)) else (outputs,)
            found.append([each[: size - missing] if missing else each for each in several])
            start += size
        return found[0] if len(found) == 1 else [mx.nd.concat(*each, dim=0) for each in zip(*found)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._copies[1], name)

    def _parts_of(self, count: int) -> tuple[int, ...]:
        """The sizes into which a batch of ``count`` is divided; the last may be filled up."""
        parts = []
        while count:
            above = [size for size in self._copies if count <= size <= count * (1 + MAX_FILLING)]
            parts.append(above[0] if above else max(s for s in self._copies if s <= count))
            count = max(0, count - parts[-1])
        return tuple(parts)


def sized(load: Callable[[], HybridBlock], example: Any, fit: Fit) -> Any:
    """What ``load`` gives, once for each of SIZES, each of which has run; ``example`` is (1, …), of
    which the network makes what ``fit`` says.

    A large network gets fewer sizes, a larger one that of one example alone: it takes longer for
    each than a larger batch would save, and longer still to plan for another size.
    """
    first = load()
    if fit.work * sum(SIZES) > MAX_WORK or fit.peak > MAX_EXAMPLE_BYTES:
        return Sized({1: first})
    room = MAX_BYTES // max(1, _bytes(first))
    sizes: Sequence[int] = SIZES if room >= len(SIZES) else FEW_SIZES
    if room < len(sizes):
        return Sized({1: first})
    copies = {size: first if size == 1 else load() for size in sizes}
    for size, network in copies.items():
        network(mx.nd.concat(*[example] * size, dim=0))
    mx.nd.waitall()
    return Sized(copies)


def _bytes(network: HybridBlock) -> int:
    """Of the parameters as oneDNN prepares them: about three times what they hold."""
    parameters = network.collect_params().values()
    return 3 * sum(4 * int(parameter.data().size) for parameter in parameters)
