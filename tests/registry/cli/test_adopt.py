"""``adopt``: from the files of someone else's model to one that all other commands take."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import mx

from tests.conftest import InProcess

SIDE = 32
CLASSES = ("cat", "dog", "horse")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A checkpoint of Module's, and what names its classes."""
    s = mx.sym
    net = s.Convolution(s.var("data"), num_filter=4, kernel=(3, 3), name="conv")
    net = s.Activation(s.BatchNorm(net, name="bn"), act_type="relu")
    net = s.Flatten(s.Pooling(net, global_pool=True, kernel=(1, 1), pool_type="avg"))
    net = s.SoftmaxOutput(s.FullyConnected(net, num_hidden=len(CLASSES), name="fc"), name="softmax")
    rng = np.random.default_rng(0)
    shapes, _, states = net.infer_shape(data=(1, 3, SIDE, SIDE))

    def drawn(names: list[str], sizes: list[tuple[int, ...]]) -> dict[str, Any]:
        given = [pair for pair in zip(names, sizes) if pair[0] not in ("data", "softmax_label")]
        return {name: mx.nd.array(rng.uniform(0.01, 0.1, size)) for name, size in given}

    arguments = drawn(net.list_arguments(), shapes)
    auxiliary = drawn(net.list_auxiliary_states(), states)
    mx.model.save_checkpoint(str(tmp_path / "old"), 12, net, arguments, auxiliary)
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return tmp_path


ADOPT = (
    *("adopt", "--algorithm", "image-classification", "--symbol", "old-symbol.json"),
    *("--params", "old-0012.params", "--input-shape", f"3,{SIDE},{SIDE}"),
)


def test_from_two_files_to_a_model_that_every_command_takes(
    files: Path, in_process: InProcess
) -> None:
    made = in_process(*ADOPT, "--classes", "classes.txt", "--output", "m", "--json")
    assert made.code == 0, made.stderr
    told = made.json
    assert told["classes"] == list(CLASSES)
    assert told["input"] == {"name": "data", "shape": [0, 3, SIDE, SIDE], "dtype": "uint8"}
    assert set(told["origin"]) == {"old-0012.params", "old-symbol.json"}
    assert json.loads((files / "m" / "algorithm.json").read_text())["epoch"] == 12
    answer = json.loads(in_process("predict", "m").text)
    assert set(answer["probabilities"]) == set(CLASSES)
    for name in CLASSES:
        (files / "test" / name).mkdir(parents=True)
        _picture(files / "test" / name / "1.png")
    measured = in_process("evaluate", "m", "--test", "test", "--json")
    assert measured.json["examples"] == len(CLASSES), measured.stderr
    exported = in_process("export", "m")
    assert exported.code == 0, exported.stderr
    packed = in_process("package", "m", "--as", "model", "--output", "packed")
    assert packed.code == 0, packed.stderr


def _picture(path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def test_what_was_assumed_is_said(files: Path, in_process: InProcess) -> None:
    made = in_process(*ADOPT, "--output", "m")
    assert made.code == 0, made.stderr
    assert "pixel values from 0 to 255 in the order RGB; --mean" in made.stderr
    assert "the classes are called 0 to 2" in made.stderr
    told = in_process(*ADOPT, "--output", "m", "--mean", "0.5,0.4,0.3", "--channels", "bgr")
    assert "pixel values from 0 to 1 in the order BGR, less 0.5, 0.4, 0.3" in told.stderr


def packed(path: Path, **contents: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def of_sagemaker(files: Path) -> dict[str, bytes]:
    """What the archive of its image-classification holds."""
    shapes = [{"shape": [16, 3, SIDE, SIDE], "name": "data"}]
    return {
        "image-classification-0012.params": (files / "old-0012.params").read_bytes(),
        "model-shapes.json": json.dumps(shapes).encode(),
        "image-classification-symbol.json": (files / "old-symbol.json").read_bytes(),
    }


def test_archives_of_sagemakers_own_algorithms(files: Path, in_process: InProcess) -> None:
    packed(files / "model.tar.gz", **of_sagemaker(files))
    orders = ("--algorithm", "image-classification", "--classes", "classes.txt", "--output", "m")
    made = in_process("adopt", "model.tar.gz", *orders)
    assert made.code == 0, made.stderr
    assert json.loads((files / "m" / "algorithm.json").read_text())["input"]["shape"][2:] == [
        32,
        32,
    ]
    mx.nd.save(str(files / "k"), [mx.nd.array([[0, 0], [3, 4]])])
    packed(files / "k.tar.gz", **{"model_algo-1": (files / "k").read_bytes()})
    made = in_process("adopt", "k.tar.gz", "--algorithm", "kmeans", "--output", "k")
    assert made.code == 2  # a file of this name is there
    made = in_process("adopt", "k.tar.gz", "--algorithm", "kmeans", "--output", "centroids")
    assert made.code == 0, made.stderr
    answered = in_process("predict", "centroids", "-", "--content-type", "text/csv", stdin=b"3,5\n")
    assert json.loads(answered.text) == {"closest_cluster": 1.0, "distance_to_cluster": 1.0}


def test_archives_that_are_refused(files: Path, in_process: InProcess) -> None:
    sound = of_sagemaker(files)
    packed(files / "two.tar.gz", **sound, **{"x.params": b""})
    packed(files / "none.tar.gz", **{"a.txt": b""})
    packed(files / "outside.tar.gz", **sound, **{"../x": b""})
    packed(files / "bomb.tar.gz", **{"x.params": bytes(300 * 2**20)})
    packed(files / "shapes.tar.gz", **{**sound, "model-shapes.json": b'[{"shape": "x"}]'})
    orders = ("--algorithm", "image-classification", "--output", "m")
    for name, expected in (
        ("two", r"holds 1 graphs .* and 2 files of parameters"),
        ("none", r"holds 0 graphs .* and 0 files"),
        ("outside", r"leads out of the folder"),
        ("bomb", r"decompression bomb"),
        ("shapes", r"shapes\.tar\.gz: model-shapes\.json: expected the name and the shape"),
    ):
        made = in_process("adopt", f"{name}.tar.gz", *orders)
        assert made.code == 2
        assert _found(expected, made.stderr), made.stderr
    assert not (files / "m").exists()


def _found(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def test_all_that_is_wrong_is_told_at_once(files: Path, in_process: InProcess) -> None:
    (files / "classes.txt").write_text("cat\ncat\n")
    made = in_process(
        *("adopt", "--algorithm", "image-classification", "--symbol", "nowhere.json"),
        *("--classes", "classes.txt", "--input-shape", "3,x", "--mean", "a,b", "--std", "0"),
        *("--network", "resnet18_v1", "--json"),
    )
    assert made.code == 2
    faults = made.json["error"]["faults"]
    for expected in (
        "the name 'cat' is listed twice",
        "--input-shape: expected sizes such as 3,224,224, got '3,x'",
        "--mean: expected finite numbers",
        "--std: expected numbers above 0",
        "give --params",
        "--network: --symbol says already",
        "nowhere.json: no such file (--symbol)",
    ):
        assert any(expected in fault for fault in faults), (expected, faults)


def test_lists_of_classes_that_are_none(files: Path, in_process: InProcess) -> None:
    for content, expected in (
        (b"cat\n\ndog\n", "line 2: is blank"),
        (b"cat\n\xff\n", "line 2: is not UTF-8"),
        (b"cat\ndog\n", "--classes: names 2 classes, and the network of old-symbol.json has 3"),
    ):
        (files / "classes.txt").write_bytes(content)
        made = in_process(*ADOPT, "--classes", "classes.txt", "--output", "m")
        assert made.code == 2
        assert expected in made.stderr


def test_other_work_is_not_replaced(files: Path, in_process: InProcess) -> None:
    (files / "m").mkdir()
    (files / "m" / "thesis.tex").write_text("x")
    made = in_process(*ADOPT, "--output", "m")
    assert made.code == 2
    assert "contains other files than a model" in made.stderr


def test_without_a_network_parameters_say_nothing(files: Path, in_process: InProcess) -> None:
    orders = ("--algorithm", "image-classification", "--params", "old-0012.params")
    made = in_process("adopt", *orders, "--output", "m")
    assert made.code == 2
    assert "give --symbol" in made.stderr
