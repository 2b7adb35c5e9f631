"""The networks: rows (N, D) float32, NaN for a gap, to what each member says, (N, K, O).

What a row needs to become what a linear layer can use lies in the model's graph, as constants: the
borders of bins, the filling of gaps, the codes of categories. So a model of ONNX answers the same
rows. Nothing of it is learned: training takes rows that are encoded already.
This module imports mxnet, so import it only inside functions that build a network.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Sequence

import numpy as np

from ...core import HybridBlock, mx
from ...core.data.columns import NUMBER, Feature
from ...core.runtime.types import Array
from ...core.tasks.constants import Given

nn = mx.gluon.nn
# A category with more codes is looked up in a table of vectors; one with fewer has a column a code.
MOST_COLUMNS = 64
VECTOR = 16  # the length of such a vector
BEYOND = 1.0  # how far from the outermost bin a number counts, in the bin's widths
LARGEST = 1e30
RATE = 4.0  # times the learning rate, which is that of deeper networks, a linear one learns
TINY = 1e-30  # of a probability, before its logarithm


class Slots(NamedTuple):
    """Columns (S,) that are made of the row's: clip(slope · x[place] + offset, low, high)."""

    place: Array
    slope: Array
    offset: Array
    low: Array
    high: Array


def slots(places: Sequence[int], borders: Sequence[Sequence[float]]) -> Slots:
    """Those of the numbers at ``places``, each with the ``borders`` of its bins.

    Of a bin, how much of it lies below the number: 0 to 1, and in the outermost ones a little
    beyond. Y. Gorishniy, I. Rubachev and A. Babenko, "On embeddings for numerical features in
    tabular deep learning", NeurIPS 2022: piecewise-linear encoding. A number with fewer than two
    borders stays as it is.
    """
    rows: list[tuple[float, float, float, float, float]] = []
    for place, edges in zip(places, borders):
        if len(edges) < 2:
            rows.append((place, 1.0, 0.0, -LARGEST, LARGEST))
            continue
        last = len(edges) - 2
        for index, (left, right) in enumerate(zip(edges, edges[1:])):
            width = right - left
            low = -BEYOND if index == 0 else 0.0
            high = 1.0 + BEYOND if index == last else 1.0
            rows.append((place, 1 / width, -left / width, low, high))
    return Slots(*np.array(rows, np.float64).reshape(-1, 5).T)


class Encoded(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Rows (N, D) as numbers (N, W + L) without gaps.

    In turn: the bins of each number, a gap counting as its mean; for each number of ``gaps``
    whether it is one; for each category a column a code. Then for each of L categories with very
    many codes its row in the table of ``lookups``.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        borders: Sequence[Sequence[float]],
        gaps: Sequence[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        numbers = [i for i, feature in enumerate(features) if feature.kind == NUMBER]
        codes = [
            (i, code)
            for i, feature in enumerate(features)
            if feature.kind != NUMBER and feature.size <= MOST_COLUMNS
            for code in range(feature.size)
        ]
        places, sizes = lookups(features)
        if not numbers and not codes:  # so that there is a column at all
            gaps = places[:1]
        constants = {
            **slots(numbers, borders)._asdict(),
            "gaps": np.array(gaps),
            "column": np.array([place for place, _ in codes]),
            "code": np.array([code for _, code in codes]),
            "places": np.array(places),
            "starts": np.cumsum([0, *sizes])[:-1],
        }
        self.constants = {
            name: value.astype(np.float32) for name, value in constants.items() if value.size
        }
        with self.name_scope():
            for name, value in self.constants.items():
                shape = (-1,) if name in ("place", "gaps", "column", "places") else (1, -1)
                setattr(self, name, constant(self, name, value.reshape(shape)))

    def hybrid_forward(self, ops: Any, rows: Any, **constants: Any) -> Any:
        is_known = ops.broadcast_equal(rows, rows)  # nothing but NaN differs from itself
        filled = ops.where(is_known, rows, ops.zeros_like(rows))
        parts = []
        if "place" in constants:
            found = ops.take(filled, constants["place"], axis=1)
            found = ops.broadcast_mul(found, constants["slope"])
            found = ops.broadcast_add(found, constants["offset"])
            found = ops.broadcast_maximum(found, constants["low"])
            parts.append(ops.broadcast_minimum(found, constants["high"]))
        if "gaps" in constants:
            parts.append(1 - ops.take(is_known, constants["gaps"], axis=1))
        if "column" in constants:
            codes = ops.take(filled, constants["column"], axis=1)
            parts.append(ops.broadcast_equal(codes, constants["code"]))
        if "places" in constants:
            codes = ops.take(filled, constants["places"], axis=1)
            parts.append(ops.broadcast_add(codes, constants["starts"]))
        return parts[0] if len(parts) == 1 else ops.concat(*parts, dim=1)

    def of(self, rows: Array) -> Array:
        """The same of ``rows`` (N, D), to the bit, by numpy: for training, which needs no graph."""
        given = self.constants
        taken = {
            name: given[name].astype(np.int64)
            for name in ("place", "gaps", "column", "places")
            if name in given
        }
        is_known = ~np.isnan(rows)
        filled = np.where(is_known, rows, np.float32(0))
        parts = []
        if "place" in given:
            found = np.take(filled, taken["place"], axis=1)
            found *= given["slope"]
            found += given["offset"]
            parts.append(np.clip(found, given["low"], given["high"], out=found))
        if "gaps" in given:
            parts.append(~np.take(is_known, taken["gaps"], axis=1))
        if "column" in given:
            parts.append(np.take(filled, taken["column"], axis=1) == given["code"])
        if "places" in given:
            parts.append(np.take(filled, taken["places"], axis=1) + given["starts"])
        return np.concatenate(parts, axis=1, dtype=np.float32)


def constant(block: HybridBlock, name: str, value: Array) -> Any:
    """A parameter of ``block`` that no gradient moves."""
    kept = {"grad_req": "null", "differentiable": False}
    narrow = value.astype(np.float32)
    return block.params.get(name, shape=narrow.shape, init=Given(narrow), **kept)


def lookups(features: Sequence[Feature]) -> tuple[list[int], list[int]]:
    """Where in a row the L categories stand that have more codes than columns are made of, and how
    many codes each has: one table of vectors holds those of all, category by category.
    """
    many = [
        (i, f.size) for i, f in enumerate(features) if f.kind != NUMBER and f.size > MOST_COLUMNS
    ]
    return [place for place, _ in many], [size for _, size in many]


class Columns(mx.gluon.HybridBlock):  # type: ignore[misc]
    """What ``Encoded`` gives, (N, W + L), as its columns (N, W) and vectors (N, L, V)."""

    def __init__(self, features: Sequence[Feature], length: int, init: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        places, sizes = lookups(features)
        self.count = len(places)
        with self.name_scope():
            self.table = nn.Embedding(sum(sizes), length, weight_initializer=init)

    def hybrid_forward(self, ops: Any, encoded: Any) -> Any:
        columns = ops.slice_axis(encoded, axis=1, begin=0, end=-self.count)
        rows = ops.slice_axis(encoded, axis=1, begin=-self.count, end=None)
        return columns, self.table(rows)


class OfRows(mx.gluon.HybridBlock):  # type: ignore[misc]
    """``network``, which takes encoded rows, of rows as they are."""

    def __init__(self, encoded: Encoded, network: HybridBlock) -> None:
        super().__init__(prefix="rows_")
        self.encoded, self.network = encoded, network

    def hybrid_forward(self, ops: Any, rows: Any) -> Any:
        return self.network(self.encoded(rows))


def _columns(features: Sequence[Feature], length: int, init: Any) -> Columns | None:
    """None where there is nothing to look up."""
    return Columns(features, length, init) if lookups(features)[0] else None


class Linear(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Encoded rows to a sum of what each column adds: (N, 1, O), as if of one member."""

    def __init__(self, features: Sequence[Feature], outputs: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.sum = nn.Dense(outputs, weight_initializer="zeros")
            self.columns = _columns(features, outputs, "zeros")
        for parameter in self.collect_params(".*(weight|bias)").values():
            parameter.lr_mult = RATE
        _without_decay(self)

    def hybrid_forward(self, ops: Any, encoded: Any) -> Any:
        if self.columns is None:
            return ops.expand_dims(self.sum(encoded), axis=1)
        columns, vectors = self.columns(encoded)
        return ops.expand_dims(self.sum(columns) + vectors.sum(axis=1), axis=1)


class Ensemble(mx.gluon.HybridBlock):  # type: ignore[misc]
    """``members`` small networks of their own parameters over encoded rows, computed together.

    Each learns by itself; what the model answers is their mean (``averaged``). Small ones that
    begin differently err differently. Y. Gorishniy, A. Kotelnikov and A. Babenko, "TabM: advancing
    tabular deep learning with parameter-efficient ensembling", ICLR 2025. With ``residual``, each
    further layer adds to what it takes.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        outputs: int,
        *,
        members: int,
        hidden: int,
        layers: int,
        dropout: float,
        residual: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.members, self.hidden, self.residual = members, hidden, residual
        with self.name_scope():
            self.columns = _columns(features, VECTOR, mx.init.Normal(VECTOR**-0.5))
            self.first = nn.Dense(members * hidden)
            self.dropout = nn.Dropout(dropout) if dropout else None
            for layer in range(1, layers):
                self._add(f"layer{layer}", hidden, math.sqrt(2 / hidden))
            self._add("output", outputs, math.sqrt(1 / hidden))
        self.layers = layers
        _without_decay(self)

    def _add(self, name: str, width: int, deviation: float) -> None:
        """A linear layer of each member: NAME_weight (K, H, width), NAME_bias (K, 1, width)."""
        for part, height, init in (
            ("weight", self.hidden, mx.init.Normal(deviation)),
            ("bias", 1, "zeros"),
        ):
            shape = (self.members, height, width)
            parameter = self.params.get(f"{name}_{part}", shape=shape, init=init)
            setattr(self, f"{name}_{part}", parameter)

    def hybrid_forward(self, ops: Any, encoded: Any, **given: Any) -> Any:
        def linear(name: str, x: Any) -> Any:
            # The bias as a product: mxnet sums the gradients of one that is broadcast slowly.
            ones = ops.ones_like(ops.slice_axis(x, axis=2, begin=0, end=1))
            product = ops.batch_dot(x, given[f"{name}_weight"])
            return product + ops.batch_dot(ones, given[f"{name}_bias"])

        def activated(x: Any) -> Any:
            x = ops.Activation(x, act_type="relu")  # oneDNN's, thrice as fast as ops.relu
            return x if self.dropout is None else self.dropout(x)

        if self.columns is not None:
            columns, vectors = self.columns(encoded)
            encoded = ops.concat(columns, ops.flatten(vectors), dim=1)
        found = ops.reshape(self.first(encoded), shape=(0, self.members, self.hidden))
        found = activated(ops.transpose(found, axes=(1, 0, 2)))  # (K, N, H)
        for layer in range(1, self.layers):
            more = activated(linear(f"layer{layer}", found))
            found = found + more if self.residual else more
        return ops.transpose(linear("output", found), axes=(1, 0, 2))


def _without_decay(block: HybridBlock) -> None:
    """Weight decay is for weights."""
    for parameter in block.collect_params(".*bias").values():
        parameter.wd_mult = 0.0


def averaged(network: HybridBlock, are_classes: bool) -> HybridBlock:
    """The model: of what the members say, (N, K, O), the mean (N, O).

    Of classes it is that of their probabilities, whose logarithms are logits again.
    """

    class Averaged(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="averaged_")
            self.network = network

        def hybrid_forward(self, ops: Any, rows: Any) -> Any:
            said = self.network(rows)
            if not are_classes:
                return said.mean(axis=1)
            return ops.log(ops.softmax(said, axis=2).mean(axis=1) + TINY)

    return Averaged()


def of_each_member(loss: HybridBlock, members: int) -> HybridBlock:
    """``loss`` (B,) of what each member says, (B, K, O), and of labels (B,) or (B, T): the mean."""

    class OfEachMember(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.loss = loss

        def hybrid_forward(self, ops: Any, said: Any, labels: Any) -> Any:
            repeated = ops.repeat(ops.expand_dims(labels, axis=1), repeats=members, axis=1)
            return self.loss(said, repeated)

    return OfEachMember()


def in_powers(network: HybridBlock) -> HybridBlock:
    """``network``, whose outputs (N, T) are natural logarithms, with those they are of."""

    class InPowers(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="powers_")
            self.network = network

        def hybrid_forward(self, ops: Any, rows: Any) -> Any:
            return ops.exp(self.network(rows))

    return InPowers()
