"""The progress of a batch transform, which can resume: OUTPUT/.transform.jsonl, one event per line.

An entry is written after the data that it describes is on the disk, and before anything relies on
it. An entry with a wrong checksum is ignored.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Iterator, NamedTuple

from ..runtime.errors import OutputError
from ..runtime.staging import remove_empty, unwritable, write_whole

NAME = ".transform.jsonl"


@dataclass(frozen=True)
class Entry:
    """How far one input is: ``offset`` bytes and ``records`` of it are answered.

    ``output`` and ``report`` are the bytes which the two files hold for them. ``settings`` is all
    that the answers depend on.
    """

    settings: dict[str, Any]
    offset: int = 0
    records: int = 0
    rows: int = 0
    errors: int = 0
    output: int = 0
    report: int = 0
    whole: bool = False


class Journal:
    """The journal of one OUTPUT folder, which is this process's alone."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.entries: dict[str, Entry] = {}
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as stream:
            for line in stream:
                name, entry = _read(line)
                if entry is not None:
                    self.entries[name] = entry
        lines = (_line(name, entry) for name, entry in self.entries.items())
        write_whole(self.path, b"".join(lines))
        self.stream = self.path.open("ab", buffering=0)

    def note(self, name: str, entry: Entry) -> None:
        """Write durably that ``name`` has progressed to ``entry``."""
        self.entries[name] = entry
        self.stream.write(_line(name, entry))
        os.fsync(self.stream.fileno())

    def close(self) -> None:
        self.stream.close()


def _line(name: str, entry: Entry) -> bytes:
    content = {"file": name, **asdict(entry)}
    return json.dumps({**content, "check": _check(content)}).encode() + b"\n"


def _read(line: bytes) -> tuple[str, Entry | None]:
    """What ``_line`` wrote, or None where a kill cut it short or somebody changed it."""
    try:
        found = json.loads(line)
        if found.pop("check") == _check(found):
            return found.pop("file"), Entry(**found)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        pass
    return "", None


def _check(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Journal]:
    """The journal of ``folder``, which is made where there is none.

    Raises OutputError where it cannot be written to, or another process writes into it.
    """
    created = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except FileExistsError:
        raise OutputError(f"{folder}: is a file: OUTPUT must be a folder") from None
    except OSError as error:
        raise OutputError(unwritable(folder, error)) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal = Journal(folder)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputError(
            f"{folder}: another transform is writing into it: wait for it, or give another OUTPUT"
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise OutputError(unwritable(folder, error)) from None
    try:
        yield journal
    finally:
        journal.close()
        if not journal.entries:  # nothing is done that it could speak of
            journal.path.unlink()
            remove_empty(created)
        os.close(descriptor)


class Output:
    """The answers to one input and the report on its bad records, hidden until they are whole.

    Goes on from ``entry`` where its files hold what it says.
    """

    def __init__(self, journal: Journal, folder: Path, name: str, entry: Entry) -> None:
        self.journal = journal
        self.name = name
        self.entry = entry
        self.answers = _Pair.of(folder / f"{name}.out")
        self.report = _Pair.of(folder / f"{name}.errors.jsonl")
        self.streams: list[int] = []

    def holds(self) -> bool:
        """Whether the files hold what the entry says."""
        return all(
            pair.holds(size, whole=self.entry.whole)
            for pair, size in self._sizes()
            if size or pair is self.answers
        )

    def open(self) -> None:
        """Prepare to append after the output that the entry describes."""
        try:
            self.answers.final.parent.mkdir(parents=True, exist_ok=True)
            for pair, size in self._sizes():
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW  # a link could lead to the input
                self.streams.append(os.open(pair.hidden, flags, 0o666))
                os.ftruncate(self.streams[-1], size)
                os.lseek(self.streams[-1], size, os.SEEK_SET)
        except OSError as error:
            raise OutputError(f"{error.filename}: cannot be written: {error.strerror}") from None

    def discard(self) -> None:
        """Leave nothing of an input of which nothing is answered."""
        self.close()
        for pair, _ in self._sizes():
            with contextlib.suppress(OSError):
                pair.hidden.unlink()
        folder, parent = self.journal.path.parent, self.answers.final.parent
        remove_empty([each for each in (parent, *parent.parents) if folder in each.parents])

    def write(self, answers: bytes, report: bytes, entry: Entry) -> None:
        """Append; ``entry`` is how far the input then is, but for the bytes of the files."""
        for stream, content in zip(self.streams, (answers, report)):
            view = memoryview(content)
            while view:
                try:
                    view = view[os.write(stream, view) :]
                except OSError as error:
                    raise self._refused(error) from None
        self.entry = replace(
            entry,
            output=self.entry.output + len(answers),
            report=self.entry.report + len(report),
        )

    def save(self, *, whole: bool = False) -> None:
        """Make what is written durable; the ``whole`` of it takes its place."""
        try:
            for stream in self.streams:
                os.fsync(stream)
            self.entry = replace(self.entry, whole=whole)
            self.journal.note(self.name, self.entry)
        except OSError as error:
            raise self._refused(error) from None
        if whole:
            self.close()
            self.settle()

    def settle(self) -> None:
        """Rename complete files to their final names."""
        for pair, size in reversed(self._sizes()):
            if pair is self.report and not size:
                for path in pair:
                    with contextlib.suppress(FileNotFoundError):
                        path.unlink()
            elif pair.hidden.exists():
                try:
                    os.replace(pair.hidden, pair.final)
                except OSError as error:
                    raise self._refused(error) from None

    def close(self) -> None:
        while self.streams:
            os.close(self.streams.pop())

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.answers.final}: cannot be written: {error.strerror}; finished parts are "
            "kept, and the same command resumes from there"
        )

    def _sizes(self) -> list[tuple[_Pair, int]]:
        return [(self.answers, self.entry.output), (self.report, self.entry.report)]


class _Pair(NamedTuple):
    """The temporary and the final path of a file."""

    hidden: Path
    final: Path

    @classmethod
    def of(cls, final: Path) -> _Pair:
        return cls(final.with_name(f".{final.name}.partial"), final)

    def holds(self, size: int, *, whole: bool) -> bool:
        """Whether it has ``size`` bytes, or more while it grows; a whole one may be hidden."""
        for path in (self.hidden, self.final) if whole else (self.hidden,):
            with contextlib.suppress(OSError):
                found = path.stat().st_size
                return found == size or (found > size and not whole)
        return False
