"""The search that spares products answers what all products would, whatever it knew before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import search
from algoshelf.algorithms.kmeans.search import Search
from algoshelf.core import RunOptions, Stopped

from .conftest import blobs, trained
from .test_training import Reports

K = 80
WIDE: dict[str, Any] = {"k": K, "restarts": 1, "max_iterations": 6, "init": "random"}


def searching(rows: np.ndarray) -> Search:
    """Over ``rows`` in two blocks."""
    return Search(
        np.split(rows, [1000]), [np.square(part).sum(1) for part in np.split(rows, [1000])]
    )


def by_the_book(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The closest of float32 ``centroids``, by the differences in float64; of equals the first."""
    held = centroids.astype(np.float32).astype(np.float64)
    apart = [np.square(rows.astype(np.float64) - each).sum(axis=1) for each in held]
    found: np.ndarray = np.argmin(apart, axis=0)
    return found


@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.1, 10])
def test_labels_are_those_of_all_products_however_centroids_move(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "CHUNK_NUMBERS", 300 * 64)
    rows = blobs(2500, 64, K)
    rows[:40] = 0.5 * (rows[100:140] + rows[200:240])  # halfway between what are centroids
    rng = np.random.default_rng(0)
    centroids = np.concatenate([rows[100:140], rows[200:238], rows[100:102]]).astype(np.float64)
    seek = searching(rows)
    labels = [np.full(1000, K, np.int32), np.full(1500, K, np.int32)]
    for _ in range(6):
        labels = seek.closest(centroids, labels)
        np.testing.assert_array_equal(np.concatenate(labels), by_the_book(rows, centroids))
        centroids = centroids + scale * rng.normal(size=centroids.shape) * rng.random((K, 1)) ** 4


def test_what_does_not_move_needs_no_products(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = blobs(2500, 64, K)
    seek, looked = searching(rows), []
    products = search._products

    def counted(part: np.ndarray, group: Any) -> np.ndarray:
        looked.append(len(part) * len(group.members))
        return products(part, group)

    monkeypatch.setattr(search, "_products", counted)
    labels = [np.full(1000, K, np.int32), np.full(1500, K, np.int32)]
    labels = seek.closest(rows[:K].astype(np.float64), labels)
    assert sum(looked) == rows.shape[0] * K
    looked.clear()
    seek.closest(rows[:K].astype(np.float64), labels)
    assert sum(looked) < 0.02 * rows.shape[0] * K


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows so wide and many that they are computed with in float32."""
    path = tmp_path_factory.mktemp("wide") / "wide.npy"
    np.save(path, blobs(4000, 64, K))
    return path


def test_devices_and_interruptions_leave_no_trace(tmp_path: Path, wide: Path) -> None:
    expected = trained(tmp_path / "m", wide, RunOptions(devices="cpu"), **WIDE)["model-0000.params"]
    more = trained(tmp_path / "d", wide, RunOptions(devices="cpu:3"), **WIDE)
    assert more["model-0000.params"] == expected
    run = RunOptions(checkpoints=tmp_path / "c")
    for at in (1, 3):
        with pytest.raises(Stopped):
            trained(tmp_path / "n", wide, run, Reports(interrupt_at=at), **WIDE)
    assert trained(tmp_path / "n", wide, run, **WIDE)["model-0000.params"] == expected
