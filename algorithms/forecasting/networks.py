"""The networks: windows of series (N, context + horizon, channels) to quantiles of what follows.

A window is in the units of its series; the network brings it to a common size and back, so that a
model of ONNX takes and gives the same numbers. This module imports mxnet, so import it only inside
functions that build a network.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Mapping, Sequence

from ...core import mx
from ...core.data.frequencies import Frequency
from ...core.data.windows import KNOWN, LEAST, NONNEGATIVE, OTHERS, TARGET, Layout, bend
from ...core.tasks.forecasts import LEVELS
from ...core.tasks.spreads import MIDDLE

nn = mx.gluon.nn
TINY = 1e-6
OLD = 1e-3  # how much a value before the last season counts for the level
MOST_EARLIER = 7  # seasons of each length that a forecast may be a mean of
LARGEST = 15.0  # of what is learned, beyond which nothing is believed
# Of the quantiles, in deviations from the median, where they are those of a normal distribution.
NORMAL = tuple(NormalDist().inv_cdf(level) for level in LEVELS)
# Of so many horizons to learn from, half of what is learned is believed: a dozen series that rise
# and fall together tell little of how others will.
MANY = 3000
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
        self.bend = bend(encoding)

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
    return max(1, min(16, round(1.6 * math.pow(names, 0.56))))


def recent_mean(ops: Any, values: Any, known: Any, recent: int) -> Any:
    """The mean (N, 1) of ``values`` (N, T), 0 where not ``known``: of the ``recent`` ones, and
    where none of them is known, of all.
    """
    whole = []
    for each in (values, known):
        late = ops.sum(part(ops, each, 1, -recent, None), axis=1, keepdims=True)
        whole.append(late + OLD * ops.sum(each, axis=1, keepdims=True))
    return whole[0] / (whole[1] + TINY)


def mean_change(ops: Any, z: Any, known: Any, season: int) -> Any:
    """How far ``z`` (N, T), where ``known``, is from what it was a ``season`` before, and where no
    two such values are known, from the last one: (N, 1), at least LEAST.
    """
    whole: list[Any] = [0, 0]
    for lag, counts in ((season, 1), (1, OLD)):
        # squared, so that it is no less than 0 of any input
        both = ops.square(part(ops, known, 1, lag, None) * part(ops, known, 1, 0, -lag))
        apart = ops.abs(part(ops, z, 1, lag, None) - part(ops, z, 1, 0, -lag))
        for place, each in enumerate((apart * both, both)):
            whole[place] = whole[place] + counts * ops.sum(each, axis=1, keepdims=True)
    return whole[0] / (whole[1] + TINY) + LEAST


def filled(ops: Any, z: Any, known: Any, season: int) -> tuple[Any, Any]:
    """``z`` (N, T) where ``known``, elsewhere as a ``season`` before; and what is known now."""

    def later(values: Any) -> Any:
        first = ops.zeros_like(part(ops, values, 1, 0, season))
        return ops.concat(first, part(ops, values, 1, 0, -season), dim=1)

    missing = 1 - known
    return z + missing * later(z), known + missing * later(known)


def repeated(ops: Any, values: Any, lag: int, season: int, horizon: int) -> Any:
    """The ``season`` steps of ``values`` (N, T, …) that begin ``lag`` before the end, again and
    again, (N, horizon, …).
    """
    once = part(ops, values, 1, -lag, season - lag or None)
    times = math.ceil(horizon / season)
    return part(ops, ops.concat(*[once] * times, dim=1) if times > 1 else once, 1, 0, horizon)


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
    """Of the past z (N, context), what is known ``besides`` (N, B), and what ``earlier`` seasons
    had (N, horizon, K), where that is ``known``, quantiles (N, horizon, Q).

    They are a mean of the earlier seasons, by weights that the network gives each window, and by
    how much they differ from that, in units (N, 1, 1) of the usual change from season to season.
    They begin as those of a normal distribution about the plain mean, and depart from that by what
    is learned of the past, as far as there is ``trust``, and by ``covariates`` (N, horizon, V),
    which are known of the steps to forecast, and ``features`` (N, horizon · F, K), which were those
    of the earlier seasons.
    """

    def __init__(
        self,
        layout: Layout,
        channels: Channels,
        earlier: int,
        hidden: int,
        layers: int,
        trust: float,
        dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.horizon, self.channels = layout.horizon, channels
        small = mx.init.Normal(1e-3)
        with self.name_scope():
            # no constant of Gluon's, whose name in the graph is another one in each process
            self.trust = self.params.get(
                "trust", shape=(1,), init=mx.init.Constant(trust), grad_req="null",
                differentiable=False,
            )  # fmt: skip
            self.weights = nn.Dense(earlier, weight_initializer="zeros")
            self.linear = nn.Dense(layout.horizon, use_bias=False, weight_initializer="zeros")
            self.first = nn.Dense(hidden, activation="relu")
            self.blocks = nn.HybridSequential()
            for _ in range(layers):
                self.blocks.add(Residual(hidden, dropout))
            self.last = nn.Dense(layout.horizon * len(LEVELS), weight_initializer=small)
            if channels.covariates:
                self.told = nn.Dense(COVARIATES, flatten=False, activation="relu")
                self.step = nn.Dense(2 * COVARIATES, flatten=False, activation="relu")
                self.direct = nn.Dense(len(LEVELS), flatten=False, weight_initializer=small)

    def hybrid_forward(
        self,
        ops: Any,
        z: Any,
        besides: Any,
        earlier: Any,
        known: Any,
        unit: Any,
        covariates: Any = None,
        features: Any = None,
        *,
        trust: Any,
    ) -> Any:
        given = [z, besides]
        if covariates is not None:
            given.append(ops.flatten(self.told(covariates)))
        hidden = self.blocks(self.first(ops.concat(*given, dim=1)))
        weights = ops.expand_dims(ops.softmax(self.weights(hidden), axis=1), axis=2)
        base = ops.batch_dot(earlier * known, weights) / (ops.batch_dot(known, weights) + TINY)
        found = ops.reshape(self.last(hidden), shape=(-1, self.horizon, len(LEVELS)))
        found = ops.broadcast_add(found, ops.expand_dims(self.linear(z), axis=2))
        found = ops.broadcast_mul(found, ops.reshape(trust, shape=(1, 1, 1)))
        if covariates is not None:
            told = [found, covariates]
            if features is not None:
                before = ops.batch_dot(features, weights)
                before = ops.reshape(before, shape=(-1, self.horizon, self.channels.features))
                now = part(ops, covariates, 2, -self.channels.features, None)
                told.append(now - before)
            found = found + self.direct(self.step(ops.concat(*told, dim=2)))
        normal = ops.concat(*[ops.ones_like(trust) * each for each in NORMAL], dim=0)
        found = ops.broadcast_add(found, ops.reshape(normal, shape=(1, 1, -1)))
        return ops.broadcast_add(ops.broadcast_mul(found, unit), base)


class Tide(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Dense layers over the whole past and what is known of the future, which say of which earlier
    seasons the future is a mean, and by how much it differs from that.

    Values are taken by their logarithm, but near 0 (see ``bend``): what varies with the level of a
    series is then alike for all, and a small value is as exact as a large one.

    After A. Das et al., "Long-term forecasting with TiDE: time-series dense encoder", TMLR 2023: a
    linear way past the dense blocks, and covariates of each step that have a say in it directly.
    Several ``members`` begin differently and learn by themselves; their mean is the answer. Of few
    ``examples``, the horizons there are to learn from, little is believed (see MANY).
    """

    def __init__(
        self,
        layout: Layout,
        encoding: Mapping[str, Any],
        *,
        hidden: int,
        layers: int,
        members: int,
        examples: int,
        dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.layout, self.channels = layout, Channels(encoding)
        self.seasons = [n for n in self.channels.seasons if n < layout.context] or [1]
        # what is repeated: how long it is, and how long before the end it begins
        self.earlier = [
            (season, back * season)
            for season in self.seasons
            for back in range(1, 1 + min(MOST_EARLIER, layout.context // season))
        ]
        trust = examples / (examples + MANY)
        with self.name_scope():
            self.members = nn.HybridSequential()
            for _ in range(members):
                self.members.add(
                    Member(layout, self.channels, len(self.earlier), hidden, layers, trust, dropout)
                )
            if self.channels.names:
                self.categories = Categories(self.channels.names)
            self.spread = self.params.get(
                "spread", shape=(len(LEVELS),), init="ones", grad_req="null", differentiable=False
            )

    def hybrid_forward(self, ops: Any, x: Any, spread: Any) -> Any:
        layout, channels = self.layout, self.channels
        past = part(ops, x, 1, 0, layout.context)
        target, known = channel(ops, past, TARGET), channel(ops, past, KNOWN)
        recent = min(self.seasons[-1], layout.context)
        size = recent_mean(ops, ops.abs(target), known, recent)
        unit = channels.bend * ops.where(size > 0, size, ops.ones_like(size))
        z = ops.arcsinh(ops.broadcast_div(target, unit))
        level = recent_mean(ops, z, known, recent)
        z = ops.broadcast_sub(z, level) * known
        changes = [mean_change(ops, z, known, season) for season in self.seasons]
        besides = [ops.mean(known, axis=1, keepdims=True), level, *map(ops.log, changes)]
        for season in self.seasons:
            z, known = filled(ops, z, known, season)
        if channels.names:
            numbers = part(ops, past, 2, channels.first_category, None)
            numbers = ops.reshape(part(ops, numbers, 1, 0, 1), shape=(0, -1))
            besides.append(self.categories(numbers))
        earlier = ops.broadcast_sub(self._earlier(ops, z), self._levels(ops, z, known, recent))
        given = [z, ops.concat(*besides, dim=1), earlier, self._earlier(ops, known)]
        given.append(ops.expand_dims(changes[-1], axis=2))
        if channels.covariates:
            future = part(ops, x, 1, layout.context, None)
            given.append(part(ops, future, 2, OTHERS, channels.first_category))
        if channels.features:
            first = OTHERS + channels.calendar
            given.append(self._earlier(ops, part(ops, past, 2, first, channels.first_category)))
        level, unit = (ops.expand_dims(each, axis=2) for each in (level, unit))
        found = [
            ops.broadcast_mul(ops.sinh(ops.clip(each, -LARGEST, LARGEST)), unit)
            for each in (ops.broadcast_add(member(*given), level) for member in self.members)
        ]
        return ops.concat(*[_spread(ops, each, spread) for each in found], dim=2)

    def _levels(self, ops: Any, z: Any, known: Any, recent: int) -> Any:
        """How high ``z`` was in the ``recent`` steps up to the end of each earlier season, (N, 1,
        K): so much each is moved, so that all are about the level of the last one, which is 0.
        """
        found = []
        for season, lag in self.earlier:
            end = self.layout.context - lag + season
            sums = [
                ops.sum(part(ops, each, 1, max(0, end - recent), end), axis=1, keepdims=True)
                for each in (z, ops.square(known))
            ]
            found.append(sums[0] / (sums[1] + TINY))
        return ops.stack(*found, axis=2)

    def _earlier(self, ops: Any, values: Any) -> Any:
        """What ``values`` (N, context, …) were in each earlier season, (N, horizon · …, K)."""
        horizon = self.layout.horizon
        found = [repeated(ops, values, lag, season, horizon) for season, lag in self.earlier]
        return ops.stack(*[ops.flatten(each) for each in found], axis=2)


def _spread(ops: Any, q: Any, spread: Any) -> Any:
    """Quantiles (N, horizon, Q), each ``spread`` (Q,) times as far from the median."""
    median = part(ops, q, 2, MIDDLE, MIDDLE + 1)
    apart = ops.broadcast_sub(q, median)
    apart = ops.broadcast_mul(apart, ops.reshape(spread, shape=(1, 1, -1)))
    return ops.broadcast_add(apart, median)
