"""What the servers are asked: per algorithm a small model, its request bodies, and the answers
that the same handlers give within this process.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable

import numpy as np
from command import ALGOSHELF
from load_client import Answer, request

ALGORITHMS = Path(__file__).resolve().parents[1] / "algorithms"
# Of a picture's side, a quarter of a pixel: a box is an exponential of what a network of dozens of
# layers gives, which its operators, fused, round otherwise.
BOX_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Workload:
    """``body(rng, most)`` draws the body of a request with one to ``most`` examples; an answer is
    right where its numbers differ by no more than ``tolerance``.
    """

    algorithm: str
    content_type: str
    accept: str
    training: tuple[str, ...]
    entry: str
    body: Callable[[np.random.Generator, int], bytes]
    tolerance: float = 1e-5

    def train(self, folder: Path, seed: int = 1) -> Path:
        """A small model, trained on the bundled sample."""
        command = [ALGOSHELF, "train", self.algorithm, *self.training, "--seed", str(seed)]
        with Path(f"{folder}.log").open("w") as log:
            subprocess.run([*command, "--output", str(folder)], check=True, stderr=log, stdout=log)
        return folder

    def bodies(self, count: int, most: int, seed: int = 0) -> list[bytes]:
        rng = np.random.default_rng(seed)
        return [self.body(rng, most) for _ in range(count)]

    def requests(self, bodies: Iterable[bytes], path: str = "/invocations") -> list[bytes]:
        return [request(path, body, self.content_type, self.accept) for body in bodies]

    def expected(self, model: Path, bodies: Iterable[bytes]) -> list[Any]:
        """The answers, decoded, of the model loaded here, each request by itself."""
        from algoshelf.core.inference.handlers import Handlers
        from algoshelf.registry.discovery import catalog

        handlers = Handlers.load(catalog().get(self.algorithm).algorithm, model, engine="mxnet")
        return [
            self.decoded(handlers.invoke(body, self.content_type, self.accept)) for body in bodies
        ]

    def decoded(self, body: bytes) -> Any:
        if self.accept == "application/x-npy":
            return np.load(io.BytesIO(body))
        return json.loads(body)


def difference(one: Any, other: Any) -> float:
    """The largest difference of two numbers that stand in the same place; infinity where the
    answers differ in anything but numbers. Relative for numbers above 1.
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((difference(one[name], other[name]) for name in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max(map(difference, one, other), default=0.0)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.shape == other.shape:
        apart = np.abs(one.astype(np.float64) - other) / np.maximum(1, np.abs(one))
        return float(apart.max()) if np.isfinite(apart).all() else float("inf")
    if _is_number(one) and _is_number(other):
        apart = abs(one - other) / max(1.0, abs(one))
        return float(apart) if math.isfinite(apart) else float("inf")  # max() passes over a NaN
    return 0.0 if type(one) is type(other) and np.all(one == other) else float("inf")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Verdict:
    """How the answers 200 compare: ``right`` and ``wrong`` count them, ``largest`` is the largest
    difference that a right one had, ``by_model`` how many were those of each model.
    """

    right: int
    wrong: int
    largest: float
    by_model: list[int]
    examples_of_wrong: list[str]


def judge(work: Workload, answers: Iterable[Answer], *models: list[Any]) -> Verdict:
    """Compares every answer with those expected; it must be that of one of the ``models``."""
    by_model = [0] * len(models)
    largest, wrong, shown = 0.0, 0, []
    for answer in answers:
        if answer.status != 200:
            continue
        try:
            body = work.decoded(answer.body)
            apart = [difference(expected[answer.request], body) for expected in models]
        except ValueError:
            apart = [float("inf")]
        nearest = int(np.argmin(apart))
        if apart[nearest] <= work.tolerance:
            by_model[nearest] += answer.count
            largest = max(largest, apart[nearest])
        else:
            wrong += answer.count
            shown.append(f"request {answer.request}: {answer.body[:200]!r}, off {apart[nearest]}")
    return Verdict(sum(by_model), wrong, largest, by_model, shown[:10])


@functools.lru_cache(maxsize=None)
def _sample(name: str) -> bytes:
    return gzip.decompress((ALGORITHMS / name).read_bytes())


def _digits(rng: np.random.Generator, most: int) -> bytes:
    """Test digits with noise, an npy (N, 1, 28, 28) float32 in [0, 1]."""
    content = _sample("mnist_cnn/sample/t10k-images-idx3-ubyte.gz")
    images = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    chosen = images[rng.integers(len(images), size=rng.integers(1, most + 1))] / 255
    noisy = np.clip(chosen + rng.normal(0, 0.1, chosen.shape), 0, 1).astype(np.float32)
    buffer = io.BytesIO()
    np.save(buffer, noisy)
    return buffer.getvalue()


def _picture(rng: np.random.Generator, most: int) -> bytes:
    """A test picture of CIFAR-10 as a JPEG; always one."""
    from PIL import Image

    content = _sample("image_classification/sample/test_batch.bin.gz")
    pictures = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)[:, 1:]
    pixels = pictures[rng.integers(len(pictures))].reshape(3, 32, 32).transpose(1, 2, 0)
    turned = np.roll(pixels, rng.integers(-8, 9, 2), (0, 1))
    buffer = io.BytesIO()
    Image.fromarray(turned).save(buffer, "JPEG", quality=int(rng.integers(60, 96)))
    return buffer.getvalue()


def _cells(rng: np.random.Generator, most: int) -> bytes:
    """A bundled picture of blood cells as a JPEG, moved; always one."""
    from PIL import Image

    paths = sorted((ALGORITHMS / "object_detection" / "sample").glob("*.jpg"))
    pixels = np.asarray(Image.open(paths[int(rng.integers(len(paths)))]))
    buffer = io.BytesIO()
    moved = np.roll(pixels, rng.integers(-40, 41, 2), (0, 1))
    Image.fromarray(moved).save(buffer, "JPEG", quality=int(rng.integers(60, 96)))
    return buffer.getvalue()


def _texts(rng: np.random.Generator, most: int) -> bytes:
    """Texts, each the beginning of one test sentence and the end of another, as JSON."""
    lines = _sample("text_classification/sample/test.tsv.gz").decode().splitlines()[1:]

    def text() -> str:
        one, other = (lines[i].split("\t")[0].split(" ") for i in rng.integers(len(lines), size=2))
        return " ".join(one[: len(one) // 2] + other[len(other) // 2 :])

    return json.dumps({"instances": [text() for _ in range(rng.integers(1, most + 1))]}).encode()


def _rows(rng: np.random.Generator, most: int) -> bytes:
    """Rows of four numbers in the range of the irises, as CSV."""
    rows = rng.uniform((4, 2, 1, 0), (8, 5, 7, 3), (rng.integers(1, most + 1), 4))
    return "".join(",".join(f"{v:.3f}" for v in row) + "\n" for row in rows).encode()


def _people(rng: np.random.Generator, most: int) -> bytes:
    """Rows of the test part of Adult, as JSON objects, each without one of its columns."""
    lines = _sample("tabular/sample/test.csv.gz").decode().splitlines()
    names = lines[0].split(",")[:-1]

    def person() -> dict[str, str]:
        row = dict(zip(names, lines[int(rng.integers(1, len(lines)))].split(",")))
        del row[names[int(rng.integers(len(names)))]]
        return row

    return json.dumps({"instances": [person() for _ in range(rng.integers(1, most + 1))]}).encode()


def _questions(rng: np.random.Generator, most: int) -> bytes:
    """Scores, best items and similar items of the bundled sample, as JSON."""

    def question() -> dict[str, Any]:
        user, item = f"user-{rng.integers(1, 250):03}", f"synthetic-{rng.integers(1, 125):03}"
        kinds: tuple[dict[str, Any], ...] = (
            {"user": user, "item": item}, {"user": user, "top": 5}, {"item": item, "similar": 5}
        )  # fmt: skip
        return kinds[int(rng.integers(3))]

    asked = [question() for _ in range(rng.integers(1, most + 1))]
    return json.dumps({"instances": asked}).encode()


def _series(rng: np.random.Generator, most: int) -> bytes:
    """Monthly series of up to ten years with gaps, as DeepAR takes them, as JSON."""

    def one() -> dict[str, Any]:
        values: list[float | None] = rng.gamma(2, 50, rng.integers(1, 120)).round(1).tolist()
        values[int(rng.integers(len(values)))] = None
        return {"start": f"{rng.integers(1990, 2020)}-{rng.integers(1, 13):02}", "target": values}

    asked = {"instances": [one() for _ in range(rng.integers(1, most + 1))]}
    return json.dumps(asked).encode()


JSON = "application/json"
NPY = "application/x-npy"
WORKLOADS = {
    work.algorithm: work
    for work in (
        Workload(
            "mnist-cnn", NPY, NPY, ("--epochs", "1"), "gluon", _digits,
        ),
        Workload(
            "image-classification", "image/jpeg", JSON,
            ("--network", "cifar_resnet20_v1", "--epochs", "8"), "handlers", _picture,
        ),
        Workload(
            "object-detection", "image/jpeg", JSON,
            ("--image-size", "256", "--epochs", "4", "--threshold", "0.1"), "handlers", _cells,
            BOX_TOLERANCE,
        ),
        Workload("text-classification", JSON, JSON, ("--epochs", "1"), "handlers", _texts),
        Workload("text-embedding", JSON, JSON, (), "handlers", _texts),
        Workload("kmeans", "text/csv", JSON, ("--k", "3"), "handlers", _rows),
        Workload("tabular", JSON, JSON, ("--epochs", "1"), "handlers", _people),
        Workload("recommender", JSON, JSON, ("--epochs", "1"), "handlers", _questions),
        Workload("forecasting", JSON, JSON, ("--epochs", "1"), "handlers", _series),
    )
}  # fmt: skip
