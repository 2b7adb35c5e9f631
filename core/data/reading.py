"""How tables and texts are to be read: what the user decides, and whom the assumptions are told.

Readers are called by plugins, which know nothing of flags. So what is decided stands for all that
is read within ``using``, as decimal.localcontext stands for all that is computed in it.
"""

from __future__ import annotations

import codecs
import csv
import logging
import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Mapping, Sequence

from ..runtime.errors import DataError, InputError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
HEADER = {"yes": True, "no": False}
# A flag of every command that reads data: its name, its value, and what it decides.
FLAGS = (
    ("delimiter", "CHAR", f"Between cells: {', '.join(DELIMITERS)} or any character"),
    ("encoding", "NAME", "Of texts and tables, such as utf-8, windows-1252, utf-16"),
    ("header", "yes|no", "Whether the first line of a table holds headings"),
    ("label_column", "COLUMN", "The column of labels, by its heading or its number from 1"),
    ("text_column", "COLUMN", "The column of texts"),
    ("columns", "LIST", "The columns to read, such as 2-5,8 or by their headings: 'width,length'"),
)
_NUMBERS = re.compile(r"(\d{1,9})(?:(-)(\d{0,9}))?")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What the user decides of tables and texts; None is told by the file itself.

    ``delimiter`` is a character, ``encoding`` one of Python's, ``columns`` and the others name
    columns by heading or by number from 1.
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    label_column: str | None = None
    text_column: str | None = None
    columns: str | None = None

    @classmethod
    def parse(cls, given: Mapping[str, str], label: Callable[[str], str] = str) -> Reading:
        """From flags by their names; others in ``given`` are no concern of this.

        Raises InputError with every fault; ``label`` writes a name as the user knows it.
        """
        values: dict[str, str | bool] = {}
        faults = []
        for name, _, _ in FLAGS:
            if given.get(name) is None:
                continue
            try:
                values[name] = _PARSERS.get(name, _filled)(given[name])
            except ValueError as error:
                faults.append(f"{label(name)}: expected {error}, got {given[name]!r}")
        if faults:
            raise InputError(*faults)
        return cls(**values)  # type: ignore[arg-type]

    def written(self) -> dict[str, str]:
        """As ``parse`` takes it: what is decided, by name."""
        names = {character: name for name, character in DELIMITERS.items()}
        decided = {name: value for name, value in asdict(self).items() if value is not None}
        if self.delimiter is not None:
            decided["delimiter"] = names.get(self.delimiter, self.delimiter)
        if self.header is not None:
            decided["header"] = "yes" if self.header else "no"
        return decided


def _delimiter(text: str) -> str:
    found = DELIMITERS.get(text.lower(), "\t" if text == "\\t" else text)
    if len(found) != 1 or found in '"\r\n' or found.isalnum():
        raise ValueError(f"one of {', '.join(DELIMITERS)}, or one character")
    return found


def _encoding(text: str) -> str:
    try:
        "".encode(text)
        "".encode(text).decode(text)
        codecs.getincrementaldecoder(text)
        found = codecs.lookup(text).name
    except (LookupError, ValueError):
        raise ValueError("an encoding such as utf-8, windows-1252, utf-16, shift_jis") from None
    return "utf-8-sig" if found == "utf-8" else found


def _header(text: str) -> bool:
    if text.lower() not in HEADER:
        raise ValueError("yes or no")
    return HEADER[text.lower()]


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("a column's heading, or its number from 1")
    return text.strip()


_PARSERS: Mapping[str, Callable[[str], str | bool]] = {
    "delimiter": _delimiter,
    "encoding": _encoding,
    "header": _header,
}


def places(text: str, width: int, header: Sequence[str], source: str, flag: str) -> list[int]:
    """The indices of the columns that ``text`` names, of ``width`` with the headings ``header``.

    Raises DataError for one that is not there, or whose heading stands twice.
    """
    found: list[int] = []
    for word in next(csv.reader([text], skipinitialspace=True)):
        numbers = _NUMBERS.fullmatch(word.strip())
        if numbers:
            first = int(numbers[1])
            last = first if not numbers[2] else int(numbers[3] or width)
            if not 1 <= first <= last <= width:
                raise DataError(
                    f"{source}: {flag} {word.strip()}: there are {width} columns, from 1 to {width}"
                )
            found += range(first - 1, last)
            continue
        same = [i for i, name in enumerate(header) if name.strip() == word.strip()]
        same = same or [
            i for i, name in enumerate(header) if name.strip().lower() == word.strip().lower()
        ]
        if len(same) != 1:
            numbers_of = " and ".join(str(i + 1) for i in same)
            raise DataError(
                f"{source}: {flag} {word.strip()!r}: "
                + (
                    f"columns {numbers_of} have this heading: give a number"
                    if same
                    else f"no such heading; there are {', '.join(map(repr, header[:20]))}"
                    if header
                    else "the file has no line of headings: give a number from 1, or --header yes"
                )
            )
        found += same
    return found


@dataclass
class _Current:
    reading: Reading = field(default_factory=Reading)
    say: Callable[[str], None] = _LOG.warning
    said: dict[tuple[Path, str], list[Path]] = field(default_factory=dict)
    headings: tuple[Path, tuple[str, ...]] | None = None  # of the first table that had any


_USUAL = _Current()
_CURRENT: ContextVar[_Current] = ContextVar("algoshelf_reading", default=_USUAL)


def current() -> Reading:
    """What is decided for what is read now."""
    return _CURRENT.get().reading


def note(text: str, path: Path) -> None:
    """Say what is assumed of ``path``; of many files in one folder it is said of the first."""
    where = _CURRENT.get()
    before = where.said.setdefault((path.parent, text), [])
    if path in before:
        return
    before.append(path)
    if len(before) == 1:
        where.say(f"{path}: {text}")
    elif len(before) == 2:
        where.say(f"{path}: the same, as for any file of {path.parent} that follows in silence")


def check_headings(path: Path, names: Sequence[str]) -> None:
    """Raises DataError where a table read before has the headings ``names`` in another order.

    Columns are taken by their place: read together, the two would be mixed up without a word.
    """
    where, told = _CURRENT.get(), tuple(name.strip().lower() for name in names)
    if where is _USUAL or not told:
        return
    first, expected = where.headings = where.headings or (path, told)
    if told != expected and sorted(told) == sorted(expected):
        raise DataError(
            f"{path}: its columns are {', '.join(told)}; {first} has them in another order "
            f"({', '.join(expected)}). Columns are taken by their place: write both in one order"
        )


@contextmanager
def using(reading: Reading, say: Callable[[str], None]) -> Iterator[None]:
    """All that is read within is read as ``reading`` says; what is assumed is told to ``say``."""
    token = _CURRENT.set(_Current(reading, say))
    try:
        yield
    finally:
        _CURRENT.reset(token)
