"""The wheel in clean environments: what a user gets, not what lies in this checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, Algoshelf, made_once

PLUGIN = ROOT / "tests" / "registry" / "acme-tabular"
QUICK = ("--epochs", 1)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in this checkout, after one of other sources."""

    def make(folder: Path) -> None:
        ignored = shutil.ignore_patterns(".*", "models", "*.egg-info", "__pycache__")
        source = Path(shutil.copytree(ROOT, folder / "source", ignore=ignored))
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, source]
        deleted = source / "core" / "deleted.py"
        deleted.touch()
        subprocess.run(build, check=True, capture_output=True)
        deleted.unlink()
        subprocess.run(build, check=True, capture_output=True)

    return next(made_once(tmp_path_factory, "wheel", make).glob("*.whl"))


def environment(folder: Path, python: str, *requirements: object) -> str:
    """The interpreter of a new environment that holds ``requirements``."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    inside = str(folder / "bin" / "python")
    pip = [inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, *map(str, requirements)], check=True, capture_output=True)
    return inside


@pytest.fixture(scope="session")
def with_cpu(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    def make(folder: Path) -> None:
        plugin = shutil.copytree(PLUGIN, folder / "plugin")  # which pip builds in its place
        environment(folder / "env", sys.executable, f"{wheel}[cpu]", plugin)

    return str(made_once(tmp_path_factory, "with_cpu", make) / "env" / "bin" / "python")


def test_the_wheel_holds_every_package_sample_and_marker(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("core", "algorithms", "registry"):
        assert f"algoshelf/{folder}/py.typed" in inside
        for path in (ROOT / folder).rglob("*"):
            generated = "__pycache__" in path.parts or path.name == "make_sample.py"
            if path.is_file() and not generated:
                assert f"algoshelf/{path.relative_to(ROOT)}" in inside
    assert "algoshelf/core/deleted.py" not in inside
    strangers = {name.split("/")[0] for name in inside} - {"algoshelf"}
    assert all(name.endswith(".dist-info") for name in strangers)
    assert wheel.stat().st_size < 8 * 2**20


def test_the_wheel_trains_evaluates_and_predicts(with_cpu: str, tmp_path: Path) -> None:
    algoshelf = Algoshelf(tmp_path, with_cpu)
    assert algoshelf("train", "mnist-cnn", *QUICK).code == 0
    assert algoshelf("evaluate", "models/mnist-cnn", "--json").json["metrics"]["accuracy"] > 0.7
    assert algoshelf("predict", "models/mnist-cnn").json["label"]


def test_a_third_party_distribution_trains_and_predicts(with_cpu: str, tmp_path: Path) -> None:
    algoshelf = Algoshelf(tmp_path, with_cpu)
    listed = {a["name"]: a for a in algoshelf("list", "--json").json["algorithms"]}
    assert listed["acme-tabular"]["distribution"] == "acme-tabular 0.3"
    rows = [f"{i % 3},{i % 3 == 0:d},{i % 3 == 1:d},{i % 3 == 2:d},0" for i in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    trained = algoshelf(
        "train", "acme-tabular", "--train", "rows.csv", "--batch-size", 8, "--epochs", 30,
        "--learning-rate", 0.01,
    )  # fmt: skip
    assert trained.code == 0, trained.stderr
    (tmp_path / "ask.csv").write_text("0,0,1,0\n")
    assert algoshelf("predict", "models/acme-tabular", "ask.csv").json["label"] == "blue"


def test_a_plot_without_matplotlib_says_what_to_install(
    with_cpu: str, model: Path, tmp_path: Path
) -> None:
    result = Algoshelf(tmp_path, with_cpu)("evaluate", model, "--plot", "x.png")
    assert result.code == 1
    assert "pip install 'algoshelf[plot]'" in result.stderr


def test_without_mxnet_the_catalog_is_open_and_train_says_what_to_install(
    wheel: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "env", sys.executable, wheel)
    algoshelf = Algoshelf(tmp_path, python)
    assert "mnist-cnn" in algoshelf("list").text
    assert "--learning-rate" in algoshelf("info", "mnist-cnn").text
    result = algoshelf("train", "mnist-cnn")
    assert result.code == 1
    assert "pip install 'algoshelf[cpu]'" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


@pytest.mark.apart
def test_the_extra_sagemaker_brings_boto3_and_not_the_sdk_of_aws(
    wheel: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "env", sys.executable, f"{wheel}[sagemaker]")
    algoshelf = Algoshelf(tmp_path, python)
    nobody = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    nobody |= {f"AWS_{name}_FILE": "none" for name in ("CONFIG", "SHARED_CREDENTIALS")}
    for words in (("list",), ("train", "kmeans", "--k", 3, "--instance", "ml.m5.xlarge")):
        result = algoshelf("sagemaker", *words, **nobody)
        assert (result.code, "no AWS credentials were found" in result.stderr) == (1, True)
    ask = "import importlib.util as u; print([u.find_spec(n) for n in ('sagemaker', 'mxnet')])"
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    assert told.stdout == "[None, None]\n"
    facade = [python, "-c", "from algoshelf import registry; registry.tuner"]
    refused = subprocess.run(facade, capture_output=True, text=True, check=False)
    assert "pip install 'algoshelf[sagemaker-sdk]'" in refused.stderr


def interpreter_of(minor: int) -> str | None:
    """A Python 3.``minor`` of this machine that can make environments."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [shutil.which(f"python3.{minor}"), *sorted(pyenv.glob(f"3.{minor}.*/bin/python"))]
    check = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}))"
    for candidate in filter(None, candidates):
        if (
            subprocess.run([candidate, "-c", check], capture_output=True, check=False).returncode
            == 0
        ):
            return str(candidate)
    return None


def test_the_same_wheel_trains_and_predicts_on_python_3_8(wheel: Path, tmp_path: Path) -> None:
    """As in AWS's MXNet image: Python 3.8."""
    interpreter = interpreter_of(8)
    if interpreter is None:
        pytest.skip("no Python 3.8 on this machine")
    python = environment(tmp_path / "env", interpreter, f"{wheel}[cpu]")
    algoshelf = Algoshelf(tmp_path, python)
    trained = algoshelf("train", "mnist-cnn", *QUICK, "--json")
    assert trained.code == 0, trained.stderr
    assert trained.json["metrics"]["test:accuracy"] > 0.7
    assert algoshelf("predict", "models/mnist-cnn").json["label"]
    wrong = algoshelf("train", "mnist-cnn", "--epochs", "banana", "--lerning-rate", "1")
    assert wrong.code == 2
    assert "'--learning-rate'" in wrong.stderr
