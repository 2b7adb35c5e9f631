"""What object-detection is told, without anything being computed."""

from __future__ import annotations

import pytest
from algoshelf.algorithms.object_detection import ObjectDetection
from algoshelf.core import HyperparameterError

DETECTION = ObjectDetection()


def test_a_side_that_the_coarsest_map_does_not_divide_is_refused_with_the_nearest() -> None:
    with pytest.raises(HyperparameterError, match="a multiple of 32, such as 192 or 224"):
        DETECTION.Hyperparameters.parse({"image_size": 200})


def test_only_weights_of_mobilenet_are_a_beginning_whatever_the_network() -> None:
    assert DETECTION.begins_with("gluon:mobilenetv2_1.0") == {}
    assert DETECTION.begins_with("gluon:resnet50_v1") is None


def test_only_gluoncv_s_networks_need_the_extra() -> None:
    needed = {
        name: DETECTION.needed_extras(DETECTION.Hyperparameters.parse({"network": name}))
        for name in ("ssd", "yolo3", "center_net")
    }
    assert needed == {"ssd": (), "yolo3": ("vision",), "center_net": ("vision",)}
