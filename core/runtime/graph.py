"""Read a network's graph, and refuse what is not allowed in it, before mxnet loads it.

A file is parsed here, each part is checked against the allowed operators, and mxnet gets a new
file written from the parsed graph, so that both agree on what it contains.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Mapping, NamedTuple, Sequence, Tuple

from .attributes import MOST
from .deprecated import keep_old_names
from .errors import did_you_mean
from .operators import DIVIDING, LENGTHS, MIXED, OPERATORS, REQUIRED, TYPED, Operator
from .shapes import MAX_AXES, Attributes, Shape, Unfit

MAX_BYTES = 16 * 2**20  # the largest network of the catalog has 3.6 MB
MAX_NODES = 50_000  # and 9,310 nodes
MAX_HEADS = 100
MAX_FAULTS = 10
LONGEST_NAME = 500
VERSION = 10901  # of mxnet, as what is written anew says
BYTES = {"float64": 8, "int64": 8, "float16": 2, "int8": 1, "uint8": 1}
VARIABLE = "null"
_LONG = re.compile(rb"[0-9]{60}")
MENDING = (
    "a model's network may hold the operators of core/runtime/operators.py alone, which are those "
    "of Gluon's layers and of arithmetic"
)


class GraphError(ValueError):
    """A graph that is not to be loaded; ``faults`` holds a sentence for each reason."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


Entry = Tuple[int, int]  # a node, and which of its outputs


class Node(NamedTuple):
    """``operator`` is None for a variable; ``texts`` are the attributes as the file has them."""

    op: str
    name: str
    operator: Any
    attributes: Attributes
    texts: Mapping[str, str]
    inputs: tuple[tuple[int, int, int], ...]  # node, output, version

    @property
    def place(self) -> str:
        return f"node {self.name!r}, {self.op}"


@dataclass(frozen=True)
class Fit:
    """What a graph makes of one example: ``peak`` is how many bytes it needs at once besides the
    parameters, ``work`` about how many multiplications; ``vocabularies`` is how many rows each
    table has that the input is looked up in.
    """

    outputs: list[Shape]
    peak: int
    work: int
    vocabularies: tuple[int, ...]
    shapes: dict[int, list[Shape]] = field(repr=False)
    dtypes: dict[int, str] = field(repr=False)


class Graph:
    """A graph whose every node is one of OPERATORS, or a variable."""

    def __init__(self, nodes: list[Node], heads: list[Entry]) -> None:
        self.nodes = nodes
        self.heads = heads
        # A server loads a network several times, one copy for each size of a batch.
        self._fitted: tuple[Any, Fit, str] | None = None
        self.variables = [node.name for node in nodes if node.operator is None]

    def fit(
        self, inputs: Mapping[str, tuple[Shape, str]], parameters: Mapping[str, tuple[Shape, str]]
    ) -> Fit:
        """What comes of ``inputs`` and ``parameters``, shapes and dtypes by name.

        Raises GraphError where they do not fit together.
        """
        asked = dict(inputs), dict(parameters)
        if self._fitted is not None and self._fitted[0] == asked:
            return self._fitted[1]
        fit = self._fit(*asked)
        self._fitted = asked, fit, ""
        return fit

    def _fit(
        self, inputs: Mapping[str, tuple[Shape, str]], parameters: Mapping[str, tuple[Shape, str]]
    ) -> Fit:
        self._check_names(inputs, parameters)
        known = {**parameters, **inputs}
        found: dict[int, list[Shape]] = {}
        dtypes: dict[int, str] = {}
        seen: set[int] = set()  # what holds the input's own numbers
        vocabularies = []
        work = 0
        for index, node in enumerate(self.nodes):
            if node.operator is None:
                shape, dtypes[index] = known[node.name]
                found[index] = [shape]
                seen.update([index] if node.name in inputs else [])
                continue
            ins = [found[source][output] for source, output, _ in node.inputs]
            types = [dtypes[source] for source, _, _ in node.inputs]
            try:
                found[index] = self._outputs(node, ins, types)
            except Unfit as error:
                raise GraphError(f"{node.place}: {error}") from None
            dtypes[index] = _dtype(node, types)
            work += node.operator.work(node.attributes, ins, found[index])
            if node.op in ("Cast", "_copy") and node.inputs[0][0] in seen:
                seen.add(index)
            if node.op == "Embedding" and node.inputs[0][0] in seen:
                vocabularies.append(ins[1][0])
        outputs = [found[index][output] for index, output in self.heads]
        peak = self._peak(found, dtypes)
        return Fit(outputs, peak, work, tuple(vocabularies), found, dtypes)

    def _check_names(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        needed = set(self.variables)
        faults = [f"has no input {name!r}" for name in inputs if name not in needed]
        missing = sorted(needed - inputs.keys() - parameters.keys())
        surplus = sorted(parameters.keys() - needed)
        doubled = sorted(inputs.keys() & parameters.keys())
        for what, names in (
            ("needs parameters that are missing", missing),
            ("has no parameters of these names", surplus),
            ("is given parameters in place of its input", doubled),
        ):
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                faults.append(f"{what}: {', '.join(map(repr, names[:3]))}{more}")
        if faults:
            raise GraphError(*faults)

    @staticmethod
    def _outputs(node: Node, ins: Sequence[Shape], types: Sequence[str]) -> list[Shape]:
        if node.op in DIVIDING and any("int" in dtype for dtype in types):
            raise Unfit("divides whole numbers, which may be by 0: cast them to float32 before")
        if node.op not in MIXED and len(set(types)) > 1:
            raise Unfit(f"takes inputs of one dtype, and is given {', '.join(types)}")
        if node.op in LENGTHS and len(ins) == 2 and types[0] not in ("float32", "int32"):
            raise Unfit(f"takes lengths beside float32, not beside {types[0]}")
        outs: list[Shape] = node.operator.shape(node.attributes, ins)
        for shape in outs:
            if not 1 <= len(shape) <= MAX_AXES or not all(0 < size < 2**31 for size in shape):
                raise Unfit(f"would give the shape {shape}")
        return outs

    def _peak(self, found: Mapping[int, list[Shape]], dtypes: Mapping[int, str]) -> int:
        """The most bytes that the outputs hold that are still needed."""
        uses = Counter(source for node in self.nodes for source, _, _ in node.inputs)
        uses.update(source for source, _ in self.heads)
        sizes = {
            index: 0
            if self.nodes[index].operator is None
            else sum(map(math.prod, shapes)) * BYTES.get(dtypes[index], 4)
            for index, shapes in found.items()
        }
        held = peak = 0
        for index, node in enumerate(self.nodes):
            held += sizes[index]
            peak = max(peak, held)
            for source, _, _ in node.inputs:
                uses[source] -= 1
                if not uses[source]:
                    held -= sizes[source]
            if not uses[index]:
                held -= sizes[index]
        return peak

    def text(self, fit: Fit) -> str:
        """The graph for mxnet, with lengths of sequences kept within the sequences."""
        asked, known, text = self._fitted or (None, None, "")
        if known is not fit or not text:
            text = self._text(fit)
            self._fitted = asked, fit, text
        return text

    def _text(self, fit: Fit) -> str:
        writer = Writer()
        for index, node in enumerate(self.nodes):
            inputs = [
                [*writer.entry(source, output), version] for source, output, version in node.inputs
            ]
            if node.op in LENGTHS and len(inputs) == 2:
                kind = fit.dtypes[node.inputs[1][0]]
                rank = len(fit.shapes[node.inputs[0][0]][node.inputs[0][1]])
                inputs[1] = writer.bounded(inputs[0], inputs[1], node, rank, kind)
            writer.places[index] = writer.add(node.op, node.name, dict(node.texts), inputs)
        heads = [[*writer.entry(*head), 0] for head in self.heads]
        return writer.text(heads)


def _dtype(node: Node, types: Sequence[str]) -> str:
    typed = TYPED.get(node.op)
    return typed(node.attributes, types) if typed else types[0]


class Writer:
    """Nodes as mxnet reads them; ``places`` is where those of the graph have come to stand."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.places: dict[int, int] = {}

    def entry(self, source: int, output: int) -> list[int]:
        return [self.places[source], output]

    def add(self, op: str, name: str, attributes: dict[str, str], inputs: list[list[int]]) -> int:
        node: dict[str, Any] = {"op": op, "name": name, "inputs": inputs}
        if attributes:
            node["attrs"] = attributes
        self.nodes.append(node)
        return len(self.nodes) - 1

    def bounded(
        self, data: list[int], lengths: list[int], node: Node, rank: int, dtype: str
    ) -> list[int]:
        """Lengths as the number of positions below them, which is never more than there are."""
        axis = node.attributes["axis"]
        attention = "softmax" in node.op or node.op == "softmin"
        along = axis % rank if attention else 1
        spread = ["1"] * (rank if attention else 2)
        spread[along] = "-1"

        def step(op: str, *inputs: list[int], **attributes: Any) -> list[int]:
            name = f"{node.name}_lengths{len(self.nodes)}"
            texts = {key: str(value) for key, value in attributes.items()}
            return [self.add(op, name, texts, list(inputs)), 0, 0]

        positions = step("_contrib_arange_like", data, axis=axis)
        positions = step("Cast", positions, dtype="float32")
        positions = step("Reshape", positions, shape=f"({', '.join(spread)})")
        wanted = step("floor", step("Cast", lengths, dtype="float32"))
        wanted = step("expand_dims", wanted, axis=along)
        count = step("sum", step("broadcast_lesser", positions, wanted), axis=along)
        return step("Cast", count, dtype=dtype)

    def text(self, heads: list[list[int]]) -> str:
        arguments = [index for index, node in enumerate(self.nodes) if node["op"] == VARIABLE]
        attributes = {"mxnet_version": ["int", VERSION]}
        document = {
            "nodes": self.nodes,
            "arg_nodes": arguments,
            "node_row_ptr": list(range(len(self.nodes) + 1)),
            "heads": heads,
            "attrs": attributes,
        }
        return json.dumps(document)


@lru_cache(maxsize=2)
def read(content: bytes) -> Graph:
    """The graph that a file holds. Raises GraphError, with up to MAX_FAULTS reasons."""
    return _Reader(document(content)).graph()


def document(content: bytes) -> Any:
    """The JSON of a file, whatever it says. Raises GraphError where it is none, or too much."""
    if len(content) > MAX_BYTES:
        raise GraphError(f"has {len(content):,} bytes, more than {MAX_BYTES:,}")
    if _LONG.search(content):  # Python takes long over numbers of many digits, or refuses
        raise GraphError("is not an mxnet graph: it contains a number of 60 digits")
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise GraphError("is nested too deeply for a graph") from None
    except ValueError as error:
        raise GraphError(f"is not an mxnet graph: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice in an object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


class _Reader:
    """What a document says, and all that is wrong with it."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.faults: list[str] = []
        self.nodes: list[Node] = []
        self._parsed: dict[Any, tuple[Mapping[str, str], Attributes]] = {}

    def graph(self) -> Graph:
        self._check_frame()
        for index, found in enumerate(self.document["nodes"]):
            try:
                self.nodes.append(self._node(found))
            except Unfit as error:
                self._fault(f"node {index}{_named(found)}: {error}")
                raise self._error() from None  # what follows may build on it
        heads = self._heads()
        self._check_variables()
        self._check_states()
        if self.faults:
            raise self._error()
        return Graph(self.nodes, heads)

    def _fault(self, text: str) -> None:
        self.faults.append(text)

    def _error(self) -> GraphError:
        return GraphError(*self.faults[:MAX_FAULTS])

    def _check_frame(self) -> None:
        document = self.document
        if not isinstance(document, dict) or not all(
            isinstance(document.get(key), list) for key in ("nodes", "heads")
        ):
            raise GraphError("is not an mxnet graph: it has no lists of nodes and heads")
        odd = sorted(document.keys() - {"nodes", "heads", "arg_nodes", "node_row_ptr", "attrs"})
        if odd:
            raise GraphError(f"holds {odd[0]!r}, which graphs of mxnet 1.9 do not have")
        if not 0 < len(document["nodes"]) <= MAX_NODES:
            raise GraphError(f"has {len(document['nodes']):,} nodes, not 1 to {MAX_NODES:,}")
        version = document.get("attrs")
        number = version.get("mxnet_version") if isinstance(version, dict) else None
        if (
            version != {"mxnet_version": number}
            or not isinstance(number, list)
            or number[:1] != ["int"]
            or len(number) != 2
            or not (_is_whole(number[1]) and 10000 <= number[1] < 20000)
        ):
            raise GraphError("attrs: expected the version of mxnet 1 that wrote it")
        self._check_indices()

    def _check_indices(self) -> None:
        """What can be told from the nodes has to be right where it is told."""
        nodes = self.document["nodes"]
        arguments = [i for i, node in enumerate(nodes) if _op(node) == VARIABLE]
        if self.document.get("arg_nodes", arguments) != arguments:
            self._fault("arg_nodes: expected the indices of the variables")
        rows = self.document.get("node_row_ptr")
        if rows is not None and not (
            isinstance(rows, list)
            and len(rows) == len(nodes) + 1
            and all(_is_whole(row) for row in rows)
            and rows[0] == 0
            and all(0 <= after - row <= 1000 for row, after in zip(rows, rows[1:]))
        ):
            self._fault("node_row_ptr: expected where the outputs of each node begin")

    def _node(self, found: Any) -> Node:
        if not isinstance(found, dict) or not found.keys() >= {"op", "name", "inputs"}:
            raise Unfit("expected an object with op, name and inputs")
        odd = sorted(found.keys() - {"op", "name", "inputs", "attrs"})
        if odd:
            raise Unfit(f"holds {odd[0]!r}, which is not allowed in a model: {MENDING}")
        op, name = found["op"], found["name"]
        if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST_NAME:
            raise Unfit("its name is too long, or not text")
        if not isinstance(op, str) or (op != VARIABLE and op not in OPERATORS):
            near = did_you_mean(op, OPERATORS) if isinstance(op, str) else ""
            raise Unfit(f"is not an operator that a model may contain{near}: {MENDING}")
        texts, attributes = self._attributes(op, found.get("attrs", {}))
        inputs = tuple(self._entry(entry) for entry in self._list(found["inputs"]))
        if op == VARIABLE:
            if inputs or texts:
                raise Unfit("a variable has neither inputs nor attributes")
            return Node(op, name, None, {}, {}, ())
        operator = OPERATORS[op]
        count = _count(operator.inputs, attributes)
        if len(inputs) != count:
            raise Unfit(f"takes {count} inputs, and has {len(inputs)}")
        return Node(op, name, operator, attributes, texts, inputs)

    @staticmethod
    def _list(found: Any) -> list[Any]:
        if not isinstance(found, list) or len(found) > 1000:
            raise Unfit("inputs: expected a list")
        return found

    @staticmethod
    def _texts(found: Any) -> dict[str, str]:
        """The attributes without those between two underscores, which are for training."""
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise Unfit("attrs: expected texts by name")
        if found.get("__storage_type__", "0") not in ("0", "-1"):
            raise Unfit("__storage_type__: is sparse, which is not supported")
        return {k: v for k, v in found.items() if not (k.startswith("__") and k.endswith("__"))}

    def _attributes(self, op: str, found: Any) -> tuple[Mapping[str, str], Attributes]:
        """As texts and as values; most nodes have those of another."""
        try:
            key = (op, tuple(found.items()))
            known = self._parsed.get(key)
        except (AttributeError, TypeError):
            raise Unfit("attrs: expected texts by name") from None
        if known is None:
            texts = self._texts(found)
            values = _parsed(OPERATORS[op], texts) if op != VARIABLE else {}
            known = self._parsed[key] = texts, values
        return known

    def _entry(self, found: Any) -> tuple[int, int, int]:
        if (
            not isinstance(found, list)
            or len(found) not in (2, 3)
            or not all(_is_whole(number) and 0 <= number < MOST for number in found)
        ):
            raise Unfit("expected [node, output, version]")
        source, output = found[:2]
        if source >= len(self.nodes):
            raise Unfit(f"takes from node {source}, which does not stand before it")
        node = self.nodes[source]
        count = 1 if node.operator is None else _count(node.operator.outputs, node.attributes)
        if output >= count:
            raise Unfit(f"takes output {output} of {node.place}, which has {count}")
        return source, output, found[2] if len(found) == 3 else 0

    def _heads(self) -> list[Entry]:
        heads: list[Entry] = []
        found = self.document["heads"]
        if not 0 < len(found) <= MAX_HEADS:
            self._fault(f"heads: has {len(found)}, not 1 to {MAX_HEADS}")
            return heads
        for entry in found:
            try:
                heads.append(self._entry(entry)[:2])
            except Unfit as error:
                self._fault(f"heads: {error}")
        return heads

    def _check_variables(self) -> None:
        counts = Counter(node.name for node in self.nodes if node.operator is None)
        doubled = [name for name, count in counts.items() if count > 1]
        if doubled:
            self._fault(f"variable {doubled[0]!r}: stands {counts[doubled[0]]} times")

    def _check_states(self) -> None:
        """What training changes by itself is a parameter, and is nothing else besides."""
        states: set[int] = set()
        others: set[int] = set()
        for node in self.nodes:
            for place, (source, _, _) in enumerate(node.inputs):
                (states if place in node.operator.states else others).add(source)
        for source in sorted(states):
            if source in others or self.nodes[source].operator is not None:
                self._fault(f"{self.nodes[source].place}: is no state of its own, as BatchNorm has")


def _parsed(operator: Operator, texts: Mapping[str, str]) -> Attributes:
    values = {name: default for name, (_, default) in operator.attributes.items()}
    for name, text in texts.items():
        if name not in operator.attributes:
            near = did_you_mean(name, operator.attributes)
            raise Unfit(f"has an attribute {name[:50]!r} that it may not have{near}")
        try:
            values[name] = operator.attributes[name][0](text)
        except ValueError as error:
            raise Unfit(f"{name}: expected {error}, got {text[:50]!r}") from None
    missing = [name for name, value in values.items() if value is REQUIRED]
    if missing:
        raise Unfit(f"has no {', '.join(missing)}")
    return values


def _count(count: Any, attributes: Attributes) -> int:
    return int(count(attributes) if callable(count) else count)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _op(node: Any) -> Any:
    return node.get("op") if isinstance(node, dict) else None


def _named(found: Any) -> str:
    """How to find a node again, whatever it holds."""
    if not isinstance(found, dict):
        return ""
    name, op = str(found.get("name"))[:50], str(found.get("op"))[:50]
    return f" ({name!a}, {op!a})"


keep_old_names(__name__, "runtime.graph")
