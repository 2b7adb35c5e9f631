"""Files of ONNX from strangers: refused, or answered within bounds, whatever is in them."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.core import Artifact
from algoshelf.core.artifact import onnx_file
from algoshelf.core.runtime.errors import ArtifactError

from benchmarks import mutated
from tests.conftest import InProcess

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A model folder with its model.onnx."""
    folder = Path(shutil.copytree(model, tmp_path_factory.mktemp("onnx") / "m"))
    assert InProcess(folder)("export", folder).code == 0
    return folder


def refusal(folder: Path, change: Callable[[Any], Any], target: Path) -> str:
    """What is said of the file after a ``change``, by what answers with it."""
    copy = Path(shutil.copytree(folder, target / "copy"))
    file = onnx.load(str(copy / "model.onnx"))
    change(file)
    (copy / "model.onnx").write_bytes(file.SerializeToString())
    with pytest.raises(ArtifactError) as told:
        Artifact.open(copy).load("onnx")
    assert str(told.value).startswith(f"{copy / 'model.onnx'}: does not load: ")
    return str(told.value)


def _loop(file: Any) -> None:
    file.graph.node[0].attribute.append(onnx.helper.make_attribute("body", file.graph))


def _outside(file: Any) -> None:
    tensor = file.graph.initializer[0]
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")


def _expanded(file: Any) -> None:
    helper = onnx.helper
    many = onnx.numpy_helper.from_array(np.array([2**31], np.int64), "many")
    one = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")
    file.graph.initializer.extend([many, one])
    file.graph.node.insert(0, helper.make_node("Expand", ["one", "many"], ["large"], name="large"))


def _divided(file: Any) -> None:
    zero = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "zero")
    file.graph.initializer.append(zero)
    node = onnx.helper.make_node("Mod", ["zero", "zero"], ["rest"], name="rest")
    file.graph.node.insert(0, node)


def _deep(file: Any) -> None:
    """As much work as hundreds of the model's own layers."""
    node = file.graph.node[-1]
    last = node.input[0]
    square = onnx.numpy_helper.from_array(np.ones((10, 10), np.float32), "square")
    file.graph.initializer.append(square)
    del file.graph.node[-1]
    for number in range(9_000):
        file.graph.node.append(
            onnx.helper.make_node("MatMul", [last, "square"], [f"m{number}"], name=f"m{number}")
        )
        last = f"m{number}"
    node.input[0] = last
    file.graph.node.append(node)
    huge = onnx.numpy_helper.from_array(np.array([1, 4_000_000], np.int64), "times")
    file.graph.initializer.append(huge)
    file.graph.node.append(onnx.helper.make_node("Tile", [last, "times"], ["wide"], name="wide"))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda f: setattr(f.graph.node[0], "domain", "com.microsoft"), "not of ONNX's own"),
        (lambda f: f.opset_import.append(onnx.helper.make_opsetid("x", 1)), "uses operators of"),
        (lambda f: setattr(f.opset_import[0], "version", 17), "is of opset 17 and IR version 8"),
        (lambda f: setattr(f, "ir_version", 3), "is of opset 13 and IR version 3"),
        (_outside, "numbers that lie in another file"),
        (_loop, "a graph within a node"),
        (lambda f: f.functions.add(), "functions of its own"),
        (lambda f: setattr(f.graph.node[0], "op_type", "Scan"), "is no operator of an export"),
        (lambda f: f.graph.initializer[0].dims.append(2), "has the shape"),
        (lambda f: setattr(f.graph.initializer[0], "raw_data", b""), "but 0 bytes"),
        (lambda f: setattr(f.graph.input[0], "name", "x"), "which nothing before it gives"),
        (lambda f: setattr(f.graph.output[0], "name", "y"), "expected 'output'"),
        (lambda f: f.graph.input.append(f.graph.input[0]), "holds 2 inputs"),
        (lambda f: f.graph.node.reverse(), "which nothing before it gives"),
        (lambda f: f.graph.node.extend([f.graph.node[0]] * 10_000), "nodes, expected 10,000"),
        (lambda f: f.graph.sparse_initializer.add(), "sparse tensors"),
        (_expanded, r"would give the shape \(2147483648,\)"),
        (_divided, "divides whole numbers by what may be 0"),
        (_deep, "bytes for one example, but the model's graph"),
        (lambda f: f.ClearField("metadata_props"), "does not say which model it is of"),
    ],
)  # fmt: skip
def test_what_no_export_holds_is_refused_by_name(
    change: Callable[[Any], Any], fault: str, exported: Path, tmp_path: Path
) -> None:
    assert re.search(fault, refusal(exported, change, tmp_path))


def test_all_strange_operators_are_named_at_once(exported: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        for node, name in zip(file.graph.node, ("Loop", "Convv")):
            node.op_type = name

    told = refusal(exported, change, tmp_path)
    assert "'Loop'" in told
    assert "did you mean 'Conv'" in told


def test_neither_onnx_nor_onnxruntime_is_needed_to_judge_a_file(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = Artifact.open(exported)
    fit = artifact.check().fit
    for name in ("onnx", "onnxruntime", "mxnet"):
        monkeypatch.setitem(sys.modules, name, None)
    found = onnx_file.read(exported / "model.onnx", artifact.metadata.input, fit)
    assert found.fit.outputs == fit.outputs == [(1, 10)]
    assert found.properties == {"algorithm.json": (exported / "algorithm.json").read_text()}


def test_a_file_that_is_none_is_refused(exported: Path, tmp_path: Path) -> None:
    signature = Artifact.open(exported).metadata.input
    fit = Artifact.open(exported).check().fit
    for content in (b"", b"\xff" * 100, b"\x08\x08" * 1_000_000, b"{}", b"\x3a\x00"):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"model\.onnx: does not load: "):
            onnx_file.read(path, signature, fit)
    with pytest.raises(ArtifactError, match=r"none\.onnx: does not load: No such file"):
        onnx_file.read(tmp_path / "none.onnx", signature, fit)


def test_mutated_files_are_refused_or_answered(
    exported: Path, iris_model: Path, tmp_path: Path, in_process: InProcess
) -> None:
    """Two thousand of four models: benchmarks/mutated.py --only onnx."""
    other = Path(shutil.copytree(iris_model, tmp_path / "k"))
    assert in_process("export", other).code == 0
    found = mutated.run([exported, other], 200, seed=3, only="onnx")
    # What took long is strange too, and that is not judged here: machines differ.
    strange = [each for each in found["strange"] if not re.search(r" refused: | answered$", each)]
    assert strange == []
    assert found["most_mib"] <= mutated.MAX_MIB
    assert sum(found["ended"].values()) == 200
