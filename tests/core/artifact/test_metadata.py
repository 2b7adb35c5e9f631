"""All that goes into algorithm.json is checked before the first step, not after the last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest
from algoshelf.core import (
    Array,
    Artifact,
    Classifier,
    ContentType,
    DataError,
    ImageFiles,
    PluginError,
    Reporter,
    TrainingHyperparameters,
    codecs,
    mx,
    supervised_channels,
    train,
)

from tests.conftest import Algoshelf
from tests.core.data.packs import png


class Steps(Reporter):
    """How many steps were taken."""

    taken = 0

    def step(self, step: int) -> None:
        self.taken = max(self.taken, step)


class Pictures(Classifier[TrainingHyperparameters]):
    """Pictures in folders, each named as its class; ``more`` goes into the encoding."""

    name = "pictures"
    task = "test"
    summary = "pictures"
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("folders")
    accepts = (ContentType(codecs.JSON, "pictures"),)
    more: Mapping[str, Any] = {}

    def dataset(self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None) -> Any:
        def decode(body: bytes) -> Array:
            return np.asarray(codecs.decode_image(body, mode="L", size=(5, 5)), np.float32) / 255

        more = self.more

        class Folders(ImageFiles):
            @property
            def encoding(self) -> Mapping[str, Any]:
                return {**super().encoding, **more}

        return Folders.from_folders(path, decode)

    def network(self, hyperparameters: TrainingHyperparameters, data: Any) -> Any:
        return mx.gluon.nn.Dense(len(data.encoding["classes"]))


def folders(path: Path, *names: bytes) -> Path:
    rng = np.random.default_rng(0)
    for name in (*names, b"other"):
        folder = os.path.join(os.fsencode(path), name)
        os.makedirs(folder)
        for number in range(4):
            with open(os.path.join(folder, b"%d.png" % number), "wb") as stream:
                stream.write(png(rng.integers(0, 255, (5, 5), np.uint8)))
    return path


def fit(path: Path, steps: Steps, algorithm: Pictures | None = None) -> Artifact | None:
    options = TrainingHyperparameters(epochs=1, batch_size=2)
    output = path.parent / "m"
    return train(algorithm or Pictures(), {"train": path}, options, output, reporter=steps)[0]


def test_harmless_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = [
        "caf\u00e9 au\u00a0lait", "\u3000", "zero\u200bwidth", "\ufeffbom", "\u200dfamily",
        "\U0001f469\u200d\U0001f680", "\ue000 private", "\U0001fae8 new", "a b", "\u05d0\u200f",
    ]  # fmt: skip
    artifact = fit(folders(tmp_path / "data", *(name.encode() for name in names)), Steps())
    assert artifact is not None
    found = Artifact.open(artifact.folder).metadata.classes
    assert sorted(found) == sorted([*names, "other"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"\x1b[2J", r"classes: the name '\\x1b\[2J' holds the control character U\+001B"),
        (b"line\nend", r"U\+000A"),
        ("next\u2028line".encode(), r"U\+2028"),
        ("gnp.\u202egpj".encode(), r"U\+202E"),
        (b"caf\xe9", r"classes: the name 'caf\\xe9' is not UTF-8: rename it"),
    ],
)
def test_harmful_names_are_refused_before_the_first_step(
    tmp_path: Path, name: bytes, told: str
) -> None:
    steps = Steps()
    with pytest.raises(DataError, match=told):
        fit(folders(tmp_path / "data", name), steps)
    assert steps.taken == 0
    assert not (tmp_path / "m").exists()


def test_all_harmful_names_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fit(folders(tmp_path / "data", b"a\x07", b"caf\xe9", b"b\x07"), Steps())
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"mean": np.float32(1.5)}, r"encoding\.mean: expected a JSON type, got float32"),
        ({"scale": [1.0, float("nan")]}, r"encoding\.scale\[1\]: expected a finite number"),
        ({"words": {"a": "\udce9"}}, r"encoding\.words\.a: '\\udce9' is not UTF-8"),
        ({"table": np.zeros(3)}, r"encoding\.table: expected a JSON type, got ndarray"),
        (
            {"words": "w" * (64 * 2**20)},
            r"algorithm\.json would have 67,1\d\d,\d{3} bytes, expected at most 67,108,864",
        ),
    ],
)
def test_what_a_plugin_cannot_save_is_refused_before_the_first_step(
    tmp_path: Path, more: Mapping[str, Any], told: str
) -> None:
    steps, algorithm = Steps(), Pictures()
    algorithm.more = more
    with pytest.raises(PluginError, match=told):
        fit(folders(tmp_path / "data", b"one"), steps, algorithm)
    assert steps.taken == 0


def test_a_folder_that_is_no_utf_8_is_named_on_the_command_line(
    tmp_path: Path, algoshelf: Algoshelf
) -> None:
    folders(tmp_path / "data", b"caf\xe9")
    done = algoshelf("train", "image-classification", "--train", "data", "--epochs", 1)
    assert done.code == 2
    assert r"the name 'caf\xe9' is not UTF-8: rename it" in done.stderr
    assert "Traceback" not in done.stderr
