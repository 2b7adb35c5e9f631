"""Answers that are a record each, in the forms in which they are sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, Iterator, Protocol, Sequence, TypeVar

from .. import payload


class Answering(Protocol):
    """An answer."""

    def to_json(self) -> dict[str, Any]:
        """In JSON types."""

    def to_cells(self) -> list[Any]:
        """The cells of its line of CSV."""


A = TypeVar("A", bound=Answering)


@dataclass(frozen=True)
class Answers(Generic[A]):
    """The answers to a batch of questions, in their order."""

    answers: Sequence[A]

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[A]:
        return iter(self.answers)

    def __getitem__(self, part: slice) -> Answers[A]:
        return replace(self, answers=self.answers[part])

    def encoded(self, content_type: str) -> bytes:
        """In JSON, JSON Lines or CSV."""
        if content_type == payload.CSV:
            return payload.encode_csv(answer.to_cells() for answer in self.answers)
        rows = [answer.to_json() for answer in self.answers]
        return payload.encode_answers(rows, content_type)
