"""Requests answered together: each gets what it would get alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from algoshelf.core import Algorithm, ContentType, codecs
from algoshelf.core.inference.handlers import Handlers
from algoshelf.core.inference.requests import Reply, Request, RequestBatcher, answer
from algoshelf.core.runtime.bounds import Bounds
from algoshelf.core.runtime.errors import UnfitPayloadError

CONTENT_TYPE = ContentType(codecs.JSON, "numbers")


# These algorithms compute without one.
MODEL: Any = SimpleNamespace(metadata=SimpleNamespace(headings=None))


class Doubling(Algorithm[Any]):
    """Doubles numbers, but not 13, and fails at 666."""

    name = "doubling"
    accepts = response_types = (CONTENT_TYPE, ContentType(codecs.CSV, "numbers"))

    def __init__(self) -> None:
        self.batches: list[int] = []

    def train(self, run: Any) -> None:
        raise NotImplementedError

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        kind = codecs.check_content_type(request_content_type, self.accepted_media_types())
        return codecs.decode_array(request_body, kind)

    def predict_fn(self, input_data: Any, model: Any) -> Any:
        self.batches.append(len(input_data))
        if 13 in input_data:
            raise UnfitPayloadError("13 is not doubled")
        if 666 in input_data:
            raise ZeroDivisionError("/secret/path")
        return input_data * 2

    def output_fn(self, prediction: Any, accept: str) -> bytes:
        assert codecs.negotiate(accept, self.response_media_types())
        return codecs.encode_json(prediction)


class Placing(Doubling):
    """Says which example it does not double."""

    def predict_fn(self, input_data: Any, model: Any) -> Any:
        self.batches.append(len(input_data))
        if 13 in input_data:
            raise UnfitPayloadError(f"example {list(input_data).index(13) + 1}: 13 is not doubled")
        return input_data * 2


class Summing(Doubling):
    """Its prediction is no sequence of answers."""

    def predict_fn(self, input_data: Any, model: Any) -> Any:
        self.batches.append(len(input_data))
        return {"sum": float(np.sum(input_data))}


def without_model(algorithm: Algorithm[Any]) -> Handlers:
    return Handlers(algorithm, MODEL)


def _ask(algorithm: Algorithm[Any], *bodies: str, accept: str = "") -> list[Reply]:
    requests = [Request(body.encode(), codecs.JSON, accept) for body in bodies]
    return answer(without_model(algorithm), requests)


def test_examples_are_joined_and_the_answers_divided_again() -> None:
    algorithm = Doubling()
    replies = _ask(algorithm, "[1, 2]", "[3]", "[[4, 5]]", "[6]")
    assert [reply.body for reply in replies] == [b"[2.0,4.0]", b"[6.0]", b"[[8.0,10.0]]", b"[12.0]"]
    assert sorted(algorithm.batches) == [1, 4]  # rows of two numbers are another shape


@pytest.mark.parametrize(
    ("poison", "status", "code"),
    [
        ("[13]", 422, "unfit_payload"),
        ("[666]", 500, "internal_error"),
        ("[", 400, "malformed_payload"),
    ],
)
def test_poison_is_answered_alone(poison: str, status: int, code: str) -> None:
    first, bad, last = _ask(Doubling(), "[1]", poison, "[2]")
    assert (first.body, last.body) == (b"[2.0]", b"[4.0]")
    assert bad.status == status
    assert f'"{code}"'.encode() in bad.body
    assert b"secret" not in bad.body


def test_one_that_accepts_nothing_offered_does_not_cost_the_others() -> None:
    algorithm = Doubling()
    requests = [Request(b"[1]", codecs.JSON, "text/html"), Request(b"[2]", codecs.JSON, "")]
    refused, good = answer(without_model(algorithm), requests)
    assert (refused.status, good.status, good.body) == (406, 200, b"[4.0]")
    assert algorithm.batches == [1]  # the other one is refused before it is computed


def test_what_cannot_be_divided_is_asked_one_by_one() -> None:
    algorithm = Summing()
    replies = _ask(algorithm, "[1, 2]", "[3]")
    assert [reply.body for reply in replies] == [b'{"sum":3.0}', b'{"sum":3.0}']


def test_a_request_of_many_examples_is_computed_in_parts() -> None:
    algorithm = Doubling()
    numbers = list(range(20, 220))
    [reply] = _ask(algorithm, codecs.encode_json(numbers).decode())
    assert reply.body == codecs.encode_json([2.0 * number for number in numbers])
    assert sum(algorithm.batches) == 200
    assert max(algorithm.batches) < 200


def test_the_place_of_a_fault_counts_from_the_beginning_of_the_request() -> None:
    numbers = [*range(20, 120), 13, 14]
    [reply] = _ask(Placing(), codecs.encode_json(numbers).decode())
    assert (reply.status, b"example 101: 13" in reply.body) == (422, True)


def test_what_cannot_be_divided_is_computed_at_once() -> None:
    algorithm = Summing()
    [reply] = _ask(algorithm, codecs.encode_json([1] * 100).decode())
    assert (reply.status, reply.body) == (200, b'{"sum":100.0}')


def test_nothing_is_computed_for_who_has_left() -> None:
    algorithm = Doubling()
    gone: set[int] = set()
    steps = RequestBatcher(without_model(algorithm)).steps(
        [Request(codecs.encode_json([1] * 200), codecs.JSON, "")], gone
    )
    next(steps)
    gone.add(0)
    list(steps)
    assert sum(algorithm.batches) < 200


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (Bounds(99, 2**20, 60.0, 60.0, 2**20), "more than 99 examples"),
        (Bounds(100, 500, 60.0, 60.0, 2**20), "the decoded body would take"),
        (Bounds(100, 2**20, 60.0, 60.0, 300), "the answer would hold more than 300 bytes"),
        (Bounds(100, 2**20, -1.0, 60.0, 2**20), "decoding the body takes longer"),
    ],
)
def test_what_a_request_may_cost(bounds: Bounds, said: str) -> None:
    body = codecs.encode_json([1] * 100)
    requests = [Request(body, codecs.JSON, ""), Request(b"[1]", codecs.JSON, "")]
    answering = RequestBatcher(without_model(Doubling()), bounds)
    replies = dict(reply for step in answering.steps(requests) for reply in step)
    assert (replies[0].status, said.encode() in replies[0].body) == (413, True)
    assert bounds.decoding_seconds < 0 or replies[1].status == 200
