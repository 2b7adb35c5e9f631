"""my-algorithm: how many guests cafés have in the coming week.

Read top-down: what it is told, what it learns from, what it learns. Forecaster reads series from
tables and JSON lines, holds the latest part of each out, and answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

from algoshelf.core import (
    TEST,
    TRAIN,
    Algorithm,
    Dataset,
    Forecaster,
    ForecasterHyperparameters,
    HybridBlock,
    hookimpl,
    mx,
)
from pydantic import Field

SAMPLE = Path(__file__).parent / "sample"


class MyAlgorithmHyperparameters(ForecasterHyperparameters):
    epochs: int = Field(20, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(32, ge=1, le=65_536, description="examples in one step of the job")
    learning_rate: float = Field(0.03, gt=0, le=10, description="the highest of the schedule")
    prediction_length: int = Field(7, ge=1, le=10_000, description="steps to forecast")


class MyAlgorithm(Forecaster):
    name = "my-algorithm"
    task = "forecasting"
    summary = "Forecasts how many guests cafés have in the coming week."
    Hyperparameters = MyAlgorithmHyperparameters

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.csv", TEST: SAMPLE / "test.csv"}

    def network(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """For windows (N, context + horizon, channels), of which channel 0 is the target, the
        quantiles of each step to forecast, (N, horizon, levels).
        """
        layout = self.layout(hyperparameters, data.encoding)
        context, horizon, levels = layout.context, layout.horizon, len(self.levels)

        class Linear(mx.gluon.HybridBlock):
            """Each quantile is a sum over the past, by how large that is: a size of its own."""

            def __init__(self):
                super().__init__()
                with self.name_scope():
                    self.dense = mx.gluon.nn.Dense(horizon * levels)

            def hybrid_forward(self, ops, x):
                target = ops.slice_axis(x, axis=2, begin=0, end=1)
                past = ops.slice_axis(target, axis=1, begin=0, end=context)
                size = ops.mean(ops.abs(past), axis=1, keepdims=True) + 1e-6
                found = self.dense(ops.broadcast_div(past, size))
                return ops.broadcast_mul(ops.reshape(found, shape=(-1, horizon, levels)), size)

        return Linear()


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MyAlgorithm]
