"""my-algorithm: classify the species of iris by the sizes of their flowers.

From top to bottom: its hyperparameters, its data, its network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from algoshelf.core import (
    TEST,
    TRAIN,
    Algorithm,
    ArrayDataset,
    Classifier,
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
CLASSES = ("setosa", "versicolor", "virginica")
FEATURES = 4


class MyAlgorithmHyperparameters(TrainingHyperparameters):
    epochs: int = Field(60, ge=1, le=10_000, description="Passes over the training data.")
    batch_size: int = Field(16, ge=1, le=65_536, description="Examples in one training step.")
    learning_rate: float = Field(0.02, gt=0, le=10, description="Peak learning rate.")
    units: int = Field(16, ge=1, le=4096, description="Number of units in the hidden layer.")


class MyAlgorithm(Classifier[MyAlgorithmHyperparameters]):
    name = "my-algorithm"
    task = "tabular-classification"
    summary = "Classifies three species of iris by the sizes of their flowers."
    Hyperparameters = MyAlgorithmHyperparameters
    standardize_inputs = True  # of columns in unlike units
    channels = supervised_channels("CSV: the class (0, 1 or 2) first, then four sizes in cm")
    accepts = (
        ContentType(codecs.CSV, "One flower per line: four sizes in cm.", "5.1,3.5,1.4,0.2"),
        ContentType(
            codecs.JSON, "Flowers, four sizes in cm each.", '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
        ),
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
        """Sizes (N, 4) float32 in cm, and species (N,) int32."""
        sizes, species = files.read_labelled_csv(path, features=FEATURES, labels=len(CLASSES))
        return ArrayDataset(sizes, species, CLASSES)

    def network(self, hyperparameters: MyAlgorithmHyperparameters, data: Dataset) -> HybridBlock:
        """Logits (N, 3), from one hidden layer."""
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Dense(hyperparameters.units, activation="relu"), nn.Dense(len(CLASSES)))
        return net


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [MyAlgorithm]
