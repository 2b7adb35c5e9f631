"""Classification: one class per example, with the probability of each class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .. import payload
from ..algorithm.base import ContentType, Objective
from ..algorithm.channels import TEST, TRAIN, VALIDATION
from ..algorithm.evaluation import Evaluation
from ..artifact.metadata import Metadata
from ..artifact.model import Model
from ..artifact.network import EVALUATION_BATCH, Network
from ..data.cells import COMMA, is_number
from ..data.dataset import Dataset, Subset, chunks, how_read
from ..runtime import mx
from ..runtime.errors import DataError, PluginError, did_you_mean
from ..runtime.types import Array, HybridBlock
from .binary_figures import called, evaluate_binary
from .class_figures import (
    MAX_IN_MATRIX,
    evaluate_classes,
    evaluate_predicted,
    likelihoods,
)
from .imbalance import (
    Decision,
    ImbalanceHyperparameters,
    balanced_weights,
    decision_faults,
    weighted,
)
from .supervised import MEASURED, SHOWN, H, SupervisedAlgorithm

if TYPE_CHECKING:
    from ..training.run import Run

# Of many classes, the logits of so many numbers are held at once when a model is measured, and of
# each example two numbers are kept.
MAX_LOGITS, JUDGED = 2**21, 2
OF_PROBABILITIES = {
    "accuracy": "Fraction of the {} examples that are classified correctly.",
    "cross_entropy": "Mean of -log(probability of the true class), in nats: the log loss.",
}
# One of them is the positive class, which is to be found.
OF_TWO_CLASSES = {
    "f1": "Of two classes: harmonic mean of precision and recall of the positive one.",
    "roc_auc": "Of two classes: area under the ROC curve.",
    "average_precision": "Of two classes: mean precision over the positive {} examples, each at "
    "its own probability.",
    "brier": "Of two classes: mean squared difference of probability and truth.",
    "calibration_error": "Of two classes: mean difference of probability and frequency, in ten "
    "bins of examples.",
}
OF_COSTS = {"cost": "Of two classes: mean cost of an example, where cost_fp and cost_fn are given."}


@dataclass(frozen=True)
class ClassProbabilities:
    """A classifier's answers: ``values`` (N, C) float32, rows that sum to 1, over ``classes``.

    ``named`` is how many classes an answer names, the likeliest first; 0 are all, in their order.
    Of two, one is ``positive``, by its index, where its probability reaches the ``threshold``;
    without a threshold the answer is the likelier class.
    ``remarks`` are what is to be said of some answers, by their index: JSON holds it beside them.
    """

    classes: tuple[str, ...]
    values: Array
    named: int = 0
    remarks: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    threshold: float | None = None
    positive: int = 1

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
        """The class of each answer and its probability: the likeliest, or by ``threshold``."""
        indices = called(self.values, self.threshold, self.positive)
        values = np.take_along_axis(self.values, indices[:, None], axis=1)[:, 0]
        for index, probability in zip(indices.tolist(), payload.plain(values)):
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


def described(figures: Mapping[str, str]) -> dict[str, str]:
    """The descriptions of ``figures`` of the channels validation and test, for ``metrics``."""
    return {
        f"{channel}:{name}": text.format(channel)
        for channel in (VALIDATION, TEST)
        for name, text in figures.items()
    }


class Classifier(SupervisedAlgorithm[H]):
    """A supervised algorithm whose network ends in one logit a class.

    Where its hyperparameters are ImbalanceHyperparameters too, it weighs the classes and chooses
    the threshold as these say.
    """

    metrics = {
        "train:loss": "Mean cross-entropy of the training batches, after augmentation, in nats.",
        **described({**OF_PROBABILITIES, **OF_TWO_CLASSES, **OF_COSTS}),
        **MEASURED,
    }
    objective = Objective("validation:accuracy", maximize=True)
    response_types = (
        ContentType(
            payload.JSON,
            "For each example, its class, the probability of that, and those of all classes.",
            '{"predictions": [{"label": "7", "probability": 0.98, "probabilities": {"0": …}}]}',
        ),
        ContentType(
            payload.JSONLINES,
            "One answer per line, as in JSON.",
            '{"label": "7", "probability": 0.98, …}',
        ),
        ContentType(
            payload.CSV,
            "One answer per line: the class and its probability.",
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

    def weighted(self, loss: HybridBlock, train: Dataset, run: Run[H]) -> HybridBlock:
        options = run.hyperparameters
        if not isinstance(options, ImbalanceHyperparameters) or options.class_weights == "none":
            return loss
        weights = balanced_weights(_class_counts(train, run))
        names = train.encoding["classes"]
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in zip(names[:SHOWN], weights))
        run.reporter.message(
            f"weights of the classes in the loss: {shown}" + (", …" if len(names) > SHOWN else "")
        )
        return weighted(loss, weights, run.devices)

    def decision(self, train: Dataset, run: Run[H]) -> Mapping[str, Any]:
        options = run.hyperparameters
        if not isinstance(options, ImbalanceHyperparameters):
            return {}
        names = train.encoding["classes"]
        if len(names) != 2:
            given = options.of_two_classes()
            if given:
                raise DataError(
                    f"{run.channels[TRAIN]}: {', '.join(given)}: only of two classes one can be "
                    f"chosen by a threshold, but there are {len(names)} ({', '.join(names[:SHOWN])}"
                    f"{', …' if len(names) > SHOWN else ''}): leave "
                    f"{'these' if len(given) > 1 else 'it'} out"
                )
            return {}
        if options.positive and options.positive not in names:
            raise DataError(
                f"{run.channels[TRAIN]}: no class is called {options.positive!r} (positive): "
                f"expected {' or '.join(map(repr, names))}{did_you_mean(options.positive, names)}"
            )
        counts = _class_counts(train, run)
        rarer = names[0] if counts[0] < counts[1] else names[1]
        positive = options.positive or rarer
        if not options.positive:
            run.reporter.message(
                f"the positive class is {positive}"
                + (", the rarer one" if counts[0] != counts[1] else "")
                + "; positive names another"
            )
        return Decision(positive, options.rule()).encoded()

    def decided(
        self, decision: Mapping[str, Any], validate: Callable[[], Evaluation | None], run: Run[H]
    ) -> Mapping[str, Any]:
        made = Decision.of(decision)
        if made is None or made.rule is None:
            return decision
        validated = validate()
        if validated is None or validated.threshold is None:  # on another host than the chief
            return decision
        (figures,) = (each for each in validated.classes if each.name == made.positive)
        run.reporter.message(
            f"an example is called {made.positive} from a probability of {validated.threshold:.4g} "
            f"on: of the {figures.support:,} among the validation examples {figures.recall:.1%} "
            f"are found, and {figures.precision:.1%} of those called so are so"
        )
        return replace(made, threshold=validated.threshold).encoded()

    def all_outputs(self, network: Network, data: Dataset, hyperparameters: H) -> Any:
        """The logits (N, C) of all of ``data``.

        Of more classes than MAX_IN_MATRIX memory never holds all: of each example there are the
        class that it is taken for and the probability of the true one, (N, 2) float64. An algorithm
        with a ``score`` of its own is given the logits always.
        """
        count = len(data.encoding.get("classes", ()))
        if count <= MAX_IN_MATRIX or type(self).score is not Classifier.score:
            return super().all_outputs(network, data, hyperparameters)
        judged = np.zeros((len(data), JUDGED))
        for part in chunks(
            len(data), max(1, MAX_LOGITS // count // EVALUATION_BATCH) * EVALUATION_BATCH
        ):
            some = Subset(data, np.arange(part.start, part.stop))
            logits = super().all_outputs(network, some, hyperparameters)
            self._classes(logits, data.encoding)
            probabilities = softmax(logits)
            judged[part, 0] = probabilities.argmax(axis=1)
            judged[part, 1] = likelihoods(probabilities, some.labels())
        return judged

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        """Of ``outputs`` as ``all_outputs`` gives them."""
        labels = data.labels()
        if outputs.shape[1:] == (JUDGED,) and len(data.encoding["classes"]) > MAX_IN_MATRIX:
            predicted, likelihood = outputs.T
            names = tuple(data.encoding["classes"])
            return evaluate_predicted(predicted.astype(np.int64), likelihood, labels, names)
        names = self._classes(outputs, data.encoding)
        probabilities = softmax(outputs)
        if len(names) != 2:
            return evaluate_classes(probabilities, labels, names)
        made = Decision.of(data.encoding) or Decision(names[1])
        positive = names.index(made.positive)
        if made.rule is not None and made.threshold is None and not (labels == positive).any():
            raise DataError(
                f"none of the {len(labels):,} validation examples is {made.positive!r}, so that "
                "they choose no threshold: add such examples, or leave the threshold as it is"
            )
        return evaluate_binary(probabilities, labels, names, made.threshold, positive, made.rule)

    def predict_fn(self, input_data: Array, model: Model) -> ClassProbabilities:
        """Probabilities for ``input_data`` (N, …), the network's own input; see ``compute``."""
        return self.probabilities(self.compute(input_data, model), model)

    def probabilities(self, logits: Array, model: Model) -> ClassProbabilities:
        """The answers of ``model`` by the ``logits`` (N, C) of its network."""
        encoding = model.metadata.encoding
        names, made = self._classes(logits, encoding), Decision.of(encoding)
        found = ClassProbabilities(names, softmax(logits))
        if made is None:
            return found
        return replace(found, threshold=made.threshold, positive=names.index(made.positive))

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterable[str]:
        if outputs != ((1, len(metadata.classes)),):
            shown = " and ".join(str(shape[1:]) for shape in outputs[:3])
            yield (
                f"the network gives {shown} outputs an example for {len(metadata.classes)} classes"
            )
        yield from decision_faults(metadata.encoding)

    def _classes(self, logits: Array, encoding: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the classes, one for each of ``logits`` (N, C)."""
        names = tuple(encoding.get("classes", ()))
        self.check_finite(logits)
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
        return payload.encode_answers(rows, content_type)


def _class_counts(train: Dataset, run: Run[Any]) -> Array:
    """How many examples of each class there are, on all hosts, (C,)."""
    own = np.bincount(train.labels(), minlength=len(train.encoding["classes"]))
    return run.cluster.sum_whole(own, "the numbers of each class")


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
