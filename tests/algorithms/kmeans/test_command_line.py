"""kmeans as users meet it: the command line, several hosts, more data than memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import IRIS, KMeans
from PIL import Image

from tests.conftest import Algoshelf, InProcess

from .conftest import IRIS_SSD, centroids, trained


def test_iris_from_training_to_a_picture(in_process: InProcess, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = in_process("train", "kmeans", "--k", 3)
    assert result.code == 0, result.stderr
    assert "test:ssd=78.8514" in result.stderr
    assert "2 2 2" in result.text  # drawn
    shown = in_process("evaluate", "models/kmeans", "--plot", "clusters.png")
    assert shown.code == 0, shown.stderr
    assert "78.8514" in shown.text
    assert "mean squared distance" in shown.text
    with Image.open(tmp_path / "clusters.png") as picture:
        assert min(picture.size) > 500
    document = in_process("evaluate", "models/kmeans", "--test", IRIS, "--json").json
    assert document["metrics"]["ssd"] == pytest.approx(IRIS_SSD, rel=1e-6)
    assert sorted(group["size"] for group in document["groups"]) == [38, 50, 62]
    assert "scatter" not in document
    asked = in_process("predict", "models/kmeans", "-", "--content-type", "text/csv;label_size=0",
                       stdin=b"5.1,3.5,1.4,0.2\n")  # fmt: skip
    assert asked.json["distance_to_cluster"] == pytest.approx(0.1413, abs=1e-3)
    refused = in_process("evaluate", "models/kmeans", "--test", IRIS.parent / "README.md")
    assert refused.code == 2
    assert "README.md: its headings are not those that the model was trained on" in refused.stderr


@pytest.mark.parametrize("more", [{}, {"init": "k-means||", "batch_size": 1000}])
def test_two_hosts_find_what_one_finds(
    algoshelf: Algoshelf, tmp_path: Path, table: Path, more: dict[str, object]
) -> None:
    settings = {"k": 20, "restarts": 1, "max_iterations": 5, **more}
    trained(tmp_path / "one", table, **settings)
    flags = [part for name, v in settings.items() for part in (f"--{name.replace('_', '-')}", v)]
    result = algoshelf(
        "train", "kmeans", "--train", table, *flags, "--hosts", 2, "--devices", "cpu:2",
        "--output", "two",
    )  # fmt: skip
    assert result.code == 0, result.stderr
    one, two = centroids(tmp_path / "one"), centroids(tmp_path / "two")
    assert np.linalg.norm(one - two) / np.linalg.norm(one) <= 1e-4
    algorithm = KMeans()
    asked = [
        algorithm.predict_fn(np.load(table), algorithm.model_fn(tmp_path / name)).clusters
        for name in ("one", "two")
    ]
    np.testing.assert_array_equal(*asked)


@pytest.mark.parametrize("batch", [0, 1000])
def test_data_larger_than_memory_is_streamed(
    algoshelf: Algoshelf, tmp_path: Path, batch: int
) -> None:
    """160 MB on disk, 8 MB of them allowed in memory: hardly more is held than for 150 rows."""
    large = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(40_000, 1000)
    )
    block = np.random.default_rng(0).normal(size=(1000, 1000)).astype(np.float32)
    for i in range(40):
        large[i * 1000 : (i + 1) * 1000] = np.roll(block, i, axis=1)
    large.flush()
    del large
    settings = ("--k", 5, "--max-iterations", 1, "--memory-mb", 8, "--restarts", 1)
    more = peak(
        algoshelf, "--train", tmp_path / "x.npy", *settings, "--init", "random",
        "--batch-size", batch,
    )  # fmt: skip
    (tmp_path / "x.npy").unlink()
    base = peak(algoshelf, "--train", IRIS)
    assert more - base < 100, f"{more:.0f} MiB beside {base:.0f}"


def peak(algoshelf: Algoshelf, *arguments: object) -> float:
    """The most memory in MiB that a training held."""
    result = algoshelf("train", "kmeans", *arguments, "--metrics", "f.jsonl", OMP_NUM_THREADS="2")
    assert result.code == 0, result.stderr
    path = algoshelf.folder / "f.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    return max(line.get("train:peak_memory_mb", 0.0) for line in found)
