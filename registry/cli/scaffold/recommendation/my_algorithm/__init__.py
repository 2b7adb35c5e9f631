"""my-algorithm: which books a reader would like, told by ratings.

Read top-down: what it is told, what it learns from, what it learns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from algoshelf.core import (
    TEST,
    TRAIN,
    Algorithm,
    Dataset,
    HybridBlock,
    Recommender,
    RecommenderHyperparameters,
    hookimpl,
    mx,
    read_interactions,
    supervised_channels,
)
from pydantic import Field

SAMPLE = Path(__file__).parent / "sample"


class MyAlgorithmHyperparameters(RecommenderHyperparameters):
    epochs: int = Field(40, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(128, ge=1, le=65_536, description="examples in one step of the job")
    learning_rate: float = Field(0.03, gt=0, le=10, description="the highest of the schedule")
    weight_decay: float = Field(0.002, ge=0, le=1, description="strength of the L2 penalty")
    factors: int = Field(4, ge=1, le=4096, description="properties of each user and each item")


class MyAlgorithm(Recommender):
    name = "my-algorithm"
    task = "recommendation"
    summary = "Learns from ratings which books a reader would like."
    Hyperparameters = MyAlgorithmHyperparameters
    channels = supervised_channels("CSV: a user, an item, a rating, and where it is known a time")

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.csv", TEST: SAMPLE / "test.csv"}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: MyAlgorithmHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """Pairs (N, 2) int32 of a user and an item, and their ratings (N,) float32."""
        rated = hyperparameters.feedback == "explicit"
        return read_interactions(path, explicit=rated, known=encoding)

    def is_product(self, hyperparameters: MyAlgorithmHyperparameters) -> bool:
        return True

    def network(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """For ids (N, 1 + J), a user and J items, their scores (N, J)."""
        width = hyperparameters.factors

        class Tower(mx.gluon.HybridBlock):
            """For ids (N, L) factors, a bias and 1; of items, factors, 1 and a bias: (N, L, K)."""

            def __init__(self, rows, of_items):
                super().__init__()
                self.rows, self.of_items = rows, of_items
                with self.name_scope():
                    begin = mx.init.Normal(0.1)
                    self.table = self.params.get("table", shape=(rows, width + 1), init=begin)

            def hybrid_forward(self, ops, ids, table):
                rows = ops.Embedding(ids, table, input_dim=self.rows, output_dim=width + 1)
                factors = ops.slice_axis(rows, axis=2, begin=0, end=width)
                bias = ops.slice_axis(rows, axis=2, begin=width, end=None)
                ends = (ops.ones_like(bias), bias) if self.of_items else (bias, ops.ones_like(bias))
                return ops.concat(factors, *ends, dim=2)

        class Product(mx.gluon.HybridBlock):
            def __init__(self, users, items):
                super().__init__()
                with self.name_scope():
                    self.user, self.item = Tower(users + 1, False), Tower(items + 1, True)

            def hybrid_forward(self, ops, ids):
                user = self.user(ops.slice_axis(ids, axis=1, begin=0, end=1))
                items = self.item(ops.slice_axis(ids, axis=1, begin=1, end=None))
                return ops.squeeze(ops.batch_dot(items, user, transpose_b=True), axis=2)

        return Product(len(data.encoding["users"]), len(data.encoding["items"]))


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MyAlgorithm]
