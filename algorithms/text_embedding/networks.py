"""The networks: token ids (N, T) int32, padded with 0, to a vector of length 1 a text."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import Array, HybridBlock, mx

mx.load()

LEAST, MOST = 1e-24, 3e38  # of the squares of a vector's numbers


class Unit(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The vectors (N, D) of ``encoder``, each by its length; 0 where that is 0."""

    def __init__(self, encoder: HybridBlock) -> None:
        super().__init__(prefix="unit_")
        self.encoder = encoder

    def hybrid_forward(self, ops: Any, tokens: Any) -> Any:
        found = self.encoder(tokens)
        squares = ops.sum(ops.square(found), axis=1, keepdims=True)
        return ops.broadcast_div(found, ops.sqrt(ops.clip(squares, LEAST, MOST)))


class WordSum(mx.gluon.HybridBlock):  # type: ignore[misc]
    """The sum of the ``vectors`` (V, D) of a text's words; that of padding is 0."""

    def __init__(self, vectors: Array) -> None:
        super().__init__(prefix="words_")
        rows, columns = vectors.shape
        with self.name_scope():
            self.vectors = mx.gluon.nn.Embedding(rows, columns)
        self.vectors.initialize(mx.init.Constant(mx.nd.array(vectors.astype(np.float32))))

    def hybrid_forward(self, ops: Any, tokens: Any) -> Any:
        return ops.sum(self.vectors(tokens), axis=1)
