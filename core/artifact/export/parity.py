"""Whether onnxruntime answers as mxnet does, and if not, which node is the first that differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from ...runtime import ort
from ...runtime.errors import ExportError
from ...runtime.graph import Entry, Fit
from ...runtime.types import Array
from ..metadata import InputSignature
from .conversion import Converted

TOLERANCE = 1e-4
BATCHES = (1, 2, 33)
LENGTHS = (5, 1, 40)
# A row of numbers that nearly cancel out is measured by what the other rows hold.
LEAST_SCALE = 0.01
Compute = Callable[[Array], Sequence[Array]]


@dataclass(frozen=True)
class Parity:
    """``difference`` is the greatest of all, relative to the largest number of an answer;
    ``batches`` are the shapes of the inputs that were compared.
    """

    difference: float
    batches: tuple[tuple[int, ...], ...]


def check(
    converted: Converted,
    content: bytes,
    inputs: Iterable[Array],
    compute: Compute,
    all_outputs: Callable[[list[Entry]], Compute],
    signature: InputSignature,
) -> Parity:
    """Compare the outputs for ``inputs``, by mxnet those of ``compute``.

    ``all_outputs`` gives the same for the outputs of any nodes. Raises ExportError where they
    differ by more than TOLERANCE.
    """
    session = _session(content)
    worst, seen = 0.0, []
    for x in inputs:
        seen.append(x.shape)
        expected = compute(x)
        found = _run(session, signature, x)
        differences = [difference(*pair) for pair in zip(found, expected)]
        worst = max(worst, *differences)
        if not max(differences) <= TOLERANCE:
            where = _first(converted, x, found, expected, all_outputs, signature)
            raise ExportError(
                f"{where}onnxruntime's answers to a batch {x.shape} differ from mxnet's by "
                f"{max(differences):.2g}, expected {TOLERANCE:g} at most of the largest number of "
                "each; no file was written: either an operator is converted wrongly "
                "(core/artifact/export/operators.py), or the network multiplies rounding errors, "
                "and then its answers are not to be relied on anywhere"
            )
    return Parity(worst, tuple(seen))


def difference(found: Array, expected: Array) -> float:
    """How far two outputs (N, …) are apart, relative to the largest number of each row.

    Infinite where their shapes, their dtypes or their numbers that are not finite differ.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if not found.size:
        return 0.0
    one, other = (each.astype(np.float64).reshape(len(each), -1) for each in (found, expected))
    finite = np.isfinite(other)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return float("inf")
    with np.errstate(invalid="ignore"):
        apart = np.where(finite, np.abs(one - other), 0)
    sizes = np.where(finite, np.abs(other), 0).max(axis=1, keepdims=True)
    scale = np.maximum(sizes, max(LEAST_SCALE * float(sizes.max()), 1e-30))
    worst = float((apart / scale).max())
    return worst if np.isfinite(worst) else float("inf")


def batches(signature: InputSignature, fit: Fit, examples: Sequence[Array]) -> Iterator[Array]:
    """The ``examples``, and random batches like them, of every size in BATCHES and LENGTHS."""
    yield from examples
    rng = np.random.default_rng(0)
    lengths = LENGTHS if signature.is_ragged else (0,)
    for count in BATCHES:
        for length in lengths:
            shape = (count, *(size or length for size in signature.shape[1:]))
            yield _random(rng, shape, signature, fit, examples[0])


def _random(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    signature: InputSignature,
    fit: Fit,
    example: Array,
) -> Array:
    """Numbers of any row of a table; else spread about those of ``example``, within its kind."""
    if fit.vocabularies:
        x = rng.integers(0, min(fit.vocabularies), shape)
        if signature.is_ragged:  # a text ends somewhere, what follows is padding
            ends = rng.integers(1, shape[1] + 1, shape[0])
            x[np.arange(shape[1]) >= ends[:, None]] = 0
        return x.astype(signature.dtype)
    if np.issubdtype(np.dtype(signature.dtype), np.integer):
        least, most = int(example.min()), int(example.max())
        return rng.integers(least, max(most, least + 1), shape, endpoint=True).astype(
            signature.dtype
        )
    numbers = example.astype(np.float64)
    spread = float(numbers.std()) or 1.0
    if signature.is_ragged:
        return rng.normal(numbers.mean(), spread, shape).astype(signature.dtype)
    rows = numbers[rng.integers(0, len(numbers), shape[0])]
    noisy: Array = rows + rng.normal(0, spread, shape)
    return noisy.astype(signature.dtype)


def _session(content: bytes) -> Any:
    """A session of onnxruntime on the processor. Raises ExportError where it makes none."""
    try:
        return ort.session(content)
    except Exception as error:  # it raises kinds of its own
        raise ExportError(
            f"onnxruntime does not take the network: {ort.first_line(error)}"
        ) from error


def _run(session: Any, signature: InputSignature, x: Array) -> list[Array]:
    try:
        found: list[Array] = session.run(None, {signature.name: x})
    except Exception as error:
        raise ExportError(
            f"onnxruntime fails for an input {x.shape}: {ort.first_line(error)}"
        ) from error
    return found


def _first(
    converted: Converted,
    x: Array,
    found: Sequence[Array],
    expected: Sequence[Array],
    all_outputs: Callable[[list[Entry]], Compute],
    signature: InputSignature,
) -> str:
    """Which node's output is the first to differ, as the beginning of a sentence, if any is."""
    entries = _computed(converted)
    wanted = list(dict.fromkeys(converted.tensors[entry] for entry in entries))
    model = type(converted.model)()
    model.CopyFrom(converted.model)
    del model.graph.output[:]
    model.graph.output.extend(ort.library("onnx").ValueInfoProto(name=name) for name in wanted)
    session = _session(model.SerializeToString())
    compute = all_outputs(entries)
    rows = [_worst_row(*pair) for pair in zip(found, expected)]
    for batch in (x[rows[0] : rows[0] + 1], x):  # one example, unless it takes several
        tensors = dict(zip(wanted, _run(session, signature, batch)))
        for entry, correct in zip(entries, compute(batch)):
            apart = difference(tensors[converted.tensors[entry]], correct)
            if not apart <= TOLERANCE:
                node = converted.graph.nodes[entry[0]]
                return f"{node.place}: is the first whose output differs, by {apart:.2g}: "
    return ""


def _computed(converted: Converted) -> list[Entry]:
    """The outputs of mxnet's nodes that a node of ONNX gives, in their order."""
    given = {name for node in converted.model.graph.node for name in node.output}
    return [entry for entry, name in converted.tensors.items() if name in given]


def _worst_row(found: Array, expected: Array) -> int:
    if found.shape != expected.shape:
        return 0
    rows = [difference(found[i : i + 1], expected[i : i + 1]) for i in range(len(found))]
    return int(np.argmax(rows))
