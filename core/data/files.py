"""Read the files of a channel: CSV, npy, JSON lines; every error names its file and line."""

from __future__ import annotations

import hashlib
import os
import weakref
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..data.numbers import parse_csv
from ..runtime.errors import DataError
from ..runtime.types import Array
from . import faults, leftovers, reading, tables
from .opening import open_bytes as open_bytes  # plugins read their files with it
from .tables import Layout

# Of tables, whatever stands between their cells.
TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".dat", ".data")
# In a folder; a table that is given by itself may be called anything.
TABLE_SUFFIXES = tuple(f"{ending}{packed}" for ending in TABLE_ENDINGS for packed in ("", ".gz"))
# Of arrays in an npz file, whatever its size; and in proportion to it.
MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO = 2**30, 100
MAX_IMAGE_BYTES = 64 * 2**20  # of one image as it is stored


def exists(path: Path) -> bool:
    """Whether ``path`` is there; raises DataError where that may not be known."""
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def absent(path: Path) -> str:
    """Why there is nothing at ``path``, which ``exists`` denies."""
    for each in (path, *path.parents):
        if os.path.islink(each) and not os.path.exists(each):
            return f"{path}: {each} is a link that leads nowhere, to {os.readlink(each)}"
    blocking = next((each for each in path.parents if os.path.isfile(each)), None)
    if blocking is not None:
        return f"{path}: {blocking} is a file, and holds no others"
    return f"{path}: no such file or folder"


def entries(folder: Path) -> list[Path]:
    """What ``folder`` holds, sorted, without hidden entries such as ``.DS_Store``."""
    try:
        found = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        if found:
            found[0].lstat()  # which a folder that may only be listed does not allow
        return found
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None


def data_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files in ``folder`` that are data by their names: those that end in one of ``suffixes``,
    and like Spark's parts those without an ending. What is left out is said.
    """
    listed = [entry for entry in leftovers.with_data(entries(folder), folder) if entry.is_file()]
    found = [entry for entry in listed if entry.name.lower().endswith(suffixes) or not entry.suffix]
    others = [entry.name for entry in listed if entry not in found]
    leftovers.say_left_out(folder, others, "since their names do not end as data's do")
    return found


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


class NoRowsError(DataError):
    """A table is empty, or holds headings alone; beside others it may be left out."""


def check_empty(path: Path, empty: Sequence[Path], count: int) -> None:
    """Say which of the ``count`` files at ``path`` hold no rows, as Spark's parts may; raises
    DataError where none holds any.
    """
    if len(empty) == count:
        files = "" if count == 1 else f": none of its {count:,} files does"
        raise DataError(f"{path}: holds no rows{files}")
    if empty:
        names = ", ".join(file.name for file in empty[: leftovers.SHOWN])
        more = len(empty) - leftovers.SHOWN
        reading.note(
            f"{len(empty):,} of its {count:,} files {'holds' if len(empty) == 1 else 'hold'} no "
            f"rows: {names}" + (f" and {more:,} more" if more > 0 else ""),
            path,
        )


def read_labelled_csv(path: Path, *, features: int, labels: int) -> tuple[Array, Array]:
    """Rows ``label, feature, …`` of a table, or of the tables in a folder such as Spark writes.

    Returns the features (N, features) float32 and the labels (N,) int32 in [0, labels). What stands
    between cells, the encoding and headings are told by the file, and said; the label is in the
    first column, as SageMaker's built-in algorithms expect it, unless --label-column names another.
    """
    blocks: list[LabelledLines] = []
    empty, tables_of = [], table_files(path)
    for file in tables_of:
        try:
            blocks += labelled_lines(file, features=features, labels=labels)
        except NoRowsError:
            empty.append(file)
    check_empty(path, empty, len(tables_of))
    return (
        np.concatenate([block.features for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
    )


def read_numbers_csv(path: Path, *, columns: int, target_first: bool = False) -> Array:
    """Rows of ``columns`` numbers of a table, or of the tables in a folder: (N, columns) float32.

    With ``target_first``, rows are ``target, feature, …``: a column that --label-column names is
    moved to the front. Without it, such a column is left out. Raises DataError, with what is wrong
    in each file.
    """
    blocks = [
        block
        for file in table_files(path)
        for block in numeric_lines(file, columns=columns, target_first=target_first)
    ]
    if not blocks:
        raise DataError(f"{path}: holds no examples")
    return np.concatenate(blocks).astype(np.float32)


def table_files(path: Path, suffixes: tuple[str, ...] = TABLE_SUFFIXES) -> list[Path]:
    """``path``, or all files in it that may be data: Spark's have an ending or none."""
    if not path.is_dir():
        return [path]
    found = data_files(path, suffixes)
    if not found:
        raise DataError(f"{path}: holds no tables, which end in {', '.join(suffixes)}")
    return found


def labelled_lines(
    path: Path, *, features: int, labels: int, layout: Layout | None = None
) -> Iterator[LabelledLines]:
    """The same block by block, so that memory holds little of the file; at least one block.

    ``layout`` is that of ``path`` where it is known.
    """
    layout = layout or tables.numeric(path, label=True)
    blank, found = 0, False
    labelled = _Labelled(layout, labels)
    for block in layout.blocks():
        text, line = block.text, block.line
        if text.strip():
            if blank:
                raise _faults(layout, features + 1, DataError(f"{path}: line {blank} is empty"))
            try:
                rows = parse_labelled(text, path, line, features=features, labels=labels)
            except DataError as error:
                raise _faults(layout, features + 1, error) from None
            labelled.add(rows)
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
            starts = block.offset + np.concatenate([[0], ends[: len(rows) - 1] + 1])
            yield LabelledLines(rows[:, 1:], rows[:, 0].astype(np.int32), line, starts)
            found = True
            if len(ends) > len(rows):
                blank = line + len(rows)
        elif text:
            blank = blank or line
    if not found:
        raise NoRowsError(f"{path}: holds no rows")
    labelled.say()


class _Labelled:
    """Whether the label seems to stand at the end of rows that were read with it at the start."""

    def __init__(self, layout: Layout, labels: int) -> None:
        self.layout = layout
        self.labels = labels
        self.decided = layout.columns is not None or reading.current().label_column is not None
        self.first: set[float] = set()
        self.last: set[float] = set()

    def add(self, rows: Array) -> None:
        self.decided = self.decided or not _are_labels(rows[:, -1], self.labels)
        if not self.decided:
            self.first.update(np.unique(rows[:, 0]).tolist())
            self.last.update(np.unique(rows[:, -1]).tolist())

    def say(self) -> None:
        if not self.decided and len(self.first) == 1 < len(self.last):
            width = self.layout.width
            reading.note(
                f"column 1, taken for the label, is {self.first.pop():g} in every row, and column "
                f"{width} holds whole numbers from {min(self.last):g} to {max(self.last):g}: "
                f"--label-column {width} takes that",
                self.layout.path,
            )


def _are_labels(numbers: Array, labels: int) -> bool:
    fitting = (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < labels)
    return bool(fitting.all())


def _faults(layout: Layout, columns: int, error: DataError) -> DataError:
    """All that is wrong with a table, in place of ``error``, the first that was met."""
    width = columns if layout.columns is None else layout.width
    if layout.columns is not None and len(layout.columns) != columns:
        return DataError(
            f"{layout.path}: {len(layout.columns)} of its {layout.width} columns are chosen, "
            f"expected {columns}: the label and {columns - 1} features"
        )
    return faults.summary(layout, width) or error


def parse_labelled(
    text: bytes, path: Path, first_line: int, *, features: int, labels: int
) -> Array:
    """Lines ``label, feature, …`` of ``path``, from ``first_line`` on: (N, 1 + features) float32.

    Raises DataError for what is no number, and for a label that is no whole one in [0, labels).
    """
    rows = parse_csv(
        text, columns=features + 1, first_line=first_line, source=str(path), error=DataError
    )
    wrong = np.flatnonzero(
        (rows[:, 0] != np.floor(rows[:, 0])) | (rows[:, 0] < 0) | (rows[:, 0] >= labels)
    )
    if len(wrong):
        row = wrong[0]
        raise DataError(
            f"{path}: line {first_line + row}: the label {rows[row, 0]:g} is not a whole number "
            f"from 0 to {labels - 1}"
            + (f" (nor are {len(wrong) - 1} more)" if len(wrong) > 1 else "")
            + _label_last(rows, labels)
        )
    return rows


def _label_last(rows: Array, labels: int) -> str:
    """Where labels seem to stand, if not at the start; empty where there is no sign of that."""
    last, width = rows[:, -1], rows.shape[1]
    if reading.current().label_column is not None or not _are_labels(last, labels):
        return ""
    if width < 2 or len(np.unique(last)) < 2:
        return ""
    return f"; column {width} holds such numbers: --label-column {width} takes that"


def numeric_lines(
    path: Path, skipped: int = 0, *, columns: int | None = None, target_first: bool = False
) -> Iterator[Array]:
    """Rows of ``columns`` numbers, or as many in each as in the first: block by block (B, columns)
    float64.

    ``skipped`` columns at the start are labels, and left out. What stands between cells, the
    encoding and headings are told by the file, and said. Raises DataError, with all that is wrong
    by column. ``target_first`` as for ``read_numbers_csv``.
    """
    layout = tables.numeric(path, label=target_first, skipped=skipped)
    width, left_out = len(layout.meant()), 0 if target_first else layout.labels
    if width and width <= left_out:
        raise DataError(f"{path}: has {width} columns, of which {left_out} are labels")
    if columns is not None and layout.columns is not None and width != columns:
        raise DataError(
            f"{path}: {width} of its {layout.width} columns are chosen, expected {columns}"
        )
    width = columns or width
    for block in layout.blocks():
        if block.text.strip():
            try:
                yield parse_csv(
                    block.text,
                    columns=width,
                    first_line=block.line,
                    source=str(path),
                    error=DataError,
                    dtype=np.float64,
                )[:, left_out:]
            except DataError as error:
                in_file = width if layout.columns is None else layout.width
                raise faults.summary(layout, in_file) or error from None


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
            check_unpacked(
                path, sum(archive.zip.getinfo(f"{name}.npy").file_size for name in names)
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


def check_unpacked(path: Path, size: int, what: str = "arrays", advice: str = "") -> None:
    """Raises DataError where ``what`` of ``size`` bytes is out of proportion to the file."""
    most = max(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * path.stat().st_size)
    if size > most:
        raise DataError(
            f"{path}: its {what} would take {size:,} bytes, but a file of this size may hold at "
            f"most {most:,}: {advice or 'save them with numpy.savez, without compression'}"
        )


def read_image_bytes(path: Path) -> bytes:
    """The file ``path`` as it is; raises DataError for one that is too long for an image."""
    with open_bytes(path) as stream:
        body = stream.read(MAX_IMAGE_BYTES + 1)
    if len(body) > MAX_IMAGE_BYTES:
        raise DataError(f"{path}: longer than {MAX_IMAGE_BYTES:,} bytes, the limit of an image")
    return body


class RandomAccess:
    """A file of which any thread may read any part; ``descriptor``, where it is open already."""

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self.path = path
        try:
            if descriptor is None:
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
