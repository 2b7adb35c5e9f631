"""Show text from models and files safely on a terminal, without its control characters.

A class name, a file name or a message can hold control characters: escape sequences that colour,
move or reprogram a terminal, line breaks that make one line of a log two, marks that turn the
reading direction so that a command reads otherwise than it runs. They are shown as escapes.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Iterable, TextIO

# C0 and C1 controls and DEL, the marks and overrides of direction, separators of lines and of
# paragraphs, what is invisible, halves of surrogate pairs.
_UNSAFE = (
    r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_A_LINE = re.compile(rf"[{_UNSAFE}]")
_IN_A_TEXT = re.compile(rf"(?![\n\t])[{_UNSAFE}]")


def printable(text: str) -> str:
    r"""``text`` as one line: what is not to reach a terminal becomes ``\x1b`` or the like."""
    return text if text.isascii() and text.isprintable() else _IN_A_LINE.sub(_escaped, text)


def printable_text(text: str) -> str:
    """The same for a text of several lines, whose line feeds and tabs stay."""
    return text if text.isascii() and text.isprintable() else _IN_A_TEXT.sub(_escaped, text)


def figure(value: float) -> str:
    """A metric for people: four decimals, or four digits where it is tiny or huge."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.4g}"


def is_printable(text: str) -> bool:
    """Whether all of ``text`` may be shown as it is, in one line."""
    return printable(text) == text


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class Screen:
    """A stream of text that shows what it is given as ``printable_text`` does.

    ``beneath`` is the stream itself, for who writes escape sequences of their own.
    """

    def __init__(self, beneath: TextIO) -> None:
        self.beneath = beneath

    def write(self, text: str) -> int:
        self.beneath.write(printable_text(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)

    def __iter__(self) -> Any:
        return iter(self.beneath)


def beneath(stream: Any) -> Any:
    """The stream that a Screen shows things on; another stream is itself."""
    return stream.beneath if isinstance(stream, Screen) else stream


def guard_streams() -> None:
    """From now on, nothing that is printed or logged here reaches the terminal as a command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Screen):
            setattr(sys, name, Screen(stream))
