"""The engine: forward, backward and update over any number of devices; the learning-rate schedule.

    engine = Engine(network, loss, hyperparameters, devices)
    inputs, labels = engine.split(x), engine.split(y)
    losses = engine.step(inputs, labels, rate)     # forward, backward, reduce, update
    arrays = engine.state()                        # for a checkpoint; engine.restore(arrays, step)

An author who writes an own loop uses these; the ready loop is built of nothing else.
"""

from __future__ import annotations

import math
from typing import Any, Iterator, Mapping, Sequence

from ..algorithm.hyperparameters import TrainingHyperparameters
from ..runtime import mx
from ..runtime.devices import on_device
from ..runtime.types import Array, Context, HybridBlock, NDArray
from .graphs import LossScale, all_finite, in_half_precision, twin
from .reducing import Reducer
from .updates import Updates

# In one store with the gradients, which count from 0. mxnet multiplies a key by 9973 in 32 bits to
# find its server: from 215,328 on it overflows, and reads memory that is not its own.
WEIGHTS_KEY = 100_000
# Among the optimizer's arrays in a checkpoint, whose names begin with a number.
SCALE = "loss_scale"
# Of lookahead: how much of the running average a step keeps in the end, and by which power of the
# training that is done it comes to that.
KEPT, POWER = 0.95, 3


class Schedule:
    """The learning rate of every step: a linear warm-up, then a cosine, a line, steps, or a level.

    Cosine: I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts",
    arXiv:1608.03983. Steps: K. He et al., "Deep residual learning for image recognition",
    arXiv:1512.03385. Scaling by the batch: P. Goyal et al., "Accurate, large minibatch SGD",
    arXiv:1706.02677. A function of the step alone, so a resumed run goes on as it would have.
    """

    def __init__(self, hyperparameters: TrainingHyperparameters, steps: int) -> None:
        reference = hyperparameters.reference_batch
        scale = hyperparameters.batch_size / reference if reference else 1.0
        self.highest = hyperparameters.learning_rate * scale
        self.warmup = round(hyperparameters.warmup * steps)
        self.steps = steps
        self.kind = hyperparameters.schedule

    def __call__(self, step: int) -> float:
        """The learning rate of step ``step``, the first being 0."""
        if step < self.warmup:
            return self.highest * (step + 1) / (self.warmup + 1)
        if self.kind == "step":
            falls = (2 * step >= self.steps) + (4 * step >= 3 * self.steps)
            return self.highest * 0.1**falls
        if self.kind == "constant":
            return self.highest
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.kind == "linear":
            return self.highest * (1 - done)
        return self.highest * (1 + math.cos(math.pi * done)) / 2


class Engine:
    """A network with its parameters on ``devices``, and the optimizer that moves them.

    The parameters must be initialized, their shapes known. With several devices each holds a
    replica; gradients are summed through ``kvstore`` (a name, or the store of ``hosts`` hosts),
    and every replica makes the same update. Replicas differ in one thing: the running statistics
    of batch normalization are those of the part of the data that each has seen, and the first
    device's are kept.
    """

    def __init__(
        self,
        network: HybridBlock,
        loss: Any,
        hyperparameters: TrainingHyperparameters,
        devices: Sequence[Context],
        kvstore: Any = None,
        hosts: int = 1,
    ) -> None:
        self.network = network
        self.loss = loss
        self.devices = devices
        self.hosts = hosts
        self.clip_norm = hyperparameters.clip_norm
        loss.hybridize(static_alloc=True, static_shape=True)
        self.scale = LossScale() if hyperparameters.precision == "mixed" else None
        if self.scale is None:
            self.forward = twin(network)
        else:  # a processor computes in bfloat16 alone, slowly: for tests
            on_gpu = devices[0].device_type == "gpu"
            self.forward = in_half_precision(network, "float16" if on_gpu else "bfloat16")
        self.reducer = Reducer(kvstore)
        self.updates = Updates(self._parameters(), devices, hyperparameters)
        self._trained = [p for p in self._parameters() if p.grad_req != "null"]
        self._begin_alike()
        # The running averages of lookahead, of what ``_held`` names.
        self._averages = (
            {name: arrays[0].copy() for name, arrays in self._held()}
            if hyperparameters.lookahead
            else {}
        )
        self._kept = KEPT**hyperparameters.lookahead

    def split(self, batch: Array | NDArray) -> list[NDArray]:
        """A batch (B, …) as one part a device, (B / devices, …) each."""
        whole = batch if isinstance(batch, mx.nd.NDArray) else on_device(batch, self.devices[0])
        if len(self.devices) == 1:
            return [whole]
        size = len(whole) // len(self.devices)
        return [
            whole[i * size : (i + 1) * size].as_in_context(device)
            for i, device in enumerate(self.devices)
        ]

    def step(
        self, inputs: Sequence[NDArray], labels: Sequence[NDArray], rate: float
    ) -> list[NDArray]:
        """Forward, backward, reduce and update at learning rate ``rate``.

        Returns each device's loss of every example, (B / devices,), without waiting for it.
        """
        scale = 1.0 if self.scale is None else self.scale.value
        with mx.autograd.record():
            losses = [self.loss(self.forward(x), y) for x, y in zip(inputs, labels)]
            heads = losses if self.scale is None else [loss * scale for loss in losses]
        mx.autograd.backward(heads)
        self.reduce()
        # The gradients are sums over so many examples, each scaled.
        total = sum(len(loss) for loss in losses) * self.hosts * scale
        if self.scale is not None and not self.scale.accepts(self._gradients(0)):
            return losses
        if self.clip_norm:
            self._clip(self.clip_norm * total)
        self.updates.update(rate, total)
        return losses

    def reduce(self) -> None:
        """Sum every gradient over all devices and hosts, in place."""
        if self.reducer.store is None:
            return
        self.reducer.reduce({parameter.name: parameter.list_grad() for parameter in self._trained})

    def look_ahead(self, done: float) -> None:
        """Draw the weights, and running statistics, to their running average, which they move.

        ``done`` is the fraction of the training that is done. M. Zhang et al., "Lookahead
        optimizer: k steps forward, 1 step back", arXiv:1907.08610; that the average follows ever
        more slowly is of K. Jordan, "94% on CIFAR-10 in 3.29 seconds", arXiv:2404.00498.
        """
        share = 1 - self._kept * done**POWER
        for name, arrays in self._held():
            average = self._averages[name]
            average += share * (arrays[0] - average)
            for array in arrays:
                average.copyto(array)

    def _clip(self, limit: float) -> None:
        """Scale all gradients so that their common norm is at most ``limit``, without waiting.

        R. Pascanu et al., "On the difficulty of training recurrent neural networks",
        arXiv:1211.5063.
        """
        for i in range(len(self.devices)):
            gradients = self._gradients(i)
            squares = mx.nd.multi_sum_sq(*gradients, num_arrays=len(gradients))
            scale = mx.nd.minimum(limit / (squares.sum().sqrt() + 1e-12), 1.0)
            for gradient in gradients:
                gradient *= scale

    def _gradients(self, device: int) -> list[NDArray]:
        return [parameter.list_grad()[device] for parameter in self._trained]

    def _begin_alike(self) -> None:
        """Every replica, on every host, begins with the parameters of the chief's first device."""
        store = self.reducer.store
        if store is None:
            return
        for key, parameter in enumerate(self._trained, WEIGHTS_KEY):
            # A copy: the forward pass may have left it in oneDNN's layout, which no store sends.
            store.init(key, parameter.data(self.devices[0]).copy())
            store.pull(key, out=parameter.list_data())

    def parameters(self) -> dict[str, NDArray]:
        """A copy of every parameter as the first device has it, in this machine's memory.

        Without waiting for what the device has yet to do.
        """
        cpu = mx.cpu()
        return {p.name: p.data(self.devices[0]).copyto(cpu) for p in self._parameters()}

    def replace(self, parameters: Mapping[str, NDArray]) -> None:
        """Give every replica ``parameters``, which ``parameters`` gave before."""
        for parameter in self._parameters():
            parameter.set_data(parameters[parameter.name])

    def is_finite(self) -> bool:
        """Whether every parameter is a number."""
        return all_finite([parameter.data(self.devices[0]) for parameter in self._trained])

    def state(self) -> dict[str, dict[str, NDArray]]:
        """All that the next step depends on, as named arrays: ``network``, ``optimizer`` and
        lookahead's ``averages``, as far as there are any.
        """
        network = {name: arrays[0] for name, arrays in self._held()}
        optimizer = self.updates.state()
        if self.scale is not None:
            optimizer[SCALE] = self.scale.state()
        parts = {"optimizer": optimizer, "averages": self._averages}
        return {"network": network, **{name: part for name, part in parts.items() if part}}

    def _held(self) -> Iterator[tuple[str, list[NDArray]]]:
        """Every array of the network by name, and the replicas' that are always the same."""
        for parameter in self._parameters():
            if parameter.grad_req == "null":  # running statistics, of each replica its own
                for i, device in enumerate(self.devices):
                    yield f"{parameter.name}@{i}", [parameter.data(device)]
            else:
                yield parameter.name, parameter.list_data()

    def restore(self, arrays: Mapping[str, Mapping[str, NDArray]], step: int) -> None:
        """Go on from ``arrays``, which ``state`` gave after ``step`` steps."""
        for name, replicas in self._held():
            for replica in replicas:
                arrays["network"][name].copyto(replica)
        for name, average in self._averages.items():
            arrays["averages"][name].copyto(average)
        saved = arrays.get("optimizer", {})
        if self.scale is not None:
            self.scale.restore(saved[SCALE])
        self.updates.restore(saved, step)

    def _parameters(self) -> list[Any]:
        return list(self.network.collect_params().values())
