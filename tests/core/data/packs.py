"""Digits as the files that examples are read from one by one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Sequence

import numpy as np
from algoshelf.core import mx
from PIL import Image


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write_folders(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """A subfolder a class, with a PNG an image."""
    for number, (image, label) in enumerate(zip(images, labels)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / str(label) / f"{number:05}.png").write_bytes(png(image))
    return folder


def write_records(path: Path, bodies: Sequence[bytes], labels: Sequence[object]) -> Path:
    """By mxnet's own writer, which im2rec uses."""
    recordio = mx.load().recordio
    writer = recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for number, (body, label) in enumerate(zip(bodies, labels)):
        value = float(label) if np.isscalar(label) else label
        writer.write_idx(number, recordio.pack(recordio.IRHeader(0, value, number, 0), body))
    writer.close()
    return path


def write_csv(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    table = np.concatenate([labels[:, None], images.reshape(len(images), -1)], axis=1)
    np.savetxt(path, table, fmt="%d", delimiter=",")
    return path
