"""`algoshelf web --local`: the whole chain, its start, its end, and many at once."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Algoshelf

from .conftest import PATIENCE, Chain, alive, chain


def test_32_connections_lose_nothing(reviews_model: Path) -> None:
    """Some seconds of what benchmarks/web_app.py does for minutes."""
    words = ("--model", reviews_model, "--seconds", 2, "--workers", 1, "--no-result")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "web_app.py", *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found["answers_by_status"]) == ["200"]
    assert found["corrections_given"] == found["corrections_kept"] > 0


def test_what_api_gateway_refuses_the_gateway_refuses(reviews: Chain) -> None:
    status, answer = reviews.ask("/ask", b"x" * (10 * 2**20 + 1))
    assert (status, answer) == (413, {"message": "Request Entity Too Large"})
    status, answer = reviews.ask("/ask", b"x" * (10 * 2**20))
    assert (status, answer["error"]["code"]) == (413, "too_large")
    status, answer = reviews.ask("/ask", {"text": "a"}, host="evil.example")
    assert (status, answer) == (403, {"message": "Forbidden"})
    connection = http.client.HTTPConnection("127.0.0.1", reviews.port, timeout=PATIENCE)
    connection.request("HEAD", "/")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_end_is_the_end_of_all(number: int, reviews_model: Path, tmp_path: Path) -> None:
    with chain(tmp_path, reviews_model) as found:
        assert found.ask("/ask", {"text": "a warm film"})[0] == 200
        given = {"text": "a", "label": "b", "answer": {}, "consent": True}
        assert found.ask("/corrections", given)[0] == 200
        children = found.children()
        assert children
        code = found.end(number)
        assert code == (0 if number != signal.SIGKILL else -number)
        for pid in children:
            for _ in range(600):
                if not alive(pid):
                    break
                signal.sigtimedwait([], 0.1)
            assert not alive(pid)
        assert len(found.kept.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("reviews",), "expected either --output DIR or --local"),
        (("nothing-here", "--local"), "there is none here"),
        (("no/such/folder", "--local"), "no such model folder"),
        (("x", "--output", "o", "--port", "1"), "--port: applies to --local only"),
        (("x", "--local", "--alarm-usd", "5"), "--alarm-usd: applies to --output only"),
        (("x", "--output", "o", "--password-file", "none"), "none: cannot be read"),
        (
            ("x", "--output", "o", "--password-file", "short/file"),
            "short/file: expected one token of 16 characters or more, such as `openssl rand -hex "
            "32` prints (--password-file)",
        ),
        (("x", "--output", "short"), "short: is not empty"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: tuple[str, ...], fault: str, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "file").touch()
    done = algoshelf("web", *arguments)
    assert done.code == 2
    assert fault in done.stderr


def test_a_model_that_is_not_asked_about_texts_is_refused(
    iris_model: Path, algoshelf: Algoshelf
) -> None:
    for way in (("--local",), ("--output", "app")):
        done = algoshelf("web", iris_model, *way)
        assert done.code == 2
        assert "the review app asks about texts" in done.stderr


def test_a_place_where_nothing_can_be_kept_is_told_at_the_start(
    reviews_model: Path, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = algoshelf("web", reviews_model, "--local", "--port", 0, "--corrections", "file/x.jsonl")
    assert done.code != 0
    assert "file" in done.stderr
