"""``export``: a trained model's network as a file of ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from ...core.artifact import export as onnx
from ...core.artifact.engines import MXNET
from ...core.artifact.metadata import ONNX
from ...core.inference.answers import example_inputs
from ...core.inference.handlers import Handlers
from ...core.runtime.errors import MissingDependencyError
from ..discovery import opened
from .flags import PATH
from .output import console, json_option, print_json


@click.command()
@click.argument("model", type=PATH)
@click.option(
    "--output", type=PATH, metavar="FILE.onnx", help=f"File to write. [default: {ONNX} in MODEL]"
)
@json_option
def export(model: Path, output: Path | None, as_json: bool) -> None:
    """Write the network of MODEL, a folder written by `algoshelf train`, as ONNX.

    The file is written only after onnxruntime has given the same answers as mxnet, for the model's
    own example and for random batches of several sizes and lengths.

    Example: algoshelf export models/mine
    """
    artifact, algorithm = opened(model)
    lacking = onnx.missing()
    if lacking:
        raise MissingDependencyError(lacking)
    target = output or model / ONNX
    onnx.check_target(target)
    handlers = Handlers.load(algorithm, model, engine=MXNET)
    made = onnx.export(artifact, handlers.model, example_inputs(handlers), target)
    difference, batches = made.parity.difference, made.parity.batches
    if as_json:
        print_json(
            {
                "model": str(model),
                "algorithm": algorithm.name,
                "file": str(target),
                "bytes": made.size,
                "opset": onnx.OPSET,
                "input": artifact.metadata.input.name,
                "outputs": list(made.outputs),
                "parity": {"difference": difference, "batches": [list(b) for b in batches]},
            }
        )
        return
    out = console()
    out.print(f"{target}: {made.size:,} bytes, opset {onnx.OPSET}")
    out.print(
        f"onnxruntime answers {len(batches)} batches as mxnet does; they differ by "
        f"{difference:.1g} of the largest number at most"
    )
