"""Thousands of classes are measured without holding an answer for each of them and each example."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
from algoshelf.core import Array, ArrayDataset
from algoshelf.core.tasks.class_figures import evaluate_classes
from algoshelf.core.tasks.classification import softmax

from tests.core.tasks.test_binary import Loans, Options

CLASSES, EXAMPLES = 4_000, 6_000
NAMES = tuple(map(str, range(CLASSES)))
RNG = np.random.default_rng(1)
WEIGHTS = RNG.normal(size=(2, CLASSES)).astype(np.float32)
DATA = ArrayDataset(
    RNG.normal(size=(EXAMPLES, 2)).astype(np.float32), RNG.integers(0, CLASSES, EXAMPLES), NAMES
)


class Product:
    """A network of one product; what it has computed of."""

    examples = 0

    def compute(self, x: Array) -> tuple[Array, ...]:
        self.examples += len(x)
        return (x @ WEIGHTS,)


class OfLogits(Loans):
    """An algorithm that scores for itself, and is promised all logits."""

    def score(self, outputs: Array, data: Any) -> Any:
        assert outputs.shape == (EXAMPLES, CLASSES)
        return super().score(outputs, data)


def test_the_figures_are_those_of_all_logits_and_memory_holds_a_part() -> None:
    logits = DATA.x @ WEIGHTS
    expected = evaluate_classes(softmax(logits), DATA.y, NAMES)
    del logits
    network: Any = Product()
    tracemalloc.start()
    try:
        outputs = Loans().all_outputs(network, DATA, Options())
        found = Loans().score(outputs, DATA)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.metrics["accuracy"] == expected.metrics["accuracy"]
    assert abs(found.metrics["cross_entropy"] - expected.metrics["cross_entropy"]) < 1e-5
    assert (found.classes, found.confused) == (expected.classes, expected.confused)
    assert len(found.confused) == 100
    assert peak < 4 * CLASSES * EXAMPLES / 2, f"{peak:,} bytes: all logits are held"


def test_an_algorithm_that_scores_for_itself_is_given_all_logits() -> None:
    network: Any = Product()
    algorithm = OfLogits()
    outputs = algorithm.all_outputs(network, DATA, Options())
    assert algorithm.score(outputs, DATA).examples == EXAMPLES
