"""AWS's toolkits in environments of their own, and the algorithms that run there.

`make toolkits` builds the environments and runs everything. Other runs of the tests skip what needs
an environment that is not there, and what takes long.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np
import pytest
from algoshelf.core import codecs
from algoshelf.registry import catalog

from tests import support_bert
from tests.conftest import ROOT, Algoshelf, write_idx
from tests.registry.aws.conftest import aws as aws
from tests.registry.aws.conftest import loader as loader
from tests.registry.aws.conftest import sdk_of_aws as sdk_of_aws
from tests.registry.conftest import Site
from tests.toolkits import containers
from tests.toolkits.own import Builder

ENVIRONMENTS = Path(os.environ.get("ALGOSHELF_TOOLKITS", ROOT / ".venv-toolkits"))
ACME_FOLDER = ROOT / "tests" / "registry" / "acme-tabular"
ACME_ROWS = "".join(
    f"{i % 3},{i % 3 + i % 5 / 10},{i % 7 / 10},{i % 3 == 1:d},{i % 3 == 2:d}\n" for i in range(300)
)


@dataclass(frozen=True)
class Case:
    """An algorithm, hyperparameters that train it in seconds, and a request of several examples."""

    name: str
    hyperparameters: Mapping[str, Any]
    body: str
    content_type: str
    weights: bool = False  # of a tiny BERT, by the channel "model"

    def __str__(self) -> str:
        return f"{self.name}-bert" if self.weights else self.name

    def channels(self, folder: Path) -> dict[str, Path]:
        """A part of the bundled sample, or a stranger's rows, written into ``folder``."""
        channels = _write_channels(self.name, folder / "channels")
        if self.weights:
            folder = folder / "weights"
            if not folder.exists():
                support_bert.weights(folder, _texts())
            channels["model"] = folder
        return channels


def _write_channels(name: str, folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    if name == "acme-tabular":
        (folder / "rows.csv").write_text(ACME_ROWS)
        return {"train": folder / "rows.csv"}
    sample = catalog().get(name).algorithm.sample()
    if name == "mnist-cnn":
        for kind, offset, shape in (("images-idx3", 16, (-1, 28, 28)), ("labels-idx1", 8, (-1,))):
            for file in (f"train-{kind}-ubyte.gz", f"t10k-{kind}-ubyte.gz"):
                write_idx(folder / file, _digits(file, offset).reshape(shape)[::8])
        return {"train": folder, "test": folder}
    if name == "image-classification":
        (folder / "data_batch_1.bin").write_bytes(_pictures()[::4].tobytes())
        return {"train": folder}
    if name in ("text-classification", "text-embedding"):
        (folder / "texts.tsv").write_text("\n".join(_texts()))
        return {"train": folder / "texts.tsv"}
    return sample


MNIST = Case("mnist-cnn", {"epochs": 1}, "", codecs.NPY)
KMEANS = Case("kmeans", {"k": 3, "restarts": 2}, "5.1,3.5,1.4,0.2\n6.2,3.4,5.4,2.3\n", codecs.CSV)
ACME = Case("acme-tabular", {"epochs": 2}, "0.1,0.2,0,0\n2.2,0.3,0,1\n", codecs.CSV)
CASES = [
    MNIST,
    KMEANS,
    Case(
        "text-classification",
        {"epochs": 1, "dimensions": 20, "maps": 20},
        '{"instances": ["a joy from beginning to end", "I want my two hours back"]}',
        codecs.JSON,
    ),
    Case(
        "text-classification",
        {"epochs": 1, "network": "bert"},
        '{"instances": ["a joy from beginning to end", "I want my two hours back"]}',
        codecs.JSON,
        weights=True,
    ),
    Case(
        "text-embedding",
        {"network": "bert", "neighbours": 3},
        '{"instances": ["a joy", {"text": "dull"}]}',
        codecs.JSON,
        weights=True,
    ),
    Case(
        "forecasting",
        {"epochs": 2, "hidden": 16, "layers": 1},
        json.dumps({"instances": [{"start": "2020-01", "target": [*range(30)]}]}),
        codecs.JSON,
    ),
    Case("image-classification", {"epochs": 1, "batch_size": 100}, "", codecs.NPY),
    Case("object-detection", {"epochs": 1, "image_size": 64, "width": 16}, "", "image/jpeg"),
    ACME,
]


class Shelf(Site):
    """The command line with the third-party plugin, installed by pip, and what it has packed."""

    def __init__(self, folder: Path, edit: Callable[[str], str] | None = None) -> None:
        super().__init__(Algoshelf(folder), folder / "site")
        source = shutil.copytree(ACME_FOLDER, folder / "acme-tabular")
        if edit is not None:
            module = source / "acme_tabular.py"
            module.write_text(edit(module.read_text()))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--target", str(self.folder), str(source)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        self._packed: dict[tuple[str, ...], Path] = {}

    def packed(self, what: str | Path, kind: str, *options: str) -> Path:
        """The folder that ``package`` wrote."""
        key = (str(what), kind, *options)
        if key not in self._packed:
            target = self.algoshelf.folder / f"packed-{len(self._packed)}"
            done = self("package", what, "--as", kind, "--output", target, *options)
            assert done.code == 0, done.stderr
            self._packed[key] = target
        return self._packed[key]

    def train(self, case: Case, channels: Mapping[str, Path], folder: Path, *options: str) -> Path:
        """The model that is trained here, of the same channels."""
        given = [word for name, path in channels.items() for word in (f"--{name}", path)]
        for name, value in case.hyperparameters.items():
            given += [f"--{name.replace('_', '-')}", value]
        done = self("train", case.name, *given, *options, "--output", folder / "model")
        assert done.code == 0, done.stderr
        return folder / "model"

    def answer(self, model: Path, body: bytes, content_type: str) -> Any:
        given = ("--content-type", content_type, "--accept", codecs.JSON)
        done = self("predict", model, "-", *given, stdin=body)
        assert done.code == 0, done.stderr
        return done.json


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="session")
def able() -> None:
    """Skips where no container can run."""
    reason = containers.missing()
    if reason:
        pytest.skip(f"no containers without Docker here: {reason}")


@pytest.fixture(scope="session")
def image(able: None) -> Path:
    """AWS's MXNet image, as an environment with its toolkits."""
    return _environment("image")


@pytest.fixture(scope="session")
def sdk(able: None) -> Path:
    """The SageMaker SDK, version 2."""
    return _environment("sdk")


@pytest.fixture(scope="session")
def java() -> None:
    if containers.missing_java():
        pytest.skip(f"multi-model-server needs Java: {containers.missing_java()}")


@pytest.fixture(scope="session")
def long() -> None:
    if "ALGOSHELF_LONG" not in os.environ:
        pytest.skip("takes long: run `make toolkits`")


def _environment(name: str) -> Path:
    folder = ENVIRONMENTS / name
    if not (folder / "bin" / "python").exists():
        pytest.skip(f"AWS's toolkits are not installed ({folder}): run `make toolkits`")
    return folder.resolve()


def request_of(case: Case) -> bytes:
    """The body of a request with several examples, of the bundled sample."""
    if case.body:
        return case.body.encode()
    if case.name == "mnist-cnn":
        digits = _digits("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        return codecs.encode_npy(digits[:5])
    if case.name == "object-detection":
        folder = catalog().get("object-detection").algorithm.sample()["test"]
        return sorted(folder.glob("test-*.jpg"))[0].read_bytes()
    pictures = _pictures()[:5, 1:].reshape(-1, 3, 32, 32)
    return codecs.encode_npy(np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)))


def _texts() -> list[str]:
    """The lines of a table of labelled texts: a part of text-classification's sample."""
    file = catalog().get("text-classification").algorithm.sample()["test"]
    return gzip.decompress(file.read_bytes()).decode().splitlines()


def _digits(name: str, offset: int) -> np.ndarray:
    """The content of an IDX file of mnist-cnn's sample, without its header."""
    content = (catalog().get("mnist-cnn").algorithm.sample()["train"] / name).read_bytes()
    return np.frombuffer(gzip.decompress(content), np.uint8, offset=offset)


def _pictures() -> np.ndarray:
    """CIFAR-10's records (N, 3073) of image-classification's sample: a class, then a picture."""
    folder = catalog().get("image-classification").algorithm.sample()["train"]
    content = gzip.decompress((folder / "data_batch_1.bin.gz").read_bytes())
    return np.frombuffer(content, np.uint8).reshape(-1, 3073)


def differences(one: Any, other: Any) -> float:
    """The largest difference of two numbers in the same place; infinite where else they differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((differences(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max((differences(*pair) for pair in zip(one, other)), default=0.0)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    return 0.0 if one == other else float("inf")


@pytest.fixture(scope="session")
def builder(able: None, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("images"))
