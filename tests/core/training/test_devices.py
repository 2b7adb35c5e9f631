"""Many devices: what they change (rounding), what they do not, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import (
    ArrayDataset,
    Classifier,
    ContentType,
    InputError,
    Reporter,
    TrainingHyperparameters,
    codecs,
    mx,
    train,
)
from algoshelf.core.algorithm.channels import supervised_channels
from algoshelf.core.runtime.devices import gpus, parse_devices
from algoshelf.core.training import RunOptions

from tests.conftest import InProcess


class Pictures(Classifier[TrainingHyperparameters]):
    """A small convolutional network on random pictures, with or without batch normalization."""

    name = "pictures"
    task = "test"
    summary = "pictures"
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("npz")
    accepts = (ContentType(codecs.JSON, "pictures"),)
    normalized = False

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> ArrayDataset:
        rng = np.random.default_rng(5)
        y = rng.integers(0, 4, 500).astype(np.int32)
        x = rng.normal(size=(500, 1, 12, 12)).astype(np.float32) + y[:, None, None, None]
        return ArrayDataset(x, y, tuple("abcd"))

    def network(self, hyperparameters: TrainingHyperparameters, data: Any) -> Any:
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Conv2D(8, 3, activation="relu"), nn.MaxPool2D(2))
        if self.normalized:
            net.add(nn.BatchNorm())
        net.add(nn.Dense(16, activation="tanh"), nn.Dense(4))
        return net


class Normalized(Pictures):
    name = "normalized"
    normalized = True


class Quiet(Reporter):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def parameters(
    folder: Path, devices: str, algorithm: Any = None, **options: Any
) -> dict[str, np.ndarray]:
    """The network after 50 steps: 450 examples, 45 a batch of 44 or so, 5 epochs of 10."""
    algorithm = algorithm or Pictures()
    settings = {"epochs": 5, "batch_size": 44, "optimizer": "sgd", "learning_rate": 0.05, **options}
    run = RunOptions(devices=devices)
    train(
        algorithm, {"train": folder}, TrainingHyperparameters(**settings), folder / "m",
        options=run, reporter=Quiet(),
    )  # fmt: skip
    saved = mx.nd.load(str(folder / "m" / "model-0000.params"))
    return {name: array.asnumpy() for name, array in saved.items()}


def distance(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """‖a − b‖ / ‖a‖ over all parameters."""
    assert one.keys() == other.keys()
    a, b = (np.concatenate([p[name].ravel() for name in sorted(p)]) for p in (one, other))
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


@pytest.mark.parametrize("devices", ["cpu:2", "cpu:4"])
def test_replicas_learn_what_one_device_learns(tmp_path: Path, devices: str) -> None:
    assert distance(parameters(tmp_path, "cpu"), parameters(tmp_path, devices)) <= 1e-4


@pytest.mark.parametrize("store", ["device", "local"])
def test_every_store_gives_the_same_sum(tmp_path: Path, store: str) -> None:
    one = parameters(tmp_path, "cpu")
    run = RunOptions(devices="cpu:2", kvstore=store)
    settings = TrainingHyperparameters(epochs=5, batch_size=44, optimizer="sgd", learning_rate=0.05)
    channels = {"train": tmp_path}
    train(Pictures(), channels, settings, tmp_path / "m", options=run, reporter=Quiet())
    saved = mx.nd.load(str(tmp_path / "m" / "model-0000.params"))
    assert distance(one, {name: array.asnumpy() for name, array in saved.items()}) <= 1e-4


@pytest.mark.parametrize("devices", ["cpu:2", "cpu:4"])
def test_several_contexts_repeat_bit_for_bit(tmp_path: Path, devices: str) -> None:
    one = parameters(tmp_path, devices)
    for _ in range(3):
        again = parameters(tmp_path, devices)
        assert all(np.array_equal(one[name], again[name]) for name in one)


def test_batch_normalization_sees_the_part_of_its_replica(tmp_path: Path) -> None:
    """Documented: statistics are of B / N examples, so the result is another, not a wrong one."""
    one = parameters(tmp_path, "cpu", Normalized())
    two = parameters(tmp_path, "cpu:2", Normalized())
    assert 1e-4 < distance(one, two) < 1


def test_what_cannot_be_split_is_refused_with_the_nearest_sizes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="over 4 devices: give --batch-size 40 or 44"):
        parameters(tmp_path, "cpu:4", batch_size=42)
    with pytest.raises(InputError, match="over 4 devices: give --batch-size 4"):
        parameters(tmp_path, "cpu:4", batch_size=3)


@pytest.mark.parametrize(
    "text", ["", "cpu:", "cpu:0", "cpu:x", "cpu:2,3", "gpu:", "gpu:a", "tpu", "cpu:1000"]
)
def test_another_form_of_devices_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--devices: expected auto, cpu, cpu:N"):
        parse_devices(text)


def test_devices_are_contexts() -> None:
    assert parse_devices("cpu") == [mx.cpu(0)]
    assert parse_devices("cpu:3") == [mx.cpu(0), mx.cpu(1), mx.cpu(2)]
    if not gpus():
        assert parse_devices("auto") == [mx.cpu(0)]


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(in_process: InProcess) -> None:
    for devices in ("gpu", "gpu:0,2"):
        result = in_process("train", "mnist-cnn", "--devices", devices)
        assert result.code == 2
        assert "no usable NVIDIA GPU" in result.stderr


def test_a_store_that_does_not_fit_is_refused(in_process: InProcess) -> None:
    unknown = in_process("train", "mnist-cnn", "--kvstore", "redis")
    assert unknown.code == 2
    assert "--kvstore: expected auto, device, local, nccl" in unknown.stderr
    nccl = in_process("train", "mnist-cnn", "--kvstore", "nccl", "--devices", "cpu:2")
    assert nccl.code == 2
    assert "needs GPUs" in nccl.stderr


DRIVER = r"""
#include <string.h>
static const char *names[] = {"Tesla T4", "NVIDIA H100"};
static int majors[] = {7, 9}, minors[] = {5, 0};
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, names[device], length);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? majors[device] : minors[device];
    return 0;
}
"""


def test_a_gpu_without_machine_code_is_named_and_refused(tmp_path: Path) -> None:
    """Against a stand-in for the driver that shows a T4 and an H100; no kernel is run."""
    (tmp_path / "driver.c").write_text(DRIVER)
    build = ["gcc", "-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"]
    if subprocess.run(["which", "gcc"], capture_output=True, check=False).returncode:
        pytest.skip("needs gcc, to make the stand-in")
    subprocess.run(build, cwd=tmp_path, check=True)
    code = (
        "from algoshelf.core.runtime import devices as d\n"
        "from algoshelf.core import InputError\n"
        "print([tuple(gpu) for gpu in d.gpus()])\n"
        "d.has_cuda = lambda: True\n"
        "try: d.parse_devices('gpu')\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"LD_LIBRARY_PATH": str(tmp_path)},
    )  # fmt: skip
    assert "[('Tesla T4', 7, 5), ('NVIDIA H100', 9, 0)]" in done.stdout
    assert "GPU 1 (NVIDIA H100) has compute capability 9.0" in done.stdout
    assert "GPU 0" not in done.stdout
