"""Asking a model, and reading its answers whatever their content type."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any, Mapping

from .. import payload
from ..algorithm.base import Algorithm
from ..artifact.folder import Model
from ..runtime.errors import PluginError
from ..runtime.types import Array

ABRIDGED = "…"  # stands in an example that is none, but shows the form
TEXT = "text/plain"
# A product of matrices is rounded otherwise for another number of rows.
RELATIVE, ABSOLUTE = 1e-3, 1e-5
RECORDS = (payload.JSONLINES, payload.JSON, payload.CSV, payload.NPY)


def ask(
    algorithm: Algorithm[Any], model: Model, body: bytes, content_type: str, accept: str
) -> bytes:
    return algorithm.output_fn(
        algorithm.predict_fn(algorithm.input_fn(body, content_type), model), accept
    )


def own_answers(algorithm: Algorithm[Any], model: Model) -> dict[str, bytes]:
    """The answers to the artifact's own example, by content type."""
    example = model.metadata.example
    return {
        accept: ask(algorithm, model, example.body.encode(), example.content_type, accept)
        for accept in algorithm.answered()
    }


def example_inputs(algorithm: Algorithm[Any], model: Model) -> list[Array]:
    """The batches (N, …) that the network is given for the artifact's own example.

    Raises PluginError where the example is answered without the network.
    """
    seen: list[Array] = []
    hook = model.block.register_forward_pre_hook(
        lambda block, inputs: seen.append(inputs[0].asnumpy())
    )
    try:
        example = model.metadata.example
        ask(algorithm, model, example.body.encode(), example.content_type, "*/*")
    finally:
        hook.detach()
    if not seen:
        raise PluginError(f"{algorithm.name} answers its example without computing its network")
    return seen


def best(answered: tuple[str, ...]) -> str:
    """The content type that says most."""
    return next((name for name in RECORDS if name in answered), answered[0])


def rows_of(body: bytes, content_type: str) -> list[Any]:
    """An answer's rows, one an example; of an unknown type, the body as the only one.

    Raises ValueError or PayloadError where it is malformed.
    """
    if content_type not in RECORDS:
        return [body]
    if content_type == payload.NPY:
        rows: list[Any] = payload.decode_array(body, payload.NPY).tolist()
        return rows
    text = body.decode("utf-8")
    if content_type == payload.JSONLINES:
        return [_json(line) for line in text.rstrip("\n").split("\n")]
    if content_type == payload.CSV:
        return [[_number(cell) for cell in row] for row in csv.reader(io.StringIO(text))]
    value = _json(text)
    if isinstance(value, dict):
        value = value.get("predictions")
    if not isinstance(value, list):
        raise ValueError('expected a list of answers, or {"predictions": […]}')
    return value


def _json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def _number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def close(one: Any, other: Any) -> bool:
    """Whether two answers are the same, but for rounding."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    return bool(one == other)


def excerpt(value: Any) -> str:
    """The beginning of a body, or of a value, for a sentence."""
    text = value[:200].decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else text[:79] + ABRIDGED
