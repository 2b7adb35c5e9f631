"""A file of ONNX whose products and convolutions compute in int8.

Weights have a scale for each channel, activations one each, found on examples of the training. What
else the network computes stays float32: it takes little time, and int8 costs accuracy there.
"""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from ...runtime import ort
from ...runtime.errors import ExportError
from ...runtime.types import Array
from ..onnx_file import IR_VERSION, OPSET

INT8 = "int8"
MAX_LOSS = 0.5  # points or percent, by default
PROPERTY = "algoshelf.quantization"
QUANTIZED = ("Conv", "Gemm", "MatMul")
CALIBRATED_ON = 512  # examples: more changed no accuracy that was measured
ROUNDS, WARM_UP = 50, 5  # of one example, in which two files are timed


@dataclass(frozen=True)
class Quantized:
    """A file in int8 beside the one in float32: ``content`` is its bytes.

    ``metrics`` are those of the test channel, ``sizes`` bytes, ``milliseconds`` those of one
    example, each before and after; ``loss`` is by how much ``metric`` is worse, in ``unit``.
    """

    content: bytes
    metric: str
    unit: str
    loss: float
    metrics: tuple[Mapping[str, float], Mapping[str, float]]
    sizes: tuple[int, int]
    milliseconds: tuple[float, float]


def loss_of(before: float, after: float, *, maximize: bool) -> tuple[float, str]:
    """By how much a metric is worse than ``before``: in points where it is a share to be raised,
    such as accuracy, else in percent of what it was.
    """
    worse = before - after if maximize else after - before
    if maximize and 0 <= before <= 1:
        return 100 * worse, "points"
    return (100 * worse / abs(before) if before else float(np.sign(worse)) * 100), "percent"


def check_loss(found: Quantized, most: float) -> None:
    """Raises ExportError where a file lost more than ``most``."""
    if not found.loss <= most:  # not a number neither
        before, after = (each[found.metric] for each in found.metrics)
        raise ExportError(
            f"int8 would cost {found.loss:.2f} {found.unit} of {found.metric} on the test channel "
            f"({before:.4f} before, {after:.4f} after), more than --max-loss {most:g}; no file was "
            "written: export without --quantize, or allow a greater loss"
        )


def quantized(content: bytes, name: str, batches: Iterable[Array]) -> bytes:
    """The file ``content`` in int8, calibrated on ``batches`` of its input ``name``.

    The same bytes for the same batches. Raises ExportError where it has nothing to quantize.
    """
    onnx = ort.library("onnx")
    tool = ort.library("onnxruntime.quantization")
    model = onnx.load_model_from_string(content)
    if not any(node.op_type in QUANTIZED for node in model.graph.node):
        raise ExportError(
            f"the network has no {', '.join(QUANTIZED)} that int8 would make faster: export it "
            "without --quantize"
        )
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "float32.onnx"), Path(scratch, "int8.onnx")
        _fold(content, source)
        logging.disable(logging.WARNING)  # it recommends what was done just now
        try:
            tool.quantize_static(
                str(source),
                str(target),
                _reader(tool, name, batches),
                quant_format=tool.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTIZED),
                per_channel=True,
                weight_type=tool.QuantType.QInt8,
                activation_type=tool.QuantType.QUInt8,
                calibrate_method=tool.CalibrationMethod.MinMax,
            )
        finally:
            logging.disable(logging.NOTSET)
        made = onnx.load(str(target))
    return _as_export(made, model)


def _fold(content: bytes, target: Path) -> None:
    """Write the file with each batch normalization folded into its convolution, so that there is
    one range for both.
    """
    runtime = ort.library("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3  # errors
    runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _reader(tool: Any, name: str, batches: Iterable[Array]) -> Any:
    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]
        left = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            x = next(self.left, None)
            return None if x is None else {name: x}

    return Reader()


def _as_export(made: Any, model: Any) -> bytes:
    """What the tool ``made`` of ``model``, in the form of an export."""
    onnx = ort.library("onnx")
    tensors = [
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(each), each.name)
        for each in made.graph.initializer
    ]
    given = {(node.op_type, each.name) for node in model.graph.node for each in node.attribute}
    for node in made.graph.node:
        kept = [
            each
            for each in node.attribute
            if (node.op_type, each.name) in given or not _is_default(node.op_type, each)
        ]
        node.ClearField("attribute")
        node.attribute.extend(kept)
        node.ClearField("doc_string")
    graph = onnx.helper.make_graph(
        list(made.graph.node), model.graph.name, model.graph.input, model.graph.output, tensors
    )
    found = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=model.producer_name,
    )
    properties = {each.key: each.value for each in model.metadata_props}
    onnx.helper.set_model_props(found, {**properties, PROPERTY: INT8})
    return bytes(found.SerializeToString(deterministic=True))


def _is_default(op: str, attribute: Any) -> bool:
    """Whether it says what ONNX takes for granted: onnxruntime writes that down too."""
    onnx = ort.library("onnx")
    known = onnx.defs.get_schema(op, OPSET).attributes.get(attribute.name)
    value = onnx.helper.get_attribute_value
    return known is not None and value(known.default_value) == value(attribute)


def latencies(contents: Sequence[bytes], name: str, example: Array) -> list[float]:
    """The median milliseconds in which each file answers ``example`` (1, …), timed in turn."""
    sessions = [ort.session(content) for content in contents]
    taken: list[list[float]] = [[] for _ in sessions]
    for turn in range(WARM_UP + ROUNDS):
        for session, times in zip(sessions, taken):
            started = time.perf_counter()
            session.run(None, {name: example})
            if turn >= WARM_UP:
                times.append(1000 * (time.perf_counter() - started))
    return [float(np.median(times)) for times in taken]
