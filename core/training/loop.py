"""The ready loop: epochs of steps, a validation after each, built from the engine's verbs.

Everything random is a function of the seed and the place in the training: the order of the examples
and their augmentation by generators of their own, what mxnet draws (dropout) by seeding it at every
SEGMENT steps of an epoch. At those places, and between epochs, a checkpoint may be taken, and a run
that goes on from it does what the uninterrupted one would have done, to the bit.
"""

from __future__ import annotations

import math
import resource
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Mapping, Tuple, TypeVar

import numpy as np

from .. import mx
from ..errors import DataError, InputError, TrainingError
from ..hyperparameters import TrainingHyperparameters
from ..types import Array, Context, HybridBlock, NDArray
from .data import Dataset, chunks, prefetched, shuffled_batches
from .engine import Engine, Schedule
from .run import Run

Augment = Callable[[NDArray, NDArray, np.random.Generator], Tuple[NDArray, NDArray]]
T = TypeVar("T", bound=TrainingHyperparameters)

EVALUATION_BATCH = 256
# How many steps the host may run ahead of the device: enough to keep it busy, bounded in memory.
AHEAD = 4
# Seeding mxnet takes a core about 1 ms; a signal waits for at most so many steps.
SEGMENT = 8
# What random numbers are for, so that no two purposes share a stream.
HOLD_OUT, ORDER, AUGMENT, NOISE = range(4)


@dataclass
class Position:
    """Where a training stands between two steps; ``loss`` is the sum over this epoch's examples."""

    step: int = 0
    loss: float = 0.0
    best: float | None = None
    epochs_since_best: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def fit(
    run: Run[T],
    network: HybridBlock,
    loss: Any,
    train: Dataset,
    *,
    augment: Augment,
    validate: Callable[[], Mapping[str, float]],
) -> tuple[int, int]:
    """Train ``network`` in place under ``run.hyperparameters``, and report after each epoch.

    ``augment`` changes a batch x (B, …), y (B, …) on the first device, drawing from the generator
    it is given; ``validate`` returns the metrics of the validation channel. Goes on from the
    newest checkpoint of ``run``. Returns the numbers of steps and epochs done. Raises TrainingError
    when the loss is no longer finite, Stopped when a signal ended the training.
    """
    return _Fit(run, network, loss, train, augment, validate).run_all()


class _Fit:
    """The state of one ``fit``."""

    def __init__(
        self,
        run: Run[Any],
        network: HybridBlock,
        loss: Any,
        train: Dataset,
        augment: Augment,
        validate: Callable[[], Mapping[str, float]],
    ) -> None:
        self.run = run
        self.options: TrainingHyperparameters = run.hyperparameters
        self.train = train
        self.augment = augment
        self.validate = validate
        self.batch_size = _batch_size(run, len(train))
        self.per_epoch = len(train) // self.batch_size
        self.steps = self.per_epoch * self.options.epochs
        self.schedule = Schedule(self.options, self.steps)
        self._settle_shapes(network)
        self.engine = Engine(network, loss, self.options, run.devices, run.kvstore)
        self.position = Position()
        self.pending: deque[tuple[int, NDArray]] = deque()

    def _settle_shapes(self, network: HybridBlock) -> None:
        """Let every layer know its input, so that all parameters exist."""
        x, _ = self.train.take(np.zeros(1, np.int64))
        for device in self.run.devices:
            network(mx.nd.array(x, ctx=device, dtype=x.dtype)).wait_to_read()

    def run_all(self) -> tuple[int, int]:
        run = self.run
        checkpoint = run.resume()
        if checkpoint is not None:
            self.engine.restore(checkpoint.arrays, checkpoint.step)
            self.position = Position(**checkpoint.position)
            run.metrics.update(self.position.metrics)
        run.reporter.begin(self.steps)
        run.reporter.step(self.position.step)
        while self.position.step < self.steps:
            ended = self._epoch()
            reason = self._after_epoch() or ended
            self._save()
            if reason:
                run.reporter.message(f"stopping early: {reason}")
                break
        return self.position.step, math.ceil(self.position.step / self.per_epoch)

    def _epoch(self) -> str:
        """The rest of an epoch; why it ended before its time, or an empty string."""
        position, run = self.position, self.run
        epoch, done = divmod(position.step, self.per_epoch)
        order = shuffled_batches(len(self.train), self.batch_size, run.rng(ORDER, epoch))
        started, waited = time.monotonic(), 0.0
        stream = prefetched(self.train.take, order[done:])
        try:
            for index in range(done, self.per_epoch):
                if index % SEGMENT == 0:
                    if run.is_over():
                        return "the time of --max-runtime is over"
                    if index > done and run.wants_checkpoint():
                        self._save()
                    mx.random.seed(int(run.rng(NOISE, epoch, index).integers(2**31)))
                asked = time.monotonic()
                x, y = next(stream)
                waited += time.monotonic() - asked
                self._step(x, y)
        finally:
            stream.close()
            self._settle(0)
            self._measure(position.step - epoch * self.per_epoch - done, started, waited)
        return ""

    def _step(self, x: Array, y: Array) -> None:
        position, device = self.position, self.run.devices[0]
        inputs, labels = self.augment(
            mx.nd.array(x, ctx=device, dtype=x.dtype),
            mx.nd.array(y, ctx=device, dtype=y.dtype),
            self.run.rng(AUGMENT, position.step),
        )
        rate = self.schedule(position.step)
        loss = self.engine.step(self.engine.split(inputs), self.engine.split(labels), rate)
        self.pending.append((position.step, loss))
        position.step += 1
        self._settle(AHEAD)
        self.run.reporter.step(position.step)

    def _settle(self, left: int) -> None:
        """Take in the losses of all steps but the last ``left``."""
        while len(self.pending) > left:
            step, loss = self.pending.popleft()
            value = float(loss.asscalar())
            if not math.isfinite(value):
                self.pending.clear()
                raise TrainingError(
                    f"the loss of step {step + 1} is no longer finite ({value}): look for outliers "
                    f"in the data, or lower the learning rate ({self.options.learning_rate:g})"
                )
            self.position.loss += value

    def _measure(self, steps: int, started: float, waited: float) -> None:
        seconds = max(1e-9, time.monotonic() - started)
        self.measured = {
            "train:throughput": steps * self.batch_size / seconds,
            "train:data_wait": waited / seconds,
            "train:peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    def _after_epoch(self) -> str:
        """Validate and report; why the training should end now, or an empty string."""
        position, run = self.position, self.run
        epochs = math.ceil(position.step / self.per_epoch)
        examples = (position.step - (epochs - 1) * self.per_epoch) * self.batch_size
        values = {"train:loss": position.loss / max(1, examples)}
        values.update((f"validation:{name}", value) for name, value in self.validate().items())
        position.loss = 0.0
        run.report(values, epoch=epochs, step=position.step, measured=self.measured)
        position.metrics = dict(run.metrics)
        return self._verdict(values)

    def _verdict(self, values: Mapping[str, float]) -> str:
        position, objective = self.position, self.run.algorithm.objective
        value = values.get(objective.metric)
        if value is None:
            return ""
        sign = 1 if objective.maximize else -1
        if position.best is None or sign * value > sign * position.best:
            position.best, position.epochs_since_best = value, 0
        else:
            position.epochs_since_best += 1
        target = self.run.options.target_metric
        if target is not None and sign * value >= sign * target:
            return f"{objective.metric} has reached {value:.6g}; the target is {target:.6g}"
        patience = self.options.patience
        if patience and position.epochs_since_best >= patience:
            return f"{objective.metric} has not improved for {patience} epochs"
        return ""

    def _save(self) -> None:
        """Take a checkpoint, where the run keeps any; then end the training if a signal asked."""
        self._settle(0)
        if self.run.keeps_checkpoints:
            if not self.engine.is_finite():
                raise TrainingError(
                    f"after step {self.position.step} a parameter is no longer finite: lower the "
                    "learning rate; the checkpoint before is kept"
                )
            self.run.checkpoint(self.position.step, asdict(self.position), self.engine.state())


def _batch_size(run: Run[Any], examples: int) -> int:
    """The batch of the whole job: what was asked for, or all examples if they are fewer."""
    devices = len(run.devices)
    asked: int = run.hyperparameters.batch_size
    if asked % devices:
        below, above = asked // devices * devices, -(-asked // devices) * devices
        nearest = " or ".join(str(size) for size in (below, above) if size)
        raise InputError(
            f"a batch of {asked} cannot be split evenly over {devices} devices: "
            f"give --batch-size {nearest}"
        )
    size = min(asked, examples // devices * devices)
    if size == 0:
        raise DataError(f"{examples} examples to train on are too few for {devices} device(s)")
    if size < asked:
        run.reporter.message(f"batch size {size}: there are no more examples than that")
    return size


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
