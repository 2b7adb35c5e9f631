"""Drift is found where there is some, and none where it is noise: tables, pictures, texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core.data import capture
from algoshelf.core.drift import comparing
from algoshelf.core.drift.changes import DRIFT, SAME, SLIGHT, Change, judged
from algoshelf.core.drift.columns import compared
from algoshelf.core.drift.comparing import Report
from algoshelf.core.drift.texts import changes as of_texts
from algoshelf.core.inference.handlers import Handlers
from algoshelf.core.runtime.errors import DataError, InputError
from algoshelf.registry.discovery import opened

from tests.conftest import ROOT

IRIS = ROOT / "algorithms" / "kmeans" / "sample" / "iris.csv"
ALPHA = 0.01


def handlers_of(model: Path) -> Handlers:
    return Handlers.load(opened(model)[1], model)


def captured(path: Path, requests: list[tuple[bytes, str]], **more: Any) -> Path:
    path.write_bytes(
        b"".join(
            capture.written(body, kind, b"{}", "application/json", f"r{i}", **more)
            for i, (body, kind) in enumerate(requests)
        )
    )
    return path


def by_subject(report: Report) -> dict[str, Change]:
    return {f"{each.part} {each.subject}": each for each in report.changes}


@pytest.fixture(scope="module")
def flowers(iris_model: Path) -> Handlers:
    return handlers_of(iris_model)


def rows() -> np.ndarray:
    return np.loadtxt(IRIS, delimiter=",", skiprows=1, usecols=range(4))


def test_a_moved_column_of_captured_requests_is_found_by_its_name(
    flowers: Handlers, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    drawn = rows()[rng.integers(0, 150, 300)]
    drawn[:, 2] += 1.5
    # one, two or three rows a request, of each content type, as SageMaker keeps it
    bodies: list[tuple[bytes, str]] = []
    for start in range(0, 300, 3):
        part = drawn[start : start + 3].round(2).tolist()
        if start % 2:
            bodies.append((json.dumps({"instances": part}).encode(), "application/json"))
        else:
            lines = "\n".join(",".join(map(str, row)) for row in part)
            bodies.append((lines.encode(), "text/csv"))
    path = captured(tmp_path / "c.jsonl", bodies)
    report = comparing.compare(flowers, IRIS, path, None, ALPHA)
    assert len(report.current) == 300
    found = by_subject(report)
    moved = [each for each in report.changes if each.part == "input" and each.verdict == DRIFT]
    assert [f"input {each.subject}" for each in moved] == [f"input {name_of_column(flowers, 2)}"]
    assert found["answer distance_to_cluster"].verdict == DRIFT
    assert report.drifted


def name_of_column(handlers: Handlers, place: int) -> str:
    headings = handlers.model.metadata.headings
    return headings.columns[place] if headings else f"column {place + 1}"


def test_ten_samples_of_the_same_alarm_at_most_once(flowers: Handlers, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    centre, scale = rows().mean(axis=0), rows().std(axis=0)
    alarms = 0
    for number in range(10):
        sides = []
        for side in range(2):
            drawn = rng.normal(centre, scale, (200, 4))
            path = tmp_path / f"{number}-{side}.csv"
            np.savetxt(path, drawn, delimiter=",", fmt="%.3f")
            sides.append(path)
        alarms += comparing.compare(flowers, *sides, None, ALPHA).drifted
    assert alarms <= 1


def test_a_brighter_picture_is_found_and_another_sample_is_not(
    model: Path, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    handlers = handlers_of(model)
    images = np.concatenate([digits[0]] * 2)
    images = images[np.random.default_rng(3).permutation(200)]
    for name, part in (("a", images[:100]), ("b", images[100:])):
        np.save(tmp_path / f"{name}.npy", part)
    brighter = np.clip(images[100:].astype(int) + 40, 0, 255).astype(np.uint8)
    np.save(tmp_path / "c.npy", brighter)
    same = comparing.compare(handlers, tmp_path / "a.npy", tmp_path / "b.npy", None, ALPHA)
    assert not same.drifted, same.changes[0]
    found = comparing.compare(handlers, tmp_path / "a.npy", tmp_path / "c.npy", None, ALPHA)
    drifted = {name for name, each in by_subject(found).items() if each.verdict == DRIFT}
    assert {"input brightness", "input pictures"} <= drifted


# A word of new meaning: the model answers by the other words, as a network does that has learned
# the word among others.
GOOD, BAD = ("warm", "funny", "brilliant", "moving"), ("dull", "clumsy", "boring", "stale")
PLAIN = tuple(f"word{i}" for i in range(200))


def reviews(rng: np.random.Generator, count: int, flipped: float) -> tuple[list[str], list[str]]:
    """Texts with the classes that a model of the old meaning gives them: in ``flipped`` of them
    "sick", which was said of bad films, is said of good ones.
    """
    texts, labels = [], []
    for _ in range(count):
        positive = bool(rng.random() < 0.5)
        words = list(rng.choice(PLAIN, 8)) + list(rng.choice(GOOD if positive else BAD, 2))
        if flipped and rng.random() < flipped:
            words = list(rng.choice(PLAIN, 8)) + list(rng.choice(GOOD, 2)) + ["sick"]
            positive = True
        elif not positive and rng.random() < 0.4:
            words.append("sick")
        texts.append(" ".join(rng.permutation(words)))
        labels.append("positive" if positive else "negative")
    return texts, labels


def test_a_word_of_new_meaning_is_found_within_500_requests() -> None:
    rng = np.random.default_rng(4)
    first, old = reviews(rng, 1000, 0.0)
    second, new = reviews(rng, 500, 0.2)
    found, scores = of_texts(first, second, (old, new), frozenset(), rng)
    verdicts = {each.subject: each for each in judged(found, ALPHA)}
    told = verdicts["answers to texts with a word"]
    assert told.verdict == DRIFT
    assert "'sick'" in told.baseline
    assert scores.shape == (500,)


def test_samples_of_the_same_texts_alarm_at_most_once_in_ten() -> None:
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(10):
        (first, old), (second, new) = reviews(rng, 400, 0.0), reviews(rng, 200, 0.0)
        found, _ = of_texts(first, second, (old, new), frozenset(PLAIN[:150]), rng)
        alarms += any(each.verdict == DRIFT for each in judged(found, ALPHA))
    assert alarms <= 1


def test_cells_are_numbers_categories_and_gaps() -> None:
    rng = np.random.default_rng(6)
    first = [*map(str, rng.normal(40, 9, 300).round(1)), *[""] * 10]
    second = [*(f"{value} kg" for value in rng.normal(40, 9, 150).round(1)), *first[:150]]
    changes = {
        each.subject: each for each in judged([*compared("input", "weight", first, second)], ALPHA)
    }
    assert changes["weight"].verdict == SAME
    assert changes["weight: gaps"].verdict == DRIFT  # what is no number any more is a gap
    assert changes["weight: gaps"].baseline == "3.2%"
    codes = [[str(i % 3) for i in range(300)], [str(i % 2) for i in range(300)]]
    (found,) = compared("input", "code", *codes)
    assert found.test == "chi-squared"
    (new,) = compared("input", "town", ["a", "b"] * 100, ["a", "c"] * 100)
    assert new.detail == "50.0% are new: c"


def test_a_large_sample_makes_no_drift_of_a_trifle() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=40_000), rng.normal(0.06, size=40_000)
    (found,) = judged([*compared("input", "x", first.tolist(), second.tolist())], ALPHA)
    assert found.verdict == SLIGHT
    assert found.adjusted < 1e-6


def test_what_cannot_be_compared_is_said(flowers: Handlers, tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    few.write_text("1,2,3,4\n" * 5)
    with pytest.raises(DataError, match="holds 5 examples that can be compared: expected 30"):
        comparing.compare(flowers, IRIS, few, None, ALPHA)
    with pytest.raises(DataError, match="no such file"):
        comparing.compare(flowers, IRIS, tmp_path / "nope", None, ALPHA)
    wide = captured(tmp_path / "wide.jsonl", [(b"1,2", "text/csv")] * 40)
    with pytest.raises(DataError, match="none of its requests can be answered by this model"):
        comparing.compare(flowers, IRIS, wide, None, ALPHA)
    good = captured(tmp_path / "good.jsonl", [(b"5.1,3.5,1.4,0.2", "text/csv")] * 40)
    with good.open("ab") as stream:
        stream.write(b'{"captureData": 3}\nno json\n')
    report = comparing.compare(flowers, IRIS, good, None, ALPHA)
    (note,) = report.notes
    assert "2 requests that the model does not answer are left out" in note
    assert "line 41: expected a request as SageMaker's data capture keeps it" in note
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\nx,1\n")
    with pytest.raises(InputError, match="names none of the 42 requests"):
        comparing.compare(flowers, IRIS, good, labels, ALPHA)
