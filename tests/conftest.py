"""What the tests share: the real command line as a process, and a model trained once."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.registry.cli import main
from hypothesis import settings

# The same examples each time, however long one takes on a busy machine.
settings.register_profile("tests", derandomize=True, deadline=None, database=None)
settings.load_profile("tests")
# What a test starts heeds signals, be the tests run by nohup or in the background of a script.
for ignored in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        heed = signal.default_int_handler if ignored is signal.SIGINT else signal.SIG_DFL
        signal.signal(ignored, heed)
ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "algorithms" / "mnist_cnn" / "sample"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if "ALGOSHELF_LONG" not in os.environ:
        for item in items:
            if item.get_closest_marker("apart"):
                item.add_marker(pytest.mark.skip(reason="takes long: run `make long`"))


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


class InProcess(Algoshelf):
    """The same command line in the process of the tests, for what does not depend on a process of
    its own, which imports mxnet: 2 s of a processor each time.
    """

    def __call__(self, *arguments: object, stdin: bytes = b"", **environment: str) -> Result:
        streams = {
            name: io.TextIOWrapper(io.BytesIO(content), "utf-8", write_through=True)
            for name, content in (("stdin", stdin), ("stdout", b""), ("stderr", b""))
        }
        numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        handlers = [signal.getsignal(number) for number in numbers]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in {"COLUMNS": "100", **environment}.items():
                patch.setenv(name, value)
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            try:
                with pytest.raises(SystemExit) as ended:
                    main([str(argument) for argument in arguments])
            finally:
                for number, handler in zip(numbers, handlers):
                    signal.signal(number, handler)
        out, err = (streams[name].buffer for name in ("stdout", "stderr"))
        assert isinstance(out, io.BytesIO)
        assert isinstance(err, io.BytesIO)
        return Result(int(ended.value.code or 0), out.getvalue(), err.getvalue().decode())


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def algoshelf(tmp_path: Path) -> Algoshelf:
    return Algoshelf(tmp_path)


@pytest.fixture
def in_process(tmp_path: Path) -> InProcess:
    return InProcess(tmp_path)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name``, which ``make`` fills for all workers of pytest-xdist."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / name
    with (shared / f"{name}.made").open("a+") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        if not made.seek(0, os.SEEK_END):
            folder.mkdir(exist_ok=True)
            make(folder)
            made.write("once")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mnist-cnn after one epoch on the bundled sample."""

    def make(folder: Path) -> None:
        result = Algoshelf(folder)("train", "mnist-cnn", "--epochs", 1, "--output", "m")
        assert result.code == 0, result.stderr

    return made_once(tmp_path_factory, "model", make) / "m"


@pytest.fixture(scope="session")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands of docs/updating.md have run on this machine."""
    from tests.project.test_docs import blocks
    from tests.support_updating import DOCUMENT, carry_out

    lines = [line for block in blocks(DOCUMENT, "sh") for line in block.splitlines()]
    return made_once(tmp_path_factory, "updating", lambda folder: carry_out(lines, folder))


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 digits of the sample: enough where it matters that mnist-cnn trains, not what."""
    path = tmp_path_factory.mktemp("few") / "digits.npz"
    images = np.frombuffer(_gunzip("t10k-images-idx3-ubyte.gz"), np.uint8, offset=16)
    labels = np.frombuffer(_gunzip("t10k-labels-idx1-ubyte.gz"), np.uint8, offset=8)
    np.savez(path, x=images.reshape(-1, 28, 28)[:500], y=labels[:500])
    return path


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
def forecasting_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """forecasting's small network after one epoch on the bundled sample, a year ahead."""

    def make(folder: Path) -> None:
        size = ("--prediction-length", 12, "--hidden", 16, "--layers", 1)
        result = InProcess(folder)("train", "forecasting", "--epochs", 1, *size, "--output", "m")
        assert result.code == 0, result.stderr

    return made_once(tmp_path_factory, "forecasting", make) / "m"


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
