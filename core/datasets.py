"""Examples that are read when they are asked for: data larger than memory.

Each class here is a Dataset (training/data.py), so the ready loop shuffles, shards and prefetches
it. Memory holds where each example is found and its label; ``take`` reads the rest, and any number
of threads may call it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import tempfile
import threading
from abc import ABC, abstractmethod
from array import array
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np

from . import codecs, files, mx, recordio
from .data import tables
from .errors import DataError, OutputError, PayloadError
from .training.data import chunks
from .types import Array

Decode = Callable[[bytes], Array]

# Of the images of a dataset, the part that may be damaged.
TOLERATED = 0.01
# A thread of the pool decodes so many images at a time.
GROUP = 8
MOST_CLASSES = 100_000

_LOG = logging.getLogger(__name__)


class _Images(ABC):
    """Images by index, decoded by a pool of as many threads as one operator of mxnet runs on.

    ``decode`` makes an example, an array of always the same shape and dtype, of an image's bytes;
    Pillow decodes without holding Python's lock.

    An image that it refuses (PayloadError) is logged by name, and the next good one with the same
    label, in the order of the data, stands in for it. So the number of examples, their labels and
    their order don't depend on what is damaged, and what stands in depends on the data alone: a
    resumed run, and every host, sees the same. It is found when it is first asked for, in the first
    epoch at the latest: to decode all of ImageNet in advance would take two cores an hour, at every
    start. Its price: where examples are held out for validation, the one that stands in may be of
    the other part. Beyond TOLERATED of the images the training ends with a DataError.

    A file that can't be read at all ends it at once: it may be there again the next time, and the
    resumed run would learn from other images.
    """

    def __init__(
        self, labels: Array, classes: Sequence[str], decode: Decode, y: Array | None = None
    ) -> None:
        self._labels = labels
        self._y = labels if y is None else y
        self._classes = list(classes)
        self._decode = decode
        self._damaged: dict[int, str] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(mx.threads(), "algoshelf-decode")
        first = self._example(0)[1]
        self._shape, self._dtype = first.shape, first.dtype

    @abstractmethod
    def _bytes(self, index: int) -> bytes:
        """An image as it is stored; raises DataError where it can't be read."""

    @abstractmethod
    def _name(self, index: int) -> str:
        """Where the image is stored, for people."""

    @abstractmethod
    def digest(self) -> str: ...

    @property
    def encoding(self) -> Mapping[str, Any]:
        return {"classes": self._classes} if self._classes else {}

    def __len__(self) -> int:
        return len(self._labels)

    def labels(self) -> Array:
        return self._y

    def take(self, indices: Array) -> tuple[Array, Array]:
        narrow = self._dtype == np.float64
        x = np.empty((len(indices), *self._shape), np.float32 if narrow else self._dtype)
        taken = np.empty(len(indices), np.int64)

        def fill(part: slice) -> None:
            for place in range(part.start, part.stop):
                taken[place], image = self._example(int(indices[place]))
                if (image.shape, image.dtype) != (self._shape, self._dtype):
                    raise DataError(
                        f"{self._name(taken[place])}: becomes {image.shape} {image.dtype}; "
                        f"{self._name(0)} became {self._shape} {self._dtype}"
                    )
                x[place] = image

        for _ in self._pool.map(fill, chunks(len(indices), GROUP)):
            pass
        return x, self._y[taken]

    def _example(self, index: int) -> tuple[int, Array]:
        """The image at ``index``, or what stands in for it, and the index of that."""
        others = chain(range(index + 1, len(self)), range(index))
        label = self._labels[index]
        for candidate in chain([index], (i for i in others if self._labels[i] == label)):
            if candidate not in self._damaged:
                try:
                    return candidate, self._decode(self._bytes(candidate))
                except PayloadError as error:
                    self._note(candidate, error)
        raise DataError(
            f"{self._name(index)}: {self._damaged[index]}, as are all other images of its class"
        )

    def _note(self, index: int, error: PayloadError) -> None:
        with self._lock:
            known = index in self._damaged
            self._damaged[index] = error.faults[0]
            damaged = sorted(self._damaged.items())
        if len(damaged) > TOLERATED * len(self):
            shown = [f"{self._name(i)}: {fault}" for i, fault in damaged[: codecs.MAX_FAULTS]]
            raise DataError(
                *shown,
                f"{len(damaged):,} of {len(self):,} images are damaged; expected {TOLERATED:.0%} "
                "at most. Mend or remove them",
            )
        if not known:
            _LOG.warning("%s: %s; another image of its class stands in", self._name(index), error)


class ImageFiles(_Images):
    """Image files: x is what ``decode`` makes of each file's bytes, y its label.

    ``labels`` (N,) are indices into ``classes``, int32 in y. Without ``classes`` they are numbers,
    one (N,) or several (N, K) an image, float32 in y, and all examples count as one class. Damaged
    files: see above.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[int] | Array,
        classes: Sequence[str],
        decode: Decode,
    ) -> None:
        if not paths:
            raise DataError("no image files are given")
        names = [os.fspath(path) for path in paths]
        self._root = os.path.commonpath([os.path.dirname(end) for end in (min(names), max(names))])
        self._names = [name[len(self._root) :] for name in names]
        if classes:
            super().__init__(np.asarray(labels, np.int32), classes, decode)
        else:
            numbers = np.asarray(labels, np.float32)
            super().__init__(np.zeros(len(numbers), np.int32), classes, decode, numbers)

    @classmethod
    def from_folders(
        cls, path: Path, decode: Decode, classes: Sequence[str] | None = None
    ) -> ImageFiles:
        """The PNG and JPEG files in the subfolders of ``path``, each named as its class.

        ``classes`` are those of the training, to be kept to; without them all that there are, in
        alphabetical order.
        """
        found = files.class_folders(path)
        if not found:
            raise DataError(f"{path}: holds no subfolder with PNG or JPEG images, one a class")
        names = sorted(found) if classes is None else list(classes)
        strangers = sorted(found.keys() - set(names))
        if strangers:
            raise DataError(
                *(f"{path / name}: no class of the training has this name" for name in strangers)
            )
        paths = [file for name in names for file in found.get(name, ())]
        counts = [len(found.get(name, ())) for name in names]
        return cls(paths, np.repeat(np.arange(len(names)), counts), names, decode)

    def _path(self, index: int) -> Path:
        return Path(self._root + self._names[index])

    def _bytes(self, index: int) -> bytes:
        return files.read_image_bytes(self._path(index))

    def _name(self, index: int) -> str:
        return str(self._path(index))

    def digest(self) -> str:
        """Of the files' contents, their labels, and their paths below the folder of all."""
        digest = hashlib.sha256("\0".join(self._classes).encode())

        def content(index: int) -> bytes:
            return hashlib.sha256(self._bytes(index)).digest()

        for part in chunks(len(self), 1024):
            indices = range(part.start, part.stop)
            for index, found in zip(indices, self._pool.map(content, indices)):
                place = f"\0{self._y[index]}\0".encode()
                digest.update(os.fsencode(self._names[index]) + place + found)
        return digest.hexdigest()


class RecordImages(_Images):
    """The images of a RecordIO file, as mxnet's im2rec packs them for SageMaker's algorithms.

    A record has a header (flag, label, id, id2), ``flag`` further labels that replace the one, and
    an image. One label is the class, a whole number: y (N,) int32; ``classes`` names them, by
    default by their numbers. Several become y (N, K) float32 as they are, and all examples count as
    one class. Damaged images: see above; a file that is damaged between them is refused.

    An ``.idx`` file is of no use: who needs all labels visits every record, and so learns where it
    begins.

    Sources: dmlc-core, include/dmlc/recordio.h; mxnet.recordio.IRHeader;
    https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
    """

    def __init__(self, path: Path, decode: Decode, classes: Sequence[str] = ()) -> None:
        self._file = files.RandomAccess(path)
        self._starts, y = self._scan()
        if y.shape[1] > 1:
            super().__init__(np.zeros(len(y), np.int32), classes, decode, y)
        else:
            labels = self._checked(y[:, 0], len(classes) or MOST_CLASSES)
            names = classes or tuple(map(str, range(labels.max() + 1)))
            super().__init__(labels, names, decode)

    def _scan(self) -> tuple[Array, Array]:
        """Where the records start (N,) int64, and their labels (N, K) float32."""
        starts, labels, width, at = array("q"), array("f"), 0, 0
        while at < self._file.size:
            number, start = len(starts), at
            for begin, length in self._parts(number, start):
                at = begin + recordio.padded(length)
            found, _ = self._header(number, start)
            if width not in (0, len(found)):
                raise self._fault(number, start, f"has {len(found)} labels, the others {width}")
            width = len(found)
            starts.append(start)
            labels.frombytes(found.tobytes())
        if not starts:
            raise DataError(f"{self._file.path}: holds no records")
        return np.array(starts, np.int64), np.array(labels, np.float32).reshape(-1, width)

    def _checked(self, labels: Array, count: int) -> Array:
        wrong = np.flatnonzero(~((labels >= 0) & (labels < count) & (labels == np.floor(labels))))
        if len(wrong):
            number = int(wrong[0])
            what = f"the label {labels[number]:g} is no whole number from 0 to {count - 1}"
            raise self._fault(number, self._starts[number], what)
        return labels.astype(np.int32)

    def _parts(self, number: int, start: int) -> Iterator[tuple[int, int]]:
        """Where each part of the record at ``start`` begins, and its length.

        Where the magic number occurs in a record, its writer has left it out and cut there.
        """
        try:
            for at, length in recordio.parts(self._part_header, start):
                if at + length - start > files.MOST_IMAGE_BYTES:
                    most = f"longer than {files.MOST_IMAGE_BYTES:,} bytes"
                    raise self._fault(number, start, f"is {most}: no image to learn from")
                if recordio.padded(length) > self._file.size - at:
                    raise self._fault(number, start, "is cut short")
                yield at, length
        except recordio.FramingError as error:
            raise self._fault(number, start, str(error)) from None

    def _part_header(self, at: int) -> bytes:
        return self._file.read(at, min(at + recordio.HEADER_BYTES, self._file.size))

    def _content(self, number: int, start: int, most: int = files.MOST_IMAGE_BYTES) -> bytes:
        """The first ``most`` bytes of the record at ``start``."""
        content = bytearray()
        for begin, length in self._parts(number, start):
            if begin > start + recordio.HEADER_BYTES:
                content += recordio.MAGIC
            content += self._file.read(begin, begin + max(0, min(length, most - len(content))))
            if len(content) >= most:
                break
        return bytes(content[:most])

    def _header(self, number: int, start: int) -> tuple[Array, int]:
        """The labels of a record, (K,) float32, and the length of the header with them."""
        head = self._content(number, start, _HEADER.size)
        if len(head) < _HEADER.size:
            raise self._fault(number, start, "is too short for an image record's header")
        flag, label, _, _ = _HEADER.unpack(head)
        if flag == 0:
            return np.array([label], np.float32), _HEADER.size
        size = _HEADER.size + 4 * flag
        head = self._content(number, start, size)
        if len(head) < size:
            raise self._fault(number, start, f"is too short for the {flag:,} labels it announces")
        return np.frombuffer(head, "<f4", flag, _HEADER.size), size

    def _bytes(self, index: int) -> bytes:
        start = int(self._starts[index])
        return self._content(index, start)[self._header(index, start)[1] :]

    def _name(self, index: int) -> str:
        return f"{self._file.path}: record {index + 1}"

    def _fault(self, index: int, start: int, what: str) -> DataError:
        return DataError(f"{self._name(index)} (at byte {start:,}) {what}")

    def digest(self) -> str:
        """Of the file."""
        return self._file.digest()


class CsvRows:
    """The lines ``label, feature, …`` of a table: x (N, features) float32, y (N,) int32.

    The label is an index into ``classes``; a first line without any number holds headings. The
    whole file is checked once, so that every fault is known before the training begins. What is not
    comma-separated UTF-8 as it stands, is rewritten so into a file without a name in the folder for
    temporary files. Raises DataError with file and line, and for a compressed file.
    """

    def __init__(self, path: Path, *, features: int, classes: Sequence[str]) -> None:
        if path.suffix == ".gz":
            raise DataError(
                f"{path}: lines of a compressed file cannot be read one by one: gunzip it first"
            )
        self._classes = list(classes)
        self._features = features
        self._source = files.RandomAccess(path)
        layout = tables.numeric(path, label=True)
        self._layout = layout
        self._file = self._source if layout.is_plain else _rewritten(layout)
        starts, labels = [], []
        for block in files.labelled_lines(
            path, features=features, labels=len(classes), layout=layout
        ):
            starts.append(block.starts)
            labels.append(block.labels)
            if len(starts) == 1:
                self._first_line = block.first_line
        self._y = np.concatenate(labels)
        self._starts = np.concatenate([*starts, [self._file.size]])

    @property
    def encoding(self) -> Mapping[str, Any]:
        return {"classes": self._classes}

    def __len__(self) -> int:
        return len(self._y)

    def take(self, indices: Array) -> tuple[Array, Array]:
        starts, ends = self._starts[indices].tolist(), self._starts[indices + 1].tolist()
        lines = [self._file.read(*place).rstrip() + b"\n" for place in zip(starts, ends)]
        y = self._y[indices]
        try:
            rows = self._parsed(b"".join(lines), 0)
            if np.array_equal(rows[:, 0], y):
                return rows[:, 1:], y
        except DataError:
            for index, line in zip(indices.tolist(), lines):
                self._parsed(line, index)
        raise DataError(f"{self._file.path}: has changed since it was first read")

    def _parsed(self, text: bytes, index: int) -> Array:
        line = self._first_line + index
        return files.parse_labelled(
            text, self._file.path, line, features=self._features, labels=len(self._classes)
        )

    def labels(self) -> Array:
        return self._y

    def digest(self) -> str:
        """Of the file, and of how it is read where that was decided."""
        decided = self._layout.columns, self._layout.delimiter, self._layout.has_header
        if self._layout.is_plain:
            return self._source.digest()
        content = f"{self._source.digest()} {decided}"
        return hashlib.sha256(content.encode()).hexdigest()


def _rewritten(layout: tables.Layout) -> files.RandomAccess:
    """The rows of a table as comma-separated UTF-8, in a file without a name."""
    with tempfile.TemporaryFile() as stream:
        try:
            for block in layout.blocks():
                stream.write(block.text)
            stream.flush()
        except OSError as error:
            raise OutputError(
                f"{tempfile.gettempdir()}: {layout.path} cannot be rewritten there: "
                f"{error.strerror}; set TMPDIR to a folder with more room"
            ) from None
        return files.RandomAccess(layout.path, os.dup(stream.fileno()))


_HEADER = struct.Struct("<IfQQ")
