"""Events of AWS Lambda: every form of a request is answered as the server would answer it."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.core import codecs
from algoshelf.core.container.api_gateway import MAX_BODY_BYTES, Function
from algoshelf.core.inference.handlers import Handlers
from algoshelf.core.inference.requests import Request, answer
from hypothesis import given
from hypothesis import strategies as st

PROTOBUF = codecs.RECORDIO_PROTOBUF
ROWS = "5.1,3.5,1.4,0.2\n6.2,3.4,5.4,2.3\n"


@pytest.fixture(scope="module")
def handlers(iris_model: Path) -> Handlers:
    return Handlers.load(KMeans(), iris_model)


@pytest.fixture(scope="module")
def function(handlers: Handlers) -> Function:
    return Function(handlers)


def rest(body: str | None, headers: Any, method: str = "POST", **more: Any) -> dict[str, Any]:
    """As a REST API sends it: payload format 1.0."""
    several = {name: [value] for name, value in (headers or {}).items()}
    return {
        "resource": "/{proxy+}",
        "path": "/invocations",
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": several or None,
        "queryStringParameters": None,
        "requestContext": {"stage": "prod", "httpMethod": method, "identity": {}},
        "body": body,
        "isBase64Encoded": False,
        **more,
    }


def http(body: str | None, headers: Any, method: str = "POST", **more: Any) -> dict[str, Any]:
    """As an HTTP API and a function URL send it: payload format 2.0."""
    event = {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in (headers or {}).items()},
        "requestContext": {"http": {"method": method, "path": "/", "protocol": "HTTP/1.1"}},
        "isBase64Encoded": False,
        **more,
    }
    return event if body is None else {**event, "body": body}


def balanced(body: str | None, headers: Any, method: str = "POST", **more: Any) -> dict[str, Any]:
    """As a load balancer sends it that passes on several headers of one name."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:…"}},
        "httpMethod": method,
        "path": "/",
        "multiValueHeaders": {name.lower(): [value] for name, value in (headers or {}).items()},
        "body": body or "",
        "isBase64Encoded": False,
        **more,
    }


FORMS = pytest.mark.parametrize("form", [rest, http, balanced])


def encoded(body: bytes) -> dict[str, Any]:
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def code(response: dict[str, Any]) -> tuple[int, str]:
    assert response["headers"]["content-type"] == codecs.JSON
    return response["statusCode"], json.loads(response["body"])["error"]["code"]


@FORMS
@pytest.mark.parametrize("accept", [codecs.JSON, codecs.CSV, PROTOBUF, "text/csv;q=0.1, */*"])
def test_a_request_is_answered_in_each_form_of_event(
    form: Any, accept: str, function: Function, handlers: Handlers
) -> None:
    [expected] = answer(handlers, [Request(ROWS.encode(), codecs.CSV, accept)])
    headers = {"Content-Type": codecs.CSV, "Accept": accept}
    for event in (form(ROWS, headers), {**form(None, headers), **encoded(ROWS.encode())}):
        response = json.loads(json.dumps(function(event, None)))
        assert response["statusCode"] == expected.status == 200
        assert response["headers"] == {"content-type": expected.content_type}
        body = response["body"].encode()
        if response["isBase64Encoded"]:
            body = base64.b64decode(body, validate=True)
        assert body == expected.body
        assert response["isBase64Encoded"] is (expected.content_type == PROTOBUF)


@FORMS
def test_a_body_may_be_binary_or_compressed(form: Any, function: Function) -> None:
    import numpy as np

    rows = codecs.encode_npy(np.array([[5.1, 3.5, 1.4, 0.2]], np.float32))
    asked = {
        **form(None, {"Content-Type": codecs.NPY, "Accept": codecs.JSON}),
        **encoded(rows),
    }
    assert function(asked)["statusCode"] == 200
    packed = {"Content-Type": codecs.CSV, "Content-Encoding": "gzip"}
    asked = {**form(None, packed), **encoded(gzip.compress(ROWS.encode()))}
    assert function(asked)["statusCode"] == 200
    cut = {**form(None, packed), **encoded(gzip.compress(ROWS.encode())[:-4])}
    assert code(function(cut)) == (400, "malformed_payload")
    bomb = {**form(None, packed), **encoded(gzip.compress(bytes(MAX_BODY_BYTES + 1)))}
    assert code(function(bomb)) == (413, "too_large")
    other = form(ROWS, {"Content-Type": codecs.CSV, "Content-Encoding": "br"})
    assert code(function(other)) == (415, "unsupported_content_type")


@FORMS
@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ("[[1,", {"Content-Type": codecs.JSON}, (400, "malformed_payload")),
        ("", {"Content-Type": codecs.CSV}, (400, "malformed_payload")),
        (None, {"Content-Type": codecs.CSV}, (400, "malformed_payload")),
        ("1,2\n", {"Content-Type": codecs.CSV}, (422, "unfit_payload")),
        (ROWS, {"Content-Type": "text/html"}, (415, "unsupported_content_type")),
        (ROWS, None, (415, "unsupported_content_type")),
        (ROWS, {"Content-Type": codecs.CSV, "Accept": "image/png"}, (406, "not_acceptable")),
        ("1\n" * 10_001, {"Content-Type": codecs.CSV}, (413, "too_large")),
    ],
)
def test_a_wrong_request_has_the_status_that_the_server_gives_it(
    form: Any, body: str | None, headers: Any, expected: tuple[int, str], function: Function
) -> None:
    assert code(function(form(body, headers))) == expected


@FORMS
def test_get_says_that_it_is_ready_and_other_methods_are_refused(
    form: Any, function: Function
) -> None:
    for method in ("GET", "HEAD", "get"):
        response = function(form(None, None, method))
        assert (response["statusCode"], json.loads(response["body"])) == (200, {"status": "ready"})
    for method in ("PUT", "DELETE", "OPTIONS", "X" * 10_000):
        refused = function(form(ROWS, {"Content-Type": codecs.CSV}, method))
        assert code(refused) == (405, "method_not_allowed")
        assert refused["headers"]["allow"] == "GET, HEAD, POST"
        assert len(refused["body"]) < 300


@pytest.mark.parametrize(
    "event",
    [
        None, [], "GET /", 7, {}, {"instances": [[1, 2, 3, 4]]}, {"source": "aws.events"},
        {"Records": [{"body": ROWS}]}, {"httpMethod": 7}, {"httpMethod": ""},
        {"requestContext": []}, {"requestContext": {"http": {"method": None}}},
        {**rest(ROWS, {}), "headers": []}, {**rest(ROWS, {}), "headers": {"Accept": 1}},
        {**rest(ROWS, {}), "multiValueHeaders": {"accept": "*/*"}},
        {**rest(ROWS, {}), "multiValueHeaders": {"accept": [None]}},
        {**rest(ROWS, {}), "body": [1]}, {**rest(ROWS, {}), "body": {"a": 1}},
        rest(ROWS, {}, isBase64Encoded="yes"), http("not base64!", {}, isBase64Encoded=True),
        http("\ud800", {}), http("é", {}, isBase64Encoded=True),
    ],
)  # fmt: skip
def test_a_malformed_event_is_told_what_was_expected(event: Any, function: Function) -> None:
    response = function(event)
    assert code(response) == (400, "malformed_event")
    assert "Traceback" not in response["body"]
    assert any(word in response["body"] for word in ("expected", "is no base64", "is no text"))


def test_all_faults_of_an_event_are_said_at_once(function: Function) -> None:
    headers = {"Accept": 1, "Host": None}
    wrong = {**rest(ROWS, {}), "body": 1, "isBase64Encoded": 1, "headers": headers}
    faults = json.loads(function(wrong)["body"])["error"]["faults"]
    assert faults == [
        "body: expected a string or null, got a number",
        "isBase64Encoded: expected true or false, got a number",
        "headers: Accept: expected a string, got a number",
        "headers: Host: expected a string, got null",
    ]


def test_what_fails_within_is_logged_and_not_told(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    function = Function(handlers)

    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(KMeans, "predict_fn", broken)
    with caplog.at_level(logging.ERROR):
        response = function(http(ROWS, {"Content-Type": codecs.CSV}))
    assert code(response) == (500, "internal_error")
    assert "secret" not in response["body"]
    assert "a secret of the house" in caplog.text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    event=st.sampled_from([rest, http, balanced]).map(
        lambda form: form(ROWS, {"Content-Type": codecs.CSV})
    ),
    changed=st.dictionaries(
        st.sampled_from(
            [
                "httpMethod",
                "headers",
                "multiValueHeaders",
                "body",
                "isBase64Encoded",
                "requestContext",
                "version",
            ]
        ),
        VALUES,
    ),
)
def test_whatever_an_event_holds_the_answer_is_one_of_http(
    function: Function, event: dict[str, Any], changed: dict[str, Any]
) -> None:
    response = function({**event, **changed})
    assert set(response) == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert response["statusCode"] in (200, 400, 405, 406, 413, 415, 422)
    assert "Traceback" not in response["body"]
    json.dumps(response)
