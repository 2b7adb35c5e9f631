"""The SDK's own local mode: fit on one host and on two, deploy, predict, and a failure."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.toolkits.conftest import KMEANS, MNIST, Case, Shelf, differences, request_of
from tests.toolkits.contract import unpack
from tests.toolkits.serving import free_port

TOLERANCE = 1e-5
SHIM = """#!/bin/sh
exec {python} -m tests.toolkits.docker "$@"
"""


class LocalMode:
    """Runs local_mode.py, to which the stand-in is `docker`."""

    def __init__(self, folder: Path, sdk: Path, image: Path) -> None:
        self.folder = folder
        self.python = sdk / "bin" / "python"
        self.image = image
        self.log = folder / "containers.log"
        self.log.touch()
        programs = folder / "bin"
        programs.mkdir()
        (programs / "docker").write_text(SHIM.format(python=self.python))
        (programs / "docker").chmod(0o755)
        (folder / "sagemaker.yaml").write_text(
            "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"
        )

    def __call__(self, source: Path, case: Case, **given: Any) -> dict[str, Any]:
        for name in ("roots", "output"):
            (self.folder / name).mkdir(exist_ok=True)
        channels = {name: str(path) for name, path in case.channels(self.folder).items()}
        told = {
            "source": str(source),
            "hyperparameters": dict(case.hyperparameters),
            "channels": channels,
            "folder": str(self.folder / "roots"),
            "output": str(self.folder / "output"),
            "port": free_port(),
            "hosts": 1,
            **given,
        }
        done = subprocess.run(
            [self.python, ROOT / "tests" / "toolkits" / "local_mode.py", json.dumps(told)],
            env={
                **os.environ,
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "SAGEMAKER_USER_CONFIG_OVERRIDE": str(self.folder / "sagemaker.yaml"),
                "STAND_IN_IMAGE": str(self.image),
                "STAND_IN_LOG": str(self.log),
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr[-5000:]}\n{self.log.read_text()[-5000:]}"
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if "error" in found:  # the stand-in's own fault is nowhere else
            with self.log.open("a", encoding="utf-8") as log:
                log.write(done.stdout[-5000:])
        return found


@pytest.fixture
def local_mode(sdk: Path, image: Path, long: None, tmp_path: Path) -> LocalMode:
    return LocalMode(tmp_path, sdk, image)


def test_fit_deploy_and_predict(
    local_mode: LocalMode, shelf: Shelf, java: None, tmp_path: Path
) -> None:
    source = shelf.packed("kmeans", "script")
    body = request_of(KMEANS)
    found = local_mode(source, KMEANS, body=body.hex(), content_type=KMEANS.content_type)
    assert "error" not in found, local_mode.log.read_text()
    here = shelf.train(KMEANS, KMEANS.channels(tmp_path), tmp_path)
    expected = shelf.answer(here, body, KMEANS.content_type)
    assert differences(found["answer"], expected) <= TOLERANCE


def test_fit_on_two_hosts(local_mode: LocalMode, shelf: Shelf, tmp_path: Path) -> None:
    found = local_mode(shelf.packed("mnist-cnn", "script", "--offline"), MNIST, hosts=2)
    assert "error" not in found, local_mode.log.read_text()
    made = unpack(Path(found["model"].partition("file://")[2]), tmp_path / "made")
    here = shelf.train(MNIST, MNIST.channels(tmp_path), tmp_path, "--hosts", "2")
    there, expected = (
        shelf.answer(model, request_of(MNIST), MNIST.content_type) for model in (made, here)
    )
    assert differences(there, expected) <= TOLERANCE


def test_a_failure(local_mode: LocalMode, shelf: Shelf) -> None:
    case = Case("kmeans", {"k": "none"}, "", "")
    found = local_mode(shelf.packed("kmeans", "script"), case)
    assert "Process exited with code: 1" in found["error"]
    reason = "k: expected a whole number from 1 to 100000, got 'none'"
    assert f"error: {reason}" in local_mode.log.read_text()
