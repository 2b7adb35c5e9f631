"""An artifact's network as an ONNX graph, from its files alone: mxnet is not needed.

Which sizes go by the batch and which by the length of the texts is told by fitting the network to
several inputs: what differs between them varies. So nothing of one batch is written into the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np

from ...runtime import params
from ...runtime.errors import ExportError, did_you_mean
from ...runtime.graph import Entry, Fit, Graph, GraphError, Node
from ...runtime.ort import library
from ...runtime.shapes import Attributes, Shape
from ...runtime.types import Array
from ..metadata import RAGGED_LENGTH, InputSignature
from ..onnx_file import IR_VERSION, MAX_BYTES, OPSET, OUTPUT
from .builder import Axis, Builder, Call, Dims, Unsupported
from .operators import CONVERTERS

BATCH, LENGTH = "batch", "length"
# Batches and lengths of which no usual size of a network is a multiple.
OTHER_BATCH, OTHER_LENGTH = 3, RAGGED_LENGTH + 15
# What only puts parameters elsewhere, such as those of attention side by side, is done beforehand.
REARRANGED: Mapping[str, Callable[[Attributes, Sequence[Any]], Array]] = {
    "Reshape": lambda a, values: values[0],
    "Concat": lambda a, values: np.concatenate(values, axis=a["dim"]),
    "stack": lambda a, values: np.stack(values, axis=a["axis"]),
}
MENDING = (
    "core/artifact/export/operators.py lists the operators that have one: express the network by "
    "those, or add a converter there"
)


@dataclass(frozen=True)
class Converted:
    """A network in ONNX: ``tensors`` is where the outputs of ``graph``'s nodes are in it."""

    graph: Graph
    model: Any
    tensors: Mapping[Entry, str]

    @property
    def content(self) -> bytes:
        """The file: the same bytes each time. Raises ExportError where it would be too large."""
        size = self.model.ByteSize()
        if size > MAX_BYTES:
            raise ExportError(
                f"the network has {size:,} bytes in ONNX, more than {MAX_BYTES:,}, which is the "
                "most that one file of that format can hold"
            )
        return bytes(self.model.SerializeToString(deterministic=True))


def convert(
    graph: Graph,
    signature: InputSignature,
    arrays: Mapping[str, Array],
    properties: Mapping[str, str],
) -> Converted:
    """``graph`` with its parameters ``arrays``, by name as the file has them.

    Raises ExportError, which names every operator that has no form in ONNX.
    """
    lacking = {node.op: node for node in reversed(graph.nodes) if _is_lacking(node)}
    if lacking:
        raise ExportError(
            "\n".join(
                f"{node.place}: has no form in ONNX{did_you_mean(op, CONVERTERS)}: {MENDING}"
                for op, node in sorted(lacking.items())
            )
        )
    return _Conversion(graph, signature, arrays).converted(properties)


def _is_lacking(node: Node) -> bool:
    return node.operator is not None and node.op not in CONVERTERS


class _Conversion:
    """A graph on its way."""

    def __init__(
        self, graph: Graph, signature: InputSignature, arrays: Mapping[str, Array]
    ) -> None:
        self.graph, self.signature = graph, signature
        self.arrays = {params.plain(name): values for name, values in arrays.items()}
        self.fits = list(self._fits())
        self.outputs = (
            [OUTPUT]
            if len(graph.heads) == 1
            else [f"{OUTPUT}{number}" for number in range(len(graph.heads))]
        )
        self.builder = Builder([signature.name, *self.outputs])
        self.tensors: dict[Entry, str] = {}

    def _fits(self) -> Iterator[Fit]:
        """What the network makes of one example, of several, and of a longer one."""
        yield self._fit(1, RAGGED_LENGTH)
        yield self._fit(OTHER_BATCH, RAGGED_LENGTH)
        if self.signature.is_ragged:
            yield self._fit(1, OTHER_LENGTH)

    def _fit(self, batch: int, length: int) -> Fit:
        shape = (batch, *(size or length for size in self.signature.shape[1:]))
        known = {name: (values.shape, str(values.dtype)) for name, values in self.arrays.items()}
        nodes = [_of_batch(node, batch) for node in self.graph.nodes]
        try:
            return Graph(nodes, self.graph.heads).fit(
                {self.signature.name: (shape, self.signature.dtype)}, known
            )
        except GraphError as error:
            raise ExportError(
                f"the network does not take an input {shape}, but a file of ONNX has to answer "
                f"batches of any size{' and length' * self.signature.is_ragged}: {error}"
            ) from None

    def _dims(self, entry: Entry) -> Dims:
        """The shape of an output of a node, with what varies told from what does not."""
        node, output = entry
        return tuple(map(_axis, zip(*(fit.shapes[node][output] for fit in self.fits))))

    def converted(self, properties: Mapping[str, str]) -> Converted:
        for index, node in enumerate(self.graph.nodes):
            for output, name in enumerate(self._node(index, node)):
                self.tensors[index, output] = name
        self._name_outputs()
        return Converted(self.graph, self._model(properties), dict(self.tensors))

    def _node(self, index: int, node: Node) -> list[str]:
        if node.operator is None:
            if node.name == self.signature.name:
                return [node.name]
            name = self.builder.unique(node.name)
            self.builder.values[name] = self.arrays[node.name]
            return [name]
        entries = [(source, output) for source, output, _ in node.inputs]
        known = [self.builder.values.get(self.tensors[entry]) for entry in entries]
        if node.op in REARRANGED and all(values is not None for values in known):
            name = self.builder.unique(node.name)
            shape = self.fits[0].shapes[index][0]
            self.builder.values[name] = REARRANGED[node.op](node.attributes, known).reshape(shape)
            return [name]
        call = Call(
            self.builder,
            node.name,
            node.op,
            node.attributes,
            [self.tensors[entry] for entry in entries],
            [self._dims(entry) for entry in entries],
            [self.fits[0].dtypes[source] for source, _ in entries],
            [self._dims((index, output)) for output in range(len(self.fits[0].shapes[index]))],
            self.fits[0].dtypes[index],
        )
        try:
            found = CONVERTERS[node.op](call)
        except Unsupported as error:
            raise ExportError(f"{node.place}: {error}, which has no form in ONNX") from None
        return [found] if isinstance(found, str) else found

    def _name_outputs(self) -> None:
        for name, head in zip(self.outputs, self.graph.heads):
            make = library("onnx").helper.make_node
            self.builder.nodes.append(
                make("Identity", [self.tensors[head]], [name], name=f"{name}_Identity")
            )

    def _model(self, properties: Mapping[str, str]) -> Any:
        helper = library("onnx").helper
        used = {name for node in self.builder.nodes for name in node.input}
        graph = helper.make_graph(
            self.builder.nodes,
            "network",
            [_value(self.signature.name, self.signature.dtype, self._input_dims())],
            [
                _value(name, self.fits[0].dtypes[head[0]], self._dims(head))
                for name, head in zip(self.outputs, self.graph.heads)
            ],
            [
                library("onnx").numpy_helper.from_array(np.asarray(values, order="C"), name)
                for name, values in self.builder.values.items()
                if name in used
            ],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="algoshelf",
        )
        helper.set_model_props(model, dict(properties))
        return model

    def _input_dims(self) -> Dims:
        index = next(
            place
            for place, node in enumerate(self.graph.nodes)
            if node.operator is None and node.name == self.signature.name
        )
        return self._dims((index, 0))


def _of_batch(node: Node, batch: int) -> Node:
    """``node`` with the states of a recurrent layer, whose size 0 is the batch, for one batch."""
    shape: Shape = node.attributes.get("shape", ())
    if node.op not in ("_zeros", "_ones", "_full") or 0 not in shape:
        return node
    return node._replace(
        attributes={**node.attributes, "shape": tuple(size or batch for size in shape)}
    )


def _axis(sizes: tuple[int, ...]) -> Axis:
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _value(name: str, dtype: str, dims: Dims) -> Any:
    """What a tensor is called and what it is."""
    helper = library("onnx").helper
    shape = [size if isinstance(size, int) else _name_of(size) for size in dims]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)


def _name_of(sizes: tuple[int, ...]) -> str | None:
    if sizes[:2] == (1, OTHER_BATCH) and sizes[0] == sizes[-1 if len(sizes) > 2 else 0]:
        return BATCH
    if sizes == (RAGGED_LENGTH, RAGGED_LENGTH, OTHER_LENGTH):
        return LENGTH
    return None
