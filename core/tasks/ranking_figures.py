"""What is measured of a recommender: errors of ratings, and where the chosen item is ranked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable, Iterator

import numpy as np

from ..algorithm.evaluation import Curve, Evaluation
from ..data.dataset import chunks
from ..data.interactions import CANDIDATES, UNKNOWN, Candidates
from ..runtime.types import Array
from .intervals import of_part, wilson_interval
from .nearest import SCORES_AT_ONCE
from .target_figures import evaluate_targets

TOP = 10
FOUND = "hits"  # the name of the curve of what is found among the first k
NOWHERE = 2**31  # the place of what is not ranked
ScoreAll = Callable[[Array], Array]  # of users (B,) the scores of all items, (B, I)


def places_of(scores: Array, others: Array) -> Array:
    """How many of the others stand before the item that was chosen, (N,): 0 is the best place.

    ``scores`` are (N, 1 + CANDIDATES), that of the item first; ``others`` (N,) is how many of the
    rest count, or below 0 where the item is none that the training had. Of equal scores the item
    is taken for the last, so that a model which gives the same to all finds nothing.
    """
    counted = np.arange(scores.shape[1] - 1) < others[:, None]
    before = ((scores[:, 1:] >= scores[:, :1]) & counted).sum(axis=1)
    return np.where(others < 0, NOWHERE, before)


def all_places(score_all: ScoreAll, asked: Candidates) -> Iterator[tuple[Array, Array]]:
    """The places of each item of ``asked``, first among its candidates and then among all items
    that its user has not chosen, a part (B,) at a time.
    """
    whole = asked.whole
    items = len(whole.items)
    for part in chunks(len(whole), max(1, SCORES_AT_ONCE // items)):
        users, chosen = whole.pairs[part, 0], whole.pairs[part, 1]
        scores = score_all(users)
        rows = np.concatenate([chosen[:, None], asked.others[part]], axis=1) - 1
        some = places_of(
            np.take_along_axis(scores, np.maximum(rows, 0), axis=1), asked.labels()[part]
        )
        own = np.take_along_axis(scores, np.maximum(chosen, 1)[:, None] - 1, axis=1)
        before = (scores >= own).sum(axis=1)
        for row, user in enumerate(users.tolist()):  # what the user has chosen is not ranked
            seen = asked.seen.of_user(user) - 1
            before[row] -= (scores[row, seen] >= own[row]).sum()
            before[row] -= user == UNKNOWN  # whose chosen item is not among these
        yield some, np.where(chosen == UNKNOWN, NOWHERE, before)


def evaluate_places(places: Array) -> Evaluation:
    """The hit rate and NDCG among the first TOP, for one item to be found an example.

    The hit rate is the part of ``places`` (N,) below TOP; NDCG the mean of 1 / log2(2 + place)
    there, and 0 beyond. ``error`` is 1 - NDCG. The 95 % intervals are Wilson's, and that of a mean.
    """
    hits = places < TOP
    gains = np.where(hits, 1 / np.log2(2 + places.astype(np.float64)), 0.0)
    ndcg = float(gains.mean())
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    interval = of_part(ndcg, error)
    return Evaluation(
        examples=len(places),
        metrics={"hit_rate": float(hits.mean()), "ndcg": ndcg, "error": 1 - ndcg},
        intervals={
            "hit_rate": wilson_interval(int(hits.sum()), len(hits)),
            **({} if interval is None else {"ndcg": interval}),
        },
    )


def _found_among(places: Array) -> Curve:
    """Of candidates, the part of ``places`` (N,) among the first, of however many; and by chance.

    The chosen item is one of 1 + CANDIDATES, of which the first are recommended.
    """
    every = 1 + CANDIDATES
    found = np.cumsum(np.bincount(places[places < every], minlength=every)) / len(places)
    axes = (f"first k of {every} items", "hit rate: part of the chosen items among them")
    points = tuple(zip(range(1, every + 1), found.tolist()))
    return Curve(FOUND, axes, points, guide=((1, 1 / every), (every, 1.0)))


def evaluate_ranking(score_all: ScoreAll, asked: Candidates) -> Evaluation:
    """The figures of ``evaluate_places`` among the candidates, and as ``full_hit_rate`` and
    ``full_ndcg`` those among all items that a user has not chosen.
    """
    some, every = map(np.concatenate, zip(*all_places(score_all, asked)))
    sampled, full = evaluate_places(some), evaluate_places(every)
    names = ("hit_rate", "ndcg")
    return Evaluation(
        examples=len(some),
        metrics={**sampled.metrics, **{f"full_{name}": full.metrics[name] for name in names}},
        intervals={
            **sampled.intervals,
            **{f"full_{name}": full.intervals[name] for name in names if name in full.intervals},
        },
        curves=(_found_among(some),),
    )


def evaluate_ratings(estimates: Array, ratings: Array) -> Evaluation:
    """RMSE, MAE and R² of ``estimates`` (N,), with intervals; ``error`` is the RMSE."""
    found = evaluate_targets(estimates[:, None], ratings[:, None], ("rating",))
    return replace(found, metrics={**found.metrics, "error": found.metrics["rmse"]})
