"""my-algorithm: four sizes of an iris, given back after they went through two numbers.

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
    Autoencoder,
    ContentType,
    Dataset,
    HybridBlock,
    TrainingHyperparameters,
    codecs,
    files,
    hookimpl,
    mx,
    supervised_channels,
)
from pydantic import Field

SAMPLE = Path(__file__).parent / "sample"
SIZES = ("petal_width", "sepal_length", "sepal_width", "petal_length")


class MyAlgorithmHyperparameters(TrainingHyperparameters):
    epochs: int = Field(60, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(16, ge=1, le=65_536, description="examples in one step of the job")
    learning_rate: float = Field(0.02, gt=0, le=10, description="the highest of the schedule")
    code: int = Field(2, ge=1, le=4096, description="numbers through which an example goes")
    units: int = Field(16, ge=1, le=4096, description="width of the layers before and after")


class MyAlgorithm(Autoencoder[MyAlgorithmHyperparameters]):
    name = "my-algorithm"
    task = "tabular-autoencoder"
    summary = "Tells how unusual an iris is: how badly it is given back through two numbers."
    Hyperparameters = MyAlgorithmHyperparameters
    standardize_inputs = True  # of columns in unlike units
    channels = supervised_channels("CSV: a line a flower, four sizes in cm, no labels")
    accepts = (
        ContentType(codecs.CSV, "a line a flower: four sizes in cm", "0.2,5.1,3.5,1.4"),
        ContentType(codecs.JSON, "the same", '{"instances": [[0.2, 5.1, 3.5, 1.4]]}'),
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
        """Sizes (N, 4) float32 in cm, which are what is to be given back, too."""
        rows = files.read_numbers_csv(path, columns=len(SIZES))
        return ArrayDataset(rows, rows, targets=SIZES)

    def network(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """The four sizes again, (N, 4), from two numbers: the code."""
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Dense(hyperparameters.units, activation="tanh"), nn.Dense(hyperparameters.code))
        net.add(nn.Dense(hyperparameters.units, activation="tanh"), nn.Dense(len(SIZES)))
        return net


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MyAlgorithm]
