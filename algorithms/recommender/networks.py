"""The networks: matrix factorization, factorization machines, neural matrix factorization.

Each has two towers: what is known of a user and of an item, (N, L, K + 2) for ids (N, L), of which
the last two are a bias and a 1. Row 0 of a table stands for what is unknown.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence, Tuple

from ...core import Array, HybridBlock, mx
from ...core.data.interactions import Interactions
from . import histories
from .towers import Known, Tower, parted, scored

nn = mx.gluon.nn

# The towers of users and of items, with so many times the usual factors.
Towers = Callable[[int], Tuple[Tower, Tower]]


class MatrixFactorization(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The product of a user's factors and an item's, and the bias of each.

    Y. Koren, R. Bell, C. Volinsky, "Matrix factorization techniques for recommender systems", 2009.
    Where its towers add the products of the properties of each, it is a factorization machine: S.
    Rendle, "Factorization machines", ICDM 2010.
    """

    def __init__(self, towers: Towers, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.user, self.item = towers(1)
            self.dropout = nn.Dropout(dropout)

    def hybrid_forward(self, ops: Any, ids: Any) -> Any:
        user, items = parted(ops, ids)
        factors, bias = self.user.known(user)
        return scored(ops, (self.dropout(factors), bias), self.item.known(items))


class NeuralFactorization(mx.gluon.HybridBlock):  # type: ignore[misc]
    """A weighted product of factors, and layers over others, which both end in one number.

    X. He et al., "Neural collaborative filtering", WWW 2017, arXiv:1708.05031; with a bias of the
    user and one of the item, which alone are left for what is unknown.
    """

    def __init__(
        self, towers: Towers, factors: int, hidden: int, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.half = factors
        with self.name_scope():
            self.user, self.item = towers(2)
            # the first layer over both factors is the sum of one over each
            self.user_layer = nn.Dense(hidden, flatten=False)
            self.item_layer = nn.Dense(hidden, flatten=False, use_bias=False)
            self.layer = nn.Dense(max(1, hidden // 2), flatten=False, activation="relu")
            self.dropout = nn.Dropout(dropout)
            self.output = nn.Dense(1, flatten=False, use_bias=False)

    def hybrid_forward(self, ops: Any, ids: Any) -> Any:
        user, items = parted(ops, ids)
        p, q = self.user(user), self.item(items)
        half = self.half

        def part(of: Any, begin: int, end: int | None) -> Any:
            return ops.slice_axis(of, axis=2, begin=begin, end=end)

        product = ops.broadcast_mul(part(p, 0, half), part(q, 0, half))
        first = ops.broadcast_add(
            self.user_layer(part(p, half, 2 * half)), self.item_layer(part(q, half, 2 * half))
        )
        deep = self.layer(self.dropout(ops.relu(first)))
        found = ops.squeeze(self.output(ops.concat(product, deep, dim=2)), axis=2)
        known = ops.broadcast_mul(_is_known(ops, user), _is_known(ops, items))
        biases = ops.sum(ops.broadcast_mul(part(p, -2, None), part(q, -2, None)), axis=2)
        return found * known + biases


def _is_known(ops: Any, ids: Any) -> Any:
    """1 for what the training had, 0 for what it did not."""
    return ops.cast(ops.clip(ids, 0, 1), dtype="float32")


def make(
    name: str,
    data: Interactions,
    *,
    factors: int,
    hidden: int,
    spread: float,
    dropout: float,
    user_bias: bool,
    history: int,
) -> HybridBlock:
    """The network ``name`` for ``data``, not initialized.

    Where items are only compared with others for one user, ``user_bias`` has to be false: no
    gradient would tell what it is, and what is left of rounding would move it.
    """

    def towers(times: int) -> tuple[Tower, Tower]:
        return (
            tower(data.users, times, data.user_sides, "user_properties", False),
            tower(data.items, times, data.item_sides, "item_properties", True),
        )

    def tower(
        names: Sequence[str], times: int, sides: Array | None, kind: str, of_items: bool
    ) -> Tower:
        known: HybridBlock = Known(
            len(names) + 1,
            times * factors,
            sides,
            len(data.encoding.get(kind, ())),
            pairs=name == "fm",
            bias=of_items or user_bias,
            spread=spread,
        )
        if name == "history":
            known = remembering(known, of_items)
        return Tower(known, of_items=of_items)

    def remembering(known: HybridBlock, of_items: bool) -> HybridBlock:
        rated = data.scale is not None
        if of_items and not rated:
            return known
        rows, others = (len(data.users) + 1, len(data.items) + 1)[:: -1 if of_items else 1]
        encoder = histories.Encoder(
            others, factors, history, rated=rated, of_items=of_items, dropout=dropout,
            spread=spread,
        )  # fmt: skip
        by_itself = rated or data.user_sides is not None
        return histories.Remembering(rows, known if by_itself else None, encoder)

    if name == "history":
        return histories.HistoryFactorization(*towers(1), rated=data.scale is not None)
    if name == "neumf":
        return NeuralFactorization(towers, factors, hidden, dropout)
    return MatrixFactorization(towers, dropout)
