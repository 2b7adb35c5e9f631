"""The networks by name: GluonCV's for classification, two of our own, and Gluon's (``gluon:NAME``).

The names are listed so that ``info`` need not import GluonCV; a test compares them with it. Left
out are those for segmentation, and the pruned ones, whose shapes GluonCV reads from the net.
"""

from __future__ import annotations

from typing import Any, Sequence

from ...core import HybridBlock, mx
from ...core.runtime import gluon
from . import airbench

_NAMES = """
    alexnet
    cifar_residualattentionnet56 cifar_residualattentionnet92 cifar_residualattentionnet452
    cifar_resnet20_v1 cifar_resnet56_v1 cifar_resnet110_v1
    cifar_resnet20_v2 cifar_resnet56_v2 cifar_resnet110_v2
    cifar_resnext29_16x64d cifar_resnext29_32x4d
    cifar_wideresnet16_10 cifar_wideresnet28_10 cifar_wideresnet40_8
    darknet53 densenet121 densenet161 densenet169 densenet201 dla34 googlenet
    hrnet_w18_c hrnet_w18_small_v1_c hrnet_w18_small_v2_c hrnet_w30_c hrnet_w32_c hrnet_w40_c
    hrnet_w44_c hrnet_w48_c hrnet_w64_c
    inceptionv3 mobilenet0.25 mobilenet0.5 mobilenet0.75 mobilenet1.0
    mobilenetv2_0.25 mobilenetv2_0.5 mobilenetv2_0.75 mobilenetv2_1.0
    mobilenetv3_large mobilenetv3_small
    nasnet_4_1056 nasnet_5_1538 nasnet_6_4032 nasnet_7_1920
    residualattentionnet56 residualattentionnet92 residualattentionnet128 residualattentionnet164
    residualattentionnet200 residualattentionnet236 residualattentionnet452
    resnest14 resnest26 resnest50 resnest101 resnest200 resnest269
    resnet18_v1 resnet34_v1 resnet50_v1 resnet101_v1 resnet152_v1
    resnet18_v1b resnet34_v1b resnet50_v1b resnet101_v1b resnet152_v1b
    resnet50_v1b_gn resnet101_v1b_gn
    resnet50_v1c resnet101_v1c resnet152_v1c resnet50_v1d resnet101_v1d resnet152_v1d
    resnet50_v1e resnet101_v1e resnet152_v1e resnet50_v1s resnet101_v1s resnet152_v1s
    resnet18_v2 resnet34_v2 resnet50_v2 resnet101_v2 resnet152_v2
    resnext50_32x4d resnext101_32x4d resnext101_64x4d resnext101e_64x4d
    se_resnet18_v1 se_resnet34_v1 se_resnet50_v1 se_resnet101_v1 se_resnet152_v1
    se_resnet18_v2 se_resnet34_v2 se_resnet50_v2 se_resnet101_v2 se_resnet152_v2
    se_resnext50_32x4d se_resnext101_32x4d se_resnext101_64x4d se_resnext101e_64x4d
    senet_154 senet_154e shufflenet_v1 shufflenet_v2 squeezenet1.0 squeezenet1.1
    vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn xception xception71
"""
# Gluon's own; where GluonCV has one of the same name, their layers may differ, and so the weights.
_GLUON_NAMES = """
    alexnet densenet121 densenet161 densenet169 densenet201 inceptionv3
    mobilenet0.25 mobilenet0.5 mobilenet0.75 mobilenet1.0
    mobilenetv2_0.25 mobilenetv2_0.5 mobilenetv2_0.75 mobilenetv2_1.0
    resnet18_v1 resnet34_v1 resnet50_v1 resnet101_v1 resnet152_v1
    resnet18_v2 resnet34_v2 resnet50_v2 resnet101_v2 resnet152_v2
    squeezenet1.0 squeezenet1.1 vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn
"""
# Ours, of GluonCV's blocks for 32 pixels: blocks and channels of each stage. Fewer layers of more
# channels than cifar_resnet20_v1, at the same cost a step on a processor.
_OURS = {"cifar_resnet12_v1_wide": ([1, 2, 2], [16, 16, 48, 112])}
_OF_GROUPS = {"resnet50_v1b_gn": [3, 4, 6, 3], "resnet101_v1b_gn": [3, 4, 23, 3]}
GLUON = "gluon:"
# RGB intensities in [0, 1] of ImageNet, for which published weights were trained.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
AIRBENCH = "airbench"
FLIPS, FLIPS_AND_SHIFTS = "flips", "flips-and-shifts"
NETWORKS = (AIRBENCH, *_OURS, *_NAMES.split(), *(GLUON + name for name in _GLUON_NAMES.split()))


def side(network: str) -> int:
    """The width and height in pixels for which ``network`` was made."""
    if network == AIRBENCH or network.startswith("cifar_"):
        return 32
    if network.startswith("nasnet_"):
        return 331
    return 299 if network.replace(GLUON, "").startswith(("inception", "xception")) else 224


def build(name: str, classes: int) -> HybridBlock:
    """The network ``name`` with one logit for each of ``classes``, not initialized.

    Raises MissingDependencyError where GluonCV is not installed.
    """
    if name == AIRBENCH:
        return airbench.build(classes)
    if name.startswith(GLUON):
        return mx.gluon.model_zoo.vision.get_model(name[len(GLUON) :], classes=classes)
    gluon.gluoncv("image-classification")
    from gluoncv.model_zoo import cifarresnet, get_model

    if name in _OURS:
        blocks, channels = _OURS[name]
        block = cifarresnet.CIFARBasicBlockV1
        return cifarresnet.CIFARResNetV1(block, blocks, channels, classes=classes)
    if name in _OF_GROUPS:
        return _of_groups(_OF_GROUPS[name], classes)
    return get_model(name, classes=classes, pretrained=False)


def _of_groups(blocks: Sequence[int], classes: int) -> HybridBlock:
    """GluonCV's ResNet with group normalization, whose layer cannot be written as a graph."""
    from gluoncv.model_zoo import resnetv1b
    from gluoncv.nn import GroupNorm

    class Groups(GroupNorm):  # type: ignore[misc]
        """The same by operators that need not know a shape beforehand."""

        def hybrid_forward(self, operators: Any, x: Any, gamma: Any, beta: Any) -> Any:
            groups = operators.reshape(x, (0, self.ngroups, -1))
            ones, zeros = operators.ones((self.ngroups,)), operators.zeros((self.ngroups,))
            even = operators.InstanceNorm(groups, ones, zeros, eps=self._kwargs["eps"])
            scaled = operators.broadcast_mul(
                operators.reshape_like(even, x), operators.reshape(gamma, (1, -1, 1, 1))
            )
            return operators.broadcast_add(scaled, operators.reshape(beta, (1, -1, 1, 1)))

    return resnetv1b.ResNetV1b(
        resnetv1b.BottleneckV1b,
        blocks,
        classes=classes,
        name_prefix="resnetv1b_",
        norm_layer=Groups,
    )


def output_layer(name: str, classes: int) -> frozenset[str]:
    """The parameters of the network ``name``, by their place, whose shape goes by the classes."""
    one, more = (
        {place: parameter.shape for place, parameter in net._collect_params_with_prefix().items()}
        for net in (build(name, classes), build(name, classes + 1))
    )
    return frozenset(place for place, shape in one.items() if shape != more[place])


def averaged(network: HybridBlock, views: str) -> HybridBlock:
    """``network`` with the mean of its logits for several views of each picture.

    ``views`` are ``flips``, a picture and its mirror image, or ``flips-and-shifts``: these, and as
    much again of both moved by a pixel to the upper left and to the lower right.
    """

    class Averaged(mx.gluon.HybridBlock):  # type: ignore[misc]
        """Logits (N, C) of pictures (N, 3, H, W), one view after the other: so they take the memory
        of one.
        """

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def hybrid_forward(self, operators: Any, x: Any) -> Any:
            x = operators.cast(x, dtype="float32")
            seen = [x]
            if views == FLIPS_AND_SHIFTS:
                wide = operators.pad(x, mode="reflect", pad_width=(0, 0, 0, 0, 1, 1, 1, 1))
                for begin, end in ((0, -2), (2, None)):
                    moved = operators.slice_axis(wide, axis=2, begin=begin, end=end)
                    seen.append(operators.slice_axis(moved, axis=3, begin=begin, end=end))
            logits = [
                self.network(each) + self.network(operators.reverse(each, axis=3)) for each in seen
            ]
            if views == FLIPS:
                return logits[0] / 2
            return logits[0] / 4 + (logits[1] + logits[2]) / 8

    return Averaged()


def normalized(
    network: HybridBlock, mean: Sequence[float], deviation: Sequence[float]
) -> HybridBlock:
    """``network`` behind a layer that takes intensities from 0 to 255, (N, 3, H, W)."""

    class Normalize(mx.gluon.HybridBlock):  # type: ignore[misc]
        """Intensities as ``(x / 255 - mean) / deviation`` of each colour."""

        def hybrid_forward(self, operators: Any, x: Any) -> Any:
            intensities = operators.cast(x, dtype="float32") / 255
            return operators.image.normalize(intensities, mean=mean, std=deviation)

    whole = mx.gluon.nn.HybridSequential()
    whole.add(Normalize(), network)
    return whole
