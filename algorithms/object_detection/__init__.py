"""object-detection: what is to be seen in pictures, and where.

From top to bottom: hyperparameters, network. What it reads, how it is measured and what it answers
is that of the task: ``core/tasks/detection.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np
from pydantic import Field, field_validator
from typing_extensions import Literal

from ...core import (
    MODEL,
    TEST,
    TRAIN,
    Algorithm,
    Channel,
    Dataset,
    Detector,
    DetectorHyperparameters,
    HybridBlock,
    Search,
    hookimpl,
    supervised_channels,
)
from ...core.data.box_files import FORMATS
from ...core.data.boxes import HEIGHT, WIDTH, XMAX, XMIN, YMAX, YMIN
from ...core.weights import is_folder
from . import center_net, pretrained, ssd, yolo3

if TYPE_CHECKING:
    from ...core import Array, Run

SAMPLE = Path(__file__).parent / "sample"
NETWORKS: Mapping[str, Any] = {"ssd": ssd, "yolo3": yolo3, "center_net": center_net}
MOBILENET = "gluon:mobilenetv2_1.0"  # what its pretrained weights are known by


class DetectionHyperparameters(DetectorHyperparameters):
    network: Literal["ssd", "yolo3", "center_net"] = Field(
        "ssd",
        description="Network, on MobileNetV2's features: ssd (anchors of the data on three maps), "
        "yolo3 (the same, each object the concern of one anchor) or center_net (objects as points "
        "of a fine map). The last two need GluonCV.",
    )
    width: int = Field(96, ge=8, le=1024, description="Number of channels of the network's head.")
    frozen: int = Field(
        6,
        ge=0,
        le=ssd.TAPS[-1] + 1,
        description="Number of layers of the features, from the pixels on, that keep the weights "
        "which --weights or --model gave; without these, all learn.",
    )
    pace: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Learning rate of the features that --weights or --model gave, as a fraction "
        "of the head's.",
    )
    epochs: int = Field(40, ge=1, le=1000, description="Number of passes over the training data.")
    batch_size: int = Field(
        4, ge=1, le=65536, description="Number of examples per step, on all devices together."
    )
    optimizer: Literal["sgd", "adam"] = Field(
        "adam", description="Optimizer: sgd with momentum, or adam."
    )
    learning_rate: float = Field(
        2e-3, gt=0, le=100, description="Peak learning rate, reached at the end of the warm-up."
    )

    search_space = {
        **DetectorHyperparameters.search_space,
        "learning_rate": Search(1e-4, 1e-2, log=True),
    }

    @field_validator("image_size")
    @classmethod
    def _is_divided(cls, side: int) -> int:
        coarsest = ssd.STRIDES[-1]
        if side % coarsest:
            below = side // coarsest * coarsest
            raise ValueError(
                f"expected a multiple of {coarsest}, such as {below} or {below + coarsest}"
            )
        return side


class ObjectDetection(Detector[DetectionHyperparameters]):
    name = "object-detection"
    task = "object-detection"
    summary = "Finds objects in pictures: what they are, and where."
    details = "Networks: " + ", ".join(NETWORKS)
    Hyperparameters = DetectionHyperparameters
    extras = ("vision",)
    widget = "picture"
    max_work = 2**35  # yolo3 takes 19 billion multiplications for a picture of 1,024 pixels
    check_hyperparameters = {
        "epochs": 1, "image_size": 64, "width": 16, "batch_size": 8, "learning_rate": 0.001
    }  # fmt: skip
    channels = (
        *supervised_channels(*FORMATS),
        Channel(
            MODEL,
            "Pretrained weights to start from.",
            (
                "a folder of pretrained weights of MobileNetV2 (`algoshelf weights get NAME`)",
                "a .params file of Gluon's mobilenet_v2_1_0",
                "a model folder of object-detection",
            ),
        ),
    )

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE, TEST: SAMPLE}

    def begins_with(self, network: str) -> Mapping[str, Any] | None:
        return {} if network == MOBILENET else None

    def needed_extras(self, hyperparameters: DetectionHyperparameters) -> tuple[str, ...]:
        """None for ssd, which is of Gluon's own zoo, a part of mxnet."""
        return () if hyperparameters.network == "ssd" else self.extras

    def network(self, hyperparameters: DetectionHyperparameters, data: Dataset) -> HybridBlock:
        options, classes = hyperparameters, len(data.encoding["classes"])
        found: HybridBlock = NETWORKS[options.network].network(
            classes, options.image_size, options.width
        )
        return found

    def loss(self, hyperparameters: DetectionHyperparameters) -> Any:
        return NETWORKS[hyperparameters.network].loss(hyperparameters.image_size)

    def decoder(self, hyperparameters: DetectionHyperparameters, data: Dataset) -> HybridBlock:
        found: HybridBlock = NETWORKS[hyperparameters.network].decoder(hyperparameters.image_size)
        return found

    def load_pretrained(
        self, network: HybridBlock, data: Dataset, run: Run[DetectionHyperparameters]
    ) -> None:
        """The anchors that fit the boxes of ``data``, and the weights that the run begins with."""
        options = run.hyperparameters
        if hasattr(network, "anchors"):
            ssd.set_anchors(network, _sizes(data.labels()), options.image_size)
        if MODEL not in run.channels:
            return
        path = run.channels[MODEL]
        if path.is_dir() and not is_folder(path):
            super().load_pretrained(network, data, run)
        else:
            message, run.data[MODEL] = pretrained.load(network.features, path)
            run.reporter.message(message)
        pretrained.settle(network.features, options.frozen, options.pace)

    def known(self, run: Run[DetectionHyperparameters]) -> Mapping[str, Any] | None:
        """None: for other classes the head is new."""
        return None


def _sizes(labels: Array) -> Array:
    """Widths and heights (G, 2) of all boxes, in those of their pictures."""
    rows = labels[labels[..., 0] >= 0]
    wide = (rows[:, XMAX] - rows[:, XMIN]) / rows[:, WIDTH]
    high = (rows[:, YMAX] - rows[:, YMIN]) / rows[:, HEIGHT]
    sizes: Array = np.stack([wide, high], axis=1)
    return sizes


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [ObjectDetection]
