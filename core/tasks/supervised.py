"""Supervised learning with a Gluon network: an algorithm states network, loss and data."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence, TypeVar

import numpy as np

from .. import payload
from ..algorithm.base import Algorithm
from ..algorithm.channels import TEST, TRAIN, VALIDATION
from ..algorithm.evaluation import Evaluation
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..artifact.folder import Model
from ..artifact.metadata import Example, InputSignature, class_faults
from ..data.dataset import Dataset, chunks, classes_of, hold_out, lengths_of, part_of, prefetched
from ..runtime import mx
from ..runtime.deprecated import OF_SUPERVISED
from ..runtime.errors import DataError, PayloadError, PluginError
from ..runtime.types import Array, HybridBlock, NDArray
from ..training import loop
from ..training.together import (
    ExampleElsewhereError,
    Together,
    differences,
    gathered_encodings,
    labels_of_all,
    statistics,
    take_from_chief,
    united,
)

if TYPE_CHECKING:
    from ..training.run import Run

H = TypeVar("H", bound=TrainingHyperparameters)


class SupervisedAlgorithm(Algorithm[H]):
    """An algorithm that learns from examples with labels, by gradient descent."""

    old_attributes = OF_SUPERVISED

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
        content_type = payload.check_content_type(request_content_type, self.accepted())
        return payload.decode_array(request_body, content_type)

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
            payload.JSON: lambda: payload.encode_json({"instances": first}),
            payload.JSONLINES: lambda: payload.encode_jsonlines(first),
            payload.CSV: lambda: payload.encode_csv(first.reshape(1, -1)),
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
            raise DataError(
                *(f"{path}: classes: {fault}" for fault in faults[: payload.MAX_FAULTS])
            )
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
