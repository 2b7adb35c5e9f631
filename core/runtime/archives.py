"""Read tar and zip archives from others safely, within bounds.

A few bytes of gzip can hold gigabytes, in a file's content, in its name, or in the extended header
that gives the name (PAX, GNU), which ``tarfile`` reads in one piece before anybody can look at it.
So what is unpacked is counted where it comes out of gzip, and the size of a header is bounded too.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Callable

from .errors import DataError

READ_AHEAD = tarfile.RECORDSIZE  # so much tarfile reads in one go
MAX_GLOBALS = 100  # keywords that a PAX header gives to all entries, which tarfile copies for each
UNSUSPICIOUS_BYTES = 16 * 2**20  # so much comes out of any archive, however small that is
LONGEST_PART = 255  # bytes between two slashes, of common file systems
COPIED_BYTES = 2**20


@dataclass(frozen=True)
class Bounds:
    """What an archive may hold at most; ``contents`` in bytes of all files.

    ``header`` bytes describe one entry, ``headers`` all of them. Of names over ``name`` bytes, and
    of more than ``ratio`` bytes out of each of the archive's, nothing is read.
    """

    contents: int
    entries: int = 10_000
    header: int = 32 * 2**10
    headers: int = 16 * 2**20
    name: int = 1_024
    ratio: int = 200


Wanted = Callable[[str], int]


def unpack(
    archive: Path, target: Path, wanted: Wanted, bounds: Bounds, label: str = ""
) -> list[str]:
    """Write files of a gzipped tar into the folder ``target``; the names of all files in it.

    ``wanted`` says of each name how many bytes its file may have, 0 where it is not to be written.
    An archive that holds a link, a device, an absolute name or one with ``..``, or two entries of
    one name is refused as a whole. Raises DataError that begins with ``label``, the path if "".
    """
    label = label or str(archive)
    try:
        with archive.open("rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
            metered = _Metered(stream, _most(archive, bounds))
            return _Unpacking(metered, target, wanted, bounds).run()
    except _RefusedError as error:
        raise DataError(f"{label}: {error}") from None
    except Exception as error:  # tarfile raises many kinds for what is damaged, ValueError too
        raise DataError(f"{label}: is not a gzipped tar archive, or is damaged: {error}") from None


class _RefusedError(Exception):
    """The archive is beyond the bounds, or holds what none should."""


def _most(archive: Path, bounds: Bounds) -> int:
    """How many bytes may come out of it, by its own size."""
    return max(UNSUSPICIOUS_BYTES, bounds.ratio * os.stat(archive).st_size)


class _Metered:
    """A stream that ends in an error at ``limit``, and at ``most`` whatever that is."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self.position = 0
        self.limit = 0
        self._stream = stream
        self._most = most

    def read(self, size: int) -> bytes:
        content = self._stream.read(min(size, READ_AHEAD))
        self.position += len(content)
        if self.position > self._most:
            raise _RefusedError(
                "expands to far more than an archive of its size should: refused as a "
                "decompression bomb"
            )
        if self.position > self.limit:
            raise _RefusedError("has a header, of a name or of attributes, that is far too long")
        return content


class _Unpacking:
    def __init__(self, stream: _Metered, target: Path, wanted: Wanted, bounds: Bounds) -> None:
        self.stream = stream
        self.target = target
        self.wanted = wanted
        self.bounds = bounds
        self.names: set[str] = set()
        self.files: list[str] = []
        self.contents = 0

    def run(self) -> list[str]:
        self.stream.limit = self.bounds.header + READ_AHEAD
        with tarfile.open(fileobj=self.stream, mode="r|", bufsize=READ_AHEAD) as entries:  # type: ignore[call-overload, unused-ignore]
            while True:
                # where the next header begins
                self.stream.limit = entries.offset + self.bounds.header + READ_AHEAD
                entry = entries.next()
                if entry is None:
                    break
                entries.members = []  # or all would be kept
                self._check(entry, entries)
                self._write(entry, entries)
            self._check_end()
        return self.files

    def _check(self, entry: tarfile.TarInfo, entries: tarfile.TarFile) -> None:
        """Count it, and refuse it where it is beyond a bound or none that should be there."""
        bounds = self.bounds
        name = _plain(entry.name, bounds.name)
        if entry.size < 0 or not (entry.isdir() or entry.isreg()) or entry.issparse():
            raise _RefusedError(
                f"{name!r} in it is neither a file nor a folder, but {_kind(entry)}"
            )
        if name in self.names and name != ".":
            raise _RefusedError(f"{name!r} is in it more than once")
        self.names.add(name)
        self.contents += entry.size
        if len(self.names) > bounds.entries:
            raise _RefusedError(f"holds too much: more than {bounds.entries:,} entries")
        if self.contents > bounds.contents:
            raise _RefusedError(f"holds too much: more than {bounds.contents:,} bytes")
        if entries.offset - self.contents > bounds.headers + len(self.names) * tarfile.BLOCKSIZE:
            raise _RefusedError(f"has more than {bounds.headers:,} bytes of headers")
        if len(entries.pax_headers) > MAX_GLOBALS:
            raise _RefusedError(f"has a header for all entries with over {MAX_GLOBALS} keywords")

    def _write(self, entry: tarfile.TarInfo, entries: tarfile.TarFile) -> None:
        if not entry.isreg():
            return
        name = _plain(entry.name, self.bounds.name)
        self.files.append(name)
        most = self.wanted(name)
        if not most:
            return
        if entry.size > most:
            raise _RefusedError(f"its {name} has {entry.size:,} bytes, more than {most:,}")
        self.stream.limit = entries.offset + READ_AHEAD
        content = entries.extractfile(entry)
        assert content is not None  # of a file
        path = self.target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with content, path.open("wb") as stream:
            while block := content.read(COPIED_BYTES):
                stream.write(block)

    def _check_end(self) -> None:
        """What follows is padding: tarfile takes a damaged header for the end, and gzip's own
        checksum comes last.
        """
        self.stream.limit = self.stream.position + self.bounds.header + READ_AHEAD
        while block := self.stream.read(READ_AHEAD):
            if block.strip(b"\0"):
                raise _RefusedError("is damaged: there is data after its end")


def _plain(name: str, most: int) -> str:
    """The name without ``./``; refuses one that is none, or leads out of the folder."""
    shown = repr(name[:80])
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise _RefusedError(f"the name {shown} in it is not UTF-8") from None
    parts = PurePosixPath(name).parts
    if size > most or any(len(part.encode()) > LONGEST_PART for part in parts):
        raise _RefusedError(f"a name in it is too long, with {size:,} bytes: {shown}…")
    if name.startswith("/") or ".." in parts:
        raise _RefusedError(f"the name {shown} in it leads out of the folder")
    if not name or not name.isprintable():
        raise _RefusedError(f"the name {shown} in it cannot be the name of a file")
    return str(PurePosixPath(name))


def _kind(entry: tarfile.TarInfo) -> str:
    if entry.issym() or entry.islnk():
        return "a link"
    if entry.isdev():
        return "a device or a pipe"
    return "a file with holes" if entry.issparse() else "something else"
