"""The bundled sample: few series that move together, alone, on two hosts and in 8 bits.

No figure of its test is asked for here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.forecasting import SAMPLE
from algoshelf.core import mx

from tests.conftest import InProcess
from tests.core.training.test_cluster import PROGRAM

ROWS = (SAMPLE / "train.csv").read_text().splitlines()
OPTIONS = ("--prediction-length", 12)


def until(path: Path, last: str) -> Path:
    """The months of the training part up to ``last``."""
    rows = [row for row in ROWS[1:] if row.split(",")[1] <= last]
    path.write_text("\n".join([ROWS[0], *rows]))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the years to 2005 in train.csv, to 2006 in next.csv, and the model in ``m``."""
    folder = tmp_path_factory.mktemp("few")
    train = until(folder / "train.csv", "2005-12")
    until(folder / "next.csv", "2006-12")
    done = InProcess(folder)("train", "forecasting", *OPTIONS, "--train", train, "--output", "m")
    assert done.code == 0, done.stderr
    return folder


def figures(folder: Path, *more: object) -> dict[str, Any]:
    asked = ("evaluate", "m", "--test", "next.csv", "--json", *more)
    document: dict[str, Any] = InProcess(folder)(*asked).json
    return document


def test_few_series_that_move_together_are_forecast_better_than_by_their_season(
    folder: Path,
) -> None:
    """Unemployment rose in all industries, then fell: where the network took that for a rule, its
    error was twice that of the year before.
    """
    found = figures(folder)
    for baseline in found["baselines"]:
        assert found["metrics"]["sql"] < baseline["metrics"]["sql"], baseline["name"]


def test_an_export_in_8_bits_forecasts_as_well(folder: Path) -> None:
    channels = ("--train", "train.csv", "--test", "next.csv")
    plain = InProcess(folder)("export", "m", "--json")
    assert plain.code == 0, plain.stderr
    told = InProcess(folder)("export", "m", "--quantize", "int8", *channels, "--json")
    assert told.code == 0, told.stderr
    cost = told.json["quantized"]
    assert cost["after"]["bytes"] < cost["before"]["bytes"] / 2
    found = figures(folder, "--engine", "onnx")["metrics"]
    assert found == pytest.approx(cost["after"]["metrics"])
    assert found["sql"] == pytest.approx(
        figures(folder, "--engine", "mxnet")["metrics"]["sql"], 0.05
    )


@pytest.mark.apart
@pytest.mark.parametrize("network", ["tide", "deepar"])
def test_two_hosts_learn_what_one_learns(network: str, tmp_path: Path) -> None:
    train = until(tmp_path / "train.csv", "2005-12")
    for name, more in (("one", ()), ("two", ("--hosts", "2"))):
        command = [
            PROGRAM, "train", "forecasting", "--network", network, *map(str, OPTIONS),
            "--train", str(train), "--epochs", "2", "--num-eval-samples", "10", "--output", name,
            *more,
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, two = (mx.nd.load(str(tmp_path / name / "model-0000.params")) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, expected in one.items():
        assert np.allclose(two[name].asnumpy(), expected.asnumpy(), rtol=1e-5, atol=1e-5), name
