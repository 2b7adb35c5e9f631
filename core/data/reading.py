"""How tables and texts are to be read: what the user decides, and whom the assumptions are told.

Readers are called by plugins, which know nothing of flags. So what is decided stands for all that
is read within ``using``, as decimal.localcontext stands for all that is computed in it.
"""

from __future__ import annotations

import codecs
import csv
import logging
import re
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Sequence, Tuple

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from ..runtime.errors import DataError, InputError
from .reading_flags import DELIMITERS, FLAGS

HEADER = {"yes": True, "no": False}
SHOWN = 8  # headings in a message
TRAINED = "the model was trained on"
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


class Headings(BaseModel):
    """The headings of the columns of a table that are read, in their order: of its features, and
    of the columns that hold labels. Of a table of series, ``kinds`` says what each column tells.
    """

    model_config = ConfigDict(frozen=True)

    columns: Tuple[str, ...]
    labels: Tuple[str, ...] = ()
    kinds: Tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> Dict[str, Any]:
        """Without kinds where there are none: as an artifact of anything but series has it."""
        found: Dict[str, Any] = write(self)
        return found if self.kinds else {k: v for k, v in found.items() if k != "kinds"}


@dataclass
class _Current:
    reading: Reading = field(default_factory=Reading)
    say: Callable[[str], None] = _LOG.warning
    said: dict[tuple[Path, str], list[Path]] = field(default_factory=dict)
    headings: Headings | None = None  # of the model, or else of the first table that had any
    first: Path | None = None  # which that was


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


def headings() -> Headings | None:
    """The headings by which columns are taken now, those of the first table that had any; None
    where there are none yet.
    """
    return _CURRENT.get().headings


def matched(
    path: Path,
    header: Sequence[str],
    labels: Sequence[int],
    features: Sequence[int],
    label_is_decided: bool,
    label_is_read: bool,
) -> tuple[list[int], list[int]]:
    """The indices of the columns of labels and of features in ``header``, in the order of those
    that the model was trained on, or that were read before; ``labels`` and ``features`` are where
    they are expected by place.

    Columns that the model does not know are left out; that, and another order, is said. Raises
    DataError where a column is missing, or where tables of one training differ.
    """
    where = _CURRENT.get()
    names = [name.strip() for name in header]
    if where is _USUAL:
        return list(labels), list(features)
    if where.headings is None:
        where.headings = Headings(
            columns=tuple(names[i] for i in features), labels=tuple(names[i] for i in labels)
        )
        where.first = path
        return list(labels), list(features)
    return _Match(path, names, where.headings, where.first).found(
        list(labels), list(features), label_is_decided, label_is_read
    )


def placed(
    path: Path, header: Sequence[str], wanted: Sequence[str], source: str = TRAINED
) -> list[int]:
    """Where the columns that are called ``wanted`` stand in ``header``.

    Others are left out; that, and another order, is said. Raises DataError for one that is missing,
    whose heading stands twice; ``source`` begins the sentence that says who wants them.
    """
    match = _Match(path, [name.strip() for name in header], Headings(columns=tuple(wanted)), None)
    match.source = source
    return match.found([], list(range(len(header))), False, False)[1]


def keep(found: Headings) -> None:
    """From now on, these are the headings that tables are held against."""
    where = _CURRENT.get()
    if where is not _USUAL:
        where.headings = found


def are_known(cells: Sequence[str], known: Headings | None) -> bool:
    """Whether all ``known`` headings of columns are among ``cells``, be they numbers."""
    return known is not None and {key_of(cell) for cell in cells} >= set(map(key_of, known.columns))


def key_of(heading: str) -> str:
    """By which headings are alike: without blanks around, in whichever case."""
    return heading.strip().lower()


class _Match:
    """The headings ``names`` of the table ``path`` beside those of the model, or of ``first``."""

    def __init__(
        self, path: Path, names: Sequence[str], expected: Headings, first: Path | None
    ) -> None:
        self.path = path
        self.names = names
        self.expected = expected
        self.first = first
        self.source = TRAINED if first is None else f"{first} has"

    def found(
        self, labels: list[int], features: list[int], label_is_decided: bool, label_is_read: bool
    ) -> tuple[list[int], list[int]]:
        by_place = (labels, features)
        pool = features if label_is_decided else [*labels, *features]
        wanted = list(self.expected.columns)
        if label_is_read and not label_is_decided:
            wanted += self.expected.labels
        places = self._places(pool, wanted, by_place)
        if places is None:
            return by_place
        count = len(self.expected.columns)
        features = places[:count]
        if not label_is_decided:
            labels = places[count:] if self.expected.labels else labels
        taken, chosen = {*places, *labels}, set(features)
        self._leave_out([i for i in pool if i not in taken])
        if [i for i in pool if i in chosen] != features:
            note(
                "its columns are taken by their headings, in the order that "
                f"{self.source}: {_listed(self.expected.columns)}",
                self.path,
            )
        return labels, features

    def _places(
        self, pool: list[int], wanted: list[str], by_place: tuple[list[int], list[int]]
    ) -> list[int] | None:
        """Where the headings ``wanted`` stand; None where all are where they are expected.

        Raises DataError for those that are missing, or cannot be told apart.
        """
        keys = {i: key_of(self.names[i]) for i in range(len(self.names))}
        expected = [key_of(name) for name in wanted]
        count = len(self.expected.columns)
        if [keys[i] for i in by_place[1]] == expected[:count] and [
            keys[i] for i in by_place[0]
        ] == (expected[count:] or [keys[i] for i in by_place[0]]):
            return None
        by_name: dict[str, list[int]] = {}
        for i in pool:
            by_name.setdefault(keys[i], []).append(i)
        missing = [name for name in wanted if key_of(name) not in by_name]
        known = Counter(expected)
        unknown = [self.names[i] for i in pool if keys[i] not in known]
        if missing or (unknown and self.first is not None):
            parts = [f"{_listed(missing)} missing"] if missing else []
            parts += [f"{_listed(unknown)} unknown"] if unknown else []
            raise DataError(
                f"{self.path}: its headings are not those that {self.source}: {', '.join(parts)}; "
                + (
                    "name them alike, or leave the line of headings out of the file: then columns "
                    "are taken by their place"
                    if missing
                    else "--columns leaves columns out"
                )
                + "; --label-column names the column of labels"
                * any(name in self.expected.labels for name in missing)
            )
        twice = [name for name in known if len(by_name[name]) > 1]
        twice += [name for name, count in known.items() if count > 1]
        if twice:
            raise DataError(
                f"{self.path}: several columns have the heading {_listed(dict.fromkeys(twice))}, "
                f"and they do not stand as those that {self.source} ({_listed(wanted)}): give "
                "each a heading of its own"
            )
        return [by_name[name][0] for name in expected]

    def _leave_out(self, others: Sequence[int]) -> None:
        if others:
            count = "1 column is" if len(others) == 1 else f"{len(others):,} columns are"
            note(
                f"{count} left out, which the model was not trained on: "
                f"{_listed([self.names[i] for i in others])}",
                self.path,
            )


def _listed(names: Iterable[str]) -> str:
    """Some of ``names``, for people."""
    every = [name[:40] or "(no heading)" for name in names]
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN:,} more" * (len(every) > SHOWN))


@contextmanager
def using(
    reading: Reading, say: Callable[[str], None], headings: Headings | None = None
) -> Iterator[None]:
    """All that is read within is read as ``reading`` says; what is assumed is told to ``say``.

    ``headings`` are those that a model was trained on: tables are held against them.
    """
    token = _CURRENT.set(_Current(reading, say, headings=headings))
    try:
        yield
    finally:
        _CURRENT.reset(token)
