"""Which engine answers: by what is installed, what lies in the model folder, and what is asked."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import ArtifactError, InputError, MissingDependencyError, NetworkError
from algoshelf.core.artifact.engines import MXNET, ONNX, VARIABLE, places, resolve
from algoshelf.core.artifact.folder import Artifact

from tests.conftest import Algoshelf, InProcess
from tests.core.serving.conftest import serving


@pytest.fixture(scope="module")
def exported(iris_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kmeans with its model.onnx."""
    folder = shutil.copytree(iris_model, tmp_path_factory.mktemp("exported") / "m")
    assert InProcess(folder.parent)("export", folder).code == 0
    return folder


def test_auto_is_onnx_where_there_is_the_file(exported: Path, iris_model: Path) -> None:
    assert resolve("auto", exported) == ONNX
    assert resolve("auto", iris_model) == MXNET
    assert resolve("mxnet", exported) == MXNET
    assert resolve("auto", exported, "gpu:0") == MXNET
    assert places("auto", exported, "cpu:2") == [ONNX, ONNX]


def test_without_onnxruntime_mxnet_answers(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert resolve("auto", exported) == MXNET
    with pytest.raises(MissingDependencyError, match=r"pip install 'algoshelf\[onnx\]'"):
        resolve("onnx", exported)


def test_without_mxnet_a_model_that_was_not_exported_says_how(
    exported: Path, iris_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mxnet", None)
    assert resolve("auto", exported) == ONNX
    with pytest.raises(MissingDependencyError, match=r"algoshelf export .*Python 3.8 to 3.12"):
        resolve("auto", iris_model)


def test_what_an_engine_lacks_is_said(exported: Path, iris_model: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model.onnx: missing, and --engine onnx needs it"):
        resolve("onnx", iris_model)
    with pytest.raises(InputError, match="on the processor alone"):
        resolve("onnx", exported, "gpu")
    with pytest.raises(InputError, match=r"no engine 'onyx' .did you mean 'onnx'"):
        resolve("onyx", exported)


def test_both_give_the_same_outputs_and_parameters(exported: Path) -> None:
    artifact = Artifact.open(exported)
    one, other = artifact.load(ONNX), artifact.load(MXNET)
    x = np.random.default_rng(1).normal(5, 2, (300, 4)).astype(np.float32)
    np.testing.assert_allclose(one.outputs(x), other.outputs(x), rtol=1e-5)
    learned, expected = one.parameters(), other.parameters()
    assert learned.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(learned[name], values)
        assert learned[name].dtype == values.dtype
    with pytest.raises(NetworkError, match=r"cannot compute with an input \(2, 3\)"):
        one.outputs(np.zeros((2, 3), np.float32))


def test_the_export_of_another_model_is_refused(exported: Path, tmp_path: Path) -> None:
    from algoshelf.algorithms.kmeans import IRIS, KMeans
    from algoshelf.core import Reporter, train

    options = KMeans.Hyperparameters(k=3, restarts=1)
    train(KMeans(), {"train": IRIS}, options, tmp_path / "m", seed=9, reporter=Reporter())
    shutil.copy(exported / "model.onnx", tmp_path / "m")
    result = InProcess(tmp_path)("predict", "m")
    assert result.code == 2
    assert "m/model.onnx: does not load: was exported from another model" in result.stderr
    assert InProcess(tmp_path)("predict", "m", "--engine", "mxnet").code == 0


@pytest.mark.parametrize("content", [b"", b"no onnx", b"\x08\x08" * 500])
def test_a_damaged_file_is_refused(exported: Path, tmp_path: Path, content: bytes) -> None:
    folder = shutil.copytree(exported, tmp_path / "m")
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model.onnx: does not load"):
        Artifact.open(folder).load(ONNX)


def test_the_engine_is_said_and_the_environment_may_name_it(exported: Path) -> None:
    command = InProcess(exported.parent)
    assert f"onnxruntime answers, by {exported}/model.onnx" in command("predict", exported).stderr
    named = command("predict", exported, **{VARIABLE: "mxnet"})
    assert "onnxruntime" not in named.stderr
    wrong = command("predict", exported, "--engine", "torch")
    assert wrong.code == 2
    assert "'--engine'" in wrong.stderr


def test_a_transform_begins_anew_with_another_engine(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("5,3,1,0\n6,3,4,1\n")
    command = InProcess(tmp_path)
    one = command("transform", exported, "in.csv", "out", "--devices", "cpu:2")
    assert one.code == 0, one.stderr
    again = command("transform", exported, "in.csv", "out", "--devices", "cpu:2")
    assert "already done" in again.stderr
    other = command("transform", exported, "in.csv", "out", "--engine", "mxnet")
    assert "starting over: another" in other.stderr
    assert "engine" in other.stderr


RAISING = 'raise AssertionError("{} is imported")\n'


def test_nothing_that_answers_imports_mxnet(exported: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("mxnet", "gluoncv", "gluonnlp", "onnx"):
        (site / f"{name}.py").write_text(RAISING.format(name))
    (tmp_path / "in.csv").write_text("5,3,1,0\n6,3,4,1\n")
    command, path = Algoshelf(tmp_path), str(site)
    for words in (
        ("predict", exported, "in.csv"),
        ("evaluate", exported),
        ("transform", exported, "in.csv", "out"),
    ):
        result = command(*words, "--engine", "onnx", PYTHONPATH=path)
        assert result.code == 0, result.stderr


def test_a_server_of_an_exported_model_imports_no_mxnet(exported: Path, tmp_path: Path) -> None:
    for name in ("mxnet", "onnx"):
        (tmp_path / f"{name}.py").write_text(RAISING.format(name))
    with serving(exported, "--engine", "onnx", "--workers", 2, PYTHONPATH=str(tmp_path)) as server:
        answer = server.ask(b"5,3,1,0\n6,3,4,1\n", "text/csv")
        assert answer.status == 200
        expected = InProcess(tmp_path)("predict", exported, "--engine", "mxnet", "--accept",
                                       "application/json", "-", "--content-type", "text/csv",
                                       stdin=b"5,3,1,0\n6,3,4,1\n").json  # fmt: skip
        found = json.loads(answer.body)
        for one, other in zip(found["predictions"], expected["predictions"]):
            assert one == pytest.approx(other, rel=1e-5)
        (listed,) = json.loads(server.ask(path="/models").body)["models"]
        assert listed["engine"] == "onnx"
    assert "onnxruntime answers, by" in server.log
