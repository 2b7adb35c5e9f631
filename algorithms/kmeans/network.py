"""The network of k-means: from rows to their distances from k centroids.

|x - c|² = |x|² - 2 x·c + |c|², so that the work is one matrix product; |x|² does not matter for
which centroid is the closest. Where rows lie far from the origin the formula loses digits: whoever
calls ``Nearest`` subtracts an origin among the rows first; ``Distances`` does so itself.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ...core import Array, Context, HybridBlock, NDArray, mx
from ...core.artifact.network import Network


def nearest(k: int, columns: int, devices: Sequence[Context], dtype: str) -> HybridBlock:
    """A network from rows (B, columns) to the index of the closest of ``k`` centroids, (B,)."""

    class Nearest(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="nearest_")
            kind = {"dtype": dtype, "grad_req": "null"}
            self.centroids = self.params.get("centroids", shape=(k, columns), **kind)
            self.offsets = self.params.get("offsets", shape=(k,), **kind)

        def hybrid_forward(self, F: Any, x: Any, centroids: Any, offsets: Any) -> Any:  # noqa: N803
            closeness = F.FullyConnected(x, centroids, offsets, num_hidden=k)
            return F.argmax(closeness, axis=1)

    network = Nearest()
    network.initialize(ctx=list(devices))
    network.hybridize(static_alloc=True)
    return network


def place(network: HybridBlock, centroids: Array) -> None:
    """Have a network of ``nearest`` use ``centroids`` (K, D) float64."""
    # mx.nd.array would copy on this thread, with OpenMP threads that then slow down the others.
    for parameter, values in (
        (network.centroids, centroids),
        (network.offsets, np.square(centroids).sum(axis=1) / -2),
    ):
        parameter.set_data(mx.nd.from_numpy(values.astype(parameter.dtype)))


def squared_distances(x: NDArray, norms: NDArray, points: NDArray) -> NDArray:
    """From rows ``x`` (B, D) with squared ``norms`` (B,) to ``points`` (M, D): (B, M)."""
    products = mx.nd.FullyConnected(x, points, num_hidden=len(points), no_bias=True)
    lengths = points.square().sum(axis=1)
    apart = norms.expand_dims(1) - 2 * products
    return mx.nd.relu(mx.nd.broadcast_add(apart, lengths.expand_dims(0)))


def centroids_of(network: Network) -> Array:
    """The centroids (K, D) float64 that a network of ``distances`` holds."""
    held = network.parameters().items()
    (centroids,) = (values for name, values in held if name.endswith("centroids"))
    exact: Array = centroids.astype(np.float64)
    return exact


def distances(centroids: Array, origin: Array) -> HybridBlock:
    """The network of the artifact: rows (B, D) to their distances (B, K) from ``centroids`` (K, D).

    All is counted from ``origin`` (D,), which lies among the rows. The least distance of each row
    is computed anew from the differences, since the formula loses digits in small ones; no
    other is less.
    """
    k = len(centroids)

    class Distances(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="kmeans_")
            for name, value in (("centroids", centroids), ("origin", origin.reshape(1, -1))):
                constant = self.params.get(
                    name, shape=value.shape, grad_req="null", init=mx.init.Constant(0)
                )
                setattr(self, name, constant)

        def hybrid_forward(self, F: Any, x: Any, centroids: Any, origin: Any) -> Any:  # noqa: N803
            x = F.broadcast_sub(x, origin)
            c = F.broadcast_sub(centroids, origin)
            products = F.FullyConnected(x, c, num_hidden=k, no_bias=True)
            lengths = F.expand_dims(F.sum(F.square(c), axis=1), axis=0)
            closeness = F.broadcast_sub(products, lengths / 2)
            closest = F.argmax(closeness, axis=1)
            least = F.sum(F.square(x - F.take(c, closest)), axis=1, keepdims=True)
            norms = F.sum(F.square(x), axis=1, keepdims=True)
            others = F.broadcast_maximum(
                F.broadcast_sub(norms, 2 * closeness), least * (1 + 1e-6) + 1e-30
            )
            chosen = F.one_hot(closest, depth=k)
            return F.sqrt(F.broadcast_mul(chosen, least) + (1 - chosen) * others)

    network = Distances()
    network.initialize(ctx=mx.cpu())
    network.centroids.set_data(mx.nd.array(centroids))
    network.origin.set_data(mx.nd.array(origin.reshape(1, -1)))
    network.hybridize()
    return network
