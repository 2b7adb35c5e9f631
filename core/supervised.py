"""Supervised learning with a Gluon network: an algorithm states network, loss and data."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Iterator,
    Mapping,
    Sequence,
    TypeVar,
)

import numpy as np

from . import codecs, mx
from .algorithm import Algorithm, ContentType, Objective
from .artifact import Example, InputSignature, Model
from .channels import TEST, TRAIN, VALIDATION
from .errors import UnfitPayloadError
from .evaluation import Evaluation, evaluate_classes
from .hyperparameters import TrainingHyperparameters
from .training import loop
from .training.data import Dataset, hold_out
from .types import Array, HybridBlock, NDArray

if TYPE_CHECKING:
    from .training.run import Run

H = TypeVar("H", bound=TrainingHyperparameters)


class SupervisedAlgorithm(Algorithm[H]):
    """An algorithm that learns from examples with labels, by gradient descent."""

    @abstractmethod
    def dataset(self, path: Path, channel: str, classes: Sequence[str] | None = None) -> Dataset:
        """The examples of ``channel`` at ``path``.

        ``classes`` are those of the training, where labels must mean the same. Raises DataError.
        """

    @abstractmethod
    def network(self, hyperparameters: H, data: Dataset) -> HybridBlock:
        """A new network for ``data``, not initialized."""

    @abstractmethod
    def loss(self, hyperparameters: H) -> Any:
        """The Gluon loss that training lowers, one value an example."""

    @abstractmethod
    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        """How well the network's ``outputs`` (N, …) for all of ``data`` fit its labels."""

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        """Numbers, a row or an array an example: (N, …). Override it for anything else."""
        content_type = codecs.check_content_type(request_content_type, self.accepted())
        return codecs.decode_array(request_body, content_type)

    def augment(self, x: NDArray, hyperparameters: H, rng: np.random.Generator) -> NDArray:
        """A training batch (B, …) changed at random; by default as it is."""
        return x

    def example(self, data: Dataset) -> Example:
        """A request that a model can answer, made of the first of ``data``."""
        first = data.take(np.zeros(1, np.int64))[0]
        return Example(
            content_type=codecs.JSON, body=codecs.encode_json({"instances": first}).decode()
        )

    def train(self, run: Run[H]) -> None:
        """Learn, validate after each epoch, measure on test where it is given, save."""
        train, validation, test = self._datasets(run)
        network = self.network(run.hyperparameters, train)
        network.initialize(_he_initializer(), ctx=list(run.devices))
        network.hybridize(static_alloc=True, static_shape=True)

        def figures(data: Dataset) -> Mapping[str, float]:
            return self.score(outputs(network, data, run.devices[0]), data).metrics

        steps = loop.fit(
            run,
            network,
            self.loss(run.hyperparameters),
            train,
            augment=lambda x, rng: self.augment(x, run.hyperparameters, rng),
            validate=lambda: figures(validation),
        )
        if test is not None:
            final = {f"test:{name}": value for name, value in figures(test).items()}
            run.report(final, epoch=run.hyperparameters.epochs, step=steps)
        x = train.take(np.zeros(1, np.int64))[0]
        run.save(
            network,
            signature=InputSignature(shape=(0, *x.shape[1:]), dtype=str(x.dtype)),
            example=self.example(validation),
            classes=train.classes or None,
        )

    def _datasets(self, run: Run[H]) -> tuple[Dataset, Dataset, Dataset | None]:
        """Train, validation and test; the digest of each channel is noted in ``run``."""
        train = self.dataset(run.channels[TRAIN], TRAIN)
        given: dict[str, Dataset] = {TRAIN: train}
        for channel in (VALIDATION, TEST):
            if channel in run.channels:
                given[channel] = self.dataset(run.channels[channel], channel, train.classes)
        run.data.update((channel, data.digest()) for channel, data in given.items())
        run.reporter.message(
            ", ".join(f"{channel}: {len(data):,} examples" for channel, data in given.items())
        )
        if VALIDATION in given:
            return train, given[VALIDATION], given.get(TEST)
        part = run.hyperparameters.holdout
        learn, held = hold_out(train, part, run.rng(loop.HOLD_OUT))
        run.reporter.message(
            f"no validation channel: {len(held):,} examples of train, {part:.0%} of each class, "
            "are held out"
        )
        return learn, held, given.get(TEST)

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        data = self.dataset(path, TEST, model.metadata.classes)
        return self.score(outputs(model.block, data, model.device), data)


@dataclass(frozen=True)
class ClassProbabilities:
    """A classifier's answers: ``values`` (N, C) float32, rows that sum to 1, over ``classes``."""

    classes: tuple[str, ...]
    values: Array

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> ClassProbabilities:
        return ClassProbabilities(self.classes, self.values[part])

    def best(self) -> Iterator[tuple[str, float]]:
        """The likeliest class of each answer and its probability."""
        for row, index in zip(self.values, self.values.argmax(axis=1)):
            yield self.classes[index], row[index]


class Classifier(SupervisedAlgorithm[H]):
    """A supervised algorithm whose network ends in one logit a class."""

    metrics = {
        "train:loss": "mean cross-entropy of the training batches, as augmented",
        "validation:accuracy": "part of the validation examples whose class is found",
        "validation:cross_entropy": "mean of -log(probability of the true class), in nats",
        "test:accuracy": "the same for the test channel, after training",
        "test:cross_entropy": "the same for the test channel, after training",
    }
    objective = Objective("validation:accuracy", maximize=True)
    answers = (
        ContentType(
            codecs.JSON,
            "for each example the likeliest class, its probability, and those of all classes",
            '{"predictions": [{"label": "7", "probability": 0.98, "probabilities": {"0": …}}]}',
        ),
        ContentType(
            codecs.JSONLINES,
            "the same, a line an example",
            '{"label": "7", "probability": 0.98, …}',
        ),
        ContentType(
            codecs.CSV, "a line an example: the likeliest class and its probability", "7,0.98"
        ),
        ContentType(codecs.NPY, "the probabilities of all classes, (N, C) float32"),
    )

    def loss(self, hyperparameters: H) -> Any:
        return mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        return evaluate_classes(softmax(outputs), data.labels(), data.classes)

    def predict_fn(self, input_data: Array, model: Model) -> ClassProbabilities:
        """Probabilities for ``input_data`` (N, …), the network's own input.

        Raises UnfitPayloadError where an example has another shape than the network takes.
        """
        signature = model.metadata.input
        if input_data.shape[1:] != signature.shape[1:]:
            raise UnfitPayloadError(
                f"expected examples of the shape {signature.shape[1:]}, got {input_data.shape[1:]}"
            )
        logits = loop.predict(model.block, input_data.astype(signature.dtype), model.device)
        return ClassProbabilities(tuple(model.metadata.classes or ()), softmax(logits))

    def output_fn(self, prediction: ClassProbabilities, accept: str) -> bytes:
        content_type = codecs.negotiate(accept, self.answered())
        if content_type == codecs.NPY:
            return codecs.encode_npy(prediction.values)
        if content_type == codecs.CSV:
            return codecs.encode_csv(prediction.best())
        rows: list[dict[str, Any]] = [
            {
                "label": label,
                "probability": probability,
                "probabilities": dict(zip(prediction.classes, row)),
            }
            for (label, probability), row in zip(prediction.best(), prediction.values)
        ]
        if content_type == codecs.JSONLINES:
            return codecs.encode_jsonlines(rows)
        return codecs.encode_json({"predictions": rows})


def _he_initializer() -> Any:
    """K. He et al., "Delving deep into rectifiers", ICCV 2015: for layers followed by relu."""
    return mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)


def outputs(network: HybridBlock, data: Dataset, device: Any) -> Array:
    """The network's outputs for all of ``data``, read part by part."""
    parts = np.array_split(np.arange(len(data)), max(1, len(data) // 4096))
    return np.concatenate([loop.predict(network, data.take(part)[0], device) for part in parts])


def softmax(logits: Array) -> Array:
    """Rows (N, C) of logits as probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result
