"""mnist-cnn: handwritten digits, recognized by a small convolutional network.

From top to bottom: hyperparameters, data, network, predictions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Array,
    ArrayDataset,
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
    UnfitPayloadError,
    codecs,
    hookimpl,
    model_channel,
    mx,
    on_device,
    supervised_channels,
)
from . import data as digits

if TYPE_CHECKING:
    from ...core.artifact.adoption import Foreign

SAMPLE = Path(__file__).parent / "sample"
PARAMETERS = (
    f"invert={'|'.join(digits.INVERT)}: whether the image is inverted, since digits must be white "
    "on black; auto inverts an image with a bright border. Default: as in training.",
)


# Of each network: between two poolings, each convolution's width, side of its kernel and stride.
CONVOLUTIONS = {
    "small": [[(16, 5, 2), (32, 3, 1)], [(64, 3, 1), (64, 3, 1)], [(128, 3, 1)]],
    "large": [[(32, 3, 1)], [(64, 3, 1), (64, 3, 1)], [(128, 3, 1), (128, 3, 1)]],
}


class MnistHyperparameters(TrainingHyperparameters):
    network: Literal["small", "large"] = Field(
        "small",
        description="Network: small takes a fifth of the time to train, large makes fewer errors.",
    )
    epochs: int = Field(12, ge=1, le=1000, description="Number of passes over the training data.")
    batch_size: int = Field(
        100,
        ge=1,
        le=65_536,
        description="Number of examples in one training step, over all devices and hosts.",
    )
    optimizer: Literal["sgd", "adam"] = Field(
        "sgd", description="Optimizer: sgd with momentum, or adam."
    )
    learning_rate: float = Field(
        0.1, gt=0, le=100, description="Peak learning rate, reached at the end of the warm-up."
    )
    weight_decay: float = Field(
        5e-4, ge=0, le=1, description="Weight decay: strength of the L2 penalty on the weights."
    )
    warmup: float = Field(
        0.15,
        ge=0,
        le=0.9,
        description="Fraction of the training during which the learning rate rises from zero.",
    )
    invert: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Whether to invert images, since digits must be white on black: auto inverts "
        "images with a bright border, yes all, no none.",
    )
    on_damaged: Literal["fail", "skip"] = Field(
        "fail",
        description="What to do about images that cannot be read: fail lists them all and stops, "
        "skip leaves them out.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout: fraction of the features set to zero in each step."
    )
    augmented: float = Field(
        0.7, ge=0, le=1, description="Fraction of the images that are augmented in each step."
    )
    rotation: float = Field(
        15.0, ge=0, le=180, description="Augmentation: largest rotation, in degrees."
    )
    scaling: float = Field(
        0.12,
        ge=0,
        lt=1,
        description="Augmentation: largest change of width and of height, as a fraction.",
    )
    shear: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Augmentation: largest shear, in pixels sideways per pixel of height.",
    )
    shift: float = Field(
        2.5,
        ge=0,
        le=28,
        description="Augmentation: largest shift in each direction, in pixels.",
    )

    search_space = {
        **TrainingHyperparameters.search_space,
        "learning_rate": Search(1e-2, 1.0, log=True),
        "batch_size": Search(choices=(25, 50, 100, 200)),
        "dropout": Search(0.0, 0.5),
        "augmented": Search(0.3, 1.0),
        "rotation": Search(0.0, 25.0),
        "scaling": Search(0.0, 0.3),
        "shear": Search(0.0, 0.4),
        "shift": Search(0.0, 4.0),
    }


class MnistCnn(PictureClassifier[MnistHyperparameters]):
    name = "mnist-cnn"
    white = 1.0
    task = "image-classification"
    summary = "Recognizes handwritten digits in greyscale images of 28 x 28 pixels."
    widget = "digit"
    Hyperparameters = MnistHyperparameters
    channels = (*supervised_channels(*digits.FORMATS), model_channel())
    accepts = (
        ContentType(
            codecs.PNG,
            "One image, converted to greyscale and scaled to 28 x 28 pixels.",
            parameters=PARAMETERS,
        ),
        ContentType(codecs.JPEG, "One image, as for PNG.", parameters=PARAMETERS),
        ContentType(codecs.WEBP, "One image, as for PNG.", parameters=PARAMETERS),
        ContentType(
            codecs.JSON,
            "Images of 28 x 28 (or 784) pixel values, from 0 to 1 or from 0 to 255.",
            '{"instances": [[[0, 0, 84, …], …]]}',
            PARAMETERS,
        ),
        ContentType(
            codecs.JSONLINES,
            "One image per line, as in JSON.",
            "[[0, 0, 84, …], …]",
            PARAMETERS,
        ),
        ContentType(
            codecs.CSV,
            "One image per line: 784 pixel values, row by row.",
            "0,0,84,185,159,…",
            PARAMETERS,
        ),
        ContentType(
            codecs.NPY,
            "An array of images: (N, 28, 28), (N, 1, 28, 28) or (N, 784).",
            parameters=PARAMETERS,
        ),
    )
    published = (
        PublishedResult(
            "test:accuracy",
            0.9905,
            "MNIST, 10,000 test images",
            "LeNet-5: LeCun et al., Gradient-based learning applied to document recognition, 1998",
        ),
    )

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE, TEST: SAMPLE}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: MnistHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> ArrayDataset:
        return digits.read(path, channel, hyperparameters.invert, hyperparameters.on_damaged)

    def network(self, hyperparameters: MnistHyperparameters, data: Dataset) -> HybridBlock:
        """Logits (N, 10), from convolutions in three resolutions."""
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        for number, convolutions in enumerate(CONVOLUTIONS[hyperparameters.network]):
            if number > 0:
                net.add(nn.MaxPool2D(2))
            for width, kernel, stride in convolutions:
                net.add(nn.Conv2D(width, kernel, stride, padding=kernel // 2, use_bias=False))
                net.add(nn.BatchNorm(), nn.Activation("relu"))
        net.add(nn.GlobalAvgPool2D(), nn.Dropout(hyperparameters.dropout))
        net.add(nn.Dense(len(digits.CLASSES)))
        return net

    def adopted_hyperparameters(self, foreign: Foreign) -> Mapping[str, Any]:
        shape = (1, digits.SIDE, digits.SIDE)
        if foreign.shape not in ((), shape):
            raise InputError(
                f"--input-shape: {self.name} reads pictures {shape}, got {foreign.shape}"
            )
        if len(foreign.classes) and set(foreign.classes) != set(digits.CLASSES):
            raise InputError(f"--classes: {self.name} tells digits apart: expected 0 to 9")
        return {}

    def augment(
        self,
        x: NDArray,
        y: NDArray,
        hyperparameters: MnistHyperparameters,
        rng: np.random.Generator,
    ) -> tuple[NDArray, NDArray]:
        """Images (B, 1, 28, 28), most of them turned, scaled, slanted and moved a little."""
        if not hyperparameters.augmented:
            return x, y
        count = len(x)

        def within(limit: float) -> Array:
            return rng.uniform(-limit, limit, count)

        turn, slant = np.deg2rad(within(hyperparameters.rotation)), within(hyperparameters.shear)
        wide, high = 1 + within(hyperparameters.scaling), 1 + within(hyperparameters.scaling)
        right, down = within(hyperparameters.shift), within(hyperparameters.shift)
        cos, sin = np.cos(turn), np.sin(turn)
        pixel = 2 / (digits.SIDE - 1)  # the grid counts from -1 to 1
        # Where in the image each pixel of the result comes from: two rows of a 3 x 3 matrix.
        rows = [(slant * cos - sin) * wide, right * pixel, sin * high, (slant * sin + cos) * high]
        affine = np.stack([cos * wide, *rows, down * pixel], axis=1)
        affine[round(hyperparameters.augmented * count) :] = (1, 0, 0, 0, 1, 0)
        theta = on_device(affine.astype(np.float32), x.context)
        size = (digits.SIDE, digits.SIDE)
        grid = mx.nd.GridGenerator(theta, transform_type="affine", target_shape=size)
        return mx.nd.BilinearSampler(x, grid), y

    def input_fn(self, request_body: bytes, request_content_type: str) -> Array | list[Array]:
        """Images (N, 1, 28, 28) float32 in [0, 1], as they were sent.

        Where the content type says whether they are inverted, they are so already, and come as a
        list, each (1, 28, 28): the model, which otherwise decides, leaves those alone.
        """
        content_type = codecs.check_content_type(request_content_type, self.accepted_media_types())
        invert = codecs.parameter(request_content_type, "invert", digits.INVERT)
        if content_type in (codecs.PNG, codecs.JPEG, codecs.WEBP):
            images = digits.from_picture(request_body)
        else:
            images = digits.from_numbers(
                codecs.decode_array(request_body, content_type), UnfitPayloadError
            )
        return images if invert is None else [*digits.inverted(images, invert)[0]]

    def predict_fn(self, input_data: Array | list[Array], model: Model) -> ClassProbabilities:
        """Probabilities for what ``input_fn`` gives; an answer says if its image was inverted."""
        if isinstance(input_data, list):
            return super().predict_fn(np.stack(input_data), model)
        if input_data.shape[1:] != (1, digits.SIDE, digits.SIDE):
            return super().predict_fn(input_data, model)  # which refuses them
        images, chosen = digits.inverted(
            input_data, model.metadata.hyperparameters.get("invert", digits.AUTO)
        )
        found = super().predict_fn(images, model)
        if not chosen.any():
            return found
        remarks = {int(index): {"inverted": True} for index in np.flatnonzero(chosen)}
        return replace(found, remarks=remarks)

    def example(self, data: Dataset) -> Example:
        image = data.take(np.zeros(1, int))[0][0, 0]
        pixels = (image * 255).round().astype(int)
        return Example(content_type=codecs.JSON, body=codecs.encode_json([pixels]).decode())

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        data = self.dataset(path, TEST, options)
        chosen = np.unique(data.y, return_index=True)[1][:count]  # the first of each digit
        images, labels = data.take(chosen)
        answers = self.predict_fn([*images], model).best()
        captions = [
            f"{label} ({probability:.1%})" + ("" if label == str(true) else f", is {true}")
            for (label, probability), true in zip(answers, labels)
        ]
        return digits.preview(images, captions, width)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MnistCnn]
