"""Batch prediction: requests computed together, each with the answer that it would get alone.

Small requests are decoded one by one and computed together. A request of many examples is computed
in parts, of so many examples as take STEP_SECONDS, and its answer joined: whoever goes through the
steps can do something else between two of them.
"""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import AbstractSet, Any, Generator, Hashable, Iterator, Sequence, Tuple

import numpy as np

from .. import payload
from ..payload.joining import Joined
from ..runtime.bounds import Account, Bounds, Cost, CrowdedError
from ..runtime.errors import (
    AlgoshelfError,
    InputError,
    MalformedPayloadError,
    NotAcceptableError,
    PayloadError,
    PayloadTooLargeError,
    UnfitPayloadError,
    UnsupportedContentTypeError,
)
from . import headings as headed
from .handlers import Handlers
from .places import moved

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARACTERS = 2000
STEP_SECONDS = 0.1
FEWEST_EXAMPLES, FIRST_EXAMPLES, MAX_EXAMPLES = 4, 32, 4096  # of a step
SMALL_BODY_BYTES = 2**16
UNBOUNDED = Bounds(2**62, 2**62, 2.0**62, 2.0**62, 2**62)
STATUSES: dict[type, int] = {
    MalformedPayloadError: 400,
    NotAcceptableError: 406,
    PayloadTooLargeError: 413,
    UnsupportedContentTypeError: 415,
    UnfitPayloadError: 422,
}


@dataclass(frozen=True)
class Request:
    """The body of a request, its Content-Type and its Accept; each of them may be empty."""

    body: bytes
    content_type: str
    accept: str


@dataclass(frozen=True)
class Reply:
    """What is answered: an HTTP status, the body and its content type."""

    status: int
    content_type: str
    body: bytes


Replies = Sequence[Tuple[int, Reply]]


@dataclass
class Pace:
    """How many examples of a model take about STEP_SECONDS, as it has shown."""

    examples: int = FIRST_EXAMPLES

    def took(self, examples: int, seconds: float) -> None:
        """Learn from a step, unless it was too small to tell."""
        if 2 * examples < self.examples and seconds < STEP_SECONDS:
            return
        fitting = int(examples * STEP_SECONDS / max(seconds, 1e-6))
        most = min(MAX_EXAMPLES, 2 * self.examples)
        self.examples = max(FEWEST_EXAMPLES, min(most, fitting))


@dataclass
class _Pending:
    """A request that is being answered: its place among the others, and what it has cost."""

    index: int
    request: Request
    accept: str
    cost: Cost
    examples: Any = None


class RequestBatcher:
    """A model that answers requests: what each of them may cost, and how fast it is."""

    def __init__(
        self,
        handlers: Handlers,
        bounds: Bounds = UNBOUNDED,
        account: Account | None = None,
    ) -> None:
        self._handlers = handlers
        self._bounds = bounds
        self._account = account or Account()
        self._pace = Pace()
        self._offered = handlers.algorithm.response_media_types()

    def steps(
        self, requests: Sequence[Request], gone: AbstractSet[int] = frozenset()
    ) -> Generator[Replies, None, None]:
        """The replies to ``requests``, after each step those that are ready, by their places.

        Nothing more is computed for the places in ``gone``, to which others may be added meanwhile.
        """
        asked: list[_Pending] = []
        refused: list[tuple[int, Reply]] = []
        for index, request in enumerate(requests):
            try:
                accept = payload.negotiate(request.accept, self._offered)
            except PayloadError as error:
                refused.append((index, refusal(error)))
            else:
                asked.append(_Pending(index, request, accept, Cost(self._bounds, self._account)))
        if refused:
            yield refused
        try:
            yield from self._steps(asked, gone)
        finally:
            for each in asked:
                each.cost.release()

    def _steps(self, asked: Sequence[_Pending], gone: AbstractSet[int]) -> Iterator[Replies]:
        small = [each for each in asked if len(each.request.body) <= SMALL_BODY_BYTES]
        groups: dict[Hashable, list[_Pending]] = defaultdict(list)
        alone = [each for each in asked if len(each.request.body) > SMALL_BODY_BYTES]
        for each in small:
            reply = self._decoded(each)
            if reply is not None:
                yield [(each.index, reply)]
                continue
            kind = _kind(each.examples)
            if kind is None or len(each.examples) > self._pace.examples:
                alone.append(each)
            else:
                groups[kind].append(each)
        for members in groups.values():
            yield from self._joined(members, gone)
        for each in alone:
            if each.index in gone:
                continue
            reply = None
            if each.examples is None:
                reply = self._decoded(each)
                yield []
            if reply is None:
                reply = yield from self._alone(each, gone)
            each.examples = None
            each.cost.release()
            yield [(each.index, reply)]

    def _decoded(self, asked: _Pending) -> Reply | None:
        """Decode the examples of a request; what is replied where that fails."""
        request, cost = asked.request, asked.cost
        body = headed.Taken(request.body)
        try:
            with cost:
                headings = self._handlers.model.metadata.headings
                mixed = self._handlers.algorithm.mixed_tables
                body = headed.taken(body.body, request.content_type, headings, mixed)
                asked.examples = self._handlers.decode(body.body, request.content_type)
            if _kind(asked.examples) is not None:
                cost.check_examples(len(asked.examples))
        except Exception as error:
            asked.examples = None
            cost.release()
            if isinstance(error, PayloadError) and body.lead:
                error = type(error)(*map(body.placed, error.faults))
            return refusal(error)
        return None

    def _joined(self, members: Sequence[_Pending], gone: AbstractSet[int]) -> Iterator[Replies]:
        """Answer requests of few examples together, so many as one step takes."""
        batch: list[_Pending] = []
        size = 0
        for each in members:
            if each.index in gone:
                continue
            if batch and size + len(each.examples) > max(self._pace.examples, FIRST_EXAMPLES):
                yield self._answered(batch)
                batch, size = [], 0
            batch.append(each)
            size += len(each.examples)
        if batch:
            yield self._answered(batch)

    def _answered(self, batch: Sequence[_Pending]) -> Replies:
        replies = _answer_group(self, batch)
        for each in batch:
            each.examples = None
            each.cost.release()
        return [(each.index, reply) for each, reply in zip(batch, replies)]

    def _alone(self, asked: _Pending, gone: AbstractSet[int]) -> Generator[Replies, None, Reply]:
        """The reply to a request, of whose examples a step takes a part."""
        examples = asked.examples
        count = len(examples) if _kind(examples) is not None else 0
        joined, start, seconds = Joined(asked.accept), 0, 0.0
        in_parts = count > self._pace.examples
        try:
            while in_parts and start < count:
                part = examples[start : start + self._pace.examples]
                began = time.perf_counter()
                prediction = self._handlers.predict(part)
                body = self._handlers.encode(prediction, asked.request.accept)
                took = time.perf_counter() - began
                self._pace.took(len(part), took)
                if len(prediction) != len(part) or not joined.add(body, len(part)):
                    break  # only all of it together makes an answer
                asked.cost.check_answer(joined.size)
                start += len(part)
                seconds += took
                asked.cost.check_pace(start, seconds, count)
                yield []
                if asked.index in gone:
                    return fault(400, "disconnected", "nobody waits for the answer")
            if in_parts and start == count:
                return Reply(200, asked.accept, joined.body())
        except PayloadError as error:
            return refusal(type(error)(*(moved(text, examples=start) for text in error.faults)))
        except Exception as error:
            return refusal(error)
        return self.reply_alone(asked)

    def predicted(self, examples: Any) -> Any:
        """The prediction for examples that are computed together."""
        start = time.perf_counter()
        prediction = self._handlers.predict(examples)
        if _kind(examples) is not None:
            self._pace.took(len(examples), time.perf_counter() - start)
        return prediction

    def reply_alone(self, asked: _Pending) -> Reply:
        """The reply to a request, computed at once."""
        try:
            return self.reply(self.predicted(asked.examples), asked)
        except Exception as error:
            return refusal(error)

    def reply(self, prediction: Any, asked: _Pending) -> Reply:
        """``output_fn``'s answer; its content type is the one that Accept asks for."""
        try:
            body = self._handlers.encode(prediction, asked.request.accept)
            asked.cost.check_answer(len(body))
            return Reply(200, asked.accept, body)
        except Exception as error:
            return refusal(error)


def answer(handlers: Handlers, requests: Sequence[Request]) -> list[Reply]:
    """A reply to each of ``requests``, computed together as far as their examples join.

    What is wrong with one request is answered to that one alone.
    """
    steps = RequestBatcher(handlers).steps(requests)
    replies = dict(reply for step in steps for reply in step)
    return [replies[index] for index in range(len(requests))]


def refusal(error: Exception) -> Reply:
    """The reply to a request that raised ``error``; what it does not foresee is only logged."""
    if isinstance(error, PayloadError):
        status = next((s for kind, s in STATUSES.items() if isinstance(error, kind)), 400)
        return fault(status, error.code, *error.faults)
    if isinstance(error, CrowdedError):
        return fault(503, error.code, str(error))
    log.error("a request could not be answered", exc_info=error)
    code = error.code if isinstance(error, AlgoshelfError) else "internal_error"
    return fault(500, code, "the model failed on this request; the server's log says why")


def fault(status: int, code: str, *faults: str) -> Reply:
    """An error as every answer but a good one has it: a stable code and what is wrong."""
    shown = [text[:MAX_MESSAGE_CHARACTERS] for text in faults]
    document = {"error": {"code": code, "message": "\n".join(shown), "faults": shown}}
    return Reply(status, payload.JSON, json.dumps(document).encode("ascii"))


def _kind(examples: Any) -> Hashable:
    """What examples of several requests must have in common to be joined; None if never."""
    if isinstance(examples, np.ndarray) and examples.ndim:
        return examples.dtype.str, examples.shape[1:]
    return list if isinstance(examples, list) else None


def _answer_group(answering: RequestBatcher, batch: Sequence[_Pending]) -> list[Reply]:
    if len(batch) > 1:
        try:
            return _answer_joined(answering, batch)
        except Exception:  # of whom it is shows when each is asked alone
            log.debug("a batch failed; its requests are computed again, one by one", exc_info=True)
    return [answering.reply_alone(each) for each in batch]


def _answer_joined(answering: RequestBatcher, batch: Sequence[_Pending]) -> list[Reply]:
    if isinstance(batch[0].examples, list):
        joined: Any = [example for each in batch for example in each.examples]
    else:
        joined = np.concatenate([each.examples for each in batch])
    prediction = answering.predicted(joined)
    if len(prediction) != len(joined):
        raise InputError("predict_fn does not return one answer per example")
    replies, start = [], 0
    for each in batch:
        part = prediction[start : start + len(each.examples)]
        start += len(each.examples)
        replies.append(answering.reply(part, each))
    return replies
