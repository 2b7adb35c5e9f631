"""A network from elsewhere while it is made one of ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

from ...runtime.graph import VARIABLE, GraphError, Writer

INPUT = "data"
# What only passes on what it is given.
PASSING = ("_copy", "BlockGrad", "Dropout")
# What makes probabilities of logits, or their logarithms.
SOFTMAXES = ("softmax", "log_softmax")
Step = Tuple[str, Mapping[str, str]]  # an operator and its attributes
Entry = List[int]  # a node, which of its outputs, and the version


@dataclass(frozen=True)
class DraftNode:
    """``attributes`` are texts, as the file of a graph has them; a variable has none."""

    op: str
    name: str
    attributes: Mapping[str, str]
    inputs: Sequence[Entry]

    @property
    def place(self) -> str:
        return f"node {self.name[:80]!r}, {self.op[:80]}"


@dataclass(frozen=True)
class Draft:
    """Nodes, each after those that it takes from, and what the network gives.

    ``shapes`` are those that variables are said to have. Nothing is held against the operators that
    a model may contain: whoever is given what ``written`` makes of it does that.
    """

    nodes: Sequence[DraftNode]
    heads: Sequence[Entry]
    shapes: Mapping[str, tuple[int, ...]]

    def variables(self) -> list[str]:
        """The names of the variables that what the network gives depends on."""
        needed = self._needed()
        return [
            node.name
            for index, node in enumerate(self.nodes)
            if index in needed and node.op == VARIABLE
        ]

    def at(self, layer: str) -> Draft:
        """What the node ``layer`` gives instead, by its name or as mxnet calls its output.

        Raises GraphError.
        """
        wanted = {layer, layer[: -len("_output")] if layer.endswith("_output") else layer}
        found = [
            index
            for index, node in enumerate(self.nodes)
            if node.op != VARIABLE and node.name in wanted
        ]
        if len(found) != 1:
            last = [node.name for node in self.nodes if node.op != VARIABLE][-5:]
            raise GraphError(
                f"has {len(found) or 'no'} layer{'s' * (len(found) > 1)} of the name {layer!r}: "
                f"expected one; its last ones are {', '.join(map(repr, last))}"
            )
        return replace(self, heads=[[found[0], 0, 0]])

    def logits(self) -> Draft:
        """What goes into the softmax at the end, where there is one; or if that does more, such as
        a temperature, its logarithms, of which a softmax makes the same.
        """
        nodes, heads = list(self.nodes), []
        for head in self.heads:
            entry = self._logits(list(head))
            node = nodes[entry[0]]
            if node.op == "softmax":
                nodes.append(replace(node, op="log_softmax", name=f"{node.name}_log"))
                entry = [len(nodes) - 1, 0, 0]
            heads.append(entry)
        return replace(self, nodes=nodes, heads=heads)

    def _logits(self, entry: Entry) -> Entry:
        node = self.nodes[entry[0]]
        while node.inputs and (node.op in PASSING or (node.op in SOFTMAXES and _is_plain(node))):
            entry = list(node.inputs[0])
            node = self.nodes[entry[0]]
        return entry

    def ends_in_sigmoid(self) -> bool:
        """Whether one of the outputs is between 0 and 1 for each number of it alone."""
        last = [self.nodes[self._logits(list(head))[0]] for head in self.heads]
        return any("sigmoid" in (node.op, node.attributes.get("act_type")) for node in last)

    def _needed(self) -> set[int]:
        needed: set[int] = set()
        left = [entry[0] for entry in self.heads]
        while left:
            index = left.pop()
            if index not in needed:
                needed.add(index)
                left += [entry[0] for entry in self.nodes[index].inputs]
        return needed

    def written(
        self, variable: str, before: Sequence[Step] = (), behind: Sequence[Step] = ()
    ) -> bytes:
        """The file of the graph whose input is ``variable``, called INPUT from now on.

        ``before`` is what is done with the input first, ``behind`` what with each output last.
        What is not needed for the outputs is left out.
        """
        writer, needed = Writer(), self._needed()
        taken = {node.name for node in self.nodes}
        for index, node in enumerate(self.nodes):
            if index not in needed:
                continue
            if node.op == VARIABLE and node.name == variable:
                place = writer.add(VARIABLE, INPUT, {}, [])
                writer.places[index] = _chain(writer, taken, place, before)
            else:
                inputs = [[*writer.entry(*entry[:2]), entry[2]] for entry in node.inputs]
                writer.places[index] = writer.add(node.op, node.name, dict(node.attributes), inputs)
        heads = []
        for source, output, _ in self.heads:
            place, output = writer.entry(source, output)
            if behind:
                place, output = _chain(writer, taken, place, behind, output), 0
            heads.append([place, output, 0])
        return writer.text(heads).encode()


def _is_plain(node: DraftNode) -> bool:
    """Whether a softmax goes along the second axis, or the last, and does nothing else."""
    values = {name: value for name, value in node.attributes.items() if value not in ("", "None")}
    axis = values.pop("axis", "-1")
    return (
        axis in ("-1", "1")
        and len(node.inputs) == 1
        and values.pop("use_length", "False") == "False"
        and not values
    )


def _chain(
    writer: Writer, taken: set[str], place: int, steps: Sequence[Step], output: int = 0
) -> int:
    """Add ``steps`` one after the other; where the last of them has come to stand."""
    for op, attributes in steps:
        name = next(name for name in _names(op) if name not in taken)
        taken.add(name)
        place = writer.add(op, name, dict(attributes), [[place, output, 0]])
        output = 0
    return place


def _names(op: str) -> Iterator[str]:
    base = f"adopted_{op.strip('_').lower()}"
    yield base
    number = 1
    while True:
        yield f"{base}{number}"
        number += 1


def unfit(value: Any) -> str:
    """The beginning of what stands where something else is expected."""
    text = repr(value)
    return text if len(text) <= 50 else text[:49] + "…"
