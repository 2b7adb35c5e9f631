"""``algoshelf check`` and ``algoshelf new``, as their users meet them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from algoshelf.core.conformance import CHECKS

from tests.conftest import ROOT, Algoshelf, InProcess
from tests.registry.conftest import Site

PLUGIN = (ROOT / "tests" / "registry" / "acme-tabular" / "acme_tabular.py").read_text()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(
        "\n".join(f"{i % 3},{i % 3 == 0:d},{i % 3 == 1:d},{i % 3 == 2:d},0" for i in range(300))
    )
    return path


def test_a_strangers_plugin_passes_on_data_that_is_given(site: Site, rows: Path) -> None:
    site.install("acme-tabular", PLUGIN)
    result = site("check", "acme-tabular", "--channel", f"train={rows}", "--json")
    assert result.code == 0, result.text
    assert result.json["algorithm"] == "acme-tabular"
    assert result.json["ok"] is True
    assert [check["name"] for check in result.json["checks"]] == list(CHECKS)
    assert all(check["ok"] and not check["faults"] for check in result.json["checks"])


def test_of_a_model_that_is_given_the_answers_are_checked(
    algoshelf: Algoshelf, model: Path
) -> None:
    result = algoshelf("check", "mnist-cnn", "--model", model, "--json")
    assert result.code == 0, result.text
    found = {check["name"]: (check["status"], check["reason"]) for check in result.json["checks"]}
    trained = {"training", "determinism", "devices", "interruption", "time-limit", "refused-data"}
    assert {name for name, (status, _) in found.items() if status == "skipped"} == trained
    assert {found[name][1] for name in trained} == {"a model is given: nothing is trained"}
    other = algoshelf("check", "kmeans", "--model", model)
    assert other.code == 2
    assert f"{model} was made by 'mnist-cnn'" in other.stderr
    none = algoshelf("check", "mnist-cnn", "--model", "no-such")
    assert none.code == 2
    assert "no-such: no such model folder" in none.stderr


def test_without_data_it_says_what_to_do_and_what_was_skipped(site: Site) -> None:
    site.install("acme-tabular", PLUGIN)
    result = site("check", "acme-tabular", "--only", "training", "--only", "sample")
    assert result.code == 1
    lines = [line.split()[:2] for line in result.text.splitlines() if not line.startswith(" ")]
    assert lines[:2] == [["failed", "sample"], ["skipped", "training"]]
    assert "-> override sample()" in result.text
    assert "because sample failed" in result.text
    assert "acme-tabular: 0 of 2 checks passed" in result.text


def test_what_a_plugin_raises_is_told_with_its_line(site: Site, rows: Path) -> None:
    site.install("acme-tabular", PLUGIN.replace("nn = mx.gluon.nn", "print('noise'); 1 / 0"))
    channel = f"train={rows}"
    result = site("check", "acme-tabular", "--channel", channel, "--only", "training", "--json")
    assert result.code == 1
    (training,) = result.json["checks"]
    (fault,) = training["faults"]
    line = next(n for n, text in enumerate(PLUGIN.splitlines(), 1) if "mx.gluon.nn" in text)
    assert fault["wrong"] == f"ZeroDivisionError: division by zero (acme_tabular.py, line {line})"
    assert fault["change"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("check", "mnist-cn"),
            "no algorithm 'mnist-cn' in the catalog (did you mean",
        ),
        (("check", "mnist-cnn", "--only", "determinsm"), "(did you mean 'determinism'?)"),
        (("check", "mnist-cnn", "--channel", "rows.csv"), "expected NAME=PATH, got 'rows.csv'"),
        (("new", "Leaf Shapes"), "expected lower-case words joined by hyphens"),
        (("new", "a" * 61), "with at most 60 characters"),
        (("new", "3d-shapes"), "is not a valid name of a Python module"),
        (("new", "class"), "is not a valid name of a Python module"),
        (("new", "tests"), "is not a valid name of a Python module"),
        (("new", "mnist-cnn"), "already in the catalog, from algoshelf"),
        (("new", "numpy"), "a module or package of that name is already installed"),
        (("new", "leaf", "--task", "ranking"), "'ranking' is not one of"),
        (("new", "leaf", "--output", "full"), "full: is not empty"),
        (("new", "leaf", "--output", "full/file"), "full/file: a file of this name exists"),
        (("new", "leaf", "--output", "full/file/x"), "cannot be"),
    ],
)
def test_wrong_usage_is_told_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, in_process: InProcess, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    result = in_process(*arguments)
    assert result.code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "file"]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        pytest.param("leaf-shapes", "classification", marks=pytest.mark.apart),
        ("path", "classification"),
        pytest.param("leaf-sizes", "regression", marks=pytest.mark.apart),
        pytest.param("leaf-marks", "multilabel", marks=pytest.mark.apart),
        pytest.param("leaf-codes", "autoencoder", marks=pytest.mark.apart),
        pytest.param("leaf-likes", "recommendation", marks=pytest.mark.apart),
        pytest.param("leaf-spots", "detection", marks=pytest.mark.apart),
    ],
)
def test_a_new_distribution_passes_by_whatever_name(
    name: str, task: str, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    """Path, say, is imported in the module, whose class then has another name."""
    (tmp_path / name).mkdir()
    written = algoshelf("new", name, "--task", task)
    assert written.code == 0, written.stderr
    every = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
    files = [path for path in every if path.suffix != ".png"]
    assert len(files) == 6
    assert not [path for path in files if "my" in path.name.lower() or "My" in path.read_text()]
    point = tmp_path / "site" / f"{name}-1.dist-info"
    point.mkdir(parents=True)
    (point / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    module = name.replace("-", "_")
    (point / "entry_points.txt").write_text(f"[algoshelf]\n{name} = {module}\n")
    path = os.pathsep.join(map(str, (tmp_path / "site", tmp_path / name, ROOT)))
    checked = algoshelf("check", name, PYTHONPATH=path)
    assert checked.code == 0, checked.text


TESTED = """
from algoshelf.core.conformance import conformance_tests
from acme_tabular import AcmeTabular

class Wordy(AcmeTabular):
    summary = "word " * 100


test_sound = conformance_tests(AcmeTabular, {"train": "rows.csv"})
test_wordy = conformance_tests(Wordy, {"train": "rows.csv"})
"""


def test_pytest_has_a_case_for_each_check(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "acme_tabular.py").write_text(PLUGIN)
    (tmp_path / "test_acme.py").write_text(TESTED)
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "test_acme.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    others = len(CHECKS) - 1
    assert f"1 failed, {len(CHECKS)} passed, {others} skipped" in done.stdout
    assert "-> set it to one line" in done.stdout
    assert "because metadata failed" in done.stdout
    assert "Traceback" not in done.stdout
