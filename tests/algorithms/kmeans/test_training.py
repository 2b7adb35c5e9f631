"""kmeans learns what it should, the same on any number of devices, and after an interruption."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import IRIS, KMeans
from algoshelf.algorithms.kmeans.lloyd import Fit
from algoshelf.algorithms.kmeans.sharding import ShardedRows
from algoshelf.core import DataError, InputError, Reporter, Run, RunOptions, Stopped
from algoshelf.core.data.rows import Rows
from algoshelf.core.runtime.devices import choose_kvstore, parse_devices

from .conftest import IRIS_SSD, blobs, metrics, trained


def fit(x: np.ndarray, first: np.ndarray, devices: str = "cpu", **options: Any) -> np.ndarray:
    """The centroids after ``options``, from a given start."""
    contexts = parse_devices(devices)
    settings = KMeans.Hyperparameters(k=len(first), restarts=1, **options)
    run = Run(
        KMeans(), settings, {}, 1, contexts, Path(), reporter=Reporter(),
        kvstore=choose_kvstore(contexts, "auto")[0],
    )  # fmt: skip
    rows = Rows(x.shape, "", values=x.astype(np.float32))
    shards = ShardedRows(run, rows, len(first))
    shards.centre()
    found, _, inertia = Fit(run, shards, lambda _: first - rows.origin).run_all()
    apart = np.square(x[:, None] - (found + rows.origin)).sum(axis=2).min(axis=1)
    assert inertia == pytest.approx(apart.sum(dtype=np.float64), rel=1e-4, abs=1e-4)
    return found + rows.origin


def lloyd(x: np.ndarray, first: np.ndarray, iterations: int) -> np.ndarray:
    """By the book, in float64."""
    found = first.astype(np.float64)
    for _ in range(iterations):
        labels = np.square(x[:, None] - found).sum(axis=2).argmin(axis=1)
        found = np.stack([x[labels == k].mean(axis=0) for k in range(len(found))])
    return found


@pytest.mark.parametrize("devices", ["cpu", "cpu:3"])
def test_lloyd_is_lloyd(devices: str) -> None:
    x = blobs()
    found = fit(x, x[:20], devices, max_iterations=8, tolerance=0)
    np.testing.assert_allclose(found, lloyd(x, x[:20], 8), atol=1e-4)


def test_rows_far_from_the_origin_are_told_apart() -> None:
    x = blobs() + np.float32(3000)
    found = fit(x, x[:20], max_iterations=8, tolerance=0)
    np.testing.assert_allclose(found, lloyd(x.astype(np.float64), x[:20], 8), atol=1e-3)


def test_a_centroid_without_rows_begins_anew_where_a_row_is_far() -> None:
    x = np.repeat([[0.0, 0], [10, 30]], 5, axis=0) + np.arange(10)[:, None] / 100
    found = fit(x, x[[0, 0]], max_iterations=20, tolerance=0)
    np.testing.assert_allclose(found, x.reshape(2, 5, 2).mean(axis=1), atol=1e-5)


def test_more_clusters_than_different_rows_is_no_error() -> None:
    x = np.repeat([[0.0, 0], [10, 0]], 5, axis=0)
    found = fit(x, x[:4], max_iterations=20, tolerance=0)
    assert {tuple(row) for row in found.round(5)} == {(0, 0), (10, 0)}


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_iris_by_every_start(tmp_path: Path, init: str) -> None:
    trained(tmp_path / "m", IRIS, k=3, init=init, restarts=10)
    assert metrics(tmp_path / "m")["train:ssd"] == pytest.approx(IRIS_SSD, rel=1e-5)
    assert metrics(tmp_path / "m")["train:msd"] == pytest.approx(IRIS_SSD / 150, rel=1e-5)


def test_careful_starts_are_better_than_random_ones(tmp_path: Path, table: Path) -> None:
    """One iteration from the start, mean of ten restarts by seeds that differ."""
    found = {}
    for init in ("k-means++", "k-means||", "random"):
        reports = Reports()
        settings = {"k": 20, "init": init, "restarts": 10, "max_iterations": 1}
        trained(tmp_path / init, table, reporter=reports, **settings)
        found[init] = np.mean(reports.msd[:10])
    assert max(found["k-means++"], found["k-means||"]) < found["random"]


class Reports(Reporter):
    """Notes each train:msd; sends this process SIGTERM at one of them."""

    def __init__(self, interrupt_at: int = 0) -> None:
        self.msd: list[float] = []
        self.steps: list[int] = []
        self.interrupt_at = interrupt_at

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.msd.append(values["train:msd"])
        if len(self.msd) == self.interrupt_at:
            signal.raise_signal(signal.SIGTERM)

    def step(self, step: int) -> None:
        self.steps.append(step)


COMMON = {"k": 20, "restarts": 2, "max_iterations": 15}
OPTIONS: dict[str, Mapping[str, Any]] = {
    "k-means++": {**COMMON, "init": "k-means++"},
    "k-means||": {**COMMON, "init": "k-means||"},
    "mini-batch": {**COMMON, "init": "random", "batch_size": 500, "max_iterations": 5},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_any_number_of_devices_gives_the_same_bytes(tmp_path: Path, table: Path, name: str) -> None:
    one = trained(tmp_path / "1", table, RunOptions(devices="cpu"), **OPTIONS[name])
    for devices in ("cpu:2", "cpu:4"):
        more = trained(tmp_path / devices, table, RunOptions(devices=devices), **OPTIONS[name])
        assert more["model-0000.params"] == one["model-0000.params"]


@pytest.mark.parametrize("name", OPTIONS)
def test_an_interrupted_training_ends_with_the_same_bytes(
    tmp_path: Path, table: Path, name: str
) -> None:
    options = {**OPTIONS[name], "tolerance": 0}
    expected = trained(tmp_path / "m", table, **options)
    run = RunOptions(checkpoints=tmp_path / "c")
    for at in (1, 2, 6):
        with pytest.raises(Stopped):
            trained(tmp_path / "n", table, run, Reports(interrupt_at=at), **options)
        assert not (tmp_path / "n").exists()
    assert trained(tmp_path / "n", table, run, **options) == expected


@pytest.mark.parametrize("limits", [RunOptions(max_runtime=1e-3), RunOptions(target_metric=1e9)])
def test_time_and_target_end_a_training_with_a_model(
    tmp_path: Path, table: Path, limits: RunOptions
) -> None:
    reports = Reports()
    assert trained(tmp_path / "m", table, limits, reports, **COMMON)
    assert reports.steps == [1]


def test_a_tolerance_ends_a_training_early(tmp_path: Path, table: Path) -> None:
    found = []
    for tolerance in (0.0, 1e-3):
        reports = Reports()
        trained(tmp_path / "m", table, reporter=reports, k=20, restarts=1, tolerance=tolerance)
        found.append(reports)
    exact, early = found
    assert len(early.steps) < len(exact.steps) < 100
    assert exact.msd == sorted(exact.msd, reverse=True)
    assert early.msd[-1] < 1.02 * exact.msd[-1]


def test_mini_batches_come_close_to_lloyd(tmp_path: Path, table: Path) -> None:
    for batch in (0, 256):
        trained(tmp_path / str(batch), table, batch_size=batch, **COMMON)
    lloyds, batches = (metrics(tmp_path / name)["train:ssd"] for name in ("0", "256"))
    assert batches < 1.1 * lloyds


@pytest.mark.parametrize(
    ("content", "settings", "fault"),
    [
        ("1,2\n3,4\n", {"k": 3}, r"rows\.csv: 2 rows are too few for 3 clusters"),
        ("1,2\n3,x\n", {}, r"rows\.csv: line 2, column 2: 'x' is not a number"),
        ("1,2\n3e30,4\n1,1\n", {}, "numbers are too large: their squares exceed float32"),
        ("1,2\n3,4\n", {"label_size": 2}, r"rows\.csv: has 2 columns, of which 2 are labels"),
    ],
)
def test_wrong_rows_are_refused(
    tmp_path: Path, content: str, settings: dict[str, Any], fault: str
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(DataError, match=fault):
        trained(tmp_path / "m", tmp_path / "rows.csv", **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_sums_are_not_compressed(tmp_path: Path) -> None:
    run = RunOptions(devices="cpu:2", gradient_compression=0.5)
    with pytest.raises(InputError, match="kmeans has no gradients to compress"):
        trained(tmp_path / "m", IRIS, run)


def test_labels_in_front_are_left_out(tmp_path: Path) -> None:
    lines = IRIS.read_text().splitlines()[1:]
    (tmp_path / "rows.csv").write_text("\n".join(f"{i % 7},{line}" for i, line in enumerate(lines)))
    trained(tmp_path / "m", tmp_path / "rows.csv", label_size=1)
    assert metrics(tmp_path / "m")["train:ssd"] == pytest.approx(IRIS_SSD, rel=1e-5)
