"""Reading the files of a channel: every fault names its file, and its line where it has one."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, Sequence

import numpy as np

from . import codecs
from .errors import DataError, PayloadError
from .types import Array

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
CSV_BLOCK_BYTES = 16 * 2**20
LONGEST_LINE_BYTES = 64 * 2**20


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


def read_labelled_csv(path: Path, *, features: int, labels: int) -> tuple[Array, Array]:
    """Lines ``label, feature, …`` as SageMaker's built-in algorithms expect them, label first.

    Returns the features (N, features) float32 and the labels (N,) int32 in [0, labels). A first
    line without any number is taken for a header.
    """
    blocks: list[Array] = []
    line = 1
    for text in _blocks_of_lines(path):
        if line == 1 and _is_header(text, features + 1):
            text = text[text.index(b"\n") + 1 :] if b"\n" in text else b""
            line = 2
        if not text.strip():
            continue
        rows = codecs.parse_csv(
            text, columns=features + 1, first_line=line, source=str(path), error=DataError
        )
        wrong = np.flatnonzero(
            (rows[:, 0] != np.floor(rows[:, 0])) | (rows[:, 0] < 0) | (rows[:, 0] >= labels)
        )
        if len(wrong):
            row = wrong[0]
            raise DataError(
                f"{path}: line {line + row}: the label {rows[row, 0]:g} is no whole number from 0 "
                f"to {labels - 1}" + (f" (nor are {len(wrong) - 1} more)" if len(wrong) > 1 else "")
            )
        blocks.append(rows)
        line += len(rows)
    if not blocks:
        raise DataError(f"{path}: holds no examples")
    table = np.concatenate(blocks)
    return table[:, 1:], table[:, 0].astype(np.int32)


def numeric_lines(path: Path) -> Iterator[Array]:
    """Lines of numbers, as many in each as in the first: block by block (B, columns) float32.

    A first line without any number is taken for a header. Raises DataError.
    """
    line, columns = 1, None
    for text in _blocks_of_lines(path):
        if columns is None:
            columns = text.split(b"\n", 1)[0].count(b",") + 1
            if _is_header(text, columns):
                text = text[text.index(b"\n") + 1 :] if b"\n" in text else b""
                line = 2
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


def _is_header(text: bytes, columns: int) -> bool:
    cells = text.split(b"\n", 1)[0].split(b",")
    return len(cells) == columns and not any(_is_number(cell) for cell in cells)


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


def class_folders(path: Path) -> dict[str, list[Path]]:
    """The image files of each subfolder of ``path``, by the subfolder's name."""
    found = {
        folder.name: with_suffix(folder, *IMAGE_SUFFIXES)
        for folder in entries(path)
        if folder.is_dir()
    }
    return {name: files for name, files in found.items() if files}


def read_image(path: Path, *, mode: str, size: tuple[int, int]) -> Array:
    """The PNG or JPEG file ``path`` as in codecs.decode_image; a damaged one becomes DataError."""
    with open_bytes(path) as stream:
        body = stream.read()
    try:
        return codecs.decode_image(body, mode=mode, size=size)
    except PayloadError as error:
        raise DataError(f"{path}: {error}") from None
