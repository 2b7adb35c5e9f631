"""The engine: the verbs that one training step is made of, over any number of devices."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import mx
from ..hyperparameters import TrainingHyperparameters
from ..types import Array, Context, HybridBlock, NDArray


class Schedule:
    """The learning rate of every step: a linear warm-up, then a cosine to zero or a level.

    Cosine: I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts",
    arXiv:1608.03983. A function of the step alone, so a resumed run goes on as it would have.
    """

    def __init__(self, hyperparameters: TrainingHyperparameters, steps: int) -> None:
        self.highest = hyperparameters.learning_rate
        self.warmup = round(hyperparameters.warmup * steps)
        self.steps = steps
        self.cosine = hyperparameters.schedule == "cosine"

    def __call__(self, step: int) -> float:
        """The learning rate of step ``step``, the first being 0."""
        import math

        if step < self.warmup:
            return self.highest * (step + 1) / (self.warmup + 1)
        if not self.cosine:
            return self.highest
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.highest * (1 + math.cos(math.pi * done)) / 2


class Engine:
    """A network with its parameters on ``devices``, and the optimizer that moves them."""

    def __init__(
        self,
        network: HybridBlock,
        loss: Any,
        hyperparameters: TrainingHyperparameters,
        devices: Sequence[Context],
    ) -> None:
        self.network = network
        self.loss = loss
        self.devices = devices
        loss.hybridize(static_alloc=True, static_shape=True)
        self.trainer = mx.gluon.Trainer(
            network.collect_params(),
            _optimizer(hyperparameters),
            kvstore="device" if len(devices) > 1 else None,
        )

    def split(self, array: Array) -> list[NDArray]:
        """A batch (B, …) as one part a device, (B / devices, …) each."""
        return [
            mx.nd.array(part, ctx=device, dtype=part.dtype)
            for part, device in zip(_parts(array, len(self.devices)), self.devices)
        ]

    def step(self, inputs: Sequence[NDArray], labels: Sequence[NDArray], rate: float) -> NDArray:
        """Forward, backward, update at learning rate ``rate``; the summed loss, not waited for."""
        self.trainer.set_learning_rate(rate)
        with mx.autograd.record():
            losses = [self.loss(self.network(x), y) for x, y in zip(inputs, labels)]
        mx.autograd.backward(losses)
        self.trainer.step(sum(len(loss) for loss in losses))
        sums = [loss.sum().as_in_context(self.devices[0]) for loss in losses]
        return sum(sums[1:], sums[0])


def _parts(array: Array, count: int) -> list[Array]:
    return [array] if count == 1 else np.split(array, count)


def _optimizer(hyperparameters: TrainingHyperparameters) -> Any:
    options = {"learning_rate": hyperparameters.learning_rate, "wd": hyperparameters.weight_decay}
    if hyperparameters.optimizer == "adam":
        options["beta2"] = hyperparameters.beta2
    else:
        options["momentum"] = hyperparameters.momentum
    return mx.optimizer.create(hyperparameters.optimizer, **options)
