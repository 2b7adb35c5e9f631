"""What a model computes by: ``Network`` is all that is known of it, ``GluonNetwork`` the one way.

Whatever else is to compute a model, such as ONNX Runtime, has its place beside ``GluonNetwork``.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any, Callable, Iterable, Protocol

import numpy as np

from ..runtime import mx, params
from ..runtime.devices import on_device
from ..runtime.errors import NetworkError
from ..runtime.graph import Fit
from ..runtime.types import Array, Context, HybridBlock
from .metadata import InputSignature
from .sized import sized

log = logging.getLogger(__name__)

# A batch has so many examples, or as many as are so much input.
EVALUATION_BATCH = 256
EVALUATION_BYTES = 32 * 2**20


class Network(Protocol):
    """What computes a model's outputs, for one thread at a time."""

    def compute(self, x: Array) -> tuple[Array, ...]:
        """Every output (N, …) for one batch ``x`` (N, …), which is not to be used again.

        Raises NetworkError where it cannot compute with such an input.
        """

    def parameters(self) -> dict[str, Array]:
        """A copy of what was learned, by name."""

    def tuned(self, again: Callable[[], Any], signature: InputSignature, fit: Fit) -> Network:
        """The same for a server's many small batches; ``again`` loads this network once more."""


class GluonNetwork:
    """A Gluon ``block`` on ``device``.

    For one thread at a time: mxnet gives wrong answers where threads share a static graph.
    """

    def __init__(self, block: HybridBlock, device: Context) -> None:
        self.block = block
        self.device = device

    @classmethod
    def load(
        cls, graph: str, signature: InputSignature, arrays: dict[str, Any], device: Context
    ) -> GluonNetwork:
        """The network of ``graph``; each array of numbers is let go once it is copied."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of input types, which the parameters decide
            symbol = mx.sym.load_json(graph)
            block = mx.gluon.SymbolBlock(symbol, [mx.sym.var(signature.name)])
            parameters = block.collect_params()
            for name in list(arrays):
                parameters[params.plain(name)]._load_init(
                    params.to_mxnet(arrays.pop(name)), device, cast_dtype=True, dtype_source="saved"
                )
        block.hybridize(static_alloc=True, static_shape=not signature.is_ragged)
        return cls(block, device)

    def compute(self, x: Array) -> tuple[Array, ...]:
        shape = x.shape
        try:
            found = self.block(on_device(x, self.device))
            several = found if isinstance(found, (list, tuple)) else (found,)
            return tuple(output.asnumpy() for output in several)
        except mx.base.MXNetError as error:
            reason = str(error).strip().splitlines()[-1].rpartition(": ")[2]
            raise NetworkError(
                f"the network cannot compute with an input {shape}: {reason}"
            ) from error

    def parameters(self) -> dict[str, Array]:
        return {
            name: parameter.data(self.device).asnumpy()
            for name, parameter in self.block.collect_params().items()
        }

    def tuned(
        self, again: Callable[[], GluonNetwork], signature: InputSignature, fit: Fit
    ) -> GluonNetwork:
        """On a processor convolution, batch normalization and activation are one operator of
        oneDNN; unless examples differ in length, there is a copy for batches of each small size.
        """
        if self.device.device_type != "cpu":
            return self
        example = mx.nd.zeros(signature.one, dtype=signature.dtype)

        def fused() -> HybridBlock:
            block = again().block
            fixed = not signature.is_ragged
            try:
                block.optimize_for(example, backend="MKLDNN", static_alloc=True, static_shape=fixed)
            except mx.base.MXNetError:
                log.debug("the network is not fused", exc_info=True)
            return block

        block = fused() if signature.is_ragged else sized(fused, example, fit)
        return GluonNetwork(block, self.device)


def outputs(network: Network, x: Array) -> Any:
    """The outputs (N, …) of ``network`` for ``x`` (N, …), computed in batches.

    An array, or of a network with several outputs a tuple of them, in the order of its graph.
    Raises NetworkError where it cannot compute with ``x``, ValueError where that is empty.
    """
    size = batch_size(x)
    return outputs_of(network, (x[i : i + size] for i in range(0, len(x), size)), size)


def batch_size(x: Array) -> int:
    """How many examples like those of ``x`` (N, …) are computed at once."""
    example = x.dtype.itemsize * math.prod(x.shape[1:])
    return max(1, min(EVALUATION_BATCH, EVALUATION_BYTES // max(1, example)))


def outputs_of(network: Network, batches: Iterable[Array], size: int) -> Any:
    """As ``outputs``, for ``batches`` of ``size`` examples; the last may have fewer.

    It is filled up by repetition, so that a static graph is planned once, unless there is no
    other.
    """
    found: list[tuple[Array, ...]] = []
    for batch in batches:
        full = np.resize(batch, (size, *batch.shape[1:])) if found else batch
        count = len(batch)
        found.append(tuple(output[:count] for output in network.compute(full)))
    if not found:
        raise ValueError("there is no example to compute: expected a batch of at least one")
    joined = tuple(parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*found))
    return joined[0] if len(joined) == 1 else joined
