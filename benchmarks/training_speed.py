"""Training throughput: the engine beside a bare Gluon loop, Gluon's Estimator, gluon-cv, PyTorch.

    python training_speed.py mnist-cnn [--torch PYTHON]
    python training_speed.py cifar-resnet20 --cifar10 DIR [--torch PYTHON]

Each side is a process of its own, run in turn, ROUNDS times; what counts is the median of the
ratios within a round. All learn the same network on the same real images in batches of 128 by SGD
with momentum, without augmentation; the first epoch is not counted. Only the engine shuffles,
schedules, measures and validates; engine and ``bare`` run with core.mx's repairs, the others as
their users have mxnet. ``gluoncv`` (for cifar-resnet20 alone) makes the calls of
gluon-cv's scripts/classification/cifar/train_cifar10.py in its mode "hybrid", with its own loader
of data but without the transforms. PYTHON is the interpreter of an environment that holds torch;
without it PyTorch is left out. DIR holds CIFAR-10's .bin files. Figures and a plot are kept under
results/. Needs the extras cpu, vision and plot.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
from algoshelf.core.runtime.cores import cores

ROUNDS = 5
BATCH = 128
EPOCHS = 2
SAMPLE = Path(__file__).resolve().parents[1] / "algorithms" / "mnist_cnn" / "sample"
OPTIMIZER = {"learning_rate": 0.01, "momentum": 0.9, "wd": 5e-4}


class Workload(NamedTuple):
    """Images (N, C, H, W) float32 and labels (N,) int32, and the network for them."""

    title: str
    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    gluon: Callable[[], Any]
    torch: Callable[[], Any]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """6,400 digits of the bundled sample, twice."""
    images = gzip.decompress((SAMPLE / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((SAMPLE / "train-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)[:6400]
    y = np.frombuffer(labels, np.uint8, offset=8)[:6400]
    return np.tile(x, (2, 1, 1, 1)).astype(np.float32) / 255, np.tile(y, 2).astype(np.int32)


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """The first 6,400 images of CIFAR-10."""
    raw = np.fromfile(Path(os.environ["CIFAR10"], "data_batch_1.bin"), np.uint8)
    rows = raw.reshape(-1, 1 + 3 * 32 * 32)[:6400]
    return rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255, rows[:, 0].astype(np.int32)


def mnist_cnn() -> Any:
    from algoshelf.algorithms.mnist_cnn import MnistCnn

    options = MnistCnn.Hyperparameters.parse({"network": "large"})
    return MnistCnn().network(options, None)  # type: ignore[arg-type]


def resnet20() -> Any:
    from gluoncv.model_zoo import get_model

    return get_model("cifar_resnet20_v1", classes=10)


def torch_mnist_cnn() -> Any:
    from torch import nn

    layers: list[Any] = []
    before = 1
    for stage, widths in enumerate(((32,), (64, 64), (128, 128))):
        layers += [nn.MaxPool2d(2)] if stage else []
        for width in widths:
            convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def torch_resnet20() -> Any:
    from torch import nn

    def convolved(before: int, width: int, size: int, stride: int) -> list[Any]:
        convolution = nn.Conv2d(before, width, size, stride, size // 2, bias=False)
        return [convolution, nn.BatchNorm2d(width)]

    class Residual(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            first = convolved(before, width, 3, stride)
            self.body = nn.Sequential(*first, nn.ReLU(), *convolved(width, width, 3, 1))
            short = convolved(before, width, 1, stride) if stride > 1 else []
            self.shortcut = nn.Sequential(*short)
            self.activation = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.activation(self.body(x) + self.shortcut(x))

    layers = [*convolved(3, 16, 3, 1), nn.ReLU()]
    before = 16
    for width in (16, 32, 64):
        for block in range(3):
            layers.append(Residual(before, width, 2 if block == 0 and width > 16 else 1))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


WORKLOADS = {
    "mnist-cnn": Workload("mnist-cnn's network", digits, mnist_cnn, torch_mnist_cnn),
    "cifar-resnet20": Workload("CIFAR ResNet-20 v1", pictures, resnet20, torch_resnet20),
}


def engine(work: Workload) -> float:
    """Images a second through ``algoshelf.core.train``."""
    from algoshelf.core import (
        ArrayDataset,
        Classifier,
        Reporter,
        TrainingHyperparameters,
        supervised_channels,
        train,
    )

    x, y = work.data()
    parts = {"train": ArrayDataset(x, y), "validation": ArrayDataset(x[:256], y[:256])}

    class Measured(Classifier[TrainingHyperparameters]):
        name, task, summary = "measured", "image-classification", "For this benchmark."
        Hyperparameters = TrainingHyperparameters
        channels = supervised_channels("a benchmark's own")
        accepts = ()

        def dataset(self, path: Path, channel: str, *_: Any) -> Any:
            names = tuple(map(str, range(10)))
            return ArrayDataset(parts[channel].x, parts[channel].y, names)

        def network(self, *_: Any) -> Any:
            return work.gluon()

        def example(self, data: Any) -> Any:
            from algoshelf.core import Example

            return Example(content_type="text/csv", body="0")

        def _check_example(self, example: Any) -> None: ...

    class Throughput(Reporter):
        found: list[float] = []

        def metrics(self, values: Any, *, epoch: int, step: int) -> None:
            self.found.append(values["train:throughput"])

    options = {
        "epochs": EPOCHS, "batch_size": BATCH, "optimizer": "sgd",
        "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4,
    }  # fmt: skip
    hyperparameters = TrainingHyperparameters.parse(options)
    with tempfile.TemporaryDirectory() as scratch:
        channels = {name: Path(scratch) for name in parts}
        output = Path(scratch, "model")
        train(Measured(), channels, hyperparameters, output, reporter=Throughput())
    return max(Throughput.found[1:])


def bare(work: Workload) -> float:
    """The same by hand: batches ready on the device, no metrics, no shuffling, no schedule."""
    mx, network, loss, trainer = _gluon(work, static_alloc=True, static_shape=True)
    batches = [
        (mx.nd.array(x), mx.nd.array(y, dtype="int32"))
        for x, y in zip(*(np.split(part, len(part) // BATCH) for part in work.data()))
    ]

    def epoch() -> None:
        for inputs, labels in batches:
            with mx.autograd.record():
                value = loss(network(inputs), labels)
            value.backward()
            trainer.step(BATCH)
        mx.nd.waitall()

    return timed(epoch, len(batches))


def estimator(work: Workload) -> float:
    """``gluon.contrib.estimator`` as its documentation uses it."""
    mx, network, loss, trainer = _gluon(work)
    from mxnet.gluon.contrib.estimator import Estimator

    data = mx.gluon.data.ArrayDataset(*work.data())
    loader = mx.gluon.data.DataLoader(data, BATCH, shuffle=True, last_batch="discard")
    accuracy = mx.metric.Accuracy()
    fitted = Estimator(network, loss, train_metrics=accuracy, trainer=trainer, context=[mx.cpu()])
    return timed(lambda: fitted.fit(loader, epochs=1), len(loader))


def gluoncv(work: Workload) -> float:
    """The calls of gluon-cv's training script for CIFAR-10."""
    mx, network, loss, trainer = _gluon(work)
    data = mx.gluon.data.ArrayDataset(*work.data())
    loader = mx.gluon.data.DataLoader(data, BATCH, shuffle=True, last_batch="discard")
    metric = mx.metric.Accuracy()
    devices = [mx.cpu()]

    def epoch() -> None:
        total = 0.0
        metric.reset()
        for images, labels in loader:
            xs = mx.gluon.utils.split_and_load(images, ctx_list=devices)
            ys = mx.gluon.utils.split_and_load(labels, ctx_list=devices)
            with mx.autograd.record():
                outputs = [network(x) for x in xs]
                losses = [loss(output, y) for output, y in zip(outputs, ys)]
            for value in losses:
                value.backward()
            trainer.step(BATCH)
            total += sum(value.sum().asscalar() for value in losses)
            metric.update(ys, outputs)
            metric.get()

    return timed(epoch, len(loader))


def _gluon(work: Workload, **hybridized: bool) -> tuple[Any, Any, Any, Any]:
    from algoshelf.core import mx

    if not hybridized:
        mx._pool_in_plain_layout = lambda mxnet: None
    mx.random.seed(1)
    network, loss = work.gluon(), mx.gluon.loss.SoftmaxCrossEntropyLoss()
    network.initialize(mx.init.Xavier())
    network.hybridize(**hybridized)
    loss.hybridize(**hybridized)
    trainer = mx.gluon.Trainer(network.collect_params(), "sgd", OPTIMIZER, kvstore=None)
    return mx, network, loss, trainer


def torch(work: Workload, channels_last: bool) -> float:
    """The same network in PyTorch."""
    import torch

    torch.manual_seed(1)
    form = torch.channels_last if channels_last else torch.contiguous_format
    network = work.torch().to(memory_format=form)
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    x, y = work.data()
    inputs = torch.from_numpy(x).to(memory_format=form).split(BATCH)
    batches = list(zip(inputs, torch.from_numpy(y.astype(np.int64)).split(BATCH)))

    def epoch() -> None:
        for images, labels in batches:
            optimizer.zero_grad(set_to_none=True)
            loss(network(images), labels).backward()
            optimizer.step()

    return timed(epoch, len(batches))


def timed(epoch: Callable[[], Any], batches: int) -> float:
    """Images a second, in the epoch after the first."""
    found = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        epoch()
        found.append(batches * BATCH / (time.perf_counter() - start))
    return max(found[1:])


SIDES: dict[str, Callable[[Workload], float]] = {
    "engine": engine,
    "bare": bare,
    "estimator": estimator,
    "gluoncv": gluoncv,
    "torch": lambda work: torch(work, False),
    "torch_channels_last": lambda work: torch(work, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--cifar10", default=os.environ.get("CIFAR10"), help="CIFAR-10's folder")
    parser.add_argument("--torch", help="the interpreter of an environment that holds torch")
    parser.add_argument("--side", choices=SIDES, help="measure one side and print its figure")
    arguments = parser.parse_args()
    if arguments.side:
        print(SIDES[arguments.side](WORKLOADS[arguments.workload]))
        return
    if arguments.cifar10:
        os.environ["CIFAR10"] = arguments.cifar10
    elif arguments.workload == "cifar-resnet20":
        parser.error("cifar-resnet20 needs --cifar10 DIR")
    sides = [side for side in SIDES if side != "gluoncv" or arguments.workload != "mnist-cnn"]
    interpreters = {side: sys.executable for side in sides if not side.startswith("torch")}
    if arguments.torch:
        interpreters.update({side: arguments.torch for side in sides if side.startswith("torch")})
    rounds = []
    for number in range(ROUNDS):
        found = {
            side: measured(python, arguments.workload, side)
            for side, python in interpreters.items()
        }
        rounds.append(found)
        print(f"round {number + 1}: {found}", file=sys.stderr)
    keep(arguments.workload, rounds, arguments.torch)


def measured(python: str, workload: str, side: str) -> float:
    threads = {"OMP_NUM_THREADS": str(cores())}
    command = [python, __file__, workload, "--side", side]
    done = subprocess.run(
        command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE
    )
    return float(done.stdout.split()[-1])


def keep(workload: str, rounds: list[dict[str, float]], torch_python: str | None) -> None:
    from environment import environment, results_file

    peers = [side for side in rounds[0] if side != "engine" and not side.startswith("torch")]
    ratios = {f"engine / {peer}": [r["engine"] / r[peer] for r in rounds] for peer in peers}
    versions = environment()
    if torch_python:
        ratios["engine / torch (the faster layout)"] = [
            r["engine"] / max(r["torch"], r["torch_channels_last"]) for r in rounds
        ]
        ask = [torch_python, "-c", "import torch; print(torch.__version__)"]
        versions["torch"] = subprocess.run(
            ask, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
    title = f"Training {WORKLOADS[workload].title}, batch {BATCH}"
    document = {
        "what": f"{title}: images a second",
        "environment": versions,
        "median_ratios": {name: round(statistics.median(v), 3) for name, v in ratios.items()},
        "ratios": {name: [round(x, 3) for x in values] for name, values in ratios.items()},
        "rounds": [{side: round(figure) for side, figure in r.items()} for r in rounds],
    }
    path = results_file(f"training_speed-{workload}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    plot(title, rounds, path.with_suffix(".png"))
    print(json.dumps(document["median_ratios"], indent=2))
    print(path)


def plot(title: str, rounds: list[dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    sides = list(rounds[0])
    axes.barh(
        sides, [statistics.median(r[side] for r in rounds) for side in sides], color="#8fb3d9"
    )
    for side in sides:
        axes.plot([r[side] for r in rounds], [side] * len(rounds), "k.", markersize=5)
    axes.invert_yaxis()
    axes.set(xlabel="images a second (bar: median, dots: rounds)", title=title)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
