"""Object detection: what is to be seen in a picture, and where."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, TypeVar

from pydantic import Field
from typing_extensions import Literal

from ..algorithm.base import Objective
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..data.dataset import Dataset
from ..runtime.types import HybridBlock
from .supervised import MEASURED, SupervisedAlgorithm

MAX_SIDE = 1024  # of a network's input


class DetectorHyperparameters(TrainingHyperparameters):
    """What every detector is told besides."""

    image_size: int = Field(
        256,
        ge=32,
        le=MAX_SIDE,
        description="Width and height of the network's input, in pixels: pictures are scaled to "
        "it, whatever their shape.",
    )
    threshold: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Lowest score of an object that is answered; a request may say otherwise.",
    )
    overlap: float = Field(
        0.45,
        ge=0,
        le=1,
        description="Of two objects of a class whose boxes overlap by more (intersection over "
        "union), the one with the lower score is dropped; a request may say otherwise.",
    )
    most_objects: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Largest number of objects in an answer, the best by their scores.",
    )
    on_damaged: Literal["fail", "skip"] = Field(
        "fail",
        description="What to do about images that cannot be read: fail lists them all and stops, "
        "skip leaves them out.",
    )
    on_faulty: Literal["mend", "skip", "fail"] = Field(
        "mend",
        description="What to do about faulty boxes: mend (turns what is flipped, cuts at the "
        "picture's edge, leaves out what has no area, stops at unknown classes), skip (leaves "
        "them all out) or fail (lists them all and stops).",
    )
    flip: bool = Field(
        True, description="Augmentation: whether to flip half of the pictures left to right."
    )
    crop: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Augmentation: fraction of the pictures of which a part is learned that "
        "overlaps with an object.",
    )
    expand: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Augmentation: fraction of the pictures that are laid smaller onto a larger "
        "ground.",
    )
    mosaic: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Augmentation: fraction of the pictures that are joined with three others.",
    )
    colour: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Augmentation: largest change of brightness, contrast and saturation, as a "
        "fraction.",
    )


H = TypeVar("H", bound=DetectorHyperparameters)


class Detector(SupervisedAlgorithm[H]):
    """A supervised algorithm that finds objects in pictures.

    A subclass states three blocks; all else it inherits:

    - ``network`` takes pictures (N, 3, S, S) uint8 in RGB, S being ``image_size``, and gives what
      is learned of them: one array or a tuple of arrays, such as predictions and anchors. It has to
      normalize the pixels itself.
    - ``loss`` takes that and the boxes (N, M, 5) float32, rows of class, xmin, ymin, xmax, ymax as
      in ``data.boxes``: the class is an index, the edges are from 0 to 1, rows of -1 are no box.
      It gives the loss of each example (N,). M is the same in all batches of a training.
    - ``decoder`` takes what ``network`` gives, and gives candidates (N, A, 4 + C) float32: xmin,
      ymin, xmax, ymax from 0 to 1 (it may go beyond), and the probability of each of the C classes.
      A, how many there are, may be anything. Neither is anything suppressed in the graph nor
      sorted: that is done beside it, alike for all engines, by the thresholds of the request.

    The model is ``network`` with ``decoder`` behind it, so both become part of the artifact's one
    graph, whose only output is the candidates.

    ``dataset`` is ready, for all formats of FORMATS; augmentation is a part of it, by the
    hyperparameters. Its ``encoding`` has ``classes``, the names of the C classes, and ``boxes``,
    which is M. For anchors of the data, ``data.labels()`` (N, M', …) holds all boxes.
    """

    Hyperparameters = DetectorHyperparameters
    metrics: ClassVar[dict[str, str]] = {
        "train:loss": "Mean loss of the training batches, after augmentation.",
        "validation:map": "Mean average precision over the classes and over overlaps from 0.5 to "
        "0.95, as COCO defines it.",
        "validation:map_50": "Mean average precision at an overlap of 0.5.",
        "validation:map_75": "Mean average precision at an overlap of 0.75.",
        "test:map": "The same for the test channel, after training.",
        "test:map_50": "The same for the test channel, after training.",
        "test:map_75": "The same for the test channel, after training.",
        **MEASURED,
    }
    objective = Objective("validation:map_50", maximize=True)

    @abstractmethod
    def decoder(self, hyperparameters: H, data: Dataset) -> HybridBlock:
        """A new block that makes candidates (N, A, 4 + C) of what ``network`` gives."""
