"""``package --engine onnx``: what answers on Python 3.13 without mxnet, as mxnet answers here."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from algoshelf.core import codecs
from algoshelf.registry.packaging import locks
from packaging.requirements import Requirement

from tests.conftest import Algoshelf, made_once
from tests.registry.packaging.test_package import contents, fake_wheel
from tests.toolkits.conftest import differences

LIMIT = 250 * 2**20  # of AWS Lambda, unpacked
# Calls the function as Lambda does, in an interpreter that has nothing but the archive: each line
# of stdin is an event.
CALL = """
import sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import importlib, json
handler = importlib.import_module("lambda_function").lambda_handler
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), None)))
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
strange = [path for path in sys.path[1:] if "site-packages" in path]
print(json.dumps({"mxnet": "mxnet" in sys.modules, "strange": strange, "peak_kib": peak}))
"""


@pytest.fixture(scope="session")
def python_3_13() -> str:
    """A Python 3.13 of this machine."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [*sorted(pyenv.glob("3.13.*/bin/python")), shutil.which("python3.13")]
    check = "import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 13))"
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", check], capture_output=True, check=False)
        if done.returncode == 0:
            return str(candidate)
    pytest.skip("there is no Python 3.13")


@pytest.fixture(scope="session")
def function(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The function of mnist-cnn, unpacked as Lambda does it, and what may not be written."""

    def make(folder: Path) -> None:
        packed = Algoshelf(folder)("package", model, "--as", "lambda", "--output", "packed")
        assert packed.code == 0, packed.stderr
        with zipfile.ZipFile(folder / "packed" / "function.zip") as archive:
            assert sum(member.file_size for member in archive.infolist()) < LIMIT
            archive.extractall(folder / "task")

    return made_once(tmp_path_factory, "function", make) / "task"


def test_the_function_answers_as_mxnet_does_with_nothing_but_its_archive(
    function: Path, model: Path, python_3_13: str, digits: Any, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    images, _ = digits
    body = codecs.encode_npy(images[:7])
    headers = {"content-type": codecs.NPY, "accept": codecs.JSON}
    event = {
        "version": "2.0",
        "requestContext": {"http": {"method": "POST"}},
        "headers": headers,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    events = [event, {"httpMethod": "GET"}, {"body": 1}, {**event, "headers": {}}]
    done = subprocess.run(
        [python_3_13, "-I", "-S", "-c", CALL, str(function)],
        cwd="/",
        input="".join(json.dumps(each) + "\n" for each in events).encode(),
        env={"HOME": str(tmp_path)},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    answered, ready, malformed, untyped, found = map(json.loads, done.stdout.splitlines())
    assert answered["statusCode"] == 200, answered
    given = ("--content-type", codecs.NPY, "--accept", codecs.JSON, "--engine", "mxnet")
    expected = algoshelf("predict", model, "-", *given, stdin=body)
    assert expected.code == 0, expected.stderr
    assert differences(json.loads(answered["body"]), expected.json) <= 1e-5
    assert [each["statusCode"] for each in (ready, malformed, untyped)] == [200, 400, 415]
    assert not found["mxnet"]
    assert not found["strange"]
    assert found["peak_kib"] < 400 * 1024
    assert not list(tmp_path.iterdir())
    assert not list(function.rglob("__pycache__"))


def test_the_folder_of_the_model_stays_as_it_is_and_the_archive_has_its_export(
    iris_model: Path, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    before = contents(iris_model)
    for name in ("one", "two"):
        options = ("--as", "model", "--engine", "onnx", "--output", name)
        packed = algoshelf("package", iris_model, *options, "--json")
        assert packed.code == 0, packed.stderr
        assert packed.json["engine"] == "onnx"
    assert contents(iris_model) == before
    archive = tmp_path / "one" / "model.tar.gz"
    assert archive.read_bytes() == (tmp_path / "two" / "model.tar.gz").read_bytes()
    with tarfile.open(archive) as members:
        names = set(members.getnames())
        members.extractall(tmp_path / "model")
    assert names == {"algorithm.json", "model-0000.params", "model-symbol.json", "model.onnx"}
    options = ("--accept", codecs.JSON, "--engine")
    by_onnx = algoshelf("predict", tmp_path / "model", *options, "onnx")
    by_mxnet = algoshelf("predict", iris_model, *options, "mxnet")
    assert by_onnx.code == 0, by_onnx.stderr
    assert differences(by_onnx.json, by_mxnet.json) <= 1e-5


def test_an_export_of_another_model_is_refused(
    iris_model: Path, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    copy = shutil.copytree(iris_model, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"another")
    packed = algoshelf("package", "copy", "--as", "model", "--engine", "onnx", "--output", "out")
    assert packed.code == 2
    assert "model.onnx" in packed.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("kmeans", "--as", "script", "--engine", "onnx"), "a script trains"),
        (("kmeans", "--as", "container", "--engine", "onnx"), "give a folder"),
        (("kmeans", "--as", "lambda"), "give a folder"),
        (("kmeans", "--as", "lambda", "--engine", "mxnet"), "too large for AWS Lambda"),
        (("MODEL", "--as", "lambda", "--offline"), "--offline does not apply"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: tuple[str, ...], said: str, iris_model: Path, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    given = [iris_model if word == "MODEL" else word for word in arguments]
    refused = algoshelf("package", *given, "--output", "out")
    assert refused.code == 2, refused.stderr
    assert said in refused.stderr
    assert not list(tmp_path.iterdir())


def index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip looks for wheels, and nowhere else."""
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def require(folder: Path, name: str, *lines: str) -> None:
    """Have the wheel of ``name`` require ``lines``."""
    (path,) = folder.glob(f"{name}-*.whl")
    with zipfile.ZipFile(path) as wheel:
        parts = {member: wheel.read(member) for member in wheel.namelist()}
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in parts.items():
            more = "".join(f"Requires-Dist: {line}\n" for line in lines)
            wheel.writestr(member, content.decode() + (more if "METADATA" in member else ""))


def test_markers_are_those_of_the_image_and_not_of_this_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = index(tmp_path / "index", monkeypatch)
    for name in ("root", "young", "old", "arm", "extra"):
        fake_wheel(there, name, "1.0")
    require(
        there, "root", 'young>=1; python_version >= "3.13"', 'old; python_version < "3.13"',
        'arm; platform_machine == "aarch64"', 'extra; extra == "more"',
    )  # fmt: skip
    require(there, "extra", 'old; extra == "never"')
    assert sys.version_info[:2] != (3, 13)
    plain = locks.locked([Requirement("root")])
    assert [re.sub(" --hash.*", "", line) for line in plain] == [
        'arm==1.0 ; platform_machine == "aarch64"', "root==1.0", "young==1.0",
    ]  # fmt: skip
    assert all(re.search(r" --hash=sha256:[0-9a-f]{64}$", line) for line in plain)
    more = locks.locked([Requirement("root[more]")], ["x86_64"])
    assert [line.split("==")[0] for line in more] == ["extra", "root", "young"]


def test_versions_that_requirements_found_later_refuse_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = index(tmp_path / "index", monkeypatch)
    for name, version in (("root", "1.0"), ("strict", "1.0"), ("shared", "1.0"), ("shared", "2.0")):
        fake_wheel(there, name, version)
    require(there, "root", "strict", "shared")
    require(there, "strict", "shared<2")
    lines = locks.locked([Requirement("root")])
    assert [line.split(" ")[0] for line in lines] == ["root==1.0", "shared==1.0", "strict==1.0"]
