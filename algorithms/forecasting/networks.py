"""The networks: windows of series (N, context + horizon, channels) to quantiles of what follows.

A window is in the units of its series; the network brings it to a common size and back, so that a
model of ONNX takes and gives the same numbers. This module imports mxnet, so import it only inside
functions that build a network.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

from ...core import mx
from ...core.data.frequencies import Frequency
from ...core.data.windows import KNOWN, OTHERS, TARGET, Layout
from ...core.tasks.forecasting import NONNEGATIVE
from ...core.tasks.forecasts import LEVELS
from ...core.tasks.spreads import MIDDLE

nn = mx.gluon.nn
TINY = 1e-6
OLD = 1e-3  # how much a value before the last season counts for the level
COVARIATES = 16  # units of the layer over what is known of a step


class Channels:
    """Where what stands in a window, by its encoding."""

    def __init__(self, encoding: Mapping[str, Any]) -> None:
        frequency = Frequency.parse(encoding["frequency"])
        self.seasons = frequency.seasons
        self.calendar = frequency.calendar_width
        self.features = len(encoding["features"])
        self.names = [len(names) for names in encoding["categories"]]
        self.nonnegative = bool(encoding.get(NONNEGATIVE))

    @property
    def covariates(self) -> int:
        return self.calendar + self.features

    @property
    def vector(self) -> int:
        """How many numbers stand for all categories."""
        return sum(map(vector_width, self.names))

    @property
    def first_category(self) -> int:
        return OTHERS + self.covariates


def part(ops: Any, x: Any, axis: int, begin: int, end: int | None) -> Any:
    return ops.slice_axis(x, axis=axis, begin=begin, end=end)


def channel(ops: Any, x: Any, place: int) -> Any:
    """(N, T) of a window."""
    return ops.reshape(part(ops, x, 2, place, place + 1), shape=(0, -1))


class Categories(mx.gluon.HybridBlock):  # type: ignore[misc]
    """A vector (N, D) for the categories of windows."""

    def __init__(self, names: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.tables = nn.HybridSequential()
            for count in names:
                self.tables.add(nn.Embedding(count + 1, vector_width(count)))

    def hybrid_forward(self, ops: Any, numbers: Any) -> Any:
        found = [
            table(ops.reshape(part(ops, numbers, 1, place, place + 1), shape=(-1,)))
            for place, table in enumerate(self.tables)
        ]
        return found[0] if len(found) == 1 else ops.concat(*found, dim=1)


def vector_width(names: int) -> int:
    """How many numbers stand for a category of so many names."""
    return max(1, min(16, round(1.6 * names**0.56)))


def scaled(ops: Any, target: Any, known: Any, recent: int) -> tuple[Any, Any, Any]:
    """``target`` (N, T) less its level, by its size, 0 where it is not ``known``; its level and its
    size (N, 1): means of the values and of their absolutes, of the ``recent`` ones above all.
    """
    late, late_known = (part(ops, each, 1, -recent, None) for each in (target, known))

    def mean(values: Any, late_values: Any) -> Any:
        sums = ops.sum(late_values, axis=1, keepdims=True) + OLD * ops.sum(
            values, axis=1, keepdims=True
        )
        counts = ops.sum(late_known, axis=1, keepdims=True) + OLD * ops.sum(
            known, axis=1, keepdims=True
        )
        return sums / (counts + TINY)

    level = mean(target, late)
    size = mean(ops.abs(target), ops.abs(late))
    size = ops.where(size > 0, size, ops.ones_like(size))
    z = ops.broadcast_div(ops.broadcast_sub(target, level), size) * known
    return z, level, size


def filled(ops: Any, z: Any, known: Any, season: int) -> tuple[Any, Any]:
    """``z`` (N, T) where ``known``, elsewhere as a ``season`` before; and what is known now."""

    def later(values: Any) -> Any:
        first = ops.zeros_like(part(ops, values, 1, 0, season))
        return ops.concat(first, part(ops, values, 1, 0, -season), dim=1)

    missing = 1 - known
    return z + missing * later(z), known + missing * later(known)


def repeated(ops: Any, z: Any, season: int, horizon: int) -> Any:
    """The last ``season`` of ``z`` (N, T), again and again, (N, horizon)."""
    last = part(ops, z, 1, -season, None)
    times = math.ceil(horizon / season)
    return part(ops, ops.concat(*[last] * times, dim=1) if times > 1 else last, 1, 0, horizon)


class Residual(mx.gluon.HybridBlock):  # type: ignore[misc]
    """x plus two layers of it."""

    def __init__(self, units: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.inner = nn.Dense(units, activation="relu")
            self.dropout = nn.Dropout(dropout)
            self.outer = nn.Dense(units)

    def hybrid_forward(self, ops: Any, x: Any) -> Any:
        return x + self.outer(self.dropout(self.inner(x)))


class Member(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Of the scaled past (N, context), and of what is known besides, quantiles (N, horizon, Q)."""

    def __init__(
        self,
        layout: Layout,
        covariates: int,
        hidden: int,
        layers: int,
        dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.horizon, self.covariates = layout.horizon, covariates
        small = mx.init.Normal(1e-3)
        with self.name_scope():
            self.linear = nn.Dense(layout.horizon, use_bias=False, weight_initializer="zeros")
            self.first = nn.Dense(hidden, activation="relu")
            self.blocks = nn.HybridSequential()
            for _ in range(layers):
                self.blocks.add(Residual(hidden, dropout))
            self.last = nn.Dense(layout.horizon * len(LEVELS), weight_initializer=small)
            if covariates:
                self.known = nn.Dense(COVARIATES, flatten=False, activation="relu")
                self.step = nn.Dense(2 * COVARIATES, flatten=False, activation="relu")
                self.direct = nn.Dense(len(LEVELS), flatten=False, weight_initializer=small)

    def hybrid_forward(self, ops: Any, z: Any, besides: Any, covariates: Any = None) -> Any:
        told = [ops.arcsinh(z), besides]
        if self.covariates:
            known = self.known(covariates)
            told.append(ops.flatten(known))
        hidden = self.blocks(self.first(ops.concat(*told, dim=1)))
        found = ops.reshape(self.last(hidden), shape=(-1, self.horizon, len(LEVELS)))
        if self.covariates:
            found = found + self.direct(self.step(ops.concat(found, covariates, dim=2)))
        return ops.broadcast_add(found, ops.expand_dims(self.linear(z), axis=2))


class Tide(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Dense layers over the whole past and what is known of the future, which say by how much the
    future differs from the past a season before.

    After A. Das et al., "Long-term forecasting with TiDE: time-series dense encoder", TMLR 2023: a
    linear way past the dense blocks, and covariates of each step that have a say in it directly.
    Several ``members`` begin differently and learn by themselves; their mean is the answer.
    """

    def __init__(
        self,
        layout: Layout,
        encoding: Mapping[str, Any],
        *,
        hidden: int,
        layers: int,
        members: int,
        dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.layout, self.channels = layout, Channels(encoding)
        self.seasons = [n for n in self.channels.seasons if n < layout.context] or [1]
        with self.name_scope():
            self.members = nn.HybridSequential()
            for _ in range(members):
                self.members.add(Member(layout, self.channels.covariates, hidden, layers, dropout))
            if self.channels.names:
                self.categories = Categories(self.channels.names)
            self.spread = self.params.get(
                "spread", shape=(len(LEVELS),), init="ones", grad_req="null", differentiable=False
            )

    def hybrid_forward(self, ops: Any, x: Any, spread: Any) -> Any:
        layout, channels = self.layout, self.channels
        past = part(ops, x, 1, 0, layout.context)
        known = channel(ops, past, KNOWN)
        recent = min(self.seasons[-1], layout.context)
        z, level, size = scaled(ops, channel(ops, past, TARGET), known, recent)
        count = ops.mean(known, axis=1, keepdims=True)
        for season in self.seasons:
            z, known = filled(ops, z, known, season)
        base = self._repeated(ops, z, known)
        besides = [
            count,
            ops.broadcast_div(level, size),
            ops.mean(ops.abs(z), axis=1, keepdims=True),
        ]
        if channels.names:
            numbers = part(ops, past, 2, channels.first_category, None)
            numbers = ops.reshape(part(ops, numbers, 1, 0, 1), shape=(0, -1))
            besides.append(self.categories(numbers))
        given = [z, ops.concat(*besides, dim=1)]
        if channels.covariates:
            given.append(self._covariates(ops, x))
        base = ops.expand_dims(base, axis=2)
        found = [ops.broadcast_add(member(*given), base) for member in self.members]
        return ops.concat(
            *[self._in_units(ops, each, level, size, spread) for each in found], dim=2
        )

    def _repeated(self, ops: Any, z: Any, known: Any) -> Any:
        """The last longest season again, (N, horizon); of a series that is shorter, where nothing
        is known of it, the last of a shorter one.
        """
        horizon = self.layout.horizon
        found = repeated(ops, z, self.seasons[-1], horizon)
        there = repeated(ops, known, self.seasons[-1], horizon)
        for season in reversed(self.seasons[:-1]):
            found = found + (1 - there) * repeated(ops, z, season, horizon)
            there = there + (1 - there) * repeated(ops, known, season, horizon)
        return found

    def _covariates(self, ops: Any, x: Any) -> Any:
        """What is known of the steps to forecast, (N, horizon, V), and where there are features, by
        how much they differ from those at the steps whose values are repeated.
        """
        layout, channels = self.layout, self.channels
        future = part(ops, x, 1, layout.context, None)
        found = part(ops, future, 2, OTHERS, channels.first_category)
        if not channels.features:
            return found
        first = OTHERS + channels.calendar
        past, coming = (
            part(ops, each, 2, first, channels.first_category)
            for each in (part(ops, x, 1, 0, layout.context), future)
        )
        before = repeated(ops, past, self.seasons[-1], layout.horizon)
        return ops.concat(found, coming - before, dim=2)

    def _in_units(self, ops: Any, q: Any, level: Any, size: Any, spread: Any) -> Any:
        """Quantiles (N, horizon, Q) in the units of the series, ``spread`` apart."""
        median = part(ops, q, 2, MIDDLE, MIDDLE + 1)
        apart = ops.broadcast_mul(
            ops.broadcast_sub(q, median), ops.reshape(spread, shape=(1, 1, -1))
        )
        level, size = (ops.expand_dims(each, axis=2) for each in (level, size))
        found = ops.broadcast_add(ops.broadcast_mul(ops.broadcast_add(apart, median), size), level)
        return ops.relu(found) if self.channels.nonnegative else found
