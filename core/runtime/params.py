"""Parameter files as mxnet and Gluon save them, read with checks that mxnet does not make.

    0x112 and 0, 8 bytes each; how many arrays, 8; they; how many names, 8; they
    an array: its layout, 4 bytes; its storage, 4 (not in layout V1); its shape, as the number of
    axes, 4, and their sizes, 8 each; its device, 8; its dtype, 4; its numbers
    a name: how long it is, 8; UTF-8

What does not add up is refused before anything of it is kept. Sparse arrays are: no network of this
catalog has one.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, cast

import numpy as np

from . import mx
from .types import Array, NDArray

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
MAX_ARRAYS = 100_000
MAX_AXES = 8
MAX_SIZE = 2**31 - 1  # of an axis, and of the numbers of an array: mxnet counts in 32 bits
LONGEST_NAME = 1000
CHUNK = 2**20
DTYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")  # by mxnet's number
PREFIXES = ("arg:", "aux:")


class ParamsError(ValueError):
    """A file that holds no parameters, or not what it says; the message begins after its name."""


@dataclass(frozen=True)
class Parameters:
    """What a file holds by name, as it is written there: shapes and dtypes, and the numbers if they
    were asked for; ``digest`` is the file's SHA-256.
    """

    headers: dict[str, tuple[tuple[int, ...], str]]
    arrays: dict[str, Array]
    digest: str


def plain(name: str) -> str:
    """A name without what tells arguments from states."""
    return name[4:] if name.startswith(PREFIXES) else name


def read(path: Path, *, numbers: bool = True) -> Parameters:
    """What the file ``path`` holds, its ``numbers`` too or only what it says of them.

    Memory grows with the file alone, whatever it says. Raises ParamsError, and OSError.
    """
    with path.open("rb", buffering=CHUNK) as stream:
        reader = _Reader(cast("io.BufferedReader", stream), os.fstat(stream.fileno()).st_size)
        magic, reserved, count = reader.numbers("<QQQ", "its beginning")
        if magic != LIST_MAGIC or reserved:
            raise ParamsError("is not an mxnet parameter file")
        if not 0 < count <= MAX_ARRAYS:
            raise ParamsError(f"announces {count:,} arrays, expected 1 to {MAX_ARRAYS:,}")
        found = [reader.array(number + 1, numbers) for number in range(count)]
        names = list(reader.names(count))
        if reader.left:
            raise ParamsError(f"has {reader.left:,} bytes after its end")
        headers = {name: (shape, dtype) for name, (shape, dtype, _) in zip(names, found)}
        arrays = {name: values for name, (_, _, values) in zip(names, found) if values is not None}
        return Parameters(headers, arrays, reader.digest.hexdigest())


def load(path: Path) -> dict[str, NDArray]:
    """The arrays of the file ``path`` for mxnet, in memory of their own. Raises as ``read``."""
    arrays = read(path).arrays
    return {name: to_mxnet(arrays.pop(name)) for name in list(arrays)}


def to_mxnet(values: Array) -> NDArray:
    """An array of mxnet's, with the same memory where it can: nobody else is to write into that."""
    if values.dtype in (np.int8, np.float16):  # which from_numpy does not know
        return mx.nd.array(values, dtype=values.dtype)
    return mx.nd.from_numpy(values, zero_copy=True)


class _Reader:
    """A file read once from its beginning, and never beyond its end."""

    def __init__(self, stream: io.BufferedReader, size: int) -> None:
        self.stream = stream
        self.left = size
        self.digest = hashlib.sha256()

    def _take(self, size: int, what: str) -> None:
        if size > self.left:
            raise ParamsError(
                f"ends within {what}: {size:,} bytes are to come, and {self.left:,} are left; it "
                "is damaged, or was not written whole"
            )
        self.left -= size

    def _fill(self, view: memoryview, what: str) -> None:
        for start in range(0, len(view), CHUNK):
            part = view[start : start + CHUNK]
            done = 0
            while done < len(part):
                got = self.stream.readinto(part[done:])
                if not got:
                    raise ParamsError(f"ends within {what}: it became shorter")
                done += got
            self.digest.update(part)

    def bytes(self, size: int, what: str) -> bytes:
        self._take(size, what)
        content = bytearray(size)
        self._fill(memoryview(content), what)
        return bytes(content)

    def numbers(self, layout: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout), what))

    def array(self, number: int, keeps: bool) -> tuple[tuple[int, ...], str, Array | None]:
        what = f"array {number}"
        (layout,) = self.numbers("<I", what)
        if layout not in (V1, V2, V3):
            raise ParamsError(f"{what}: has an unknown layout: {layout:#x}")
        if layout != V1 and self.numbers("<i", what)[0] != DENSE:
            raise ParamsError(f"{what}: is sparse, which is not supported")
        (axes,) = self.numbers("<i", what)
        if not 1 <= axes <= MAX_AXES:
            raise ParamsError(f"{what}: has {axes} axes, not 1 to {MAX_AXES}")
        shape = self.numbers(f"<{axes}q", what)
        device, _, kind = self.numbers("<iii", what)
        total = math.prod(shape)
        if not (min(shape) > 0 and total <= MAX_SIZE):
            raise ParamsError(f"{what}: has the shape {shape}")
        if not 1 <= device <= 5:
            raise ParamsError(f"{what}: is of a device of the kind {device}")
        if not 0 <= kind < len(DTYPES):
            raise ParamsError(f"{what}: has a dtype that is none of {', '.join(DTYPES)}")
        return shape, DTYPES[kind], self._values(shape, DTYPES[kind], what, keeps)

    def _values(self, shape: tuple[int, ...], dtype: str, what: str, keeps: bool) -> Array | None:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self._take(size, what)
        if keeps:
            values = np.empty(shape, dtype)
            self._fill(values.reshape(-1).view(np.uint8).data, what)
            return values
        view = memoryview(bytearray(min(size, CHUNK)))
        for start in range(0, size, CHUNK):
            self._fill(view[: size - start], what)
        return None

    def names(self, count: int) -> Iterator[str]:
        (there,) = self.numbers("<Q", "its names")
        if there != count:
            raise ParamsError(f"has {there:,} names for {count:,} arrays")
        seen: list[str] = []
        for number in range(1, count + 1):
            what = f"name {number}"
            (length,) = self.numbers("<Q", what)
            if not 0 < length <= LONGEST_NAME:
                raise ParamsError(f"{what}: is {length:,} bytes long, not 1 to {LONGEST_NAME}")
            try:
                name = self.bytes(length, what).decode("utf-8")
            except UnicodeDecodeError:
                raise ParamsError(f"{what}: is not UTF-8") from None
            if not name.isprintable():
                raise ParamsError(f"{what}: holds control characters")
            seen.append(plain(name))
            yield name
        if len(set(seen)) < count:
            twice = next(name for name in seen if seen.count(name) > 1)
            raise ParamsError(f"contains {twice!r} twice")
