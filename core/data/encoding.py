"""Which encoding and line ends a text has, and reading it as UTF-8 whatever they are."""

from __future__ import annotations

import codecs
import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Iterator

from ..runtime.errors import DataError
from . import reading
from .opening import HEAD_BYTES, check_is_text, is_packed, open_bytes

UTF8 = "utf-8-sig"
BLOCK_BYTES = 2**20
# By so much of a table of numbers its encoding is told; a text is looked through as a whole.
LOOKED_AT_BYTES = 2**18
MAX_NULS = 8  # of UTF-16, not one byte in so many is zero, but far more
_MARKS = (
    (codecs.BOM_UTF8, UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_HIGH = bytes(range(0x80, 0x100))
_LETTERS = bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))
# Of Windows-1252: bytes that stand for nothing, letters among its signs, and all other letters.
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"
_RARE_LETTERS = b"\x83\x8a\x8c\x8e\x9a\x9c\x9e\x9f"
_WESTERN_LETTERS = bytes(sorted(set(range(0xC0, 0x100)) - {0xD7, 0xF7}))
_ZEROS_OF_ASCII = 0.4  # of the bytes of ASCII in UTF-16, every other is zero
_DECIDE = "--encoding decides"


@dataclass(frozen=True)
class TextForm:
    """``encoding`` is Python's name of it, ``newline`` what ends a line: LF (or CRLF), or CR.

    ``assumed`` says what was not certain; empty where all is as usual.
    """

    encoding: str = UTF8
    newline: str = "\n"
    assumed: str = ""

    @property
    def is_usual(self) -> bool:
        """Whether its bytes are UTF-8 in lines already, but for a mark at the start."""
        return self.encoding == UTF8 and self.newline == "\n"


def form_of(path: Path, *, whole: bool) -> TextForm:
    """The form of the text in ``path``, of which the start or the ``whole`` is looked through.

    Raises DataError for what is no text, and where the encoding cannot be told.
    """
    with open_bytes(path) as stream:
        head = stream.read(LOOKED_AT_BYTES)
        check_is_text(path, head[:HEAD_BYTES])
        given = reading.current().encoding
        if given is not None:
            return TextForm(given, _newline(head, given), "")
        encoding, assumed = _told_by_the_start(path, head)
        if not encoding:
            encoding, assumed = _UTF8_OR_ELSE(path, head, stream, whole).found()
    newline = _newline(head, encoding)
    parts = [assumed] if assumed else []
    if newline == "\r":
        parts.append("lines end in CR")
    if path.suffix != ".gz" and is_packed(path):
        parts.append("gzip, though its name does not say so")
    return TextForm(encoding, newline, "; ".join(parts))


def _told_by_the_start(path: Path, head: bytes) -> tuple[str, str]:
    for mark, encoding, name in _MARKS:
        if head.startswith(mark):
            return ("", "") if encoding == UTF8 else (encoding, f"in {name}")
    start = head[:HEAD_BYTES]
    if b"\0" not in start:
        return "", ""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if MAX_NULS * (even + odd) < len(start) and _is_utf8(start.replace(b"\0", b"")):
        return "", ""
    stray = start.isascii() and even + odd < _ZEROS_OF_ASCII * len(start)
    if odd > 10 * even and not stray:
        return "utf-16-le", "taken for UTF-16 (little-endian, without a mark)"
    if even > 10 * odd and not stray:
        return "utf-16-be", "taken for UTF-16 (big-endian, without a mark)"
    line = start[: start.index(0)].count(b"\n") + 1
    raise DataError(
        f"{path}: line {line}: holds zero bytes: no text, or in an encoding that cannot be told; "
        f"{_DECIDE}"
    )


def _is_utf8(start: bytes) -> bool:
    """Whether ``start`` is UTF-8, but for what may be cut at its end."""
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(start)
    except UnicodeDecodeError:
        return False
    return True


def nul_error(path: Path, line: int) -> DataError:
    """What is wrong with a text whose ``line`` holds a zero byte."""
    return DataError(
        f"{path}: line {line:,} has a NUL byte, which no text has: the file is damaged there; "
        "write it anew, or take such bytes out: tr -d '\\000' < FILE > NEW"
    )


def _newline(head: bytes, encoding: str) -> str:
    text = head[: 2**16].decode(encoding, "ignore")
    return "\r" if "\r" in text[:-1] and "\n" not in text else "\n"


class _UTF8_OR_ELSE:  # noqa: N801 - one question with its counts
    """Whether a text is UTF-8; where it is not, whether it can be Windows-1252."""

    def __init__(self, path: Path, head: bytes, stream: IO[bytes], whole: bool) -> None:
        self.path = path
        self.head = head
        self.stream = stream
        self.whole = whole

    def found(self) -> tuple[str, str]:
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        line, block = 1, self.head
        try:
            while block:
                decoder.decode(block)
                if b"\0" in block:
                    raise nul_error(self.path, line + block.count(b"\n", 0, block.index(b"\0")))
                line += block.count(b"\n")
                block = self.stream.read(BLOCK_BYTES) if self.whole else b""
            if self.whole or len(self.head) < LOOKED_AT_BYTES:
                decoder.decode(b"", True)
            return UTF8, ""
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            start = error.object.rfind(b"\n", 0, error.start) + 1
            place = f"{self.path}: line {line}: not UTF-8 at byte {error.start - start + 1}"
        self._check_western(place)
        return "cp1252", "not UTF-8: taken for Windows-1252"

    def _check_western(self, place: str) -> None:
        """Raises DataError where the bytes speak for another encoding than Windows-1252."""
        multibyte = stray = letters = western = rare = undefined = 0
        with open_bytes(self.path) as stream:
            for block in iter(partial(stream.read, BLOCK_BYTES), b""):
                rest = _MULTIBYTE.sub(b"", block)
                multibyte += len(_MULTIBYTE.findall(block))
                stray += _count(rest, _HIGH)
                letters += _count(block, _LETTERS)
                western += _count(rest, _WESTERN_LETTERS)
                rare += _count(rest, _RARE_LETTERS)
                undefined += _count(rest, _UNDEFINED)
        if undefined or rare > western or 2 * stray > letters:
            raise DataError(
                f"{place}, nor does it look like Windows-1252: give --encoding, such as cp850, "
                "mac-roman, windows-1251 (Cyrillic), shift_jis, gb18030"
            )
        if 10 * multibyte > stray:
            raise DataError(
                f"{place}, though the file holds UTF-8 as well ({multibyte:,} characters): "
                "mend that line, or give --encoding windows-1252"
            )


def _count(block: bytes, which: bytes) -> int:
    return len(block) - len(block.translate(None, which))


@contextmanager
def open_utf8(path: Path, form: TextForm) -> Iterator[IO[bytes]]:
    """The text in ``path`` as UTF-8 with LF at the end of each line, whatever its ``form``.

    What is UTF-8 is given as it is, with its mark and with CRLF. Raises DataError, with the line
    of what does not decode.
    """
    with open_bytes(path) as stream:
        if form.is_usual:
            yield stream
        else:
            yield io.BufferedReader(_Transcoded(path, stream, form), BLOCK_BYTES)


class _Transcoded(io.RawIOBase):
    """A stream of text as UTF-8 with LF at the end of each line."""

    def __init__(self, path: Path, stream: IO[bytes], form: TextForm) -> None:
        self.path = path
        self.stream = stream
        self.form = form
        self.decoder = codecs.getincrementaldecoder(form.encoding)("strict")
        self.line = 1
        self.rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            block = self.stream.read(BLOCK_BYTES)
            try:
                text = self.decoder.decode(block, not block)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self.path}: after line {self.line:,}: not {self.form.encoding} "
                    f"({error.reason}): {_DECIDE}"
                ) from None
            if not block and not text:
                return 0
            if self.form.newline == "\r":
                text = text.replace("\r", "\n")
            self.line += text.count("\n")
            self.rest = text.encode("utf-8", "replace")
        count = min(len(buffer), len(self.rest))
        buffer[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count


def say(path: Path, form: TextForm) -> None:
    """What is assumed of the text in ``path``, if anything is."""
    if form.assumed:
        reading.note(f"{form.assumed} ({_DECIDE})", path)


def lines(path: Path, form: TextForm) -> Iterator[tuple[int, str]]:
    """The lines of a text without their ends, each with its number. Raises DataError."""
    with open_utf8(path, form) as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}: line {number}: not UTF-8 at byte {error.start + 1} "
                    f"({error.reason}); {_DECIDE}"
                ) from None
            yield number, text.rstrip("\r\n")
