"""Object detection: what is to be seen in a picture, and where."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Iterator, Mapping, Sequence, TypeVar

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from .. import payload
from ..algorithm.base import ContentType, Draw, Objective
from ..algorithm.channels import TEST
from ..algorithm.evaluation import Evaluation
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..artifact.metadata import Example, Metadata
from ..artifact.model import Model
from ..artifact.network import Network
from ..data import box_files
from ..data.box_augmentation import Augmented, Changes
from ..data.box_pictures import LabelledPictures, pictures_of, stretched
from ..data.boxes import CLASS
from ..data.dataset import Dataset, chunks, how_read
from ..payload import pictures
from ..runtime import mx
from ..runtime.errors import DataError, TrainingError
from ..runtime.types import Array, HybridBlock
from .detection_figures import evaluate_detections, mistakes, worst_first
from .detections import FOUND_CLASS, Asked, Detections, Seen, asked, in_rows, suppressed
from .supervised import MEASURED, SupervisedAlgorithm, outputs

if TYPE_CHECKING:
    from ..training.run import Run

MAX_SIDE = 1024  # of a network's input
AT_ONCE = 8  # pictures that are computed together
DRAWN = 6  # of the pictures with the most mistakes
# What is measured by: in COCO's way the best hundred of a picture, however uncertain.
MOST_SCORED, LEAST_SCORED = 100, 0.01
PARAMETERS = (
    "threshold=0 to 1: lowest score of an object that is answered",
    "overlap=0 to 1: of two objects of a class that overlap by more, one is answered",
)


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
        description="Augmentation: fraction of the pictures that are cropped to a random part in "
        "which an object lies.",
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

    accepts = (
        ContentType(payload.JPEG, "One picture of any size.", parameters=PARAMETERS),
        ContentType(payload.PNG, "One picture, as for JPEG.", parameters=PARAMETERS),
        ContentType(payload.WEBP, "One picture, as for JPEG.", parameters=PARAMETERS),
        ContentType(
            payload.JSON,
            "Pictures: files in base64, beside which may stand threshold and overlap, or pixel "
            "values from 0 to 255, row by row.",
            '{"instances": [{"b64": "iVBORw0…", "threshold": 0.5}, [[[255, 0, 0], …], …]]}',
            parameters=PARAMETERS,
        ),
        ContentType(
            payload.JSONLINES,
            "One picture per line, as in JSON.",
            '{"b64": "iVBORw0…"}',
            parameters=PARAMETERS,
        ),
        ContentType(
            payload.NPY,
            "An array of pictures (N, H, W, 3), pixel values from 0 to 255.",
            parameters=PARAMETERS,
        ),
    )
    response_types = (
        ContentType(
            payload.JSON,
            "For each picture prediction, as SageMaker's object detection gives it (class, score, "
            "xmin, ymin, xmax, ymax, in widths and heights of the picture), and objects, with "
            "names and edges in pixels; the best first.",
            '{"predictions": [{"prediction": [[0, 0.98, 0.1, 0.2, 0.5, 0.7]], "objects": […]}]}',
        ),
        ContentType(
            payload.JSONLINES,
            "A line a picture, as in JSON.",
            '{"prediction": [[0, 0.98, 0.1, 0.2, 0.5, 0.7]], "objects": […], …}',
        ),
        ContentType(
            payload.CSV,
            "A line a picture: how many objects there are, and of each in turn the name, the score "
            "and the edges in pixels.",
            "1,cat,0.98,64.0,96.0,320.0,336.0",
        ),
        ContentType(payload.PNG, "The picture, one at a time, with the boxes drawn into it."),
    )

    @abstractmethod
    def decoder(self, hyperparameters: H, data: Dataset) -> HybridBlock:
        """A new block that makes candidates (N, A, 4 + C) of what ``network`` gives."""

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: H,
        encoding: Mapping[str, Any] | None = None,
    ) -> LabelledPictures:
        known = encoding or {}
        return box_files.read(
            path,
            channel,
            hyperparameters.image_size,
            classes=known.get("classes"),
            most=known.get("boxes"),
            on_damaged=hyperparameters.on_damaged,
            on_faulty=hyperparameters.on_faulty,
        )

    def check_labels(self, labels: Array, data: Dataset, path: Path) -> None:
        if not (labels[..., CLASS] >= 0).any():
            raise DataError(
                f"{path}: no picture has a box: there is nothing to learn" + how_read(data)
            )

    def united(
        self, encodings: Sequence[Mapping[str, Any]], hosts: Sequence[str], hyperparameters: H
    ) -> Mapping[str, Any]:
        """The classes of all hosts, and as many boxes as any picture has."""
        most = max(encoding["boxes"] for encoding in encodings)
        alike = [{**encoding, "boxes": most} for encoding in encodings]
        return super().united(alike, hosts, hyperparameters)

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[H]
    ) -> tuple[HybridBlock, Dataset]:
        """The network with its decoder, and the examples as they are augmented."""
        options = run.hyperparameters
        decoder = self.decoder(options, train)
        decoder.initialize(self.initializer(options), ctx=list(run.devices))
        changes = Changes(
            options.flip, options.crop, options.expand, options.mosaic, options.colour
        )
        return _finding(network, decoder), Augmented(train, changes) if changes else train

    def all_outputs(self, network: Network, data: Dataset, hyperparameters: H) -> Array:
        """What is found in each picture (N, K, FOUND_WIDTH), in place of the candidates for it."""
        found: Array = outputs(Finding(network, hyperparameters.overlap, MOST_SCORED), data)
        return found

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        """How well what is found, ``outputs`` (N, K, FOUND_WIDTH), fits the boxes of ``data``."""
        return evaluate_detections(outputs, data.labels(), data.encoding["classes"])

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        """In full, and the pictures with the most mistakes, of all at the model's threshold."""
        data = self.test_data(path, model)
        options: Any = self.Hyperparameters.parse(model.metadata.hyperparameters)
        found, labels = self.all_outputs(model.network, data, options), data.labels()
        evaluation = evaluate_detections(found, labels, data.encoding["classes"], in_full=True)
        pictures, places = pictures_of(data)
        worst = worst_first(found, labels, len(pictures.classes), options.threshold)
        drawn = [
            mistakes(pictures, int(places[i]), found[i], labels[i], options.threshold)
            for i in worst[:DRAWN]
        ]
        return replace(evaluation, pictures=tuple(drawn))

    def example(self, data: Dataset) -> Example:
        picture = data.take(np.zeros(1, np.int64))[0][0].transpose(1, 2, 0)
        return Example(content_type=payload.JSON, body=pictures.as_json(picture))

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Asked], int]:
        data, places = pictures_of(self.test_data(path, model))
        chosen = [int(places[each]) for each in draw(len(places))]
        return [self._asked(data, index) for index in chosen], len(places)

    def _asked(self, data: LabelledPictures, index: int) -> Asked:
        """The picture as the network sees it, so that thousands find room in memory."""
        frame = data.store.frame(index)
        return Asked(data.example(index)[0].transpose(1, 2, 0), frame.width, frame.height)

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[Asked]:
        return asked(request_body, request_content_type, self.accepted_media_types())

    def predict_fn(self, input_data: Sequence[Asked], model: Model) -> Detections:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        side = model.metadata.input.shape[2]
        seen = []
        for part in chunks(len(input_data), AT_ONCE):
            some = input_data[part]
            batch = np.stack([stretched(each.pixels, side) for each in some])
            for each, candidates in zip(some, self.compute(batch, model)):
                threshold = options.threshold if each.threshold is None else each.threshold
                overlap = options.overlap if each.overlap is None else each.overlap
                found = suppressed(candidates, threshold, overlap, options.most_objects)
                seen.append(Seen(each, found))
        return Detections(tuple(model.metadata.encoding["classes"]), seen)

    def output_fn(self, prediction: Detections, accept: str) -> bytes:
        return prediction.encoded(payload.negotiate(accept, self.response_media_types()))

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        """Of some pictures how many objects of each class are found, and how many there are."""
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        data = self.dataset(path, TEST, options, model.metadata.encoding)  # type: ignore[arg-type]
        places = range(min(count, len(data)))
        lines = []
        for index, seen in zip(
            places, self.predict_fn([self._asked(data, i) for i in places], model)
        ):
            there = data.boxes[index][:, CLASS].astype(int).tolist()
            found = seen.found[:, FOUND_CLASS].astype(int).tolist()
            told = (
                f"{found.count(number)} {name} (there are {there.count(number)})"
                for number, name in enumerate(data.classes)
                if number in found or number in there
            )
            name = data.store.name(index).rpartition("/")[2]
            lines.append(textwrap.shorten(f"{name}: {', '.join(told) or 'nothing'}", width))
        return "\n".join(lines)

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterator[str]:
        classes = metadata.encoding.get("classes", ())
        if len(outputs) != 1 or len(outputs[0]) != 3 or outputs[0][2] != 4 + len(classes):
            yield (
                f"the network gives {outputs} for {len(classes)} classes: expected candidates "
                f"(1, A, {4 + len(classes)})"
            )


@dataclass(frozen=True)
class Finding:
    """A network of a detector, and what is found among its candidates: (N, ``most``, FOUND_WIDTH).

    A few pictures at a time, since what a network holds of each is far more than the picture.
    """

    network: Network
    overlap: float
    most: int

    def compute(self, x: Array) -> tuple[Array, ...]:
        found = []
        for part in chunks(len(x), AT_ONCE):
            size = min(len(x), AT_ONCE)
            (candidates,) = self.network.compute(np.resize(x[part], (size, *x.shape[1:])))
            if not np.isfinite(candidates).all():
                raise TrainingError("the network gives candidates that are no numbers")
            found += [
                in_rows(suppressed(each, LEAST_SCORED, self.overlap, self.most), self.most)
                for each in candidates[: len(x[part])]
            ]
        return (np.stack(found),)


def _finding(network: HybridBlock, decoder: HybridBlock) -> HybridBlock:
    """The model: candidates (N, A, 4 + C) for pictures (N, 3, S, S)."""

    class Candidates(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="")
            self.network = network
            self.decoder = decoder

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
            return self.decoder(self.network(x))

    return Candidates()
