from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import Artifact, ArtifactError, InputSignature, OutputError
from algoshelf.core.artifact.target import staged
from pydantic import ValidationError

from tests.conftest import InProcess


def test_the_artifact_says_what_made_it(model: Path) -> None:
    metadata = Artifact.open(model).metadata
    assert metadata.algorithm == "mnist-cnn"
    assert metadata.hyperparameters["epochs"] == 1
    assert metadata.seed == 1
    assert metadata.classes == tuple("0123456789")
    assert metadata.input.shape == (0, 1, 28, 28)
    assert metadata.input.dtype == "float32"
    assert set(metadata.data) == {"train", "test"}
    assert all(len(digest) == 64 for digest in metadata.data.values())
    assert {"mxnet", "numpy", "python", "algoshelf"} <= set(metadata.packages)
    assert 0 < metadata.metrics["validation:accuracy"] <= 1


def test_the_network_loads_and_answers_in_any_batch_size(model: Path) -> None:
    loaded = Artifact.open(model).load()
    rng = np.random.default_rng(0)
    x = rng.random((3, 1, 28, 28), np.float32)
    together = loaded.outputs(x)
    alone = np.concatenate([loaded.outputs(x[i : i + 1]) for i in range(3)])
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


NAMES = ("algorithm.json", "model-0000.params", "model-symbol.json")


def fill(stage: Path, text: str = "new") -> None:
    for name in NAMES:
        (stage / name).write_text(text)


def holds(folder: Path, text: str = "new") -> bool:
    assert sorted(path.name for path in folder.iterdir()) == list(NAMES)
    return all((folder / name).read_text() == text for name in NAMES)


def test_a_stage_takes_the_place_of_an_earlier_model_only_on_success(copy: Path) -> None:
    before = {name: (copy / name).read_bytes() for name in NAMES}

    def fail() -> None:
        with staged(copy) as stage:
            fill(stage)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    with staged(copy) as stage:
        fill(stage)
    assert holds(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_new_folder_an_empty_one_and_a_link_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("behind")
    for name in ("a/b/new", "empty", "link"):
        with staged(tmp_path / name) as stage:
            fill(stage)
        assert holds(tmp_path / name)
    assert (tmp_path / "link").is_symlink()
    assert holds(tmp_path / "behind")


@pytest.mark.parametrize("what", [("-t", "tmpfs", "none"), ("--bind", "disk")])
def test_a_mount_point_is_filled(what: tuple[str, ...], tmp_path: Path) -> None:
    """As SageMaker's /opt/ml/model may be one, also of the same disk; it cannot be renamed."""
    folder = tmp_path / "a model"
    for name in (folder, tmp_path / "disk"):
        name.mkdir()
    mount = ["mount", *what, str(folder)]
    if subprocess.run(mount, capture_output=True, cwd=tmp_path, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        with staged(folder) as stage:
            fill(stage)
        assert holds(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_the_current_folder_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with staged(Path()) as stage:
        fill(stage)
    assert holds(tmp_path)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "old"):
        folder.mkdir(exist_ok=True)
        (folder / ".old.stage-999999999").mkdir()
    (tmp_path / ".new.stage-999999999").mkdir()
    for name in ("new", "old"):
        with staged(tmp_path / name) as stage:
            fill(stage)
        assert holds(tmp_path / name)


def test_a_stage_that_fails_leaves_no_new_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with staged(tmp_path / "a" / "b" / "model"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_other_peoples_files_are_never_replaced(tmp_path: Path, model: Path) -> None:
    for place in (tmp_path / "plain", Path(shutil.copytree(model, tmp_path / "mixed"))):
        place.mkdir(exist_ok=True)
        (place / "thesis.tex").write_text("years of work")
        with pytest.raises(OutputError, match=r"contains other files than a model"), staged(place):
            pass
        with pytest.raises(OutputError, match="a file of this name exists"), staged(
            place / "thesis.tex"
        ):
            pass
        assert (place / "thesis.tex").read_text() == "years of work"


def test_a_full_disk_is_an_output_error(tmp_path: Path, in_process: InProcess, few: Path) -> None:
    (tmp_path / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=150k", "none", str(tmp_path / "small")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        data = ("--train", few, "--epochs", 1)
        result = in_process("train", "mnist-cnn", *data, "--output", "small/model")
        assert result.code == 2
        assert "cannot be written" in result.stderr
        assert "Traceback" not in result.stderr
        assert list((tmp_path / "small").iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def test_parameters_of_another_model_are_found_out(copy: Path) -> None:
    content = bytearray((copy / "model-0000.params").read_bytes())
    content[-5] ^= 1
    (copy / "model-0000.params").write_bytes(content)
    with pytest.raises(
        ArtifactError, match=r"model-0000\.params: does not load: it is not the file"
    ):
        Artifact.open(copy).load()


def test_another_algorithm_or_version_does_not_load_it(copy: Path) -> None:
    from algoshelf.algorithms.mnist_cnn import MnistCnn

    path = copy / "algorithm.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "algorithm_version": "99"}))
    with pytest.raises(
        ArtifactError, match=r"made by mnist-cnn 99 \(algoshelf .*\), but the installed"
    ):
        MnistCnn().model_fn(copy)


def test_a_short_write_is_an_output_error(tmp_path: Path, few: Path) -> None:
    """A quota that cuts the last bytes: mxnet itself notices nothing."""
    program = Path(sys.executable).parent / "algoshelf"
    options = f"--train {few} --epochs 1 --output m"
    command = f"ulimit -f 1094; exec {program} train mnist-cnn --network large {options}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"op": "Pooling"', '"op": "_Native"'),
        ('"op": "Pooling"', '"op": "_NDArray"'),
        ('"op": "Pooling"', '"op": "Custom"'),
        ('"op": "Pooling"', '"op": "_cvimread"'),
        ('"num_group": "1"', '"num_group": "0"'),
        ('"heads": [[', '"heads": [[1, 7, 0], ['),
        ('"heads"', '"tails"'),
    ],
)
def test_a_graph_that_could_do_more_than_compute_is_refused(copy: Path, old: str, new: str) -> None:
    path = copy / "model-symbol.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    _without_digests(copy)
    with pytest.raises(ArtifactError, match=r"model-symbol\.json: does not load"):
        Artifact.open(copy).load()


@pytest.mark.parametrize("classes", [5, ["a", "a"], [["a"]], ["\x1b[2J"]])
def test_odd_classes_are_refused(copy: Path, classes: object) -> None:
    path = copy / "algorithm.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "encoding": {"classes": classes}}))
    with pytest.raises(ArtifactError, match=r"algorithm\.json: encoding"):
        Artifact.open(copy)


def _without_digests(folder: Path) -> None:
    path = folder / "algorithm.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": {}}))


def test_a_dtype_that_mxnet_does_not_take_is_refused() -> None:
    with pytest.raises(ValidationError, match="dtype"):
        InputSignature.model_validate({"shape": (0, 3), "dtype": "int8"})
