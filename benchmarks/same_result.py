"""How far replicas drift apart: parameters after 50 steps on 1, 2 and 4 CPU contexts.

    python same_result.py

From one seed, the same batches of 128 of the bundled digits, without dropout: ||a - b|| / ||a||
against one context, for SGD and Adam, with and without batch normalization. Kept under results/.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from algoshelf.core import TrainingHyperparameters, mx
from algoshelf.core.training.engine import Engine
from environment import environment, results_file

SAMPLE = Path(__file__).resolve().parents[1] / "algorithms" / "mnist_cnn" / "sample"
STEPS = 50
BATCH = 128


def network(normalized: bool, devices: list[Any]) -> Any:
    mx.random.seed(1)
    nn = mx.gluon.nn
    with mx.name.NameManager():
        net = nn.HybridSequential()
        for width in (16, 32):
            net.add(nn.Conv2D(width, 3, padding=1))
            if normalized:
                net.add(nn.BatchNorm())
            net.add(nn.Activation("relu"), nn.MaxPool2D(2))
        net.add(nn.Dense(10))
    net.initialize(mx.init.Xavier(), ctx=devices)
    net.hybridize(static_alloc=True, static_shape=True)
    for device in devices:
        net(mx.nd.zeros((1, 1, 28, 28), ctx=device)).wait_to_read()
    return net


def learned(optimizer: str, normalized: bool, contexts: int) -> np.ndarray:
    """The trained parameters, (P,) float32."""
    rate = 0.01 if optimizer == "sgd" else 0.001
    options = TrainingHyperparameters.parse({"optimizer": optimizer, "learning_rate": rate})
    devices = [mx.cpu(i) for i in range(contexts)]
    net = network(normalized, devices)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    engine = Engine(net, loss, options, devices, "device" if contexts > 1 else None)
    images = gzip.decompress((SAMPLE / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((SAMPLE / "train-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    y = np.frombuffer(labels, np.uint8, offset=8).astype(np.int32)
    for step in range(STEPS):
        part = slice(step * BATCH, (step + 1) * BATCH)
        engine.step(engine.split(x[part]), engine.split(y[part]), rate)
    found = [p.data(devices[0]) for p in net.collect_params().values() if p.grad_req != "null"]
    return np.concatenate([array.asnumpy().ravel() for array in found])


def main() -> None:
    drift = {}
    for normalized in (False, True):
        for optimizer in ("sgd", "adam"):
            one = learned(optimizer, normalized, 1)
            what = f"{optimizer}, {'with' if normalized else 'without'} batch normalization"
            drift[what] = {
                f"{n} contexts": float(
                    np.linalg.norm(learned(optimizer, normalized, n) - one) / np.linalg.norm(one)
                )
                for n in (2, 4)
            }
    document = {
        "what": f"||a - b|| / ||a|| against one context after {STEPS} steps",
        "environment": environment(),
        "drift": drift,
    }
    path = results_file("same_result")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(drift, indent=2))
    print(path)


if __name__ == "__main__":
    main()
