"""The networks: biased matrix factorization, and neural matrix factorization.

Each has two towers: what is known of a user and of an item, (N, L, K + 2) for ids (N, L), of which
the last two are a bias and a 1. Row 0 of a table stands for what is unknown.
"""

from __future__ import annotations

from typing import Any

from ...core import HybridBlock, mx

nn = mx.gluon.nn


class Tower(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The factors of ``size`` users or items and their biases, as they are multiplied.

    A user's row ends in its bias and 1, an item's in 1 and its bias: so the product of the two
    holds both biases.
    """

    def __init__(
        self, size: int, factors: int, *, of_items: bool, spread: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.of_items = of_items
        self.rows, self.factors = size + 1, factors
        with self.name_scope():
            normal = mx.init.Normal(spread)
            self.factor_table = self.params.get(
                "factor_table", shape=(self.rows, factors), init=normal
            )
            self.bias_table = self.params.get("bias_table", shape=(self.rows, 1), init="zeros")

    def hybrid_forward(self, ops: Any, ids: Any, factor_table: Any, bias_table: Any) -> Any:
        factors = ops.Embedding(ids, factor_table, input_dim=self.rows, output_dim=self.factors)
        bias = ops.Embedding(ids, bias_table, input_dim=self.rows, output_dim=1)
        ending = (ops.ones_like(bias), bias) if self.of_items else (bias, ops.ones_like(bias))
        return ops.concat(factors, *ending, dim=2)


def _parted(ops: Any, ids: Any) -> tuple[Any, Any]:
    """The user (N, 1) and the items (N, J) of ids (N, 1 + J)."""
    return (
        ops.slice_axis(ids, axis=1, begin=0, end=1),
        ops.slice_axis(ids, axis=1, begin=1, end=None),
    )


class MatrixFactorization(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The product of a user's factors and an item's, and the bias of each.

    Y. Koren, R. Bell, C. Volinsky, "Matrix factorization techniques for recommender systems", 2009.
    """

    def __init__(
        self, users: int, items: int, factors: int, spread: float, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.user = Tower(users, factors, of_items=False, spread=spread)
            self.item = Tower(items, factors, of_items=True, spread=spread)
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
        self,
        users: int,
        items: int,
        factors: int,
        hidden: int,
        spread: float,
        dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.half = factors
        with self.name_scope():
            self.user = Tower(users, 2 * factors, of_items=False, spread=spread)
            self.item = Tower(items, 2 * factors, of_items=True, spread=spread)
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
    name: str, users: int, items: int, *, factors: int, hidden: int, spread: float, dropout: float
) -> HybridBlock:
    """The network ``name``, not initialized."""
    if name == "mf":
        return MatrixFactorization(users, items, factors, spread, dropout)
    return NeuralFactorization(users, items, factors, hidden, spread, dropout)
