"""HTTP requests as AWS Lambda is given them, answered as the server in a container answers them.

An event is one request. Its form is that of API Gateway's REST APIs and of load balancers (payload
format 1.0), or that of HTTP APIs and function URLs (2.0). Source: AWS Lambda's and API Gateway's
developer guides, "Invoking a Lambda function using an Amazon API Gateway endpoint" and "AWS Lambda
proxy integrations". The path is not looked at, as every API has its own: GET says that the function
is ready, POST asks the model.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Mapping

from .. import payload
from ..algorithm.base import Algorithm
from ..artifact.engines import ONNX
from ..inference.handlers import Handlers
from ..inference.requests import Reply, Request, RequestBatcher, fault, refusal
from ..payload.content_encoding import inflater
from ..runtime.bounds import MAX_EXAMPLES, Bounds
from ..runtime.errors import PayloadTooLargeError

MALFORMED = "malformed_event"
# Lambda's limit of a request and of an answer, which is JSON: a body in it grows by a third in
# base64, and as text up to twofold.
MAX_BODY_BYTES = 6 * 2**20
MAX_ANSWER_BYTES = 3 * 2**20
SECONDS = 29.0  # after which API Gateway waits no longer
TEXTS = (payload.CSV, payload.JSON, payload.JSONLINES, payload.TEXT)
FORMS = (
    "expected the event of an HTTP request, as API Gateway, a function URL or a load balancer "
    "sends it"
)
READING, ASKING = ("GET", "HEAD"), "POST"
ALLOWED = ", ".join([*READING, ASKING])
FIELDS = ("headers", "multiValueHeaders", "requestContext")


@dataclass(frozen=True)
class Asked:
    """A request: its method, its headers by their names in lower case, and its body."""

    method: str
    headers: Mapping[str, str]
    body: bytes


class Function:
    """What Lambda calls with each event: a model that is loaded once, and has answered its example.

    For one thread at a time, as Lambda does it.
    """

    def __init__(self, handlers: Handlers) -> None:
        bounds = Bounds.of(MAX_BODY_BYTES, MAX_EXAMPLES, SECONDS)
        self._batcher = RequestBatcher(handlers, replace(bounds, answer_bytes=MAX_ANSWER_BYTES))
        handlers.example_response("*/*")

    @classmethod
    def load(cls, algorithm: Algorithm[Any], folder: str | Path) -> Function:
        """With the model in ``folder``, computed by ONNX Runtime. Raises as ``Artifact.load``."""
        return cls(Handlers.load(algorithm, folder, engine=ONNX))

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        """The answer to an event, in the form that Lambda expects; it raises nothing."""
        try:
            asked = _asked(event)
            reply = self._answer(asked) if isinstance(asked, Asked) else asked
        except Exception as error:  # whose traceback the log has
            reply = refusal(error)
        return _response(reply)

    def _answer(self, asked: Asked) -> Reply:
        if asked.method in READING:
            return Reply(200, payload.JSON, payload.encode_json({"status": "ready"}))
        if asked.method != ASKING:
            return fault(405, "method_not_allowed", f"expected {ALLOWED}, got {asked.method[:40]}")
        request = Request(
            _decoded(asked),
            asked.headers.get("content-type", ""),
            asked.headers.get("accept", ""),
        )
        [(_, reply)] = [one for replies in self._batcher.steps([request]) for one in replies]
        return reply


def _asked(event: Any) -> Asked | Reply:
    """The request in an event, or what is replied where there is none."""
    if not isinstance(event, dict):
        return _malformed(f"{FORMS}, a JSON object, got {_kind(event)}")
    wrong = [
        f"{name}: expected an object, got {_kind(event[name])}"
        for name in FIELDS
        if not isinstance(event.get(name), (dict, type(None)))
    ]
    if wrong:
        return _malformed(*wrong)
    http = (event.get("requestContext") or {}).get("http")
    named = http.get("method") if isinstance(http, dict) else event.get("httpMethod")
    if not isinstance(named, str) or not named:
        return _malformed(
            f"{FORMS}: it says the method in httpMethod, or in requestContext.http.method"
        )
    body, encoded = event.get("body"), event.get("isBase64Encoded", False)
    if not isinstance(body, (str, type(None))):
        wrong.append(f"body: expected a string or null, got {_kind(body)}")
    if not isinstance(encoded, (bool, type(None))):
        wrong.append(f"isBase64Encoded: expected true or false, got {_kind(encoded)}")
    headers = _headers(event, wrong)
    if wrong:
        return _malformed(*wrong)
    try:
        raw = base64.b64decode(body or "", validate=True) if encoded else (body or "").encode()
    except (binascii.Error, ValueError) as error:  # of UnicodeEncodeError too
        return _malformed(f"body: is {'no base64' if encoded else 'no text'}: {error}")
    return Asked(named.upper(), headers, raw)


def _headers(event: Mapping[str, Any], wrong: list[str]) -> dict[str, str]:
    """The headers of an event; of several of a name, those of HTTP's list. ``wrong`` gets faults.

    A load balancer may give them in ``multiValueHeaders`` alone.
    """
    found: dict[str, str] = {}
    several = event.get("multiValueHeaders") or {}
    for name, values in several.items():
        if isinstance(values, list) and all(isinstance(value, str) for value in values):
            found[name.lower()] = ", ".join(values)
        else:
            wrong.append(f"multiValueHeaders: {name}: expected a list of strings")
    for name, value in (event.get("headers") or {}).items():
        if isinstance(value, str):
            found.setdefault(name.lower(), value)
        else:
            wrong.append(f"headers: {name}: expected a string, got {_kind(value)}")
    return found


def _decoded(asked: Asked) -> bytes:
    """The body, decompressed where it is. Raises PayloadError."""
    unpacked = inflater(asked.headers.get("content-encoding", ""), MAX_BODY_BYTES)
    if unpacked is not None:
        body = unpacked.feed(asked.body)
        unpacked.check_end()
        return body
    if len(asked.body) > MAX_BODY_BYTES:
        raise PayloadTooLargeError(f"a body may hold {MAX_BODY_BYTES:,} bytes")
    return asked.body


def _response(reply: Reply) -> dict[str, Any]:
    """A reply as Lambda passes it on, in either payload format; what is no text is in base64."""
    is_text = payload.media_type(reply.content_type) in TEXTS
    body = reply.body.decode() if is_text else base64.b64encode(reply.body).decode("ascii")
    headers = {"content-type": reply.content_type}
    if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ALLOWED
    return {
        "statusCode": reply.status,
        "headers": headers,
        "body": body,
        "isBase64Encoded": not is_text,
    }


def _malformed(*faults: str) -> Reply:
    return fault(400, MALFORMED, *faults)


def _kind(value: Any) -> str:
    """What JSON calls a value."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
