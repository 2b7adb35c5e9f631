"""DeepAR: an LSTM that goes along a series and says step by step how the next value is distributed.

D. Salinas et al., "DeepAR: probabilistic forecasting with autoregressive recurrent networks",
International Journal of Forecasting 36, 2020. It is trained over whole windows at once, and kept as
the graph of one step, which is asked again and again: what is drawn of one step's distribution is
among the next one's inputs. So any distribution can be drawn from, and ONNX Runtime draws the same.
This module imports mxnet, so import it only inside functions that build or ask a network.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from ...core import Array, HybridBlock, mx
from ...core.artifact.network import Network
from ...core.data.windows import KNOWN, OTHERS, TARGET
from ...core.tasks.forecasting import mean_of_known, parted_labels
from .likelihoods import Likelihood
from .networks import Categories, Channels, channel, filled, part

nn, rnn = mx.gluon.nn, mx.gluon.rnn
ROWS = 4096  # of steps that are computed at once
SEED = 0  # of what is drawn, so that the same question has the same answer


class DeepAr(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Windows (N, context + horizon, channels), in which what is to be forecast is there too, to
    the parameters of the distribution of each step after the longest lag, and the size of the
    series: (N, steps, P + 1).
    """

    def __init__(
        self,
        context: int,
        encoding: Mapping[str, Any],
        likelihood: Likelihood,
        lags: Sequence[int],
        *,
        cells: int,
        layers: int,
        dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.context, self.channels, self.likelihood = context, Channels(encoding), likelihood
        self.lags, self.cells, self.layers = tuple(lags), cells, layers
        with self.name_scope():
            if self.channels.names:
                self.categories = Categories(self.channels.names)
            self.lstm = rnn.LSTM(cells, layers, dropout=dropout, input_size=self.width)
            self.head = nn.Dense(likelihood.parameters, flatten=False, in_units=cells)

    @property
    def told(self) -> int:
        """How many numbers a step is told besides its categories."""
        return told_width(self.channels, self.lags)

    @property
    def width(self) -> int:
        """How many numbers the LSTM is given for a step."""
        return self.told + self.channels.vector

    def hybrid_forward(self, ops: Any, x: Any) -> Any:
        channels, first = self.channels, max(self.lags)
        target, known = channel(ops, x, TARGET), channel(ops, x, KNOWN)
        past, past_known = (part(ops, each, 1, 0, self.context) for each in (target, known))
        count = ops.sum(past_known, axis=1, keepdims=True)
        size = ops.sum(ops.abs(past), axis=1, keepdims=True) / ops.broadcast_maximum(
            count, ops.ones_like(count)
        )
        size = ops.where(size > 0, size, ops.ones_like(size))
        z = ops.broadcast_div(target, size)
        whole = known
        for season in channels.seasons:
            z, whole = filled(ops, z, whole, season)
        told = [part(ops, z, 1, first - lag, -lag) for lag in self.lags]
        told.append(part(ops, known, 1, first - 1, -1))
        each = ops.ones_like(told[0])
        told.append(ops.broadcast_mul(ops.log(size), each))
        told = [ops.expand_dims(values, axis=2) for values in told]
        each = ops.expand_dims(each, axis=2)
        rest = part(ops, x, 1, first, None)
        if channels.covariates:
            told.append(part(ops, rest, 2, OTHERS, channels.first_category))
        if channels.names:
            numbers = part(ops, part(ops, rest, 1, 0, 1), 2, channels.first_category, None)
            vector = self.categories(ops.reshape(numbers, shape=(0, -1)))
            told.append(ops.broadcast_mul(ops.expand_dims(vector, axis=1), each))
        inputs = ops.transpose(ops.concat(*told, dim=2), axes=(1, 0, 2))
        states = ops.transpose(self.lstm(inputs), axes=(1, 0, 2))
        found = self.likelihood.positive(ops, self.head(states), 2)
        return ops.concat(found, ops.broadcast_mul(ops.expand_dims(size, axis=2), each), dim=2)


class Step(mx.gluon.HybridBlock):  # type: ignore[misc]
    """One step of a DeepAr with the same parameters: what it is told, its categories and the states
    of the LSTM, (N, told + C + 2 · layers · cells), to the distribution's parameters and the new
    states, (N, P + 2 · layers · cells).
    """

    def __init__(self, whole: DeepAr) -> None:
        super().__init__(prefix="step_")
        self.told, self.names = whole.told, len(whole.channels.names)
        self.cells, self.layers, self.likelihood = whole.cells, whole.layers, whole.likelihood
        if self.names:
            self.categories = whole.categories
        self.lstm, self.head = whole.lstm, whole.head
        for layer in range(self.layers):
            for way in ("i2h", "h2h"):
                for kind in ("weight", "bias"):
                    name = f"l{layer}_{way}_{kind}"
                    setattr(self, name, getattr(whole.lstm, name))

    def hybrid_forward(self, ops: Any, x: Any, **weights: Any) -> Any:
        value = part(ops, x, 1, 0, self.told)
        first = self.told + self.names
        if self.names:
            value = ops.concat(value, self.categories(part(ops, x, 1, self.told, first)), dim=1)
        states = []
        for layer in range(self.layers):
            begin = first + 2 * layer * self.cells
            hidden = part(ops, x, 1, begin, begin + self.cells)
            memory = part(ops, x, 1, begin + self.cells, begin + 2 * self.cells)
            gates = [
                ops.FullyConnected(
                    each,
                    weights[f"l{layer}_{way}_weight"],
                    weights[f"l{layer}_{way}_bias"],
                    num_hidden=4 * self.cells,
                )
                for each, way in ((value, "i2h"), (hidden, "h2h"))
            ]
            let, keep, new, out = (
                part(ops, gates[0] + gates[1], 1, k * self.cells, (k + 1) * self.cells)
                for k in range(4)
            )
            memory = ops.sigmoid(keep) * memory + ops.sigmoid(let) * ops.tanh(new)
            value = ops.sigmoid(out) * ops.tanh(memory)
            states += [value, memory]
        found = self.likelihood.positive(ops, self.head(value), 1)
        return ops.concat(found, *states, dim=1)


def told_width(channels: Channels, lags: Sequence[int]) -> int:
    """How many numbers a step is told besides its categories and the states."""
    return len(lags) + 2 + channels.covariates


def negative_log_likelihood(likelihood: Likelihood) -> HybridBlock:
    """The mean over the steps that are known, of what a DeepAr gives, (B, steps, P + 1)."""

    class NegativeLogLikelihood(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any, labels: Any) -> Any:  # noqa: N803
            truth, known, _ = parted_labels(F, labels)
            *parameters, size = (
                F.reshape(part(F, found, 2, k, k + 1), shape=(0, -1))
                for k in range(likelihood.parameters + 1)
            )
            return mean_of_known(F, likelihood.loss(F, truth, parameters, size), known)

    return NegativeLogLikelihood()


def paths(
    network: Network,
    x: Array,
    channels: Channels,
    likelihood: Likelihood,
    lags: Sequence[int],
    *,
    horizon: int,
    states: int,
    samples: int,
) -> Array:
    """Sample paths (N, samples, horizon) float32 of what follows in windows ``x``, (N, context +
    horizon, channels); there are ``states`` numbers in a step's states. Each window is drawn for
    by a generator of its own, so that its answer does not depend on what else is asked.
    """
    at_once = max(1, ROWS // samples)
    arguments = (channels, likelihood, lags, horizon, states, samples)
    parts = [
        _paths(network, x[first : first + at_once], *arguments)
        for first in range(0, len(x), at_once)
    ]
    return np.concatenate(parts)


def _paths(
    network: Network,
    x: Array,
    channels: Channels,
    likelihood: Likelihood,
    lags: Sequence[int],
    horizon: int,
    states: int,
    samples: int,
) -> Array:
    context, first = x.shape[1] - horizon, max(lags)
    known = x[:, :context, KNOWN]
    size = np.abs(x[:, :context, TARGET]).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    size = np.where(size > 0, size, 1).astype(np.float32)[:, None]
    z = np.concatenate([x[:, :context, TARGET] / size, np.zeros((len(x), horizon))], axis=1)
    z = _filled(z.astype(np.float32), known, channels.seasons)
    known = np.concatenate([known, np.ones((len(x), horizon), np.float32)], axis=1)
    others, numbers = np.split(x[:, :, OTHERS:], [channels.covariates], axis=2)
    state = np.zeros((len(x), states), np.float32)

    def asked(step: int) -> Array:
        told = [z[:, step - lag] for lag in lags]
        told = np.stack([*told, known[:, step - 1], np.log(size[:, 0])], axis=1)
        return np.concatenate([told, others[:, step], numbers[:, step], state], axis=1)

    for step in range(first, context):
        state = network.compute(asked(step))[0][:, likelihood.parameters :]
    z, known, others, numbers, state, size = (
        np.repeat(each, samples, axis=0) for each in (z, known, others, numbers, state, size)
    )
    generators = [np.random.default_rng(SEED) for _ in range(len(x))]
    for step in range(context, context + horizon):
        found = network.compute(asked(step))[0]
        parameters, state = np.split(found, [likelihood.parameters], axis=1)
        parts = zip(*(np.split(each, len(x)) for each in (parameters, size[:, 0])), generators)
        drawn = np.concatenate([likelihood.draw(rng, p.T, each) for p, each, rng in parts])
        if channels.nonnegative:
            drawn = np.maximum(drawn, 0)
        z[:, step] = drawn / size[:, 0]
    every: Array = (z[:, context:] * size).reshape(len(x), samples, horizon)
    return every.astype(np.float32)


def _filled(z: Array, known: Array, seasons: Sequence[int]) -> Array:
    """As ``networks.filled`` does by each of ``seasons``: of the past, ``known`` (N, context)."""
    z, known = z.copy(), known.copy()
    for season in seasons:
        before, before_known = (np.zeros_like(each[:, : known.shape[1]]) for each in (z, known))
        before[:, season:] = z[:, : known.shape[1] - season]
        before_known[:, season:] = known[:, :-season]
        z[:, : known.shape[1]] += (1 - known) * before
        known = known + (1 - known) * before_known
    return z
