"""Supervised learning by a Gluon network: channels, hold-out, training, validation, evaluation."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Iterator, Mapping, Sequence, TypeVar

import numpy as np

from .. import payload, training
from ..algorithm.base import Algorithm, ContentType, Draw
from ..algorithm.channels import MODEL, TEST, TRAIN, VALIDATION
from ..algorithm.evaluation import Evaluation, Importance
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..artifact.metadata import PARAMETERS, Example, InputSignature, Metadata, name_faults
from ..artifact.model import Model
from ..artifact.network import Computing, GluonNetwork, Network, batch_size, outputs_of
from ..data import classes, reading
from ..data.dataset import (
    Dataset,
    Examples,
    Subset,
    chunks,
    classes_of,
    encoded,
    groups_of,
    hold_out,
    lengths_of,
    note_of,
    part_of,
    prefetched,
    times_of,
)
from ..runtime import mx
from ..runtime.deprecated import OF_SUPERVISED
from ..runtime.errors import (
    DataError,
    InputError,
    PayloadError,
    PluginError,
    TrainingError,
    UnfitPayloadError,
)
from ..runtime.staging import digest_of
from ..runtime.types import Array, Context, HybridBlock, NDArray
from .head import Head
from .imbalance import DECISION
from .importance import by_heading, importances
from .scaling import moments, of_standardized, set_moments

if TYPE_CHECKING:
    from ..training.run import Run
    from ..training.together import Together

H = TypeVar("H", bound=TrainingHyperparameters)

CALIBRATION_BATCH = 32
# Of examples that differ in length, so many steps of all of a batch: attention takes the square.
MOST_STEPS = 2**13
SHOWN = 5  # names in a message
# Keys of an artifact's encoding that no dataset writes: what was decided after the training.
DECIDED = (DECISION,)
# What training measures of the machine, whatever is learned.
MEASURED = {
    "train:throughput": "Training examples processed per second, validation not counted.",
    "train:data_wait": "Fraction of the time in which the devices waited for data.",
    "train:peak_memory_mb": "Peak memory of the process, in MiB.",
}


class SupervisedAlgorithm(Algorithm[H]):
    """An algorithm that learns from examples with labels, by gradient descent.

    Its answers are the network's outputs, (N, …) float32, unless ``predict_fn`` and ``output_fn``
    say otherwise. A subclass adds what ``score`` measures to ``metrics``.
    """

    metrics = {"train:loss": "Mean loss of the training batches, after augmentation.", **MEASURED}
    response_types: ClassVar[tuple[ContentType, ...]] = (
        ContentType(
            payload.JSON,
            "for each example the network's outputs",
            '{"predictions": [[0.2, -1.5], …]}',
        ),
        ContentType(payload.JSONLINES, "the same, a line an example", "[0.2, -1.5]"),
        ContentType(payload.CSV, "a line an example: its outputs, row by row", "0.2,-1.5"),
        ContentType(payload.NPY, "the network's outputs, (N, …) float32"),
    )

    # Whether the network's input (N, D) is less its mean, by its deviation, of the training: for
    # tables whose columns have unlike units. The model does it; requests have the columns' units.
    standardize_inputs: ClassVar[bool] = False

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
        content_type = payload.check_content_type(request_content_type, self.accepted_media_types())
        return payload.decode_array(request_body, content_type)

    def initializer(self, hyperparameters: H) -> Any:
        """How parameters begin: K. He et al., "Delving deep into rectifiers", ICCV 2015."""
        return mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)

    def load_pretrained(self, network: HybridBlock, data: Dataset, run: Run[H]) -> None:
        """Change the initialized network for ``data`` before the first step: weights it is given.

        What is read for it belongs into ``run.data``, so that a checkpoint is held against it. By
        default, what the model of the channel MODEL has learned, where there is that channel.
        """
        if MODEL in run.channels:
            old = self.artifact(run.channels[MODEL])
            run.reporter.message(training.starting.start(network, data.encoding, old))
            run.data[MODEL] = digest_of(old.folder / PARAMETERS)

    def known(self, run: Run[H]) -> Mapping[str, Any] | None:
        """The encoding of the model that the run starts from, whose names stay known; None where it
        starts from none.
        """
        if MODEL not in run.channels:
            return None
        encoding = self.artifact(run.channels[MODEL]).metadata.encoding
        return {key: value for key, value in encoding.items() if key not in DECIDED}

    def augment(
        self, x: NDArray, y: NDArray, hyperparameters: H, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray]:
        """A training batch x (B, …), y (B, …) changed at random; by default as it is."""
        return x, y

    def settled(self, train: Dataset, run: Run[H]) -> H:
        """The hyperparameters to learn by once the examples are known: by default those of ``run``.

        For those that go by the number of examples; the artifact has what was given.
        """
        return run.hyperparameters

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[H]
    ) -> tuple[HybridBlock, Dataset]:
        """The model that is kept of ``network``, and the examples that ``network`` learns in place
        of ``train``: by default both as they are.

        A Regressor's network learns targets that are standardized, and its model undoes that.
        """
        return network, train

    def head(self, network: HybridBlock, run: Run[H]) -> Head | None:
        """The part of a classifier's ``network`` that learns, where the rest stays as it is: what
        the rest makes of the examples is computed once. By default all of it learns: None.
        """
        return None

    def model_input(self, train: Dataset, run: Run[H]) -> Array:
        """An input (1, …) of the model that is kept: by default that of the training."""
        return train.take(np.zeros(1, np.int64))[0]

    def all_outputs(self, network: Network, data: Dataset, hyperparameters: H) -> Any:
        """What ``score`` is given of ``data``: by default the outputs (N, …) of ``network``."""
        return outputs(network, data)

    def trained(self, network: HybridBlock, given: Mapping[str, Dataset], run: Run[H]) -> None:
        """Change what ``network`` holds beside its weights, before the test; by default nothing.

        ``given`` are the channels as they were read. Every host calls it.
        """

    def kept(self, given: Mapping[str, Dataset], run: Run[H]) -> Mapping[str, Array]:
        """Arrays that answers need beside the network, by name: the artifact keeps them.

        ``given`` are the channels as they were read. Every host calls it; by default there are
        none.
        """
        return {}

    def check_finite(self, outputs: Array) -> None:
        """Raises TrainingError where the network's ``outputs`` are not all finite numbers."""
        if not np.isfinite(outputs).all():
            raise TrainingError(f"the network of {self.name} gives outputs that are no numbers")

    def check_outputs(
        self, network: HybridBlock, train: Dataset, names: Sequence[str], what: str
    ) -> None:
        """Raises PluginError where ``network`` has another number of outputs than ``names``, of
        ``what``.
        """
        found = network(mx.sym.var("data"))
        if isinstance(found, (list, tuple)):
            raise PluginError(
                f"the network of {self.name} gives {len(found)} outputs: expected one array, a "
                f"number for each of the {what}"
            )
        x = train.take(np.zeros(1, np.int64))[0]
        try:
            _, shapes, _ = found.infer_shape(data=x.shape)
        except mx.base.MXNetError:
            return  # it does not fit its input: the first step says so
        if shapes and np.prod(shapes[0][1:], dtype=int) != len(names):
            raise PluginError(
                f"the network of {self.name} gives {shapes[0][1:]} outputs an example for "
                f"{len(names)} {what} ({', '.join(names[:SHOWN])}): let it end in a layer of "
                f"{len(names)}"
            )

    def weighted(self, loss: HybridBlock, train: Dataset, run: Run[H]) -> HybridBlock:
        """``loss`` with a weight for each example of ``train``: by default as it is."""
        return loss

    def decision(self, train: Dataset, run: Run[H]) -> Mapping[str, Any]:
        """What is to be decided by the validation examples once all is learned, in JSON types, by
        keys of DECIDED: it is in the encoding of the data that ``score`` is given, and in the
        artifact. By default nothing is, {}. Raises DataError.
        """
        return {}

    def decided(
        self, decision: Mapping[str, Any], validate: Callable[[], Evaluation | None], run: Run[H]
    ) -> Mapping[str, Any]:
        """``decision`` with what the model that is kept decides. ``validate`` measures that model
        on the validation examples: all hosts call it, or none, and the chief is given the figures.
        """
        return decision

    def example(self, data: Dataset) -> Example:
        """A request that a model can answer, made of the first of ``data``."""
        first = data.take(np.zeros(1, np.int64))[0]
        writers = {
            payload.JSON: lambda: payload.encode_json({"instances": first}),
            payload.JSONLINES: lambda: payload.encode_jsonlines(first),
            payload.CSV: lambda: payload.encode_csv(first.reshape(1, -1)),
        }
        for content_type in self.accepted_media_types():
            if content_type in writers:
                return Example(content_type=content_type, body=writers[content_type]().decode())
        raise PluginError(f"{self.name} accepts no content type of text: define example()")

    def train(self, run: Run[H]) -> None:
        """Learn, validate after each epoch, measure on test where it is given, save."""
        given = self._read_channels(run)
        train, validation, test = self._divided(run, given)
        options = self.settled(train, run)
        example = self.example(validation)
        self._check_example(example)
        ragged = lengths_of(train) is not None
        x = self.model_input(train, run)
        shape = (0, 0, *x.shape[2:]) if ragged else (0, *x.shape[1:])
        signature = _signature(self.name, shape, str(x.dtype))
        run.check(signature=signature, example=example, encoding=train.encoding)
        network = self._network(run, train)
        model, learned = self.scale_targets(network, train, run)
        # a static shape is planned for anew, at some cost, whenever another one comes
        model.hybridize(static_alloc=True, static_shape=not ragged)

        def augment(x: NDArray, y: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
            return self.augment(x, y, options, rng)

        loss = self.weighted(self.loss(options), train, run)
        changed = type(self).augment is not SupervisedAlgorithm.augment
        learner, judged, head = network, model, self.head(network, run)
        if head is not None:
            run.reporter.message(
                "the part of the network that does not learn computes each example once"
            )
            learner = judged = head.network
            learned, validation = head.seen(learned), head.seen(validation)
        loop = training.loop.Loop(
            run, learner, loss, learned, augment if changed else None, options
        )
        decision = self.decision(train, run)
        validated = training.together.Together(
            run.cluster,
            encoded(validation, decision),
            run.data.get(VALIDATION, run.data[TRAIN]),
        )
        for place in loop.epochs():
            with run.interruptible(place):
                found = self._evaluation(run, judged, validated)
            loop.validated(found.metrics if found else {})
        with run.interruptible("before the last validation"):
            decision = self.decided(decision, lambda: self._evaluation(run, judged, validated), run)
        self.trained(network, given, run)
        if test is not None:
            tested = training.together.Together(
                run.cluster, encoded(test, decision), run.data[TEST]
            )
            with run.interruptible("before the test"):
                found = self._evaluation(run, model, tested)
            if found is not None:
                final = {f"test:{name}": value for name, value in found.metrics.items()}
                run.report(final, epoch=loop.epochs_done, step=loop.position.step)
        # What was resumed at its end has not run yet.
        GluonNetwork(model, run.devices[0]).compute(x)
        run.save(
            model,
            signature=signature,
            example=example,
            encoding={**train.encoding, **decision},
            kept=self.kept(given, run),
        )

    def _network(self, run: Run[H], train: Dataset) -> HybridBlock:
        """The network as it is before the first step."""
        network = self.network(run.hyperparameters, train)
        if not isinstance(network, mx.gluon.HybridBlock):
            raise PluginError(
                f"{self.name}.network() must return a HybridBlock, which can be saved"
            )
        network.initialize(self.initializer(run.hyperparameters), ctx=list(run.devices))
        self.load_pretrained(network, train, run)
        return self._of_standardized(network, train, run) if self.standardize_inputs else network

    def _of_standardized(self, network: HybridBlock, train: Dataset, run: Run[H]) -> HybridBlock:
        x = train.take(np.arange(len(train)))[0]
        if x.ndim != 2 or not np.isfinite(x).all():
            raise PluginError(
                f"{self.name}.standardize_inputs: expected inputs (N, D) that are finite numbers, "
                f"got {x.shape}: standardize them in dataset(), or in the network"
            )
        found = moments(run.cluster, x.astype(np.float64), "inputs")
        model = of_standardized(network, found)
        set_moments(model, found, run.devices)
        return model

    def _evaluation(self, run: Run[H], network: HybridBlock, data: Together) -> Evaluation | None:
        """How well ``network`` does on ``data``, of which each host computes its part: the chief's.

        None on the other hosts.
        """
        device = run.devices[0]
        training.together.take_from_chief(
            run.cluster, training.together.statistics(network), [device], "the running statistics"
        )
        options = run.hyperparameters
        found = data.gathered(self.all_outputs(GluonNetwork(network, device), data.mine, options))
        if found is None:
            return None
        try:
            return self.score(found, data.whole)
        except training.together.ExampleElsewhereError:
            run.reporter.message(
                f"{self.name} needs the examples themselves in score(): the metrics cover only "
                f"the {len(data.own):,} of {len(data.whole):,} examples on this host"
            )
            return self.score(found[: len(data.own)], data.own)

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
        decision = {key: encoding[key] for key in DECIDED if key in encoding} if encoding else {}
        if encoding is not None:
            encoding = {key: value for key, value in encoding.items() if key not in decision}
        data = self.dataset(path, channel, hyperparameters, encoding)
        if len(data) == 0:
            raise DataError(f"{path}: holds no examples (channel {channel!r})")
        faults = name_faults(data.encoding)
        if faults:
            raise DataError(*(f"{path}: {fault}" for fault in faults[: payload.MAX_FAULTS]))
        if encoding is not None:
            unlike = [f"{path}: {each}" for each in _unlike(data.encoding, encoding)]
            if unlike:
                raise DataError(*unlike)
        return encoded(data, decision)

    def told(self, data: Dataset) -> Mapping[str, Any]:
        """What a host tells the others of its training ``data`` so that they agree on one encoding,
        in JSON types: ``united`` is given that of all. By default its encoding.
        """
        return data.encoding

    def described(self, data: Dataset, run: Run[H]) -> Dataset:
        """The training's ``data``, encoded as on every other host, with what its values or other
        channels say besides. Every host calls it; by default as it is.
        """
        return data

    def united(
        self, encodings: Sequence[Mapping[str, Any]], hosts: Sequence[str], hyperparameters: H
    ) -> Mapping[str, Any]:
        """One encoding in place of the unlike ``encodings`` of ``hosts``, the same on each of them.

        By default names (classes, a vocabulary) are united, and anything else is refused. Raises
        DataError.
        """
        return training.together.united(encodings, hosts)

    def _train_data(self, run: Run[H]) -> Dataset:
        """The training channel of this host, encoded as on every other."""
        path, options = run.channels[TRAIN], run.hyperparameters
        train = self._read(path, TRAIN, options, None)
        encodings = training.together.gathered_encodings(run.cluster, self.told(train))
        known = self.known(run)
        if len(encodings) == 1 and known is None:
            return self.described(train, run)
        whole = encodings[0]
        if len(encodings) > 1:
            whole = self.united(encodings, run.cluster.names, options)
            for difference in training.together.differences(encodings, run.cluster.names):
                run.reporter.message(difference)
            run.reporter.message(f"merged over all hosts: {_sizes(whole)}")
        if known is not None:
            whole = self.united([known, whole], ["the model", "the data"], options)
            run.reporter.message(f"with those of the model: {_sizes(whole)}")
        if dict(train.encoding) != dict(whole):
            train = self._read(path, TRAIN, options, whole)
        return self.described(train, run)

    def _read_channels(self, run: Run[H]) -> dict[str, Dataset]:
        """The channels that are given, in one encoding; the digest of each is noted in ``run``."""
        train = self._train_data(run)
        run.check_headings()
        self.check_labels(
            training.together.labels_of_all(run.cluster, train), train, run.channels[TRAIN]
        )
        given = {TRAIN: train}
        for channel in (VALIDATION, TEST):
            if channel in run.channels:
                path = run.channels[channel]
                given[channel] = self._read(path, channel, run.hyperparameters, train.encoding)
                _check_labels_are_like(given[channel], train, path)
        most = run.options.examples
        used = given if most is None else {name: part_of(d, most) for name, d in given.items()}
        run.data.update((channel, data.digest()) for channel, data in used.items())
        for channel, data in used.items():
            whole, count = given[channel], len(data)
            note = note_of(whole)
            run.examples[channel] = {"examples": count, **getattr(whole, "counts", {})}
            run.reporter.message(f"{channel}: {count:,} examples" + (f" ({note})" if note else ""))
        self._say_classes(run, used[TRAIN])
        return used

    def _divided(
        self, run: Run[H], given: Mapping[str, Dataset]
    ) -> tuple[Dataset, Dataset, Dataset | None]:
        """Train, validation, which without a channel of its own is held out of train, and test."""
        train, test = given[TRAIN], given.get(TEST)
        if VALIDATION in given:
            return train, given[VALIDATION], test
        part = run.hyperparameters.holdout
        learn, held = hold_out(train, part, run.rng(training.loop.HOLD_OUT))
        run.reporter.message(
            f"no validation channel: {len(held):,} examples of train, {_which(train, part)}, are "
            "held out"
        )
        return learn, held, test

    def _say_classes(self, run: Run[H], train: Dataset) -> None:
        labels, names = classes_of(train), train.encoding.get("classes", ())
        if labels is not None:
            counts = np.bincount(labels, minlength=len(names)).tolist()
            for sentence in classes.sentences(names, counts):
                run.reporter.message(f"{TRAIN}: {sentence}")

    def compute(self, input_data: Array, model: Model) -> Array:
        """The network's outputs (N, …), all finite, for ``input_data`` (N, …), its own input.

        Raises UnfitPayloadError where an example has another shape than the network takes, or
        numbers so large that it cannot compute with them.
        """
        signature = model.metadata.input
        if input_data.shape[1:] != signature.shape[1:]:
            raise UnfitPayloadError(
                f"expected examples of the shape {signature.shape[1:]}, got {input_data.shape[1:]}"
            )
        found: Array = model.outputs(input_data.astype(signature.dtype, copy=False))
        finite = np.isfinite(found)
        if not finite.all():
            beyond = np.flatnonzero(~finite.reshape(len(found), -1).all(axis=1))
            raise UnfitPayloadError(
                f"example {beyond[0] + 1}: its numbers are too large: the network's outputs are "
                "not finite"
            )
        return found

    def predict_fn(self, input_data: Any, model: Model) -> Any:
        """The network's outputs (N, …) for ``input_data`` (N, …); see ``compute``."""
        return self.compute(input_data, model)

    def output_fn(self, prediction: Any, accept: str) -> bytes:
        """``prediction`` (N, …), an array, as numbers: a row or an array an example."""
        content_type = payload.negotiate(accept, self.response_media_types())
        if content_type == payload.NPY:
            return payload.encode_npy(prediction)
        if content_type == payload.CSV:
            return payload.encode_csv(prediction.reshape(len(prediction), -1))
        return payload.encode_answers(prediction, content_type)

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        data = self.test_data(path, model)
        options: Any = self.Hyperparameters.parse(model.metadata.hyperparameters)
        return self.score(self.all_outputs(model.network, data, options), data)

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Any], int]:
        """By default what the requests hold that ``example`` makes of them."""
        data = self.test_data(path, model)
        found: list[Any] = []
        for index in draw(len(data)):
            request = self.example(Subset(data, np.array([index])))
            found.extend(self.input_fn(request.body.encode(), request.content_type))
        return found, len(data)

    def test_data(self, path: Path, model: Model) -> Dataset:
        """The examples at ``path``, encoded as those of the model's training. Raises DataError."""
        return self._read_for(model, path, TEST)

    def _read_for(self, model: Model, path: Path, channel: str) -> Dataset:
        """The examples at ``path`` as ``model`` takes them; what was left out of them is said."""
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        data = self._read(path, channel, options, model.metadata.encoding)  # type: ignore[arg-type]
        if note_of(data):
            reading.note(note_of(data), path)
        return data

    def columns(self, metadata: Metadata) -> Mapping[str, Sequence[int]]:
        """The columns of a table by name, and where each stands in the network's input (N, D): one
        may stand in several places. By default each for itself, by its heading in the training
        table, or by number; none where the input is no table.
        """
        if len(metadata.input.shape) != 2 or metadata.input.is_ragged:
            return {}
        headings = metadata.headings.columns if metadata.headings else ()
        return by_heading(headings, metadata.input.shape[1])

    def importances(self, model: Model, path: Path) -> tuple[Importance, ...]:
        columns = self.columns(model.metadata)
        if not columns:
            raise InputError(
                f"{self.name} learns from no columns of a table, of which it could be told which "
                "matter"
            )
        data = self.test_data(path, model)
        return importances(model.outputs, self.score, data, columns, self.objective)

    def calibration(self, model: Model, path: Path, count: int) -> Iterator[Array]:
        data = self._read_for(model, path, TRAIN)
        chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:count])
        for start in range(0, len(chosen), CALIBRATION_BATCH):
            yield data.take(chosen[start : start + CALIBRATION_BATCH])[0]


def _sizes(encoding: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{len(value):,} {key}" for key, value in encoding.items() if isinstance(value, list)
    )


def _which(train: Dataset, part: float) -> str:
    """What ``part`` of ``train`` is held out."""
    if times_of(train) is not None:
        return f"the latest {part:.0%}"
    if groups_of(train) is not None:
        return f"about {part:.0%} in whole groups"
    return f"{part:.0%}" + (" of each class" if classes_of(train) is not None else "")


def _signature(name: str, shape: tuple[int, ...], dtype: str) -> InputSignature:
    try:
        return InputSignature.model_validate({"shape": shape, "dtype": dtype})
    except ValueError:
        raise PluginError(f"{name}: no network takes examples of {dtype}: use float32") from None


def _unlike(encoding: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[str]:
    """In what an ``encoding`` is not that of the ``training``, a sentence a key."""
    for key in sorted({*encoding, *training}):
        if encoding.get(key) != training.get(key):
            yield (
                f"its {key} are not those of the training: {_names(encoding.get(key))} there, "
                f"{_names(training.get(key))} in training"
            )


def _names(value: Any) -> str:
    if not isinstance(value, (list, tuple)):
        return "none" if value is None else str(value)[:100]
    more = f" and {len(value) - 10} more" if len(value) > 10 else ""
    return ", ".join(map(str, value[:10])) + more


def _check_labels_are_like(data: Dataset, train: Dataset, path: Path) -> None:
    """Raises DataError where the labels of ``data`` at ``path`` are of another shape than
    ``train``'s; of examples that differ in length, so may the labels.
    """
    if lengths_of(train) is not None:
        return
    found, expected = (each.take(np.zeros(1, np.int64))[1].shape[1:] for each in (data, train))
    if found != expected:
        raise DataError(
            f"{path}: the labels of an example have the shape {found}, those of the training "
            f"{expected}"
        )


def outputs(network: Computing, data: Examples) -> Any:
    """The network's outputs for all of ``data``, of which memory holds a few batches at a time.

    Examples of one length stand together, the fewer the longer they are.
    """
    if not len(data):
        return np.zeros(0, np.float32)  # as a host's share may be
    lengths = lengths_of(data)
    order = np.arange(len(data)) if lengths is None else np.argsort(lengths, kind="stable")
    size = batch_size(data.take(order[-1:])[0])
    if lengths is None:
        parts = [order[part] for part in chunks(len(data), size)]
    else:
        parts = list(_of_like_length(order, lengths, size))
    with closing(prefetched(lambda part: data.take(part)[0], parts)) as batches:
        found = outputs_of(network, batches, size if lengths is None else None)
    if lengths is None:
        return found
    places = np.argsort(order)
    return tuple(each[places] for each in found) if isinstance(found, tuple) else found[places]


def _of_like_length(order: Array, lengths: Array, most: int) -> Iterator[Array]:
    """``order``, in which ``lengths`` rise, in parts of ``most`` examples or MOST_STEPS steps."""
    start = 0
    for place, index in enumerate(order):
        count = place - start + 1
        if count > 1 and (count > most or count * int(lengths[index]) > MOST_STEPS):
            yield order[start:place]
            start = place
    yield order[start:]


def block_outputs(network: HybridBlock, data: Dataset, device: Context) -> Any:
    """``outputs`` as it was in algoshelf 0.1, of a Gluon block on ``device``."""
    return outputs(GluonNetwork(network, device), data)
