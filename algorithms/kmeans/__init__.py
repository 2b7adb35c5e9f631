"""kmeans: k centroids, and for each row the closest of them.

From top to bottom: hyperparameters, data, training, predictions. ``network.py`` computes distances,
``sharding.py`` distributes the rows over devices and hosts, ``initialization.py`` chooses the first
centroids, ``lloyd.py`` moves them, ``frame.py`` keeps precision by an offset, and ``plane.py``
draws the clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Sequence

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Array,
    Channel,
    ContentType,
    DataError,
    Evaluation,
    Example,
    Hyperparameters,
    InputError,
    InputSignature,
    Model,
    Objective,
    PublishedResult,
    Search,
    UnfitPayloadError,
    codecs,
    hookimpl,
    mx,
    recordio_protobuf,
)
from ...core.algorithm.base import Draw
from ...core.algorithm.evaluation import GroupFigures
from ...core.artifact import adoption
from ...core.artifact.metadata import Metadata
from ...core.artifact.network import GluonNetwork, Network, outputs
from ...core.data.dataset import chunks
from ...core.data.rows import FORMATS, Rows, read_rows
from . import initialization, plane
from .frame import Frame, choose_frame, nearest_in_float64, read_frame
from .lloyd import SAMPLE, START, Fit
from .network import centroids_of, distances
from .sharding import ShardedRows, squared_differences

if TYPE_CHECKING:
    from ...core import Run
    from ...core.artifact.adoption import Adopted, Foreign

IRIS = Path(__file__).parent / "sample" / "iris.csv"
FIELDS = ("closest_cluster", "distance_to_cluster")
EVALUATED = 8192  # rows at a time


class KMeansHyperparameters(Hyperparameters):
    k: int = Field(3, ge=1, le=100_000, description="Number of clusters.")
    init: Literal["k-means++", "k-means||", "random"] = Field(
        "k-means++",
        description="Initialization of the centroids; k-means|| needs the fewest passes over the "
        "data for many clusters.",
    )
    restarts: int = Field(
        3,
        ge=1,
        le=1000,
        description="Number of runs from different initial centroids; the best run is kept.",
    )
    max_iterations: int = Field(
        100, ge=1, le=100_000, description="Largest number of passes over the rows in one run."
    )
    tolerance: float = Field(
        1e-4,
        ge=0,
        le=1,
        description="Convergence: a run ends when a pass moves the centroids by less than this "
        "fraction of the data's variance.",
    )
    batch_size: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="Number of rows in a step of mini-batch k-means. 0 means Lloyd's algorithm, "
        "which uses all rows in every pass.",
    )
    label_size: int = Field(
        0,
        ge=0,
        le=1000,
        description="Number of columns to ignore at the start of each CSV line.",
    )
    memory_mb: int = Field(
        1024,
        ge=1,
        le=10_000_000,
        description="Memory for the rows, in MiB; rows beyond it stay on disk.",
    )

    # Not k: with more clusters every row is closer to one, and that would win.
    search_space = {
        "init": Search(),
        "restarts": Search(1, 10),
        "tolerance": Search(1e-6, 1e-2, log=True),
    }


class KMeans(Algorithm[KMeansHyperparameters]):
    name = "kmeans"
    task = "clustering"
    summary = "Groups rows of numbers into k clusters, each around its mean."
    widget = "rows"
    Hyperparameters = KMeansHyperparameters
    channels = (
        Channel(TRAIN, "Training rows, which are clustered.", FORMATS, required=True),
        Channel(
            TEST,
            "Test rows, measured once after the training. They influence nothing else.",
            FORMATS,
        ),
    )
    accepts = (
        ContentType(codecs.CSV, "One row per line, without labels.", "5.1,3.5,1.4,0.2"),
        ContentType(
            codecs.JSON, "Rows of numbers, also in the form of SageMaker's built-in k-means.",
            '{"instances": [{"features": [5.1, 3.5, 1.4, 0.2]}]}',
        ),
        ContentType(codecs.JSONLINES, "One row per line, as in JSON.", '{"features": [5.1, …]}'),
        ContentType(codecs.NPY, "An array of rows (N, D)."),
        ContentType(codecs.RECORDIO_PROTOBUF, "One row per record."),
    )  # fmt: skip
    response_types = (
        ContentType(
            codecs.JSON, "For each row, the closest cluster and the distance from its centroid.",
            '{"predictions": [{"closest_cluster": 1.0, "distance_to_cluster": 0.14}]}',
        ),
        ContentType(
            codecs.JSONLINES, "One answer per line, as in JSON.",
            '{"closest_cluster": 1.0, "distance_to_cluster": 0.14}',
        ),
        ContentType(codecs.CSV, "One answer per line: the cluster and the distance.", "1.0,0.14"),
        ContentType(
            codecs.RECORDIO_PROTOBUF,
            "One record, whose labels are the two columns: the clusters and the distances.",
        ),
    )  # fmt: skip
    metrics = {
        "train:msd": "Mean squared distance of the training rows from their closest centroids.",
        "train:ssd": "Sum of these squared distances (within-cluster sum of squares, inertia).",
        "test:msd": "Mean squared distance of the test rows from their closest centroids.",
        "test:ssd": "Sum of the test rows' squared distances.",
        "train:throughput": "Rows processed per second.",
        "train:peak_memory_mb": "Peak memory of the process, in MiB.",
    }
    objective = Objective("train:msd", maximize=False)
    published = (
        PublishedResult(
            "train:ssd", 78.85, "Iris, 150 flowers, k = 3",
            "R's kmeans and scikit-learn's KMeans on the same data",
        ),
    )  # fmt: skip

    def sample(self) -> dict[str, Path]:
        return {TRAIN: IRIS, TEST: IRIS}

    def train(self, run: Run[KMeansHyperparameters]) -> None:
        options = run.hyperparameters
        given = {channel: _read(path, options) for channel, path in run.channels.items()}
        rows, test = given[TRAIN], given.get(TEST)
        run.data.update((channel, held.digest) for channel, held in given.items())
        run.reporter.message(", ".join(f"{name}: {_named(held)}" for name, held in given.items()))
        run.cluster.check_alike("the number of columns", rows.shape[1])
        run.check_headings()
        if test is not None:
            _check_columns(test, rows.shape[1], run.channels[TEST])
        body = codecs.encode_csv(rows.take(slice(0, 1))).decode()
        example = Example(content_type=codecs.CSV, body=body)
        signature = InputSignature(shape=(0, rows.shape[1]))
        run.check(signature=signature, example=example)
        run.check_sums()
        shards = ShardedRows(run, rows, options.k)
        if shards.count < options.k:
            raise DataError(
                f"{run.channels[TRAIN]}: {shards.count:,} rows are too few for {options.k:,} "
                "clusters: give a smaller --k"
            )
        shards.centre()
        if not np.isfinite(shards.scatter):
            raise DataError(
                f"{run.channels[TRAIN]}: numbers are too large: their squares exceed float32; "
                "scale the columns down"
            )
        fit = Fit(run, shards, lambda restart: _start(run, shards, restart))
        found = fit.run_all()
        centroids = found.centroids + rows.origin
        frame = choose_frame(centroids, found.sizes, found.inertia)
        for told in (*_warnings(found.sizes), *frame.notes):
            run.reporter.message(told)
        network = distances(centroids - frame.offset, frame.origin)
        network(mx.nd.zeros((1, shards.columns))).wait_to_read()
        figures = {"train:msd": found.inertia / shards.count, "train:ssd": found.inertia}
        if test is not None:
            ssd = size = 0.0
            if not run.cluster.agrees(test.digest, "the test rows") or run.cluster.is_chief:
                answers = Assigner(GluonNetwork(network, mx.cpu()), frame).assigned(test)
                ssd, size = float(answers.squares.sum()), len(test)
            ssd, size = run.cluster.gather([ssd, size], "the figures of the test rows").sum(axis=0)
            figures.update({"test:msd": ssd / size, "test:ssd": ssd})
        if run.cluster.is_chief:
            run.report(figures, epoch=fit.passes, step=fit.step)
        run.save(network, signature=signature, example=example, encoding=frame.encoding())

    def adopt(self, foreign: Foreign) -> Adopted:
        """Centroids (K, D), the only array of SageMaker's built-in k-means, in whatever dtype."""
        wrong = [
            f"--{name}: {self.name} has centroids alone"
            for name, given in (
                ("symbol", foreign.draft),
                ("network", foreign.network),
                ("classes", foreign.classes),
                ("mean, --std, --pixel-range, --channels", foreign.pixels),
            )
            if given
        ]
        arrays = [array for array in foreign.arrays.values() if array.ndim == 2]
        if len(foreign.arrays) != 1 or not arrays:
            shapes = ", ".join(str(array.shape) for array in foreign.arrays.values())
            wrong.append(
                f"{foreign.label}: expected one array of centroids (K, D), as in the model_algo-1 "
                f"of SageMaker's k-means, got {shapes[:200]}"
            )
        elif not np.isfinite(arrays[0]).all():
            wrong.append(f"{foreign.label}: expected finite numbers")
        elif foreign.shape not in ((), arrays[0].shape[1:]):
            wrong.append(f"--input-shape: the centroids have the shape {arrays[0].shape[1:]}")
        if wrong:
            raise InputError(*wrong)
        centroids = arrays[0].astype(np.float64)
        frame = choose_frame(centroids, np.ones(len(centroids)), 0.0)
        network = distances(centroids - frame.offset, frame.origin)
        draft, held = adoption.traced(network)
        row = codecs.encode_csv(centroids[:1].astype(np.float32)).decode()
        return adoption.Adopted(
            draft.written(adoption.INPUT),
            held,
            InputSignature(shape=(0, centroids.shape[1])),
            Example(content_type=codecs.CSV, body=row),
            frame.encoding(),
            {"k": len(centroids)},
            frame.notes,
        )

    def model_fn(self, model_dir: str | Path, device: Any = None) -> Model:
        model = super().model_fn(model_dir, device)
        shape = centroids_of(model.network).shape
        return KMeansModel(**vars(model), frame=read_frame(model.metadata.encoding, *shape))

    def input_fn(self, request_body: bytes, request_content_type: str) -> Array:
        """Rows (N, D) of numbers."""
        content_type = codecs.check_content_type(request_content_type, self.accepted_media_types())
        if content_type == codecs.RECORDIO_PROTOBUF:
            return recordio_protobuf.decode(request_body)
        # in float64: what float32 cannot tell apart may be told from the offset of the artifact
        rows = codecs.decode_array(request_body, content_type, np.float64)
        return rows.reshape(len(rows), -1)

    def predict_fn(self, input_data: Array, model: Model) -> Closest:
        """The closest cluster of each row of ``input_data`` (N, D).

        Raises UnfitPayloadError for another number of columns than in training, and for numbers
        whose distances are beyond float32.
        """
        columns = model.metadata.input.shape[1]
        if input_data.shape[1] != columns:
            raise UnfitPayloadError(
                f"expected rows of {columns} numbers, got rows of {input_data.shape[1]}"
            )
        found = Assigner.of(model).closest(input_data)
        if not np.isfinite(found.distances).all():
            raise UnfitPayloadError("expected numbers whose squares a float32 holds")
        return found

    def output_fn(self, prediction: Closest, accept: str) -> bytes:
        content_type = codecs.negotiate(accept, self.response_media_types())
        # whole numbers as floats, as SageMaker's built-in writes them
        columns = (prediction.clusters.astype(np.float32), prediction.distances)
        if content_type == codecs.RECORDIO_PROTOBUF:
            return recordio_protobuf.encode(label=dict(zip(FIELDS, columns)))
        if content_type == codecs.CSV:
            return codecs.encode_csv(zip(*map(codecs.plain, columns)))
        answers = [dict(zip(FIELDS, pair)) for pair in zip(*map(codecs.plain, columns))]
        return codecs.encode_answers(answers, content_type)

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        rows = self._rows(model, path)
        answering = Assigner.of(model)
        answers, centroids = answering.assigned(rows), answering.centroids
        sizes = np.bincount(answers.clusters, minlength=len(centroids))
        squares = np.bincount(answers.clusters, answers.squares, minlength=len(sizes))
        return Evaluation(
            examples=len(rows),
            metrics={"msd": squares.sum() / len(rows), "ssd": float(squares.sum())},
            groups=tuple(
                GroupFigures(f"cluster {i}", int(size), float(square / max(1, size)))
                for i, (size, square) in enumerate(zip(sizes, squares))
            ),
            scatter=plane.project(rows, answers.clusters, centroids),
        )

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Array], int]:
        rows = self._rows(model, path)
        return list(rows.take(np.array(draw(len(rows)), np.int64), np.float64)), len(rows)

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        rows = self._rows(model, path)
        answering = Assigner.of(model)
        answers, centroids = answering.assigned(rows), answering.centroids
        return plane.preview(plane.project(rows, answers.clusters, centroids), width)

    def _rows(self, model: Model, path: Path) -> Rows:
        rows = _read(path, self.Hyperparameters.parse(model.metadata.hyperparameters))
        _check_columns(rows, model.metadata.input.shape[1], path)
        return rows

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterator[str]:
        k = self.Hyperparameters.parse(metadata.hyperparameters).k
        if len(metadata.input.shape) != 2 or outputs != ((1, k),):
            yield f"the network does not give {k} distances for each row of numbers"


@dataclass(frozen=True)
class Closest:
    """Answers: the index of the closest cluster of each row (N,), and the distance (N,) float32."""

    clusters: Array
    distances: Array

    def __len__(self) -> int:
        return len(self.clusters)

    def __getitem__(self, part: slice) -> Closest:
        return Closest(self.clusters[part], self.distances[part])


class Assigned(NamedTuple):
    """The closest cluster of each row (N,), and the squared distance (N,) float64 from it."""

    clusters: Array
    squares: Array


@dataclass(frozen=True)
class KMeansModel(Model):
    """A loaded model with the frame in which it answers."""

    frame: Frame


@dataclass(frozen=True)
class Assigner:
    """A ``network`` of the artifact, and the frame in which it answers."""

    network: Network
    frame: Frame

    @classmethod
    def of(cls, model: Model) -> Assigner:
        assert isinstance(model, KMeansModel)
        return cls(model.network, model.frame)

    @property
    def centroids(self) -> Array:
        """(K, D) float64, where the rows lie."""
        if self.frame.centroids is not None:
            return self.frame.centroids
        held: Array = centroids_of(self.network) + self.frame.offset
        return held

    def closest(self, rows: Array) -> Closest:
        """The answers for ``rows`` (N, D)."""
        if self.frame.centroids is not None:
            clusters, distances = nearest_in_float64(rows, self.frame.centroids)
            return Closest(clusters, distances.astype(np.float32))
        if self.frame.offset.any():
            rows = rows.astype(np.float64) - self.frame.offset
        found = outputs(self.network, rows.astype(np.float32))
        return Closest(found.argmin(axis=1), found.min(axis=1))

    def assigned(self, rows: Rows) -> Assigned:
        """The answers for all ``rows``, read part by part; their distances in float64."""
        centroids, parts = self.centroids, []
        for chunk in chunks(len(rows), EVALUATED):
            exact = rows.take(chunk, np.float64)
            clusters = self.closest(exact).clusters
            parts.append(Assigned(clusters, squared_differences(exact, centroids, clusters)))
        return Assigned(*map(np.concatenate, zip(*parts)))


def _warnings(sizes: Array) -> list[str]:
    """Warnings about empty clusters, as scikit-learn gives them."""
    filled = int((sizes > 0).sum())
    if filled == len(sizes):
        return []
    return [
        f"warning: only {filled:,} of {len(sizes):,} clusters contain rows, perhaps because the "
        "data has no more distinct rows: give a smaller --k"
    ]


def _read(path: Path, options: KMeansHyperparameters) -> Rows:
    return read_rows(path, skipped=options.label_size, memory=options.memory_mb * 2**20)


def _named(rows: Rows) -> str:
    where = "" if rows.in_memory else ", on disk"
    return f"{len(rows):,} rows of {rows.shape[1]:,} numbers{where}"


def _check_columns(rows: Rows, columns: int, path: Path) -> None:
    if rows.shape[1] != columns:
        count = rows.shape[1]
        more, apart = count > columns, abs(count - columns)
        advice = "--columns or --label-column say which to read" if more else "give those as well"
        raise DataError(
            f"{path}: has {count:,} columns of numbers, the model was trained on {columns:,}: "
            f"{apart:,} too {'many' if more else 'few'}; {advice}"
        )


def _start(run: Run[KMeansHyperparameters], shards: ShardedRows, restart: int) -> Array:
    """The first centroids of a restart; for mini-batches they are chosen from a sample."""
    options = run.hyperparameters
    if options.batch_size:
        shards = _sample(run, shards, restart)
    rng = run.rng(START, restart)
    if options.init == "random":
        return initialization.random_rows(shards, options.k, rng)
    if options.init == "k-means++":
        return initialization.kmeans_plus_plus(shards, options.k, rng)
    return initialization.kmeans_parallel(
        shards, options.k, rng, lambda number, first: run.rng(START, restart, number, first)
    )


def _sample(run: Run[KMeansHyperparameters], shards: ShardedRows, restart: int) -> ShardedRows:
    options = run.hyperparameters
    size = min(shards.count, max(3 * options.batch_size, 10 * options.k))
    chosen = run.rng(SAMPLE, restart).choice(shards.count, size, replace=False, shuffle=False)
    rows = shards.fetch(np.sort(chosen))
    held = Rows((size, shards.columns), "", values=rows)
    return ShardedRows(run, held, options.k, shared=True, exact=shards.exact)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [KMeans]
