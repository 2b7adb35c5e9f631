"""image-classification: images of any kind, classified by a network from GluonCV's model zoo.

From top to bottom: hyperparameters, data, network, predictions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Literal

from ...core import (
    MODEL,
    TEST,
    TRAIN,
    Algorithm,
    Array,
    Channel,
    ClassProbabilities,
    ContentType,
    Dataset,
    Example,
    HybridBlock,
    InputError,
    Model,
    NDArray,
    PictureClassifier,
    PublishedResult,
    Search,
    TrainingHyperparameters,
    codecs,
    hookimpl,
    supervised_channels,
)
from ...core.algorithm.base import Draw
from ...core.artifact import adoption
from ...core.runtime.errors import did_you_mean
from . import airbench, augmentation, networks, pretrained, weights
from . import data as pictures

if TYPE_CHECKING:
    from ...core import Run
    from ...core.artifact.adoption import Foreign, Pixels
    from ...core.weights import PretrainedWeights

# What random numbers are for, beside those of core/training/loop.py.
WHITENING, BEGINNING, MIRRORED = range(100, 103)
# After K. Jordan, arXiv:2404.00498; what differs is in docs/decisions/0037.
AIRBENCH = {
    "network": networks.AIRBENCH,
    "epochs": 12,
    "batch_size": 1024,
    "reference_batch": 1024,
    "optimizer": "nesterov",
    "learning_rate": 1.5,
    "momentum": 0.85,
    "weight_decay": 1.33e-3,
    "bias_rate": 64.0,
    "schedule": "linear",
    "warmup": 0.23,
    "lookahead": 5,
    "keep": "last",
    "label_smoothing": 0.2,
    "flip": "alternating",
    "shift": 0.0625,
    "border": augmentation.REFLECT,
    "test_time": networks.FLIPS_AND_SHIFTS,
}
RECIPES: Mapping[str, Mapping[str, Any]] = {"default": {}, "airbench": AIRBENCH}
SAMPLE = Path(__file__).parent / "sample"


class ImageHyperparameters(TrainingHyperparameters):
    recipe: Literal["default", "airbench"] = Field(
        "default",
        description="Recipe: what the hyperparameters are that are not given. airbench, for small "
        "pictures: "
        + ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in AIRBENCH.items()
        )
        + ".",
    )
    network: str = Field(
        "cifar_resnet20_v1",
        description=f"Network architecture: one of {len(networks.NETWORKS)} from the model zoos "
        "of GluonCV and Gluon, for example resnet18_v1.",
    )
    image_size: int = Field(
        0,
        ge=0,
        le=pictures.MAX_SIDE,
        description="Width and height of the network's input, in pixels. 0 means the size that the "
        "network was designed for.",
    )
    frozen: bool = Field(
        False,
        description="Whether to train the output layer only and keep the other weights that "
        "--weights or --model gave.",
    )
    top_k: int = Field(
        0,
        ge=0,
        description="Number of classes in an answer, the most probable first. 0 means all.",
    )
    epochs: int = Field(30, ge=1, le=1000, description="Number of passes over the training data.")
    optimizer: Literal["sgd", "nesterov", "adam"] = Field(
        "sgd",
        description="Optimizer: sgd with momentum, nesterov (sgd with Nesterov's) or adam.",
    )
    learning_rate: float = Field(
        0.1, gt=0, le=100, description="Peak learning rate, reached at the end of the warm-up."
    )
    weight_decay: float = Field(
        5e-4, ge=0, le=1, description="Weight decay: strength of the L2 penalty on the weights."
    )
    on_damaged: Literal["fail", "skip"] = Field(
        "fail",
        description="What to do about images that cannot be read: fail lists them all and stops, "
        "skip leaves them out.",
    )
    bias_rate: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="Learning rate of batch normalization's biases, as a multiple of the others'; "
        "they decay as without it.",
    )
    whiten: bool = Field(
        True,
        description="Whether the first layer of the network airbench whitens patches of the "
        "training images, and is not learned but for its bias.",
    )
    test_time: Literal["none", "flips", "flips-and-shifts"] = Field(
        "none",
        description="Test-time augmentation, as part of the model: none, flips (the mean of the "
        "logits for an image and its mirror image) or flips-and-shifts (these also moved by a "
        "pixel; an answer takes six times as long).",
    )
    flip: Literal["random", "alternating", "none"] = Field(
        "random",
        description="Augmentation: which images to flip left to right: a random half, each one in "
        "every second epoch (alternating), or none.",
    )
    shift: float = Field(
        0.125,
        ge=0,
        lt=1,
        description="Augmentation: largest shift in each direction, as a fraction of the side.",
    )
    border: Literal["black", "reflect"] = Field(
        "black",
        description="Augmentation: what a shift lets in from outside of an image: black, or its "
        "mirror image.",
    )
    scaling: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Augmentation: largest fraction of the image's area that a random crop "
        "removes.",
    )
    colour: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Augmentation: largest change of brightness, contrast and saturation, as a "
        "fraction.",
    )
    cutout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Augmentation (cutout): side of a square that is blanked out, as a fraction "
        "of the image's height.",
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Augmentation (mixup): alpha of the Beta distribution by which two images "
        "are blended. 0 means no mixup.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Label smoothing: fraction of each label that is spread evenly over all "
        "classes.",
    )

    search_space = {
        **TrainingHyperparameters.search_space,
        "learning_rate": Search(1e-2, 1.0, log=True),
        "shift": Search(0.0, 0.25),
        "scaling": Search(0.0, 0.5),
        "colour": Search(0.0, 0.4),
        "cutout": Search(0.0, 0.5),
        "mixup": Search(0.0, 0.4),
        "label_smoothing": Search(0.0, 0.2),
    }

    @model_validator(mode="before")
    @classmethod
    def _of_the_recipe(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {**RECIPES.get(str(values.get("recipe")), {}), **values}

    @field_validator("flip", mode="before")
    @classmethod
    def _was_a_bool(cls, flip: Any) -> Any:
        """As it was in models of before."""
        return {"true": "random", "false": "none"}.get(str(flip).lower(), flip)

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in networks.NETWORKS:
            raise ValueError(f"no such network: {name!r}{did_you_mean(name, networks.NETWORKS)}")
        return name

    @field_validator("image_size")
    @classmethod
    def _is_large_enough(cls, size: int, info: ValidationInfo) -> int:
        of_airbench = info.data.get("network") == networks.AIRBENCH
        if of_airbench and 0 < size < airbench.SMALLEST:
            raise ValueError(
                f"the network {networks.AIRBENCH} takes images from {airbench.SMALLEST} pixels on, "
                f"got {size}"
            )
        return size

    @property
    def side(self) -> int:
        """Width and height of the network's input, in pixels."""
        return self.image_size or networks.side(self.network)


class ImageClassification(PictureClassifier[ImageHyperparameters]):
    name = "image-classification"
    white = 255.0
    task = "image-classification"
    summary = "Classifies images with a network from GluonCV's model zoo, trained or fine-tuned."
    details = "Networks: " + ", ".join(networks.NETWORKS)
    Hyperparameters = ImageHyperparameters
    extras = ("vision",)
    widget = "picture"
    check_hyperparameters = {"batch_size": 100, "learning_rate": 0.005}
    channels = (
        *supervised_channels(*pictures.FORMATS),
        Channel(
            MODEL,
            "Pretrained weights to start from. For other classes, the output layer is new.",
            (
                "a model folder that algoshelf trained",
                "a .params file of the same network, as Gluon saves it",
                "a folder of pretrained weights (`algoshelf weights get NAME`)",
            ),
        ),
    )
    accepts = (
        ContentType(codecs.JPEG, "One image of any size, greyscale or colour."),
        ContentType(codecs.PNG, "One image, as for JPEG."),
        ContentType(codecs.WEBP, "One image, as for JPEG."),
        ContentType(
            codecs.JSON,
            "Images: files in base64, or pixel values from 0 to 255, row by row.",
            '{"instances": [{"b64": "iVBORw0…"}, [[[255, 0, 0], …], …]]}',
        ),
        ContentType(codecs.JSONLINES, "One image per line, as in JSON.", '{"b64": "iVBORw0…"}'),
        ContentType(codecs.NPY, "An array of images (N, H, W, 3), pixel values from 0 to 255."),
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
        """None for networks that need Gluon alone, which is part of mxnet."""
        name = hyperparameters.network
        without = name == networks.AIRBENCH or name.startswith(networks.GLUON)
        return () if without else self.extras

    def network(self, hyperparameters: ImageHyperparameters, data: Dataset) -> HybridBlock:
        """Logits (N, C) of pictures (N, 3, H, W), intensities from 0 to 255."""
        network = networks.build(hyperparameters.network, len(data.encoding["classes"]))
        for parameter in network.collect_params(".*beta$").values():
            parameter.lr_mult = hyperparameters.bias_rate
            parameter.wd_mult = 1 / hyperparameters.bias_rate
        return networks.normalized(network, networks.MEAN, networks.DEVIATION)

    def adopted_hyperparameters(self, foreign: Foreign) -> Mapping[str, Any]:
        shape = foreign.shape
        if not shape and foreign.network:
            shape = (3, *[networks.side(foreign.network)] * 2)
        if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
            got = f"got {','.join(map(str, shape))}" if shape else "it is not known"
            raise InputError(
                f"--input-shape: {self.name} reads square pictures of three colours: expected "
                f"3,SIDE,SIDE such as 3,224,224; {got}"
            )
        named = {"network": foreign.network} if foreign.network else {}
        return {**named, "image_size": shape[1]}

    def foreign_network(self, foreign: Foreign) -> tuple[HybridBlock, Pixels]:
        name = foreign.network
        if name not in networks.NETWORKS:
            raise InputError(
                f"--network: no such network: {name!r}{did_you_mean(name, networks.NETWORKS)}"
            )
        block = weights.whole(name, foreign.arrays, foreign.label)
        return block, adoption.Pixels(1.0, networks.MEAN, networks.DEVIATION)

    def load_pretrained(
        self, network: HybridBlock, data: Dataset, run: Run[ImageHyperparameters]
    ) -> None:
        """With ``--model``, take its weights, and keep them where they are to be frozen."""
        options = run.hyperparameters
        bare = network[1]  # behind the layer that normalizes
        whitens = options.network == networks.AIRBENCH and options.whiten
        if MODEL not in run.channels:
            if options.frozen:
                raise InputError("--frozen needs --weights or --model, the weights to keep")
            if options.network == networks.AIRBENCH:
                airbench.begin(bare, run.rng(BEGINNING))
            if whitens:
                airbench.whiten(bare, data, networks.MEAN, networks.DEVIATION, run.rng(WHITENING))
            return
        if whitens:
            airbench.keep(bare)
        head = networks.output_layer(options.network, len(data.encoding["classes"]))
        run.reporter.message(weights.load(bare, run.channels[MODEL], head))
        run.data[MODEL] = weights.digest(run.channels[MODEL])
        if options.frozen:
            weights.freeze(bare, head)

    def known(self, run: Run[ImageHyperparameters]) -> Mapping[str, Any] | None:
        """None: for other classes the output layer is new."""
        return None

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[ImageHyperparameters]
    ) -> tuple[HybridBlock, Dataset]:
        """The network with its test-time augmentation, and images that are flipped by epochs."""
        options = run.hyperparameters
        if options.flip == "alternating":
            train = augmentation.Alternating(train, run.rng(MIRRORED))
        if options.test_time == "none":
            return network, train
        return networks.averaged(network, options.test_time), train

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
            shift=options.shift, scale=options.scaling, flip=options.flip == "random",
            border=options.border,
        )  # fmt: skip
        x = augmentation.coloured(x, rng, options.colour)
        x = augmentation.cut_out(x, rng, options.cutout)
        return augmentation.mixed(x, y, rng, options.mixup)

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[Array]:
        """The pictures of a request, each (H, W, 3) uint8."""
        content_type = codecs.check_content_type(request_content_type, self.accepted_media_types())
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

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Array], int]:
        data = self.test_data(path, model)
        places = np.array(draw(len(data)), np.int64)
        return [
            data.take(places[i : i + 1])[0][0].transpose(1, 2, 0) for i in range(len(places))
        ], len(data)

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
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
        return pictures.preview(images, captions, width)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [ImageClassification]


@hookimpl
def algoshelf_weights() -> Sequence[PretrainedWeights]:
    return pretrained.ROWS
