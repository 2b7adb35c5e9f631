"""A plugin: pictures of ten classes, read one by one or all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from algoshelf.core import (
    Array,
    ArrayDataset,
    Classifier,
    ContentType,
    CsvRows,
    Dataset,
    ImageFiles,
    RecordImages,
    TrainingHyperparameters,
    codecs,
    hookimpl,
    mx,
    supervised_channels,
)
from pydantic import Field

CLASSES = tuple("0123456789")


class PictureHyperparameters(TrainingHyperparameters):
    side: int = Field(28, ge=1, le=1000, description="pixels of a picture's edge")
    in_memory: bool = Field(False, description="read everything before the training")


class AcmePictures(Classifier[PictureHyperparameters]):
    name = "acme-pictures"
    task = "image-classification"
    summary = "Tells small pictures apart."
    Hyperparameters = PictureHyperparameters
    channels = supervised_channels("a CSV file, a RecordIO file, or a folder with one a class")
    accepts = (ContentType(codecs.JSON, "pictures"),)

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: PictureHyperparameters,
        encoding: Any = None,
    ) -> Dataset:
        def decode(body: bytes) -> Array:
            size = (hyperparameters.side, hyperparameters.side)
            return codecs.decode_image(body, mode="L", size=size)[np.newaxis] / np.float32(255)

        data: Dataset
        if path.suffix == ".csv":
            data = CsvRows(path, features=784, classes=CLASSES)
        elif path.suffix == ".rec":
            data = RecordImages(path, decode, CLASSES, on_damaged="skip")
        else:
            data = ImageFiles.from_folders(path, decode, CLASSES, on_damaged="skip")
        if hyperparameters.in_memory:
            return ArrayDataset(*data.take(np.arange(len(data))), CLASSES)
        return data

    def network(self, hyperparameters: PictureHyperparameters, data: Dataset) -> Any:
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Flatten(), nn.LayerNorm(), nn.Dense(len(CLASSES)))
        return net


@hookimpl
def algoshelf_algorithms() -> Any:
    return [AcmePictures]
