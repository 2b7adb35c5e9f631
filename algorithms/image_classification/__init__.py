"""image-classification: pictures of any kind, told apart by a network from GluonCV's zoo.

Read top-down: what it is told, what it learns from, what it learns, how it answers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
from pydantic import Field, field_validator
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Array,
    Channel,
    Classifier,
    ClassProbabilities,
    ContentType,
    Dataset,
    Example,
    HybridBlock,
    InputError,
    Model,
    NDArray,
    PublishedResult,
    Run,
    Search,
    TrainingHyperparameters,
    codecs,
    hookimpl,
    supervised_channels,
)
from ...core.runtime.errors import did_you_mean
from . import augmentation, networks, weights
from . import data as pictures

SAMPLE = Path(__file__).parent / "sample"
MODEL = "model"


class ImageHyperparameters(TrainingHyperparameters):
    network: str = Field(
        "cifar_resnet20_v1",
        description=f"one of {len(networks.NETWORKS)} of the zoos of GluonCV and Gluon",
    )
    image_size: int = Field(
        0,
        ge=0,
        le=pictures.MOST_SIDE,
        description="width and height in pixels; 0: what the network is made for",
    )
    frozen: bool = Field(False, description="with --model: leave all but the output layer as it is")
    top_k: int = Field(0, ge=0, description="classes named in an answer, likeliest first; 0: all")
    epochs: int = Field(30, ge=1, le=1000, description="passes over the training data")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="sgd with momentum, or adam")
    learning_rate: float = Field(0.1, gt=0, le=100, description="the highest of the schedule")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="pull of every weight to zero")
    on_damaged: Literal["fail", "skip"] = Field(
        "fail", description="at pictures that cannot be read: name them all, or leave them out"
    )
    flip: bool = Field(True, description="augmentation: mirror half of the images")
    shift: float = Field(
        0.125, ge=0, lt=1, description="augmentation: part of a side, in either direction"
    )
    scaling: float = Field(
        0.0, ge=0, lt=1, description="augmentation: part of the area cut away at the most"
    )
    colour: float = Field(
        0.0, ge=0, lt=1, description="augmentation: change of brightness, contrast, saturation"
    )
    cutout: float = Field(
        0.0, ge=0, le=1, description="augmentation: a square left out, part of the height"
    )
    mixup: float = Field(
        0.0, ge=0, le=10, description="augmentation: alpha of the blending of two images"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="part of a label spread over all classes"
    )

    searched = {
        **TrainingHyperparameters.searched,
        "learning_rate": Search(1e-2, 1.0, log=True),
        "shift": Search(0.0, 0.25),
        "scaling": Search(0.0, 0.5),
        "colour": Search(0.0, 0.4),
        "cutout": Search(0.0, 0.5),
        "mixup": Search(0.0, 0.4),
        "label_smoothing": Search(0.0, 0.2),
    }

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in networks.NETWORKS:
            raise ValueError(f"no such network: {name!r}{did_you_mean(name, networks.NETWORKS)}")
        return name

    @property
    def side(self) -> int:
        """Width and height of the network's input, in pixels."""
        return self.image_size or networks.side(self.network)


class ImageClassification(Classifier[ImageHyperparameters]):
    name = "image-classification"
    task = "image-classification"
    summary = "Tells pictures apart with a network of GluonCV's zoo, from scratch or from weights."
    details = "Networks: " + ", ".join(networks.NETWORKS)
    Hyperparameters = ImageHyperparameters
    extras = ("vision",)
    quick = {"batch_size": 100, "learning_rate": 0.005}
    channels = (
        *supervised_channels(*pictures.FORMATS),
        Channel(
            MODEL,
            "weights to begin with; an output layer for other classes is made anew",
            ("a model of this catalog", "a params file of the same network, as Gluon saves it"),
        ),
    )
    accepts = (
        ContentType(codecs.JPEG, "one picture of any size, grey or in colour"),
        ContentType(codecs.PNG, "the same"),
        ContentType(codecs.WEBP, "the same"),
        ContentType(
            codecs.JSON,
            "pictures: files in base64, or intensities from 0 to 255, row by row",
            '{"instances": [{"b64": "iVBORw0…"}, [[[255, 0, 0], …], …]]}',
        ),
        ContentType(codecs.JSONLINES, "the same, a line a picture", '{"b64": "iVBORw0…"}'),
        ContentType(codecs.NPY, "pictures (N, H, W, 3), intensities from 0 to 255"),
    )
    published = (
        PublishedResult(
            "test:accuracy",
            0.921,
            "CIFAR-10, 10,000 test images, cifar_resnet20_v1 after 200 epochs",
            "GluonCV's model zoo, classification, CIFAR10",
        ),
    )

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE, TEST: SAMPLE}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: ImageHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> Dataset:
        classes = (encoding or {}).get("classes")
        return pictures.read(
            path, channel, hyperparameters.side, classes, hyperparameters.on_damaged
        )

    def needed_extras(self, hyperparameters: ImageHyperparameters) -> tuple[str, ...]:
        """None for a network of Gluon's own zoo, which is part of mxnet."""
        return () if hyperparameters.network.startswith(networks.GLUON) else self.extras

    def network(self, hyperparameters: ImageHyperparameters, data: Dataset) -> HybridBlock:
        """Logits (N, C) of pictures (N, 3, H, W), intensities from 0 to 255."""
        network = networks.build(hyperparameters.network, len(data.encoding["classes"]))
        return networks.normalized(network, networks.MEAN, networks.DEVIATION)

    def begin(self, network: HybridBlock, data: Dataset, run: Run[ImageHyperparameters]) -> None:
        """With ``--model``, take its weights, and keep them where they are to be frozen."""
        options = run.hyperparameters
        if MODEL not in run.channels:
            if options.frozen:
                raise InputError("--frozen: needs --model, the weights that are to be kept")
            return
        bare = network[1]  # behind the layer that normalizes
        head = networks.output_layer(options.network, len(data.encoding["classes"]))
        run.reporter.message(weights.load(bare, run.channels[MODEL], head))
        run.data[MODEL] = weights.digest(run.channels[MODEL])
        if options.frozen:
            weights.freeze(bare, head)

    def loss(self, hyperparameters: ImageHyperparameters) -> Any:
        return augmentation.blended_cross_entropy(hyperparameters.label_smoothing)

    def augment(
        self,
        x: NDArray,
        y: NDArray,
        hyperparameters: ImageHyperparameters,
        rng: np.random.Generator,
    ) -> tuple[NDArray, NDArray]:
        """Pictures (B, 3, S, S) moved, mirrored, recoloured and blended; labels (B, 3)."""
        options = hyperparameters
        x = augmentation.moved(
            x.astype("float32"), rng,
            shift=options.shift, scale=options.scaling, flip=options.flip,
        )  # fmt: skip
        x = augmentation.coloured(x, rng, options.colour)
        x = augmentation.cut_out(x, rng, options.cutout)
        return augmentation.mixed(x, y, rng, options.mixup)

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[Array]:
        """The pictures of a request, each (H, W, 3) uint8."""
        content_type = codecs.check_content_type(request_content_type, self.accepted())
        return pictures.decode(request_body, content_type)

    def predict_fn(self, input_data: Any, model: Model) -> ClassProbabilities:
        """Probabilities for pictures, each (H, W, 3) uint8."""
        side = model.metadata.input.shape[2]
        batch = np.stack([pictures.fitted(picture, side) for picture in input_data])
        found = super().predict_fn(batch, model)
        return replace(found, named=int(model.metadata.hyperparameters.get("top_k", 0)))

    def example(self, data: Dataset) -> Example:
        picture = data.take(np.zeros(1, np.int64))[0][0].transpose(1, 2, 0)
        return Example(content_type=codecs.JSON, body=pictures.as_json(picture))

    def sketch(self, path: Path, model: Model, count: int, width: int) -> str:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        data = self.dataset(path, TEST, options, model.metadata.encoding)
        chosen = np.unique(data.labels(), return_index=True)[1][:count]  # the first of each class
        images, labels = data.take(chosen)
        names = data.encoding["classes"]
        answers = super().predict_fn(images, model).best()
        captions = [
            f"{label} {probability:.0%}" + ("" if label == names[true] else f", is {names[true]}")
            for (label, probability), true in zip(answers, labels)
        ]
        return pictures.sketch(images, captions, width)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [ImageClassification]
