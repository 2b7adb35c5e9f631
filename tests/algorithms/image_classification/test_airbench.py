"""The network airbench and the parts of its recipe: each by itself, and together as a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.image_classification import (
    AIRBENCH,
    ImageClassification,
    airbench,
    augmentation,
    networks,
)
from algoshelf.core import ArrayDataset, Reporter, mx, train
from PIL import Image

from tests.conftest import ROOT, InProcess

SAMPLE = ROOT / "algorithms" / "image_classification" / "sample"
SIDE = 12  # so that a training takes a second
Parsed = ImageClassification.Hyperparameters.parse


@pytest.fixture(scope="module")
def photos() -> ArrayDataset:
    """Real pictures (300, 3, 32, 32) uint8."""
    data = ImageClassification().dataset(SAMPLE, "test", Parsed({}))
    assert isinstance(data, ArrayDataset)
    return data


@pytest.fixture(scope="module")
def settings() -> Any:
    few = {"epochs": "2", "batch_size": "20", "image_size": str(SIDE)}
    return Parsed({"recipe": "airbench", **few})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: ArrayDataset) -> Path:
    """Two classes of 30 pictures, of no square."""
    root = tmp_path_factory.mktemp("photos")
    x, y = photos.take(np.arange(300))
    for label, name in ((1, "car"), (4, "deer")):
        (root / name).mkdir()
        for number, picture in enumerate(x[y == label][:30].transpose(0, 2, 3, 1)):
            Image.fromarray(picture[:, :25]).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, folder: Path, settings: Any) -> Path:
    output = tmp_path_factory.mktemp("trained") / "m"
    train(ImageClassification(), {"train": folder}, settings, output, reporter=Reporter())
    return output


def built(side: int, classes: int = 10) -> Any:
    network = networks.build(networks.AIRBENCH, classes)
    network.initialize()
    airbench.begin(network, np.random.default_rng(1))
    assert network(mx.nd.zeros((2, 3, side, side))).shape == (2, classes)
    return network


def test_a_recipe_is_what_is_not_given() -> None:
    found = Parsed({"recipe": "airbench", "momentum": "0.9"})
    assert {name: getattr(found, name) for name in AIRBENCH} == {**AIRBENCH, "momentum": 0.9}
    again = Parsed(found.model_dump(mode="json"))
    assert again == found
    assert Parsed({}).network == "cifar_resnet20_v1"


@pytest.mark.parametrize(("was", "now"), [(True, "random"), ("false", "none"), ("none", "none")])
def test_models_of_before_say_whether_they_flip(was: Any, now: str) -> None:
    assert Parsed({"flip": was}).flip == now


@pytest.mark.parametrize("side", [9, 31, 32, 70])
def test_the_network_takes_pictures_of_any_size(side: int) -> None:
    built(side)


def test_what_is_too_small_for_the_network_is_told(in_process: InProcess, folder: Path) -> None:
    words = ("--train", folder, "--recipe", "airbench", "--image-size", 8)
    result = in_process("train", "image-classification", *words)
    assert result.code == 2
    assert "--image-size" in result.stderr
    assert "from 9" in result.stderr


def test_the_convolutions_pass_on_their_channels_in_the_beginning() -> None:
    network = built(SIDE)
    weight = network[2].weight.data().asnumpy()  # 24 channels to 64
    x = np.random.default_rng(0).normal(size=(1, 24, 5, 5)).astype(np.float32)
    found = mx.nd.Convolution(
        mx.nd.array(x), mx.nd.array(weight), kernel=(3, 3), pad=(1, 1), num_filter=64, no_bias=True
    )
    np.testing.assert_allclose(found.asnumpy()[:, :24], x, rtol=1e-6)
    assert 0.9 < np.abs(weight[24:]).max() * np.sqrt(24 * 9) <= 1


def test_the_first_layer_whitens_patches(photos: ArrayDataset) -> None:
    network = built(32)
    normalized = networks.normalized(network, networks.MEAN, networks.DEVIATION)
    airbench.whiten(network, photos, networks.MEAN, networks.DEVIATION, np.random.default_rng(0))
    x = normalized[0](mx.nd.array(photos.take(np.arange(300))[0]))
    found = network[0](x).asnumpy().transpose(1, 0, 2, 3).reshape(24, -1).astype(np.float64)
    np.testing.assert_allclose(found[:12], -found[12:], atol=1e-4)
    products = found[:12] @ found[:12].T / found.shape[1]
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-3)
    assert 0.5 < np.diag(products).min() <= np.diag(products).max() < 1.001
    assert np.diag(products)[0] > 0.99  # the direction that varies most, by more than LEAST
    assert network[0].weight.grad_req == "null"
    assert network[0].bias.grad_req == "write"


def test_every_picture_is_flipped_in_every_second_epoch(photos: ArrayDataset) -> None:
    data = augmentation.Alternating(photos, np.random.default_rng(0))
    indices = np.arange(100)
    x, y = photos.take(indices)
    epochs = [data.in_epoch(number).take(indices) for number in range(4)]
    assert all((labels == y).all() for _, labels in epochs)
    first, second = epochs[0][0], epochs[1][0]
    np.testing.assert_array_equal(first, epochs[2][0])
    np.testing.assert_array_equal(second, epochs[3][0])
    np.testing.assert_array_equal(second, first[..., ::-1])
    flipped = (first != x).any(axis=(1, 2, 3))
    assert 30 < flipped.sum() < 70
    # An example's fate is its index's, in whichever batch it comes.
    np.testing.assert_array_equal(data.in_epoch(1).take(indices[7:9])[0], second[7:9])


def test_a_shift_lets_the_mirror_image_in(photos: ArrayDataset) -> None:
    x = photos.take(np.arange(64))[0].astype(np.float32)
    moved = augmentation.moved(
        mx.nd.array(x), np.random.default_rng(3), shift=0.0625, scale=0, flip=False,
        border=augmentation.REFLECT,
    ).asnumpy()  # fmt: skip
    wide = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    places = set()
    for picture, found in zip(wide, moved):
        errors = {
            (top, left): np.abs(picture[:, top : top + 32, left : left + 32] - found).max()
            for top in range(5)
            for left in range(5)
        }
        place = min(errors, key=errors.__getitem__)
        assert errors[place] < 0.05
        places.add(place)
    assert len(places) > 15  # of 25


@pytest.mark.parametrize("views", [networks.FLIPS, networks.FLIPS_AND_SHIFTS])
def test_the_model_is_the_mean_over_its_views(photos: ArrayDataset, views: str) -> None:
    network = built(SIDE)
    x = photos.take(np.arange(3))[0][:, :, :SIDE, :SIDE].astype(np.float32)
    found = networks.averaged(network, views)(mx.nd.array(x)).asnumpy()

    def both(pictures: np.ndarray) -> np.ndarray:
        given = (mx.nd.array(np.ascontiguousarray(p)) for p in (pictures, pictures[..., ::-1]))
        return sum(network(each).asnumpy() for each in given) / 2

    expected = both(x)
    if views == networks.FLIPS_AND_SHIFTS:
        wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
        expected = expected / 2 + (both(wide[..., :-2, :-2]) + both(wide[..., 2:, 2:])) / 4
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_its_model_answers_as_a_file_of_onnx_too(
    in_process: InProcess, trained: Path, folder: Path
) -> None:
    result = in_process("export", trained, "--output", "m.onnx", "--json")
    assert result.code == 0, result.stderr
    assert result.json["parity"]["difference"] < 1e-4


def test_training_goes_on_from_a_model_whose_first_layer_stays(
    tmp_path: Path, trained: Path, folder: Path, settings: Any
) -> None:
    channels = {"train": folder, "model": trained}
    train(ImageClassification(), channels, settings, tmp_path / "m", reporter=Reporter())
    before, after = (
        mx.nd.load(str(path / "model-0000.params")) for path in (trained, tmp_path / "m")
    )
    same = [name for name in before if (before[name].asnumpy() == after[name].asnumpy()).all()]
    kept = [name for name in same if not name.endswith(("gamma", "mean", "var"))]
    assert [before[name].shape for name in kept] == [(24, 3, 2, 2)]
