"""my-algorithm: the width of an iris's petal, estimated from three other sizes.

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
    Regressor,
    TrainingHyperparameters,
    codecs,
    files,
    hookimpl,
    mx,
    supervised_channels,
)
from pydantic import Field

SAMPLE = Path(__file__).parent / "sample"
TARGETS = ("petal_width",)
FEATURES = 3


class MyAlgorithmHyperparameters(TrainingHyperparameters):
    epochs: int = Field(60, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(16, ge=1, le=65_536, description="examples in one step of the job")
    learning_rate: float = Field(0.02, gt=0, le=10, description="the highest of the schedule")
    units: int = Field(16, ge=1, le=4096, description="width of the hidden layer")


class MyAlgorithm(Regressor[MyAlgorithmHyperparameters]):
    name = "my-algorithm"
    task = "tabular-regression"
    summary = "Estimates the width of an iris's petal, in cm, from three other sizes."
    Hyperparameters = MyAlgorithmHyperparameters
    standardize_inputs = True  # of columns in unlike units
    channels = supervised_channels("CSV: the width of the petal first, then three sizes, in cm")
    accepts = (
        ContentType(codecs.CSV, "a line a flower: three sizes in cm", "5.1,3.5,1.4"),
        ContentType(codecs.JSON, "the same", '{"instances": [[5.1, 3.5, 1.4]]}'),
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
        """Sizes (N, 3) float32 and the widths of the petals (N,) float32, in cm."""
        rows = files.read_numbers_csv(path, columns=1 + FEATURES, target_first=True)
        return ArrayDataset(rows[:, 1:], rows[:, 0], targets=TARGETS)

    def network(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """A number an example, (N, 1), from one hidden layer."""
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Dense(hyperparameters.units, activation="relu"), nn.Dense(len(TARGETS)))
        return net


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MyAlgorithm]
