"""A warm start: rows are paired by names, what is new begins at random, and all else is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import InProcess, Result

WORDS = {"good": ("warm", "funny", "brilliant"), "bad": ("dull", "clumsy", "stale")}
SMALL = ("--network", "ngram", "--epochs", 1, "--holdout", 0.2)


def texts(path: Path, words: dict[str, tuple[str, ...]], seed: int, count: int = 60) -> Path:
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        label = list(words)[number % len(words)]
        chosen = rng.choice(words[label], 2).tolist()
        lines.append(json.dumps({"text": " ".join([*chosen, "film"]), "label": label}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def old(in_process: InProcess) -> Path:
    data = texts(in_process.folder / "old.jsonl", WORDS, 1)
    trained(in_process, "--train", data, "--output", "old", *SMALL)
    return in_process.folder / "old"


def trained(run: InProcess, *options: object) -> Result:
    result = run("train", "text-classification", *options)
    assert result.code == 0, result.stderr
    return result


def weights(folder: Path) -> tuple[dict[str, list[str]], np.ndarray]:
    """The encoding of a model, and the weight (V, C) of each of its n-grams."""
    from algoshelf.core import Artifact

    artifact = Artifact.open(folder)
    arrays = artifact.check(numbers=True).parameters.arrays
    (found,) = (array for name, array in arrays.items() if name.endswith("_weight"))
    return dict(artifact.metadata.encoding), np.asarray(found)


def test_rows_of_words_and_classes_are_paired_by_name(old: Path, in_process: InProcess) -> None:
    # other words, in another order, and a class more, which is the first by its name
    words = {**{k: v[::-1] for k, v in WORDS.items()}, "a new one": ("mid", "sus", "odd")}
    data = texts(in_process.folder / "new.jsonl", words, 2)
    result = trained(
        in_process, "--train", data, "--model", old, "--output", "new", *SMALL,
        "--learning-rate", 1e-12, "--weight-decay", 0,
    )  # fmt: skip
    assert "starting from" in result.stderr
    assert "3 of 3 arrays" in result.stderr
    assert "with those of the model: 3 classes" in result.stderr
    (was, before), (now, after) = weights(old), weights(in_process.folder / "new")
    assert now["classes"] == ["a new one", "bad", "good"]
    assert set(was["vocabulary"]) < set(now["vocabulary"])
    assert was["vocabulary"] != now["vocabulary"][: len(was["vocabulary"])]
    for word in was["vocabulary"]:
        kept = after[now["vocabulary"].index(word)]
        assert kept[1:] == pytest.approx(before[was["vocabulary"].index(word)], abs=1e-6)
    fresh = after[now["vocabulary"].index("mid")]
    assert fresh == pytest.approx([0.1, 0.1, 0.1])


def test_it_answers_as_the_old_model_before_it_has_learned(
    old: Path, in_process: InProcess
) -> None:
    data = in_process.folder / "old.jsonl"
    trained(
        in_process, "--train", data, "--model", old, "--output", "same", *SMALL,
        "--learning-rate", 1e-12, "--weight-decay", 0,
    )  # fmt: skip
    question = b"warm and stale\nfunny\n"
    answers = [
        json.loads(line)
        for model in ("old", "same")
        for line in in_process(
            "predict", model, "-", "--content-type", "text/plain", stdin=question
        ).text.splitlines()
    ]
    assert answers[0]["probability"] == pytest.approx(answers[2]["probability"], abs=1e-6)
    assert answers[1]["probability"] == pytest.approx(answers[3]["probability"], abs=1e-6)


def test_what_is_no_such_model_is_refused(
    old: Path, iris_model: Path, in_process: InProcess
) -> None:
    data = in_process.folder / "old.jsonl"
    for model, told in (
        (iris_model, "made by kmeans"),
        (in_process.folder, "not a model folder"),
        (in_process.folder / "nope", "no such file or folder"),
    ):
        result = in_process(
            "train",
            "text-classification",
            "--train",
            data,
            "--model",
            model,
            "--output",
            "x",
            *SMALL,
        )
        assert result.code != 0
        assert told in result.stderr
        assert not (in_process.folder / "x").exists()
    unlike = in_process(
        "train", "mnist-cnn", "--model", old, "--output", "x", "--train", data, "--epochs", 1
    )
    assert unlike.code == 2
