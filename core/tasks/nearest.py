"""The highest of many scores, and which vectors are nearest to others."""

from __future__ import annotations

import numpy as np

from ..data.dataset import chunks
from ..runtime.types import Array

STRIDES = 16  # by which the highest of many scores are looked for
SCORES_AT_ONCE = 2**22  # of all queries together


def nearest(queries: Array, vectors: Array, count: int) -> tuple[Array, Array]:
    """Of ``vectors`` (M, D) the ``count`` with the highest products with each of ``queries``
    (N, D): their places (N, C), the highest first, of equal ones the earlier, and the products.

    Of vectors of length 1, these are the cosines of their angles.
    """
    count = min(count, len(vectors))
    places = np.zeros((len(queries), count), np.int64)
    products = np.zeros((len(queries), count), np.float32)
    for part in chunks(len(queries), max(1, SCORES_AT_ONCE // max(1, len(vectors)))):
        scores = queries[part] @ vectors.T
        places[part] = highest(scores, count)
        products[part] = np.take_along_axis(scores, places[part], axis=1)
    return places, products


def highest(scores: Array, count: int) -> Array:
    """The places of the ``count`` highest of each row (B, I), the highest first: (B, C)."""
    rows, items = scores.shape
    count = min(count, items)
    width = items // STRIDES
    if width > 4 * count:
        # the highest are among the columns, of STRIDES numbers each, whose highest are the highest
        whole = scores[:, : STRIDES * width].reshape(rows, STRIDES, width).max(axis=1)
        columns = np.argpartition(whole, width - count, axis=1)[:, width - count :]
        places = (columns[:, None] + width * np.arange(STRIDES)[:, None]).reshape(rows, -1)
        rest = np.broadcast_to(np.arange(STRIDES * width, items), (rows, items % STRIDES))
        places = np.concatenate([places, rest], axis=1)
        places.sort(axis=1)
        values = np.take_along_axis(scores, places, axis=1)
    else:
        places, values = np.broadcast_to(np.arange(items), scores.shape), scores
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    highest: Array = np.take_along_axis(places, order, axis=1)
    return highest
