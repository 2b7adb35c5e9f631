"""What comes from a model or a file reaches no terminal as a command."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest
from algoshelf.core.runtime.printable import Screen, guard_streams, printable, printable_text

from tests.conftest import InProcess

EVIL = "a\x1b]0;title\x07b\x9b31mc\u202ed\u2066e\u200bf\x00g\x7fh\ud800"
SHOWN = r"a\x1b]0;title\x07b\x9b31mc\u202ed\u2066e\u200bf\x00g\x7fh\ud800"


def test_commands_are_shown_as_escapes() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("one\r\ntwo\tthree") == r"one\r\ntwo\tthree"
    assert printable_text("one\r\ntwo\tthree") == "one\\r\ntwo\tthree"


@pytest.mark.parametrize("text", ["plain", "é ü 日本", "می‌خواهم", "👩‍👩‍👧", "a\u00a0b"])
def test_what_is_harmless_stays(text: str) -> None:
    assert printable(text) == printable_text(text) == text


def test_a_log_shows_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    beneath = io.StringIO()
    monkeypatch.setattr(sys, "stderr", beneath)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    guard_streams()
    assert isinstance(sys.stderr, Screen)
    handler = logging.StreamHandler(sys.stderr)
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, EVIL, (), None))
    assert beneath.getvalue() == SHOWN + "\n"


def test_every_command_shows_them(in_process: InProcess, tmp_path: Path) -> None:
    """Of a file's name in an error, of a class in a table."""
    name = "no\x07such\u202e"
    for command in (("predict", name), ("evaluate", name), ("serve", name), ("list", name)):
        result = in_process(*command)
        assert result.code == 2
        assert "\x07" not in result.stderr
        assert "\u202e" not in result.stderr
    assert r"no\x07such\u202e" in in_process("predict", name).stderr
