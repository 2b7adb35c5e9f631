"""How examples that differ in length are computed: the fewer at once the longer they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from algoshelf.core.tasks.supervised import MOST_STEPS, outputs


class Recording:
    """A network that gives the number of tokens of each text, and keeps what it was asked."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def compute(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        self.shapes.append(x.shape)
        return ((x != 0).sum(axis=1, keepdims=True).astype(np.float32),)


class Texts:
    encoding: dict[str, Any] = {}

    def __init__(self, sizes: np.ndarray) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self) -> np.ndarray:
        return self.sizes

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes = self.sizes[indices]
        x = (np.arange(sizes.max()) < sizes[:, None]).astype(np.int32)
        return x, np.zeros(len(sizes), np.int32)


def test_a_batch_holds_no_more_steps_than_memory_is_for() -> None:
    sizes = np.random.default_rng(1).permutation(np.r_[np.full(600, 5), np.full(40, 512), 20_000])
    network = Recording()
    found = outputs(network, Texts(sizes))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found[:, 0], sizes)  # in their own order
    assert sum(count for count, _ in network.shapes) == len(sizes)
    assert all(count == 1 or count * length <= MOST_STEPS for count, length in network.shapes)
    assert (256, 5) in network.shapes  # short ones fill a batch
    assert (16, 512) in network.shapes
    assert (1, 20_000) in network.shapes  # and one that is too long is computed all the same
