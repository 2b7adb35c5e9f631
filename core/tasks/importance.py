"""Which columns matter: by how much a figure gets worse where a column is permuted.

L. Breiman, "Random forests", Machine Learning 45 (2001), for any model. A column that says what
another one says too has little of its own to lose: of such, both look unimportant.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..algorithm.base import Objective
from ..algorithm.evaluation import Evaluation, Importance
from ..data.dataset import Dataset, Subset
from ..runtime.errors import InputError
from ..runtime.types import Array

REPEATS = 5
# So many rows are computed at most, of all columns and repeats together.
MAX_ROWS = 2_000_000
FEWEST = 100  # examples, however many columns


def importances(
    compute: Callable[[Array], Any],
    score: Callable[[Any, Dataset], Evaluation],
    data: Dataset,
    columns: Mapping[str, Sequence[int]],
    objective: Objective,
    repeats: int = REPEATS,
) -> tuple[Importance, ...]:
    """Of each of ``columns``, by its name, what ``objective``'s figure loses; the greatest first.

    ``compute`` gives the network's outputs (N, …) for x (N, D), ``columns`` where in D each stands,
    and ``score`` the figures of outputs for ``data``. The same data, the same permutations. Of many
    examples evenly chosen ones are used, so that at most MAX_ROWS rows are computed. Raises
    InputError where the figure is undefined for ``data``.
    """
    most = max(FEWEST, MAX_ROWS // (max(1, len(columns)) * repeats))
    if len(data) > most:
        data = Subset(data, np.linspace(0, len(data) - 1, most).round().astype(np.int64))
    x = data.take(np.arange(len(data)))[0]
    metric = objective.metric.split(":", 1)[-1]
    sign = 1 if objective.maximize else -1

    def figure(inputs: Array) -> float:
        found = score(compute(inputs), data).metrics
        if metric not in found:
            raise InputError(
                f"these {len(data):,} examples have no {metric}, by which it is measured which "
                "columns matter: give examples of which it can be told"
            )
        return found[metric]

    whole = figure(x)
    return tuple(
        sorted(
            (
                _importance(name, metric, [sign * (whole - each) for each in worse])
                for number, (name, places) in enumerate(columns.items())
                for worse in [[figure(_permuted(x, places, number, i)) for i in range(repeats)]]
            ),
            key=lambda each: -each.loss,
        )
    )


def _permuted(x: Array, places: Sequence[int], number: int, repeat: int) -> Array:
    """``x`` (N, D) with the columns at ``places`` permuted together."""
    order = np.random.default_rng([number, repeat]).permutation(len(x))
    changed = x.copy()
    changed[:, places] = x[order][:, places]
    return changed


def _importance(name: str, metric: str, losses: Sequence[float]) -> Importance:
    spread = float(np.std(losses, ddof=1)) if len(losses) > 1 else 0.0
    return Importance(name, metric, float(np.mean(losses)), spread)


def by_heading(headings: Sequence[str], count: int) -> dict[str, Sequence[int]]:
    """``count`` columns by ``headings`` of their own, or else by number."""
    fit = len(headings) == count == len(set(headings))
    names = headings if fit else [f"column {i + 1}" for i in range(count)]
    return {name: (place,) for place, name in enumerate(names)}
