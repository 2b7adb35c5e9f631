"""Training throughput of mnist-cnn's network: the engine, a bare Gluon loop, and PyTorch.

    python training_speed.py [--torch PYTHON]

Each side is a process of its own, run in turn, ROUNDS times; what counts is the median of the
ratios within a round. Same network, same 6,400 real digits (of the bundled sample), batch 128, SGD
with momentum, two warm-up epochs, no augmentation. PYTHON is the interpreter of an environment
that holds torch; without it PyTorch is left out. Keeps figures and a plot under results/.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
BATCH = 128
EXAMPLES = 6_400
EPOCHS = 5
WARM = 2


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (6400, 1, 28, 28) float32 and labels, of the bundled sample."""
    import gzip

    sample = Path(__file__).resolve().parents[1] / "algorithms" / "mnist_cnn" / "sample"
    images = gzip.decompress((sample / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((sample / "train-labels-idx1-ubyte.gz").read_bytes())
    chosen = np.arange(EXAMPLES)
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)[chosen]
    return x.astype(np.float32) / 255, np.frombuffer(labels, np.uint8, offset=8)[chosen]


def engine() -> float:
    """Images a second through ``algoshelf.core.train``, best of the epochs after the warm-up."""
    from algoshelf.algorithms.mnist_cnn import MnistCnn
    from algoshelf.core import Reporter, train

    class Throughput(Reporter):
        found: list[float] = []

        def metrics(self, values: Any, *, epoch: int, step: int) -> None:
            self.found.append(values.get("train:throughput", 0.0))

    x, y = digits()
    with tempfile.TemporaryDirectory() as scratch:
        np.savez(Path(scratch, "train.npz"), x=x, y=y.astype(int))
        np.savez(Path(scratch, "few.npz"), x=x[:256], y=y[:256].astype(int))
        channels = {
            name: Path(scratch, f)
            for name, f in (("train", "train.npz"), ("validation", "few.npz"))
        }
        options = {"epochs": EPOCHS, "batch_size": BATCH, "augmented": 0}
        hyperparameters = MnistCnn.Hyperparameters.parse(options)
        train(MnistCnn(), channels, hyperparameters, Path(scratch, "m"), reporter=Throughput())
    return max(Throughput.found[WARM:])


def bare() -> float:
    """The same by hand: batches ready on the device, no metrics, no shuffling, no schedule."""
    from algoshelf.algorithms.mnist_cnn import MnistCnn
    from algoshelf.core import mx

    mx.random.seed(1)
    network = MnistCnn().network(MnistCnn.Hyperparameters.parse({}), None)  # type: ignore[arg-type]
    network.initialize(mx.init.Xavier())
    network.hybridize(static_alloc=True, static_shape=True)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(static_alloc=True, static_shape=True)
    options = {"learning_rate": 0.01, "momentum": 0.9, "wd": 5e-4}
    trainer = mx.gluon.Trainer(network.collect_params(), "sgd", options, kvstore=None)
    x, y = digits()
    batches = [
        (mx.nd.array(x[i : i + BATCH]), mx.nd.array(y[i : i + BATCH], dtype="int32"))
        for i in range(0, EXAMPLES, BATCH)
    ]

    def epoch() -> None:
        for inputs, labels in batches:
            with mx.autograd.record():
                value = loss(network(inputs), labels)
            value.backward()
            trainer.step(BATCH)
        mx.nd.waitall()

    return timed(epoch)


def torch(channels_last: bool) -> float:
    """The same network in PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(1)
    layers: list[nn.Module] = []
    before = 1
    for stage, widths in enumerate(((32,), (64, 64), (128, 128))):
        layers += [nn.MaxPool2d(2)] if stage else []
        for width in widths:
            layers += [
                nn.Conv2d(before, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))
    form = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=form)
    loss = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    x, y = digits()
    inputs = torch.from_numpy(x).to(memory_format=form).split(BATCH)
    batches = list(zip(inputs, torch.from_numpy(y.astype(np.int64)).split(BATCH)))

    def epoch() -> None:
        for images, labels in batches:
            optimizer.zero_grad(set_to_none=True)
            loss(network(images), labels).backward()
            optimizer.step()

    return timed(epoch)


def timed(epoch: Any) -> float:
    """Images a second, best of the epochs after the warm-up."""
    found = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        epoch()
        found.append(EXAMPLES / (time.perf_counter() - start))
    return max(found[WARM:])


SIDES = {
    "engine": engine,
    "bare": bare,
    "torch": lambda: torch(False),
    "torch_channels_last": lambda: torch(True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help="the interpreter of an environment that holds torch")
    parser.add_argument("--side", choices=SIDES, help="measure one side and print its figure")
    arguments = parser.parse_args()
    if arguments.side:
        print(SIDES[arguments.side]())
        return
    interpreters = {"engine": sys.executable, "bare": sys.executable}
    if arguments.torch:
        interpreters.update(torch=arguments.torch, torch_channels_last=arguments.torch)
    rounds = []
    for number in range(ROUNDS):
        found = {side: measured(python, side) for side, python in interpreters.items()}
        rounds.append(found)
        print(f"round {number + 1}: {found}", file=sys.stderr)
    keep(rounds, arguments.torch)


def measured(python: str, side: str) -> float:
    threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    command = [python, __file__, "--side", side]
    done = subprocess.run(
        command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE
    )
    return float(done.stdout.split()[-1])


def keep(rounds: list[dict[str, float]], torch_python: str | None) -> None:
    from environment import environment, results_file

    ratios = {"engine / bare": [r["engine"] / r["bare"] for r in rounds]}
    versions = environment()
    if torch_python:
        ratios["engine / torch (the faster layout)"] = [
            r["engine"] / max(r["torch"], r["torch_channels_last"]) for r in rounds
        ]
        ask = [torch_python, "-c", "import torch; print(torch.__version__)"]
        versions["torch"] = subprocess.run(
            ask, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
    document = {
        "what": "images a second while training mnist-cnn's network, batch 128; best of 3 epochs",
        "environment": versions,
        "median_ratios": {name: round(statistics.median(v), 3) for name, v in ratios.items()},
        "ratios": {name: [round(x, 3) for x in values] for name, values in ratios.items()},
        "rounds": [{side: round(figure) for side, figure in r.items()} for r in rounds],
    }
    path = results_file("training_speed")
    path.write_text(json.dumps(document, indent=2) + "\n")
    plot(rounds, path.with_suffix(".png"))
    print(json.dumps(document["median_ratios"], indent=2))
    print(path)


def plot(rounds: list[dict[str, float]], path: Path) -> None:
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
    axes.set(
        xlabel="images a second (bar: median, dots: rounds)",
        title="Training mnist-cnn's network, batch 128",
    )
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
