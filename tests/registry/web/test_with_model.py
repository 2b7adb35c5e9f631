"""The app without an endpoint: its function holds the model, and answers as it does here."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from algoshelf.registry.discovery import catalog, opened
from algoshelf.registry.packaging import locks
from algoshelf.registry.web import stack
from algoshelf.registry.web.template import Stack

from tests.registry.web.conftest import Chain
from tests.registry.web.events import http, rest

TYPE = {"Content-Type": "application/json"}
TEXTS = ("a warm, funny and deeply moving film", "a dull mess", "אחד 🎉")
CALL = """
import importlib, json, sys
handler = importlib.import_module("lambda_function").lambda_handler
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), None)))
assert "mxnet" not in sys.modules
assert sys.modules["algoshelf.core"].__file__.startswith(sys.argv[1])
"""


def test_the_function_with_its_model_answers_as_the_endpoint_does(
    reviews_model: Path, reviews: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the packages of this environment: that those of the archive do is held by
    tests/registry/packaging.
    """
    monkeypatch.setattr(locks, "locked", lambda *_: [])
    monkeypatch.setattr(locks, "installed", lambda *_: None)
    artifact, algorithm = opened(reviews_model)
    wanted = Stack("reviews", algorithm.name)
    stack.write_with_model(wanted, catalog().get(algorithm.name), artifact, tmp_path / "app")
    function = tmp_path / "function"
    with zipfile.ZipFile(tmp_path / "app" / "function.zip") as archive:
        archive.extractall(function)
    asked = [form("/ask", json.dumps({"text": t}), TYPE) for t in TEXTS for form in (http, rest)]
    asked.append(http("/", None, {}, "GET"))
    done = subprocess.run(
        [sys.executable, "-c", CALL, str(function)],
        cwd=function, input="".join(json.dumps(event) + "\n" for event in asked),
        env={
            "PYTHONPATH": str(function), "AWS_DEFAULT_REGION": "us-east-1",
            "ALGOSHELF_ENDPOINT": "reviews", "ALGOSHELF_BUCKET": "kept", "HOME": str(tmp_path),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *answers, page = map(json.loads, done.stdout.splitlines())
    assert page["body"].startswith("<!doctype html>")
    for text, *both in zip(TEXTS, answers[::2], answers[1::2]):
        status, expected = reviews.ask("/ask", {"text": text})
        assert status == 200
        for answer in both:
            found = json.loads(answer["body"])["answer"]
            assert found["label"] == expected["answer"]["label"]
            assert found["probability"] == pytest.approx(
                expected["answer"]["probability"], abs=1e-5
            )


def test_its_page_has_the_model_s_example(reviews_model: Path) -> None:
    artifact, _ = opened(reviews_model)
    assert stack.example(artifact)
