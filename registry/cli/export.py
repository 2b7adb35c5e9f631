"""``export``: a trained model's network as a file of ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import click

from ...core.algorithm.base import Algorithm
from ...core.algorithm.channels import TEST, TRAIN
from ...core.artifact import export as onnx
from ...core.artifact.engines import MXNET
from ...core.artifact.export.quantization import CALIBRATED_ON, INT8, MAX_LOSS, Quantized
from ...core.artifact.metadata import ONNX
from ...core.artifact.model import Model
from ...core.data.files import absent, exists
from ...core.data.reading import using
from ...core.inference.answers import example_inputs
from ...core.inference.handlers import Handlers
from ...core.runtime.errors import InputError, MissingDependencyError
from ..discovery import opened
from .flags import FROM_0, PATH, SectionedCommand
from .output import console, json_option, print_json, print_table, say
from .reading import reading_options, taken


@click.command(cls=SectionedCommand)
@click.argument("model", type=PATH)
@click.option(
    "--output", type=PATH, metavar="FILE.onnx", help=f"File to write. [default: {ONNX} in MODEL]"
)
@click.option(
    "--quantize",
    type=click.Choice([INT8]),
    help="Compute products and convolutions in int8: a smaller and faster file whose answers "
    "differ. It needs --train and --test.",
)
@click.option(
    "--train",
    type=PATH,
    help=f"Training examples, on {CALIBRATED_ON} of which --quantize finds the range of each "
    "activation.",
)
@click.option(
    "--test", type=PATH, help="Test examples, by which --quantize judges what accuracy is lost."
)
@click.option(
    "--max-loss",
    type=FROM_0,
    default=MAX_LOSS,
    show_default=True,
    help="The greatest loss that --quantize may cost: in points of accuracy, or of a metric that "
    "is no share in percent. If it costs more, no file is written.",
)
@reading_options
@json_option
def export(
    model: Path,
    output: Path | None,
    quantize: str | None,
    train: Path | None,
    test: Path | None,
    max_loss: float,
    as_json: bool,
    **given: str | None,
) -> None:
    """Write the network of MODEL, a folder written by `algoshelf train`, as ONNX.

    The file is written only after onnxruntime has given the same answers as mxnet, for the model's
    own example and for random batches of several sizes and lengths.

    Example: algoshelf export models/mine
    """
    channels = {TRAIN: train, TEST: test}
    _check_channels(quantize, channels)
    artifact, algorithm = opened(model)
    lacking = onnx.missing()
    if lacking:
        raise MissingDependencyError(lacking)
    target = output or model / ONNX
    onnx.check_target(target)
    handlers = Handlers.load(algorithm, model, engine=MXNET)
    found: list[Quantized] = []

    def change(made: onnx.Compared) -> bytes:
        if quantize is None:
            return made.content
        with using(taken(given), say, artifact.metadata.headings):
            found.append(_quantized(algorithm, handlers.model, made, channels, max_loss))
        return found[0].content

    made = onnx.export(artifact, handlers.model, example_inputs(handlers), target, change)
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
                **({"quantized": _document(found[0])} if found else {}),
            }
        )
        return
    out = console()
    out.print(f"{target}: {made.size:,} bytes, opset {onnx.OPSET}")
    out.print(
        f"onnxruntime answers {len(batches)} batches as mxnet does; they differ by "
        f"{difference:.1g} of the largest number at most{' before int8' if found else ''}"
    )
    if found:
        _print(found[0])


def _check_channels(quantize: str | None, channels: Mapping[str, Path | None]) -> None:
    """Raises InputError for channels that are missing, or that nobody asks for."""
    if quantize is None:
        surplus = [f"--{name}" for name, path in channels.items() if path is not None]
        if surplus:
            raise InputError(f"{', '.join(surplus)}: is for --quantize {INT8} alone")
        return
    faults = [
        f"--quantize {quantize}: give --{name} PATH"
        if path is None
        else f"{absent(path)} (--{name})"
        for name, path in channels.items()
        if path is None or not exists(path)
    ]
    if faults:
        raise InputError(*faults)


def _quantized(
    algorithm: Algorithm[Any],
    model: Model,
    made: onnx.Compared,
    channels: Mapping[str, Path | None],
    max_loss: float,
) -> Quantized:
    train, test = channels[TRAIN], channels[TEST]
    assert train is not None
    assert test is not None
    return onnx.quantized(
        model,
        made,
        algorithm.calibration(model, train, CALIBRATED_ON),
        lambda each: algorithm.evaluate(each, test).metrics,
        algorithm.objective.metric.rpartition(":")[2],
        maximize=algorithm.objective.maximize,
        max_loss=max_loss,
    )


def _document(found: Quantized) -> dict[str, Any]:
    """What --json says of int8: before is the file in float32."""
    columns = {"metrics": found.metrics, "bytes": found.sizes, "milliseconds": found.milliseconds}
    return {
        "loss": {"metric": found.metric, "value": found.loss, "unit": found.unit},
        **{
            when: {name: pair[place] for name, pair in columns.items()}
            for place, when in enumerate(("before", "after"))
        },
    }


def _print(found: Quantized) -> None:
    before, after = found.metrics
    rows = [[f"test:{name}", f"{before[name]:.4f}", f"{after[name]:.4f}"] for name in before]
    rows.append(["bytes", *(f"{size:,}" for size in found.sizes)])
    rows.append(["milliseconds for one example", *(f"{ms:.3f}" for ms in found.milliseconds)])
    print_table(console(), ["", "float32", INT8], rows)
    if found.loss > 0:
        console().print(f"{found.metric} is {found.loss:.2f} {found.unit} worse in {INT8}")
