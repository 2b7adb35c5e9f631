"""The ready loop: epochs of steps, a validation after each, built from the engine's verbs."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, TypeVar

import numpy as np

from .. import mx
from ..errors import DataError, TrainingError
from ..hyperparameters import TrainingHyperparameters
from ..types import Array, Context, HybridBlock, NDArray
from .data import Dataset, chunks, prefetched, shuffled_batches
from .engine import Engine, Schedule
from .run import Run

T = TypeVar("T", bound=TrainingHyperparameters)

EVALUATION_BATCH = 256
# How many steps the host may run ahead of the device: enough to keep it busy, bounded in memory.
AHEAD = 4
# What random numbers are for, so that no two purposes share a stream.
HOLD_OUT, ORDER, AUGMENT = range(3)


def fit(
    run: Run[T],
    network: HybridBlock,
    loss: Any,
    train: Dataset,
    *,
    augment: Callable[[NDArray, np.random.Generator], NDArray],
    validate: Callable[[], Mapping[str, float]],
) -> int:
    """Train ``network`` in place under ``run.hyperparameters``, and report after each epoch.

    ``augment`` changes a batch (B, …) on its device, drawing from the generator it is given;
    ``validate`` returns the metrics of the validation channel. Returns the number of steps.
    Raises TrainingError when the loss is no longer finite.
    """
    options = run.hyperparameters
    batch_size = min(options.batch_size, len(train))
    if batch_size < options.batch_size:
        run.reporter.message(f"batch size {batch_size}: there are no more examples than that")
    per_epoch = len(train) // batch_size
    if per_epoch == 0:
        raise DataError("the train channel holds no examples")
    steps = per_epoch * options.epochs
    schedule = Schedule(options, steps)
    engine = Engine(network, loss, options, run.devices)
    run.reporter.begin(steps)
    step = 0
    for epoch in range(options.epochs):
        started = time.monotonic()
        batches = shuffled_batches(len(train), batch_size, run.rng(ORDER, epoch))
        losses = []
        for x, y in prefetched(train.take, batches):
            rng = run.rng(AUGMENT, step)
            inputs = [augment(part, rng) for part in engine.split(x)]
            losses.append(engine.step(inputs, engine.split(y), schedule(step)))
            if len(losses) > AHEAD:
                losses[-1 - AHEAD].wait_to_read()
            step += 1
            run.reporter.step(step)
        mean = float(mx.nd.concat(*losses, dim=0).asnumpy().mean()) / batch_size
        if mean != mean or mean in (float("inf"), float("-inf")):
            raise TrainingError(
                f"the loss is no longer finite (epoch {epoch + 1}): lower the learning rate "
                f"(it is {options.learning_rate:g}), or look for outliers in the data"
            )
        speed = len(losses) * batch_size / (time.monotonic() - started)
        values = {"train:loss": mean, **{f"validation:{k}": v for k, v in validate().items()}}
        run.report(values, epoch=epoch + 1, step=step, measured={"train:throughput": speed})
    return steps


def predict(network: HybridBlock, x: Array, device: Context) -> Array:
    """The network's outputs (N, …) for ``x`` (N, …), computed in batches on ``device``.

    Every batch has one size, filled up by repetition, so that a static graph is planned once.
    """
    outputs = []
    for chunk in chunks(len(x), EVALUATION_BATCH):
        part = x[chunk]
        size = len(part)
        if len(x) > EVALUATION_BATCH > size:
            part = np.resize(part, (EVALUATION_BATCH, *part.shape[1:]))
        outputs.append(network(mx.nd.array(part, ctx=device, dtype=part.dtype)).asnumpy()[:size])
    return np.concatenate(outputs)
