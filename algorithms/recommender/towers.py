"""What is known of users and items by themselves: tables of factors and biases.

Row 0 of a table stands for what is unknown.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import Array, HybridBlock, mx

BIAS_DECAY = 0.1  # of weight_decay: a bias has more examples to learn from than a factor


class Known(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The factors (N, L, K) of ``rows`` users or items and their biases (N, L, 1), for ids (N, L).

    What is known besides, ``sides`` (rows, F) of so many ``properties``, has factors and biases
    too, which are added; with ``pairs`` also the product of each two of a row. Without ``bias``
    there is None.
    """

    def __init__(
        self,
        rows: int,
        factors: int,
        sides: Array | None,
        properties: int,
        *,
        pairs: bool,
        bias: bool,
        spread: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pairs = pairs and bias
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
    ) -> tuple[Any, Any]:
        factors = _rows(ops, ids, factor_table, self.rows, self.factors)
        sides = more = None
        if of_each is not None:
            sides = _rows(ops, ids, of_each, self.rows, self.width)  # (N, L, F)
            more = _rows(ops, sides, factor_side_table, self.properties, self.factors)
        whole = factors if more is None else factors + ops.sum(more, axis=2)
        bias = None
        if bias_table is not None:
            bias = _rows(ops, ids, bias_table, self.rows, 1)
        if bias_side_table is not None:
            of_sides = _rows(ops, sides, bias_side_table, self.properties, 1)
            bias = bias + ops.sum(of_sides, axis=2)
        if self.pairs and more is not None:
            squares = ops.square(factors) + ops.sum(ops.square(more), axis=2)
            bias = bias + 0.5 * ops.sum(ops.square(whole) - squares, axis=2, keepdims=True)
        return whole, bias


def _rows(ops: Any, ids: Any, table: Any, rows: int, width: int) -> Any:
    """The row (…, width) of ``table`` for each of ``ids`` (…)."""
    return ops.Embedding(ids, table, input_dim=rows, output_dim=width)


class Tower(mx.gluon.HybridBlock):  # type: ignore[misc]
    """What is ``known`` of users or items as it is multiplied, (N, L, K + 2) for ids (N, L).

    A user's row ends in its bias and 1, an item's in 1 and its bias: so the product of the two
    holds both biases. In training they stay apart: to join them takes longer than all the rest.
    """

    def __init__(self, known: HybridBlock, *, of_items: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.of_items = of_items
        with self.name_scope():
            self.known = known

    def settle(self) -> None:
        """Lay what is known besides into the network, which is initialized."""
        self.known.settle()

    def hybrid_forward(self, ops: Any, ids: Any) -> Any:
        factors, bias = self.known(ids)
        one = ops.ones_like(ops.slice_axis(factors, axis=2, begin=0, end=1))
        bias = 0 * one if bias is None else bias
        ending = (one, bias) if self.of_items else (bias, one)
        return ops.concat(factors, *ending, dim=2)


def scored(ops: Any, user: tuple[Any, Any], items: tuple[Any, Any]) -> Any:
    """The scores (N, J) of what is known of a user, (N, 1 or J, K) and its bias, and of J items."""
    factors, bias = user
    others, found = items
    if bias is not None:
        found = ops.broadcast_add(found, bias)
    product = ops.batch_dot(others, factors, transpose_b=True)
    return ops.squeeze(ops.broadcast_add(product, found), axis=2)


def parted(ops: Any, ids: Any) -> tuple[Any, Any]:
    """The user (N, 1) and the items (N, J) of ids (N, 1 + J)."""
    return (
        ops.slice_axis(ids, axis=1, begin=0, end=1),
        ops.slice_axis(ids, axis=1, begin=1, end=None),
    )
