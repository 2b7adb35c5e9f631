"""Rows of numbers, read from files of any size: held in memory, or on disk where they are many."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Callable, Iterator

import numpy as np

from . import codecs, recordio, recordio_protobuf
from .errors import DataError, OutputError, PayloadError
from .files import TABLE_SUFFIXES, data_files, numeric_lines, open_bytes, read_arrays
from .training.data import chunks
from .types import Array

FORMATS = (
    "CSV or TSV, a line a row, with or without a header, gz or not",
    "npy, one array (N, D), or (N, …) whose rows are flattened",
    "npz, such an array named x",
    "RecordIO-protobuf, a record a row: the format of SageMaker's built-in algorithms",
    "a folder of such files",
)
SUFFIXES = (*TABLE_SUFFIXES, ".npy", ".npz", ".pbr", ".rec", ".recordio", ".recordio.gz")
BLOCK_BYTES = 16 * 2**20
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"


@dataclass
class Rows:
    """Rows (N, D) float32, all finite: ``values`` in memory, or a map of a file on disk.

    ``digest`` is the SHA-256 of their bytes and form: the same rows, the same digest.
    """

    shape: tuple[int, int]
    digest: str
    values: Array | None = None
    file: IO[bytes] | None = None
    offset: int = 0
    origin: Array = field(default_factory=lambda: np.zeros(1, np.float32))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def in_memory(self) -> bool:
        return self.values is not None

    def take(self, chosen: slice | Array) -> Array:
        """The rows ``chosen`` by a slice or by their indices (B,): (B, D), not to be written to."""
        if self.values is not None:
            return self.values[chosen]
        rows = self._read(np.arange(len(self))[chosen])
        rows -= self.origin
        return rows

    def _read(self, indices: Array) -> Array:
        """Rows from the file, not mapped: of each row, the kernel would map the surroundings."""
        assert self.file is not None
        rows = np.empty((len(indices), self.shape[1]), np.float32)
        if not rows.size:
            return rows
        content, length = rows.data.cast("B"), rows.itemsize * self.shape[1]
        # Rows that follow one another are read at once.
        starts = np.flatnonzero(np.diff(indices, prepend=-2) != 1)
        for start, stop in zip(starts, np.append(starts[1:], len(indices))):
            part = content[start * length : stop * length]
            at = self.offset + int(indices[start]) * length
            while part:
                read = os.preadv(self.file.fileno(), [part], at)
                if not read:
                    raise DataError(f"{self.file.name}: has become shorter while it was read")
                part, at = part[read:], at + read
        return rows

    def move_origin(self, origin: Array) -> None:
        """From now on, give rows minus ``origin`` (D,) float32; called once."""
        self.origin = origin
        if self.values is not None:
            self.values -= origin


def read_rows(path: Path, *, skipped: int = 0, memory: int = 2**30) -> Rows:
    """The rows of the file, or of the files in the folder, at ``path``, in any of FORMATS.

    What a file holds is told by its first bytes. ``skipped`` columns at the start of each CSV line
    are labels, and left out. More than ``memory`` bytes are kept in a file without a name in the
    folder for temporary files, unless they are one npy of float32, which is read where it lies.
    Raises DataError.
    """
    files = _files(path)
    if len(files) == 1:
        mapped = _mapped(files[0], memory)
        if mapped is not None:
            return mapped
    collected = _Collected(memory)
    for file in files:
        count = collected.count
        for block in _blocks(file, skipped):
            collected.add(block, file)
        if collected.count == count:
            raise DataError(f"{file}: holds no rows")
    return collected.rows()


class _Collected:
    """Blocks of rows that come one by one, moved from memory to disk when they are too many."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.blocks: list[Array] = []
        self.file: IO[bytes] | None = None
        self.count = self.columns = 0
        self.sha256 = hashlib.sha256()

    def add(self, block: Array, source: Path) -> None:
        if self.columns and block.shape[1] != self.columns:
            raise DataError(
                f"{source}: has {block.shape[1]} columns, the file before it {self.columns}"
            )
        self.columns = block.shape[1]
        self.count += len(block)
        self.sha256.update(block.data)
        if self.file is None and self.count * self.columns * 4 > self.memory:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the rows
            for before in self.blocks:
                self._write(before)
            self.blocks = []
        if self.file is None:
            self.blocks.append(block)
        else:
            self._write(block)

    def _write(self, block: Array) -> None:
        assert self.file is not None
        try:
            self.file.write(block.data)
        except OSError as error:
            raise OutputError(
                f"{tempfile.gettempdir()}: {self.count:,} rows cannot be kept there: "
                f"{error.strerror}; set TMPDIR to a folder with more room, or allow more memory"
            ) from None

    def rows(self) -> Rows:
        shape = (self.count, self.columns)
        if self.file is None:
            whole = np.concatenate(self.blocks) if len(self.blocks) > 1 else self.blocks[0]
            self.blocks = []
            return Rows(shape, _digest(self.sha256, self.columns), values=whole)
        self.file.flush()
        return Rows(shape, _digest(self.sha256, self.columns), file=self.file)


def _digest(sha256: Any, columns: int) -> str:
    sha256.update(f"{columns}".encode())
    return str(sha256.hexdigest())


def _files(path: Path) -> list[Path]:
    """``path``, or what in it is data by its name; without an ending, as Spark writes them, too."""
    if not path.is_dir():
        return [path]
    found = data_files(path, SUFFIXES)
    if not found:
        raise DataError(f"{path}: holds no rows. Expected {'; or '.join(FORMATS)}")
    return found


def _blocks(path: Path, skipped: int) -> Iterator[Array]:
    """The rows of one file in blocks (B, D) float32, C-contiguous and the caller's own."""
    with open_bytes(path) as stream:
        head = stream.read(len(_NPY))
    if head == _NPY:
        yield from _in_blocks(path, partial(_npy, path))
    elif head[: len(_ZIP)] == _ZIP and path.suffix == ".npz":
        whole = read_arrays(path, ("x",))[0]
        yield from _in_blocks(path, lambda: whole)
    elif head[: len(recordio.MAGIC)] == recordio.MAGIC:
        with open_bytes(path) as stream:
            yield from recordio_protobuf.read_blocks(stream, DataError, f"{path}: ")
    else:
        for block in numeric_lines(path):
            if block.shape[1] <= skipped:
                raise DataError(
                    f"{path}: has {block.shape[1]} columns, of which {skipped} are labels"
                )
            yield np.ascontiguousarray(block[:, skipped:])


def _npy(path: Path) -> Array:
    """The array in an npy file, mapped; its size is checked before anything is read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(codecs.MOST_NPY_HEAD)
        dtype, fortran_order, shape, offset = codecs.npy_layout(head, path.stat().st_size)
        stored = "u1" if dtype.kind == "b" else dtype
        return np.memmap(path, stored, "r", offset, shape, "F" if fortran_order else "C")
    except PayloadError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _in_blocks(path: Path, read: Callable[[], Array]) -> Iterator[Array]:
    """The array (N, …) that ``read`` gives as blocks (B, D) float32, all finite.

    It is read anew for each, for a mapping that stays keeps what was read in memory.
    """
    array = read()
    if array.ndim < 2 or array.dtype.kind not in "buif" or not array.size:
        raise DataError(
            f"{path}: expected an array (N, D) of numbers, got {array.shape} {array.dtype}"
        )
    size = len(array)
    for chunk in chunks(size, rows_in(BLOCK_BYTES, array.size // size)):
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            block = np.array(array[chunk], np.float32, order="C").reshape(-1, array.size // size)
        wrong = np.argwhere(~np.isfinite(block))
        if len(wrong):
            row, column = wrong[0] + 1
            raise DataError(
                f"{path}: row {chunk.start + row}, column {column}: not a finite float32"
                + (f" (nor are {len(wrong) - 1} more in this block)" if len(wrong) > 1 else "")
            )
        yield block
        array = read()


def rows_in(size: int, columns: int) -> int:
    """How many rows of float32 ``size`` bytes hold; at least one."""
    return max(1, size // (4 * columns))


def _mapped(path: Path, memory: int) -> Rows | None:
    """The rows of an npy of float32 too large for ``memory``, where they lie; None for others."""
    with open_bytes(path) as stream:
        if stream.read(len(_NPY)) != _NPY or path.suffix == ".gz":
            return None
    array = _npy(path)
    fits = array.nbytes <= memory
    if fits or array.dtype != np.dtype("<f4") or not array.flags.c_contiguous or array.ndim < 2:
        return None
    sha256 = hashlib.sha256()
    for block in _in_blocks(path, partial(_npy, path)):
        sha256.update(block.data)
    columns = array.size // len(array)
    offset = path.stat().st_size - array.nbytes
    file = path.open("rb")
    return Rows((len(array), columns), _digest(sha256, columns), file=file, offset=offset)
