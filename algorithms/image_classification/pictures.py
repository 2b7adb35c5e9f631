"""Pictures: reading them from a channel and from a request, and drawing them as text."""

from __future__ import annotations

import base64
import binascii
import io
import json
from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

from ...core import (
    Array,
    ArrayDataset,
    DataError,
    Dataset,
    ImageFiles,
    MalformedPayloadError,
    RecordImages,
    UnfitPayloadError,
    codecs,
    files,
)
from ...core.data import encoding as text_encoding
from ...core.data import reading

FORMATS = (
    "a folder with a subfolder of PNG or JPEG files for each class",
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
MOST_NUMBERS = 2**14


def read(path: Path, channel: str, side: int, classes: Sequence[str] | None) -> Dataset:
    """The pictures of ``channel`` at ``path``: (N, 3, side, side) uint8.

    ``classes`` are those of the training, where it is not this channel that decides. Raises
    DataError.
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
                return read(listed[0], channel, side, classes)
        if not any(entry.is_dir() for entry in files.entries(path)):
            raise DataError(f"{path}: holds none of these: {'; '.join(FORMATS)}")
        return ImageFiles.from_folders(path, decode, classes)
    if path.name.endswith(BINARY):
        return _read_cifar([path], side)
    if path.suffix == ".rec":
        return RecordImages(path, decode, classes or ())
    if path.suffix == ".lst":
        return _labelled(path, _read_list(path), decode, classes)
    if path.suffix in MANIFESTS:
        return _labelled(path, _read_manifest(path), decode, classes)
    raise DataError(f"{path}: is none of these: {'; '.join(FORMATS)}")


def _labelled(
    source: Path,
    pairs: Sequence[tuple[Path, str]],
    decode: Callable[[bytes], Array],
    classes: Sequence[str] | None,
) -> ImageFiles:
    """Pictures with the names of their classes; numbers are in the order of their value."""
    names = {name for _, name in pairs}
    numbered = all(name.isdecimal() for name in names)
    known = list(classes or sorted(names, key=lambda name: int(name) if numbered else name))
    strangers = sorted(names - set(known))
    if strangers:
        raise DataError(f"{source}: {strangers[0]!r} is no class of the training")
    places = {name: place for place, name in enumerate(known)}
    return ImageFiles(
        [file for file, _ in pairs], [places[name] for _, name in pairs], known, decode
    )


def decoded(body: bytes, side: int) -> Array:
    """The picture in a PNG or JPEG file, (3, side, side) uint8. Raises PayloadError."""
    return fitted(codecs.decode_image(body), side)


def fitted(picture: Array, side: int) -> Array:
    """A picture (H, W, 3) uint8 scaled so that its shorter side fits, and its middle, (3, S, S)."""
    from PIL import Image

    height, width = picture.shape[:2]
    if (height, width) != (side, side):
        scale = side / min(height, width)
        size = max(side, round(width * scale)), max(side, round(height * scale))
        scaled = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        picture = np.asarray(scaled.crop((left, top, left + side, top + side)))
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def _is_part(file: Path, channel: str) -> bool:
    """Whether one of CIFAR-10's files belongs to ``channel``: its own train and test part."""
    return file.name.startswith("test") == (channel == "test")


def _read_cifar(parts: Sequence[Path], side: int) -> ArrayDataset:
    if not parts:
        raise DataError("of CIFAR-10's files those of this channel are missing")
    images, labels = [], []
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
        images.append(rows[:, 1:].reshape(-1, 3, 32, 32))
    x = np.concatenate(images)
    if side != 32:
        x = np.stack([fitted(image.transpose(1, 2, 0), side) for image in x])
    return ArrayDataset(x, np.concatenate(labels), CIFAR_CLASSES)


def _read_list(path: Path) -> list[tuple[Path, str]]:
    """im2rec's list: number, class and path, with tabs between."""
    pairs = []
    delimiter = reading.current().delimiter or "\t"
    for number, line in _lines(path):
        cells = line.split(delimiter)
        if len(cells) != 3:
            raise DataError(
                f"{path}: line {number}: expected number, class and path with tabs between, "
                f"got {len(cells)} cells; --delimiter says what else is between them"
            )
        try:
            label = int(float(cells[1]))
        except ValueError:
            raise DataError(f"{path}: line {number}: no class: {cells[1]!r}") from None
        pairs.append((_beside(path, number, cells[2]), str(label)))
    return pairs


def _read_manifest(path: Path) -> list[tuple[Path, str]]:
    """Ground Truth's: ``source-ref``, a label, and ``LABEL-metadata`` with its ``class-name``."""
    pairs = []
    for number, line in _lines(path):
        try:
            row = json.loads(line)
            source = row["source-ref"]
            metadata = next(row[key] for key in row if key.endswith("-metadata"))
            label = metadata["class-name"]
        except (ValueError, LookupError, TypeError, StopIteration, RecursionError):
            raise DataError(
                f"{path}: line {number}: expected a JSON object with source-ref and "
                "LABEL-metadata, which has a class-name"
            ) from None
        if not isinstance(source, str) or not isinstance(label, str):
            raise DataError(f"{path}: line {number}: source-ref and class-name have to be texts")
        name = source.rsplit("/", 1)[-1] if source.startswith("s3://") else source
        pairs.append((_beside(path, number, name), label))
    return pairs


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that hold something, numbered, in whichever encoding they are."""
    form = text_encoding.form_of(path, whole=True)
    text_encoding.say(path, form)
    lines = text_encoding.lines(path, form)
    found = [(number, line.strip()) for number, line in lines if line.strip()]
    if not found:
        raise DataError(f"{path}: holds no examples")
    return found


def _beside(path: Path, number: int, name: str) -> Path:
    """The file ``name`` in the folder of the list ``path``, and nowhere else."""
    folder = path.parent.resolve()
    found = (folder / name).resolve()
    if folder not in found.parents:
        raise DataError(f"{path}: line {number}: {name!r} lies outside of {folder}")
    return found


def decode(body: bytes, content_type: str) -> list[Array]:
    """The pictures of a request, each (H, W, 3) uint8. Raises PayloadError."""
    if content_type in (codecs.PNG, codecs.JPEG):
        return [codecs.decode_image(body)]
    if content_type == codecs.NPY:
        return list(_pictures(codecs.decode_array(body, content_type)))
    found: list[Array] = []
    for number, record in enumerate(codecs.decode_records(body, content_type)):
        if isinstance(record, dict):
            found.append(_from_base64(record, number))
        else:
            try:
                array = np.asarray(record, np.float64)
            except (ValueError, TypeError):
                raise UnfitPayloadError(
                    f"instance {number}: expected a picture, rows of pixels of three intensities"
                ) from None
            found.extend(_pictures(array[None]))
    return found


def _from_base64(record: dict[str, Any], number: int) -> Array:
    text = record.get("b64")
    if not isinstance(text, str):
        raise UnfitPayloadError(f'instance {number}: expected {{"b64": "…"}}, a file in base64')
    try:
        return codecs.decode_image(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise MalformedPayloadError(f"instance {number}: no base64: {error}") from None


def _pictures(array: Array) -> Array:
    """Intensities (N, H, W, 3) as uint8; raises UnfitPayloadError."""
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise UnfitPayloadError(
            f"expected pictures (N, height, width, 3), got the shape {array.shape}"
        )
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
        raise UnfitPayloadError("expected intensities from 0 to 255")
    return array.round().astype(np.uint8)


def as_json(picture: Array) -> str:
    """A request that holds one picture (H, W, 3) uint8: its pixels, or if they are many a file."""
    from PIL import Image

    if picture.size <= MOST_NUMBERS:
        return json.dumps({"instances": [picture.tolist()]})
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", optimize=True)
    return json.dumps({"instances": [{"b64": base64.b64encode(stream.getvalue()).decode()}]})


def sketch(images: Array, captions: Sequence[str], width: int) -> str:
    """Pictures (N, 3, S, S) uint8 in grey, side by side in ``width`` columns of text."""
    columns = 24
    fitting = max(1, (width + 2) // (columns + 2))
    small = [fitted(image.transpose(1, 2, 0), columns) for image in images[:fitting]]
    tones = np.stack(small).astype(np.float32).mean(axis=1)
    rows = tones.reshape(len(small), columns // 2, 2, columns).mean(axis=2)
    lines = [
        "  ".join("".join(_SHADES[int(t / 256 * len(_SHADES))] for t in row) for row in line)
        for line in rows.transpose(1, 0, 2)
    ]
    lines.append("  ".join(caption[:columns].center(columns) for caption in captions[:fitting]))
    return "\n".join(line.rstrip() for line in lines)


_SHADES = " .:-=+*#%@"
