"""Compare what a model is asked with a baseline: inputs, answers, and with labels the figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from ..inference.handlers import Handlers
from ..runtime.errors import DataError, InputError
from ..runtime.types import Array
from . import columns, pictures, texts
from .asked import MOST, Asked, asked, confidence_of, label_of, rows_as_columns
from .changes import ANSWER, DRIFT, INPUT, Change, judged
from .figures import Figure, compared, figure_of, is_by_request, of_labels

SEED = 1
# Of fewer examples, a test finds nothing but what everybody sees.
# Of a forecast, whose it is and when it begins, which is later in each request.
NAMES_OF_SERIES = ("item_id", "start")
FEWEST = 30
MAX_NUMBERS = 20  # of an answer that are compared one by one


@dataclass(frozen=True)
class Report:
    """All tests of one comparison, those that matter most first."""

    changes: list[Change]
    baseline: Asked
    current: Asked
    alpha: float
    notes: list[str] = field(default_factory=list)
    telling: Array | None = None  # of each current example, how much it looks like the current side

    @property
    def drifted(self) -> bool:
        return any(change.verdict == DRIFT for change in self.changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        sides = {
            name: {"path": str(side.path), "examples": len(side), "of": side.of}
            for name, side in (("baseline", self.baseline), ("current", self.current))
        }
        return {
            "drift": self.drifted,
            **sides,
            "alpha": self.alpha,
            "tests": len(self.changes),
            "correction": "Holm",
            "changes": [asdict(change) for change in self.changes],
            "notes": self.notes,
        }


def compare(
    handlers: Handlers, baseline: Path, current: Path, labels: Path | None, alpha: float
) -> Report:
    """``current`` beside ``baseline``, captures or data; ``labels`` are data as training reads
    them, or labels by request. Raises InputError.
    """
    first, second = asked(handlers, baseline), asked(handlers, current)
    notes = [*first.notes, *second.notes]
    if labels is None:
        return between(handlers, first, second, alpha, notes=notes)
    _check_sizes(first, second)
    metric = _metric(handlers, first, second, labels, notes)
    return between(handlers, first, second, alpha, [metric], notes)


def between(
    handlers: Handlers,
    first: Asked,
    second: Asked,
    alpha: float,
    more: Sequence[Change] = (),
    notes: Sequence[str] = (),
) -> Report:
    """``second`` beside ``first``, with ``more`` tests. Raises InputError."""
    _check_sizes(first, second)
    told = [*notes]
    told += [
        f"{side.path}: {len(side):,} of {side.of:,} are compared, drawn at random"
        for side in (first, second)
        if side.of > len(side) >= MOST
    ]
    found, telling = _inputs(handlers, first, second, np.random.default_rng(SEED), told)
    found += [*_answers(first, second), *more]
    if not found:
        raise InputError(
            f"nothing of {handlers.algorithm.name}'s requests and answers can be compared: its "
            f"examples are {type(first.examples[0]).__name__}, and its answers have no rows"
        )
    return Report(judged(found, alpha), first, second, alpha, told, telling)


def _check_sizes(*sides: Asked) -> None:
    for side in sides:
        if len(side) < FEWEST:
            raise DataError(
                f"{side.path}: holds {len(side)} examples that can be compared: expected {FEWEST} "
                "at least, of fewer no test tells drift from noise"
            )


def _inputs(
    handlers: Handlers, first: Asked, second: Asked, rng: np.random.Generator, notes: list[str]
) -> tuple[list[Change], Array | None]:
    """The tests of what came in, by what an example is."""
    example = first.examples[0]
    if isinstance(example, str):
        labels = [[label_of(each) for each in side.answers] for side in (first, second)]
        vocabulary = frozenset(handlers.model.metadata.encoding.get("vocabulary", ()))
        return texts.changes(
            first.examples, second.examples, (labels[0], labels[1]), vocabulary, rng
        )
    if getattr(pictures.pixels_of(example), "ndim", 0) > 1:
        return list(pictures.changes(first.examples, second.examples, rng)), None
    return list(_columns(handlers, first, second, notes)), None


def _columns(handlers: Handlers, first: Asked, second: Asked, notes: list[str]) -> Iterator[Change]:
    names = columns.column_names(_known_names(handlers))
    rows = [[_row(each, names) for each in side.examples] for side in (first, second)]
    tables = [rows_as_columns(side) for side in rows]
    alone = set(tables[0]) ^ set(tables[1])
    if alone:
        notes.append(
            f"columns that one side alone has are not compared: {', '.join(sorted(alone)[:10])}"
        )
    for name, cells in tables[0].items():
        if name in tables[1]:
            yield from columns.compared(INPUT, name, cells, tables[1][name])


def _row(example: Any, names: Any) -> Any:
    if isinstance(example, np.ndarray):
        example = example.tolist()
    if isinstance(example, (list, tuple)) and not hasattr(example, "_asdict"):
        return dict(zip(names(len(example)), example))
    return example


def _known_names(handlers: Handlers) -> Sequence[str]:
    metadata = handlers.model.metadata
    if metadata.headings is not None and metadata.headings.columns:
        return tuple(metadata.headings.columns)
    return ()


def _answers(first: Asked, second: Asked) -> Iterator[Change]:
    """The class, the certainty, the numbers of the answers; not each class's probability."""
    classes = sorted({name for side in (first, second) for a in side.answers for name in _seen(a)})
    sides = [[_leaves(answer, classes) for answer in side.answers] for side in (first, second)]
    tables = [rows_as_columns(side) for side in sides]
    for name, cells in tables[0].items():
        yield from columns.compared(ANSWER, name, cells, tables[1].get(name, []) or [None])


def _leaves(answer: Any, classes: Sequence[str] = ()) -> Mapping[str, Any]:
    if answer is None:
        return {}
    if isinstance(answer, Mapping) and isinstance(answer.get("objects"), list):
        return _objects(answer["objects"], classes)
    if isinstance(answer, Mapping):
        return {
            key: _level(value)
            for key, value in answer.items()
            if not isinstance(value, Mapping)
            and not (key in NAMES_OF_SERIES and isinstance(value, str))
        }
    if isinstance(answer, (list, tuple)):
        return {f"output {i}": value for i, value in enumerate(answer[:MAX_NUMBERS], 1)}
    return {"output": answer}


def _seen(answer: Any) -> list[str]:
    """The classes of the objects that an answer finds in a picture; none of another answer."""
    objects = answer.get("objects") if isinstance(answer, Mapping) else None
    return [str(each["class"]) for each in objects or () if isinstance(each, Mapping)]


def _objects(found: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Mapping[str, Any]:
    """Of what was found in a picture how much there is, in all and of each class, and how sure."""
    names = [str(each["class"]) for each in found]
    scores = [each["score"] for each in found if isinstance(each.get("score"), (int, float))]
    return {
        "objects": len(found),
        **({"score": sum(scores) / len(scores)} if scores else {}),
        **{f"objects: {name}": names.count(name) for name in classes},
    }


def _level(value: Any) -> Any:
    """Of several numbers, such as the steps of a forecast, their mean; else ``value``."""
    if isinstance(value, list) and value and all(isinstance(each, float) for each in value):
        return sum(value) / len(value)
    return value


def _metric(
    handlers: Handlers, first: Asked, second: Asked, labels: Path, notes: list[str]
) -> Change:
    algorithm, model = handlers.algorithm, handlers.model
    if is_by_request(labels):
        found = of_labels(handlers, second, labels, notes)
    else:
        found = algorithm.evaluate(model, labels)
    figure = figure_of(algorithm, found)
    if first.is_capture:
        raise InputError(
            f"{first.path}: is a capture, which has no labels to measure {figure.name} of: give "
            "--baseline labelled data, such as the test examples of the training, or leave out "
            "--labels"
        )
    before = figure_of(algorithm, algorithm.evaluate(model, first.path), figure.name)
    if before.name != figure.name:
        raise InputError(
            f"{labels}: gives {figure.name}, but the baseline {before.name}: give labels of the "
            "same kind"
        )
    return compared(before, figure)


def least_sure(report: Report) -> list[int]:
    """The current examples in the order in which labels of them tell most: in turn the one of
    whose answer the model is least sure, and the one that looks least like the baseline.
    """
    questions = report.current.questions
    confidences = [confidence_of(each.answer) for each in questions]
    known = [i for i, value in enumerate(confidences) if value is not None]
    unsure = sorted(known, key=lambda i: confidences[i] or 0.0)
    telling: list[int] = []
    if report.telling is not None:
        ranks = report.telling
        telling = [int(i) for i in np.argsort(-ranks, kind="stable") if not np.isnan(ranks[i])]
    turns = [each for pair in zip(unsure, telling) for each in pair] or [*unsure, *telling]
    return list(dict.fromkeys([*turns, *unsure, *range(len(questions))]))


__all__ = ["Figure", "Report", "compare", "least_sure"]
