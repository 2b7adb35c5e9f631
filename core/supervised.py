"""Supervised learning with a Gluon network: an algorithm states network, loss and data."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    TypeVar,
)

import numpy as np

from . import codecs, mx
from .algorithm import Algorithm, ContentType, Objective
from .artifact import Example, InputSignature, Metadata, Model, class_faults
from .channels import TEST, TRAIN, VALIDATION
from .data import classes
from .errors import DataError, PayloadError, PluginError, TrainingError, UnfitPayloadError
from .evaluation import Evaluation, evaluate_classes
from .hyperparameters import TrainingHyperparameters
from .training import loop
from .training.data import (
    Dataset,
    chunks,
    classes_of,
    hold_out,
    lengths_of,
    part_of,
    prefetched,
)
from .training.together import (
    ExampleElsewhereError,
    Together,
    differences,
    gathered_encodings,
    labels_of_all,
    statistics,
    take_from_chief,
    united,
)
from .types import Array, HybridBlock, NDArray

if TYPE_CHECKING:
    from .training.run import Run

H = TypeVar("H", bound=TrainingHyperparameters)


class SupervisedAlgorithm(Algorithm[H]):
    """An algorithm that learns from examples with labels, by gradient descent."""

    @abstractmethod
    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: H,
        encoding: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """The examples of ``channel`` at ``path``.

        ``encoding`` is that of the training's dataset, to be kept to, so that class 3 or word 17
        is everywhere the same; None where it is this dataset that decides. Raises DataError.
        """

    def check_labels(self, labels: Array, data: Dataset, path: Path) -> None:
        """Raises DataError where nothing can be learned from the training's ``data`` at ``path``.

        ``labels`` (N, …) are those of ``data``; of several hosts, also what labels the others have.
        By default anything can be learned.
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

    def initializer(self, hyperparameters: H) -> Any:
        """How parameters begin: K. He et al., "Delving deep into rectifiers", ICCV 2015."""
        return mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)

    def begin(self, network: HybridBlock, data: Dataset, run: Run[H]) -> None:
        """Change the initialized network for ``data`` before the first step: weights it is given.

        What is read for it belongs into ``run.data``, so that a checkpoint is held against it.
        """

    def augment(
        self, x: NDArray, y: NDArray, hyperparameters: H, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray]:
        """A training batch x (B, …), y (B, …) changed at random; by default as it is."""
        return x, y

    def example(self, data: Dataset) -> Example:
        """A request that a model can answer, made of the first of ``data``."""
        first = data.take(np.zeros(1, np.int64))[0]
        writers = {
            codecs.JSON: lambda: codecs.encode_json({"instances": first}),
            codecs.JSONLINES: lambda: codecs.encode_jsonlines(first),
            codecs.CSV: lambda: codecs.encode_csv(first.reshape(1, -1)),
        }
        for content_type in self.accepted():
            if content_type in writers:
                return Example(content_type=content_type, body=writers[content_type]().decode())
        raise PluginError(f"{self.name} accepts no text: it has to define example() itself")

    def train(self, run: Run[H]) -> None:
        """Learn, validate after each epoch, measure on test where it is given, save."""
        options = run.hyperparameters
        train, validation, test = self._datasets(run)
        example = self.example(validation)
        self._check_example(example)
        ragged = lengths_of(train) is not None
        x = train.take(np.zeros(1, np.int64))[0]
        shape = (0, 0, *x.shape[2:]) if ragged else (0, *x.shape[1:])
        signature = _signature(self.name, shape, str(x.dtype))
        run.check(signature=signature, example=example, encoding=train.encoding)
        network = self.network(options, train)
        if not isinstance(network, mx.gluon.HybridBlock):
            raise PluginError(f"{self.name}.network() gives no HybridBlock, which can be saved")
        network.initialize(self.initializer(options), ctx=list(run.devices))
        self.begin(network, train, run)
        # a static shape is planned for anew, at some cost, whenever another one comes
        network.hybridize(static_alloc=True, static_shape=not ragged)

        validated = Together(run.cluster, validation, run.data.get(VALIDATION, run.data[TRAIN]))
        tested = None if test is None else Together(run.cluster, test, run.data[TEST])
        steps, epochs = loop.fit(
            run,
            network,
            self.loss(options),
            train,
            augment=lambda x, y, rng: self.augment(x, y, options, rng),
            validate=lambda: self._figures(run, network, validated),
        )
        if tested is not None:
            with run.interruptible("before the test"):
                found = self._figures(run, network, tested)
            if run.cluster.is_chief:
                final = {f"test:{name}": value for name, value in found.items()}
                run.report(final, epoch=epochs, step=steps)
        loop.predict(network, x, run.devices[0])  # what was resumed at its end has not run yet
        run.save(network, signature=signature, example=example, encoding=train.encoding)

    def _figures(self, run: Run[H], network: HybridBlock, data: Together) -> Mapping[str, float]:
        """How well ``network`` does on ``data``, of which each host computes its part: the chief's.

        Empty on the other hosts.
        """
        device = run.devices[0]
        take_from_chief(run.cluster, statistics(network), [device], "the running statistics")
        found = data.outputs(lambda part: outputs(network, part, device))
        if found is None:
            return {}
        try:
            return self.score(found, data.whole).metrics
        except ExampleElsewhereError:
            run.reporter.message(
                f"{self.name} looks at the examples themselves: the figures are those of the "
                f"{len(data.own):,} of this host alone, of {len(data.whole):,}"
            )
            return self.score(found[: len(data.own)], data.own).metrics

    def _check_example(self, example: Example) -> None:
        """Before anything is trained: a server is going to prove a model by its example."""
        try:
            self.input_fn(example.body.encode(), example.content_type)
        except PayloadError as error:
            raise PluginError(
                f"{self.name}.example() gives a request ({example.content_type}) that its "
                f"input_fn() refuses: {error}"
            ) from None

    def _read(
        self, path: Path, channel: str, hyperparameters: H, encoding: Mapping[str, Any] | None
    ) -> Dataset:
        data = self.dataset(path, channel, hyperparameters, encoding)
        if len(data) == 0:
            raise DataError(f"{path}: holds no examples (channel {channel!r})")
        faults = class_faults(data.encoding)
        if faults:
            raise DataError(*(f"{path}: classes: {fault}" for fault in faults[: codecs.MAX_FAULTS]))
        if encoding is not None and dict(data.encoding) != dict(encoding):
            raise DataError(
                f"{path}: its classes are not those of the training: "
                f"{_names(data.encoding)} there, {_names(encoding)} in training"
            )
        return data

    def united(
        self, encodings: Sequence[Mapping[str, Any]], hosts: Sequence[str], hyperparameters: H
    ) -> Mapping[str, Any]:
        """One encoding in place of the unlike ``encodings`` of ``hosts``, the same on each of them.

        By default names (classes, a vocabulary) are united, and anything else is refused. Raises
        DataError.
        """
        return united(encodings, hosts)

    def _train_data(self, run: Run[H]) -> Dataset:
        """The training channel of this host, encoded as on every other."""
        path, options = run.channels[TRAIN], run.hyperparameters
        train = self._read(path, TRAIN, options, None)
        encodings = gathered_encodings(run.cluster, train.encoding)
        if len(encodings) == 1:
            return train
        whole = self.united(encodings, run.cluster.names, options)
        for difference in differences(encodings, run.cluster.names):
            run.reporter.message(difference)
        sizes = ", ".join(
            f"{len(value):,} {key}" for key, value in whole.items() if isinstance(value, list)
        )
        run.reporter.message(f"all hosts learn the same: {sizes}")
        if dict(train.encoding) == dict(whole):
            return train
        return self._read(path, TRAIN, options, whole)

    def _datasets(self, run: Run[H]) -> tuple[Dataset, Dataset, Dataset | None]:
        """Train, validation and test; the digest of each channel is noted in ``run``."""
        options = run.hyperparameters
        train = self._train_data(run)
        run.check_headings()
        self.check_labels(labels_of_all(run.cluster, train), train, run.channels[TRAIN])
        given: dict[str, Dataset] = {TRAIN: train}
        for channel in (VALIDATION, TEST):
            if channel in run.channels:
                path = run.channels[channel]
                given[channel] = self._read(path, channel, options, train.encoding)
        notes = {channel: getattr(data, "note", "") for channel, data in given.items()}
        counts = {channel: getattr(data, "counts", {}) for channel, data in given.items()}
        if run.options.examples is not None:
            given = {name: part_of(data, run.options.examples) for name, data in given.items()}
            train = given[TRAIN]
        run.data.update((channel, data.digest()) for channel, data in given.items())
        for channel, data in given.items():
            note = notes[channel]
            run.examples[channel] = {"examples": len(data), **counts[channel]}
            run.reporter.message(
                f"{channel}: {len(data):,} examples" + (f" ({note})" if note else "")
            )
        self._say_classes(run, train)
        if VALIDATION in given:
            return train, given[VALIDATION], given.get(TEST)
        part = options.holdout
        learn, held = hold_out(train, part, run.rng(loop.HOLD_OUT))
        run.reporter.message(
            f"no validation channel: {len(held):,} examples of train, {part:.0%}"
            + (" of each class" if classes_of(train) is not None else "")
            + ", are held out"
        )
        return learn, held, given.get(TEST)

    def _say_classes(self, run: Run[H], train: Dataset) -> None:
        labels, names = classes_of(train), train.encoding.get("classes", ())
        if labels is not None:
            counts = np.bincount(labels, minlength=len(names)).tolist()
            for sentence in classes.sentences(names, counts):
                run.reporter.message(f"{TRAIN}: {sentence}")

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        data = self._read(path, TEST, options, model.metadata.encoding)  # type: ignore[arg-type]
        return self.score(outputs(model.block, data, model.device), data)


def _signature(name: str, shape: tuple[int, ...], dtype: str) -> InputSignature:
    try:
        return InputSignature.model_validate({"shape": shape, "dtype": dtype})
    except ValueError:
        raise PluginError(f"{name}: no network takes examples of {dtype}: use float32") from None


def _names(encoding: Mapping[str, Any]) -> str:
    names = [str(name) for name in encoding.get("classes", ())]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


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
        for index, probability in zip(indices, codecs.plain(values)):
            yield self.classes[index], probability

    def by_class(self) -> Iterator[dict[str, float]]:
        """The probabilities of each answer by the names of their classes."""
        if not self.named:
            for row in codecs.plain(self.values):
                yield dict(zip(self.classes, row))
            return
        orders = np.argsort(-self.values, axis=1, kind="stable")[:, : self.named]
        chosen = codecs.plain(np.take_along_axis(self.values, orders, axis=1))
        for order, row in zip(orders.tolist(), chosen):
            yield {self.classes[index]: value for index, value in zip(order, row)}


class Classifier(SupervisedAlgorithm[H]):
    """A supervised algorithm whose network ends in one logit a class."""

    metrics = {
        "train:loss": "mean cross-entropy of the training batches, as augmented",
        "validation:accuracy": "part of the validation examples whose class is found",
        "validation:cross_entropy": "mean of -log(probability of the true class), in nats",
        "test:accuracy": "the same for the test channel, after training",
        "test:cross_entropy": "the same for the test channel, after training",
        "train:throughput": "examples a second, without validation",
        "train:data_wait": "part of the time in which the devices waited for data",
        "train:peak_memory_mb": "the most memory that the process has held, in MiB",
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
                "there is nothing to tell apart"
            )

    def loss(self, hyperparameters: H) -> Any:
        return mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        return evaluate_classes(
            softmax(outputs), data.labels(), self._classes(outputs, data.encoding)
        )

    def predict_fn(self, input_data: Array, model: Model) -> ClassProbabilities:
        """Probabilities for ``input_data`` (N, …), the network's own input.

        Raises UnfitPayloadError where an example has another shape than the network takes, or
        numbers so large that it cannot compute with them.
        """
        signature = model.metadata.input
        if input_data.shape[1:] != signature.shape[1:]:
            raise UnfitPayloadError(
                f"expected examples of the shape {signature.shape[1:]}, got {input_data.shape[1:]}"
            )
        logits = loop.predict(model.block, input_data.astype(signature.dtype), model.device)
        beyond = np.flatnonzero(~np.isfinite(logits).reshape(len(logits), -1).all(axis=1))
        if len(beyond):
            raise UnfitPayloadError(
                f"example {beyond[0] + 1}: its numbers are too large: the network's outputs are "
                "not finite"
            )
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
        content_type = codecs.negotiate(accept, self.answered())
        if content_type == codecs.NPY:
            return codecs.encode_npy(prediction.values)
        if content_type == codecs.CSV:
            return codecs.encode_csv(prediction.best())
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
        if content_type == codecs.JSONLINES:
            return codecs.encode_jsonlines(rows)
        return codecs.encode_json({"predictions": rows})


def outputs(network: HybridBlock, data: Dataset, device: Any) -> Array:
    """The network's outputs for all of ``data``, of which memory holds a few batches at a time.

    Examples of one length stand together.
    """
    lengths = lengths_of(data)
    order = np.arange(len(data)) if lengths is None else np.argsort(lengths, kind="stable")
    size = loop.evaluation_batch(data.take(order[-1:])[0])
    parts = [order[part] for part in chunks(len(data), size)]
    with closing(prefetched(lambda part: data.take(part)[0], parts)) as batches:
        found = loop.predict_batches(network, batches, size, device)
    if lengths is None:
        return found
    result: Array = np.empty_like(found)
    result[order] = found
    return result


def softmax(logits: Array) -> Array:
    """Rows (N, C) of logits as probabilities."""
    result: Array = logits - logits.max(axis=1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result
