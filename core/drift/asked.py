"""What a model was asked, and what it answers: of captured requests, or of data as training reads.

Of many examples MOST are drawn at random, with a fixed seed. The model answers all of them anew, so
that both sides are answered by one model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from .. import payload
from ..data import capture, walking
from ..data.capture import Event
from ..inference import headings as headed
from ..inference.answers import RECORDS, parsed_rows
from ..inference.handlers import Handlers
from ..inference.intake import intake
from ..runtime.errors import DataError, InputError, PayloadError

MOST = 5000
MAX_FILE_BYTES = 2**30
SHOWN = 3
ANSWERED_TOGETHER = 64
SEED = 1


class Question(NamedTuple):
    """An example as ``input_fn`` gave it, the request that it came in, and its answer.

    ``event`` is None of plain data, ``answer`` a row as ``parsed_rows`` gives it, None where the
    algorithm answers in no form that has rows. ``correction`` is what a person said is right.
    """

    example: Any
    answer: Any
    event: Event | None
    place: str
    correction: str | None = None


@dataclass
class Asked:
    """The examples of one side; ``of`` how many, and ``notes`` on what was left out."""

    path: Path
    questions: list[Question]
    of: int
    is_capture: bool
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def examples(self) -> list[Any]:
        return [each.example for each in self.questions]

    @property
    def answers(self) -> list[Any]:
        return [each.answer for each in self.questions]


def asked(handlers: Handlers, path: Path, most: int = MOST) -> Asked:
    """What is at ``path``: a capture, or data as training, or `algoshelf predict`, reads them.

    Raises InputError where it holds neither.
    """
    if capture.is_capture(path):
        return _captured(handlers, path, most)
    examples, count = _data(handlers, path, most)
    found = Asked(path, [], count, False)
    rows, faults = answered(handlers, examples)
    for number, (example, row) in enumerate(zip(examples, rows), 1):
        if not isinstance(row, PayloadError):
            found.questions.append(Question(example, row, None, f"example {number}"))
    _note(found, faults, "examples")
    return found


def _captured(handlers: Handlers, path: Path, most: int) -> Asked:
    places = list(capture.places(path))
    if not places:
        raise DataError(f"{path}: holds no captured requests")
    chosen = _drawn(len(places), most)
    found = Asked(path, [], len(places), True)
    examples: list[Any] = []
    events: list[Event] = []
    faults: list[str] = []
    for index in chosen:
        try:
            event = capture.read(places[index])
            decoded = _decoded(handlers, event.body, event.content_type)
        except (DataError, PayloadError) as error:
            told = error.faults[0]
            at = f"{places[index].path.name}: line {places[index].number}"
            faults.append(told if isinstance(error, DataError) else f"{at}: {told}")
            continue
        part = [decoded[i] for i in range(len(decoded))]
        examples += part
        events += [event] * len(part)
    rows, unanswered = answered(handlers, examples)
    for example, event, row in zip(examples, events, rows):
        if not isinstance(row, PayloadError):
            found.questions.append(Question(example, row, event, event.place))
    _note(found, [*faults, *unanswered], "requests")
    return found


def _note(found: Asked, faults: Sequence[str], what: str) -> None:
    if not found.questions:
        first = "; ".join(faults[:SHOWN])
        raise DataError(f"{found.path}: none of its {what} can be answered by this model: {first}")
    if faults:
        more = f" and {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
        found.notes.append(
            f"{found.path}: {len(faults):,} {what} that the model does not answer are left out: "
            f"{'; '.join(faults[:SHOWN])}{more}"
        )


def _drawn(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count``, in order."""
    if count <= most:
        return list(range(count))
    drawn = np.random.default_rng(SEED).choice(count, most, replace=False)
    return sorted(drawn.tolist())


def _decoded(handlers: Handlers, body: bytes, content_type: str) -> Any:
    metadata, algorithm = handlers.model.metadata, handlers.algorithm
    taken = headed.taken(body, content_type, metadata.headings, algorithm.mixed_tables)
    return handlers.decode(taken.body, content_type)


def _data(handlers: Handlers, path: Path, most: int) -> tuple[list[Any], int]:
    """Examples of data as training reads them, or else as predict does; and of how many."""
    try:
        return handlers.algorithm.examples(path, handlers.model, lambda count: _drawn(count, most))
    except InputError as error:
        try:
            found = _files(handlers, path, most)
        except InputError as second:
            told = dict.fromkeys([*error.faults, *second.faults])
            raise DataError(*told) from None
        if not found[0]:
            raise
        return found


def _files(handlers: Handlers, path: Path, most: int) -> tuple[list[Any], int]:
    files = sorted(walking.walk(path).files.values()) if path.is_dir() else [path]
    examples: list[Any] = []
    for index in _drawn(len(files), most):
        read = intake(handlers.algorithm, files[index])
        if read.is_empty:
            continue
        decoded = handlers.decode(read.body(MAX_FILE_BYTES), read.content_type)
        examples += [decoded[i] for i in range(len(decoded))]
    return [examples[i] for i in _drawn(len(examples), most)], max(len(examples), len(files))


def answered(handlers: Handlers, examples: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """The row of each example's answer, or the PayloadError by which it is refused; and the faults.

    Examples of one shape are computed together.
    """
    kind = next((name for name in RECORDS if name in handlers.algorithm.response_media_types()), "")
    rows: list[Any] = [None] * len(examples)
    if not kind:
        return rows, []
    groups: dict[Any, list[int]] = {}
    for index, example in enumerate(examples):
        shape = (example.shape, example.dtype.str) if isinstance(example, np.ndarray) else None
        groups.setdefault(shape, []).append(index)
    faults: list[str] = []

    def ask(indices: Sequence[int]) -> list[Any]:
        together = _together([examples[i] for i in indices])
        found = parsed_rows(handlers.encode(handlers.predict(together), kind), kind)
        if len(found) != len(indices):
            raise InputError(
                f"{handlers.algorithm.name} gives {len(found)} answers to {len(indices)} examples"
            )
        return found

    for indices in groups.values():
        for start in range(0, len(indices), ANSWERED_TOGETHER):
            part = indices[start : start + ANSWERED_TOGETHER]
            _answer(ask, part, rows, faults)
    return rows, faults


def _answer(
    ask: Callable[[Sequence[int]], list[Any]],
    part: Sequence[int],
    rows: list[Any],
    faults: list[str],
) -> None:
    """Answer ``part``; who is to blame where it is refused is found one by one."""
    try:
        for index, row in zip(part, ask(part)):
            rows[index] = row
    except PayloadError as error:
        if len(part) == 1:
            rows[part[0]] = error
            faults.append(f"example {part[0] + 1}: {error.faults[0]}")
            return
        for index in part:
            _answer(ask, [index], rows, faults)


def _together(examples: Sequence[Any]) -> Any:
    """Several examples as ``input_fn`` gives them: an array where each is one of numbers in rows or
    of one shape, else a list.
    """
    if all(isinstance(each, np.ndarray) for each in examples):
        return np.stack(examples)
    return list(examples)


Row = Mapping[str, Any]


def rows_as_columns(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """Rows, each a mapping or a list of cells, as columns with None for what a row has not."""
    kept = [_named(row) for row in rows]
    names = dict.fromkeys(name for row in kept for name in row)
    return {name: [row.get(name) for row in kept] for name in names}


def _named(row: Any) -> Row:
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "_asdict"):  # a named tuple
        return dict(row._asdict())
    if hasattr(row, "described"):  # what is no row, such as a series, says what of it is compared
        return dict(row.described())
    if isinstance(row, (list, tuple)):
        return {f"column {number}": cell for number, cell in enumerate(row, 1)}
    return {"value": row}


def label_of(answer: Any) -> str | None:
    """The class in the row of an answer, or None."""
    if isinstance(answer, Mapping) and isinstance(answer.get("label"), str):
        return str(answer["label"])
    return None


def confidence_of(answer: Any) -> float | None:
    """The probability of the class in the row of an answer, or None."""
    value = answer.get("probability") if isinstance(answer, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


def media_of(event: Event) -> str:
    """The media type of a captured request."""
    return payload.media_type(event.content_type)
