"""HTTP requests as AWS Lambda is given them, answered as the server in a container answers them.

The path is not looked at, as every API has its own: GET says that the function is ready, POST asks
the model.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .. import payload
from ..algorithm.base import Algorithm
from ..artifact.engines import ONNX
from ..inference.handlers import Handlers
from ..inference.requests import Reply, Request, RequestBatcher, fault, refusal
from ..payload.content_encoding import inflater
from ..runtime.bounds import MAX_EXAMPLES, Bounds
from ..runtime.errors import PayloadTooLargeError
from . import events
from .events import Asked, MalformedEventError

MALFORMED = "malformed_event"
# Lambda's limit of a request and of an answer, which is JSON: a body in it grows by a third in
# base64, and as text up to twofold.
MAX_BODY_BYTES = 6 * 2**20
MAX_ANSWER_BYTES = 3 * 2**20
SECONDS = 29.0  # after which API Gateway waits no longer
TEXTS = (payload.CSV, payload.JSON, payload.JSONLINES, payload.TEXT)
READING, ASKING = ("GET", "HEAD"), "POST"
ALLOWED = ", ".join([*READING, ASKING])


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
            reply = self._answer(events.asked(event))
        except MalformedEventError as error:
            reply = fault(400, MALFORMED, *error.faults)
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
    """A reply as Lambda passes it on."""
    headers = {"content-type": reply.content_type}
    if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ALLOWED
    is_text = payload.media_type(reply.content_type) in TEXTS
    return events.answered(reply.status, headers, reply.body, is_text=is_text)
