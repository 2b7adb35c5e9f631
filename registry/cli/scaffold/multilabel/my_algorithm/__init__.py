"""my-algorithm: whether an iris has a wide petal, and whether a long one, told by its sepal.

Read top-down: what it is told, what it learns from, what it learns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from algoshelf.core import (
    TEST,
    TRAIN,
    Algorithm,
    ArrayDataset,
    ContentType,
    Dataset,
    HybridBlock,
    MultiLabelClassifier,
    TrainingHyperparameters,
    codecs,
    files,
    hookimpl,
    mx,
    supervised_channels,
)
from pydantic import Field

SAMPLE = Path(__file__).parent / "sample"
LABELS = ("wide_petal", "long_petal")
FEATURES = 2


class MyAlgorithmHyperparameters(TrainingHyperparameters):
    epochs: int = Field(60, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(16, ge=1, le=65_536, description="examples in one step of the job")
    learning_rate: float = Field(0.02, gt=0, le=10, description="the highest of the schedule")
    units: int = Field(16, ge=1, le=4096, description="width of the hidden layer")


class MyAlgorithm(MultiLabelClassifier[MyAlgorithmHyperparameters]):
    name = "my-algorithm"
    task = "tabular-multi-label"
    summary = "Tells by its sepal whether an iris has a wide petal, and whether a long one."
    Hyperparameters = MyAlgorithmHyperparameters
    standardize_inputs = True  # of columns in unlike units
    channels = supervised_channels(
        "CSV: 1 or 0 for a wide petal, for a long petal, then length and width of the sepal in cm"
    )
    accepts = (
        ContentType(codecs.CSV, "a line a flower: length and width of the sepal", "5.1,3.5"),
        ContentType(codecs.JSON, "the same", '{"instances": [[5.1, 3.5]]}'),
    )

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.csv", TEST: SAMPLE / "test.csv"}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: MyAlgorithmHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> ArrayDataset:
        """Sizes (N, 2) float32 in cm, and labels (N, 2) float32 of 0 and 1."""
        rows = files.read_numbers_csv(path, columns=len(LABELS) + FEATURES)
        return ArrayDataset(rows[:, len(LABELS) :], rows[:, : len(LABELS)], LABELS)

    def network(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """A logit a label, (N, 2), from one hidden layer."""
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Dense(hyperparameters.units, activation="relu"), nn.Dense(len(LABELS)))
        return net


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MyAlgorithm]
