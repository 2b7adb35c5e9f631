"""Inputs and targets of mean 0 and variance 1 for a network, whatever their units.

What undoes it for targets, and does it for inputs, is part of the model's graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from ..runtime import mx
from ..runtime.types import Array, Context, HybridBlock
from ..training.cluster import Cluster


@dataclass(frozen=True)
class Moments:
    """Of ``count`` examples: mean, standard deviation, least and greatest of each column, (T,)."""

    count: int
    mean: Array
    scale: Array
    low: Array
    high: Array

    @property
    def mean32(self) -> Array:
        """The mean, (T,) float32."""
        return self.mean.astype(np.float32)

    @property
    def scale32(self) -> Array:
        """The standard deviation, (T,) float32; 1 where there is none."""
        scale: Array = self.scale.astype(np.float32)
        scale[(scale == 0) | (self.low == self.high)] = 1.0
        return scale


def moments(cluster: Cluster, columns: Array, what: str) -> Moments:
    """Those of the ``columns`` (N, T) float64 of all hosts, the same on each to the bit.

    ``what`` they are. Raises DataError where the hosts have other numbers of them.
    """
    cluster.check_alike(f"the number of {what}", columns.shape[1])
    parts = (columns.mean(axis=0), columns.var(axis=0), columns.min(axis=0), columns.max(axis=0))
    own = [len(columns), *(part.tolist() for part in parts)]
    everyone = cluster.exchange(own, f"the means of the {what}")
    if all(each == own for each in everyone):  # such as hosts that hold the same data
        everyone = [own]
    counts = np.array([each[0] for each in everyone], np.float64)[:, None]
    means, variances, lows, highs = (
        np.array([each[place] for each in everyone]) for place in range(1, 5)
    )
    mean = means[0] if len(everyone) == 1 else (counts * means).sum(axis=0) / counts.sum()
    variance = (counts * (variances + (means - mean) ** 2)).sum(axis=0) / counts.sum()
    return Moments(int(counts.sum()), mean, np.sqrt(variance), lows.min(axis=0), highs.max(axis=0))


def in_units(network: HybridBlock, found: Moments) -> HybridBlock:
    """``network``, whose outputs are (N,) or (N, T), times the scale plus the mean of ``found``.

    Both are parameters that no gradient moves. Gluon's own constants would not do: their
    initializers are named after an address in memory, which goes into the graph's file.
    """

    class InUnits(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="units_")
            self.network = network
            self.mean, self.scale = _parameters(self, len(found.mean))

        def hybrid_forward(self, F: Any, x: Any, mean: Any, scale: Any) -> Any:  # noqa: N803
            outputs = F.reshape(self.network(x), shape=(0, -1))
            return F.broadcast_add(F.broadcast_mul(outputs, scale), mean)

    return InUnits()


def of_standardized(network: HybridBlock, found: Moments) -> HybridBlock:
    """``network`` of its input (N, D) less the mean, by the scale of ``found``, as ``in_units``."""

    class OfStandardized(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="standardized_")
            self.network = network
            self.mean, self.scale = _parameters(self, len(found.mean))

        def hybrid_forward(self, F: Any, x: Any, mean: Any, scale: Any) -> Any:  # noqa: N803
            return self.network(F.broadcast_div(F.broadcast_sub(x, mean), scale))

    return OfStandardized()


def _parameters(block: HybridBlock, columns: int) -> tuple[Any, Any]:
    """A mean and a scale of ``block``, (1, ``columns``) each."""
    kept = {"shape": (1, columns), "grad_req": "null", "differentiable": False}
    mean = block.params.get("mean", init="zeros", **kept)
    return mean, block.params.get("scale", init="ones", **kept)


def set_moments(block: HybridBlock, found: Moments, devices: Sequence[Context]) -> None:
    """Give the parameters of ``in_units`` or ``of_standardized`` their values on ``devices``."""
    for parameter, value in ((block.mean, found.mean32), (block.scale, found.scale32)):
        parameter.initialize(ctx=list(devices))
        parameter.set_data(mx.nd.array(value.reshape(1, -1)))
