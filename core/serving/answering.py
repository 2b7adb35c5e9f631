"""Requests to a model answered together, each as it would be alone."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Hashable, Sequence

import numpy as np

from .. import codecs
from ..algorithm import Algorithm
from ..artifact import Model
from ..errors import (
    AlgoshelfError,
    InputError,
    MalformedPayloadError,
    NotAcceptableError,
    PayloadError,
    PayloadTooLargeError,
    UnfitPayloadError,
    UnsupportedContentTypeError,
)

log = logging.getLogger(__name__)

MOST_MESSAGE_CHARACTERS = 2000
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


def answer(algorithm: Algorithm[Any], model: Model, requests: Sequence[Request]) -> list[Reply]:
    """A reply to each of ``requests``, computed together as far as their examples join.

    What is wrong with one request is answered to that one alone.
    """
    replies: dict[int, Reply] = {}
    groups: dict[Hashable, list[tuple[int, Any]]] = defaultdict(list)
    for index, request in enumerate(requests):
        try:
            examples = algorithm.input_fn(request.body, request.content_type)
        except Exception as error:
            replies[index] = refusal(error)
        else:
            groups[_kind(examples) or index].append((index, examples))
    for members in groups.values():
        indices = [index for index, _ in members]
        asked = [requests[index] for index in indices]
        batches = [examples for _, examples in members]
        replies.update(zip(indices, _answer_group(algorithm, model, asked, batches)))
    return [replies[index] for index in range(len(requests))]


def refusal(error: Exception) -> Reply:
    """The reply to a request that raised ``error``; what it does not foresee is only logged."""
    if isinstance(error, PayloadError):
        status = next((s for kind, s in STATUSES.items() if isinstance(error, kind)), 400)
        return fault(status, error.code, *error.faults)
    log.error("a request could not be answered", exc_info=error)
    code = error.code if isinstance(error, AlgoshelfError) else "internal_error"
    return fault(500, code, "the model failed on this request; the server's log says why")


def fault(status: int, code: str, *faults: str) -> Reply:
    """An error as every answer but a good one has it: a stable code and what is wrong."""
    shown = [text[:MOST_MESSAGE_CHARACTERS] for text in faults]
    document = {"error": {"code": code, "message": "\n".join(shown), "faults": shown}}
    return Reply(status, codecs.JSON, json.dumps(document).encode("ascii"))


def _kind(examples: Any) -> Hashable:
    """What examples of several requests must have in common to be joined; None if never."""
    if isinstance(examples, np.ndarray) and examples.ndim:
        return examples.dtype.str, examples.shape[1:]
    return list if isinstance(examples, list) else None


def _answer_group(
    algorithm: Algorithm[Any], model: Model, asked: Sequence[Request], batches: Sequence[Any]
) -> list[Reply]:
    if len(batches) > 1:
        try:
            return _answer_joined(algorithm, model, asked, batches)
        except Exception:  # of whom it is shows when each is asked alone
            log.debug("a batch is asked again, one by one", exc_info=True)
    replies = []
    for request, examples in zip(asked, batches):
        try:
            replies.append(_reply(algorithm, algorithm.predict_fn(examples, model), request))
        except Exception as error:
            replies.append(refusal(error))
    return replies


def _answer_joined(
    algorithm: Algorithm[Any], model: Model, asked: Sequence[Request], batches: Sequence[Any]
) -> list[Reply]:
    if isinstance(batches[0], list):
        joined: Any = [example for examples in batches for example in examples]
    else:
        joined = np.concatenate(batches)
    prediction = algorithm.predict_fn(joined, model)
    if len(prediction) != len(joined):
        raise InputError("predict_fn does not give an answer an example")
    replies, start = [], 0
    for request, examples in zip(asked, batches):
        part = prediction[start : start + len(examples)]
        start += len(examples)
        try:
            replies.append(_reply(algorithm, part, request))
        except Exception as error:
            replies.append(refusal(error))
    return replies


def _reply(algorithm: Algorithm[Any], prediction: Any, request: Request) -> Reply:
    """``output_fn``'s answer; its content type is the one that Accept asks for."""
    content_type = codecs.negotiate(request.accept, algorithm.answered())
    return Reply(200, content_type, algorithm.output_fn(prediction, request.accept))
