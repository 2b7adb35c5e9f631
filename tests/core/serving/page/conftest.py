"""Models to ask by hand: of texts, pictures and rows, and of a plugin that brings its widget."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, Algoshelf, made_once
from tests.project.test_docs import blocks
from tests.registry.conftest import install

# Names of classes that would be markup, scripts, or read from right to left.
HOSTILE = (
    '<img src=x onerror="document.title=1">',
    "<script>document.title=1</script>",
    "חיובי 🎉",
)

PLUGIN = """
from algoshelf.core import (
    ArrayDataset, Classifier, ContentType, TrainingHyperparameters, codecs, files, hookimpl, mx,
    supervised_channels,
)

class AcmeDial(Classifier[TrainingHyperparameters]):
    name = "acme-dial"
    task = "classification"
    summary = "Tells flowers apart, asked by a dial & <b>its own widget</b>."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("CSV: the class first, then four numbers")
    accepts = (ContentType(codecs.CSV, "four numbers a line", "5.1,3.5,1.4,0.2"),)
    widget = "acme_dial.js"

    def dataset(self, path, channel, hyperparameters, encoding=None):
        features, labels = files.read_labelled_csv(path, features=4, labels=3)
        return ArrayDataset(features, labels, ("red", "green", "blue"))

    def network(self, hyperparameters, data):
        return mx.gluon.nn.Dense(3)

@hookimpl
def algoshelf_algorithms():
    return [AcmeDial]
"""
# The widget that docs/extending.md shows.
[WIDGET] = blocks(ROOT / "docs" / "extending.md", "js")


@dataclass(frozen=True)
class Plugin:
    """Where the plugin is installed, its model, and the environment that finds it."""

    site: Path
    model: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{self.site}{os.pathsep}{ROOT}"}


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    def make(folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        install(site, "acme-dial", PLUGIN)
        (site / "acme_dial.js").write_text(WIDGET)
        rows = [f"{i % 3},{5 + i % 3},3.5,{1 + 2 * (i % 3)},0.2" for i in range(60)]
        (folder / "train.csv").write_text("\n".join(rows) + "\n")
        plugin = Plugin(site, folder / "m")
        done = Algoshelf(folder)(
            "train", "acme-dial", "--train", "train.csv", "--epochs", 2, "--output", "m",
            **plugin.environment,
        )  # fmt: skip
        assert done.code == 0, done.stderr

    folder = made_once(tmp_path_factory, "page-plugin", make)
    return Plugin(folder / "site", folder / "m")


@pytest.fixture(scope="session")
def reviews_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of n-grams of the bundled sample's reviews, trained in seconds."""

    def make(folder: Path) -> None:
        options = ("--network", "ngram", "--epochs", 2, "--output", "m")
        done = Algoshelf(folder)("train", "text-classification", *options)
        assert done.code == 0, done.stderr

    return made_once(tmp_path_factory, "page-reviews", make) / "m"


@pytest.fixture(scope="session")
def hostile_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts whose classes have HOSTILE names."""

    def make(folder: Path) -> None:
        words = ("good fine warm", "bad dull cold", "blue green red")
        lines = [
            f"{text} {number}\t{name}" for number in range(30) for text, name in zip(words, HOSTILE)
        ]
        (folder / "train.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n", "utf-8")
        done = Algoshelf(folder)(
            "train", "text-classification", "--train", "train.tsv", "--network", "ngram",
            "--epochs", 2, "--output", "m",
        )  # fmt: skip
        assert done.code == 0, done.stderr

    return made_once(tmp_path_factory, "page-hostile", make) / "m"


@pytest.fixture(scope="session")
def photographs() -> list[tuple[int, Image.Image]]:
    """The first 60 of the bundled sample of CIFAR-10, with the numbers of their classes."""
    sample = ROOT / "algorithms" / "image_classification" / "sample" / "test_batch.bin.gz"
    records = np.frombuffer(gzip.decompress(sample.read_bytes()), np.uint8).reshape(-1, 3073)[:60]
    return [
        (int(record[0]), Image.fromarray(record[1:].reshape(3, 32, 32).transpose(1, 2, 0)))
        for record in records
    ]


@pytest.fixture(scope="session")
def pictures_model(
    tmp_path_factory: pytest.TempPathFactory, photographs: list[tuple[int, Image.Image]]
) -> Path:
    """The smallest network on 60 photographs, of machines and of animals."""

    def make(folder: Path) -> None:
        for place, (label, picture) in enumerate(photographs):
            kind = folder / "train" / ("machine" if label in (0, 1, 8, 9) else "animal")
            kind.mkdir(parents=True, exist_ok=True)
            picture.save(kind / f"{place}.png")
        done = Algoshelf(folder)(
            "train", "image-classification", "--train", "train", "--epochs", 1,
            "--batch-size", 20, "--output", "m",
        )  # fmt: skip
        assert done.code == 0, done.stderr

    return made_once(tmp_path_factory, "page-pictures", make) / "m"
