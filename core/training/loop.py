"""The training loop: epochs of steps, with a validation after each epoch.

Everything random is a function of the seed and the place in the training: the order of the examples
and their augmentation by generators of their own, what mxnet draws (dropout), where anything does,
by seeding it at every SEGMENT steps of an epoch. At those places, and between epochs, a checkpoint
may be taken, and a run that goes on from it does what the uninterrupted one would have done, to the
bit.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable, Iterator, Mapping, Tuple

import numpy as np

from ..algorithm.channels import TRAIN
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..artifact.network import GluonNetwork, outputs
from ..data.dataset import Dataset, drawn, in_epoch, lengths_of, prefetched, shuffled_batches
from ..runtime import mx
from ..runtime.deprecated import keep_old_names
from ..runtime.devices import check_batch_splits, on_device
from ..runtime.errors import DataError, InputError, TrainingError
from ..runtime.types import Array, Context, HybridBlock, NDArray
from . import graphs
from .engine import Engine, Schedule
from .reporting import peak_memory_mb
from .run import Decision, Run
from .stopping import stopped
from .together import check_examples, take_from_chief

Augment = Callable[[NDArray, NDArray, np.random.Generator], Tuple[NDArray, NDArray]]

# The host runs ahead of the devices to keep them busy: by so many steps, or so much input, twice.
AHEAD = 16
AHEAD_BYTES = 128 * 2**20
# Seeding mxnet takes a core about 1 ms; a signal waits for at most so many steps.
SEGMENT = 8
# What random numbers are for, so that no two purposes share a stream.
HOLD_OUT, ORDER, AUGMENT, NOISE, DRAW = range(5)
# Among the arrays of a checkpoint, the parameters of the best epoch so far.
BEST = "best"


@dataclass
class Position:
    """Where a training stands between two steps; ``loss`` is the sum over this epoch's examples.

    ``unvalidated``: an epoch has come to its end, and its validation has not. ``best`` is the
    objective at its best, ``kept`` the epoch whose parameters are, of equal ones the last, and
    ``kept_metrics`` what was reported of it.
    """

    step: int = 0
    loss: float = 0.0
    unvalidated: bool = False
    best: float | None = None
    epochs_since_best: int = 0
    objective: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    kept: int = 0
    kept_metrics: dict[str, float] = field(default_factory=dict)


class Loop:
    """Trains ``network`` in place under ``options``, or ``run.hyperparameters``, by epochs:

        loop = Loop(run, network, loss, train, augment)
        for place in loop.epochs():
            with run.interruptible(place):
                figures = …             # of the network as it now is, on the validation channel
            loop.validated(figures)

    ``augment`` changes a batch x (B, …), y (B, …) on the first device, drawing from the generator
    it is given; None where batches are as they are. The loop goes on from the newest checkpoint of
    ``run``. When it ends, ``network`` has the parameters of the epoch that was the best by the
    algorithm's objective, or where no figures tell it, of the last; which one is in ``run.epoch``,
    and ``run.metrics`` are its figures. Raises TrainingError when the loss is no longer finite,
    Stopped when a signal ended it.
    """

    def __init__(
        self,
        run: Run[Any],
        network: HybridBlock,
        loss: Any,
        train: Dataset,
        augment: Augment | None,
        options: TrainingHyperparameters | None = None,
    ) -> None:
        self.run = run
        self.options: TrainingHyperparameters = options or run.hyperparameters
        self.train = train
        self.augment = augment
        self.cluster = run.cluster
        # Hosts that hold the same examples share each batch; others take theirs from their own.
        if self.cluster.count > 1:
            check_examples(self.cluster, train)
        self.shared = self.cluster.agrees(run.data.get(TRAIN, ""), "the training data")
        hosts = 1 if self.shared else self.cluster.count
        examples = self._examples()
        self.batch_size = _batch_size(run, self.options.batch_size, examples * hosts)
        self.per_epoch = examples * hosts // self.batch_size
        self.steps = self.per_epoch * self.options.epochs
        self.schedule = Schedule(self.options, self.steps)
        if self.options.precision == "mixed" and run.devices[0].device_type != "gpu":
            raise InputError("--precision mixed: needs a GPU; a processor is slower in float16")
        self._settle_shapes(network)
        everything = list(network.collect_params().values())
        take_from_chief(self.cluster, everything, run.devices, "the parameters to begin with")
        self.engine = Engine(
            network, loss, self.options, run.devices, run.kvstore, self.cluster.count
        )
        # What draws nothing need not be seeded.
        self.draws = augment is not None or graphs.draws(network, loss)
        self.position = Position()
        self.best: Mapping[str, NDArray] = {}  # the parameters of the epoch that is kept
        self.ended = ""  # why the training ends before its time
        self.measured: dict[str, float] = {}
        self.pending: deque[tuple[int, list[NDArray]]] = deque()

    def _examples(self) -> int:
        """How many examples each host has a use for: as many as the one with the fewest."""
        held = self.cluster.exchange(len(self.train), "the numbers of examples")
        if min(held) < max(held):
            told = self.cluster.by_host([f"{each:,}" for each in held])
            self.run.reporter.message(
                f"examples to train on: {told}; each epoch uses {min(held):,} of each host, a "
                "different selection every time"
            )
        return int(min(held))

    def _settle_shapes(self, network: HybridBlock) -> None:
        """Let every layer know its input, so that all parameters exist.

        Nothing is computed: oneDNN would leave the weights of convolutions in a layout of its own,
        into which not every store and checkpoint can be copied.
        """
        x, _ = self.train.take(np.zeros(1, np.int64))
        network.infer_shape(on_device(x, self.run.devices[0]))
        for parameter in network.collect_params().values():
            parameter._finish_deferred_init()
        graphs.check(network, x, self.run.algorithm)

    def epochs(self) -> Iterator[str]:
        """Learn; after each epoch, or what there was time for, say where that is, in words.

        Then ``validated`` has to be called.
        """
        run, position = self.run, self._resume()
        run.reporter.begin(self.steps)
        run.reporter.step(position.step)
        if not position.unvalidated:
            self.ended = self._reached()
        while not self.ended and (position.unvalidated or position.step < self.steps):
            if not position.unvalidated:
                self.ended = self._epoch()
                self._save()  # before the validation: however it ends, the epoch is not lost
            yield self._place()
            self._go_on()
        if self.ended:
            run.reporter.message(f"stopping early: {self.ended}")
        self._take_best()

    def _go_on(self) -> None:
        """After a validation: whether there is to be another epoch, or a checkpoint."""
        position, decision = self.position, self.run.decide()
        if not self.ended:
            self.ended = self._reached()
            if decision.over and position.step < self.steps:
                self.ended = self.ended or decision.why
            if self.ended or position.step == self.steps or decision.save:
                self._save()
        self._stop_if_asked(decision)

    def _resume(self) -> Position:
        checkpoint = self.run.resume()
        if checkpoint is not None:
            self.engine.restore(checkpoint.arrays, checkpoint.step)
            self.best = checkpoint.arrays.get(BEST, {})
            self.position = Position(**checkpoint.position)
            if not self.cluster.is_chief:
                self.position.loss = 0.0  # the chief's is that of all hosts
            self.run.metrics.update(self.position.metrics)
        return self.position

    @property
    def epochs_done(self) -> int:
        """How many epochs are done, the one that is under way among them."""
        return math.ceil(self.position.step / self.per_epoch)

    def _epoch(self) -> str:
        """The rest of an epoch; why it ended before its time, or an empty string."""
        position, run = self.position, self.run
        epoch, done = divmod(position.step, self.per_epoch)
        order = self._order(epoch)
        started, waited = time.monotonic(), 0.0
        own = () if self.shared else self._own
        data = in_epoch(drawn(self.train, run.rng(DRAW, epoch, *own)), epoch)
        stream = prefetched(data.take, order[done:])
        try:
            for index in range(done, self.per_epoch):
                if index % SEGMENT == 0:
                    decision = run.decide()
                    if decision.over and index > done:  # each run learns something
                        return decision.why
                    if decision.save and index > done:
                        self._save()
                    self._stop_if_asked(decision)
                    if self.draws:
                        noise = run.rng(NOISE, epoch, index, *self._own)
                        mx.random.seed(int(noise.integers(2**31)))
                asked = time.monotonic()
                x, y = next(stream)
                waited += time.monotonic() - asked
                self._step(x, y)
        finally:
            stream.close()
            self._settle(0)
            self._measure(position.step - epoch * self.per_epoch - done, started, waited)
        position.unvalidated = True
        return ""

    @property
    def _own(self) -> tuple[int, ...]:
        """What makes the random numbers of this host its own; the chief's are those of one host."""
        return (self.cluster.rank,) if self.cluster.rank else ()

    def _order(self, epoch: int) -> list[Array]:
        """The indices of this host's part of every batch of an epoch."""
        rng, lengths = self.run.rng, lengths_of(self.train)
        if self.shared:
            whole = shuffled_batches(len(self.train), self.batch_size, rng(ORDER, epoch), lengths)
            return [self.cluster.share(batch) for batch in whole]
        part = self.batch_size // self.cluster.count
        batches = shuffled_batches(len(self.train), part, rng(ORDER, epoch, *self._own), lengths)
        return batches[: self.per_epoch]

    def _step(self, x: Array, y: Array) -> None:
        position, device = self.position, self.run.devices[0]
        ahead = max(1, min(AHEAD, AHEAD_BYTES // max(1, x.nbytes)))
        inputs, labels = on_device(x, device), on_device(y, device)
        if self.augment is not None:
            rng = self.run.rng(AUGMENT, position.step, *self._own)
            inputs, labels = self.augment(inputs, labels, rng)
        rate = self.schedule(position.step)
        with self.cluster.waiting(f"the other hosts in step {position.step + 1}"):
            losses = self.engine.step(self.engine.split(inputs), self.engine.split(labels), rate)
        self.pending.append((position.step, losses))
        position.step += 1
        interval = self.options.lookahead
        if interval and (position.step % interval == 0 or position.step == self.steps):
            self.engine.look_ahead(position.step / self.steps)
        if len(self.pending) >= 2 * ahead:  # several at once: whenever the host works, devices wait
            self._settle(ahead)
        self.run.reporter.step(position.step)

    def _settle(self, left: int) -> None:
        """Take in the losses of all steps but the last ``left``."""
        while len(self.pending) > left:
            step, losses = self.pending.popleft()
            with self.cluster.waiting(f"the gradients of step {step + 1}"):
                value = float(sum(loss.asnumpy().sum(dtype=np.float64) for loss in losses))
            if not math.isfinite(value):
                self.pending.clear()
                raise TrainingError(
                    f"the loss of step {step + 1} is no longer finite ({value}): look for outliers "
                    f"in the data, or lower the learning rate ({self.options.learning_rate:g})"
                )
            self.position.loss += value
        if self.cluster.count > 1 and not left:  # so that nothing that follows waits unnoticed
            with self.cluster.waiting(f"the gradients of step {self.position.step}"):
                mx.nd.waitall()

    def _measure(self, steps: int, started: float, waited: float) -> None:
        seconds = max(1e-9, time.monotonic() - started)
        self.measured = {
            "train:throughput": steps * self.batch_size / seconds,
            "train:data_wait": waited / seconds,
            "train:peak_memory_mb": peak_memory_mb(),
        }

    def _place(self) -> str:
        return f"in the validation after step {self.position.step}"

    def validated(self, figures: Mapping[str, float]) -> None:
        """Take in what was found on the validation channel, and report it; every host calls this.

        The chief's ``figures`` count.
        """
        position, run, epochs = self.position, self.run, self.epochs_done
        examples = (position.step - (epochs - 1) * self.per_epoch) * self.batch_size
        values = {"train:loss": self._total_loss() / examples}
        if self.cluster.is_chief:
            values.update((f"validation:{name}", value) for name, value in figures.items())
            run.report(values, epoch=epochs, step=position.step, measured=self.measured)
        position.loss = 0.0
        position.unvalidated = False
        position.metrics = dict(run.metrics)
        with run.interruptible(self._place()):
            value = self._agreed(values.get(run.algorithm.objective.metric))
        self._note(value)

    def _total_loss(self) -> float:
        """The sum of the losses of this epoch's examples, on all hosts."""
        return float(self.cluster.gather([self.position.loss], "the losses").sum())

    def _agreed(self, value: float | None) -> float | None:
        """The objective as the chief found it, so that all hosts judge by one figure."""
        if self.cluster.count > 1:
            value = float(self.cluster.gather([math.nan if value is None else value])[0, 0])
            value = None if math.isnan(value) else value
        return value

    def _note(self, value: float | None) -> None:
        """Take in the objective, and keep the parameters where it is the best so far."""
        position = self.position
        position.objective = value
        if value is None:
            return
        sign = 1 if self.run.algorithm.objective.maximize else -1
        gain = 1.0 if position.best is None else sign * (value - position.best)
        # Of equal ones the last, which has seen most.
        if gain >= 0 or self.options.keep == "last":
            position.kept, position.kept_metrics = self.epochs_done, dict(position.metrics)
            self.best = self.engine.parameters()
        if gain > 0:
            position.best, position.epochs_since_best = value, 0
        else:
            position.epochs_since_best += 1

    def _take_best(self) -> None:
        """Give the network the parameters of its best epoch, and say which that was."""
        position, run = self.position, self.run
        metric, epochs = run.algorithm.objective.metric, self.epochs_done
        run.epoch = position.kept or epochs
        if not position.kept:
            run.reporter.message(
                f"the model is that of epoch {epochs}, the last: {metric} was never reported"
            )
            return
        if position.kept < epochs:
            self.engine.replace(self.best)
            run.metrics.clear()
            run.metrics.update(position.kept_metrics)
        # In the form of a metric: who reads the log, as SageMaker does, finds the model's last.
        # Only the chief of several hosts has the metrics of an epoch, and is heard.
        found = position.kept_metrics.get(metric, position.best)
        run.reporter.message(
            f"the model is that of epoch {position.kept} of {epochs}, the {self.options.keep}: "
            f"{metric}={found:.6g}"
        )

    def _reached(self) -> str:
        """Why the training should end here, or an empty string."""
        position, objective = self.position, self.run.algorithm.objective
        value, target = position.objective, self.run.options.target_metric
        sign = 1 if objective.maximize else -1
        if value is not None and target is not None and sign * value >= sign * target:
            return f"{objective.metric} has reached {value:.6g}; the target is {target:.6g}"
        patience = self.options.patience
        if patience and position.epochs_since_best >= patience:
            return f"{objective.metric} has not improved for {patience} epochs"
        return ""

    def _save(self) -> None:
        """Take a checkpoint, where the run keeps any."""
        self._settle(0)
        if not self.run.keeps_checkpoints:
            return
        if not self.engine.is_finite():
            raise TrainingError(
                f"after step {self.position.step} a parameter is no longer finite: lower the "
                "learning rate; the checkpoint before is kept"
            )
        position = replace(self.position, loss=self._total_loss())
        arrays = {**self.engine.state(), **({BEST: self.best} if self.best else {})}
        self.run.checkpoint(position.step, asdict(position), arrays)

    def _stop_if_asked(self, decision: Decision) -> None:
        if decision.stop:
            raise stopped(decision.stop, f"after step {self.position.step}")


def _batch_size(run: Run[Any], asked: int, examples: int) -> int:
    """The batch of the whole job: what was asked for, or all examples if they are fewer."""
    devices = len(run.devices) * run.cluster.count
    check_batch_splits(asked, devices)
    size = min(asked, examples // devices * devices)
    if size == 0:
        raise DataError(f"{examples} examples to train on are too few for {devices} device(s)")
    if size < asked:
        run.reporter.message(f"batch size {size}: the training data has no more examples")
    return size


def predict(network: HybridBlock, x: Array, device: Context) -> Any:
    """Deprecated: ``Model.outputs``. The network's outputs (N, …) for ``x`` (N, …)."""
    warnings.warn(
        "training.loop.predict will go with the next release: call model.outputs(x)",
        DeprecationWarning,
        stacklevel=2,
    )
    return outputs(GluonNetwork(network, device), x)


keep_old_names(__name__, "training.loop")
