"""Networks that know a user by what it has had, and an item by who has had it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import HybridBlock, mx
from ...core.data.histories import Histories
from ...core.data.interactions import Interactions
from ...core.tasks.ranking_baselines import usual
from .towers import parted, scored

nn = mx.gluon.nn

# After so many places the weight of a place in the history has fallen to 1/e, before the first step
SOON, LATE = 5.0, 50.0


class Encoder(mx.gluon.HybridBlock):  # type: ignore[misc]
    """What the ``length`` latest of ``others`` (N, L, M) add: factors (N, L, K), of ratings also a
    bias (N, L, 1), else None.

    Two sums over the history, each of factors of its own, with weights by place that are learned:
    sum_m w_m f_m / sqrt(1 + sum_m w_m). Of ratings the second sum takes each by how far it is from
    what the biases say, ``values`` (N, L, M): the first is SVD++ (Y. Koren, KDD 2008), the second
    its neighbourhood in factors (Y. Koren, TKDD 2010). ``apart`` (N, J) are left out of it, as the
    very interaction that is estimated.
    """

    def __init__(
        self,
        others: int,
        factors: int,
        length: int,
        *,
        rated: bool,
        of_items: bool,
        dropout: float,
        spread: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.others, self.width, self.length = others, factors + rated, length
        self.rated, self.of_items = rated, of_items
        normal = mx.init.Normal(spread)
        with self.name_scope():
            self.dropout = nn.Dropout(dropout)
            shape = (others, self.width)
            self.first = self.params.get("first", shape=shape, init=normal)
            self.second = self.params.get("second", shape=shape, init=normal)
            self.by_place = self.params.get("by_place", shape=(2, length), init="zeros")

    def settle(self) -> None:
        """Begin with weights that fall with the place, where order is all that is known."""
        if not self.rated:
            falls = -np.arange(self.length)[None] / np.array([[SOON], [LATE]])
            self.by_place.set_data(mx.nd.array(falls))

    def hybrid_forward(
        self,
        ops: Any,
        others: Any,
        values: Any = None,
        apart: Any = None,
        *,
        first: Any,
        second: Any,
        by_place: Any,
    ) -> tuple[Any, Any]:
        there = ops.clip(others, 0, 1)
        taken = there
        if apart is not None:
            apart = ops.expand_dims(ops.cast(apart, dtype="float32"), axis=2)
            other = ops.broadcast_not_equal(others, apart)
            taken = ops.broadcast_mul(there, other)
        taken = self.dropout(taken)
        weights = ops.exp(by_place)
        found = None
        for place, table in enumerate((first, second)):
            weight = ops.slice_axis(weights, axis=0, begin=place, end=place + 1)
            weight = ops.expand_dims(weight, axis=0)
            size = 1 + ops.sum(ops.broadcast_mul(there, weight), axis=2, keepdims=True)
            each = ops.broadcast_div(ops.broadcast_mul(taken, weight), ops.sqrt(size))
            if self.rated and place:
                each = ops.broadcast_mul(each, values)
            added = self._sum(ops, each, others, table)
            found = added if found is None else found + added
        if not self.rated:
            return found, None
        factors = ops.slice_axis(found, axis=2, begin=0, end=-1)
        return factors, ops.slice_axis(found, axis=2, begin=-1, end=None)

    def _sum(self, ops: Any, weights: Any, others: Any, table: Any) -> Any:
        """The rows of ``table`` for ``others`` (N, L, M), by ``weights`` (N, L or J, M)."""
        rows = ops.Embedding(others, table, input_dim=self.others, output_dim=self.width)
        rows = ops.reshape(rows, shape=(-1, self.length, self.width))
        if not self.of_items:  # one user a row, and J items, without each of which it is taken
            return ops.batch_dot(weights, rows)
        each = ops.batch_dot(ops.reshape(weights, shape=(-1, 1, self.length)), rows)
        return ops.reshape_like(each, others, lhs_begin=0, lhs_end=2, rhs_begin=0, rhs_end=2)


class Remembering(mx.gluon.HybridBlock):  # type: ignore[misc]
    """What is known of a user or an item by itself, ``tower``, and by what it has had.

    The model keeps what each of the ``rows`` has had: ``recent`` (rows, M), and of ratings how far
    each was from what is usual.
    """

    def __init__(
        self, rows: int, tower: HybridBlock | None, encoder: Encoder, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rows, self.length, self.of_items = rows, encoder.length, encoder.of_items
        with self.name_scope():
            self.tower, self.encoder = tower, encoder
            fixed = {
                "shape": (rows, self.length), "init": "zeros", "grad_req": "null",
                "differentiable": False,
            }  # fmt: skip
            self.recent = self.params.get("recent", **fixed)
            if encoder.rated:
                self.apart = self.params.get("apart", **fixed)

    def settle(self) -> None:
        """Lay what is known besides into the network, which is initialized."""
        self.encoder.settle()
        if self.tower is not None:
            self.tower.settle()

    def remember(self, histories: Histories) -> None:
        """Keep these, of all ``rows``."""
        recent, values = histories.latest(self.length)
        self.recent.set_data(mx.nd.array(recent))
        if self.encoder.rated:
            self.apart.set_data(mx.nd.array(values))

    def hybrid_forward(
        self, ops: Any, ids: Any, but: Any = None, *, recent: Any, apart: Any = None
    ) -> tuple[Any, Any]:
        """Factors and a bias for ``ids`` (N, L), of which each has not had its one of ``but``
        (N, J).
        """

        def of_each(table: Any) -> Any:
            return ops.Embedding(ids, table, input_dim=self.rows, output_dim=self.length)

        values = None if apart is None else of_each(apart)
        return self.added(ops, ids, self.encoder(of_each(recent), values, but))

    def added(self, ops: Any, ids: Any, had: tuple[Any, Any]) -> tuple[Any, Any]:
        """What was had and what is known by itself."""
        if self.tower is None:
            return had
        factors, bias = had
        known, of_known = self.tower(ids)
        if bias is not None:
            bias = ops.broadcast_add(bias, of_known)
        return ops.broadcast_add(factors, known), bias


class HistoryFactorization(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The product of what is known of a user and an item, by themselves and by their histories.

    Of ratings, with the histories of both. Of choices, the user is what it had, in order, as in
    FPMC (S. Rendle, C. Freudenthaler, L. Schmidt-Thieme, WWW 2010): who has the same history is
    recommended the same.
    """

    def __init__(self, user: HybridBlock, item: HybridBlock, *, rated: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.user, self.item = user, item
        self.rated = rated

    def hybrid_forward(self, ops: Any, ids: Any) -> Any:
        user, items = parted(ops, ids)
        if not self.rated:
            return scored(ops, self.user.known(user), self.item.known(items))
        (p, of_user), (q, bias) = self.user.known(user, items), self.item.known(items, user)
        product = ops.sum(ops.broadcast_mul(p, q), axis=2, keepdims=True)
        return ops.squeeze(ops.broadcast_add(product, bias + of_user), axis=2)


class NextItem(mx.gluon.HybridBlock):  # type: ignore[misc]
    """For x (B, 2 + M) of NextItems the score of each of ``items`` items, (B, I), from which the
    ``network`` learns.
    """

    def __init__(self, network: HistoryFactorization, items: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scored, self.items = network, items

    def collect_params(self, select: str | None = None) -> Any:
        """All but what the model keeps of users: here each example brings its own history."""
        every = super().collect_params(select)
        found = mx.gluon.ParameterDict(every.prefix)
        kept = self.scored.user.known.recent.name
        found.update({name: each for name, each in every.items() if name != kept})
        return found

    def hybrid_forward(self, ops: Any, x: Any) -> Any:
        ids = ops.slice_axis(x, axis=1, begin=0, end=1)
        had = ops.slice_axis(x, axis=1, begin=2, end=None)
        had = ops.expand_dims(ops.cast(had, dtype="float32"), axis=1)
        known = self.scored.user.known
        user, _ = known.added(ops, ids, known.encoder(had))
        every = ops.reshape(ops.arange(1, self.items + 1), shape=(1, -1))
        items, bias = self.scored.item.known(every)
        items = ops.reshape(items, shape=(-3, 0))
        product = ops.dot(ops.reshape(user, shape=(-3, 0)), items, transpose_b=True)
        return ops.broadcast_add(product, ops.reshape(bias, shape=(1, -1)))


def remember(network: HistoryFactorization, data: Interactions) -> None:
    """Lay into ``network`` what all users, and of ratings all items, of ``data`` have had.

    Of ratings with how far each is, in units of their spread, from what is usual for the other
    side: the bias of the very user or item would tell of the rating that is to be estimated.
    """
    user, item = data.pairs[:, 0], data.pairs[:, 1]
    for known, numbers, others, rows in (
        (network.user.known, user, item, len(data.users) + 1),
        (network.item.known, item, user, len(data.items) + 1),
    ):
        if isinstance(known, Remembering):
            apart = (data.ratings - usual(others, data.ratings)) / (data.ratings.std() or 1.0)
            known.remember(Histories.of(numbers, others, apart, data.when, rows))
