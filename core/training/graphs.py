"""Graphs of one network: as it is, and in mixed precision, with products in float16.

P. Micikevicius et al., "Mixed precision training", arXiv:1710.03740. mxnet's own ``amp.init``
changes every operator of the process and leaves casts in the artifact; here the casts stand in a
second graph over the same parameters, and the network stays what it is.
"""

from __future__ import annotations

import json
import warnings
from typing import Any, Sequence

import numpy as np

from ..runtime import graph as files
from ..runtime import mx
from ..runtime.errors import PluginError
from ..runtime.operators import OPERATORS
from ..runtime.types import Array, HybridBlock, NDArray
from .run import Trainable

# Of the operators that a model may hold, those that can draw random numbers in training.
DRAWING = {"Dropout", "LeakyReLU", "RNN"}
# mxnet's kernel has room for the addresses of so many arrays.
AT_ONCE = 200


def in_half_precision(network: HybridBlock, dtype: str) -> HybridBlock:
    """``network`` with its products in ``dtype`` and its output in float32; see ``twin``."""
    data = mx.sym.var("data")
    converted = mx.amp().convert_symbol(network(data), target_dtype=dtype)
    return _block(converted.astype("float32"), data, network)


def twin(network: HybridBlock) -> HybridBlock:
    """A second graph of ``network`` over the same parameters.

    A static graph plans its memory anew whenever it turns from training to inference and back: 80
    ms in mnist-cnn. So training has one of its own.
    """
    data = mx.sym.var("data")
    return _block(network(data), data, network)


def draws(network: HybridBlock, loss: Any) -> bool:
    """Whether a step of ``network`` under ``loss`` may draw random numbers of mxnet's.

    Told by its operators; of those that no model may hold, any may.
    """
    try:
        found = loss(network(mx.sym.var("data")), mx.sym.var("labels"))
        nodes = json.loads(found.tojson())["nodes"]
    except Exception:  # a loss of one's own, which is no graph
        return True
    used = {node["op"] for node in nodes} - {files.VARIABLE}
    return not used <= set(OPERATORS) - DRAWING


def check(network: HybridBlock, x: Array, algorithm: Trainable[Any]) -> None:
    """Raises PluginError where a model of ``network`` would not be opened: before it is trained.

    Its parameters know their shapes; ``x`` (1, …) is an example.
    """
    outputs = network(mx.sym.var("data"))
    symbol = mx.sym.Group(outputs) if isinstance(outputs, (list, tuple)) else outputs
    known = {
        name: (tuple(parameter.shape), np.dtype(parameter.dtype).name)
        for name, parameter in network.collect_params().items()
        if name in {*symbol.list_inputs()}
    }
    try:
        graph = files.read(symbol.tojson().encode())
        fit = graph.fit({"data": (x.shape, str(x.dtype))}, known)
        faults = [*algorithm.excesses(fit, sum(int(np.prod(shape)) for shape, _ in known.values()))]
    except files.GraphError as error:
        faults = [*error.faults]
    if faults:
        raise PluginError(
            f"a model of {algorithm.name} could not be opened, since its network holds what a "
            "file may not: " + "; ".join(faults)
        )


def _block(outputs: Any, data: Any, network: HybridBlock) -> HybridBlock:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the type of the data is not known yet
        block = mx.gluon.SymbolBlock(outputs, [data], params=network.collect_params())
    static_shape = dict(network._flags).get("static_shape", True)
    block.hybridize(static_alloc=True, static_shape=static_shape)
    return block


def all_finite(arrays: Sequence[NDArray]) -> bool:
    """Whether every number in ``arrays`` is finite; mxnet checks so many at once."""
    parts = (arrays[start : start + AT_ONCE] for start in range(0, len(arrays), AT_ONCE))
    checks = [mx.nd.multi_all_finite(*part, num_arrays=len(part)) for part in parts]
    return all(bool(check.asscalar()) for check in checks)


class LossScale:
    """What a loss is multiplied by, so that small gradients do not vanish in float16.

    Halved when a gradient is no longer finite, whose step is left out; doubled after PATIENCE steps
    without one.
    """

    HIGHEST = 2.0**24
    PATIENCE = 2000

    def __init__(self) -> None:
        self.value = 2.0**16
        self.steps = 0

    def accepts(self, gradients: Sequence[NDArray]) -> bool:
        """Whether all ``gradients`` are finite; the scale of the next step goes by it."""
        if not all_finite(gradients):
            self.value, self.steps = max(1.0, self.value / 2), 0
            return False
        self.steps += 1
        if self.steps == self.PATIENCE:
            self.value, self.steps = min(self.HIGHEST, self.value * 2), 0
        return True

    def state(self) -> NDArray:
        """For a checkpoint."""
        return mx.nd.array([self.value, self.steps])

    def restore(self, state: NDArray) -> None:
        value, steps = state.asnumpy()
        self.value, self.steps = float(value), int(steps)
