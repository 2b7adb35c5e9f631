"""Tables that are learned in seconds, and models of them."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import numpy as np
import pytest

from tests.conftest import InProcess

ROWS = 400
QUICK = (
    "--epochs", 15, "--members", 4, "--hidden", 16, "--batch-size", 32, "--learning-rate", 0.02
)  # fmt: skip


def lines(rows: int = ROWS, seed: int = 1) -> Iterator[str]:
    """Flats: the price follows from size, place and year, and whether it is sold from these too.

    Every tenth size is a gap; one column says nothing.
    """
    rng = np.random.default_rng(seed)
    yield "size,place,built,noise,price,label"
    for row in range(rows):
        size, built = rng.uniform(20, 200), int(rng.integers(1900, 2020))
        place = ("centre", "park", "station")[int(rng.integers(3))]
        worth = {"centre": 2.0, "park": 1.5, "station": 1.0}[place]
        price = 1000 * worth * size * (1 + (built > 1990) / 2) * np.exp(rng.normal(0, 0.02))
        shown = "" if row % 10 == 9 else f"{size:.1f}"
        sold = "yes" if worth + (built > 1990) + rng.normal(0, 0.3) > 2.2 else "no"
        yield f"{shown},{place},{built},{rng.normal():.3f},{price:.0f},{sold}"


@pytest.fixture(scope="session")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flats") / "flats.csv"
    path.write_text("\n".join(lines()) + "\n")
    return path


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other rows of the same kind."""
    path = tmp_path_factory.mktemp("fresh") / "fresh.csv"
    path.write_text("\n".join(lines(seed=2)) + "\n")
    return path


@pytest.fixture(scope="session")
def sold(flats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the label."""
    return trained(tmp_path_factory.mktemp("sold"), flats, "--ignore", "price")


@pytest.fixture(scope="session")
def priced(flats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the price, by its logarithms."""
    options = ("--target", "price", "--ignore", "label", "--log-target", "true", "--epochs", 30)
    return trained(tmp_path_factory.mktemp("priced"), flats, *options)


def trained(folder: Path, table: Path, *options: object) -> Path:
    command = ("train", "tabular", "--train", table, *QUICK, "--output", "m", *options)
    result = InProcess(folder)(*command)
    assert result.code == 0, result.stderr
    return folder / "m"
