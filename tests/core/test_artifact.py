from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import Artifact, ArtifactError, OutputError
from algoshelf.core.artifact import staged


def test_the_artifact_says_what_made_it(model: Path) -> None:
    metadata = Artifact.open(model).metadata
    assert metadata.algorithm == "mnist-cnn"
    assert metadata.hyperparameters["epochs"] == 1
    assert metadata.seed == 1
    assert metadata.classes == list("0123456789")
    assert metadata.input.shape == (0, 1, 28, 28)
    assert metadata.input.dtype == "float32"
    assert set(metadata.data) == {"train", "test"}
    assert all(len(digest) == 64 for digest in metadata.data.values())
    assert {"mxnet", "numpy", "python", "algoshelf"} <= set(metadata.packages)
    assert 0 < metadata.metrics["validation:accuracy"] <= 1


def test_the_network_loads_and_answers_in_any_batch_size(model: Path) -> None:
    loaded = Artifact.open(model).load()
    from algoshelf.core import mx

    rng = np.random.default_rng(0)
    x = rng.random((3, 1, 28, 28), np.float32)
    together = loaded.block(mx.nd.array(x)).asnumpy()
    alone = np.concatenate([loaded.block(mx.nd.array(x[i : i + 1])).asnumpy() for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere: no such model folder"):
        Artifact.open(tmp_path / "nowhere")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no algorithm\.json"):
        Artifact.open(tmp_path)


@pytest.mark.parametrize("name", ["model-symbol.json", "model-0000.params"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        Artifact.open(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"seed": "x"}'])
def test_a_damaged_algorithm_json_is_named(copy: Path, content: bytes) -> None:
    (copy / "algorithm.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"algorithm\.json"):
        Artifact.open(copy)


def test_a_newer_layout_is_refused_with_the_remedy(copy: Path) -> None:
    path = copy / "algorithm.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layout_version": 99}))
    with pytest.raises(ArtifactError, match="upgrade algoshelf"):
        Artifact.open(copy)


@pytest.mark.parametrize("name", ["model-symbol.json", "model-0000.params"])
@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_truncated_network_is_an_artifact_error(copy: Path, name: str, kept: float) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(ArtifactError, match="does not load"):
        Artifact.open(copy).load()


def test_a_stage_takes_the_place_of_an_earlier_model_only_on_success(copy: Path) -> None:
    before = (copy / "algorithm.json").read_bytes()

    def fail() -> None:
        with staged(copy) as stage:
            (stage / "algorithm.json").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (copy / "algorithm.json").read_bytes() == before
    with staged(copy) as stage:
        (stage / "algorithm.json").write_text("whole")
    assert [path.name for path in copy.iterdir()] == ["algorithm.json"]
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_stage_that_fails_leaves_no_new_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with staged(tmp_path / "a" / "b" / "model"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_other_peoples_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="no model"), staged(tmp_path):
        pass
    with pytest.raises(OutputError, match="in the way"), staged(tmp_path / "thesis.tex"):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        (stage / "x").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
