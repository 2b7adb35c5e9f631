"""The one path from a request's body to its answer: ``input_fn``, ``predict_fn``, ``output_fn``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..algorithm.base import Algorithm
from ..artifact.engines import AUTO
from ..artifact.model import Model


def decode(algorithm: Algorithm[Any], body: bytes, content_type: str) -> Any:
    """A request's examples, for which no model is needed yet. Raises PayloadError."""
    return algorithm.input_fn(body, content_type)


class Handlers:
    """An algorithm's handlers, and the model by which they answer.

    Whoever answers does it by these steps: for one request there is ``invoke``, for several at
    once ``requests.Answering``, for files ``transform``.
    """

    def __init__(self, algorithm: Algorithm[Any], model: Model) -> None:
        self.algorithm = algorithm
        self.model = model

    @classmethod
    def load(
        cls,
        algorithm: Algorithm[Any],
        folder: str | Path,
        device: Any = None,
        engine: str = AUTO,
    ) -> Handlers:
        """With the model in ``folder``, computed on ``device``, or where none is given by
        ``engine``, one of ENGINES. Raises as ``Artifact.load``.
        """
        return cls(algorithm, algorithm.model_fn(folder, engine if device is None else device))

    def decode(self, body: bytes, content_type: str) -> Any:
        """A request's examples. Raises PayloadError."""
        return decode(self.algorithm, body, content_type)

    def predict(self, examples: Any) -> Any:
        """The answers to examples that are computed together. Raises PayloadError."""
        return self.algorithm.predict_fn(examples, self.model)

    def encode(self, prediction: Any, accept: str) -> bytes:
        """The body that holds the answers. Raises NotAcceptableError."""
        return self.algorithm.output_fn(prediction, accept)

    def invoke(self, body: bytes, content_type: str, accept: str) -> bytes:
        """The answer to one request, at once. Raises PayloadError."""
        return self.encode(self.predict(self.decode(body, content_type)), accept)

    def example_response(self, accept: str) -> bytes:
        """The answer to the artifact's own example."""
        example = self.model.metadata.example
        return self.invoke(example.body.encode(), example.content_type, accept)

    def example_responses(self) -> dict[str, bytes]:
        """The answers to the artifact's own example, by content type."""
        return {
            accept: self.example_response(accept)
            for accept in self.algorithm.response_media_types()
        }
