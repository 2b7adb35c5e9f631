"""export: an artifact's network as a file of ONNX, which other engines compute without mxnet.

    builder.py      a graph of ONNX while it is made
    operators.py    each operator of mxnet's by those of ONNX
    conversion.py   the whole network; needs no mxnet
    parity.py       whether onnxruntime answers as mxnet does: nothing is written before that

Needs the packages onnx and onnxruntime, which nothing else imports.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Sequence

from ...runtime import mx, staging
from ...runtime.errors import ExportError, MissingDependencyError, OutputError
from ...runtime.graph import Entry, Graph
from ...runtime.ort import library
from ...runtime.types import Array
from ..folder import Artifact, Examined
from ..metadata import METADATA, ONNX, InputSignature
from ..model import Model
from ..network import GluonNetwork, Network
from . import parity
from .conversion import OPSET, Converted, convert
from .parity import Compute, Parity

__all__ = [
    "OPSET",
    "Compared",
    "Exported",
    "Parity",
    "check_target",
    "compared",
    "export",
    "missing",
]


@dataclass(frozen=True)
class Exported:
    """A file that was written: ``size`` in bytes, and how it was compared with mxnet."""

    path: Path
    size: int
    outputs: tuple[str, ...]
    parity: Parity


def missing() -> str:
    """What exporting needs and is not installed, as a sentence; empty where nothing is missing."""
    try:
        for name in ("onnx", "onnxruntime"):
            library(name)
    except MissingDependencyError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Compared:
    """A file that is not written yet, and whose answers are mxnet's: ``content`` is its bytes."""

    content: bytes
    outputs: tuple[str, ...]
    parity: Parity


def export(artifact: Artifact, model: Model, examples: Sequence[Array], target: Path) -> Exported:
    """Write the network of ``artifact`` to ``target``, once onnxruntime agrees with ``model``.

    ``examples`` are batches of the network's input, at least one; random ones like them are
    compared too. The file is written whole or not at all. Raises ExportError, OutputError,
    ArtifactError and MissingDependencyError.
    """
    check_target(target)
    found = compared(artifact, model, parity.batches(artifact.metadata.input, model.fit, examples))
    _write(found.content, target)
    return Exported(target, len(found.content), found.outputs, found.parity)


def compared(artifact: Artifact, model: Model, inputs: Iterable[Array]) -> Compared:
    """The network of ``artifact`` in ONNX, whose answers to ``inputs`` are those of ``model``.

    Raises as ``export`` does.
    """
    library("onnxruntime")
    found = artifact.check(numbers=True)
    signature = artifact.metadata.input
    document = (artifact.folder / METADATA).read_text(encoding="utf-8")
    converted = convert(found.graph, signature, found.parameters.arrays, {METADATA: document})
    content = _checked(converted)
    agreement = parity.check(
        converted,
        content,
        inputs,
        lambda x: _outputs(model.network, x),
        _all_outputs(found, signature),
        signature,
    )
    names = tuple(output.name for output in converted.model.graph.output)
    return Compared(content, names, agreement)


def check_target(target: Path) -> None:
    """Raises OutputError where ``target`` cannot be written, or is other work."""
    if target.is_dir():
        raise OutputError(f"{target}: is a folder: give --output a file, such as {target / ONNX}")
    if target.suffix != ".onnx":
        raise OutputError(f"{target}: expected a name that ends in .onnx (--output)")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent}: no such folder (--output)")


def _checked(converted: Converted) -> bytes:
    """The file's bytes, once onnx finds them well formed."""
    onnx = library("onnx")
    content = converted.content
    try:
        onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"onnx.checker refuses what was made of the network: {reason}") from error
    return content


def _outputs(network: Network, x: Array) -> list[Array]:
    """Every output (N, …) of a network for one batch, which stays as it is."""
    return list(network.compute(x.copy()))


def _all_outputs(found: Examined, signature: InputSignature) -> Callable[[list[Entry]], Compute]:
    """What computes the outputs of any nodes of the network by mxnet."""

    def of(entries: list[Entry]) -> Compute:
        text = Graph(found.graph.nodes, entries).text(found.fit)
        arrays = dict(found.parameters.arrays)
        network = GluonNetwork.load(text, signature, arrays, mx.cpu())
        return lambda x: _outputs(network, x)

    return of


def _write(content: bytes, target: Path) -> None:
    try:
        with staging.stage(target.parent, target.name) as stage:
            made = stage / target.name
            made.write_bytes(content)
            staging.sync(made)
            os.replace(made, target)
    except OSError as error:
        raise OutputError(staging.unwritable(target, error)) from None
