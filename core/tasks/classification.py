"""Classification: one class per example, with the probability of each class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .. import payload
from ..algorithm.base import ContentType, Objective
from ..algorithm.evaluation import Evaluation
from ..artifact.metadata import Metadata
from ..artifact.model import Model
from ..data.cells import COMMA, is_number
from ..data.dataset import Dataset, how_read
from ..runtime import mx
from ..runtime.errors import DataError, PluginError, TrainingError
from ..runtime.types import Array
from .class_figures import evaluate_classes
from .supervised import MEASURED, H, SupervisedAlgorithm


@dataclass(frozen=True)
class ClassProbabilities:
    """A classifier's answers: ``values`` (N, C) float32, rows that sum to 1, over ``classes``.

    ``named`` is how many classes an answer names, the likeliest first; 0 are all, in their order.
    ``remarks`` are what is to be said of some answers, by their index: JSON holds it beside them.
    """

    classes: tuple[str, ...]
    values: Array
    named: int = 0
    remarks: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> ClassProbabilities:
        places = range(len(self))[part]
        remarks = {
            index: self.remarks[place]
            for index, place in enumerate(places if self.remarks else ())
            if place in self.remarks
        }
        return replace(self, values=self.values[part], remarks=remarks)

    def best(self) -> Iterator[tuple[str, float]]:
        """The likeliest class of each answer and its probability."""
        indices, values = self.values.argmax(axis=1).tolist(), self.values.max(axis=1)
        for index, probability in zip(indices, payload.plain(values)):
            yield self.classes[index], probability

    def by_class(self) -> Iterator[dict[str, float]]:
        """The probabilities of each answer by the names of their classes."""
        if not self.named:
            for row in payload.plain(self.values):
                yield dict(zip(self.classes, row))
            return
        orders = np.argsort(-self.values, axis=1, kind="stable")[:, : self.named]
        chosen = payload.plain(np.take_along_axis(self.values, orders, axis=1))
        for order, row in zip(orders.tolist(), chosen):
            yield {self.classes[index]: value for index, value in zip(order, row)}


class Classifier(SupervisedAlgorithm[H]):
    """A supervised algorithm whose network ends in one logit a class."""

    metrics = {
        "train:loss": "Mean cross-entropy of the training batches, after augmentation, in nats.",
        "validation:accuracy": "Fraction of the validation examples that are classified correctly.",
        "validation:cross_entropy": "Mean of -log(probability of the true class), in nats.",
        "test:accuracy": "Fraction of the test examples that are classified correctly.",
        "test:cross_entropy": "Mean of -log(probability of the true class), in nats.",
        **MEASURED,
    }
    objective = Objective("validation:accuracy", maximize=True)
    response_types = (
        ContentType(
            payload.JSON,
            "For each example, the most probable class, its probability, and those of all classes.",
            '{"predictions": [{"label": "7", "probability": 0.98, "probabilities": {"0": …}}]}',
        ),
        ContentType(
            payload.JSONLINES,
            "One answer per line, as in JSON.",
            '{"label": "7", "probability": 0.98, …}',
        ),
        ContentType(
            payload.CSV,
            "One answer per line: the most probable class and its probability.",
            "7,0.98",
        ),
        ContentType(payload.NPY, "The probabilities of all classes: an array (N, C) float32."),
    )

    def check_labels(self, labels: Array, data: Dataset, path: Path) -> None:
        names = data.encoding.get("classes", ())
        if not names or labels.ndim != 1:
            raise DataError(
                f"{path}: its examples have no class, or several labels each: expected one class"
            )
        found = np.unique(labels)
        if len(found) < 2:
            raise DataError(
                f"{path}: all {len(data):,} examples are of one class "
                f"({', '.join(repr(names[label]) for label in found)}): expected two at least, or "
                f"there is nothing to tell apart{how_read(data)}"
            )
        own = np.unique(data.labels())
        if 2 * len(own) > len(data) and _are_on_a_scale([names[label] for label in own]):
            shown = ", ".join(repr(names[label]) for label in data.labels()[:2])
            raise DataError(
                f"{path}: the labels look like numbers on a scale ({shown}, …): {len(own):,} "
                f"different ones in {len(data):,} examples; {self.name} tells classes apart: write "
                "one of a few names for each, such as low and high, or give another column of "
                f"labels{how_read(data)}"
            )

    def loss(self, hyperparameters: H) -> Any:
        return mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        return evaluate_classes(
            softmax(outputs), data.labels(), self._classes(outputs, data.encoding)
        )

    def predict_fn(self, input_data: Array, model: Model) -> ClassProbabilities:
        """Probabilities for ``input_data`` (N, …), the network's own input; see ``compute``."""
        logits = self.compute(input_data, model)
        return ClassProbabilities(self._classes(logits, model.metadata.encoding), softmax(logits))

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterable[str]:
        if outputs != ((1, len(metadata.classes)),):
            shown = " and ".join(str(shape[1:]) for shape in outputs[:3])
            yield (
                f"the network gives {shown} outputs an example for {len(metadata.classes)} classes"
            )

    def _classes(self, logits: Array, encoding: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the classes, one for each of ``logits`` (N, C)."""
        names = tuple(encoding.get("classes", ()))
        if not np.isfinite(logits).all():
            raise TrainingError(f"the network of {self.name} gives outputs that are no numbers")
        if logits.ndim != 2 or logits.shape[1] != len(names):
            raise PluginError(
                f"the network of {self.name} gives {logits.shape[1:]} outputs an example for "
                f"{len(names)} classes ({', '.join(names[:10])})"
            )
        return names

    def output_fn(self, prediction: ClassProbabilities, accept: str) -> bytes:
        content_type = payload.negotiate(accept, self.response_media_types())
        if content_type == payload.NPY:
            return payload.encode_npy(prediction.values)
        if content_type == payload.CSV:
            return payload.encode_csv(prediction.best())
        rows: list[dict[str, Any]] = [
            {
                "label": label,
                "probability": probability,
                "probabilities": probabilities,
            }
            for (label, probability), probabilities in zip(prediction.best(), prediction.by_class())
        ]
        for index, remark in prediction.remarks.items():
            rows[index].update(remark)
        if content_type == payload.JSONLINES:
            return payload.encode_jsonlines(rows)
        return payload.encode_json({"predictions": rows})


def _are_on_a_scale(names: Sequence[str]) -> bool:
    """Whether all are numbers, and most have decimals."""
    fractions = sum("." in name or COMMA in name for name in names)
    return 2 * fractions > len(names) > 2 and all(
        is_number(name, COMMA) or is_number(name) for name in names
    )


def softmax(logits: Array) -> Array:
    """Rows (N, C) of logits as probabilities."""
    result: Array = logits - logits.max(axis=1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result
