"""``export`` and ``adopt`` that are ended half-way, or run at once: no half of a file is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import mx
from algoshelf.core.runtime import params

from tests.conftest import Algoshelf

pytest.importorskip("onnxruntime")

# Waits, with what it has written, before that is safe on the disk and moved to its place.
HALF_WAY = """
import sys, time
from algoshelf.core.artifact import folder
from algoshelf.core.runtime import staging
def waiting(path):
    print("half way", flush=True)
    time.sleep(600)
staging.sync = folder.sync = waiting
from algoshelf.registry.cli import main
main(sys.argv[1:])
"""


def ended_half_way(number: int, *arguments: object) -> None:
    """Run a command until it has written what it is to write, and end it by a signal."""
    with subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        process.send_signal(number)
        assert process.wait() != 0


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def stages(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".stage-" in path.name]


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "m"))


@pytest.mark.parametrize(
    ("number", "earlier"),
    [
        (signal.SIGTERM, None),
        (signal.SIGKILL, b"an earlier one"),
        pytest.param(signal.SIGKILL, None, marks=pytest.mark.apart),
        pytest.param(signal.SIGTERM, b"an earlier one", marks=pytest.mark.apart),
    ],
)
def test_an_export_that_is_ended_leaves_the_model_as_it_was(
    number: signal.Signals, earlier: bytes | None, copy: Path, algoshelf: Algoshelf
) -> None:
    if earlier is not None:
        (copy / "model.onnx").write_bytes(earlier)
    before = files(copy)
    ended_half_way(number, "export", copy)
    left = {name: content for name, content in files(copy).items() if ".stage-" not in name}
    assert left == before
    assert number == signal.SIGKILL or not stages(copy)
    assert algoshelf("predict", copy, "--engine", "mxnet").code == 0
    again = algoshelf("export", copy)
    assert again.code == 0, again.stderr
    assert not stages(copy)
    assert algoshelf("predict", copy, "--engine", "onnx").code == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_adoption_that_is_ended_leaves_no_model(
    number: signal.Signals, tmp_path: Path, algoshelf: Algoshelf
) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {"arg:fc_weight": np.tile(values, (1, 196)), "arg:fc_bias": values[:, 0]}
    params.write(tmp_path / "old.params", arrays)
    flat = mx.sym.Flatten(mx.sym.var("data"))
    network = mx.sym.FullyConnected(flat, num_hidden=3, name="fc")
    (tmp_path / "old-symbol.json").write_text(network.tojson())
    words = (
        *("adopt", "--algorithm", "mnist-cnn", "--symbol", tmp_path / "old-symbol.json"),
        *("--params", tmp_path / "old.params", "--output", tmp_path / "m"),
    )
    ended_half_way(number, *words)
    assert not (tmp_path / "m").exists()
    assert number == signal.SIGKILL or not stages(tmp_path)
    again = algoshelf(*words)
    assert again.code == 0, again.stderr
    assert not stages(tmp_path)
    assert len(json.loads(algoshelf("predict", tmp_path / "m").text)["probabilities"]) == 3


def test_two_exports_at_once_leave_one_whole_file(copy: Path, algoshelf: Algoshelf) -> None:
    both = [algoshelf.start("export", copy) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    together = (copy / "model.onnx").read_bytes()
    assert not stages(copy)
    assert algoshelf("predict", copy, "--engine", "onnx").code == 0
    assert algoshelf("export", copy).code == 0
    assert (copy / "model.onnx").read_bytes() == together


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write where nobody else may")
def test_an_export_without_the_right_to_write_says_so(copy: Path, algoshelf: Algoshelf) -> None:
    before = files(copy)
    copy.chmod(0o500)
    try:
        refused = algoshelf("export", copy)
        assert refused.code == 1
        assert f"{copy / 'model.onnx'}: cannot be written" in refused.stderr
        elsewhere = algoshelf("export", copy, "--output", copy.parent / "other.onnx")
        assert elsewhere.code == 0, elsewhere.stderr
    finally:
        copy.chmod(0o700)
    assert files(copy) == before
