"""object-detection: what is to be seen in pictures, and where.

From top to bottom: hyperparameters, network. What it reads, how it is measured and what it answers
is that of the task: ``core/tasks/detection.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Dataset,
    Detector,
    DetectorHyperparameters,
    HybridBlock,
    hookimpl,
    supervised_channels,
)
from ...core.data.box_files import FORMATS
from . import networks

SAMPLE = Path(__file__).parent / "sample"


class DetectionHyperparameters(DetectorHyperparameters):
    pass


class ObjectDetection(Detector[DetectionHyperparameters]):
    name = "object-detection"
    task = "object-detection"
    summary = "Finds objects in pictures: what they are, and where."
    Hyperparameters = DetectionHyperparameters
    extras = ("vision",)
    channels = supervised_channels(*FORMATS)

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE, TEST: SAMPLE}

    def network(self, hyperparameters: DetectionHyperparameters, data: Dataset) -> HybridBlock:
        return networks.build(hyperparameters.image_size, len(data.encoding["classes"]))

    def loss(self, hyperparameters: DetectionHyperparameters) -> Any:
        return networks.loss(hyperparameters.image_size)

    def decoder(self, hyperparameters: DetectionHyperparameters, data: Dataset) -> HybridBlock:
        return networks.decoder(hyperparameters.image_size)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [ObjectDetection]
