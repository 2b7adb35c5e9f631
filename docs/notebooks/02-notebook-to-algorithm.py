# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · From the notebook to an algorithm
#
# The [first notebook](01-research.ipynb) ended with a small network for digits and a loop around it. Here the same network becomes an
# algorithm of the catalog: a class with its hyperparameters, its data and its network. Training, checkpoints, evaluation, serving
# and packaging for SageMaker come with it.

# %%
import os
from pathlib import Path

import numpy as np
from algoshelf.core import train
from algoshelf.registry import catalog

# %% [markdown]
# ## Data for it
#
# Your own algorithm reads whatever you like. This one reads tables: the digit first, then its 784 pixels from 0 to 255, 1,500 digits
# to learn from and 500 to test on.

# %%
mnist = catalog().get("mnist-cnn").algorithm
Path("data").mkdir(exist_ok=True)
for channel, count in (("train", 1500), ("test", 500)):
    digits = mnist.dataset(mnist.sample()[channel], channel, mnist.Hyperparameters())
    chosen = np.random.default_rng(1).permutation(len(digits))[:count]
    images, labels = digits.take(chosen)
    pixels = (images.reshape(count, -1) * 255).round()
    np.savetxt(f"data/{channel}.csv", np.column_stack([labels, pixels]), fmt="%d", delimiter=",")

# %% [markdown]
# ## The class
#
# It begins in the notebook, where it is quick to change. `%%writefile` keeps it in a file besides, which becomes the package below.

# %%
# %%writefile acme_digits.py
"""acme-digits: handwritten digits from tables of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from algoshelf.core import (
    TEST,
    TRAIN,
    Algorithm,
    ArrayDataset,
    Classifier,
    ContentType,
    Dataset,
    HybridBlock,
    TrainingHyperparameters,
    codecs,
    files,
    hookimpl,
    mx,
    supervised_channels,
)
from pydantic import Field

SAMPLE = Path(__file__).parent / "sample"
CLASSES = tuple("0123456789")
PIXELS = 28 * 28


class AcmeDigitsHyperparameters(TrainingHyperparameters):
    epochs: int = Field(6, ge=1, le=10_000, description="Passes over the training data.")
    batch_size: int = Field(50, ge=1, le=65_536, description="Examples in one training step.")
    optimizer: str = Field("adam", description="Optimizer: sgd with momentum, or adam.")
    learning_rate: float = Field(2e-3, gt=0, le=10, description="Peak learning rate.")
    units: int = Field(64, ge=1, le=4096, description="Number of units in the hidden layer.")


class AcmeDigits(Classifier[AcmeDigitsHyperparameters]):
    name = "acme-digits"
    task = "image-classification"
    summary = "Recognizes handwritten digits in rows of 784 pixels."
    Hyperparameters = AcmeDigitsHyperparameters
    channels = supervised_channels("CSV: the digit first, then 784 pixels from 0 to 255")
    accepts = (
        ContentType(codecs.CSV, "A digit per line: 784 pixels from 0 to 255.", "0,0,84,185,159,…"),
        ContentType(codecs.JSON, "Digits, 784 pixels each.", '{"instances": [[0, 0, 84, …]]}'),
    )

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.csv", TEST: SAMPLE / "test.csv"}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: AcmeDigitsHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> ArrayDataset:
        """Pixels (N, 784) float32, and digits (N,) int32."""
        pixels, digits = files.read_labelled_csv(path, features=PIXELS, labels=len(CLASSES))
        return ArrayDataset(pixels, digits, CLASSES)

    def network(self, hyperparameters: AcmeDigitsHyperparameters, data: Dataset) -> HybridBlock:
        """Logits (N, 10): two convolutions, two layers on top."""
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.HybridLambda(lambda F, x: F.reshape(x / 255, shape=(-1, 1, 28, 28))))
        net.add(nn.Conv2D(16, 5, activation="relu"), nn.MaxPool2D(2))
        net.add(nn.Conv2D(32, 3, activation="relu"), nn.MaxPool2D(2))
        net.add(nn.Dense(hyperparameters.units, activation="relu"), nn.Dense(len(CLASSES)))
        return net


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [AcmeDigits]


# %% [markdown]
# ## Train it here
#
# `train` is what the command line calls. In a notebook it draws its progress under the cell; a tenth of the data is held out, and the
# model is that of the epoch which does best there. **Interrupt the kernel** (■, or Ctrl-C) while it trains, and the training ends
# with the best model so far.

# %%
from acme_digits import AcmeDigits

algorithm = AcmeDigits()
paths = {"train": Path("data/train.csv"), "test": Path("data/test.csv")}
options = algorithm.Hyperparameters(epochs=6)
artifact, metrics = train(algorithm, paths, options, Path("models/tried"))

# %% [markdown]
# What it leaves is a folder, the *artifact*: the network's graph and parameters, under the names that AWS's containers know, and what
# made them. The same data, settings and seed give the same bytes on every run.

# %%
artifact

# %% [markdown]
# `evaluate` measures a model with all that its task has to offer: intervals, figures of each class, the confusion matrix.

# %%
model = algorithm.model_fn("models/tried")
algorithm.evaluate(model, Path("data/test.csv"))

# %% [markdown]
# ## The same class as a plugin
#
# `algoshelf new` writes a package that works. Only its class, and the sample that it trains on when no other data is given, are
# replaced by ours.

# %% language="bash"
# rm -rf acme-digits plugins  # of an earlier run
# algoshelf new acme-digits
# cp acme_digits.py acme-digits/acme_digits/__init__.py
# cp data/train.csv data/test.csv acme-digits/acme_digits/sample/

# %% [markdown]
# You would now `pip install -e acme-digits`. So that your environment stays as it is, this notebook installs it into a folder of its
# own, and names that folder to Python. From then on it is an algorithm like those that are built in.

# %% language="bash"
# pip install --quiet --no-deps --disable-pip-version-check --root-user-action=ignore --target plugins ./acme-digits

# %%
os.environ["PYTHONPATH"] = "plugins"

# %% language="bash"
# algoshelf list

# %% [markdown]
# `check` asks of it what it asks of every algorithm, from reading its hyperparameters to resuming an interrupted training:

# %% language="bash"
# algoshelf check acme-digits

# %% [markdown]
# And it has the commands of all the others. The model is the one from above, byte for byte, since nothing but the way to it has
# changed:

# %% language="bash"
# algoshelf train acme-digits --train data/train.csv --test data/test.csv --output models/mine 2>/dev/null
# cmp models/tried/model-0000.params models/mine/model-0000.params && echo "the same parameters, byte for byte"

# %% [markdown]
# Next: [train, evaluate, deploy](03-train-evaluate-deploy.ipynb) shows the way from here to an endpoint. How to override more than
# this class does is in [Add an algorithm of your own](../extending.md).
