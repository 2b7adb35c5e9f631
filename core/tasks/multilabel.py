"""Multi-label classification: any number of labels an example, each with its probability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping

import numpy as np

from .. import payload
from ..algorithm.base import ContentType, Objective
from ..algorithm.evaluation import Evaluation
from ..artifact.metadata import Metadata
from ..artifact.model import Model
from ..data.dataset import Dataset, how_read
from ..runtime import mx
from ..runtime.errors import DataError, PluginError
from ..runtime.types import Array, HybridBlock
from .classification import described
from .imbalance import ThresholdHyperparameters, Thresholds, threshold_faults
from .label_figures import HALF, chosen_thresholds, evaluate_labels
from .supervised import MEASURED, SHOWN, H, SupervisedAlgorithm

if TYPE_CHECKING:
    from ..training.run import Run


@dataclass(frozen=True)
class LabelProbabilities:
    """The answers: ``values`` (N, L) float32 in [0, 1], the probability of each of ``names`` (L).

    A label is given from its threshold on, by default 0.5.
    """

    names: tuple[str, ...]
    values: Array
    thresholds: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> LabelProbabilities:
        return replace(self, values=self.values[part])

    def given(self) -> Iterator[list[str]]:
        """The labels of each answer."""
        at = HALF if self.thresholds is None else np.array(self.thresholds)
        for row in (self.values.astype(np.float64) >= at).tolist():
            yield [name for name, is_given in zip(self.names, row) if is_given]

    def by_name(self) -> Iterator[dict[str, float]]:
        """The probabilities of each answer by the names of the labels."""
        for row in payload.plain(self.values):
            yield dict(zip(self.names, row))


class MultiLabelClassifier(SupervisedAlgorithm[H]):
    """A supervised algorithm whose network ends in one logit a label.

    The labels of its dataset are (N, L) of 0 and 1, a column a label, and ``classes`` are the
    names of the columns: ``ArrayDataset(x, y, ("sun", "sea"))``.

    Where its hyperparameters are ThresholdHyperparameters too, each label's threshold is chosen by
    the validation examples.
    """

    metrics = {
        "train:loss": "Mean binary cross-entropy of the training batches and labels, in nats.",
        **described(
            {
                "micro_f1": "F1 over all labels of all {} examples together.",
                "macro_f1": "Mean of the labels' F1.",
                "mean_average_precision": "Mean over the labels that occur of the average "
                "precision: how well each ranks the {} examples.",
                "cross_entropy": "Mean binary cross-entropy over examples and labels, in nats.",
                "exact_match": "Fraction of the {} examples all of whose labels are right.",
            }
        ),
        **MEASURED,
    }
    objective = Objective("validation:mean_average_precision", maximize=True)
    response_types = (
        ContentType(
            payload.JSON,
            "For each example its labels, and the probability of each label.",
            '{"predictions": [{"labels": ["sea"], "probabilities": {"sun": 0.2, "sea": 0.9}}]}',
        ),
        ContentType(
            payload.JSONLINES,
            "One answer per line, as in JSON.",
            '{"labels": ["sea"], "probabilities": {"sun": 0.2, "sea": 0.9}}',
        ),
        ContentType(payload.CSV, "One answer per line: the probability of each label.", "0.2,0.9"),
        ContentType(payload.NPY, "The probabilities of all labels: an array (N, L) float32."),
    )

    def loss(self, hyperparameters: H) -> Any:
        """Binary cross-entropy of the logits (B, L), the mean over the labels."""
        return mx.gluon.loss.SigmoidBinaryCrossEntropyLoss()

    def _read(
        self, path: Path, channel: str, hyperparameters: H, encoding: Mapping[str, Any] | None
    ) -> Dataset:
        data = super()._read(path, channel, hyperparameters, encoding)
        faults = [f"{path}: {fault}{how_read(data)}" for fault in _label_faults(data)]
        if faults:
            raise DataError(*faults[: payload.MAX_FAULTS])
        return data

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[H]
    ) -> tuple[HybridBlock, Dataset]:
        self.check_outputs(network, train, train.encoding["classes"], "labels")
        return network, train

    def check_labels(self, labels: Array, data: Dataset, path: Path) -> None:
        if (labels == labels[:1]).all():
            raise DataError(
                f"{path}: all {len(data):,} examples have the same labels: expected some that "
                f"differ, or there is nothing to tell apart{how_read(data)}"
            )

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        found, labels = self._probabilities(outputs, data.encoding), np.asarray(data.labels())
        made = Thresholds.of(data.encoding)
        at = found.thresholds
        if made is not None and made.rule is not None and not made.values:
            at = chosen_thresholds(found.values, labels, made.rule)
        return evaluate_labels(found.values, labels, found.names, at)

    def decision(self, train: Dataset, run: Run[H]) -> Mapping[str, Any]:
        options = run.hyperparameters
        rule = options.rule() if isinstance(options, ThresholdHyperparameters) else None
        return {} if rule is None else Thresholds(rule).encoded()

    def decided(
        self, decision: Mapping[str, Any], validate: Callable[[], Evaluation | None], run: Run[H]
    ) -> Mapping[str, Any]:
        made = Thresholds.of(decision)
        validated = None if made is None else validate()
        if made is None or validated is None:  # on another host than the chief
            return decision
        told = ", ".join(
            f"{each.name} {each.threshold:.3g}" + ("" if each.support else " (no example has it)")
            for each in validated.labels[:SHOWN]
        )
        more = len(validated.labels) - SHOWN
        run.reporter.message(
            f"by the validation examples labels are given from these probabilities on: {told}"
            + (f" and {more:,} more" if more > 0 else "")
        )
        values = tuple(each.threshold for each in validated.labels)
        return replace(made, values=values).encoded()

    def predict_fn(self, input_data: Array, model: Model) -> LabelProbabilities:
        """Probabilities for ``input_data`` (N, …), the network's own input; see ``compute``."""
        return self._probabilities(self.compute(input_data, model), model.metadata.encoding)

    def _probabilities(self, logits: Array, encoding: Mapping[str, Any]) -> LabelProbabilities:
        names = tuple(encoding.get("classes", ()))
        self.check_finite(logits)
        if logits.ndim != 2 or logits.shape[1] != len(names):
            raise PluginError(
                f"the network of {self.name} gives {logits.shape[1:]} outputs an example for "
                f"{len(names)} labels ({', '.join(names[:SHOWN])}): let it end in a layer of "
                f"{len(names)}"
            )
        made = Thresholds.of(encoding)
        at = made.values if made is not None and made.values else None
        return LabelProbabilities(names, 0.5 * (1 + np.tanh(0.5 * logits)), at)  # no overflow

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterable[str]:
        if outputs != ((1, len(metadata.classes)),):
            shown = " and ".join(str(shape[1:]) for shape in outputs[:3])
            yield f"the network gives {shown} outputs an example for {len(metadata.classes)} labels"
        yield from threshold_faults(metadata.encoding)

    def output_fn(self, prediction: LabelProbabilities, accept: str) -> bytes:
        content_type = payload.negotiate(accept, self.response_media_types())
        if content_type == payload.NPY:
            return payload.encode_npy(prediction.values)
        if content_type == payload.CSV:
            return payload.encode_csv(prediction.values)
        rows = [
            {"labels": labels, "probabilities": probabilities}
            for labels, probabilities in zip(prediction.given(), prediction.by_name())
        ]
        return payload.encode_answers(rows, content_type)


def _label_faults(data: Dataset) -> Iterator[str]:
    """Why the labels of ``data`` are none of several, a sentence a fault."""
    labels = np.asarray(data.labels())
    names = data.encoding.get("classes", ())
    if labels.ndim != 2 or labels.dtype.kind not in "buif":
        yield (
            f"its labels have the shape {labels.shape} and the type {labels.dtype}: expected 0 and "
            "1 for each example and label, (N, L)"
        )
        return
    if labels.shape[1] != len(names):
        yield (
            f"an example has {labels.shape[1]} labels, but {len(names)} are named: "
            f"{', '.join(names[:SHOWN]) or 'none'}"
        )
        return
    for name, column in zip(names, labels.T):
        wrong = np.flatnonzero((column != 0) & (column != 1))
        if len(wrong):
            more = f" ({len(wrong) - 1:,} more are neither)" if len(wrong) > 1 else ""
            yield (
                f"the label {name} of example {wrong[0] + 1} is {column[wrong[0]]:g}: expected 0 "
                f"or 1{more}"
            )
