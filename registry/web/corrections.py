"""Corrections: what people say that a model should have answered. Tomorrow's training data.

A file of JSON lines in UTF-8, a correction a line, by the names of FIELDS. ``text`` and ``label``
are called as labelled texts are, so that `algoshelf train` reads such a file as it is. In S3 each
correction is an object of one line, under PREFIX.
"""

from __future__ import annotations

import json
import secrets
import unicodedata
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterator, Mapping

SUFFIX = ".jsonl"
PREFIX = "corrections/"
MAX_TEXT, MAX_LABEL, MAX_ANSWER = 20_000, 200, 50_000  # characters; of an answer as JSON
FIELDS: Mapping[str, str] = {
    "id": "32 hexadecimal digits, by which a correction is known",
    "time": "when it was given, in UTC: 2026-01-31T12:00:00.000Z",
    "model": "the endpoint or the model that had answered",
    "text": "the text that was asked about",
    "label": "the correction: what the answer should have been",
    "answer": "what the model had answered, as it answers JSON",
    "consent": "true: whoever gave it has agreed that it is kept and learned from",
}


class CorrectionError(ValueError):
    """What is no correction; ``faults`` are all that is wrong with it."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def accepted(given: Any, model: str) -> dict[str, Any]:
    """The correction that a person gives: ``text``, ``label``, ``answer`` and ``consent``.

    Raises CorrectionError.
    """
    if not isinstance(given, dict):
        raise CorrectionError("expected an object with text, label, answer and consent")
    faults = [*text_faults(given), *_label_faults(given), *_answer_faults(given)]
    if given.get("consent") is not True:
        faults.append("consent: expected true: nothing is kept without it")
    if faults:
        raise CorrectionError(*faults)
    now = datetime.now(timezone.utc)
    return {
        "id": secrets.token_hex(16),
        "time": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z",
        "model": model,
        "text": given["text"],
        "label": given["label"].strip(),
        "answer": given["answer"],
        "consent": True,
    }


def line(correction: Mapping[str, Any]) -> bytes:
    """A correction as a line of a file, its line feed included."""
    return json.dumps(correction, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def key(correction: Mapping[str, Any]) -> str:
    """Where a correction lies in its bucket: by its time, so that a listing is in order."""
    time = correction["time"].replace(":", "").replace("-", "")
    return f"{PREFIX}{time}-{correction['id']}{SUFFIX}"


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The corrections of a file, or of all files of a folder that end in SUFFIX, by their names.

    Raises CorrectionError with the file and the line, and OSError.
    """
    for file in sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]:
        with file.open("rb") as lines:
            for number, content in enumerate(lines, 1):
                if content.strip():
                    yield _read(content, f"{file}: line {number}")


def _read(content: bytes, place: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorrectionError(f"{place}: no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CorrectionError(f"{place}: expected an object")
    lacking = [name for name in FIELDS if name not in found]
    faults = [f"lacks {', '.join(lacking)}"] if lacking else []
    faults += [*text_faults(found), *_label_faults(found)]
    if faults:
        raise CorrectionError(*(f"{place}: {fault}" for fault in faults))
    return found


def text_faults(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the ``text`` of a question or of a correction."""
    text = given.get("text")
    if not isinstance(text, str):
        return ["text: expected a string"]
    if not text.strip():
        return ["text: is empty"]
    if len(text) > MAX_TEXT:
        return [f"text: has {len(text):,} characters, more than {MAX_TEXT:,}"]
    return _halves("text", text)


def _label_faults(given: Mapping[str, Any]) -> list[str]:
    label = given.get("label")
    if not isinstance(label, str) or not label.strip():
        return ["label: expected what the answer should have been, a string"]
    if len(label) > MAX_LABEL:
        return [f"label: has {len(label):,} characters, more than {MAX_LABEL:,}"]
    if any(unicodedata.category(character) == "Cc" for character in label.strip()):
        return ["label: holds control characters, such as a line feed"]
    return _halves("label", label)


def _answer_faults(given: Mapping[str, Any]) -> list[str]:
    if "answer" not in given:
        return ["answer: expected what the model had answered"]
    try:
        written = json.dumps(given["answer"], ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return ["answer: holds what JSON has no form for"]
    if len(written) > MAX_ANSWER:
        return [f"answer: has {len(written):,} characters, more than {MAX_ANSWER:,}"]
    return _halves("answer", written)


def _halves(name: str, text: str) -> list[str]:
    """JSON can hold half a character, a surrogate without its other; no file of UTF-8 can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return [f"{name}: holds half a character (a surrogate without its other)"]
    return []
