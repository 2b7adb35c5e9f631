"""What a model computes by: ``Network`` is all that is known of it, and there are two.

``GluonNetwork`` is mxnet's, ``OnnxNetwork`` that of ONNX Runtime, for which mxnet is not needed.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from typing import Any, Callable, Iterable, Iterator, Protocol

import numpy as np

from ..runtime import mx, ort, params
from ..runtime.devices import on_device
from ..runtime.errors import ArtifactError, MissingDependencyError, NetworkError
from ..runtime.graph import Fit
from ..runtime.types import Array, Context, HybridBlock
from .metadata import METADATA, InputSignature, Metadata
from .sized import sized

log = logging.getLogger(__name__)

# A batch has so many examples, or as many as are so much input.
EVALUATION_BATCH = 256
EVALUATION_BYTES = 32 * 2**20
# ONNX Runtime keeps what its largest batch took, and is no quicker by more examples at once.
ONNX_BATCH = 64
# What ONNX Runtime calls the dtypes of an input.
TENSORS = {
    "float32": "tensor(float)",
    "float16": "tensor(float16)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
    "uint8": "tensor(uint8)",
}


class Computing(Protocol):
    """What computes outputs, for one thread at a time."""

    def compute(self, x: Array) -> tuple[Array, ...]:
        """Every output (N, …) for one batch ``x`` (N, …), which is not to be used again.

        Raises NetworkError where it cannot compute with such an input.
        """


class Network(Computing, Protocol):
    """What computes a model's outputs, for one thread at a time."""

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


class OnnxNetwork:
    """A ``session`` of ONNX Runtime on the processor; ``learned`` reads what was learned.

    Threads may share it.
    """

    def __init__(
        self, session: Any, signature: InputSignature, learned: Callable[[], dict[str, Array]]
    ) -> None:
        self._session = session
        self._signature = signature
        self._learned = learned
        self._outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def load(
        cls, content: bytes, metadata: Metadata, fit: Fit, learned: Callable[[], dict[str, Array]]
    ) -> OnnxNetwork:
        """The network of a file that ``algoshelf export`` wrote of the artifact of ``metadata``,
        of which ``fit`` is what its network makes of one example.

        Raises ArtifactError, whose sentences begin after the file's name, where it is another one.
        """
        try:
            session = ort.session(content)
        except MissingDependencyError:
            raise
        except Exception as error:  # of kinds of its own
            raise ArtifactError(f"onnxruntime does not take it: {ort.first_line(error)}") from error
        wrong = [*_disagreements(session, metadata, fit)]
        if wrong:
            raise ArtifactError(*wrong)
        return cls(session, metadata.input, learned)

    def compute(self, x: Array) -> tuple[Array, ...]:
        parts = [self._part(x[i : i + ONNX_BATCH]) for i in range(0, len(x), ONNX_BATCH)]
        return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts)))

    def _part(self, x: Array) -> tuple[Array, ...]:
        try:
            return tuple(self._session.run(self._outputs, {self._signature.name: x}))
        except Exception as error:  # of kinds of its own
            raise NetworkError(
                f"the network cannot compute with an input {x.shape}: {ort.first_line(error)}"
            ) from error

    def parameters(self) -> dict[str, Array]:
        return self._learned()

    def tuned(self, again: Callable[[], Any], signature: InputSignature, fit: Fit) -> OnnxNetwork:
        """Itself: ONNX Runtime fuses operators when it makes a session, and plans for any shape."""
        return self


def _disagreements(session: Any, metadata: Metadata, fit: Fit) -> Iterator[str]:
    """What tells that a session is not of the model that ``metadata`` describes."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA, "")
    try:
        kept = json.loads(text)
    except (ValueError, RecursionError):
        kept = None
    if not isinstance(kept, dict):
        yield f"does not say which model it is of: `algoshelf export` keeps {METADATA} in it"
    elif kept.get("sha256") != metadata.sha256:
        yield (
            "was exported from another model than the one in this folder: run `algoshelf export` "
            "again, or remove it"
        )
    inputs = [(each.name, each.type, len(each.shape)) for each in session.get_inputs()]
    signature = metadata.input
    expected = [(signature.name, TENSORS[signature.dtype], len(signature.shape))]
    if inputs != expected:
        yield f"takes {inputs}, but the model has {expected} (name, type, axes)"
    axes, wanted = [len(each.shape) for each in session.get_outputs()], list(map(len, fit.outputs))
    if axes != wanted:
        yield f"gives outputs with {axes} axes, but the model's network has {wanted}"


def outputs(network: Computing, x: Array) -> Any:
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


def outputs_of(network: Computing, batches: Iterable[Array], size: int | None = None) -> Any:
    """As ``outputs``, for ``batches`` of any sizes, or all of one ``size``.

    With ``size`` the last may have fewer: it is filled up by repetition, so that a static graph is
    planned once, unless there is no other.
    """
    found: list[tuple[Array, ...]] = []
    for batch in batches:
        full = np.resize(batch, (size, *batch.shape[1:])) if size and found else batch
        count = len(batch)
        found.append(tuple(output[:count] for output in network.compute(full)))
    if not found:
        raise ValueError("there is no example to compute: expected a batch of at least one")
    joined = tuple(parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*found))
    return joined[0] if len(joined) == 1 else joined
