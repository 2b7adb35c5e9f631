"""The part of a network that learns while the rest stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping

from ..data.dataset import Dataset
from ..runtime.types import Array, HybridBlock


@dataclass(frozen=True)
class Head:
    """``network`` learns; ``seen`` gives examples as it takes them: what the rest makes of them."""

    network: HybridBlock
    seen: Callable[[Dataset], Dataset]


@dataclass(frozen=True)
class Features:
    """The examples of ``data`` with ``x`` (N, …) in place of their own inputs."""

    data: Dataset
    x: Array

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.data.encoding

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices: Array) -> tuple[Array, Array]:
        return self.x[indices], self.labels()[indices]

    def labels(self) -> Array:
        return self.data.labels()

    def digest(self) -> str:
        return self.data.digest()
