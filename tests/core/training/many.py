"""An algorithm with more examples than float32 counts, none of which is held."""

from __future__ import annotations

from typing import Any

import numpy as np
from algoshelf.core import (
    Classifier,
    ContentType,
    TrainingHyperparameters,
    codecs,
    mx,
    supervised_channels,
)


class Numbers:
    """``count`` numbers, odd or even."""

    encoding = {"classes": ["even", "odd"]}

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = (indices % 2).astype(np.int32)
        return labels[:, None].astype(np.float32), labels

    def labels(self) -> np.ndarray:
        return np.arange(self.count, dtype=np.int32) % 2

    def digest(self) -> str:
        return str(self.count)


class Many(Classifier[TrainingHyperparameters]):
    name = "many"
    task = "tabular-classification"
    summary = "Tells odd numbers from even ones."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("anything")
    accepts = (ContentType(codecs.CSV, "a number a line", "1"),)

    def dataset(self, path: Any, channel: str, hyperparameters: Any, encoding: Any = None) -> Any:
        return Numbers(16_777_219 if channel == "train" else 10)

    def network(self, hyperparameters: Any, data: Any) -> Any:
        return mx.gluon.nn.Dense(2)
