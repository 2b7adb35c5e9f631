"""Graphs as earlier versions of mxnet wrote them, brought to the form of the last one.

What training alone needs is left out: where layers are placed (``ctx_group``), learning rates of
their own (``lr_mult``), losses and their labels. What mxnet itself changes when it loads an old
graph is changed here too (src/nnvm/legacy_json_util.cc). What remains is held against the operators
that a model may contain by ``graph.read``, not here.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Mapping, Sequence

from ...runtime.attributes import MOST
from ...runtime.graph import MAX_FAULTS, MAX_HEADS, MAX_NODES, VARIABLE, GraphError, document
from ...runtime.shapes import Unfit
from .draft import Draft, DraftNode, Entry, unfit

FIRST = 800  # what has no version is of 0.8 or earlier
NAMED_INPUTS = 900  # from there on a graph names all inputs of its operators
WHOLE_AXIS = 905  # before, axis=-1 of argmax and argmin stood for none
# Attributes of training, of a layer or of one of its inputs (weight_lr_mult).
HIDDEN = re.compile(r"(\w+_)?(ctx_group|lr_mult|wd_mult|force_mirroring|mirror_stage)")
LONG = re.compile(r"(?<=\d)L\b")  # as Python 2 wrote large numbers
MAX_INPUTS = 1000

# Names that operators had, or have besides.
RENAMED = {
    "BatchNorm_v1": "BatchNorm", "CuDNNBatchNorm": "BatchNorm", "Convolution_v1": "Convolution",
    "ElementWiseSum": "add_n", "IdentityAttachKLSparseReg": "_copy", "MakeLoss": "_copy",
    "Softmax": "SoftmaxOutput", "_Div": "elemwise_div", "_DivScalar": "_div_scalar",
    "_Equal": "_equal", "_EqualScalar": "_equal_scalar", "_Greater": "_greater",
    "_GreaterEqualScalar": "_greater_equal_scalar", "_GreaterScalar": "_greater_scalar",
    "_Greater_Equal": "_greater_equal", "_Lesser": "_lesser",
    "_LesserEqualScalar": "_lesser_equal_scalar", "_LesserScalar": "_lesser_scalar",
    "_Lesser_Equal": "_lesser_equal", "_Maximum": "_maximum", "_MaximumScalar": "_maximum_scalar",
    "_Minimum": "_minimum", "_MinimumScalar": "_minimum_scalar", "_Minus": "elemwise_sub",
    "_MinusScalar": "_minus_scalar", "_Mul": "elemwise_mul", "_MulScalar": "_mul_scalar",
    "_Not_Equal": "_not_equal", "_NotEqualScalar": "_not_equal_scalar", "_Plus": "elemwise_add",
    "_PlusScalar": "_plus_scalar", "_Power": "_power", "_PowerScalar": "_power_scalar",
    "_RDivScalar": "_rdiv_scalar", "_RMinusScalar": "_rminus_scalar",
    "_RPowerScalar": "_rpower_scalar", "_add": "elemwise_add", "_div": "elemwise_div",
    "_minus": "elemwise_sub", "_mul": "elemwise_mul", "_plus": "elemwise_add",
    "_sub": "elemwise_sub", "broadcast_axes": "broadcast_axis", "broadcast_minus": "broadcast_sub",
    "broadcast_plus": "broadcast_add", "cast": "Cast", "concat": "Concat", "crop": "slice",
    "flatten": "Flatten", "flip": "reverse", "identity": "_copy", "make_loss": "_copy",
    "max_axis": "max", "min_axis": "min", "pad": "Pad", "reshape": "Reshape",
    "split": "SliceChannel", "stop_gradient": "BlockGrad", "sum_axis": "sum",
    "swapaxes": "SwapAxis",
}  # fmt: skip
# What an operator takes, by name: an old graph leaves out variables at the end.
WEIGHTS = ("data", "weight", "bias")
INPUTS = {
    "BatchNorm": ("data", "gamma", "beta", "moving_mean", "moving_var"),
    "Convolution": WEIGHTS,
    "Deconvolution": WEIGHTS,
    "FullyConnected": WEIGHTS,
    "Embedding": ("data", "weight"),
}
TRUE = ("True", "true", "1")
Texts = Dict[str, str]


def read(content: bytes) -> Draft:
    """The network that a file holds. Raises GraphError, with up to MAX_FAULTS reasons."""
    return _Reader(document(content)).draft()


class _Reader:
    def __init__(self, found: Any) -> None:
        if not isinstance(found, dict) or not all(
            isinstance(found.get(key), list) for key in ("nodes", "heads")
        ):
            raise GraphError("is not an mxnet graph: it has no lists of nodes and heads")
        if not 0 < len(found["nodes"]) <= MAX_NODES:
            raise GraphError(f"has {len(found['nodes']):,} nodes, not 1 to {MAX_NODES:,}")
        if not 0 < len(found["heads"]) <= MAX_HEADS:
            raise GraphError(f"heads: has {len(found['heads'])}, not 1 to {MAX_HEADS}")
        self.found = found
        self.version = _version(found.get("attrs"))
        self.nodes: list[DraftNode] = []
        self.places: list[Entry] = []  # of each node of the file, where its first output is
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.faults: list[str] = []

    def draft(self) -> Draft:
        for index, node in enumerate(self.found["nodes"]):
            try:
                self.places.append(self._node(node))
            except Unfit as error:
                name = unfit(node.get("name")) if isinstance(node, dict) else unfit(node)
                self.faults.append(f"node {index} ({name}): {error}")
                self.places.append([0, 0, 0])
            if len(self.faults) == MAX_FAULTS:
                raise GraphError(*self.faults)
        heads: list[Entry] = []
        for head in self.found["heads"]:
            try:
                heads.append(self._entry(head))
            except Unfit as error:
                self.faults.append(f"heads: {error}")
        if self.faults:
            raise GraphError(*self.faults[:MAX_FAULTS])
        return Draft(self.nodes, heads, self.shapes)

    def _node(self, found: Any) -> Entry:
        if not isinstance(found, dict):
            raise Unfit("expected an object with op, name and inputs")
        op, name, inputs = found.get("op"), found.get("name"), found.get("inputs")
        if not isinstance(op, str) or not isinstance(name, str) or not isinstance(inputs, list):
            raise Unfit("expected an object with op, name and inputs")
        if len(inputs) > MAX_INPUTS:
            raise Unfit(f"takes {len(inputs):,} inputs, more than {MAX_INPUTS:,}")
        for key in ("subgraphs", "control_deps"):
            if found.get(key):
                raise Unfit(f"holds {key}, which are not supported")
        texts = _attributes(found)
        if op == VARIABLE:
            self._note_shape(name, texts)
            return self._add(VARIABLE, name, {}, [])
        entries = [self._entry(entry) for entry in inputs]
        op = RENAMED.get(op, op)
        texts = {
            key: LONG.sub("", value)
            for key, value in texts.items()
            if not HIDDEN.fullmatch(key) and not (key.startswith("__") and key.endswith("__"))
        }
        if self.version < NAMED_INPUTS:
            entries += self._unnamed(op, name, texts, len(entries))
        if self.version < WHOLE_AXIS and op in ("argmax", "argmin") and texts.get("axis") == "-1":
            del texts["axis"]
        return CHANGED.get(op, _as_it_is)(self, op, name, texts, entries)

    def _note_shape(self, name: str, texts: Texts) -> None:
        sizes = re.fullmatch(
            r"[(\[]((?:\d{1,9}L?, ?){0,7}\d{1,9}L?),?[)\]]", texts.get("__shape__", "")
        )
        if sizes:
            self.shapes[name] = tuple(int(size.strip(" L")) for size in sizes[1].split(","))

    def _unnamed(self, op: str, name: str, texts: Texts, count: int) -> list[Entry]:
        """Variables for the inputs that ``op`` takes besides ``count``."""
        wanted = INPUTS.get(op, ())
        if wanted == WEIGHTS and texts.get("no_bias", str(op == "Deconvolution")) in TRUE:
            wanted = WEIGHTS[:2]
        if op == "LeakyReLU" and texts.get("act_type") == "prelu":
            wanted = ("data", "gamma")
        return [self._add(VARIABLE, f"{name}_{each}", {}, []) for each in wanted[count:]]

    def _add(self, op: str, name: str, texts: Texts, inputs: Sequence[Entry]) -> Entry:
        self.nodes.append(DraftNode(op, name, texts, inputs))
        return [len(self.nodes) - 1, 0, 0]

    def _entry(self, found: Any) -> Entry:
        if (
            not isinstance(found, list)
            or len(found) not in (2, 3)
            or not all(type(number) is int and 0 <= number < MOST for number in found)
        ):
            raise Unfit("expected [node, output, version]")
        source, output = found[:2]
        if source >= len(self.places):
            raise Unfit(f"takes from node {source}, which does not stand before it")
        place, first, _ = self.places[source]
        return [place, first + output, found[2] if len(found) == 3 else 0]


def _version(attrs: Any) -> int:
    """As mxnet numbers its versions: 10400 is 1.4.0, 903 is 0.9.3."""
    if attrs is None:
        return FIRST
    found = attrs.get("mxnet_version") if isinstance(attrs, dict) else None
    if not (isinstance(found, list) and len(found) == 2 and type(found[1]) is int):
        raise GraphError("attrs: expected the version of mxnet that wrote it")
    if not 0 <= found[1] < 20000:
        raise GraphError(
            f"is written by mxnet of the version {found[1]}: expected one before 2.0, whose "
            "operators have their names and attributes"
        )
    return int(found[1])


def _attributes(found: Mapping[str, Any]) -> Texts:
    """What may stand in three places: ``param`` holds what the operator knows, if it is there."""
    texts: Texts = {}
    for key in ("attrs", "attr", "param"):
        given = found.get(key)
        if given is None:
            continue
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            raise Unfit(f"{key}: expected texts by name")
        if given.get("__storage_type__", "0") not in ("0", "-1"):
            raise Unfit("__storage_type__: is sparse, which is not supported")
        differing = sorted(k for k in given.keys() & texts.keys() if given[k] != texts[k])
        if differing:
            raise Unfit(f"{differing[0]}: is given twice, and not alike")
        texts = {**({} if key == "param" else texts), **given}
    return texts


Change = Callable[[_Reader, str, str, Texts, Sequence[Entry]], Entry]


def _as_it_is(reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]) -> Entry:
    return reader._add(op, name, texts, ins)


def _passing(reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]) -> Entry:
    """What gives its first input as it is; its labels and the factor of its gradient go."""
    return reader._add("_copy", name, {}, ins[:1])


def _softmax_output(
    reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]
) -> Entry:
    """A softmax with its loss, of which only the first is left."""
    if texts.get("multi_output") in TRUE:
        return reader._add("softmax", name, {"axis": "1"}, ins[:1])
    if texts.get("preserve_shape") in TRUE:
        return reader._add("softmax", name, {"axis": "-1"}, ins[:1])
    return _flat_softmax(reader, name, ins)


def _softmax_activation(
    reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]
) -> Entry:
    if texts.get("mode", "instance") == "channel":
        return reader._add("softmax", name, {"axis": "1"}, ins[:1])
    return _flat_softmax(reader, name, ins)


def _flat_softmax(reader: _Reader, name: str, ins: Sequence[Entry]) -> Entry:
    """Over all numbers of an example, whatever their shape."""
    if ins and reader.nodes[ins[0][0]].op not in ("FullyConnected", "Flatten"):
        ins = [reader._add("Flatten", f"{name}_flatten", {}, ins[:1])]
    return reader._add("softmax", name, {"axis": "-1"}, ins[:1])


def _logistic(reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]) -> Entry:
    return reader._add("sigmoid", name, {}, ins[:1])


def _leaky(reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]) -> Entry:
    """``rrelu`` has a random slope while training, and the middle one later."""
    if texts.get("act_type") == "rrelu":
        try:
            slope = (
                float(texts.get("lower_bound", "0.125")) + float(texts.get("upper_bound", "0.334"))
            ) / 2
        except ValueError:
            raise Unfit("lower_bound and upper_bound: expected numbers") from None
        texts = {"act_type": "leaky", "slope": repr(slope)}
    return reader._add(op, name, texts, ins)


def _reshape(reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]) -> Entry:
    """``target_shape`` is how the shape was given at first; 0 stood for what is left."""
    shape = texts.get("shape", "()")
    old = re.findall(r"\d+", texts.get("target_shape", ""))
    if shape in ("()", "[]", "") and any(size != "0" for size in old):
        sizes = ["-1" if size == "0" else size for size in old]
        if texts.get("keep_highest") in TRUE:
            sizes[0] = "0"
        shape = f"({', '.join(sizes)})"
    kept = {"reverse": texts["reverse"]} if "reverse" in texts else {}
    known = {"shape", "target_shape", "keep_highest", "reverse"}
    others = {key: value for key, value in texts.items() if key not in known}
    return reader._add(op, name, {**others, **kept, "shape": shape}, ins)


def _deconvolution(
    reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]
) -> Entry:
    """A target of no size is none."""
    if not re.search(r"[1-9]", texts.get("target_shape", "")):
        texts = {key: value for key, value in texts.items() if key != "target_shape"}
    return reader._add(op, name, texts, ins)


def _pooling(reader: _Reader, op: str, name: str, texts: Texts, ins: Sequence[Entry]) -> Entry:
    """The first pooling divided by its whole kernel wherever it lay: only ``max`` is as today."""
    if texts.get("pool_type", "max") != "max":
        raise Unfit(f"{op} of {texts['pool_type'][:20]!r} computes otherwise than Pooling does")
    return reader._add("Pooling", name, texts, ins)


CHANGED: dict[str, Change] = {
    "SoftmaxOutput": _softmax_output,
    "SoftmaxActivation": _softmax_activation,
    "LogisticRegressionOutput": _logistic,
    **dict.fromkeys(("LinearRegressionOutput", "MAERegressionOutput", "SVMOutput"), _passing),
    "_copy": _passing,
    "LeakyReLU": _leaky,
    "Reshape": _reshape,
    "Deconvolution": _deconvolution,
    "Pooling_v1": _pooling,
}
