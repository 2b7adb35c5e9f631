"""Pictures: reading them from a channel and from a request, and drawing them as text."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ...core import (
    Array,
    ArrayDataset,
    DataError,
    Dataset,
    ImageFiles,
    RecordImages,
    codecs,
    files,
)
from ...core.data import images, reading
from ...core.data.folders import left_out
from ...core.data.image_datasets import FAIL, MAX_CLASSES, SKIP
from ...core.data.listed import lines as listed_lines
from ...core.data.listed import place_of
from ...core.payload import pictures as sent
from ...core.payload.pictures import as_json as as_json

FORMATS = (
    "a folder with a subfolder for each class, and PNG, JPEG or WebP files anywhere in it",
    "RecordIO (.rec, with or without .idx) as im2rec writes it",
    "a list (.lst: number, class, path, with tabs between) beside the pictures",
    "CIFAR-10's binary files (data_batch_1.bin, …, test_batch.bin)",
    "an augmented manifest of SageMaker Ground Truth (.manifest, .jsonl: a JSON object a line)",
)
CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
CIFAR_ROW = 1 + 3 * 32 * 32
BINARY = (".bin", ".bin.gz")
MANIFESTS = (".manifest", ".jsonl")
LONGEST_REASON = 500
MAX_SIDE = 1024  # of a network's input
MAX_FAULTS = 100  # shown
# What im2rec writes for a class: 3, or 3.000000.
_WHOLE_NUMBER = re.compile(r"\+?(\d{1,9})(?:\.0*)?")


def read(
    path: Path,
    channel: str,
    side: int,
    classes: Sequence[str] | None,
    on_damaged: str = FAIL,
) -> Dataset:
    """The pictures of ``channel`` at ``path``: (N, 3, side, side) uint8.

    ``classes`` are those of the training, where it is not this channel that decides. Raises
    DataError; where ``on_damaged`` is SKIP, not for pictures that cannot be read.
    """
    decode = partial(decoded, side=side)
    if path.is_dir():
        binary = files.with_suffix(path, *BINARY)
        if binary:
            return _read_cifar([file for file in binary if _is_part(file, channel)], side)
        for suffixes in ((".rec",), (".lst",), MANIFESTS):
            listed = files.with_suffix(path, *suffixes)
            if len(listed) > 1:
                raise DataError(f"{path}: holds several {suffixes[0]} files: give one by its name")
            if listed:
                return read(listed[0], channel, side, classes, on_damaged)
        if not any(entry.is_dir() for entry in files.entries(path)):
            raise DataError(f"{path}: holds none of these: {'; '.join(FORMATS)}")
        return ImageFiles.from_folders(path, decode, classes, on_damaged=on_damaged)
    if path.name.endswith(BINARY):
        return _read_cifar([path], side)
    if path.suffix == ".rec":
        return RecordImages(path, decode, classes or (), one_label=True, on_damaged=on_damaged)
    if path.suffix == ".lst":
        return _labelled(path, *_read_list(path), decode, classes, on_damaged)
    if path.suffix in MANIFESTS:
        return _labelled(path, *_read_manifest(path), decode, classes, on_damaged)
    raise DataError(f"{path}: is none of these: {'; '.join(FORMATS)}")


class Listed(NamedTuple):
    """A line of a list: its number, the picture, the name of its class, and what named the file."""

    line: int
    file: Path
    label: str
    source: str


def _labelled(
    path: Path,
    listed: Sequence[Listed],
    failed: Mapping[int, str],
    decode: Callable[[bytes], Array],
    classes: Sequence[str] | None,
    on_damaged: str,
) -> ImageFiles:
    """Pictures with the names of their classes; numbers are in the order of their value.

    ``failed`` are lines without a picture that can be learned from, and why.
    """
    missing = {
        each.line: f"{each.source!r}: there is no file {each.file}"
        for each in listed
        if not each.file.is_file()
    }
    failed = dict(sorted({**failed, **missing}.items()))
    if failed and on_damaged == FAIL:
        _refuse(path, failed, f"mend or remove them, or leave them out (--on-damaged {SKIP})")
    there = [each for each in listed if each.line not in missing]
    if not there:
        raise DataError(f"{path}: holds no examples")
    numbered = all(each.label.isdecimal() for each in there)
    names = {each.label for each in there}
    known = list(classes or sorted(names, key=lambda name: int(name) if numbered else name))
    strangers = {each.line: f"{each.label!r} is no class of the training" for each in there
                 if each.label not in known} if names - set(known) else {}  # fmt: skip
    _refuse(path, strangers)
    places = {name: place for place, name in enumerate(known)}
    return ImageFiles(
        [each.file for each in there],
        [places[each.label] for each in there],
        known,
        decode,
        on_damaged=on_damaged,
        note=left_out({f"of a line that failed ({_first(failed)})": len(failed)} if failed else {}),
        counts={"left_out": len(failed)} if failed else {},
    )


def _first(failed: Mapping[int, str]) -> str:
    number, why = next(iter(failed.items()))
    return f"line {number}: {why}"


def _refuse(path: Path, faults: Mapping[int, str], advice: str = "") -> None:
    """Raise all ``faults`` of the lines of ``path``, as far as anybody reads them."""
    if not faults:
        return
    shown = [f"{path}: line {line}: {what}" for line, what in sorted(faults.items())]
    more = len(shown) - MAX_FAULTS
    said = [f"{path}: {len(faults):,} lines are wrong: {advice}"] if advice else []
    raise DataError(
        *shown[:MAX_FAULTS], *([f"{path}: ... and {more:,} more"] if more > 0 else []), *said
    )


def decoded(body: bytes, side: int) -> Array:
    """The picture in a PNG, JPEG or WebP file, (3, side, side) uint8. Raises PayloadError."""
    return fitted(opened(body), side)


def opened(body: bytes) -> Array:
    """The middle square of a picture, (S, S, 3) uint8: S is its shorter side, or MAX_SIDE.

    In training as in requests: so what the network sees is the same in both.
    """
    return images.decode(body, square=MAX_SIDE)


def fitted(picture: Array, side: int) -> Array:
    """The middle square of a picture (H, W, 3) uint8, scaled to ``side``: (3, side, side)."""
    from PIL import Image

    height, width = picture.shape[:2]
    own = min(height, width)
    top, left = (height - own) // 2, (width - own) // 2
    picture = picture[top : top + own, left : left + own]
    if own != side:
        image = Image.fromarray(np.ascontiguousarray(picture))
        size = (side, side)
        picture = np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def _is_part(file: Path, channel: str) -> bool:
    """Whether one of CIFAR-10's files belongs to ``channel``: its own train and test part."""
    return file.name.startswith("test") == (channel == "test")


def _read_cifar(parts: Sequence[Path], side: int) -> ArrayDataset:
    if not parts:
        raise DataError("of CIFAR-10's files those of this channel are missing")
    pixels, labels = [], []
    for part in parts:
        with files.open_bytes(part) as stream:
            raw = np.frombuffer(stream.read(), np.uint8)
        if len(raw) == 0 or len(raw) % CIFAR_ROW:
            raise DataError(
                f"{part}: no file of CIFAR-10: {len(raw)} bytes, no rows of {CIFAR_ROW}"
            )
        rows = raw.reshape(-1, CIFAR_ROW)
        if rows[:, 0].max() >= len(CIFAR_CLASSES):
            raise DataError(f"{part}: no file of CIFAR-10: a label of {rows[:, 0].max()}")
        labels.append(rows[:, 0].astype(np.int32))
        pixels.append(rows[:, 1:].reshape(-1, 3, 32, 32))
    x = np.concatenate(pixels)
    if side != 32:
        x = np.stack([fitted(image.transpose(1, 2, 0), side) for image in x])
    return ArrayDataset(x, np.concatenate(labels), CIFAR_CLASSES)


def _read_list(path: Path) -> tuple[list[Listed], dict[int, str]]:
    """im2rec's list: number, class and path, with tabs between."""
    listed: list[Listed] = []
    faults = {}
    delimiter = reading.current().delimiter or "\t"
    for number, line in listed_lines(path):
        cells = line.split(delimiter)
        if len(cells) != 3:
            faults[number] = (
                "expected number, class and path with tabs between, one class a picture, got "
                f"{len(cells)} cells; --delimiter says what else is between them"
            )
            continue
        found = _WHOLE_NUMBER.fullmatch(cells[1].strip())
        if not found or int(found[1]) >= MAX_CLASSES:
            faults[number] = (
                f"no class: {cells[1][:40]!r}: expected a whole number from 0 to {MAX_CLASSES - 1}"
            )
            continue
        try:
            file = place_of(path, cells[2])
        except ValueError as error:
            faults[number] = str(error)
            continue
        listed.append(Listed(number, file, str(int(found[1])), cells[2]))
    _refuse(path, faults)
    return listed, {}


def _read_manifest(path: Path) -> tuple[list[Listed], dict[int, str]]:
    """Ground Truth's: ``source-ref``, a label, and ``LABEL-metadata`` with its ``class-name``.

    Besides the pictures, the lines that Ground Truth could not label, and why. Source: "Output
    data" in the developer guide of SageMaker: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
    """
    listed: list[Listed] = []
    faults, failed = {}, {}
    for number, line in listed_lines(path):
        half = codecs.half_character(line)
        if half:
            faults[number] = half.partition(", ")[2]
            continue
        try:
            row = json.loads(line)
            metadata: Any = next((row[key] for key in row if key.endswith("-metadata")), {})
            if "failure-reason" in (metadata if "class-name" not in metadata else ()):
                reason = str(metadata["failure-reason"])[:LONGEST_REASON]
                failed[number] = f"Ground Truth has not labelled it: {reason!r}"
                continue
            source, label = row["source-ref"], metadata["class-name"]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            faults[number] = (
                "expected a JSON object with source-ref and LABEL-metadata, which has a class-name"
            )
            continue
        if not isinstance(source, str) or not isinstance(label, str):
            faults[number] = "source-ref and class-name have to be texts"
            continue
        try:
            file = place_of(path, source)
        except ValueError as error:
            faults[number] = str(error)
            continue
        listed.append(Listed(number, file, label, source))
    sources: dict[Path, Listed] = {}
    for each in listed:
        first = sources.setdefault(each.file, each)
        if first.source != each.source:
            faults[each.line] = (
                f"{each.source!r} and {first.source!r} of line {first.line} are one file here, "
                f"{each.file}: keep the folders that they have in S3"
            )
    _refuse(path, faults)
    return listed, failed


def decode(body: bytes, content_type: str) -> list[Array]:
    """The pictures of a request, each (H, W, 3) uint8. Raises PayloadError."""
    return [picture for picture, _ in sent.decode(body, content_type, opened, np.asarray)]


def preview(shown: Array, captions: Sequence[str], width: int) -> str:
    """Pictures ``shown`` (N, 3, S, S) uint8 in grey, side by side in ``width`` columns of text."""
    columns = 24
    fitting = max(1, (width + 2) // (columns + 2))
    small = [fitted(image.transpose(1, 2, 0), columns) for image in shown[:fitting]]
    tones = np.stack(small).astype(np.float32).mean(axis=1)
    rows = tones.reshape(len(small), columns // 2, 2, columns).mean(axis=2)
    lines = [
        "  ".join("".join(_SHADES[int(t / 256 * len(_SHADES))] for t in row) for row in line)
        for line in rows.transpose(1, 0, 2)
    ]
    lines.append("  ".join(caption[:columns].center(columns) for caption in captions[:fitting]))
    return "\n".join(line.rstrip() for line in lines)


_SHADES = " .:-=+*#%@"
