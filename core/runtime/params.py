"""Parameter files as mxnet and Gluon save them, read with checks that mxnet does not make.

    0x112 and 0, 8 bytes each; how many arrays, 8; they; how many names, 8; they
    an array: its layout, 4 bytes; its storage, 4 (not in layout V1); its shape, as the number of
    axes, 4, and their sizes, 8 each; its device, 8; its dtype, 4; its numbers
    a name: how long it is, 8; UTF-8

Before mxnet 0.12 an array had no layout: the number of axes stands in its place, and their sizes
are of 4 bytes. All that a file says is read first, without its numbers: what does not add up is
refused for next to nothing, whatever it says. Sparse arrays are: no network of this catalog has
one.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Iterator, Mapping, NamedTuple

import numpy as np

from . import mx
from .deprecated import keep_old_names
from .types import Array, NDArray

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
CPU = 1
MAX_BYTES = 5 * 2**30  # of a file: S3 takes so much in one upload
MAX_ARRAYS = 50_000  # the largest network of the catalog has 9,310 nodes
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


class _Place(NamedTuple):
    """What a file says of an array, and where its numbers begin."""

    shape: tuple[int, ...]
    dtype: str
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def read(path: Path, *, numbers: bool = True, named: bool = True) -> Parameters:
    """What the file ``path`` holds, its ``numbers`` too or only what it says of them.

    Where arrays need not be ``named``, they may be a list, and are then called "0", "1", …. Memory
    grows with the file alone, and only once all of it adds up. Raises ParamsError, and OSError.
    """
    with path.open("rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ParamsError("is not a file")
        if found.st_size > MAX_BYTES:
            raise ParamsError(f"has {found.st_size:,} bytes, more than {MAX_BYTES:,}")
        places = _Reader(stream, found.st_size).places(named)
        headers = {name: (place.shape, place.dtype) for name, place in places.items()}
        arrays, digest = _numbers(stream, places, found.st_size, numbers)
        return Parameters(headers, arrays, digest)


def _numbers(
    stream: IO[bytes], places: Mapping[str, _Place], size: int, keeps: bool
) -> tuple[dict[str, Array], str]:
    """The arrays at ``places`` if they are to be kept, and the SHA-256 of the whole file."""
    digest = hashlib.sha256()
    arrays: dict[str, Array] = {}
    skipped = memoryview(bytearray(CHUNK))

    def fill(view: memoryview) -> None:
        for start in range(0, len(view), CHUNK):
            part = view[start : start + CHUNK]
            done = 0
            while done < len(part):
                got = stream.readinto(part[done:])  # type: ignore[attr-defined]
                if not got:
                    raise ParamsError("became shorter while it was read")
                done += got
            digest.update(part)

    def skip(end: int) -> None:
        while (left := end - stream.tell()) > 0:
            fill(skipped[:left])

    stream.seek(0)
    for name, place in places.items() if keeps else ():
        skip(place.start)
        arrays[name] = np.empty(place.shape, place.dtype)
        fill(arrays[name].reshape(-1).view(np.uint8).data)
    skip(size)
    return arrays, digest.hexdigest()


def write(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write ``arrays`` as mxnet saves them. Raises OSError."""
    with path.open("wb") as stream:
        stream.write(struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays)))
        for values in arrays.values():
            axes = struct.pack(f"<Iii{values.ndim}q", V2, DENSE, values.ndim, *values.shape)
            stream.write(axes + struct.pack("<iii", CPU, 0, DTYPES.index(str(values.dtype))))
            stream.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
        stream.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            written = name.encode()
            stream.write(struct.pack("<Q", len(written)) + written)


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
    """What a file says, read once from its beginning, and never beyond its end."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream = stream
        self.left = size

    def places(self, named: bool) -> dict[str, _Place]:
        """Of each array by its name, in their order; its numbers are passed over."""
        magic, reserved, count = self.numbers("<QQQ", "its beginning")
        if magic != LIST_MAGIC or reserved:
            raise ParamsError("is not an mxnet parameter file")
        if not 0 < count <= MAX_ARRAYS:
            raise ParamsError(f"announces {count:,} arrays, expected 1 to {MAX_ARRAYS:,}")
        found = [self.array(f"array {number}") for number in range(1, count + 1)]
        names = list(self.names(count, named))
        if self.left:
            raise ParamsError(f"has {self.left:,} bytes after its end")
        return dict(zip(names, found))

    def _take(self, size: int, what: str) -> None:
        if size > self.left:
            raise ParamsError(
                f"ends within {what}: {size:,} bytes are to come, and {self.left:,} are left; it "
                "is damaged, or was not written whole"
            )
        self.left -= size

    def bytes(self, size: int, what: str) -> bytes:
        self._take(size, what)
        content = self.stream.read(size)
        if len(content) < size:
            raise ParamsError(f"ends within {what}: it became shorter")
        return content

    def numbers(self, layout: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout), what))

    def array(self, what: str) -> _Place:
        (layout,) = self.numbers("<I", what)
        if layout in (V2, V3) and self.numbers("<i", what)[0] != DENSE:
            raise ParamsError(f"{what}: is sparse, which is not supported")
        sizes = "q"
        if layout in (V1, V2, V3):
            (axes,) = self.numbers("<i", what)
        elif layout <= 2**16:  # as before mxnet 0.12, which numbered its layouts
            axes, sizes = layout, "I"
        else:
            raise ParamsError(f"{what}: has an unknown layout: {layout:#x}")
        if not 1 <= axes <= MAX_AXES:
            raise ParamsError(f"{what}: has {axes} axes, not 1 to {MAX_AXES}")
        *shape, device, _, kind = self.numbers(f"<{axes}{sizes}iii", what)
        if not (min(shape) > 0 and math.prod(shape) <= MAX_SIZE):
            raise ParamsError(f"{what}: has the shape {tuple(shape)}")
        if not 1 <= device <= 5:
            raise ParamsError(f"{what}: is of a device of the kind {device}")
        if not 0 <= kind < len(DTYPES):
            raise ParamsError(f"{what}: has a dtype that is none of {', '.join(DTYPES)}")
        place = _Place(tuple(shape), DTYPES[kind], self.stream.tell())
        self._take(place.size, what)
        self.stream.seek(place.size, io.SEEK_CUR)
        return place

    def names(self, count: int, named: bool) -> Iterator[str]:
        (there,) = self.numbers("<Q", "its names")
        if not there and not named:
            yield from map(str, range(count))
            return
        if there != count:
            raise ParamsError(f"has {there:,} names for {count:,} arrays")
        seen: Counter[str] = Counter()
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
            seen[plain(name)] += 1
            if seen[plain(name)] > 1:
                raise ParamsError(f"contains {plain(name)!r} twice")
            yield name


keep_old_names(__name__, "runtime.params")
