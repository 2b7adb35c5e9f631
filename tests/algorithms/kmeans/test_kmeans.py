"""kmeans: the right clusters, the same on any number of devices and hosts, with memory bounded."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import IRIS, KMeans
from algoshelf.algorithms.kmeans.lloyd import Fit
from algoshelf.algorithms.kmeans.spread import Spread
from algoshelf.core import (
    Reporter,
    Run,
    RunOptions,
    Stopped,
    UnfitPayloadError,
    codecs,
    mx,
    recordio_protobuf,
    train,
)
from algoshelf.core.rows import Rows
from algoshelf.core.training.devices import choose_kvstore, parse_devices
from PIL import Image

from tests.conftest import Algoshelf

# R: kmeans(iris[, 1:4], 3, nstart = 25)$tot.withinss; its sizes are 50, 62 and 38.
IRIS_SSD = 78.851441


@pytest.fixture(scope="module")
def iris() -> np.ndarray:
    return np.loadtxt(IRIS, delimiter=",", skiprows=1, dtype=np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kmeans")
    result = Algoshelf(folder)("train", "kmeans", "--output", "m")
    assert result.code == 0, result.stderr
    assert "test:ssd=78.8514" in result.stderr
    return folder / "m"


def centroids(folder: Path) -> np.ndarray:
    found = mx.nd.load(str(folder / "model-0000.params"))["arg:kmeans_centroids"].asnumpy()
    return found[np.lexsort(found.T)]


def fit(x: np.ndarray, first: np.ndarray, devices: str = "cpu", **options: Any) -> np.ndarray:
    """The centroids after ``options``, from a given start."""
    contexts = parse_devices(devices)
    settings = KMeans.Hyperparameters(k=len(first), restarts=1, **options)
    run = Run(
        KMeans(), settings, {}, 1, contexts, Path(), reporter=Reporter(),
        kvstore=choose_kvstore(contexts, "auto")[0],
    )  # fmt: skip
    rows = Rows(x.shape, "", values=x.astype(np.float32))
    spread = Spread(run, rows, len(first))
    spread.centre()
    found, inertia = Fit(run, spread, lambda _: first - rows.origin).run_all()
    apart = np.square(x[:, None] - (found + rows.origin)).sum(axis=2).min(axis=1)
    assert inertia == pytest.approx(apart.sum(dtype=np.float64), rel=1e-4, abs=1e-6)
    return found + rows.origin


def lloyd(x: np.ndarray, first: np.ndarray, iterations: int) -> np.ndarray:
    """By the book, in float64."""
    found = first.astype(np.float64)
    for _ in range(iterations):
        labels = np.square(x[:, None] - found).sum(axis=2).argmin(axis=1)
        found = np.stack([x[labels == k].mean(axis=0) for k in range(len(found))])
    return found


def blobs(count: int = 4000, columns: int = 12, k: int = 20) -> np.ndarray:
    rng = np.random.default_rng(4)
    means = rng.normal(size=(k, columns)) * 2
    return (means[rng.integers(k, size=count)] + rng.normal(size=(count, columns))).astype("f4")


@pytest.mark.parametrize("devices", ["cpu", "cpu:3"])
def test_lloyd_is_lloyd(devices: str) -> None:
    x = blobs()
    found = fit(x, x[:20], devices, max_iterations=8, tolerance=0)
    np.testing.assert_allclose(found, lloyd(x, x[:20], 8), atol=1e-4)


def test_rows_far_from_the_origin_are_told_apart() -> None:
    x = blobs() + np.float32(3000)
    found = fit(x, x[:20], max_iterations=8, tolerance=0)
    np.testing.assert_allclose(found, lloyd(x.astype(np.float64), x[:20], 8), atol=1e-3)


def test_centroids_without_rows_begin_anew_where_rows_are_far() -> None:
    x = np.repeat(np.array([[0.0, 0], [10, 0], [0, 30]]), 5, axis=0) + np.arange(15)[:, None] / 100
    found = fit(x, np.repeat(x[:1], 3, axis=0), max_iterations=20, tolerance=0)
    expected = x.reshape(3, 5, 2).mean(axis=1)
    np.testing.assert_allclose(found[np.argsort(found.sum(axis=1))], expected, atol=1e-5)


def test_more_clusters_than_different_rows_is_no_error() -> None:
    x = np.repeat(np.array([[0.0, 0], [10, 0]]), 5, axis=0)
    found = fit(x, x[:4], max_iterations=20, tolerance=0)
    assert {tuple(row) for row in found.round(6)} == {(0, 0), (10, 0)}


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_iris_by_every_start(algoshelf: Algoshelf, init: str) -> None:
    result = algoshelf("train", "kmeans", "--init", init, "--restarts", 10, "--json")
    assert result.code == 0, result.stderr
    assert result.json["metrics"]["train:ssd"] == pytest.approx(IRIS_SSD, rel=1e-5)
    assert result.json["metrics"]["test:ssd"] == pytest.approx(IRIS_SSD, rel=1e-6)
    assert result.json["metrics"]["test:msd"] == pytest.approx(IRIS_SSD / 150, rel=1e-6)


OPTIONS: dict[str, Mapping[str, Any]] = {
    "k-means++": {"init": "k-means++"},
    "k-means||": {"init": "k-means||"},
    "mini-batch": {"init": "random", "batch_size": 500, "max_iterations": 5},
}


class Quiet(Reporter):
    pass


def trained(
    folder: Path, data: Path, run: RunOptions, reporter: Reporter | None = None, **options: Any
) -> dict[str, bytes]:
    settings = {"k": 20, "restarts": 2, "max_iterations": 15, **options}
    train(
        KMeans(), {"train": data}, KMeans.Hyperparameters(**settings), folder,
        options=run, reporter=reporter or Quiet(),
    )  # fmt: skip
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "blobs.npy"
    np.save(path, blobs())
    return path


@pytest.mark.parametrize("name", OPTIONS)
def test_any_number_of_devices_gives_the_same_bytes(tmp_path: Path, table: Path, name: str) -> None:
    one = trained(tmp_path / "1", table, RunOptions(devices="cpu"), **OPTIONS[name])
    for devices in ("cpu:2", "cpu:4"):
        more = trained(tmp_path / devices, table, RunOptions(devices=devices), **OPTIONS[name])
        assert more["model-0000.params"] == one["model-0000.params"]


@pytest.mark.parametrize("more", [(), ("--devices", "cpu:2"), ("--batch-size", 64)])
def test_two_hosts_find_what_one_finds(
    algoshelf: Algoshelf, tmp_path: Path, table: Path, more: tuple[object, ...]
) -> None:
    """Assignments are the same, and centroids to 1e-4; here k-means|| too has drawn alike."""
    settings = ("--k", 20, "--init", "k-means||", "--restarts", 1, "--max-iterations", 5, *more)
    for name, hosts in (("one", 1), ("two", 2)):
        result = algoshelf(
            "train", "kmeans", "--train", table, *settings, "--hosts", hosts, "--output", name
        )
        assert result.code == 0, result.stderr
    one, two = centroids(tmp_path / "one"), centroids(tmp_path / "two")
    assert np.linalg.norm(one - two) / np.linalg.norm(one) <= 1e-4
    asked = [
        algoshelf("predict", name, table, "--accept", "text/csv").text.splitlines()
        for name in ("one", "two")
    ]
    assert [a.split(",")[0] for a in asked[0]] == [a.split(",")[0] for a in asked[1]]


class Interrupting(Reporter):
    """Sends this process SIGTERM at the n-th report."""

    def __init__(self, at: int) -> None:
        self.left = at

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_interrupted_training_ends_with_the_same_bytes(
    tmp_path: Path, table: Path, name: str
) -> None:
    options = {"tolerance": 0, **OPTIONS[name]}
    expected = trained(tmp_path / "m", table, RunOptions(), **options)
    run = RunOptions(checkpoints=tmp_path / "c")
    for at in (1, 2, 6):
        with pytest.raises(Stopped):
            trained(tmp_path / "n", table, run, Interrupting(at), **options)
        assert not (tmp_path / "n").exists()
    assert trained(tmp_path / "n", table, run, **options) == expected


@pytest.mark.parametrize("limits", [RunOptions(max_runtime=1e-3), RunOptions(target_metric=1e9)])
def test_time_and_target_end_a_training_with_a_model(
    tmp_path: Path, table: Path, limits: RunOptions
) -> None:
    class Steps(Reporter):
        seen: list[int] = []

        def step(self, step: int) -> None:
            self.seen.append(step)

    trained(tmp_path / "m", table, limits, Steps(), tolerance=0)
    assert max(Steps.seen) == 1


def test_mini_batches_come_close_to_lloyd(tmp_path: Path, table: Path) -> None:
    found = {}
    for name, options in (("lloyd", {}), ("batches", {"batch_size": 256})):
        trained(tmp_path / name, table, RunOptions(), **options)
        metadata = json.loads((tmp_path / name / "algorithm.json").read_text())
        found[name] = metadata["metrics"]["train:ssd"]
    assert found["batches"] < 1.1 * found["lloyd"]


def test_data_larger_than_memory_is_streamed(algoshelf: Algoshelf, tmp_path: Path) -> None:
    """400 MB on disk, 8 MB of them allowed in memory: the process stays as small as with 150 rows.

    Large means wide here: for each row Lloyd keeps its label and its length, mini-batch nothing.
    """
    rng = np.random.default_rng(0)
    block = rng.normal(size=(1000, 1000)).astype(np.float32)
    large = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(100_000, 1000)
    )
    for i in range(100):
        large[i * 1000 : (i + 1) * 1000] = np.roll(block, i, axis=1)
    large.flush()
    del large
    base = peak(algoshelf, "--train", IRIS)
    settings = ("--k", 5, "--max-iterations", 1, "--memory-mb", 8, "--restarts", 1)
    for batch in (2000, 0):
        more = peak(
            algoshelf, "--train", tmp_path / "x.npy", *settings, "--init", "random",
            "--batch-size", batch,
        )  # fmt: skip
        assert more - base < 200, f"{more:.0f} MiB beside {base:.0f}"
    (tmp_path / "x.npy").unlink()


def peak(algoshelf: Algoshelf, *arguments: object) -> float:
    result = algoshelf("train", "kmeans", *arguments, "--metrics", "f.jsonl", OMP_NUM_THREADS="2")
    assert result.code == 0, result.stderr
    lines = (algoshelf.folder / "f.jsonl").read_text().splitlines()
    (algoshelf.folder / "f.jsonl").unlink()
    found = [json.loads(line) for line in lines]
    return max(line.get("train:peak_memory_mb", 0.0) for line in found)


def answers(body: bytes, content_type: str) -> list[tuple[float, float]]:
    names = ("closest_cluster", "distance_to_cluster")
    if content_type == codecs.CSV:
        return [tuple(map(float, line.split(","))) for line in body.decode().splitlines()]  # type: ignore[misc]
    if content_type == codecs.JSON:
        records = json.loads(body)["predictions"]
    else:
        records = [json.loads(line) for line in body.splitlines()]
    assert all(tuple(record) == names for record in records)
    return [tuple(record.values()) for record in records]


def test_answers_are_those_of_sagemakers_built_in(model: Path, iris: np.ndarray) -> None:
    algorithm = KMeans()
    loaded = algorithm.model_fn(model)
    found = mx.nd.load(str(model / "model-0000.params"))["arg:kmeans_centroids"].asnumpy()
    apart = np.sqrt(np.square(iris[:, None].astype(np.float64) - found).sum(axis=2))
    sent = {
        codecs.CSV: codecs.encode_csv(iris),
        codecs.JSON: json.dumps({"instances": [{"features": row.tolist()} for row in iris]}),
        codecs.JSONLINES: "\n".join(json.dumps({"features": row.tolist()}) for row in iris),
        codecs.NPY: codecs.encode_npy(iris),
        codecs.RECORDIO_PROTOBUF: recordio_protobuf.encode_rows(iris),
    }
    assert set(sent) == set(algorithm.accepted())
    for content_type, body in sent.items():
        raw = body.encode() if isinstance(body, str) else body
        prediction = algorithm.predict_fn(algorithm.input_fn(raw, content_type), loaded)
        np.testing.assert_array_equal(prediction.clusters, apart.argmin(axis=1))
        np.testing.assert_allclose(prediction.distances, apart.min(axis=1), rtol=1e-4)
    for content_type in (codecs.CSV, codecs.JSON, codecs.JSONLINES):
        shown = answers(algorithm.output_fn(prediction, content_type), content_type)
        assert [cluster for cluster, _ in shown] == prediction.clusters.tolist()
        np.testing.assert_allclose([d for _, d in shown], prediction.distances, rtol=1e-6)
    first = algorithm.output_fn(prediction[:1], codecs.CSV).decode()
    assert first.startswith(f"{prediction.clusters[0]}.0,0.1")
    packed = algorithm.output_fn(prediction, codecs.RECORDIO_PROTOBUF)
    assert b"closest_cluster" in packed
    assert prediction.distances.tobytes() in packed


def test_the_distance_of_a_row_on_its_centroid_is_nothing(model: Path) -> None:
    found = mx.nd.load(str(model / "model-0000.params"))["arg:kmeans_centroids"].asnumpy()
    algorithm = KMeans()
    loaded = algorithm.model_fn(model)
    prediction = algorithm.predict_fn(found, loaded)
    np.testing.assert_array_equal(prediction.clusters, range(3))
    assert prediction.distances.max() < 1e-5
    alone = [algorithm.predict_fn(found[i : i + 1], loaded).clusters[0] for i in range(3)]
    assert alone == [0, 1, 2]
    with pytest.raises(UnfitPayloadError, match="expected rows of 4 numbers, got rows of 3"):
        algorithm.predict_fn(found[:, :3], loaded)


def test_plain_mxnet_serves_the_artifact(model: Path, iris: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", iris)
    code = (
        "import numpy as np; np.bool = np.bool_\n"
        "import mxnet as mx\n"
        f"net = mx.gluon.SymbolBlock.imports(r'{model}/model-symbol.json', ['data'], "
        f"r'{model}/model-0000.params')\n"
        f"d = net(mx.nd.array(np.load(r'{tmp_path}/x.npy'))).asnumpy()\n"
        "print(d.shape, (d.min(axis=1).astype('f8') ** 2).sum())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shape, ssd = done.stdout.rsplit(" ", 1)
    assert shape == "(150, 3)"
    assert float(ssd) == pytest.approx(IRIS_SSD, rel=1e-5)


def test_evaluate_shows_clusters_and_draws_them(
    algoshelf: Algoshelf, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    shown = algoshelf("evaluate", model, "--plot", "clusters.png")
    assert shown.code == 0, shown.stderr
    assert "78.8514" in shown.text
    assert "mean squared distance" in shown.text
    with Image.open(tmp_path / "clusters.png") as picture:
        assert min(picture.size) > 500
    document = algoshelf("evaluate", model, "--test", IRIS, "--json").json
    assert document["metrics"]["ssd"] == pytest.approx(IRIS_SSD, rel=1e-6)
    assert sorted(group["size"] for group in document["groups"]) == [38, 50, 62]
    assert "scatter" not in document


@pytest.mark.parametrize(
    ("content", "settings", "fault"),
    [
        ("1,2\n3,4\n", ("--k", 3), "rows.csv: 2 rows are too few for 3 clusters"),
        ("1,2\n3,x\n", (), "rows.csv: line 2, column 2: 'x' is not a number"),
        ("1,2\n3e30,4\n1,1\n", (), "numbers are too large: their squares exceed float32"),
        ("1,2\n3,4\n", ("--k", 0), "--k: expected a whole number from 1"),
        ("1,2\n3,4\n", ("--k", 2, "--test", IRIS), "has 4 columns, expected 2 as in training"),
    ],
)
def test_wrong_input_is_refused(
    algoshelf: Algoshelf, tmp_path: Path, content: str, settings: tuple[object, ...], fault: str
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    result = algoshelf("train", "kmeans", "--train", "rows.csv", *settings)
    assert result.code == 2
    assert fault in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_labels_in_front_are_left_out(algoshelf: Algoshelf, tmp_path: Path) -> None:
    lines = IRIS.read_text().splitlines()[1:]
    (tmp_path / "rows.csv").write_text("\n".join(f"{i % 7},{line}" for i, line in enumerate(lines)))
    result = algoshelf("train", "kmeans", "--train", "rows.csv", "--label-size", 1, "--json")
    assert result.json["metrics"]["train:ssd"] == pytest.approx(IRIS_SSD, rel=1e-5)
