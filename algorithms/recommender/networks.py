"""The networks: matrix factorization, factorization machines, neural matrix factorization.

Each has two towers: what is known of a user and of an item, (N, L, K + 2) for ids (N, L), of which
the last two are a bias and a 1. Row 0 of a table stands for what is unknown.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence, Tuple

import numpy as np

from ...core import Array, HybridBlock, mx
from ...core.data.interactions import Interactions
from . import histories

nn = mx.gluon.nn

BIAS_DECAY = 0.1  # of weight_decay: a bias has more examples to learn from than a factor


class Tower(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The factors of ``rows`` users or items and their biases, as they are multiplied.

    A user's row ends in its bias and 1, an item's in 1 and its bias: so the product of the two
    holds both biases. What is known besides, ``sides`` (rows, F) of so many ``properties``, has
    factors and biases too, which are added; with ``pairs`` also the product of each two of a row.
    Without ``bias`` the bias is 0.
    """

    def __init__(
        self,
        rows: int,
        factors: int,
        sides: Array | None,
        properties: int,
        *,
        of_items: bool,
        pairs: bool,
        bias: bool,
        spread: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.of_items, self.pairs = of_items, pairs and bias
        self.rows, self.factors, self.properties = rows, factors, properties + 1
        self.sides = None if sides is None else sides.astype(np.float32)
        with self.name_scope():
            normal = mx.init.Normal(spread)
            self.factor_table = self.params.get("factor_table", shape=(rows, factors), init=normal)
            if bias:
                self.bias_table = self.params.get(
                    "bias_table", shape=(rows, 1), init="zeros", wd_mult=BIAS_DECAY
                )
            if self.sides is None:
                return
            self.width = self.sides.shape[1]
            self.of_each = self.params.get(
                "of_each", shape=(rows, self.width), grad_req="null", differentiable=False
            )
            self.factor_side_table = self.params.get(
                "factor_side_table", shape=(self.properties, factors), init=normal
            )
            if bias:
                self.bias_side_table = self.params.get(
                    "bias_side_table",
                    shape=(self.properties, 1),
                    init="zeros",
                    wd_mult=BIAS_DECAY,
                )

    def settle(self) -> None:
        """Lay what is known besides into the network, which is initialized."""
        if self.sides is not None:
            self.of_each.set_data(mx.nd.array(self.sides))

    def hybrid_forward(
        self,
        ops: Any,
        ids: Any,
        factor_table: Any,
        bias_table: Any = None,
        of_each: Any = None,
        factor_side_table: Any = None,
        bias_side_table: Any = None,
    ) -> Any:
        factors = _rows(ops, ids, factor_table, self.rows, self.factors)
        sides = more = None
        if of_each is not None:
            sides = _rows(ops, ids, of_each, self.rows, self.width)  # (N, L, F)
            more = _rows(ops, sides, factor_side_table, self.properties, self.factors)
        whole = factors if more is None else factors + ops.sum(more, axis=2)
        one = ops.ones_like(ops.slice_axis(factors, axis=2, begin=0, end=1))
        bias = 0 * one
        if bias_table is not None:
            bias = _rows(ops, ids, bias_table, self.rows, 1)
        if bias_side_table is not None:
            of_sides = _rows(ops, sides, bias_side_table, self.properties, 1)
            bias = bias + ops.sum(of_sides, axis=2)
        if self.pairs and more is not None:
            squares = ops.square(factors) + ops.sum(ops.square(more), axis=2)
            bias = bias + 0.5 * ops.sum(ops.square(whole) - squares, axis=2, keepdims=True)
        ending = (one, bias) if self.of_items else (bias, one)
        return ops.concat(whole, *ending, dim=2)


def _rows(ops: Any, ids: Any, table: Any, rows: int, width: int) -> Any:
    """The row (…, width) of ``table`` for each of ``ids`` (…)."""
    return ops.Embedding(ids, table, input_dim=rows, output_dim=width)


# The towers of users and of items, with so many times the usual factors.
Towers = Callable[[int], Tuple[Tower, Tower]]


def _parted(ops: Any, ids: Any) -> tuple[Any, Any]:
    """The user (N, 1) and the items (N, J) of ids (N, 1 + J)."""
    return (
        ops.slice_axis(ids, axis=1, begin=0, end=1),
        ops.slice_axis(ids, axis=1, begin=1, end=None),
    )


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
        user, items = _parted(ops, ids)
        product = ops.broadcast_mul(self.user(user), self.item(items))
        return ops.sum(self.dropout(product), axis=2)


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
        user, items = _parted(ops, ids)
        p, q = self.user(user), self.item(items)
        half = self.half

        def part(of: Any, begin: int, end: int) -> Any:
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
        return Tower(
            len(names) + 1,
            times * factors,
            sides,
            len(data.encoding.get(kind, ())),
            of_items=of_items,
            pairs=name == "fm",
            bias=of_items or user_bias,
            spread=spread,
        )

    if name == "history":
        return histories.make(
            data, towers(1), factors=factors, length=history, dropout=dropout, spread=spread
        )
    if name == "neumf":
        return NeuralFactorization(towers, factors, hidden, dropout)
    return MatrixFactorization(towers, dropout)
