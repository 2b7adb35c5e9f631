"""``export``: a file of ONNX that answers as mxnet does, or none."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import Artifact, Example, InputSignature, Metadata, mx
from algoshelf.core.artifact import export, folder
from algoshelf.core.artifact.export import parity, quantization
from algoshelf.core.artifact.export.operators import CONVERTERS
from algoshelf.core.artifact.target import staged
from algoshelf.core.runtime.errors import ExportError

from tests.conftest import ROOT, SAMPLE, Algoshelf, InProcess

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "m"))


def written(network: Any, signature: InputSignature, target: Path) -> Artifact:
    """The artifact of a network with the parameters that it has."""
    target.mkdir()
    network.hybridize()
    network(mx.nd.zeros(signature.one, dtype=signature.dtype)).wait_to_read()
    metadata = Metadata(
        algorithm="mnist-cnn",
        algorithm_version="1",
        hyperparameters={},
        seed=1,
        input=signature,
        example=Example(content_type="text/csv", body=""),
    )
    folder.write(target, network, metadata)
    return Artifact.open(target)


def exported(artifact: Artifact, x: np.ndarray) -> export.Exported:
    return export.export(artifact, artifact.load("mxnet"), [x], artifact.folder / "model.onnx")


def small_network(*layers: Any) -> Any:
    network = mx.gluon.nn.HybridSequential()
    network.add(mx.gluon.nn.Dense(5), *layers, mx.gluon.nn.Dense(3))
    mx.random.seed(1)
    network.initialize(mx.init.Xavier())
    return network


ROWS = InputSignature(shape=(0, 4))
X = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)


def test_a_file_says_what_it_is_and_answers_any_batch(copy: Path, in_process: InProcess) -> None:
    result = in_process("export", copy, "--json")
    assert result.code == 0, result.stderr
    told = result.json
    assert told["file"] == str(copy / "model.onnx")
    assert told["parity"]["difference"] <= 1e-4
    assert {batch[0] for batch in told["parity"]["batches"]} >= {1, 2, 33}
    file = onnx.load(told["file"])
    (props,) = file.metadata_props
    assert (props.key, props.value) == ("algorithm.json", (copy / "algorithm.json").read_text())
    assert [value.name for value in file.graph.input] == ["data"]
    assert [value.name for value in file.graph.output] == told["outputs"] == ["output"]
    assert (file.ir_version, file.opset_import[0].version) == (8, told["opset"])
    assert told["bytes"] == (copy / "model.onnx").stat().st_size

    session = onnxruntime.InferenceSession(told["file"], providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((7, 1, 28, 28), np.float32)
    (found,) = session.run(None, {"data": x})
    expected = Artifact.open(copy).load().outputs(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_twice_the_same_bytes_and_the_model_stays_one(copy: Path, in_process: InProcess) -> None:
    first, second = copy / "model.onnx", copy.parent / "second.onnx"
    assert in_process("export", copy).code == 0
    told = in_process("export", copy, "--output", second)
    assert told.code == 0, told.stderr
    assert "as mxnet does" in told.text
    assert first.read_bytes() == second.read_bytes()
    assert in_process("predict", copy).code == 0
    packed = in_process("package", copy, "--as", "model", "--output", copy.parent / "packed")
    assert packed.code == 0, packed.stderr


@pytest.mark.parametrize("stand_in_it", [False, True])
def test_a_model_that_is_replaced_takes_its_export_along(
    copy: Path, stand_in_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "model.onnx").write_bytes(b"of the model before")
    if stand_in_it:  # then it is replaced file by file
        monkeypatch.chdir(copy)
    before = [path for path in copy.iterdir() if path.name != "model.onnx"]
    with staged(copy) as stage:
        for path in before:
            shutil.copy(path, stage)
    assert {path.name for path in copy.iterdir()} == {path.name for path in before}


def test_kmeans_leaves_too(iris_model: Path, tmp_path: Path, in_process: InProcess) -> None:
    result = in_process("export", iris_model, "--output", tmp_path / "k.onnx", "--json")
    assert result.code == 0, result.stderr


def test_a_gamma_that_mxnet_does_not_heed_is_not_heeded(tmp_path: Path) -> None:
    """cifar_resnet20_v2 has fix_gamma; the gamma in its file is whatever training left there."""
    from algoshelf.algorithms.image_classification import networks

    network = networks.normalized(
        networks.build("cifar_resnet20_v2", 4), networks.MEAN, networks.DEVIATION
    )
    mx.random.seed(1)
    network.initialize(mx.init.Xavier())
    pictures = InputSignature(shape=(0, 3, 32, 32), dtype="uint8")
    network(mx.nd.zeros(pictures.one, dtype="uint8")).wait_to_read()
    rng = np.random.default_rng(1)
    for name, parameter in network.collect_params().items():
        if name.endswith(("gamma", "running_var")):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))
    artifact = written(network, pictures, tmp_path / "m")
    x = rng.integers(0, 256, (2, 3, 32, 32)).astype(np.uint8)
    assert exported(artifact, x).parity.difference < 1e-5


def test_an_operator_without_a_form_is_named_and_nothing_written(tmp_path: Path) -> None:
    layer = mx.gluon.nn.HybridLambda(lambda ops, x: ops.erfinv(ops.clip(x, -0.5, 0.5)))
    artifact = written(small_network(layer), ROWS, tmp_path / "m")
    with pytest.raises(ExportError, match=r"node '.*', erfinv: has no form in ONNX") as told:
        exported(artifact, X)
    assert "core/artifact/export/operators.py" in str(told.value)
    assert not list(artifact.folder.glob("*.onnx"))


def test_a_wrong_converter_is_found_out_by_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network(
        mx.gluon.nn.Activation("tanh"), mx.gluon.nn.HybridLambda(lambda ops, x: ops.sin(x) + 1)
    )
    artifact = written(network, ROWS, tmp_path / "m")
    before = sorted(path.name for path in artifact.folder.iterdir())
    monkeypatch.setitem(CONVERTERS, "sin", lambda x: x("Sin", x("Mul", x.ins[0], x.array(1.01))))
    with pytest.raises(ExportError, match=r"node '.*sin0', sin: is the first .* differ from mxnet"):
        exported(artifact, X)
    assert sorted(path.name for path in artifact.folder.iterdir()) == before


def test_what_onnx_or_onnxruntime_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = written(small_network(mx.gluon.nn.Activation("tanh")), ROWS, tmp_path / "m")
    monkeypatch.setitem(CONVERTERS, "Activation", lambda x: x("NoSuchOperator", x.ins[0]))
    with pytest.raises(ExportError, match=r"onnx\.checker refuses .*NoSuchOperator"):
        exported(artifact, X)


def test_a_network_of_several_outputs_names_each(tmp_path: Path) -> None:
    data, weight, bias = (mx.sym.var(name) for name in ("data", "weight", "bias"))
    symbol = mx.sym.FullyConnected(data, weight, bias, num_hidden=3, name="a")
    several = mx.sym.Group([symbol, mx.sym.softmax(symbol, name="b")])
    network = mx.gluon.SymbolBlock(several, [mx.sym.var("data")])
    network.initialize(mx.init.Uniform())
    network(mx.nd.array(X))
    folder_ = tmp_path / "m"
    single = written(small_network(), ROWS, folder_)
    network.export(str(folder_ / "model"), epoch=0)
    document = single.metadata.model_copy(update={"sha256": {}}).document()
    (folder_ / "algorithm.json").write_bytes(document)
    made = exported(Artifact.open(folder_), X)
    assert made.outputs == ("output0", "output1")


@pytest.mark.parametrize("lacking", ["onnx", "onnxruntime"])
def test_without_the_extra_it_says_what_to_install(
    lacking: str, copy: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    result = in_process("export", copy)
    assert result.code == 1
    assert f"{lacking}, which is not installed: pip install 'algoshelf[onnx]'" in result.stderr
    checked = in_process("check", "kmeans", "--only", "onnx", "--json")
    assert checked.code == 0, checked.text
    (finding,) = checked.json["checks"]
    assert finding["status"] == "skipped"
    assert "algoshelf[onnx]" in finding["reason"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (".", "is a folder: give --output a file"),
        ("model.pb", r"ends in .onnx"),
        ("nowhere/model.onnx", "no such folder"),
    ],
)
def test_a_target_that_is_none_is_refused(
    name: str, fault: str, copy: Path, in_process: InProcess
) -> None:
    result = in_process("export", copy, "--output", name)
    assert result.code == 2
    assert fault in result.stderr


def test_an_export_that_fails_leaves_the_file_that_was_there(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = copy / "model.onnx"
    target.write_bytes(b"as it was")
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)  # nothing agrees
    artifact = Artifact.open(copy)
    with pytest.raises(ExportError):
        exported(artifact, np.zeros((1, 1, 28, 28), np.float32))
    assert target.read_bytes() == b"as it was"


def test_differences_are_relative_to_each_answer() -> None:
    row = np.array([[1000.0, 1.0], [2.0, 1.0]], np.float32)
    assert parity.difference(row, row) == 0
    beside_much, beside_little = row.copy(), row.copy()
    beside_much[0, 1] += 0.05
    beside_little[1, 1] += 0.05
    assert parity.difference(beside_much, row) < 1e-4
    assert parity.difference(beside_little, row) > 1e-3
    assert parity.difference(row[:1], row) == float("inf")
    assert parity.difference(row, row.astype(np.float64)) == float("inf")
    broken = row.copy()
    broken[0, 0] = np.nan
    assert parity.difference(broken, row) == float("inf")
    assert parity.difference(row, broken) == float("inf")
    assert parity.difference(broken, broken) == 0


SAMPLE_CHANNELS = ("--train", SAMPLE, "--test", SAMPLE)


def test_int8_is_smaller_and_told_beside_what_it_costs(copy: Path, in_process: InProcess) -> None:
    assert in_process("export", copy).code == 0
    before = (copy / "model.onnx").stat().st_size
    told = in_process("export", copy, "--quantize", "int8", *SAMPLE_CHANNELS, "--json")
    assert told.code == 0, told.stderr
    cost = told.json["quantized"]
    assert cost["loss"]["metric"] == "accuracy"
    assert cost["loss"]["unit"] == "points"
    assert cost["loss"]["value"] <= 0.5
    assert cost["before"]["bytes"] == before
    assert cost["after"]["bytes"] == told.json["bytes"] < before / 3
    assert min(cost[when]["milliseconds"] for when in ("before", "after")) > 0

    # It answers by that file, and the figures are those of an evaluation.
    test = in_process("evaluate", copy, "--test", SAMPLE, "--engine", "onnx", "--json")
    assert test.json["metrics"] == cost["after"]["metrics"]
    properties = {each.key: each.value for each in onnx.load(copy / "model.onnx").metadata_props}
    assert properties["algoshelf.quantization"] == "int8"
    first = (copy / "model.onnx").read_bytes()
    assert in_process("export", copy, "--quantize", "int8", *SAMPLE_CHANNELS).code == 0
    assert (copy / "model.onnx").read_bytes() == first


def test_what_the_readme_says_of_int8_holds(copy: Path, in_process: InProcess) -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    said = re.search(
        r"With `(--quantize int8 [^`]*)` (.*?)\. MNIST, large network: ([^.]*\.)", text
    )
    assert said is not None
    options = [SAMPLE if word == "PATH" else word for word in said[1].split()]
    assert f"ranges found on {quantization.CALIBRATED_ON} training examples" in said[2]
    assert f"`--max-loss` points ({quantization.MAX_LOSS:g} unless you say otherwise)" in said[2]
    assert in_process("export", copy).code == 0
    before = (copy / "model.onnx").stat().st_size
    told = in_process("export", copy, *options)
    assert told.code == 0, told.stderr
    rows = [line.split() for line in told.text.splitlines()]
    assert ["float32", "int8"] in rows
    for shown in ("test:accuracy", "bytes", "milliseconds"):
        (row,) = (row for row in rows if row and row[0] == shown)
        assert len([cell for cell in row if cell[0].isdigit()]) == 2
    # A quarter of the size; of the small network, where what is around weights counts, a third.
    assert (copy / "model.onnx").stat().st_size < 0.33 * before


def test_int8_of_texts_answers_any_length(
    tmp_path: Path, algoshelf: Algoshelf, in_process: InProcess
) -> None:
    texts = ROOT / "algorithms" / "text_classification" / "sample"
    small = ("--epochs", 1, "--dimensions", 20, "--maps", 10)
    assert algoshelf("train", "text-classification", *small, "--output", "m").code == 0
    assert in_process("export", "m").code == 0
    asked = ["good", "a film that is not bad at all " * 20, "", "dull and slow"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in asked)
    (tmp_path / "asked.jsonl").write_text(lines)

    def positive() -> list[float]:
        told = in_process("predict", "m", "asked.jsonl", "--engine", "onnx")
        answers = [json.loads(line) for line in told.text.splitlines()]
        return [answer["probabilities"]["positive"] for answer in answers]

    exact, size = positive(), (tmp_path / "m" / "model.onnx").stat().st_size
    told = in_process(
        "export", "m", "--quantize", "int8", "--train", texts, "--test", texts, "--json"
    )
    assert told.code == 0, told.stderr
    cost = told.json["quantized"]
    assert cost["loss"]["metric"] == "accuracy"
    assert cost["loss"]["value"] <= 0.5
    assert cost["after"]["bytes"] == (tmp_path / "m" / "model.onnx").stat().st_size < size
    rounded = positive()
    assert rounded != exact
    np.testing.assert_allclose(rounded, exact, atol=0.05)


def test_int8_that_costs_more_than_allowed_is_not_written(
    copy: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantization, "loss_of", lambda *_, maximize: (0.75, "points"))
    target = copy / "model.onnx"
    target.write_bytes(b"as it was")
    told = in_process("export", copy, "--quantize", "int8", *SAMPLE_CHANNELS)
    assert told.code == 1
    assert "int8 would cost 0.75 points of accuracy on the test channel" in told.stderr
    assert "more than --max-loss 0.5; no file was written" in told.stderr
    assert target.read_bytes() == b"as it was"
    allowed = in_process("export", copy, "--quantize", "int8", *SAMPLE_CHANNELS, "--max-loss", 1)
    assert allowed.code == 0, allowed.stderr


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--quantize", "int8"), "--quantize int8: give --train PATH"),
        (("--quantize", "int8", "--train", SAMPLE, "--test", "none"), "(--test)"),
        (("--train", SAMPLE), "--train: is for --quantize int8 alone"),
    ],
)
def test_int8_needs_both_channels(
    options: tuple[Any, ...], fault: str, copy: Path, in_process: InProcess
) -> None:
    told = in_process("export", copy, *options)
    assert told.code == 2
    assert fault in told.stderr


def test_what_cannot_be_calibrated_is_not_quantized(
    iris_model: Path, tmp_path: Path, in_process: InProcess
) -> None:
    options = ("--quantize", "int8", "--train", SAMPLE, "--test", SAMPLE)
    told = in_process("export", iris_model, *options, "--output", tmp_path / "k.onnx")
    assert told.code == 2
    assert "kmeans cannot be quantized: it does not define calibration()" in told.stderr
    assert not (tmp_path / "k.onnx").exists()


def test_a_loss_is_counted_in_points_or_percent() -> None:
    assert quantization.loss_of(0.95, 0.94, maximize=True) == (pytest.approx(1.0), "points")
    assert quantization.loss_of(2.0, 2.1, maximize=False) == (pytest.approx(5.0), "percent")
    assert quantization.loss_of(2.0, 1.9, maximize=False)[0] < 0
    assert quantization.loss_of(0.0, 0.0, maximize=False) == (0.0, "percent")
