"""The update of every parameter: Adam, or stochastic gradient descent with momentum or Nesterov's.

The operators are mxnet's, and so are the results, to the bit. Gluon's Trainer asks and translates
for each parameter in every step what never changes: with six parameters a fifth of the processor's
time in a step of 1.5 ms. Here all but the rate is translated once.

Adam: D. Kingma and J. Ba, arXiv:1412.6980.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any, Iterator, Mapping, Sequence

from ..algorithm.hyperparameters import TrainingHyperparameters
from ..runtime import mx
from ..runtime.errors import PluginError
from ..runtime.types import Context, NDArray

BETA1, EPSILON = 0.9, 1e-8
AT_ONCE = 4  # weights that one operator of mxnet's updates by SGD
SHOWN = 5  # names in a message


class Call:
    """The operator ``name`` on ``inputs``, into ``outputs``; called with what is new each time."""

    def __init__(
        self,
        name: str,
        inputs: Sequence[NDArray],
        outputs: Sequence[NDArray],
        settings: Mapping[str, Any],
        new: Sequence[str],
    ) -> None:
        base = mx.base
        self._kept = inputs, outputs  # as long as their handles
        self._name = ctypes.c_void_p()
        base.check_call(base._LIB.NNGetOpHandle(base.c_str(name), ctypes.byref(self._name)))
        pointer = ctypes.POINTER(base.NDArrayHandle)
        self._inputs = base.c_handle_array(inputs)
        self._handles = base.c_handle_array(outputs)
        self._outputs = ctypes.cast(self._handles, pointer)
        self._counts = ctypes.c_int(len(inputs)), ctypes.c_int(len(outputs))
        self._keys = base.c_str_array([*new, *settings])
        self._values = base.c_str_array([*("" for _ in new), *map(str, settings.values())])
        self._settings = ctypes.c_int(len(self._keys))
        self._kinds = ctypes.POINTER(ctypes.c_int)()

    def __call__(self, *new: Any) -> None:
        base = mx.base
        for place, value in enumerate(new):
            self._values[place] = str(value).encode()
        base.check_call(
            base._LIB.MXImperativeInvokeEx(
                self._name,
                self._counts[0],
                self._inputs,
                ctypes.byref(self._counts[1]),
                ctypes.byref(self._outputs),
                self._settings,
                self._keys,
                self._values,
                ctypes.byref(self._kinds),
            )
        )


class Updates:
    """What the optimizer remembers of ``parameters`` on each of ``devices``, and how it moves them.

    ``steps`` were made. The parameters are all of a network's, by whose order what is remembered is
    named in a checkpoint; those that no gradient moves have nothing.
    """

    def __init__(
        self,
        parameters: Sequence[Any],
        devices: Sequence[Context],
        hyperparameters: TrainingHyperparameters,
    ) -> None:
        self.steps = 0
        self._options = hyperparameters
        in_order = sorted(parameters, key=lambda each: str(each.name))
        self._trained = [(i, p) for i, p in enumerate(in_order) if p.grad_req != "null"]
        self._devices = devices
        self._memory: list[dict[str, NDArray]] = []
        self._calls: list[tuple[Call, list[float]]] = []
        for place, device in enumerate(devices):
            self._memory.append(
                {
                    f"{index}.{slot}": mx.nd.zeros(p.shape, device, dtype=p.dtype)
                    for index, p in self._trained
                    for slot in range(self._slots)
                }
            )
            self._calls += self._calls_on(place)
        self._back = [*self._moves(1.0)]
        self._forward = [*self._moves(-1.0)]

    @property
    def _slots(self) -> int:
        """How many arrays of a parameter's shape are remembered of it."""
        adam = self._options.optimizer == "adam"
        return 2 if adam else int(self._options.momentum > 0)

    def _calls_on(self, place: int) -> Iterator[tuple[Call, list[float]]]:
        """The calls that update a device, each with what its rates are multiplied by."""
        options, memory = self._options, self._memory[place]
        adam = options.optimizer == "adam"
        size = 1 if adam else AT_ONCE
        for start in range(0, len(self._trained), size):
            group = self._trained[start : start + size]
            inputs = [
                array
                for index, p in group
                for array in (
                    p.list_data()[place],
                    p.list_grad()[place],
                    *(memory[f"{index}.{slot}"] for slot in range(self._slots)),
                )
            ]
            outputs = [p.list_data()[place] for _, p in group]
            decays = [options.weight_decay * p.wd_mult for _, p in group]
            settings: dict[str, Any]
            if adam:
                name, new = "adam_update", ("lr", "rescale_grad")
                settings = {"beta1": BETA1, "beta2": options.beta2, "epsilon": EPSILON}
                settings["wd"] = decays[0]
            else:
                name, new = "multi_sgd_update", ("lrs", "rescale_grad")
                settings = {"num_weights": len(group), "wds": decays}
                if options.momentum > 0:
                    name, settings["momentum"] = "multi_sgd_mom_update", options.momentum
            yield Call(name, inputs, outputs, settings, new), [p.lr_mult for _, p in group]

    def _moves(self, sign: float) -> Iterator[Call]:
        """Of nesterov, the calls that move weights back, or forward, by what their momentum has.

        Gradients are of where the momentum alone would lead: Y. Nesterov, 1983, in the form of I.
        Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML
        2013. mxnet's nag_mom_update reads the weights while it writes them: no two runs are alike.
        """
        if self._options.optimizer != "nesterov" or not self._slots:
            return
        for place, memory in enumerate(self._memory):
            for start in range(0, len(self._trained), AT_ONCE):
                group = self._trained[start : start + AT_ONCE]
                weights = [p.list_data()[place] for _, p in group]
                momenta = [memory[f"{index}.0"] for index, _ in group]
                inputs = [array for pair in zip(weights, momenta) for array in pair]
                settings = {
                    "num_weights": len(group),
                    "lrs": [sign * self._options.momentum] * len(group),
                    "wds": [0.0] * len(group),
                }
                yield Call("multi_sgd_update", inputs, weights, settings, ())

    def update(self, rate: float, total: float) -> None:
        """One step at learning rate ``rate``; gradients are sums over ``total`` examples."""
        if not self.steps:
            self._check_reached()
        self.steps += 1
        adam = self._options.optimizer == "adam"
        correction = 1.0
        if adam:
            unbiased = math.sqrt(1.0 - self._options.beta2**self.steps)
            correction = unbiased / (1.0 - BETA1**self.steps)
        for call in self._back:
            call()
        for call, multiples in self._calls:
            rates = [rate * multiple for multiple in multiples]
            call(rates[0] * correction if adam else rates, 1.0 / total)
        for call in self._forward:
            call()

    def _check_reached(self) -> None:
        lost = [p.name for _, p in self._trained if not all(d._fresh_grad for d in p.list_data())]
        if lost:
            more = f" and {len(lost) - SHOWN:,} more" if len(lost) > SHOWN else ""
            raise PluginError(
                f"no gradient reaches {', '.join(lost[:SHOWN])}{more}: the network does not use "
                "what it holds there: leave it out, or set its grad_req to 'null'"
            )

    def state(self) -> dict[str, NDArray]:
        """What is remembered on the first device, by name: on the others it is the same."""
        return dict(self._memory[0])

    def restore(self, state: Mapping[str, NDArray], steps: int) -> None:
        """Go on from ``state`` after so many steps."""
        self.steps = steps
        for memory in self._memory:
            for name, array in memory.items():
                state[name].copyto(array)
