"""Corrections: what is kept, in which form, and that `algoshelf train` learns from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from algoshelf.core.artifact.folder import Artifact
from algoshelf.registry.web import corrections
from algoshelf.registry.web.corrections import CorrectionError

from tests.conftest import Algoshelf

GIVEN: dict[str, Any] = {
    "text": "a <b>warm</b> film\nחם 🎉",
    "label": " negative ",
    "answer": {"label": "positive", "probability": 0.9},
    "consent": True,
}


def test_a_correction_has_the_fields_that_are_told() -> None:
    found = corrections.accepted({**GIVEN, "more": 1}, "reviews")
    assert list(found) == list(corrections.FIELDS)
    assert (found["text"], found["label"]) == (GIVEN["text"], "negative")
    assert len(found["id"]) == 32
    assert corrections.line(found).count(b"\n") == 1
    assert corrections.key(found).startswith("corrections/20")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"text": ""}, "text: is empty"),
        ({"text": None}, "text: expected a string"),
        ({"text": "x" * 20_001}, "text: has 20,001 characters, more than 20,000"),
        ({"text": "\ud800"}, "text: holds half a character"),
        ({"label": " "}, "label: expected"),
        ({"label": "a\nb"}, "label: holds control characters"),
        ({"label": "x" * 201}, "label: has 201 characters"),
        ({"answer": float("nan")}, "answer: holds what JSON has no form for"),
        ({"answer": "x" * 60_000}, "answer: has 60,002 characters"),
        ({"consent": "yes"}, "consent: expected true"),
    ],
)
def test_what_is_no_correction_is_refused(changed: dict[str, Any], fault: str) -> None:
    with pytest.raises(CorrectionError) as error:
        corrections.accepted({**GIVEN, **changed}, "reviews")
    assert len(error.value.faults) == 1
    assert error.value.faults[0].startswith(fault)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(CorrectionError) as error:
        corrections.accepted({}, "reviews")
    assert [fault.split(":")[0] for fault in error.value.faults] == [
        "text", "label", "answer", "consent",
    ]  # fmt: skip


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = [corrections.accepted({**GIVEN, "text": f"text {n}"}, "m") for n in range(3)]
    (tmp_path / "b.jsonl").write_bytes(corrections.line(written[2]))
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(map(corrections.line, written[:2])))
    assert list(corrections.read(tmp_path)) == written
    assert list(corrections.read(tmp_path / "b.jsonl")) == written[2:]
    (tmp_path / "c.jsonl").write_text('\n{"text": "x"}\n')
    with pytest.raises(CorrectionError, match=r"c\.jsonl: line 2: lacks id, time, model, label"):
        list(corrections.read(tmp_path / "c.jsonl"))


def test_a_model_is_trained_on_them(algoshelf: Algoshelf, tmp_path: Path) -> None:
    folder = tmp_path / "corrections"
    folder.mkdir()
    for number in range(40):
        text, label = (("warm and fine", "positive"), ("dull and cold", "negative"))[number % 2]
        given = {**GIVEN, "text": f"{text} {number}", "label": label}
        correction = corrections.accepted(given, "reviews")
        name = corrections.key(correction)[len(corrections.PREFIX) :]
        (folder / name).write_bytes(corrections.line(correction))
    done = algoshelf(
        "train", "text-classification", "--train", folder, "--network", "ngram", "--epochs", 1,
        "--output", tmp_path / "m",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert Artifact.open(tmp_path / "m").metadata.encoding["classes"] == ["negative", "positive"]
