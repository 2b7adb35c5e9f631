"""What the tests of kmeans share: Iris, rows in blobs, and training in-process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import IRIS, KMeans
from algoshelf.core import Reporter, RunOptions, mx, train

# R: kmeans(iris[, 1:4], 3, nstart = 25)$tot.withinss; its sizes are 50, 62 and 38.
IRIS_SSD = 78.851441


@pytest.fixture(scope="session")
def iris() -> np.ndarray:
    """The rows (150, 4) float32."""
    return np.loadtxt(IRIS, delimiter=",", skiprows=1, dtype=np.float32)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``blobs`` as a file."""
    path = tmp_path_factory.mktemp("table") / "blobs.npy"
    np.save(path, blobs())
    return path


def blobs(count: int = 4000, columns: int = 12, k: int = 20) -> np.ndarray:
    """Rows (count, columns) float32 around ``k`` means, which overlap."""
    rng = np.random.default_rng(4)
    means = rng.normal(size=(k, columns)) * 2
    return (means[rng.integers(k, size=count)] + rng.normal(size=(count, columns))).astype("f4")


def trained(
    folder: Path,
    data: Path,
    run: RunOptions | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> dict[str, bytes]:
    """The files of the model that training leaves at ``folder``."""
    options = KMeans.Hyperparameters(**settings)
    train(KMeans(), {"train": data}, options, folder, options=run, reporter=reporter or Reporter())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def metrics(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "algorithm.json").read_text())["metrics"]
    return found


def centroids(folder: Path) -> np.ndarray:
    """(K, D) float32, in the order of the clusters."""
    found: np.ndarray = mx.nd.load(str(folder / "model-0000.params"))["arg:kmeans_centroids"]
    return found.asnumpy()  # type: ignore[attr-defined, no-any-return]
