"""Regression: one number an example, or several, each in the unit of its target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .. import payload, training
from ..algorithm.base import ContentType, Objective
from ..algorithm.channels import TRAIN
from ..algorithm.evaluation import Evaluation
from ..artifact.metadata import Metadata
from ..artifact.model import Model
from ..data.dataset import Dataset, lengths_of
from ..runtime import mx
from ..runtime.errors import DataError, PluginError
from ..runtime.types import Array, HybridBlock
from .scaling import in_units, moments, set_moments
from .supervised import MEASURED, SHOWN, H, SupervisedAlgorithm
from .target_figures import evaluate_targets

if TYPE_CHECKING:
    from ..training.run import Run


@dataclass(frozen=True)
class TargetValues:
    """A regression's answers: ``values`` (N, T) float32 in the targets' units, by ``names`` (T)."""

    names: tuple[str, ...]
    values: Array

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> TargetValues:
        return replace(self, values=self.values[part])

    def by_name(self) -> Iterator[dict[str, float]]:
        """The numbers of each answer by the names of their targets."""
        for row in payload.plain(self.values):
            yield dict(zip(self.names, row))


class Regressor(SupervisedAlgorithm[H]):
    """A supervised algorithm whose network ends in one number a target.

    The labels of its dataset are (N,), or (N, T) for T targets, in their own units; it may name
    them (``ArrayDataset(x, y, targets=("price",))``), and answers name them so. The network learns
    targets of mean 0 and variance 1; what brings its outputs back to the targets' units is part of
    the model's graph.
    """

    metrics = {
        "train:loss": "mean loss of the training batches, as augmented; unless loss() is "
        "overridden, half the squared error by the target's variance",
        "validation:rmse": "root of the mean squared error, in the target's unit; of several "
        "targets, the mean over them",
        "validation:mae": "mean absolute error, in the target's unit; of several, the mean",
        "validation:r2": "1 - squared error / that of answering the mean, no unit, 1 at best; of "
        "several targets, the mean; left out where no target varies",
        "test:rmse": "the same for the test channel, after training",
        "test:mae": "the same for the test channel, after training",
        "test:r2": "the same for the test channel, after training",
        **MEASURED,
    }
    objective = Objective("validation:rmse", maximize=False)
    response_types = (
        ContentType(
            payload.JSON,
            "for each example the number of each target, by the target's name",
            '{"predictions": [{"price": 152.3}]}',
        ),
        ContentType(payload.JSONLINES, "the same, a line an example", '{"price": 152.3}'),
        ContentType(payload.CSV, "a line an example: the number of each target", "152.3"),
        ContentType(payload.NPY, "the numbers of all targets, (N, T) float32"),
    )

    def loss(self, hyperparameters: H) -> Any:
        """Half the squared error of the network's outputs and the standardized targets (B, T)."""
        return mx.gluon.loss.L2Loss()

    def _read(
        self, path: Path, channel: str, hyperparameters: H, encoding: Mapping[str, Any] | None
    ) -> Dataset:
        data = super()._read(path, channel, hyperparameters, encoding)
        faults = [f"{path}: {fault}" for fault in _target_faults(data)]
        if faults:
            raise DataError(*faults[: payload.MAX_FAULTS])
        return data

    def united(
        self, encodings: Sequence[Mapping[str, Any]], hosts: Sequence[str], hyperparameters: H
    ) -> Mapping[str, Any]:
        """As for any algorithm, but for the targets, which are the columns of the labels: they
        have to be the same on each host. Raises DataError.
        """
        named = [{"targets": encoding.get("targets")} for encoding in encodings]
        unlike = training.together.differences(named, hosts)
        if unlike:
            raise DataError(*(f"{fault}. Give every host the same targets" for fault in unlike))
        return training.together.united(encodings, hosts)

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[H]
    ) -> tuple[HybridBlock, Dataset]:
        """``network`` with its outputs in the targets' units, and ``train`` with targets of mean 0
        and variance 1, by all that any host learns from.
        """
        targets = columns(train.labels())
        names = target_names(train.encoding, targets.shape[1])
        self.check_outputs(network, train, names, "targets")
        found = moments(run.cluster, targets, "targets")
        constant = [
            f"{name} ({low:g})"
            for name, low, high in zip(names, found.low, found.high)
            if low == high
        ]
        if len(constant) == len(names):
            raise DataError(
                f"{run.channels[TRAIN]}: all {found.count:,} examples to learn from have the same "
                f"target: {', '.join(constant[:SHOWN])}: expected numbers that differ, or there is "
                "nothing to estimate"
            )
        if constant:
            run.reporter.message(
                f"targets that are the same in all examples: {', '.join(constant[:SHOWN])}"
            )
        model = in_units(network, found)
        set_moments(model, found, run.devices)
        return model, StandardizedTargets(train, found.mean32, found.scale32)

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        truth = columns(data.labels())
        found = self._values(outputs, data.encoding)
        self.check_finite(found.values)
        if truth.shape[1] != len(found.names):
            raise DataError(
                f"the examples have {truth.shape[1]} targets each, but the model estimates "
                f"{len(found.names)} ({', '.join(found.names[:SHOWN])})"
            )
        return evaluate_targets(found.values, truth, found.names)

    def predict_fn(self, input_data: Array, model: Model) -> TargetValues:
        """The targets of ``input_data`` (N, …), the network's own input; see ``compute``."""
        return self._values(self.compute(input_data, model), model.metadata.encoding)

    def _values(self, outputs: Array, encoding: Mapping[str, Any]) -> TargetValues:
        values = outputs.reshape(len(outputs), -1)
        names = target_names(encoding, values.shape[1])
        if len(names) != values.shape[1]:
            raise PluginError(
                f"the network of {self.name} gives {values.shape[1]} outputs an example for "
                f"{len(names)} targets ({', '.join(names[:SHOWN])})"
            )
        return TargetValues(names, values)

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterable[str]:
        shown = " and ".join(str(shape[1:]) for shape in outputs[:3])
        count = outputs[0][1] if len(outputs) == 1 and len(outputs[0]) == 2 else 0
        names = target_names(metadata.encoding, count)
        if not count or len(names) != count:
            expected = f"{len(names)} targets" if names else "a row of targets"
            yield f"the network gives {shown} outputs an example for {expected}"

    def output_fn(self, prediction: TargetValues, accept: str) -> bytes:
        content_type = payload.negotiate(accept, self.response_media_types())
        if content_type == payload.NPY:
            return payload.encode_npy(prediction.values)
        if content_type == payload.CSV:
            return payload.encode_csv(prediction.values)
        return payload.encode_answers(list(prediction.by_name()), content_type)


def target_names(encoding: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """The names of ``count`` targets, as the data names them, or ``target`` and by number."""
    numbered = ["target"] if count == 1 else [f"target_{i}" for i in range(1, count + 1)]
    return tuple(encoding.get("targets", numbered))


def columns(labels: Array) -> Array:
    """Labels (N,) or (N, T) as (N, T) float64."""
    return np.asarray(labels, np.float64).reshape(len(labels), -1)


def _target_faults(data: Dataset) -> Iterator[str]:
    """Why the labels of ``data`` are no numbers to be estimated, a sentence a fault."""
    labels = np.asarray(data.labels())
    if labels.ndim not in (1, 2) or not labels.size or labels.dtype.kind not in "buif":
        yield (
            f"its labels have the shape {labels.shape} and the type {labels.dtype}: expected "
            "numbers (N,), or (N, T) for T targets"
        )
        return
    values = columns(labels)
    names = target_names(data.encoding, values.shape[1])
    if len(names) != values.shape[1]:
        yield (
            f"an example has {values.shape[1]} targets, but {len(names)} are named: "
            f"{', '.join(names[:SHOWN])}"
        )
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(np.float32))
    for name, column, good in zip(names, values.T, finite.T):
        wrong = np.flatnonzero(~good)
        if len(wrong):
            more = f" (nor are {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
            yield (
                f"the target {name} of example {wrong[0] + 1} is {column[wrong[0]]:g}, no finite "
                f"float32{more}: leave such examples out"
            )


@dataclass(frozen=True)
class StandardizedTargets:
    """``whole`` with its targets less ``mean`` (T,), by ``scale`` (T,): y (B, T) float32."""

    whole: Dataset
    mean: Array
    scale: Array

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    def __len__(self) -> int:
        return len(self.whole)

    def take(self, indices: Array) -> tuple[Array, Array]:
        x, y = self.whole.take(indices)
        return x, self._scaled(y)

    def labels(self) -> Array:
        return self._scaled(self.whole.labels())

    def lengths(self) -> Array | None:
        return lengths_of(self.whole)

    def digest(self) -> str:
        return self.whole.digest()

    def _scaled(self, labels: Array) -> Array:
        scaled: Array = (columns(labels) - self.mean) / self.scale
        return scaled.astype(np.float32)
