"""What the tests share: the real command line as a process, and a model trained once."""

from __future__ import annotations

import gzip
import json
import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "algorithms" / "mnist_cnn" / "sample"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Algoshelf:
    """The command ``algoshelf`` of one environment, run in one folder."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.python = python

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Run it beside the test, which reads its stderr and ends it."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=self.folder,
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        return [str(Path(self.python).parent / "algoshelf"), *map(str, arguments)]

    def __call__(self, *arguments: object, stdin: bytes = b"", **environment: str) -> Result:
        done = subprocess.run(
            self._command(arguments),
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "100", **environment},
            input=stdin,
            capture_output=True,
            timeout=300,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr.decode())


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def algoshelf(tmp_path: Path) -> Algoshelf:
    return Algoshelf(tmp_path)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mnist-cnn after one epoch on the bundled sample."""
    folder = tmp_path_factory.mktemp("model")
    result = Algoshelf(folder)("train", "mnist-cnn", "--epochs", 1, "--output", "m")
    assert result.code == 0, result.stderr
    return folder / "m"


@pytest.fixture(scope="session")
def iris_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kmeans with three clusters of the bundled sample, trained in this process."""
    from algoshelf.algorithms.kmeans import IRIS, KMeans
    from algoshelf.core import Reporter, train

    folder = tmp_path_factory.mktemp("kmeans") / "m"
    options = KMeans.Hyperparameters(k=3)
    train(KMeans(), {"train": IRIS}, options, folder, reporter=Reporter())
    return folder


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """100 images (100, 28, 28) uint8 and labels (100,) of the bundled sample, ten of each digit."""
    images = np.frombuffer(_gunzip("t10k-images-idx3-ubyte.gz"), np.uint8, offset=16)
    labels = np.frombuffer(_gunzip("t10k-labels-idx1-ubyte.gz"), np.uint8, offset=8)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:10] for digit in range(10)])
    return images.reshape(-1, 28, 28)[chosen], labels[chosen]


def _gunzip(name: str) -> bytes:
    return gzip.decompress((SAMPLE / name).read_bytes())


def write_idx(path: Path, array: np.ndarray) -> None:
    """``array`` (uint8) as an IDX file, gzipped where the name says so."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
