"""export: an artifact's network as a file of ONNX, which other engines compute without mxnet.

    builder.py      a graph of ONNX while it is made
    operators.py    each operator of mxnet's by those of ONNX
    conversion.py   the whole network; needs no mxnet
    parity.py       whether onnxruntime answers as mxnet does: nothing is written before that
    quantization.py the same network in int8

Needs the packages onnx and onnxruntime, which nothing else imports.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterable, Mapping, Sequence

from ...data.wire import WireError
from ...runtime import mx, staging
from ...runtime.errors import ExportError, MissingDependencyError, OutputError
from ...runtime.graph import Entry, Fit, Graph
from ...runtime.ort import library
from ...runtime.types import Array
from .. import onnx_file
from ..folder import Artifact, Examined
from ..metadata import METADATA, ONNX, InputSignature
from ..model import Model
from ..network import GluonNetwork, Network, OnnxNetwork
from ..onnx_file import OPSET
from . import parity, quantization
from .conversion import Converted, convert
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
    "quantized",
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


def export(
    artifact: Artifact,
    model: Model,
    examples: Sequence[Array],
    target: Path,
    change: Callable[[Compared], bytes] = lambda made: made.content,
) -> Exported:
    """Write the network of ``artifact`` to ``target``, once onnxruntime agrees with ``model``.

    ``examples`` are batches of the network's input, at least one; random ones like them are
    compared too. ``change`` gives what is written for what agrees. The file is written whole or not
    at all. Raises ExportError, OutputError, ArtifactError and MissingDependencyError.
    """
    check_target(target)
    found = compared(artifact, model, parity.batches(artifact.metadata.input, model.fit, examples))
    content = change(found)
    _write(content, target)
    return Exported(target, len(content), found.outputs, found.parity)


Metrics = Callable[[Model], Mapping[str, float]]


def quantized(
    model: Model,
    made: Compared,
    calibration: Iterable[Array],
    evaluate: Metrics,
    metric: str,
    *,
    maximize: bool,
    max_loss: float,
) -> quantization.Quantized:
    """What was ``made`` of ``model`` in int8, calibrated on ``calibration``, and what that costs.

    ``evaluate`` measures a model on the test channel; ``metric`` is the one that may lose
    ``max_loss``. Raises ExportError where it loses more, and as ``export`` does.
    """
    name = model.metadata.input.name
    batches = list(calibration)
    content = quantization.quantized(made.content, name, batches)
    _check(content, model.metadata.input, model.fit)
    contents = (made.content, content)
    before, after = (evaluate(_by_onnx(model, each)) for each in contents)
    if metric not in before:
        raise ExportError(f"an evaluation measures no {metric}, by which a loss could be judged")
    loss, unit = quantization.loss_of(before[metric], after[metric], maximize=maximize)
    one, other = quantization.latencies(contents, name, batches[0][:1])
    sizes = len(made.content), len(content)
    found = quantization.Quantized(
        content, metric, unit, loss, (before, after), sizes, (one, other)
    )
    quantization.check_loss(found, max_loss)
    return found


def _by_onnx(model: Model, content: bytes) -> Model:
    learned = model.network.parameters
    network = OnnxNetwork.load(content, model.metadata, model.fit, learned)
    return replace(model, network=network)


def compared(artifact: Artifact, model: Model, inputs: Iterable[Array]) -> Compared:
    """The network of ``artifact`` in ONNX, whose answers to ``inputs`` are those of ``model``.

    Raises as ``export`` does.
    """
    library("onnxruntime")
    found = artifact.check(numbers=True)
    signature = artifact.metadata.input
    document = (artifact.folder / METADATA).read_text(encoding="utf-8")
    converted = convert(found.graph, signature, found.parameters.arrays, {METADATA: document})
    content = _checked(converted, signature, found.fit)
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


def _checked(converted: Converted, signature: InputSignature, fit: Fit) -> bytes:
    content = converted.content
    _check(content, signature, fit)
    return content


def _check(content: bytes, signature: InputSignature, fit: Fit) -> None:
    """Raises ExportError where onnx finds a file malformed, or `onnx_file` would refuse it."""
    onnx = library("onnx")
    try:
        onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"onnx.checker refuses what was made of the network: {reason}") from error
    try:
        onnx_file.checked(content, signature, fit)
    except (onnx_file.UnfitError, WireError) as error:
        raise ExportError(f"the file would be refused wherever it is opened: {error}") from error


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
