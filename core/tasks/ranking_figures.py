"""What is measured of a recommender: errors of ratings, and where the chosen item is ranked."""

from __future__ import annotations

import math

import numpy as np

from ..algorithm.evaluation import Evaluation
from ..data.interactions import CANDIDATES
from ..runtime.types import Array
from .class_figures import wilson_interval

TOP = 10
Z = 1.959964


def places_of(scores: Array, others: Array) -> Array:
    """How many of the others stand before the item that was chosen, (N,): 0 is the best place.

    ``scores`` are (N, 1 + CANDIDATES), that of the item first; ``others`` (N,) is how many of the
    rest count. Of equal scores the item is taken for the last, so that a model which gives the
    same to all finds nothing.
    """
    counted = np.arange(scores.shape[1] - 1) < others[:, None]
    before: Array = ((scores[:, 1:] >= scores[:, :1]) & counted).sum(axis=1)
    return before


def evaluate_places(places: Array) -> Evaluation:
    """The hit rate and NDCG among the first TOP, for one item to be found an example.

    The hit rate is the part of ``places`` (N,) below TOP; NDCG the mean of 1 / log2(2 + place)
    there, and 0 beyond. ``error`` is 1 - NDCG. The 95 % intervals are Wilson's, and that of a mean.
    """
    hits = places < TOP
    gains = np.where(hits, 1 / np.log2(2 + places.astype(np.float64)), 0.0)
    ndcg = float(gains.mean())
    spread = Z * float(gains.std(ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else 1.0
    return Evaluation(
        examples=len(places),
        metrics={"hit_rate": float(hits.mean()), "ndcg": ndcg, "error": 1 - ndcg},
        intervals={
            "hit_rate": wilson_interval(int(hits.sum()), len(hits)),
            "ndcg": (max(0.0, ndcg - spread), min(1.0, ndcg + spread)),
        },
    )


__all__ = ["CANDIDATES", "TOP", "evaluate_places", "places_of"]
