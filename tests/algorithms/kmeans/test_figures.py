"""What kmeans says of itself is true: inertia, the choice of restarts, distances, to 1e-6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.algorithms.kmeans import sharding as shards
from algoshelf.core import ArtifactError, Reporter, RunOptions, codecs, recordio_protobuf

from tests.conftest import Algoshelf

from .conftest import blobs, metrics, trained

NEAR = np.array([[-1.0001], [-0.9999], [0.9999], [1.0001]])
TIMES = 1_700_000_000 + np.array([[0.0], [60], [120], [180]] * 5)
DATES = np.array([[20240101.0], [20240102], [20240103], [20240104]] * 5)


def outlier() -> np.ndarray:
    """200 rows in two clouds, and one row very far from them."""
    rng = np.random.default_rng(3)
    clouds = [rng.normal(mean, 2, (100, 2)) for mean in ([20, 5], [50, 15])]
    return np.concatenate([*clouds, [[9_999_999, 0]]])


def far_clouds() -> np.ndarray:
    """Clouds of which no origin is near: float32 tells the rows of the second apart by 1 only."""
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(mean, 1, (100, 2)) for mean in (0, 1e7, 1e7 + 20)])


def by_the_book(x: np.ndarray, k: int, restarts: int = 30) -> float:
    """The least inertia of Lloyd's iterations in float64, from k-means++ starts."""
    rng, found = np.random.default_rng(0), []
    x = x - np.median(x, axis=0)
    for _ in range(restarts):
        c = x[rng.integers(len(x), size=1)]
        while len(c) < k:
            near = np.square(x[:, None] - c).sum(axis=2).min(axis=1)
            c = np.concatenate([c, x[rng.choice(len(x), 1, p=near / near.sum())]])
        for _ in range(100):
            labels = np.square(x[:, None] - c).sum(axis=2).argmin(axis=1)
            c = np.stack(
                [x[labels == j].mean(0) if (labels == j).any() else c[j] for j in range(k)]
            )
        found.append(np.square(x[:, None] - c).sum(axis=2).min(axis=1).sum())
    return min(found)


def written(folder: Path, x: np.ndarray) -> Path:
    path = folder / "x.csv"
    np.savetxt(path, x, delimiter=",", fmt="%.17g")
    return path


class Notes(Reporter):
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.msd: list[float] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def metrics(self, values: Any, *, epoch: int, step: int) -> None:
        self.msd.append(values["train:msd"])


HARD = {"near": (NEAR, 2), "outlier, k = 3": (outlier(), 3), "outlier, k = 5": (outlier(), 5),
        "far clouds": (far_clouds(), 4)}  # fmt: skip


@pytest.mark.parametrize("few", [True, False], ids=["few", "many"])
@pytest.mark.parametrize("name", HARD)
def test_objective_and_evaluate_are_the_least_inertia(
    tmp_path: Path, name: str, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows so few that all is float64, and of rows that are found to need it."""
    if not few:
        monkeypatch.setattr(shards, "FEW_PRODUCTS", 0)
    x, k = HARD[name]
    path = written(tmp_path, x)
    notes = Notes()
    trained(tmp_path / "m", path, None, notes, k=k, restarts=30, tolerance=0)
    least = by_the_book(x, k)
    # from restarts that differ the best may be another optimum: as good or better
    ssd = metrics(tmp_path / "m")["train:ssd"]
    assert ssd <= least * (1 + 1e-6)
    assert ssd > 0.99 * least
    algorithm = KMeans()
    model = algorithm.model_fn(tmp_path / "m")
    evaluation = algorithm.evaluate(model, path)
    assert evaluation.metrics["ssd"] == pytest.approx(ssd, rel=1e-6)
    assert min(notes.msd) == pytest.approx(ssd / len(x), rel=1e-6)
    assert few or any("computing in float64 from here on" in text for text in notes.messages)


@pytest.mark.parametrize("devices", ["cpu:2", "cpu:3"])
@pytest.mark.parametrize("name", HARD)
def test_devices_do_not_change_hard_figures(tmp_path: Path, name: str, devices: str) -> None:
    x, k = HARD[name]
    path = written(tmp_path, x)
    settings = {"k": k, "restarts": 3}
    one = trained(tmp_path / "1", path, **settings)
    more = trained(tmp_path / "n", path, RunOptions(devices=devices), **settings)
    assert more == one


def test_hosts_find_what_one_finds(algoshelf: Algoshelf, tmp_path: Path) -> None:
    x = outlier()
    path = written(tmp_path, x)
    trained(tmp_path / "one", path, k=5, restarts=10)
    flags = ("--k", 5, "--restarts", 10, "--hosts", 2, "--output", "two")
    result = algoshelf("train", "kmeans", "--train", path, *flags)
    assert result.code == 0, result.stderr
    one, two = (metrics(tmp_path / name)["train:ssd"] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-6)


def test_mini_batches_report_the_inertia_of_their_centroids(tmp_path: Path) -> None:
    x = outlier()
    path = written(tmp_path, x)
    trained(tmp_path / "m", path, k=3, batch_size=50, restarts=5, max_iterations=5)
    algorithm = KMeans()
    found = algorithm.evaluate(algorithm.model_fn(tmp_path / "m"), path).metrics["ssd"]
    assert metrics(tmp_path / "m")["train:ssd"] == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("form", ["csv", "npy", "rec"])
@pytest.mark.parametrize("memory", ["in memory", "on disk"])
@pytest.mark.parametrize("x", [TIMES, DATES], ids=["times", "dates"])
def test_whole_numbers_beyond_float32_are_told_apart(
    tmp_path: Path, x: np.ndarray, form: str, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x.{form}"
    if form == "npy":
        np.save(path, x.astype(np.int64))
    elif form == "csv":
        written(tmp_path, x)
    else:
        path.write_bytes(b"".join(map(record_of_float64, x)))
    if memory == "on disk":
        x = np.tile(x, (10_000, 1))  # 800 kB in float32
        np.save(path.with_suffix(".npy"), x)
        path = path.with_suffix(".npy")
    settings = {"k": 4, "restarts": 5, "memory_mb": 1}
    notes = Notes()
    trained(tmp_path / "m", path, None, notes, **settings)
    assert metrics(tmp_path / "m")["train:ssd"] == 0
    assert any("column 1: values are too large for float32" in text for text in notes.messages)
    algorithm = KMeans()
    model = algorithm.model_fn(tmp_path / "m")
    distinct = np.unique(x, axis=0)
    bodies = {
        codecs.CSV: codecs.encode_csv(distinct.tolist()),
        codecs.JSON: json.dumps(distinct.tolist()).encode(),
        codecs.NPY: codecs.encode_npy(distinct),
        codecs.RECORDIO_PROTOBUF: b"".join(map(record_of_float64, distinct)),
    }
    for content_type, body in bodies.items():
        answers = algorithm.predict_fn(algorithm.input_fn(body, content_type), model)
        assert sorted(answers.clusters) == [0, 1, 2, 3], content_type
        assert answers.distances.max() == 0


def record_of_float64(row: np.ndarray) -> bytes:
    """A record of RecordIO-protobuf with a tensor of float64."""
    values = row.astype("<f8").tobytes()
    narrow = recordio_protobuf._field(1, values)  # Float64Tensor.values
    value = recordio_protobuf._field(3, narrow)  # Value.float64_tensor
    entry = recordio_protobuf._field(1, b"values") + recordio_protobuf._field(2, value)
    return recordio_protobuf.frame(recordio_protobuf._field(1, entry))


def test_ordinary_rows_need_no_offset(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", blobs())
    trained(tmp_path / "m", tmp_path / "x.npy", k=20, restarts=1)
    assert json.loads((tmp_path / "m" / "algorithm.json").read_text())["encoding"] == {}


@pytest.mark.parametrize(
    "wrong", [{"offset": [1.0]}, {"offset": ["1", 2]}, {"centroids": [[1, 2]]}, {"offset": 7}]
)
def test_an_artifact_whose_offset_does_not_fit_is_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    trained(tmp_path / "m", written(tmp_path, outlier()), k=3, restarts=1)
    path = tmp_path / "m" / "algorithm.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "encoding": wrong}))
    with pytest.raises(ArtifactError, match=f"encoding: {next(iter(wrong))}: expected finite"):
        KMeans().model_fn(tmp_path / "m")


def test_the_log_says_which_restart_it_is_at(tmp_path: Path) -> None:
    notes = Notes()
    trained(tmp_path / "m", written(tmp_path, TIMES), None, notes, k=3, restarts=3)
    told = [text for text in notes.messages if text.startswith("restart")]
    assert told == ["restart 1 of 3", "restart 2 of 3", "restart 3 of 3"]


def test_fewer_different_rows_than_clusters_are_warned_of(tmp_path: Path) -> None:
    path = written(tmp_path, np.repeat([[1.0, 1], [2, 2], [3, 3]], 2, axis=0))
    for batch in (0, 2):
        notes = Notes()
        trained(tmp_path / "m", path, None, notes, k=5, batch_size=batch)
        assert any("warning: only 3 of 5 clusters contain rows" in text for text in notes.messages)
        notes = Notes()
        trained(tmp_path / "m", path, None, notes, k=3, restarts=10)
        assert not any("warning" in text for text in notes.messages)
