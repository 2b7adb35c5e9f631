"""The image of `package --as container --engine onnx`: built on Python 3.13, and asked."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from algoshelf.core import codecs

from tests.conftest import Algoshelf
from tests.registry.packaging.test_answering import python_3_13 as python_3_13
from tests.toolkits.conftest import KMEANS, differences
from tests.toolkits.containers import SYSTEM_PATH, Container
from tests.toolkits.serving import serving

USER = "10001"
ENVIRONMENT = {
    "PATH": f"/opt/bin:/opt/algoshelf/bin:/opt/python/bin:{SYSTEM_PATH}",
    "LD_LIBRARY_PATH": "/opt/python/lib",
}


@pytest.mark.apart
def test_it_answers_as_mxnet_does_without_root_and_without_mxnet(
    able: None, python_3_13: str, iris_model: Path, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    packed = algoshelf(
        "package", iris_model, "--as", "container", "--engine", "onnx", "--output", "context"
    )
    assert packed.code == 0, packed.stderr
    context = tmp_path / "context"
    dockerfile = (context / "Dockerfile").read_text()
    lines = (context / "requirements.txt").read_text().splitlines()
    assert all(re.search(r"( --hash=sha256:[0-9a-f]{64}){1,2}$", line) for line in lines)
    assert f"\nUSER {USER}:{USER}\n" in dockerfile
    assert not {"mxnet", "gluoncv", "gluonnlp", "onnx"} & {line.split("==")[0] for line in lines}
    root = tmp_path / "image"
    for name in ("bin", "algoshelf", "ml", "empty"):
        (root / name).mkdir(parents=True)
    shutil.copy(context / "serve", root / "bin")
    mounts = {
        "/opt/python": Path(python_3_13).resolve().parents[1],
        "/opt/algoshelf": root / "algoshelf",
        "/opt/bin": root / "bin",
        "/opt/model": context / "model",
    }
    commands = re.findall(r"^RUN (.*/opt/algoshelf\b.*)$", dockerfile, re.MULTILINE)
    assert [each.split()[2] for each in commands] == ["venv", "--no-cache-dir", "--yes"]
    script = " && ".join(["cd /opt/build", *commands]).replace("python -m", "python3.13 -m")
    with Container(
        ["sh", "-c", script], root / "empty", environment=ENVIRONMENT,
        mounts={**mounts, "/opt/build": context},
    ) as build:  # fmt: skip
        assert build.wait(600) == 0, build.log
    expected = algoshelf(
        "predict", iris_model, "-", "--content-type", KMEANS.content_type, "--accept", codecs.JSON,
        "--engine", "mxnet", stdin=KMEANS.body.encode(),
    )  # fmt: skip
    assert expected.code == 0, expected.stderr
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "serve"]
    for ml in (root / "ml", tmp_path / "given"):  # the image's own model, then SageMaker's
        if ml.name == "given":
            shutil.copytree(context / "model", ml / "model")
            shutil.move(context / "model", tmp_path / "away")
            (context / "model").mkdir()
        with serving(ml, None, ENVIRONMENT, command=as_user, mounts=mounts) as endpoint:
            status, answer = endpoint.ask(KMEANS.body.encode(), KMEANS.content_type)
            assert status == 200, answer
            assert differences(json.loads(answer), expected.json) <= 1e-5
            assert endpoint.ask(b"x", "text/html")[0] == 415
            server = endpoint.container
            assert server.user == USER
            server.signal(signal.SIGTERM)
            assert server.wait(30) == 0, server.log
