"""Autoencoders: an example is to be given back, and how badly it is tells how unusual it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator

import numpy as np

from .. import payload
from ..algorithm.base import ContentType
from ..artifact.model import Model
from ..runtime.types import Array
from .regression import Regressor
from .supervised import H


@dataclass(frozen=True)
class Reconstructions:
    """An autoencoder's answers: ``values`` (N, D) float32, each example as it was given back, by
    ``names`` (D), and ``errors`` (N,) float32: the root of the mean squared difference from it.
    """

    names: tuple[str, ...]
    values: Array
    errors: Array

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Reconstructions:
        return replace(self, values=self.values[part], errors=self.errors[part])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each answer: its ``error``, and its ``reconstruction`` by name."""
        for error, row in zip(payload.plain(self.errors), payload.plain(self.values)):
            yield {"error": error, "reconstruction": dict(zip(self.names, row))}


class Autoencoder(Regressor[H]):
    """A Regressor whose targets are its inputs: ``ArrayDataset(x, x, targets=names)``, of x (N, D).

    Its network leads through fewer numbers than D, and ends in D. The figures are those of a
    regression; R² is the part of the variance that goes through.
    """

    response_types = (
        ContentType(
            payload.JSON,
            "For each example how far it is from what was given back, and that, by name.",
            '{"predictions": [{"error": 0.12, "reconstruction": {"width": 0.3, …}}]}',
        ),
        ContentType(
            payload.JSONLINES,
            "One answer per line, as in JSON.",
            '{"error": 0.12, "reconstruction": {"width": 0.3, …}}',
        ),
        ContentType(payload.CSV, "One answer per line: the error, then what was given back."),
        ContentType(payload.NPY, "What was given back: an array (N, D) float32."),
    )

    def predict_fn(  # type: ignore[override]
        self, input_data: Array, model: Model
    ) -> Reconstructions:
        """What is given back of ``input_data`` (N, …), the network's own input; see ``compute``."""
        found = self._values(self.compute(input_data, model), model.metadata.encoding)
        squares = (found.values - input_data.reshape(len(input_data), -1)).astype(np.float64) ** 2
        errors = np.sqrt(squares.mean(axis=1)).astype(np.float32)
        return Reconstructions(found.names, found.values, errors)

    def output_fn(  # type: ignore[override]
        self, prediction: Reconstructions, accept: str
    ) -> bytes:
        content_type = payload.negotiate(accept, self.response_media_types())
        if content_type == payload.NPY:
            return payload.encode_npy(prediction.values)
        if content_type == payload.CSV:
            columns = (prediction.errors[:, None], prediction.values)
            return payload.encode_csv(np.concatenate(columns, axis=1))
        return payload.encode_answers(list(prediction.rows()), content_type)
