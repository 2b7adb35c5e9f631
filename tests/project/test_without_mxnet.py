"""`pip install 'algoshelf[onnx,serve]'` on a Python without mxnet: numpy 2, and mxnet's answers."""

from __future__ import annotations

import json
import math
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Algoshelf, free_port, made_once
from tests.project.test_installed import environment, interpreter_of, wheel  # noqa: F401

TOLERANCE = 1e-5
KIND = {
    "mnist-cnn": "csv",
    "kmeans": "csv",
    "text-classification": "jsonl",
    "tabular": "jsonl",
    "image-classification": "",
    "recommender": "jsonl",
    "object-detection": "",
    "forecasting": "jsonl",
    "text-embedding": "jsonl",
}
TRAIN: dict[str, tuple[object, ...]] = {
    "mnist-cnn": ("--epochs", 1),
    "kmeans": ("--k", 3),
    "text-classification": ("--epochs", 1, "--dimensions", 20, "--maps", 10),
    "tabular": ("--epochs", 1),
    "image-classification": ("--epochs", 1, "--network", "cifar_resnet20_v2"),
    "recommender": ("--epochs", 1, "--factors", 8),
    "object-detection": ("--epochs", 2, "--image-size", 64, "--width", 16),
    "forecasting": ("--epochs", 1, "--hidden", 16, "--prediction-length", 6),
    "text-embedding": ("--dimensions", 20),
}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported model of each algorithm, and in ``in`` what they are asked."""

    def make(folder: Path) -> None:
        command = Algoshelf(folder)
        for name, options in TRAIN.items():
            trained = command("train", name, *options, "--output", name)
            assert trained.code == 0, trained.stderr
            written = command("export", name)
            assert written.code == 0, written.stderr
        _write_inputs(folder / "in")

    return made_once(tmp_path_factory, "exported", make)


def _write_inputs(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for name in KIND:
        (folder / name).mkdir(parents=True)
    digits = rng.integers(0, 256, (40, 784))
    np.savetxt(folder / "mnist-cnn" / "in.csv", digits, "%d", ",")
    flowers = rng.uniform(1, 7, (40, 4))
    np.savetxt(folder / "kmeans" / "in.csv", flowers, "%.2f", ",")
    texts = ["a good film", "bad , bad !", "", "it isn't what one would call unforgettable", "ça"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "text-classification" / "in.jsonl").write_text(lines)
    (folder / "text-embedding" / "in.jsonl").write_text(lines)
    people = [{"age": 39, "education": "Bachelors"}, {"age": None, "sex": "Male"}, {"race": "?"}]
    lines = "".join(json.dumps(person) + "\n" for person in people)
    (folder / "tabular" / "in.jsonl").write_text(lines)
    questions = [
        {"user": "user-001", "item": "synthetic-002"}, {"user": "user-001", "top": 5},
        {"item": "synthetic-002", "similar": 5}, {"user": "nobody", "item": "synthetic-002"},
    ]  # fmt: skip
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    (folder / "recommender" / "in.jsonl").write_text(lines)
    series = [
        {"start": "2024-01", "target": rng.integers(0, 90, length).tolist()}
        for length in (1, 30, 200)
    ]
    lines = "".join(json.dumps(each) + "\n" for each in series)
    (folder / "forecasting" / "in.jsonl").write_text(lines)
    for number in range(3):
        picture = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
        picture.save(folder / "image-classification" / f"{number}.jpg")
        picture.save(folder / "object-detection" / f"{number}.jpg")


@pytest.fixture(scope="session")
def without_mxnet(
    wheel: Path,  # noqa: F811
    exported: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Algoshelf:
    """The command in an environment of Python 3.13."""
    interpreter = interpreter_of(13)
    if interpreter is None:
        pytest.skip("no Python 3.13 on this machine")

    def make(folder: Path) -> None:
        environment(folder / "env", interpreter, f"{wheel}[onnx,serve]")

    folder = made_once(tmp_path_factory, "without_mxnet", make)
    return Algoshelf(exported, str(folder / "env" / "bin" / "python"))


def alike(one: Any, other: Any) -> bool:
    """Whether two documents are the same, but for TOLERANCE of their numbers."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    return bool(one == other)


def _parsed(lines: str) -> list[Any]:
    return [json.loads(line) if line else None for line in lines.splitlines()]


def test_the_environment_has_numpy_2_and_no_mxnet(without_mxnet: Algoshelf) -> None:
    ask = "import importlib.util as u, numpy; print(u.find_spec('mxnet'), numpy.__version__)"
    told = subprocess.run([without_mxnet.python, "-c", ask], capture_output=True, text=True)
    assert told.stdout.startswith("None 2.")


@pytest.mark.parametrize("name", KIND)
def test_each_command_answers_as_mxnet_does(
    name: str, without_mxnet: Algoshelf, exported: Path, tmp_path: Path
) -> None:
    mxnet = Algoshelf(exported)
    asked = sorted(map(str, (exported / "in" / name).iterdir()))
    words = ("predict", name, *asked)
    here, there = without_mxnet(*words), mxnet(*words, "--engine", "mxnet")
    assert here.code == there.code == 0, here.stderr + there.stderr
    assert f"onnxruntime answers, by {name}/model.onnx" in here.stderr
    assert alike(_parsed(here.text), _parsed(there.text))
    here, there = without_mxnet("evaluate", name, "--json"), mxnet("evaluate", name, "--json",
                                                                  "--engine", "mxnet")  # fmt: skip
    assert here.code == 0, here.stderr
    # Curves of detection have a point for each of many candidates, whose order rounding decides.
    told = [
        each["metrics"] if name == "object-detection" else each for each in (here.json, there.json)
    ]
    assert alike(*told)
    source, outputs = exported / "in" / name, []
    for command, engine in ((without_mxnet, "auto"), (mxnet, "mxnet")):
        output = tmp_path / engine
        done = command("transform", name, source, output, "--engine", engine)
        assert done.code == 0, done.stderr
        outputs.append([_parsed(path.read_text()) for path in sorted(output.glob("*.out"))])
    assert outputs[0]
    assert alike(*outputs)


@pytest.fixture(scope="module")
def address(without_mxnet: Algoshelf) -> Iterator[str]:
    """Of a server of all four models without mxnet."""
    port = free_port()
    serving = without_mxnet.start("serve", *KIND, "--port", port, "--workers", 1)
    assert serving.stderr is not None
    try:
        for line in serving.stderr:
            if line.startswith("ready"):
                break
        else:
            pytest.fail("the server ended")
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.terminate()
        serving.communicate(timeout=60)


@pytest.mark.parametrize("name", KIND)
def test_a_server_answers_as_mxnet_does(name: str, address: str, exported: Path) -> None:
    metadata = json.loads((exported / name / "algorithm.json").read_text())
    request = urllib.request.Request(
        f"{address}/models/{name}/invoke",
        metadata["example"]["body"].encode(),
        {
            "Content-Type": metadata["example"]["content_type"],
            "Accept": "application/jsonlines",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = _parsed(answer.read().decode())
    expected = Algoshelf(exported)("predict", name, "--engine", "mxnet")
    assert alike(found, _parsed(expected.text))


def test_what_needs_mxnet_says_what_to_install(without_mxnet: Algoshelf, tmp_path: Path) -> None:
    assert "mnist-cnn" in without_mxnet("list").text
    assert "--learning-rate" in without_mxnet("info", "mnist-cnn").text
    refused = without_mxnet("train", "mnist-cnn", "--output", tmp_path / "m")
    assert refused.code == 1
    assert "Traceback" not in refused.stderr
    assert "need mxnet" in refused.stderr
    assert "none for Python 3.13: use an environment of Python 3.8 to 3.12" in refused.stderr
    assert not (tmp_path / "m").exists()
    checked = without_mxnet("check", "kmeans")
    assert checked.code == 0, checked.text
    assert "training needs mxnet" in checked.text


@pytest.mark.parametrize("name", KIND)
def test_the_answers_of_an_exported_model_are_checked(name: str, without_mxnet: Algoshelf) -> None:
    checked = without_mxnet("check", name, "--model", name, "--json")
    assert checked.code == 0, checked.text
    statuses = {each["name"]: each["status"] for each in checked.json["checks"]}
    assert {
        name: statuses[name]
        for name in ("example", "fresh-process", "evaluation", "batches", "refused-requests")
    } == dict.fromkeys(
        ("example", "fresh-process", "evaluation", "batches", "refused-requests"), "passed"
    )
    assert statuses["training"] == statuses["onnx"] == "skipped"


def test_the_doctor_says_what_is_lacking_for_which_command(without_mxnet: Algoshelf) -> None:
    told = without_mxnet("doctor", "--json")
    assert told.code == 0, told.stderr
    checks = {each["name"]: each for each in told.json["checks"]}
    assert checks["mxnet"]["status"] == checks["Python"]["status"] == "absent"
    assert "`train`, `tune`, `export`, `benchmark`" in checks["mxnet"]["text"]
    assert checks["mxnet"]["fix"] == "an environment of Python 3.8 to 3.12"
    assert checks["self-test"]["status"] == "absent"
    assert checks["[onnx]"]["status"] == checks["[serve]"]["status"] == "ok"
    assert "`algoshelf sagemaker`" in checks["[sagemaker]"]["text"]
    assert checks["[sagemaker]"]["fix"] == "pip install 'algoshelf[sagemaker]'"
