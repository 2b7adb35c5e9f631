"""docs/diabetes.md is true: a stranger's table becomes a model that can be deployed."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core.conformance import CHECKS

from tests.conftest import ROOT
from tests.project.test_docs import blocks
from tests.project.test_extending import environment

__all__ = ["environment"]

PAGE = ROOT / "docs" / "diabetes.md"
TABLE = Path(__file__).parent / "data" / "diabetes.csv"
MAX_LINES = 60
MODULE = Path("diabetes-progression") / "diabetes_progression"
SAMPLE, MODEL = MODULE / "sample", "models/diabetes-progression"


@pytest.fixture(scope="module")
def folder(
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    """Where all commands of the page were run, and what they printed."""
    folder = tmp_path_factory.mktemp("diabetes")
    shutil.copy(TABLE, folder)
    (module,) = blocks(PAGE, "python")
    created, *others = blocks(PAGE, "sh")
    shown = run(created, folder, environment)
    (folder / MODULE / "__init__.py").write_text(module)
    return folder, shown + "".join(run(each, folder, environment) for each in others)


def run(commands: str, folder: Path, environment: dict[str, str]) -> str:
    shown = ""
    for line in commands.splitlines():
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        shown += done.stdout
    return shown


def test_the_author_writes_less_than_sixty_lines() -> None:
    (module,) = blocks(PAGE, "python")
    assert module.count("\n") < MAX_LINES


def test_the_model_is_about_as_good_as_a_linear_regression(
    folder: tuple[Path, str],
    environment: dict[str, str],
) -> None:
    where, shown = folder
    assert f"diabetes-progression: {len(CHECKS)} of {len(CHECKS)} checks passed" in shown
    (linear,) = re.findall(r"has an error of ([\d.]+) on the same test", PAGE.read_text())
    sample = where / SAMPLE
    train, test = (
        np.loadtxt(sample / f"{name}.csv", delimiter=",", skiprows=1) for name in ("train", "test")
    )
    one = np.ones((len(train), 1))
    weights = np.linalg.lstsq(np.hstack([one, train[:, 1:]]), train[:, 0], rcond=None)[0]
    estimated = weights[0] + test[:, 1:] @ weights[1:]
    error = float(np.sqrt(np.mean((estimated - test[:, 0]) ** 2)))
    assert error == pytest.approx(float(linear), abs=0.05)
    found = json.loads(
        run(
            "algoshelf evaluate models/diabetes-progression --importances --json",
            where,
            environment,
        )
    )
    assert found["metrics"]["rmse"] < 1.05 * error
    assert found["metrics"]["r2"] > 0.45
    most = [each["name"] for each in found["importances"][:3]]
    assert most[0] == "bmi"
    assert set(most) == {"bmi", "s2", "s5"}
    assert (where / "diabetes.png").read_bytes().startswith(b"\x89PNG")


def test_what_it_leaves_can_be_deployed(
    folder: tuple[Path, str],
    environment: dict[str, str],
) -> None:
    where, _ = folder
    with tarfile.open(where / "packed" / "model.tar.gz") as archive:
        names = {name.lstrip("./") for name in archive.getnames()}
    assert {"model-symbol.json", "model-0000.params", "algorithm.json"} <= names
    rows = list(
        csv.reader(
            (where / "diabetes-progression" / "diabetes_progression" / "sample" / "test.csv").open()
        )
    )
    (where / "asked.csv").write_text("".join(",".join(row[1:]) + "\n" for row in rows[1:6]))
    answers = [
        run(
            f"algoshelf predict models/diabetes-progression asked.csv --engine {engine}",
            where,
            environment,
        )
        for engine in ("mxnet", "onnx")
    ]
    one, other = (
        [json.loads(line)["progression"] for line in answer.splitlines()] for answer in answers
    )
    assert one == pytest.approx(other, rel=1e-4)
    assert np.corrcoef(one, [float(row[0]) for row in rows[1:6]])[0, 1] > 0.5
