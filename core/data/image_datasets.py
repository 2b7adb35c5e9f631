"""Image datasets that are read on demand, for data larger than memory.

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

from ..runtime import mx
from ..runtime.errors import DataError, OutputError, PayloadError
from ..runtime.types import Array
from . import files, images, recordio, tables
from .dataset import chunks
from .folders import class_folders, named

Decode = Callable[[bytes], Array]
Look = Callable[[bytes], object]

FAIL, SKIP = "fail", "skip"
ON_DAMAGED = (FAIL, SKIP)
MAX_NAMED = 1000  # of the images that are damaged
# A thread of the pool decodes so many images at a time.
GROUP = 8
MAX_CLASSES = 100_000
DAMAGED = "damaged or beyond the limits"
ONE_COLOUR = "one_colour"  # in a dataset's counts


_LOG = logging.getLogger(__name__)


def one_colour(names: Sequence[str]) -> str:
    """What is to be said of the pictures ``names``, each of one colour throughout."""
    are = "1 picture is" if len(names) == 1 else f"{len(names):,} pictures are"
    return f"{are} of one colour throughout, nothing to learn from: {named(names)}"


class _Images(ABC):
    """Images by index, decoded by a pool of as many threads as one operator of mxnet runs on.

    ``decode`` makes an example, an array of always the same shape and dtype, of an image's bytes;
    Pillow decodes without holding Python's lock.

    All images are looked through before the first is asked for: ``look`` raises PayloadError for
    one that is damaged, by default after its frame and checksums, since to decode all of ImageNet
    in advance would take two cores an hour, at every start; None looks at nothing. With
    ``on_damaged`` FAIL, or None for an algorithm that has no such hyperparameter, all that are
    damaged are named in one DataError; with SKIP they are left out, and named in the log.

    What ``decode`` alone refuses is found when it is first asked for. With FAIL all images are
    then decoded, and those that are damaged named in one DataError. With SKIP the next good one
    with the same label, in the order of the data, stands in for it: so the number of examples,
    their labels and their order stay what they were, and what stands in depends on the data alone:
    a resumed run, and every host, sees the same. Its price: where examples are held out for
    validation, the one that stands in may be of the other part.

    A file that can't be read at all ends it at once: it may be there again the next time, and the
    resumed run would learn from other images.
    """

    def __init__(
        self,
        labels: Array,
        classes: Sequence[str],
        decode: Decode,
        y: Array | None = None,
        *,
        look: Look | None = None,
        on_damaged: str | None = None,
        note: str = "",
        counts: Mapping[str, int] | None = None,
    ) -> None:
        if on_damaged not in (None, *ON_DAMAGED):
            raise ValueError(f"on_damaged {on_damaged!r}: expected one of {', '.join(ON_DAMAGED)}")
        self._kept = np.arange(len(labels))
        self._labels = labels
        self._y = labels if y is None else y
        self._classes = list(classes)
        self._decode = decode
        self._on_damaged = on_damaged
        self._damaged: dict[int, str] = {}
        self._refusal: DataError | None = None
        self._blank: list[int] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(mx.threads(), "algoshelf-decode")
        self.note = note
        self.counts = dict(counts or {})
        if look is not None:
            self._look_through(look)
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

    def _examined(self, look: Look, pool: ThreadPoolExecutor) -> dict[int, str]:
        """What is wrong with which images, by ``look``."""

        def faults(part: slice) -> list[tuple[int, str]]:
            found = []
            for index in range(part.start, part.stop):
                try:
                    body = self._first_bytes(index)
                    look(body)
                    if images.is_blank(body):
                        self._blank.append(index)
                except PayloadError as error:
                    found.append((index, error.faults[0]))
            return found

        parts = pool.map(faults, chunks(len(self), GROUP))
        return dict(chain.from_iterable(parts))

    def _first_bytes(self, index: int) -> bytes:
        """An image as it is stored, when all are looked through."""
        return self._bytes(index)

    def _look_through(self, look: Look) -> None:
        """Leave out, or refuse, what ``look`` finds damaged."""
        damaged = self._examined(look, self._pool)
        if self._blank:
            said = one_colour([self._name(index) for index in sorted(self._blank)])
            self.note = "; ".join(filter(None, [self.note, said]))
            self.counts[ONE_COLOUR] = len(self._blank)
        if not damaged:
            return
        if self._on_damaged != SKIP:
            raise self._refused(damaged)
        good = np.setdiff1d(np.arange(len(self)), list(damaged))
        emptied = set(self._labels.tolist()) - set(self._labels[good].tolist())
        if emptied:
            index = next(i for i in damaged if self._labels[i] in emptied)
            raise DataError(
                f"{self._name(index)}: {damaged[index]}, as are all other images of its class"
            )
        for index, fault in list(damaged.items())[:MAX_NAMED]:
            _LOG.warning("%s: %s; it is left out", self._name(index), fault)
        said = f"{len(damaged):,} damaged of {len(self):,} left out"
        self.note = "; ".join(filter(None, [self.note, said]))
        self.counts["damaged"] = len(damaged)
        self._kept, self._labels, self._y = self._kept[good], self._labels[good], self._y[good]

    def _refused(self, damaged: Mapping[int, str]) -> DataError:
        """All of ``damaged`` by name, and their number."""
        faults = [f"{self._name(i)}: {fault}" for i, fault in list(damaged.items())[:MAX_NAMED]]
        if len(damaged) > MAX_NAMED:
            faults.append(f"... and {len(damaged) - MAX_NAMED:,} more")
        are, them = ("is", "it") if len(damaged) == 1 else ("are", "them")
        skip = f", or leave {them} out (--on-damaged {SKIP})" if self._on_damaged else ""
        said = f"{len(damaged):,} of {len(self):,} images {are} {DAMAGED}: mend or remove {them}"
        return DataError(*faults, said + skip)

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
            if self._on_damaged != SKIP:
                self._refusal = self._refusal or self._refused(self._all_damaged())
                raise self._refusal
        if not known:
            _LOG.warning("%s: %s; another image of its class stands in", self._name(index), error)

    def _all_damaged(self) -> dict[int, str]:
        """What is wrong with which images, each of which is decoded.

        By threads of their own: those of the pool may be waiting for this.
        """
        with ThreadPoolExecutor(mx.threads(), "algoshelf-examine") as pool:
            return self._examined(self._decode, pool)


class ImageFiles(_Images):
    """Image files: x is what ``decode`` makes of each file's bytes, y its label.

    ``labels`` (N,) are indices into ``classes``, int32 in y. Without ``classes`` they are numbers,
    one (N,) or several (N, K) an image, float32 in y, and all examples count as one class. Damaged
    files, ``look`` and ``on_damaged``: see above.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[int] | Array,
        classes: Sequence[str],
        decode: Decode,
        *,
        look: Look | None = images.check,
        on_damaged: str | None = None,
        note: str = "",
        counts: Mapping[str, int] | None = None,
    ) -> None:
        if not paths:
            raise DataError("no image files are given")
        names = [os.fspath(path) for path in paths]
        self._root = os.path.commonpath([os.path.dirname(end) for end in (min(names), max(names))])
        self._names = [name[len(self._root) :] for name in names]
        self._sums: Array | None = None
        numbers = None if classes else np.asarray(labels, np.float32)
        super().__init__(
            np.asarray(labels, np.int32) if classes else np.zeros(len(paths), np.int32),
            classes,
            decode,
            numbers,
            look=look,
            on_damaged=on_damaged,
            note=note,
            counts=counts,
        )

    @classmethod
    def from_folders(
        cls,
        path: Path,
        decode: Decode,
        classes: Sequence[str] | None = None,
        *,
        on_damaged: str | None = None,
    ) -> ImageFiles:
        """The PNG, JPEG and WebP files below the subfolders of ``path``, each named as its class.

        ``classes`` are those of the training, to be kept to; without them all that there are, in
        alphabetical order. What is left out, such as files of other kinds, ``note`` says.
        """
        found = class_folders(path)
        if not found.files:
            raise DataError(
                f"{path}: contains no subfolders with PNG, JPEG or WebP images: expected one "
                "subfolder per class" + (f" ({found.note})" if found.note else "")
            )
        names = sorted(found.files) if classes is None else list(classes)
        strangers = sorted(found.files.keys() - set(names))
        if strangers:
            raise DataError(
                *(
                    f"{path / name}: the training data has no class of this name"
                    for name in strangers
                )
            )
        paths = [file for name in names for file in found.files.get(name, ())]
        sizes = [len(found.files.get(name, ())) for name in names]
        return cls(
            paths,
            np.repeat(np.arange(len(names)), sizes),
            names,
            decode,
            on_damaged=on_damaged,
            note=found.note,
            counts=found.counts,
        )

    def _path(self, index: int) -> Path:
        return Path(self._root + self._names[self._kept[index]])

    def _bytes(self, index: int) -> bytes:
        return files.read_image_bytes(self._path(index))

    def _look_through(self, look: Look) -> None:
        self._sums = np.zeros((len(self._names), hashlib.sha256().digest_size), np.uint8)
        super()._look_through(look)

    def _first_bytes(self, index: int) -> bytes:
        """And its SHA-256, for the digest, so that the file is read once for both."""
        body = self._bytes(index)
        if self._sums is not None:
            self._sums[self._kept[index]] = np.frombuffer(hashlib.sha256(body).digest(), np.uint8)
        return body

    def _name(self, index: int) -> str:
        return str(self._path(index))

    def digest(self) -> str:
        """Of the files' contents, their labels, and their paths below the folder of all."""
        digest = hashlib.sha256("\0".join(self._classes).encode())

        def content(index: int) -> bytes:
            if self._sums is not None:
                known: bytes = self._sums[self._kept[index]].tobytes()
                return known
            return hashlib.sha256(self._bytes(index)).digest()

        for part in chunks(len(self), 1024):
            indices = range(part.start, part.stop)
            for index, found in zip(indices, self._pool.map(content, indices)):
                place = f"\0{self._y[index]}\0".encode()
                name = os.fsencode(self._names[self._kept[index]])
                digest.update(name + place + found)
        return digest.hexdigest()


class RecordImages(_Images):
    """The images of a RecordIO file, as mxnet's im2rec packs them for SageMaker's algorithms.

    A record has a header (flag, label, id, id2), ``flag`` further labels that replace the one, and
    an image. One label is the class, a whole number: y (N,) int32; ``classes`` names them, by
    default by their numbers. Several become y (N, K) float32 as they are, and all examples count as
    one class; with ``one_label`` they are refused. Damaged images, ``look`` and ``on_damaged``: see
    above; a file that is damaged between them is refused.

    An ``.idx`` file is of no use: who needs all labels visits every record, and so learns where it
    begins.

    Sources: dmlc-core, include/dmlc/recordio.h; mxnet.recordio.IRHeader;
    https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
    """

    def __init__(
        self,
        path: Path,
        decode: Decode,
        classes: Sequence[str] = (),
        *,
        one_label: bool = False,
        look: Look | None = images.check,
        on_damaged: str | None = None,
    ) -> None:
        self._file = files.RandomAccess(path)
        self._starts, y = self._scan()
        self._kept = np.arange(len(y))
        several = y.shape[1] > 1
        if several and one_label:
            what = f"has {y.shape[1]} labels, as all others: expected one, the number of its class"
            raise self._fault(0, 0, what)
        labels = np.zeros(len(y), np.int32)
        names = tuple(classes)
        if not several:
            labels = self._checked(y[:, 0], len(classes) or MAX_CLASSES)
            names = names or tuple(map(str, range(labels.max() + 1)))
        super().__init__(
            labels, names, decode, y if several else None, look=look, on_damaged=on_damaged
        )

    def _scan(self) -> tuple[Array, Array]:
        """Where the records start (N,) int64, and their labels (N, K) float32."""
        starts, labels, counts = self._scanned()
        other = np.flatnonzero(counts != counts[0])
        if len(other):
            number = int(other[0])
            what = f"has {counts[number]} labels, the others {counts[0]}"
            raise self._fault(number, int(starts[number]), what)
        return starts, labels.reshape(-1, counts[0])

    def _scanned(self) -> tuple[Array, Array, Array]:
        """Where the records start (N,) int64, the labels of all, one record after the other, and
        how many each has (N,).
        """
        starts, labels, counts, at = array("q"), array("f"), array("q"), 0
        while at < self._file.size:
            number, start = len(starts), at
            for begin, length in self._parts(number, start):
                at = begin + recordio.padded(length)
            found, _ = self._header(number, start)
            starts.append(start)
            counts.append(len(found))
            labels.frombytes(found.tobytes())
        if not starts:
            raise DataError(f"{self._file.path}: holds no records")
        return np.array(starts, np.int64), np.array(labels, np.float32), np.array(counts, np.int64)

    def _checked(self, labels: Array, count: int) -> Array:
        wrong = np.flatnonzero(~((labels >= 0) & (labels < count) & (labels == np.floor(labels))))
        if len(wrong):
            number = int(wrong[0])
            what = f"the label {labels[number]:g} is not a whole number from 0 to {count - 1}"
            raise self._fault(number, self._starts[number], what)
        return labels.astype(np.int32)

    def _parts(self, number: int, start: int) -> Iterator[tuple[int, int]]:
        """Where each part of the record at ``start`` begins, and its length.

        Where the magic number occurs in a record, its writer has left it out and cut there.
        """
        try:
            for at, length in recordio.parts(self._part_header, start):
                if at + length - start > files.MAX_IMAGE_BYTES:
                    most = f"longer than {files.MAX_IMAGE_BYTES:,} bytes"
                    raise self._fault(number, start, f"is {most}: no image to learn from")
                if recordio.padded(length) > self._file.size - at:
                    raise self._fault(number, start, "is cut short")
                yield at, length
        except recordio.FramingError as error:
            raise self._fault(number, start, str(error)) from None

    def _part_header(self, at: int) -> bytes:
        return self._file.read(at, min(at + recordio.HEADER_BYTES, self._file.size))

    def _content(self, number: int, start: int, most: int = files.MAX_IMAGE_BYTES) -> bytes:
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
        number = int(self._kept[index])
        start = int(self._starts[number])
        return self._content(number, start)[self._header(number, start)[1] :]

    def _name(self, index: int) -> str:
        return f"{self._file.path}: record {self._kept[index] + 1}"

    def _fault(self, number: int, start: int, what: str) -> DataError:
        return DataError(f"{self._file.path}: record {number + 1} (at byte {start:,}) {what}")

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
                f"{path}: a compressed file cannot be read line by line: decompress it first "
                "with gunzip"
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
