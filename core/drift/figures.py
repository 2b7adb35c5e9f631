"""The metric on labelled examples beside the baseline's, both with their intervals."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from ..algorithm.base import Algorithm
from ..algorithm.evaluation import Evaluation
from ..inference.handlers import Handlers
from ..runtime.errors import DataError, InputError
from ..tasks.intervals import of_mean, wilson_interval
from .asked import Asked, label_of
from .changes import BETTER, METRIC, Change
from .distributions import normal_tail
from .two_samples import Tested

Interval = Sequence[float]
Z = 1.959964  # of a 95 % interval
LOWER_IS_BETTER = (
    *("loss", "error", "rmse", "mae", "entropy", "brier", "cost", "msd", "ssd"),
    *("wql", "sql", "mase", "smape", "owa"),
)
IDS = ("id", "event_id", "eventid", "inference_id", "inferenceid")
LABELS = ("label", "correction", "correct", "class", "target", "truth", "y")
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Figure:
    """A metric with its 95 % confidence interval, of so many ``examples``."""

    name: str
    value: float
    interval: tuple[float, float] | None
    examples: int

    def __str__(self) -> str:
        bounds = (
            "" if self.interval is None else f" ({self.interval[0]:.4g} to {self.interval[1]:.4g})"
        )
        return f"{self.value:.4g}{bounds} of {self.examples:,}"


def figure_of(algorithm: Algorithm[Any], found: Evaluation, name: str = "") -> Figure:
    """The figure of ``found`` that counts: ``name``, the algorithm's objective, or the first that
    has an interval.
    """
    objective = algorithm.objective.metric.partition(":")[2]
    wanted = [name, objective, ACCURACY, *found.intervals, *found.metrics]
    known = [each for each in wanted if each in found.metrics]
    chosen = next((each for each in known if each in found.intervals), known[0])
    interval = found.intervals.get(chosen)
    return Figure(chosen, float(found.metrics[chosen]), interval, found.examples)


def is_better_high(name: str) -> bool:
    return not any(word in name for word in LOWER_IS_BETTER)


def compared(first: Figure, second: Figure) -> Change:
    """The test of two independent figures, by their intervals alone: the interval of their
    difference is put together of both (G. Y. Zou and A. Donner, "Construction of confidence limits
    about effect measures", Statistics in Medicine 27, 2008).
    """
    difference = second.value - first.value
    p, detail = 1.0, "no interval is known, so that it cannot be told from noise"
    if first.interval is not None and second.interval is not None:
        toward = difference < 0  # the limits that face each other
        reach = math.hypot(
            first.interval[0 if toward else 1] - first.value,
            second.interval[1 if toward else 0] - second.value,
        )
        p = (
            min(1.0, 2 * normal_tail(abs(difference) / reach * Z))
            if reach
            else float(not difference)
        )
        better = difference > 0 if is_better_high(second.name) else difference < 0
        detail = "" if not difference else BETTER if better else "worse"
    return Change.of(
        Tested(min(1.0, abs(difference)), p),
        part=METRIC, subject=second.name, test="difference of figures", measure="difference",
        baseline=str(first), current=str(second), detail=detail,
    )  # fmt: skip


def is_by_request(path: Path) -> bool:
    """Whether ``path`` names labels by request, and is no data that training reads."""
    return path.is_file() and _by_id(path) is not None


def of_labels(handlers: Handlers, asked: Asked, path: Path, notes: list[str]) -> Evaluation:
    """How well the model did on the requests that ``path`` has labels of.

    Raises DataError where it has none of these.
    """
    labels = _by_id(path) or {}
    pairs = [
        (each.answer, labels[name])
        for each in asked.questions
        if each.event is not None
        for name in each.event.ids
        if name in labels
    ]
    if not pairs:
        raise DataError(
            f"{path}: names none of the {asked.of:,} requests in {asked.path}, by their eventId or "
            "inferenceId"
        )
    notes.append(f"{path}: labels of {len(pairs):,} of {len(asked):,} examples")
    classes = [label_of(answer) for answer, _ in pairs]
    if all(each is not None for each in classes):
        right = sum(str(label) == found for found, (_, label) in zip(classes, pairs))
        interval = wilson_interval(right, len(pairs))
        return Evaluation(len(pairs), {ACCURACY: right / len(pairs)}, {ACCURACY: interval})
    errors = np.array([_error(answer, label, path) for answer, label in pairs])
    mean = of_mean(errors)
    intervals = {} if mean is None else {"mae": mean}
    return Evaluation(len(pairs), {"mae": float(errors.mean())}, intervals)


def _error(answer: Any, label: Any, path: Path) -> float:
    values = list(answer.values()) if isinstance(answer, Mapping) else [answer]
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    try:
        return abs(float(numbers[0]) - float(label))
    except (IndexError, ValueError, TypeError):
        raise InputError(
            f"{path}: the label {str(label)[:40]!r} cannot be held against the answer "
            f"{str(answer)[:80]}: expected a class or a number"
        ) from None


def _by_id(path: Path) -> dict[str, Any] | None:
    """Labels by request: JSON lines or CSV with an id and a label, or as SageMaker's Model Monitor
    merges them; None for what is none of these.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (UnicodeDecodeError, OSError):
        return None
    if text.lstrip().startswith("{"):
        return _by_json(text)
    header, *rows = csv.reader(io.StringIO(text)) if "," in text[:1000] else [[]]
    names = [cell.strip().lower() for cell in header]
    if len(names) != 2 or names[0] not in IDS or names[1] not in LABELS:
        return None
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def _by_json(text: str) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if "groundTruthData" in record:
                truth, metadata = record["groundTruthData"], record["eventMetadata"]
                found[str(metadata["eventId"])] = truth["data"]
                continue
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        keys = {str(key).lower(): key for key in record} if isinstance(record, dict) else {}
        name = next((keys[each] for each in IDS if each in keys), None)
        label = next((keys[each] for each in LABELS if each in keys), None)
        if name is None or label is None:
            return None
        found[str(record[name])] = record[label]
    return found
