"""A file of ONNX from anybody, read and judged before a session of onnxruntime sees it.

    found = onnx_file.read(folder / ONNX, metadata.input)
    session = onnxruntime.InferenceSession(found.content, …)

Neither mxnet nor the package onnx is needed. onnxruntime trusts a file: it opens the others that it
names, runs whatever operators are registered, makes tensors of any size while it folds constants,
and a division by 0 ends the process. So a file may hold what ``algoshelf export`` writes and
nothing else: its operators with their attributes, in one graph, each tensor with its numbers. What
onnxruntime will make of one example is found beforehand (``fit``), as of mxnet's graphs.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 (the messages)
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Mapping, NamedTuple, Union

import numpy as np

from ..data.wire import BITS32, BYTES, VARINT, WireError, fields
from ..runtime.errors import ArtifactError, did_you_mean
from ..runtime.graph import Fit
from ..runtime.shapes import MAX_AXES, Unfit
from ..runtime.types import Array
from .metadata import MAX_METADATA_BYTES, InputSignature, excess_of
from .onnx_shapes import DTYPES, OPERATORS, Call, Found

# What onnxruntime reads from 1.14 on, and other readers too.
OPSET, IR_VERSION = 13, 8
MAX_BYTES = 2**31 - 1  # of a message of protobuf's
# The largest network of the catalog has 4,600 nodes and 6,000 tensors.
MAX_NODES = MAX_TENSORS = 10_000
MAX_INPUTS = 2_000  # of a node: a concatenation may have many
MAX_ATTRIBUTES, MAX_NUMBERS = 20, 100  # of a node, and of an attribute
MAX_PARTS = 200_000  # names and numbers in all nodes
MAX_FIELDS = MAX_NODES + MAX_TENSORS + 200  # of a message
MAX_PROPERTIES = 20
LONGEST_NAME = 1_000
MAX_FAULTS = 10
# What a file may take more than the graph that it was made of, where operators become several.
EXCESS, SPARE_BYTES, SPARE_WORK = 4, 16 * 2**20, 10**7
OUTPUT = "output"
MENDING = "it is not as `algoshelf export` writes it: export the model again"


class _Layout(NamedTuple):
    """A message: its fields' names, those that may occur more than once with a *, and types; what
    fields of other numbers hold. No others may occur.
    """

    fields: Mapping[int, tuple[str, int]]
    forbidden: Mapping[int, str] = {}


_MODEL = _Layout(
    {
        1: ("ir_version", VARINT),
        2: ("producer_name", BYTES),
        7: ("graph", BYTES),
        8: ("opset_import*", BYTES),
        14: ("metadata_props*", BYTES),
    },
    {20: "a training graph", 25: "functions of its own"},
)
_OPSET = _Layout({1: ("domain", BYTES), 2: ("version", VARINT)})
_PROPERTY = _Layout({1: ("key", BYTES), 2: ("value", BYTES)})
_GRAPH = _Layout(
    {
        1: ("node*", BYTES),
        2: ("name", BYTES),
        5: ("initializer*", BYTES),
        11: ("input*", BYTES),
        12: ("output*", BYTES),
    },
    {15: "sparse tensors"},
)
_NODE = _Layout(
    {
        1: ("input*", BYTES),
        2: ("output*", BYTES),
        3: ("name", BYTES),
        4: ("op_type", BYTES),
        5: ("attribute*", BYTES),
        7: ("domain", BYTES),
    }
)
_ATTRIBUTE = _Layout(
    {
        1: ("name", BYTES),
        2: ("f", BITS32),
        3: ("i", VARINT),
        4: ("s", BYTES),
        7: ("floats*", BITS32),
        8: ("ints*", VARINT),
        9: ("strings*", BYTES),
        20: ("type", VARINT),
    },
    {
        **dict.fromkeys((6, 11), "a graph within a node"),
        **dict.fromkeys((5, 10, 22, 23), "a tensor within a node"),
        21: "a reference to an attribute of a function",
    },
)
_TENSOR = _Layout(
    {
        1: ("dims*", VARINT),
        2: ("data_type", VARINT),
        8: ("name", BYTES),
        9: ("raw_data", BYTES),
    },
    {
        **dict.fromkeys((13, 14), "numbers that lie in another file"),
        **dict.fromkeys((4, 5, 6, 7, 10, 11), "numbers outside of its field raw_data"),
    },
)
_VALUE = _Layout({1: ("name", BYTES), 2: ("type", BYTES)})
_TYPE = _Layout({1: ("tensor_type", BYTES)})
_TENSOR_TYPE = _Layout({1: ("elem_type", VARINT), 2: ("shape", BYTES)})
_SHAPE = _Layout({1: ("dim*", BYTES)})
_DIM = _Layout({1: ("dim_value", VARINT), 2: ("dim_param", BYTES)})
# AttributeProto.type to the field that holds the value.
_KINDS = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
Message = Dict[str, Any]
Dim = Union[int, str]


class Node(NamedTuple):
    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def place(self) -> str:
        return f"node {self.name!a}, {self.op!a}"

    @property
    def parts(self) -> int:
        lists = [each for each in self.attributes.values() if isinstance(each, tuple)]
        return len(self.inputs) + len(self.outputs) + sum(map(len, lists)) + len(self.attributes)


class Value(NamedTuple):
    """An input or output of the graph; an axis that varies has a name, or none."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]


@dataclass(frozen=True)
class OnnxFile:
    """A file that a session may be made of: ``content`` is its bytes, ``properties`` its
    metadata_props, ``fit`` what it makes of one example.
    """

    content: bytes
    properties: Mapping[str, str]
    outputs: tuple[str, ...]
    fit: Fit


def read(path: Path, signature: InputSignature, expected: Fit) -> OnnxFile:
    """The file ``path``, whose one input is as ``signature`` says.

    ``expected`` is what the artifact's own graph makes of one example, which was held against the
    algorithm's limits: the file gives outputs of the same shapes, and takes no more than EXCESS
    times as much. Reading takes about as much memory as the file, whatever that says. Raises
    ArtifactError, naming the file.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BYTES:
                raise ArtifactError(
                    f"{path}: does not load: has {size:,} bytes, expected at most {MAX_BYTES:,}"
                )
            content = stream.read(size)
    except OSError as error:
        raise ArtifactError(f"{path}: does not load: {error.strerror}") from None
    try:
        return checked(content, signature, expected)
    except WireError as error:
        raise ArtifactError(f"{path}: does not load: {error}") from None
    except UnfitError as error:
        raise ArtifactError(
            *(f"{path}: does not load: {fault}" for fault in error.faults)
        ) from None


class UnfitError(ValueError):
    """A file that is well formed and not to be loaded; ``faults`` is a sentence for each reason."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)[:MAX_FAULTS]
        super().__init__("\n".join(self.faults))


def checked(content: bytes, signature: InputSignature, expected: Fit) -> OnnxFile:
    """As ``read``, of bytes. Raises WireError and UnfitError."""
    model = _message(memoryview(content), _MODEL, "the model")
    _check_versions(model)
    graph = _Graph(_message(_one(model, "graph", "the model"), _GRAPH, "the graph"))
    faults = [*graph.faults(), *graph.interface_faults(signature)]
    if faults:
        raise UnfitError(faults)
    fit = graph.fit(signature)
    faults = [*_excesses(fit, expected)]
    if faults:
        raise UnfitError(faults)
    outputs = tuple(value.name for value in graph.outputs)
    return OnnxFile(content, _properties(model), outputs, fit)


def _excesses(fit: Fit, expected: Fit) -> Iterator[str]:
    """What is more than the model's own graph makes of one example, or something else."""
    if fit.outputs != expected.outputs:
        yield f"gives {fit.outputs} for one example, but the model's graph {expected.outputs}"
    for what, found, own, spare in (
        ("bytes", fit.peak, expected.peak, SPARE_BYTES),
        ("multiplications", fit.work, expected.work, SPARE_WORK),
    ):
        if found > EXCESS * own + spare:
            yield f"needs {found:,} {what} for one example, but the model's graph {own:,}"


def _message(content: memoryview, layout: _Layout, what: str) -> Message:
    """The fields of a message by name, lists where they may be several. Raises WireError."""
    found: Message = {}
    for place, (number, kind, value) in enumerate(fields(content)):
        if place == MAX_FIELDS:
            raise WireError(f"{what} holds more than {MAX_FIELDS:,} fields")
        if number not in layout.fields:
            strange = layout.forbidden.get(number, f"a field of number {number}")
            raise WireError(f"{what} holds {strange}, which no export does: {MENDING}")
        name, expected = layout.fields[number]
        if kind != expected:
            raise WireError(f"{what} is malformed: its field {name.rstrip('*')} is of another type")
        if name.endswith("*"):
            found.setdefault(name[:-1], []).append(value)
        elif name in found:
            raise WireError(f"{what} is malformed: its field {name} occurs twice")
        else:
            found[name] = value
    return found


def _one(message: Message, name: str, what: str) -> Any:
    if name not in message:
        raise WireError(f"{what} is malformed: it has no {name}")
    return message[name]


def _text(content: memoryview | None, what: str, most: int = LONGEST_NAME) -> str:
    if content is None:
        return ""
    if len(content) > most:
        raise WireError(f"{what} is {len(content):,} bytes long, expected {most:,} at most")
    try:
        text = bytes(content).decode("utf-8")
    except UnicodeDecodeError:
        raise WireError(f"{what} is not UTF-8") from None
    if "\0" in text:
        raise WireError(f"{what} holds a null character")
    return text


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _few(items: list[Any], most: int, what: str) -> list[Any]:
    if len(items) > most:
        raise WireError(f"holds {len(items):,} {what}, expected {most:,} at most")
    return items


def _check_versions(model: Message) -> None:
    versions = {}
    for each in _few(model.get("opset_import", []), MAX_PROPERTIES, "opsets"):
        opset = _message(each, _OPSET, "an opset")
        domain = _text(opset.get("domain"), "the domain of an opset")
        versions[domain] = _signed(opset.get("version", 0))
    if versions.keys() != {""}:
        raise WireError(
            f"uses operators of {', '.join(map(ascii, versions)) or 'no domain'}, expected ONNX's "
            f"own alone, whose domain is '': {MENDING}"
        )
    found = versions[""], _signed(model.get("ir_version", 0))
    if found != (OPSET, IR_VERSION):
        raise WireError(
            f"is of opset {found[0]} and IR version {found[1]}, expected {OPSET} and "
            f"{IR_VERSION}: export the model again"
        )


def _properties(model: Message) -> dict[str, str]:
    found = {}
    for each in _few(model.get("metadata_props", []), MAX_PROPERTIES, "properties"):
        entry = _message(each, _PROPERTY, "a property")
        key = _text(entry.get("key"), "the key of a property")
        value = entry.get("value", memoryview(b""))
        found[key] = _text(value, f"the property {key!a}", MAX_METADATA_BYTES)
        excess = excess_of(bytes(value))
        if excess:
            raise WireError(f"the property {key!a} {excess}")
    return found


class _Graph:
    """The one graph of a file, parsed."""

    def __init__(self, graph: Message) -> None:
        nodes = _few(graph.get("node", []), MAX_NODES, "nodes")
        tensors = _few(graph.get("initializer", []), MAX_TENSORS, "initializers")
        self.nodes: list[Node] = []
        parts = 0
        for number, each in enumerate(nodes):
            node = _node(each, number)
            self.nodes.append(node)
            parts += node.parts
            if parts > MAX_PARTS:
                raise WireError(f"holds more than {MAX_PARTS:,} names and numbers in its nodes")
        self.tensors: dict[str, Array] = {}
        for name, values in map(_tensor, tensors):
            if name in self.tensors:
                raise WireError(f"has two initializers {name!a}")
            self.tensors[name] = values
        self.inputs = [_value(each) for each in _few(graph.get("input", []), 1, "inputs")]
        self.outputs = [_value(each) for each in _few(graph.get("output", []), 100, "outputs")]

    def faults(self) -> Iterator[str]:
        """Operators that none of ours are, and names that are not known or not alone."""
        strange = {node.op: node for node in reversed(self.nodes) if node.op not in OPERATORS}
        for op, node in sorted(strange.items()):
            yield f"{node.place}: is no operator of an export{did_you_mean(op, OPERATORS)}"
        known = {*self.tensors, *(value.name for value in self.inputs)}
        if len(known) < len(self.tensors) + len(self.inputs):
            yield "has an initializer of its input's name"
        for node in self.nodes:
            missing = [name for name in node.inputs if name and name not in known]
            if missing:
                yield f"{node.place}: takes {missing[0]!a}, which nothing before it gives"
            for name in node.outputs:
                if not name or name in known:
                    yield f"{node.place}: gives {name!a}, which is there already"
                known.add(name)
        yield from (
            f"gives {value.name!a}, which no node computes"
            for value in self.outputs
            if value.name not in known
        )

    def interface_faults(self, signature: InputSignature) -> Iterator[str]:
        """What makes its input and outputs others than an export's."""
        expected = (
            [OUTPUT]
            if len(self.outputs) == 1
            else [f"{OUTPUT}{number}" for number in range(len(self.outputs))]
        )
        names = [value.name for value in self.outputs]
        if not names or names != expected:
            yield f"gives {', '.join(map(ascii, names)) or 'nothing'}, expected {OUTPUT!r}"
        if len(self.inputs) != 1:
            yield f"takes {len(self.inputs)} inputs, expected one: {signature.name!r}"
            return
        (value,) = self.inputs
        fixed = tuple(dim if isinstance(dim, int) else 0 for dim in value.dims)
        found = (value.name, value.dtype, fixed)
        wanted = (signature.name, signature.dtype, signature.shape)
        if found != wanted:
            yield (
                f"takes {value.name!a} {fixed} {value.dtype}, expected {wanted[0]!r} {wanted[2]} "
                f"{wanted[1]}, as the metadata has it"
            )

    def fit(self, signature: InputSignature) -> Fit:
        """What comes of one example. Raises UnfitError."""
        known: dict[str, Found] = {
            name: Found(str(values.dtype), values.shape, values, fixed=True)
            for name, values in self.tensors.items()
        }
        known[signature.name] = Found(signature.dtype, signature.one)
        last = {name: at for at, node in enumerate(self.nodes) for name in node.inputs}
        last.update((value.name, len(self.nodes)) for value in self.outputs)
        held = peak = work = 0
        for at, node in enumerate(self.nodes):
            call = Call(node.op, dict(node.attributes), [known.get(x) for x in node.inputs])
            try:
                outputs = call.outputs(len(node.outputs))
            except Unfit as error:
                raise UnfitError([f"{node.place}: {error}"]) from None
            work += call.work(outputs)
            known.update(zip(node.outputs, outputs))
            # Weights in int8 are only said to become float32: onnxruntime computes with them.
            said = node.op == "DequantizeLinear" and outputs[0].fixed
            held += 0 if said else sum(each.size for each in outputs)
            peak = max(peak, held)
            for name in dict.fromkeys((*node.inputs, *node.outputs)):
                # What does not go by the input is computed once, and kept.
                if name and name not in self.tensors and last.get(name, at) == at:
                    held -= 0 if known[name].fixed or name == signature.name else known[name].size
        outputs = [known[value.name] for value in self.outputs]
        for value, found in zip(self.outputs, outputs):
            if value.dtype != found.dtype or len(value.dims) != len(found.shape):
                raise UnfitError([f"says that {value.name!r} is what it is not: {MENDING}"])
        return Fit([found.shape for found in outputs], peak, work, (), {}, {})


def _node(content: memoryview, number: int) -> Node:
    what = f"node {number}"
    node = _message(content, _NODE, what)
    op = _text(_one(node, "op_type", what), f"the operator of {what}")
    name = _text(node.get("name"), f"the name of {what}")
    domain = _text(node.get("domain"), f"the domain of {what}")
    if domain not in ("", "ai.onnx"):
        raise WireError(f"node {name!a}, {op!a}: is of the domain {domain!a}, not of ONNX's own")
    attributes: dict[str, Any] = {}
    for each in _few(node.get("attribute", []), MAX_ATTRIBUTES, f"attributes in {what}"):
        key, value = _attribute(each, what)
        if key in attributes:
            raise WireError(f"{what} has two attributes {key!a}")
        attributes[key] = value
    names = [
        tuple(
            _text(each, f"a name in {what}") for each in _few(node.get(key, []), MAX_INPUTS, what)
        )
        for key in ("input", "output")
    ]
    return Node(op, name, names[0], names[1], attributes)


def _attribute(content: memoryview, what: str) -> tuple[str, Any]:
    found = _message(content, _ATTRIBUTE, f"an attribute of {what}")
    name = _text(found.pop("name", None), f"the name of an attribute of {what}")
    kind = _KINDS.get(found.pop("type", 0), "")
    values = found.pop(kind, [] if kind.endswith("s") and kind != "s" else None)
    if found or values is None:
        raise WireError(f"{what} is malformed: its attribute {name!a} is not of the type it says")
    if isinstance(values, list):
        _few(values, MAX_NUMBERS, f"values in an attribute of {what}")
        return name, tuple(_scalar(kind[0], value, what) for value in values)
    return name, _scalar(kind, values, what)


def _scalar(kind: str, value: Any, what: str) -> int | float | str:
    if kind == "f":
        number: float = struct.unpack("<f", value)[0]
        return number
    return _signed(value) if kind == "i" else _text(value, f"an attribute of {what}")


def _tensor(content: memoryview) -> tuple[str, Array]:
    """An initializer's name, and its numbers in the file's memory."""
    tensor = _message(content, _TENSOR, "an initializer")
    name = _text(_one(tensor, "name", "an initializer"), "the name of an initializer")
    what = f"the initializer {name!a}"
    shape = tuple(map(_signed, _few(tensor.get("dims", []), MAX_AXES, f"axes in {what}")))
    dtype = DTYPES.get(tensor.get("data_type", 0))
    raw = tensor.get("raw_data", memoryview(b""))
    if dtype is None:
        raise WireError(f"{what} has a dtype that is none of {', '.join(DTYPES.values())}")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if min(shape, default=1) < 1 or size != len(raw):
        raise WireError(f"{what} has the shape {shape} of {dtype}, but {len(raw):,} bytes")
    return name, np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _value(content: memoryview) -> Value:
    value = _message(content, _VALUE, "an input or output")
    name = _text(_one(value, "name", "an input or output"), "the name of an input or output")
    what = f"{name!a}"
    tensor = _message(
        _one(_message(_one(value, "type", what), _TYPE, what), "tensor_type", what),
        _TENSOR_TYPE,
        what,
    )
    dtype = DTYPES.get(tensor.get("elem_type", 0))
    if dtype is None:
        raise WireError(f"{what} has a dtype that is none of {', '.join(DTYPES.values())}")
    dims = _message(_one(tensor, "shape", what), _SHAPE, what).get("dim", [])
    return Value(name, dtype, tuple(_dim(each, what) for each in _few(dims, MAX_AXES, what)))


def _dim(content: memoryview, what: str) -> Dim:
    dim = _message(content, _DIM, what)
    if "dim_value" in dim:
        return _signed(dim["dim_value"])
    return _text(dim.get("dim_param"), f"an axis of {what}")
