"""Reading the files of a channel: every fault names its file, and its line where it has one."""

from __future__ import annotations

import gzip
import hashlib
import os
import weakref
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, NamedTuple, Sequence

import numpy as np

from . import codecs
from .errors import DataError
from .types import Array

CSV_BLOCK_BYTES = 4 * 2**20
LONGEST_LINE_BYTES = 64 * 2**20
MOST_IMAGE_BYTES = 64 * 2**20  # of one image as it is stored


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """``path`` for reading, decompressed if its name ends in ``.gz``; faults become DataError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream  # type: ignore[misc, unused-ignore]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed file is damaged or cut short: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def exists(path: Path) -> bool:
    """Whether ``path`` is there; raises DataError where that may not be known."""
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def entries(folder: Path) -> list[Path]:
    """What ``folder`` holds, sorted, without hidden entries such as ``.DS_Store``."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None


def with_suffix(path: Path, *suffixes: str) -> list[Path]:
    """``path`` itself, or the files in it, if their names end in one of ``suffixes``."""
    candidates = entries(path) if path.is_dir() else [path]
    return [
        entry for entry in candidates if entry.name.lower().endswith(suffixes) and entry.is_file()
    ]


class LabelledLines(NamedTuple):
    """Lines that follow one another: ``features`` (N, F) float32, ``labels`` (N,) int32.

    ``first_line`` is the number of the first, counted from 1; ``starts`` (N,) int64 are the
    offsets in the file, in bytes, at which the lines begin.
    """

    features: Array
    labels: Array
    first_line: int
    starts: Array


def read_labelled_csv(path: Path, *, features: int, labels: int) -> tuple[Array, Array]:
    """Lines ``label, feature, …`` as SageMaker's built-in algorithms expect them, label first.

    Returns the features (N, features) float32 and the labels (N,) int32 in [0, labels). A first
    line without any number is taken for a header.
    """
    blocks = list(labelled_lines(path, features=features, labels=labels))
    return (
        np.concatenate([block.features for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
    )


def labelled_lines(path: Path, *, features: int, labels: int) -> Iterator[LabelledLines]:
    """The same block by block, so that memory holds little of the file; at least one block."""
    line, start, blank, found = 1, 0, 0, False
    for block in _blocks_of_lines(path):
        skipped = _preface(block, features + 1) if start == 0 else 0
        line += block.count(b"\n", 0, skipped)
        start += skipped
        text = block[skipped:]
        if text.strip():
            if blank:
                raise DataError(f"{path}: line {blank} is empty")
            rows = parse_labelled(text, path, line, features=features, labels=labels)
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
            starts = start + np.concatenate([[0], ends[: len(rows) - 1] + 1])
            yield LabelledLines(rows[:, 1:], rows[:, 0].astype(np.int32), line, starts)
            found = True
            if len(ends) > len(rows):
                blank = line + len(rows)
        elif text:
            blank = blank or line
        line += text.count(b"\n")
        start += len(text)
    if not found:
        raise DataError(f"{path}: holds no examples")


def parse_labelled(
    text: bytes, path: Path, first_line: int, *, features: int, labels: int
) -> Array:
    """Lines ``label, feature, …`` of ``path``, from ``first_line`` on: (N, 1 + features) float32.

    Raises DataError for what is no number, and for a label that is no whole one in [0, labels).
    """
    rows = codecs.parse_csv(
        text, columns=features + 1, first_line=first_line, source=str(path), error=DataError
    )
    wrong = np.flatnonzero(
        (rows[:, 0] != np.floor(rows[:, 0])) | (rows[:, 0] < 0) | (rows[:, 0] >= labels)
    )
    if len(wrong):
        row = wrong[0]
        raise DataError(
            f"{path}: line {first_line + row}: the label {rows[row, 0]:g} is no whole number from "
            f"0 to {labels - 1}" + (f" (nor are {len(wrong) - 1} more)" if len(wrong) > 1 else "")
        )
    return rows


def numeric_lines(path: Path) -> Iterator[Array]:
    """Lines of numbers, as many in each as in the first: block by block (B, columns) float32.

    A first line without any number is taken for a header. Raises DataError.
    """
    line, columns = 1, None
    for block in _blocks_of_lines(path):
        text = block
        if columns is None:
            columns = text.split(b"\n", 1)[0].count(b",") + 1
            skipped = _preface(text, columns)
            line += text.count(b"\n", 0, skipped)
            text = text[skipped:]
        if text.strip():
            rows = codecs.parse_csv(
                text, columns=columns, first_line=line, source=str(path), error=DataError
            )
            yield rows
            line += len(rows)


def _blocks_of_lines(path: Path) -> Iterator[bytes]:
    """The content of ``path`` in blocks of whole lines, so that memory holds little text."""
    rest = b""
    with open_bytes(path) as stream:
        while True:
            block = stream.read(CSV_BLOCK_BYTES)
            if not block:
                break
            end = block.rfind(b"\n") + 1
            if end:
                yield rest + block[:end]
                rest = block[end:]
            elif len(rest) + len(block) > LONGEST_LINE_BYTES:
                raise DataError(f"{path}: a line is longer than {LONGEST_LINE_BYTES:,} bytes")
            else:
                rest += block
    if rest:
        yield rest


def _preface(text: bytes, columns: int) -> int:
    """The length of what comes before the first line of numbers: byte order mark and header."""
    mark = len(codecs.UTF8_MARK) if text.startswith(codecs.UTF8_MARK) else 0
    line = text[mark:].split(b"\n", 1)[0]
    cells = line.split(b",")
    if len(cells) == columns and not any(_is_number(cell) for cell in cells):
        return min(len(text), mark + len(line) + 1)
    return mark


def _is_number(cell: bytes) -> bool:
    try:
        float(cell.strip().strip(b'"'))
    except ValueError:
        return False
    return True


def read_arrays(path: Path, names: Sequence[str]) -> list[Array]:
    """The arrays ``names`` of the npz file ``path``; nothing in it is unpickled."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: holds one array (npy), not several by name (npz)")
        with loaded as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise DataError(
                    f"{path}: holds no array {', '.join(map(repr, missing))}, "
                    f"only {', '.join(archive.files) or 'nothing'}"
                )
            return [archive[name] for name in names]
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged archive
        pickled = "pickle" in str(error)
        raise DataError(
            f"{path}: holds pickled Python objects, which are never loaded: save plain arrays"
            if pickled
            else f"{path}: not a readable npz file: {error}"
        ) from None


def read_image_bytes(path: Path) -> bytes:
    """The file ``path`` as it is; raises DataError for one that is too long for an image."""
    with open_bytes(path) as stream:
        body = stream.read(MOST_IMAGE_BYTES + 1)
    if len(body) > MOST_IMAGE_BYTES:
        raise DataError(f"{path}: longer than {MOST_IMAGE_BYTES:,} bytes: no image to learn from")
    return body


class RandomAccess:
    """A file of which any thread may read any part."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self.size = os.fstat(descriptor).st_size

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``; raises DataError where they aren't there."""
        try:
            content = os.pread(self._descriptor, end - start, start)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from None
        if len(content) < end - start:
            raise DataError(f"{self.path}: has become shorter since it was opened")
        return content

    def digest(self) -> str:
        """The SHA-256 of the file in hexadecimal."""
        digest = hashlib.sha256()
        for start in range(0, self.size, 2**20):
            digest.update(self.read(start, min(self.size, start + 2**20)))
        return digest.hexdigest()
