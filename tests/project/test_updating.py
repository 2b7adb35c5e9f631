"""docs/updating.md is true: its commands run, and its figures are what they print."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.project.test_docs import blocks
from tests.support_updating import DOCUMENT, texts_of

pytestmark = pytest.mark.apart


def told(folder: Path, start: str, *parts: str) -> str:
    """What the one command printed that begins so and has ``parts``."""
    printed: dict[str, str] = json.loads((folder / "printed.json").read_text())
    (found,) = (
        text
        for line, text in printed.items()
        if line.startswith(start) and all(part in line for part in parts)
    )
    return found


def accuracy(text: str) -> str:
    found = re.search(r"^accuracy +(0\.\d+)", text, re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_story_is_what_the_page_tells(updated: Path) -> None:
    page = DOCUMENT.read_text()
    seen = told(updated, "algoshelf drift models/old", "--page")
    without, with_labels = blocks(DOCUMENT, "text")
    assert seen.startswith(without.rstrip("\n"))
    labelled = told(updated, "algoshelf drift models/old", "--labels")
    figures = re.findall(r"0\.\d+ \(0\.\d+ to 0\.\d+\) of [\d,]+", with_labels)
    assert len(figures) == 2
    assert all(figure in labelled for figure in figures)
    assert re.search(r"metric accuracy +drift \(worse\)", labelled)
    for about in ("gadgets", "films"):
        old, new = (
            accuracy(told(updated, f"algoshelf evaluate models/{model}", about))
            for model in ("old", "new")
        )
        assert f"| {about} | {old} | {new} |" in page
    assert (updated / "drift.html").read_text().startswith("<!doctype html>")


def test_the_new_model_is_better_on_the_new_and_no_worse_on_the_old(updated: Path) -> None:
    def interval(model: str, about: str) -> tuple[float, float]:
        text = told(updated, f"algoshelf evaluate models/{model}", about)
        found = re.search(r"^accuracy .*confidence: (0\.\d+) to (0\.\d+)", text, re.MULTILINE)
        assert found is not None
        return float(found[1]), float(found[2])

    assert interval("new", "gadgets")[0] > interval("old", "gadgets")[1]
    low, high = interval("old", "films")
    assert low < sum(interval("new", "films")) / 2 < high + 1


def test_requests_are_labelled_by_a_job_and_train(updated: Path, in_process: Any) -> None:
    lines = [json.loads(line) for line in (updated / "to-label.manifest").open()]
    assert len(lines) == 200
    assert len({line["source"] for line in lines}) == 200
    truth = dict(texts_of(updated / "gadgets-test.tsv"))
    assert all(line["source"] in truth for line in lines)
    assert all(line["algoshelf"]["event"].startswith("r") for line in lines)
    unsure = [line["algoshelf"]["probability"] for line in lines]
    assert min(unsure) < 0.52
    # what Ground Truth makes of it
    output = in_process.folder / "output.manifest"
    with output.open("w") as stream:
        for number, line in enumerate(lines):
            judgement = {"class-name": truth[line["source"]], "human-annotated": "yes"}
            if number == 7:
                judgement = {"failure-reason": "nobody agreed", "human-annotated": "yes"}
            line.update({"mood": 1, "mood-metadata": judgement})
            stream.write(json.dumps(line) + "\n")
    trained = in_process(
        "train", "text-classification", "--train", output, "--network", "ngram", "--epochs", 1,
        "--model", updated / "models" / "old", "--output", "m", "--json",
    )  # fmt: skip
    assert trained.code == 0, trained.stderr
    assert trained.json["examples"]["train"] == {"examples": 199, "unlabelled": 1}
    assert "a line that Ground Truth has not labelled" in trained.stderr


def test_corrections_come_first(updated: Path, in_process: Any) -> None:
    from algoshelf.registry.web import corrections

    given = {
        "text": "this slaps",
        "label": "positive",
        "answer": {"label": "negative"},
        "consent": True,
    }
    (in_process.folder / "c.jsonl").write_bytes(
        corrections.line(corrections.accepted(given, "old"))
    )
    result = in_process(
        "drift", updated / "models/old", "--baseline", updated / "films-test.tsv",
        "--current", updated / "captured", "--manifest", "m", "--corrections", "c.jsonl",
        "--most", 3,
    )  # fmt: skip
    assert result.code == 3, result.stderr
    first = json.loads((in_process.folder / "m").read_text().splitlines()[0])
    assert first["source"] == "this slaps"
    assert first["algoshelf"]["correction"] == "positive"
    assert first["algoshelf"]["answer"] == "negative"
