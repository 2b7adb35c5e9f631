"""Read the answers of a model in any content type, and compare them."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping

from .. import payload
from ..algorithm.base import Algorithm
from ..artifact.metadata import InputSignature
from ..artifact.model import Model
from ..artifact.network import Network
from ..runtime.errors import PluginError
from ..runtime.graph import Fit
from ..runtime.types import Array
from .handlers import Handlers

ABRIDGED = "…"  # stands in an example that is none, but shows the form
TEXT = "text/plain"
# A product of matrices is rounded otherwise for another number of rows. ABSOLUTE is of numbers up
# to 1, such as probabilities, and grows with the largest.
RELATIVE, ABSOLUTE = 1e-3, 1e-5
RECORDS = (payload.JSONLINES, payload.JSON, payload.CSV, payload.NPY)


@dataclass(frozen=True)
class _Recording:
    """A network that keeps what it was given."""

    network: Network
    seen: list[Array]

    def compute(self, x: Array) -> tuple[Array, ...]:
        self.seen.append(x.copy())
        return self.network.compute(x)

    def parameters(self) -> dict[str, Array]:
        return self.network.parameters()

    def tuned(self, again: Callable[[], Any], signature: InputSignature, fit: Fit) -> Network:
        return self.network.tuned(again, signature, fit)


def example_inputs(handlers: Handlers) -> list[Array]:
    """The batches (N, …) that the network is given for the artifact's own example.

    Raises PluginError where the example is answered without the network.
    """
    seen: list[Array] = []
    model = replace(handlers.model, network=_Recording(handlers.model.network, seen))
    Handlers(handlers.algorithm, model).example_response("*/*")
    if not seen:
        raise PluginError(
            f"{handlers.algorithm.name} answers its example without computing its network"
        )
    return seen


def ask(
    algorithm: Algorithm[Any], model: Model, body: bytes, content_type: str, accept: str
) -> bytes:
    """Of algoshelf 0.1: ``Handlers(algorithm, model).invoke(body, content_type, accept)``."""
    return Handlers(algorithm, model).invoke(body, content_type, accept)


def own_answers(algorithm: Algorithm[Any], model: Model) -> dict[str, bytes]:
    """Of algoshelf 0.1: ``Handlers(algorithm, model).example_responses()``."""
    return Handlers(algorithm, model).example_responses()


def preferred_type(answered: tuple[str, ...]) -> str:
    """The content type that says most."""
    return next((name for name in RECORDS if name in answered), answered[0])


def parsed_rows(body: bytes, content_type: str) -> list[Any]:
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


def is_close(one: Any, other: Any, largest: float | None = None) -> bool:
    """Whether two answers are the same, but for rounding.

    ``largest`` is the size of the largest number among all that are looked at: that of ``other``
    where it is not given. A price near 0 is rounded as one of thousands is.
    """
    if largest is None:
        largest = size_of(other)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        absolute = ABSOLUTE * max(1.0, largest)
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=absolute)
    if isinstance(one, list) and isinstance(other, list):
        same = len(one) == len(other)
        return same and all(is_close(a, b, largest) for a, b in zip(one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        same = one.keys() == other.keys()
        return same and all(is_close(one[key], other[key], largest) for key in one)
    return bool(one == other)


def size_of(answer: Any) -> float:
    """The size of the largest finite number in ``answer``; 0 where there is none."""
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if isinstance(answer, list):
        return max(map(size_of, answer), default=0.0)
    number = isinstance(answer, (int, float)) and math.isfinite(answer)
    return abs(float(answer)) if number else 0.0


def excerpt(value: Any) -> str:
    """The beginning of a body, or of a value, for a sentence."""
    text = value[:200].decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else text[:79] + ABRIDGED
