"""tabular: rows of numbers, categories and gaps, to classes or numbers.

From top to bottom: hyperparameters, what both tasks share, the two tasks, the algorithm that is one
or the other by its target. ``networks.py`` has the networks, ``data.py`` the bins of numbers.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Sequence, Union

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Array,
    Classifier,
    ClassProbabilities,
    ContentType,
    Context,
    Dataset,
    Evaluation,
    Example,
    HybridBlock,
    Model,
    Objective,
    PublishedResult,
    Regressor,
    Run,
    Search,
    SupervisedAlgorithm,
    TargetValues,
    TrainingHyperparameters,
    codecs,
    hookimpl,
    supervised_channels,
)
from ...core.algorithm.base import Draw
from ...core.artifact.metadata import Metadata
from ...core.data.inferring import Overrides
from ...core.data.schema import Schema, read_table
from ...core.data.sources import FORMATS
from ...core.tasks.classification import described
from ...core.tasks.imbalance import ImbalanceHyperparameters
from ...core.tasks.regression import columns
from ...core.training.together import examples_of_all
from . import data as tables
from .data import BinnedTable, LogTargets

if TYPE_CHECKING:
    from .networks import OfRows

SAMPLE = Path(__file__).parent / "sample"
MEMORY = 2**30  # bytes of rows; more lie on disk
DEEP = ("mlp", "resnet")


class TabularHyperparameters(ImbalanceHyperparameters, TrainingHyperparameters):
    target: str = Field(
        "",
        max_length=1000,
        description="Column to be estimated, by its heading or its number from 1; several for "
        "several numbers, with commas. Empty means the one called target, label, class, y or "
        "outcome; without headings, the first.",
    )
    target_kind: Literal["auto", "classes", "numbers"] = Field(
        "auto",
        description="What the target holds: classes, numbers to be estimated, or as its values "
        "say (auto: words are classes, and so are few different whole numbers).",
    )
    categorical: str = Field(
        "",
        max_length=100_000,
        description="Columns of numbers whose values are names, such as postal codes: headings or "
        "numbers from 1, with commas.",
    )
    numeric: str = Field(
        "",
        max_length=100_000,
        description="Columns whose cells are numbers, and gaps where they are none: headings or "
        "numbers from 1, with commas.",
    )
    ignore: str = Field(
        "",
        max_length=100_000,
        description="Columns to leave out: headings or numbers from 1, with commas.",
    )
    id: str = Field(
        "",
        max_length=100_000,
        description="Columns that name a row, which nothing is learned from: headings or numbers "
        "from 1, with commas.",
    )
    rare: int = Field(
        2,
        ge=1,
        le=1_000_000,
        description="Number of rows below which a category counts as one of the others.",
    )
    date_order: Literal["auto", "day", "month"] = Field(
        "auto",
        description="What comes first in dates such as 03/04/2020: the day, the month, or as the "
        "dates themselves say; of a column that leaves it open, as another column says, or else "
        "the day (auto).",
    )
    log_target: bool = Field(
        False,
        description="Learn the logarithms of the numbers to be estimated, which must be above 0: "
        "for prices and amounts, whose errors are in percent.",
    )
    network: Literal["mlp", "resnet", "linear"] = Field(
        "mlp",
        description="Network architecture: mlp (a mean of small networks), resnet (the same with "
        "residual connections) or linear (logistic, multinomial or linear regression).",
    )
    members: int = Field(
        8,
        ge=1,
        le=256,
        description="Number of small networks whose mean is the answer (mlp and resnet).",
    )
    hidden: int = Field(
        64, ge=1, le=4096, description="Number of units in a layer of each (mlp and resnet)."
    )
    layers: int = Field(
        2, ge=1, le=20, description="Number of hidden layers of each (mlp and resnet)."
    )
    bins: int = Field(
        128,
        ge=0,
        le=1024,
        description="Largest number of bins of a number, within each of which its effect is "
        "linear; of few rows at most one for 200, but 8. 0 means that it is linear throughout.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout: fraction of the hidden units set to zero in each step.",
    )
    penalty: float = Field(
        0.2,
        ge=0,
        le=1e6,
        description="L2 penalty on the weights, which counts as so many examples: where "
        "weight_decay is 0, it is this by the number of examples.",
    )
    epochs: int = Field(12, ge=1, le=10_000, description="Number of passes over the training data.")
    batch_size: int = Field(
        0,
        ge=0,
        le=65_536,
        description="Number of examples in one training step, over all devices and hosts. 0 means "
        "by their number: a 64th of them, from 32 to 256.",
    )
    learning_rate: float = Field(
        4e-3, gt=0, le=100, description="Peak learning rate, reached at the end of the warm-up."
    )

    search_space = {
        **{
            name: space
            for name, space in TrainingHyperparameters.search_space.items()
            if name != "weight_decay"
        },
        "learning_rate": Search(1e-3, 2e-2, log=True),
        "batch_size": Search(choices=(64, 128, 256, 512)),
        "members": Search(4, 32, log=True, where={"network": DEEP}),
        "hidden": Search(16, 256, log=True, where={"network": DEEP}),
        "layers": Search(1, 4, where={"network": DEEP}),
        "dropout": Search(0.0, 0.5, where={"network": DEEP}),
        "bins": Search(8, 256, log=True),
        "penalty": Search(0.01, 10, log=True),
    }

    def overrides(self) -> Overrides:
        """What of the columns the user decides."""
        return Overrides(**{each.name: getattr(self, each.name) for each in fields(Overrides)})

    @property
    def voices(self) -> int:
        """How many answers the network gives of which the mean counts."""
        return 1 if self.network == "linear" else self.members


class _OfTables(SupervisedAlgorithm[TabularHyperparameters]):
    """What both tasks do with a table."""

    name = "tabular"
    task = "tabular"
    summary = (
        "Learns from tables of numbers, categories and gaps: classes, or numbers to be estimated."
    )
    Hyperparameters = TabularHyperparameters
    channels = supervised_channels(*FORMATS)
    mixed_tables = True
    accepts = (
        ContentType(
            codecs.JSON,
            "Rows as objects by column, or as lists of cells; null is a gap.",
            '{"instances": [{"age": 39, "education": "Bachelors", "hours-per-week": null}]}',
        ),
        ContentType(codecs.JSONLINES, "One row per line, as in JSON.", '{"age": 39, …}'),
        ContentType(
            codecs.CSV,
            "One row per line, with or without the target; an empty cell is a gap.",
            "39,State-gov,77516,Bachelors,13,Never-married,Adm-clerical,Not-in-family,White,Male,"
            "2174,0,,United-States",
        ),
    )
    objective = Objective("validation:loss", maximize=False)
    published = (
        PublishedResult(
            "test:accuracy",
            0.859,
            "Adult, official test part without its rows with gaps",
            "NBTree, 85.90 +- 0.28: adult.names of UCI, after R. Kohavi, KDD 1996",
        ),
    )
    check_hyperparameters = {"epochs": 2, "members": 2, "hidden": 16, "bins": 16}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: TabularHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> BinnedTable:
        table = read_table(path)
        if encoding is None:
            schema, facts = Schema.with_facts(table, hyperparameters.overrides())
            rows = schema.dataset(table, MEMORY)
            found = tables.binned(rows, hyperparameters.bins, hyperparameters.log_target)
            found = replace(found, facts=facts)
        else:
            schema = tables.schema_in(encoding)
            borders = tables.borders_in(encoding, schema)
            found = BinnedTable(
                schema.dataset(table, MEMORY), borders, bool(encoding.get(tables.LOGARITHMS))
            )
        tables.check_logarithms(found, path)
        return found

    def told(self, data: Dataset) -> Mapping[str, Any]:
        assert isinstance(data, BinnedTable)
        return {**data.encoding, tables.FACTS: data.facts}

    def united(
        self,
        encodings: Sequence[Mapping[str, Any]],
        hosts: Sequence[str],
        hyperparameters: TabularHyperparameters,
    ) -> Mapping[str, Any]:
        return tables.united_encoding(encodings, hosts, hyperparameters.rare)

    def described(self, data: Dataset, run: Run[TabularHyperparameters]) -> Dataset:
        assert isinstance(data, BinnedTable)
        return tables.binned_together(data, run.hyperparameters.bins, run.cluster)

    def network(self, hyperparameters: TabularHyperparameters, data: Dataset) -> HybridBlock:
        from . import networks

        options, schema = hyperparameters, tables.schema_in(data.encoding)
        table = schema.encoded, len(schema.classes) or len(schema.targets)
        if options.network == "linear":
            return networks.Linear(*table)
        return networks.Ensemble(
            *table,
            members=options.members,
            hidden=options.hidden,
            layers=options.layers,
            dropout=options.dropout,
            residual=options.network == "resnet",
        )

    def of_rows(
        self, network: HybridBlock, train: Dataset, run: Run[TabularHyperparameters]
    ) -> OfRows:
        """``network``, which learns from encoded rows of ``train``, as one of rows."""
        from . import networks

        schema = tables.schema_in(train.encoding)
        borders = tables.borders_in(train.encoding, schema)
        encoded = networks.Encoded(schema.encoded, borders, tables.gaps_of(schema))
        encoded.initialize(ctx=list(run.devices))
        return networks.OfRows(encoded, network)

    def settled(self, train: Dataset, run: Run[TabularHyperparameters]) -> TabularHyperparameters:
        options = run.hyperparameters
        examples = examples_of_all(run.cluster, train, run.data[TRAIN])
        devices = len(run.devices) * run.cluster.count
        chosen: dict[str, Any] = {}
        if not options.batch_size:
            chosen["batch_size"] = tables.batch_for(examples, devices)
        if not options.weight_decay:
            chosen["weight_decay"] = min(1.0, options.penalty / examples)
        if chosen:
            shown = ", ".join(f"{name} {value:.3g}" for name, value in chosen.items())
            run.reporter.message(f"by the number of examples: {shown}")
        return options.model_copy(update=chosen)

    def example(self, data: Dataset) -> Example:
        schema = tables.schema_in(data.encoding)
        row = data.take(np.zeros(1, np.int64))[0][0]
        body = codecs.encode_json({"instances": [tables.record_of(schema, row)]}).decode()
        return Example(content_type=codecs.JSON, body=body)

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Any], int]:
        """The rows with their cells as they stand there, and the categories of today."""
        assert isinstance(model, TableModel)
        rows = read_table(path).records([column.name for column in model.schema.features])
        return [rows[index] for index in draw(len(rows))], len(rows)

    def columns(self, metadata: Metadata) -> Mapping[str, Sequence[int]]:
        return tables.columns_of(tables.schema_in(metadata.encoding))

    def model_fn(self, model_dir: str | Path, device: Context | None = None) -> Model:
        model = super().model_fn(model_dir, device)
        return TableModel(**vars(model), schema=tables.schema_in(model.metadata.encoding))

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[Any]:
        """The rows of a request: objects by column, or lists of cells."""
        content_type = codecs.check_content_type(request_content_type, self.accepted_media_types())
        return codecs.decode_records(request_body, content_type)


@dataclass(frozen=True)
class TableModel(Model):
    """A loaded model with the columns of its table."""

    schema: Schema


class TabularClassifier(_OfTables, Classifier[TabularHyperparameters]):
    """Where the target names classes."""

    def loss(self, hyperparameters: TabularHyperparameters) -> Any:
        from . import networks

        return networks.of_each_member(super().loss(hyperparameters), hyperparameters.voices)

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[TabularHyperparameters]
    ) -> tuple[HybridBlock, Dataset]:
        from . import networks

        whole = self.of_rows(network, train, run)
        learned = tables.EncodedRows(train, whole.encoded.of)
        return networks.averaged(whole, are_classes=True), learned

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        found = super().score(outputs, data)
        found.metrics["loss"] = found.metrics["cross_entropy"]
        return found


class TabularRegressor(_OfTables, Regressor[TabularHyperparameters]):
    """Where the target is a number, or several targets are."""

    def loss(self, hyperparameters: TabularHyperparameters) -> Any:
        from . import networks

        return networks.of_each_member(super().loss(hyperparameters), hyperparameters.voices)

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[TabularHyperparameters]
    ) -> tuple[HybridBlock, Dataset]:
        from . import networks

        whole = self.of_rows(network, train, run)
        mean = networks.averaged(whole, are_classes=False)
        in_logarithms = bool(train.encoding.get(tables.LOGARITHMS))
        targets = LogTargets(train) if in_logarithms else train
        model, learned = super().scale_targets(mean, targets, run)
        model = networks.in_powers(model) if in_logarithms else model
        return model, tables.EncodedRows(learned, whole.encoded.of)

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        found = super().score(outputs, data)
        found.metrics["loss"] = found.metrics["rmse"]
        if data.encoding.get(tables.LOGARITHMS):
            errors = np.log(outputs.reshape(len(outputs), -1)) - np.log(columns(data.labels()))
            root = np.sqrt(np.square(errors).mean(axis=0)).mean()
            found.metrics["loss"] = found.metrics["rmse_log"] = float(root)
        return found


CLASSES, NUMBERS = TabularClassifier(), TabularRegressor()
Answers = Union[ClassProbabilities, TargetValues]


def task_of(encoding: Mapping[str, Any]) -> TabularClassifier | TabularRegressor:
    """The task of a table, or of a model, with this ``encoding``."""
    return CLASSES if encoding.get("classes") else NUMBERS


OF_NUMBERS = {
    "loss": "What chooses the epoch that is kept: of classes cross_entropy, of numbers rmse, with "
    "log_target rmse_log.",
    "rmse": "Of numbers: root of the mean squared error, in the target's unit.",
    "mae": "Of numbers: mean absolute error, in the target's unit.",
    "r2": "Of numbers: 1 - squared error / that of answering the mean.",
    "rmse_log": "With log_target: root of the mean squared error of the logarithms.",
}
# What an answer is where numbers are estimated, by the type of the response.
NUMBER_ANSWERS = {
    codecs.JSON: 'Of numbers: {"price": 152.3} each.',
    codecs.JSONLINES: 'Of numbers: {"price": 152.3}.',
    codecs.CSV: "Of numbers: the numbers alone.",
    codecs.NPY: "Of numbers: these, (N, T) float32.",
}


def _of_either(of_classes: ContentType) -> ContentType:
    """What is answered in the form of ``of_classes``, of either task."""
    text = f"{of_classes.description} {NUMBER_ANSWERS[of_classes.name]}"
    return ContentType(of_classes.name, text, of_classes.example)


class Tabular(_OfTables):
    """Either task, by the target: what is known of that is in the encoding."""

    metrics = {
        **Classifier.metrics,
        "train:loss": "Mean loss of the training batches: cross-entropy in nats, or half the "
        "squared error by the target's variance.",
        **described(OF_NUMBERS),
    }
    response_types = tuple(map(_of_either, Classifier.response_types))

    def check_labels(self, labels: Array, data: Dataset, path: Path) -> None:
        task_of(data.encoding).check_labels(labels, data, path)

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[TabularHyperparameters]
    ) -> tuple[HybridBlock, Dataset]:
        return task_of(train.encoding).scale_targets(network, train, run)

    def loss(self, hyperparameters: TabularHyperparameters) -> Any:
        return CLASSES.loss(hyperparameters)

    def weighted(
        self, loss: HybridBlock, train: Dataset, run: Run[TabularHyperparameters]
    ) -> HybridBlock:
        task = task_of(train.encoding)
        return task.weighted(task.loss(run.hyperparameters), train, run)

    def decision(self, train: Dataset, run: Run[TabularHyperparameters]) -> Mapping[str, Any]:
        return task_of(train.encoding).decision(train, run)

    def decided(
        self,
        decision: Mapping[str, Any],
        validate: Callable[[], Evaluation | None],
        run: Run[TabularHyperparameters],
    ) -> Mapping[str, Any]:
        return CLASSES.decided(decision, validate, run)

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        return task_of(data.encoding).score(outputs, data)

    def predict_fn(self, input_data: Sequence[Any], model: Model) -> Answers:
        """The answers to rows as ``input_fn`` gives them."""
        assert isinstance(model, TableModel)
        task = task_of(model.metadata.encoding)
        answers: Answers = task.predict_fn(model.schema.encode(input_data), model)
        return answers

    def output_fn(self, prediction: Answers, accept: str) -> bytes:
        task = CLASSES if isinstance(prediction, ClassProbabilities) else NUMBERS
        return task.output_fn(prediction, accept)  # type: ignore[arg-type]

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterable[str]:
        yield from tables.encoding_faults(metadata.encoding, metadata.input.shape[-1])
        yield from task_of(metadata.encoding).disagreements(metadata, outputs)

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        assert isinstance(model, TableModel)
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        data = self._read(path, TEST, options, model.metadata.encoding)
        chosen = np.unique(np.linspace(0, len(data) - 1, count).astype(np.int64))
        rows, truth = data.take(chosen)
        task = task_of(model.metadata.encoding)
        answers: Answers = task.predict_fn(rows, model)
        lines = []
        for row, verdict in zip(rows, _verdicts(answers, truth)):
            cells = tables.record_of(model.schema, row).items()
            shown = ", ".join(f"{name} {cell}" for name, cell in cells if cell is not None)
            lines.append(f"{verdict:<34}" + textwrap.shorten(shown, max(20, width - 36)))
        return "\n".join(lines)

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.csv.gz", TEST: SAMPLE / "test.csv.gz"}


def _verdicts(answers: Answers, truth: Array) -> Iterator[str]:
    """What each answer says, and what is true where that is something else."""
    if isinstance(answers, ClassProbabilities):
        for (label, probability), code in zip(answers.best(), truth.tolist()):
            known = answers.classes[code]
            yield f"{label} ({probability:.1%})" + ("" if label == known else f", is {known}")
        return
    for named, values in zip(answers.by_name(), columns(truth).tolist()):
        pairs = zip(named.items(), values)
        yield ", ".join(f"{name} {value:,.7g}, is {known:,.7g}" for (name, value), known in pairs)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [Tabular]
