"""adoption: models from elsewhere, as the files of mxnet and Gluon hold them, become artifacts.

    foreign.py    the files, and what they hold; nothing is computed, and mxnet is not needed
    upgrade.py    graphs of earlier versions of mxnet
    draft.py      a graph while it is made one of ours

What an algorithm takes, and how, is its own (``Algorithm.adopt``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime import graph as graphs
from ...runtime import lazy, mx, params
from ...runtime.errors import OutputError
from ...runtime.types import Array, HybridBlock
from ..folder import complete
from ..metadata import PARAMETERS, SYMBOL, Metadata

if TYPE_CHECKING:
    from .draft import INPUT, Draft
    from .foreign import (
        BGR,
        RGB,
        Adopted,
        Files,
        Foreign,
        Pixels,
        read,
        read_classes,
        unpacked,
    )

__all__ = [
    "BGR",
    "INPUT",
    "RGB",
    "Adopted",
    "Draft",
    "Files",
    "Foreign",
    "Pixels",
    "read",
    "read_classes",
    "traced",
    "unpacked",
    "write",
]

lazy.offer(
    __name__,
    {
        "draft": "INPUT Draft",
        "foreign": "BGR RGB Adopted Files Foreign Pixels read read_classes unpacked",
    },
)


def traced(block: HybridBlock) -> tuple[Draft, dict[str, Array]]:
    """The graph of a Gluon ``block`` with one input, and its parameters by name."""
    from . import draft, upgrade

    symbol = block(mx.sym.var(draft.INPUT))
    arrays = {name: value.data().asnumpy() for name, value in block.collect_params().items()}
    return upgrade.read(symbol.tojson().encode()), arrays


def write(folder: Path, adopted: Adopted, metadata: Metadata) -> None:
    """Write the artifact of ``adopted`` into ``folder``.

    Raises OutputError where the disk does not take it.
    """
    graph = graphs.read(adopted.graph)
    states = {
        graph.nodes[node.inputs[place][0]].name
        for node in graph.nodes
        if node.operator is not None
        for place in node.operator.states
    }
    arrays = {
        f"{'aux' if name in states else 'arg'}:{name}": adopted.arrays[name]
        for name in graph.variables
        if name != metadata.input.name
    }
    try:
        (folder / SYMBOL).write_bytes(adopted.graph)
        params.write(folder / PARAMETERS, arrays)
        complete(folder, metadata)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None
