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

from ..data.npy import MAX_NPY_HEAD, npy_layout
from ..data.numbers import FLOAT32_LIMIT
from ..runtime.errors import DataError, OutputError, PayloadError
from ..runtime.types import Array
from . import protobuf as recordio_protobuf
from . import recordio
from .dataset import chunks
from .files import TABLE_SUFFIXES, check_empty, data_files, numeric_lines, read_arrays
from .opening import open_bytes

FORMATS = (
    "CSV or TSV, a line a row, with or without a header, gz or not",
    "npy, one array (N, D), or (N, …) whose rows are flattened",
    "npz, such an array named x",
    "RecordIO-protobuf, a record a row: the format of SageMaker's built-in algorithms",
    "a folder of such files",
)
SUFFIXES = (*TABLE_SUFFIXES, ".npy", ".npz", ".pbr", ".rec", ".recordio", ".recordio.gz")
BLOCK_BYTES = 16 * 2**20
FEW_NUMBERS = 2**20  # so many are held in float64 as they are
BLUR = 2.0**-12  # rounding of more than this part of a column's standard deviation counts
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"


@dataclass
class Rows:
    """Rows (N, D), all finite in float32: ``values`` in memory, or those of a file on disk.

    They are held in float32; in float64 where they are few, or where float32 would lose what
    tells the values of a column apart. ``digest`` is the SHA-256 of their bytes and form: the same
    rows, the same digest.
    """

    shape: tuple[int, int]
    digest: str
    values: Array | None = None
    file: IO[bytes] | None = None
    offset: int = 0
    stored: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))  # in the file
    origin: Array = field(default_factory=lambda: np.zeros(1))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def in_memory(self) -> bool:
        return self.values is not None

    def take(self, chosen: slice | Array, dtype: type[Any] = np.float32) -> Array:
        """The rows ``chosen`` by a slice or by their indices (B,): (B, D), not to be written to."""
        if self.values is not None:
            values = self.values[chosen]
            if values.dtype == np.float64 and self.origin.any():
                values = values - self.origin
            return values.astype(dtype, copy=False)
        rows = self._read(np.arange(len(self))[chosen])
        if self.origin.any():
            np.subtract(rows, self.origin, out=rows, casting="same_kind")
        return rows.astype(dtype, copy=False)

    def _read(self, indices: Array) -> Array:
        """Rows from the file, not mapped: of each row, the kernel would map the surroundings."""
        assert self.file is not None
        rows = np.empty((len(indices), self.shape[1]), self.stored)
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
        """From now on, give rows minus ``origin`` (D,); called once.

        It is rounded to float32, so that it can be told exactly; the difference is taken in the
        precision in which the rows are held.
        """
        self.origin = origin.astype(np.float32).astype(np.float64)
        if self.values is not None and self.values.dtype == np.float32:
            self.values -= self.origin.astype(np.float32)


def read_rows(path: Path, *, skipped: int = 0, memory: int = 2**30) -> Rows:
    """The rows of the file, or of the files in the folder, at ``path``, in any of FORMATS.

    What a file holds is told by its first bytes. ``skipped`` columns at the start of each CSV line
    are labels, and left out. More than ``memory`` bytes are kept in a file without a name in the
    folder for temporary files, unless they are one npy of float32, which is read where it lies.
    Few rows keep the digits of float64, many only where float32 would lose what matters.
    Raises DataError.
    """
    files = _files(path)
    if len(files) == 1:
        mapped = _mapped(files[0], memory)
        if mapped is not None:
            return mapped
    collected = Collected(memory)
    empty = []
    for file in files:
        count = collected.count
        for block in _blocks(file, skipped):
            collected.add(block, file)
        if collected.count == count:
            empty.append(file)
    check_empty(path, empty, len(files))
    return collected.rows()


class Collected:
    """Blocks of rows that come one by one, moved from memory to disk when they are too many.

    ``dtype`` is what all of them are held in: float64 while they are few, then float32, then
    float64 again from the first block on that float32 would blur.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.blocks: list[Array] = []
        self.file: IO[bytes] | None = None
        self.count = self.columns = 0
        self.dtype: type[Any] = np.float64
        self.blurred = False
        self.sha256 = hashlib.sha256()

    def add(self, block: Array, source: Path) -> None:
        if self.columns and block.shape[1] != self.columns:
            raise DataError(
                f"{source}: has {block.shape[1]} columns, the file before it {self.columns}"
            )
        self.columns = block.shape[1]
        self.count += len(block)
        narrow = np.ascontiguousarray(block, np.float32)
        self.sha256.update(narrow.data)
        if block.dtype == np.float64 and blurs(block, narrow):
            self.blurred = True
            self.sha256.update(np.ascontiguousarray(block).data)
        numbers = self.count * self.columns
        few = numbers <= FEW_NUMBERS and numbers * 8 <= self.memory
        self._hold_in(np.float64 if self.blurred or (few and self.file is None) else np.float32)
        if self.file is None and numbers * np.dtype(self.dtype).itemsize > self.memory:
            self.file = _temporary()
            for before in self.blocks:
                self._write(before)
            self.blocks = []
        held = narrow if self.dtype is np.float32 else block.astype(np.float64, copy=False)
        if self.file is None:
            self.blocks.append(held)
        else:
            self._write(held)

    def _hold_in(self, dtype: type[Any]) -> None:
        """Convert what has come so far."""
        if dtype is self.dtype:
            return
        before, self.dtype = self.dtype, dtype
        self.blocks = [block.astype(dtype) for block in self.blocks]
        if self.file is not None:
            narrow, self.file = self.file, _temporary()
            narrow.seek(0)
            while True:
                part = narrow.read(BLOCK_BYTES)
                if not part:
                    break
                self._write(np.frombuffer(part, before).astype(dtype))
            narrow.close()

    def _write(self, block: Array) -> None:
        assert self.file is not None
        try:
            self.file.write(np.ascontiguousarray(block).data)
        except OSError as error:
            raise OutputError(
                f"{tempfile.gettempdir()}: {self.count:,} rows cannot be kept there: "
                f"{error.strerror}; set TMPDIR to a folder with more room, or allow more memory"
            ) from None

    def rows(self) -> Rows:
        shape = (self.count, self.columns)
        digest = _digest(self.sha256, self.columns)
        if self.file is None:
            whole = np.concatenate(self.blocks) if len(self.blocks) > 1 else self.blocks[0]
            self.blocks = []
            return Rows(shape, digest, values=whole)
        self.file.flush()
        return Rows(shape, digest, file=self.file, stored=np.dtype(self.dtype))


def blurs(exact: Array, narrow: Array) -> bool:
    """Whether a column of ``narrow`` (B, D) float32 lacks digits that its ``exact`` values need.

    That is, where rounding is not small beside the standard deviation.
    """
    lost = np.abs(exact - narrow).max(axis=0)
    return bool((lost > BLUR * exact.std(axis=0)).any())


def _temporary() -> IO[bytes]:
    return tempfile.TemporaryFile()  # lives as long as the rows


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
    """The rows of one file in blocks (B, D) float32 or float64, the caller's own."""
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
        yield from numeric_lines(path, skipped)


def _npy(path: Path) -> Array:
    """The array in an npy file, mapped; its size is checked before anything is read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(MAX_NPY_HEAD)
        dtype, fortran_order, shape, offset = npy_layout(head, path.stat().st_size)
        stored = "u1" if dtype.kind == "b" else dtype
        return np.memmap(path, stored, "r", offset, shape, "F" if fortran_order else "C")
    except PayloadError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _in_blocks(path: Path, read: Callable[[], Array]) -> Iterator[Array]:
    """The array (N, …) that ``read`` gives as blocks (B, D), all finite in float32.

    They are float64 where the array is of numbers that float32 does not hold. It is read anew for
    each, for a mapping that stays keeps what was read in memory.
    """
    array = read()
    if array.ndim < 2 or array.dtype.kind not in "buif" or not array.size:
        raise DataError(
            f"{path}: expected an array (N, D) of numbers, got {array.shape} {array.dtype}"
        )
    size = len(array)
    for chunk in chunks(size, rows_in(BLOCK_BYTES, array.size // size)):
        dtype = np.float32 if np.can_cast(array.dtype, np.float32) else np.float64
        block = np.array(array[chunk], dtype, order="C").reshape(-1, array.size // size)
        exact = dtype is np.float64
        finite = np.less(np.abs(block), FLOAT32_LIMIT) if exact else np.isfinite(block)
        wrong = np.argwhere(~finite)
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
