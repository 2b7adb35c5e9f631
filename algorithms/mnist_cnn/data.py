"""Images of digits: read from files and request bodies, all brought to one form.

The form is (N, 1, 28, 28) float32 in [0, 1], white on black, with labels (N,) int32. Ink on paper
is noticed by its bright border, and inverted.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from ...core import ArrayDataset, DataError, InputError, PayloadError, UnfitPayloadError, codecs
from ...core.algorithm.channels import TRAIN
from ...core.data.files import (
    TABLE_SUFFIXES,
    data_files,
    entries,
    labelled_lines,
    open_bytes,
    read_arrays,
    read_image_bytes,
    with_suffix,
)
from ...core.data.folders import ClassFolders, class_folders, named
from ...core.data.image_datasets import (
    DAMAGED,
    FAIL,
    MAX_NAMED,
    ONE_COLOUR,
    SKIP,
    one_colour,
)
from ...core.data.images import is_one_colour
from ...core.runtime.types import Array

CLASSES = tuple("0123456789")
SIDE = 28
PIXELS = SIDE * SIDE
MAX_BYTES = 2**34  # of one IDX file: 21 million images
FORMATS = (
    "a folder with MNIST's IDX files, gz or not: train-* serves training, t10k-* the rest",
    "CSV, a file or a folder of files: the label first, then 784 intensities, 0 to 255 or 0 to 1",
    "npz, a file or a folder of files: x (N, 28, 28) and y (N,)",
    "a folder with a subfolder for each digit (0 to 9), and PNG, JPEG or WebP files anywhere in it",
)
AUTO, YES, NO = "auto", "yes", "no"
INVERT = (AUTO, YES, NO)
# Contrast, as part of black to white, below which an image is taken for empty.
LEAST_CONTRAST = 0.1
DIM = "dim"  # in a dataset's counts
# Of the pictures of a set, from which part on a bright border is the set's, and not some pictures'.
NEARLY_ALL = 0.95
_RING: Array = np.ones((SIDE, SIDE), bool)
_RING[1:-1, 1:-1] = False
_AT_EDGE = np.flatnonzero(_RING)


def read(path: Path, channel: str, invert: str = AUTO, on_damaged: str = FAIL) -> ArrayDataset:
    """The digits at ``path``, in whichever of FORMATS it holds.

    ``invert`` is one of INVERT; what was inverted, and left out, the dataset's note says. Raises
    DataError; where ``on_damaged`` is SKIP, not for pictures that cannot be read.
    """
    parts: list[ArrayDataset] = []
    if path.is_dir():
        parts = list(_idx(path, "train" if channel == TRAIN else "t10k"))
    parts = parts or [_npz(file) for file in with_suffix(path, ".npz")]
    parts = parts or [_csv(file) for file in _tables(path)]
    if path.is_dir() and not parts:
        parts = list(_folders(path, on_damaged))
    if not parts:
        raise DataError(f"{path}: holds no digits. Expected {'; or '.join(FORMATS)}")
    return _white_on_black(_with_dim(_with_blank(_joined(parts))), invert)


def inverted(images: Array, invert: str, together: bool = False) -> tuple[Array, Array]:
    """``images`` (N, 1, 28, 28) as white on black, and which were not so before: (N,) bool.

    With AUTO those are inverted whose border is bright: nearer to their lightest than to their
    darkest pixel. What is inverted is stretched from the paper's tone (black) to the ink's (white),
    which leaves black on white exactly inverted, and makes grey paper as black as MNIST's.
    ``together`` says that they are one set: where nearly all have a bright border, those are
    inverted all or none, by what they show together.
    """
    chosen: Array = np.zeros(len(images), bool)
    if invert == NO:
        return images, chosen
    rows = images.reshape(len(images), PIXELS)
    if invert == YES:
        chosen[:] = True
    else:
        # The means are quick, and those of MNIST are all but 0.
        candidates = np.flatnonzero(rows[:, _AT_EDGE].mean(axis=1) > LEAST_CONTRAST)
        if not len(candidates):
            return images, chosen
        paper, ink, light = _tones(rows[candidates])
        chosen[candidates] = (paper - ink > light - paper) & (paper - ink >= LEAST_CONTRAST)
        bright = candidates[paper > 0.5]
        if together and chosen.any() and len(bright) >= NEARLY_ALL * len(rows):
            excess = (paper - ink) - (light - paper)
            chosen[bright] = excess[paper > 0.5].sum() > 0
    if not chosen.any():
        return images, chosen
    some = rows[chosen]
    paper, ink, _ = _tones(some)
    plain = paper - ink < LEAST_CONTRAST
    paper[plain], ink[plain] = 1, 0
    turned = np.clip((paper[:, None] - some) / (paper - ink)[:, None], 0, 1)
    result = images.copy()
    result[chosen] = turned.reshape(-1, 1, SIDE, SIDE)
    return result, chosen


def _tones(rows: Array) -> tuple[Array, Array, Array]:
    """Of images (N, 784): the tone of the border, the darkest and the lightest, each (N,)."""
    edges = rows[:, _AT_EDGE]
    return np.median(edges, axis=1), rows.min(axis=1), rows.max(axis=1)


def _white_on_black(data: ArrayDataset, invert: str) -> ArrayDataset:
    images, chosen = inverted(data.x, invert, together=True)
    count = int(chosen.sum())
    if not count:
        return data
    said = f"{count:,} inverted, " + (
        "as dark ink on a bright ground" if invert == AUTO else "as asked for"
    )
    note = "; ".join(filter(None, [data.note, said]))
    return replace(data, x=images, note=note, counts={**data.counts, "inverted": count})


def from_numbers(
    array: Array, error: type[InputError], source: str = "", first_line: int | None = None
) -> Array:
    """Images (N, 1, 28, 28) float32 in [0, 1] from numbers of any such shape and scale.

    An image that holds a value above 1 counts from 0 to 255, any other from 0 to 1, whatever its
    dtype. One image (28, 28) is a batch of one. Raises ``error``, which starts with ``source``
    and names the line, where that of the first image is given.
    """
    if array.shape == (SIDE, SIDE):
        array = array[np.newaxis]
    if len(array) == 0 or array.size != len(array) * PIXELS:
        raise error(
            f"{source}expected images of 28 x 28 intensities, such as (N, 784) or (N, 28, 28); "
            f"got the shape {array.shape}"
        )
    images = array.reshape(-1, 1, SIDE, SIDE).astype(np.float32)
    lowest, highest = images.min(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))
    wrong = np.flatnonzero(~((lowest >= 0) & (highest <= 255)))
    if len(wrong):
        first = wrong[0]
        place = f"image {first + 1}" if first_line is None else f"line {first_line + first}"
        raise error(
            f"{source}{place} has intensities from {lowest[first]:g} to "
            f"{highest[first]:g}; expected 0 to 255, or 0 to 1"
        )
    images[highest > 1] /= 255
    return images


def from_picture(body: bytes) -> Array:
    """The image (1, 1, 28, 28) in a PNG, JPEG or WebP body."""
    return from_numbers(_pixels(body), UnfitPayloadError)


def _pixels(body: bytes) -> Array:
    """The picture in ``body``, (28, 28) uint8; raises PayloadError.

    What is transparent lies on white; or on black, where nothing would be seen on white.
    """
    pixels = codecs.decode_image(body, mode="L", size=(SIDE, SIDE))
    if np.ptp(pixels) < 255 * LEAST_CONTRAST:
        on_black = codecs.decode_image(body, mode="L", size=(SIDE, SIDE), ground="black")
        if np.ptp(on_black) > np.ptp(pixels):
            return on_black
    return pixels


def preview(images: Array, captions: Sequence[str], width: int) -> str:
    """Images (N, 1, 28, 28) side by side in ``width`` columns of text, as many as fit.

    The outer 4 pixels, which are empty in MNIST, are left out; a character is two pixels high.
    """
    columns = SIDE - 8
    fitting = max(1, (width + 2) // (columns + 2))
    images, captions = images[:fitting, 0, 4:-4, 4:-4], captions[:fitting]
    tones = images.reshape(len(images), columns // 2, 2, columns).mean(axis=2)
    lines = [
        "  ".join("".join(_SHADES[int(t * 4.99)] for t in row) for row in rows)
        for rows in tones.transpose(1, 0, 2)
    ]
    lines.append("  ".join(caption.center(columns) for caption in captions))
    return "\n".join(line.rstrip() for line in lines)


_SHADES = " ░▒▓█"


def _dataset(images: Array, labels: Array, source: str) -> ArrayDataset:
    if len(images) != len(labels):
        raise DataError(f"{source}: {len(images):,} images, but {len(labels):,} labels")
    if len(labels) == 0:
        raise DataError(f"{source}: holds no images")
    wrong = np.flatnonzero(~np.isin(labels, np.arange(len(CLASSES))))
    if len(wrong):
        raise DataError(
            f"{source}: the label of example {wrong[0] + 1} is {labels[wrong[0]]}, "
            "no digit from 0 to 9"
        )
    return ArrayDataset(
        from_numbers(images, DataError, f"{source}: "), labels.astype(np.int32), CLASSES
    )


def _with_blank(data: ArrayDataset) -> ArrayDataset:
    """``data`` with what is to be said of images of one colour, where pictures have not said it."""
    rows = data.x.reshape(len(data.x), PIXELS)
    blank = np.flatnonzero(np.ptp(rows, axis=1) == 0)
    if not len(blank) or ONE_COLOUR in data.counts:
        return data
    said = one_colour([f"example {index + 1}" for index in blank])
    return replace(data, note=said, counts={ONE_COLOUR: len(blank)})


def _with_dim(data: ArrayDataset) -> ArrayDataset:
    """``data`` with what is to be said of images that are nearly, but not quite, of one colour."""
    tones = np.ptp(data.x.reshape(len(data.x), PIXELS), axis=1)
    dim = np.flatnonzero((tones > 0) & (tones < LEAST_CONTRAST))
    if not len(dim):
        return data
    are = "1 picture is" if len(dim) == 1 else f"{len(dim):,} pictures are"
    said = (
        f"{are} hardly to be seen, with tones less than {LEAST_CONTRAST:.0%} of black to white: "
        f"{named([f'example {index + 1}' for index in dim])}: scale intensities to 0 to 255, and "
        "cut a margin off that leaves the digit small"
    )
    note = "; ".join(filter(None, [data.note, said]))
    return replace(data, note=note, counts={**data.counts, DIM: len(dim)})


def _joined(parts: Sequence[ArrayDataset]) -> ArrayDataset:
    if len(parts) == 1:
        return parts[0]
    return ArrayDataset(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        CLASSES,
    )  # only pictures have a note, and they are one part


def _idx(folder: Path, prefix: str) -> Iterator[ArrayDataset]:
    """MNIST's official files, in the format that http://yann.lecun.com/exdb/mnist/ describes."""
    images = _idx_file(folder, f"{prefix}-images")
    labels = _idx_file(folder, f"{prefix}-labels")
    if images is None and labels is None:
        return
    if images is None or labels is None:
        missing = "images" if images is None else "labels"
        raise DataError(f"{folder}: {images or labels} has no {prefix}-{missing}-* beside it")
    pixels, digits = _read_idx(images, dimensions=3), _read_idx(labels, dimensions=1)
    yield _dataset(pixels, digits, f"{images} and {labels.name}")


def _idx_file(folder: Path, start: str) -> Path | None:
    return next((entry for entry in entries(folder) if entry.name.startswith(start)), None)


def _read_idx(path: Path, dimensions: int) -> Array:
    """Unsigned bytes in ``dimensions`` dimensions, after a big-endian header that states them."""
    header = 4 + 4 * dimensions
    with open_bytes(path) as stream:
        content = stream.read(header)
        shape = struct.unpack(f">{dimensions}I", content[4:].ljust(4 * dimensions, b"\0"))
        promised = int(np.prod(shape, dtype=object))
        content += stream.read(min(promised, MAX_BYTES) + 1)
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < header:
        raise DataError(
            f"{path}: not an IDX file of unsigned bytes in {dimensions} dimension(s): "
            f"it starts with {content[:4].hex(' ') or 'nothing'}"
        )
    if len(content) - header != promised:
        held = f"{len(content) - header:,}" if len(content) - header < promised else "more"
        kind = "too long" if held == "more" else "cut short"
        raise DataError(
            f"{path}: {kind}: its header promises {promised:,} bytes of data, it holds {held}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _npz(path: Path) -> ArrayDataset:
    images, labels = read_arrays(path, ("x", "y"))
    if (
        images.ndim < 2
        or images.dtype.kind not in "buif"
        or labels.dtype.kind not in "bui"
        or labels.ndim != 1
    ):
        raise DataError(
            f"{path}: expected x (N, 28, 28) of numbers and y (N,) of whole numbers, "
            f"got x {images.shape} {images.dtype} and y {labels.shape} {labels.dtype}"
        )
    return _dataset(images, labels, str(path))


def _csv(path: Path) -> ArrayDataset:
    blocks = labelled_lines(path, features=PIXELS, labels=len(CLASSES))
    parts = [
        (from_numbers(each.features, DataError, f"{path}: ", each.first_line), each.labels)
        for each in blocks
    ]
    images, labels = (np.concatenate(column) for column in zip(*parts))
    return _dataset(images, labels, str(path))


def _tables(path: Path) -> list[Path]:
    """``path``, where it can be a table, or the tables in it."""
    if path.is_dir():
        return data_files(path, TABLE_SUFFIXES)
    return with_suffix(path, *TABLE_SUFFIXES, ".txt") or ([] if path.suffix else [path])


def _folders(path: Path, on_damaged: str) -> Iterator[ArrayDataset]:
    found = class_folders(path)
    if not found.files and found.note:
        raise DataError(f"{path}: holds no digits ({found.note}). Expected {'; or '.join(FORMATS)}")
    strangers = sorted(found.files.keys() - set(CLASSES))
    if strangers:
        raise DataError(
            *(
                f"{path / name}: a subfolder of images is named by its digit, 0 to 9"
                for name in strangers
            )
        )
    images, labels = [], []
    damaged: list[str] = []
    blank: list[str] = []
    for name, files in found.files.items():
        for file in files:
            try:
                images.append(_pixels(read_image_bytes(file)))
                labels.append(int(name))
                if is_one_colour(images[-1]):
                    blank.append(str(file))
            except PayloadError as error:
                damaged.append(f"{file}: {error.faults[0]}")
    total = len(images) + len(damaged)
    if damaged and (on_damaged == FAIL or not images):
        more = len(damaged) - MAX_NAMED
        raise DataError(
            *damaged[:MAX_NAMED],
            *([f"... and {more:,} more"] if more > 0 else []),
            f"{len(damaged):,} of {total:,} images are {DAMAGED}: mend or remove them, or "
            f"leave them out (--on-damaged {SKIP})",
        )
    if images:
        data = _dataset(np.stack(images), np.array(labels), str(path))
        yield replace(data, **_left_out(found, damaged, blank, total))


def _left_out(
    found: ClassFolders, damaged: Sequence[str], blank: Sequence[str], total: int
) -> Mapping[str, Any]:
    """The note and the counts of what is not among the examples, or of no use there."""
    notes, counts = [found.note], found.counts
    if damaged:
        counts["damaged"] = len(damaged)
        notes.append(f"{len(damaged):,} damaged of {total:,} left out: {'; '.join(damaged[:10])}")
    if blank:
        counts[ONE_COLOUR] = len(blank)
        notes.append(one_colour(blank))
    return {"note": "; ".join(filter(None, notes)), "counts": counts}
