"""``export``: a trained model's network as a file of ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from ...core.artifact import export as onnx
from ...core.artifact.metadata import ONNX
from ...core.inference.answers import example_inputs
from ...core.runtime.errors import MissingDependencyError
from ..discovery import opened
from .flags import PATH
from .output import console, json_option, print_json


@click.command()
@click.argument("model", type=PATH)
@click.option("--output", type=PATH, metavar="FILE.onnx", help=f"[default: {ONNX} in MODEL]")
@json_option
def export(model: Path, output: Path | None, as_json: bool) -> None:
    """Write the network of MODEL as ONNX, for engines other than mxnet.

    The file is written only after onnxruntime has answered as mxnet does: the model's own example,
    and random batches of several sizes and lengths.
    """
    artifact, algorithm = opened(model)
    lacking = onnx.missing()
    if lacking:
        raise MissingDependencyError(lacking)
    target = output or model / ONNX
    onnx.check_target(target)
    loaded = algorithm.model_fn(model)
    made = onnx.export(artifact, loaded, example_inputs(algorithm, loaded), target)
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
