"""The HTTP interface: what is asked at which path, as an ASGI application.

SageMaker's contract for containers (``/ping``, ``/invocations``, ``/execution-parameters``), its
multi-model API (``/models``), ``/metrics`` for Prometheus, and ``/openapi.json``. Every error is
JSON with a stable code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Iterable, Mapping, Tuple
from urllib.parse import unquote, urlsplit

from .. import payload
from ..inference.requests import Reply, Request, fault, refusal
from ..payload import content_encoding as encoding
from ..runtime import opt_ml as container
from ..runtime.errors import AlgoshelfError, InputError, MalformedPayloadError, PayloadTooLargeError
from . import admission, metrics, openapi, sizing
from .pool import Pool, Served, WorkersDownError

log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]

TARGET_MODEL = b"x-amzn-sagemaker-target-model"
MOST_ORDER_BYTES = 2**16
MOST_NAMED = 20  # of the models that an error names
RETRY_SECONDS = 1
MOST_TYPE_CHARACTERS = 2000
MOST_HOST_CHARACTERS = 255
ANSWER_PIECE_BYTES = 2**18
LINGER_SECONDS = 5.0
NO_MODEL = "-"  # in metrics
# In a request's state, where the server puts a function: what it is given is called if the client
# leaves before it has its answer.
WHEN_GONE = "when_gone"


class Refusal(Exception):  # noqa: N818 - it is the answer
    """An answer other than the one that was asked for; ``early`` if more of a body may come."""

    def __init__(
        self, status: int, code: str, text: str, *, headers: Headers = (), early: bool = False
    ) -> None:
        super().__init__(text)
        self.reply = fault(status, code, text)
        self.headers = headers
        self.early = early


Headers = Iterable[Tuple[bytes, bytes]]
CLOSE = ((b"connection", b"close"),)


class App:
    """The application around a pool, whose options are its own."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.options = pool.options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        start = time.monotonic()
        model = NO_MODEL
        headers: Headers = ()
        early = False
        try:
            self._admit(scope)
            target = self._target(scope)
            if target is not None:
                model = target.name
                reply = await self._invoke(target, scope, receive, start)
            else:
                reply = await self._other(scope, receive)
        except Refusal as refused:
            reply, headers, early = refused.reply, refused.headers, refused.early
        except asyncio.CancelledError:  # at the end of the time that a shutdown may take
            reply, headers = fault(503, "shutting_down", "the server is shutting down"), CLOSE
        except Exception as error:
            reply = refusal(error)
        code = ""
        if reply.status >= 400:
            code = json.loads(reply.body)["error"]["code"]
            if reply.status in (429, 503):
                headers = (*headers, (b"retry-after", b"%d" % RETRY_SECONDS))
        self.pool.metrics.answered(model, reply.status, code, start)
        await self._send(model, reply, headers, send, more=early)
        if early:
            await _drop_rest(receive)
            await send({"type": "http.response.body"})

    async def _send(
        self, model: str, reply: Reply, headers: Headers, send: Send, *, more: bool
    ) -> None:
        """Send a reply piece by piece, as it is taken: till then its bytes are counted."""
        size = len(reply.body)
        self.pool.hold(model, size)
        try:
            content_type = reply.content_type.encode("latin-1")
            head = [(b"content-type", content_type), (b"content-length", b"%d" % size), *headers]
            await send({"type": "http.response.start", "status": reply.status, "headers": head})
            for start in range(0, size or 1, ANSWER_PIECE_BYTES):
                end = start + ANSWER_PIECE_BYTES
                piece = reply.body if size <= ANSWER_PIECE_BYTES else reply.body[start:end]
                await send(
                    {"type": "http.response.body", "body": piece, "more_body": more or end < size}
                )
        finally:
            self.pool.release(model, size)

    def _admit(self, scope: Scope) -> None:
        """Refuse who calls the server by a name of somebody else, or does not know the token."""
        hosts = [value for key, value in scope["headers"] if key == b"host"]
        old = scope["http_version"] == "1.0" and self.options.hosts is None  # it may say none
        if len(hosts) != 1 and not (old and not hosts):
            raise Refusal(
                400, "malformed_request", f"expected one Host header, got {len(hosts)}", early=True,
                headers=CLOSE,
            )  # fmt: skip
        host = hosts[0].decode("latin-1") if hosts else ""
        if self.options.hosts is not None and not admission.is_allowed(host, self.options.hosts):
            raise Refusal(
                403, "host_not_allowed",
                f"Host {host[:MOST_HOST_CHARACTERS]!r} is no name of this server: "
                "serve with --allowed-hosts to add one",
                early=True, headers=CLOSE,
            )  # fmt: skip
        token = self.options.token
        free = not token or scope["path"] == "/ping"
        if not (free or admission.knows(_header(scope, b"authorization"), token)):
            raise Refusal(
                401, "unauthorized", "expected the header Authorization: Bearer TOKEN",
                early=True, headers=((b"www-authenticate", b"Bearer"), *CLOSE),
            )  # fmt: skip

    # Asking a model

    def _target(self, scope: Scope) -> Served | None:
        """The model that a request asks; None where it asks none."""
        path = scope["path"]
        if path == "/invocations":
            _check_method(scope, "POST")
            models = self.pool.models
            name = _header(scope, TARGET_MODEL)
            if name:
                return self._model(name)
            if len(models) == 1:
                return next(iter(models.values()))
            self._check_ready()
            several = "several models are served: POST /models/NAME/invoke"
            raise Refusal(404, "no_such_model", several if models else "no model is served yet")
        if path.startswith("/models/") and path.endswith("/invoke"):
            _check_method(scope, "POST")
            return self._model(path[len("/models/") : -len("/invoke")])
        return None

    def _model(self, name: str) -> Served:
        if name not in self.pool.models:
            self._check_ready()
            known = sorted(self.pool.models)
            served = ", ".join(known[:MOST_NAMED]) + ", …" * (len(known) > MOST_NAMED)
            told = f"there is no model {name[:200]!r}; served: {served or 'none'}"
            raise Refusal(404, "no_such_model", told)
        return self.pool.models[name]

    def _check_ready(self) -> None:
        reason = self.pool.unready()
        if reason:
            raise Refusal(503, "not_ready", reason)

    async def _invoke(self, model: Served, scope: Scope, receive: Receive, start: float) -> Reply:
        content_type, accept = _header(scope, b"content-type"), _header(scope, b"accept")
        if max(len(content_type), len(accept)) > MOST_TYPE_CHARACTERS:
            raise Refusal(400, "malformed_request", "Content-Type or Accept is too long")
        body = await self._body(scope, receive, self.options.max_payload, model.name)
        try:
            # What cannot be answered is refused before anything is computed.
            model.check(content_type, accept)
            job = self.pool.submit(model, Request(body, content_type, accept), start)
            scope["state"][WHEN_GONE](lambda: self.pool.abandon(model, job))
            return await job.future
        finally:
            self.pool.release(model.name, len(body))

    async def _body(self, scope: Scope, receive: Receive, most: int, model: str) -> bytes:
        """The body of a request, of at most ``most`` bytes, which the caller is to release.

        It is decompressed as it comes.
        """
        try:
            inflater = encoding.inflater(_header(scope, b"content-encoding"), most)
        except AlgoshelfError as error:
            accepted = (b"accept-encoding", encoding.ACCEPTED.encode())
            raise Refusal(
                415, error.code, str(error), headers=(accepted, *CLOSE), early=True
            ) from None
        length = int(_header(scope, b"content-length") or 0)  # a number, or it had been refused
        if length > most:
            raise _too_large(most)
        if not self.pool.has_room(model, length):
            raise _overloaded()
        task = asyncio.current_task()
        assert task is not None
        timer = asyncio.get_running_loop().call_later(self.options.timeout, task.cancel)
        size = 0
        body: bytes | bytearray = b""
        try:
            while True:
                message = await receive()
                piece = message.get("body", b"")
                if inflater is not None:
                    piece = _inflated(inflater, piece, message.get("more_body", False))
                size += len(piece)
                self.pool.hold(model, len(piece))
                if size > most:
                    raise _too_large(most)
                if not self.pool.has_room(model, 0):
                    raise _overloaded()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "disconnected", "the client went away")
                if size == len(piece):
                    body = piece
                elif isinstance(body, bytes):
                    body = bytearray(body + piece)
                else:
                    body += piece
                if not message.get("more_body"):
                    return bytes(body)
        except asyncio.CancelledError:
            self.pool.release(model, size)
            raise Refusal(
                408,
                "slow_request",
                f"the body did not come within {self.options.timeout:g} s",
                headers=CLOSE,
            ) from None
        except Refusal:
            self.pool.release(model, size)
            raise
        finally:
            timer.cancel()

    # All else

    async def _other(self, scope: Scope, receive: Receive) -> Reply:
        path = scope["path"]
        if path == "/ping":
            _check_method(scope, "GET")
            self._check_ready()
            return _json({"status": "ready"})
        if path == "/execution-parameters":
            _check_method(scope, "GET")
            return _json(self._wishes())
        if path == "/metrics":
            _check_method(scope, "GET")
            return Reply(200, metrics.CONTENT_TYPE, self.pool.metrics.text())
        if path == "/openapi.json":
            _check_method(scope, "GET")
            return _json(openapi.document(self.pool.models.values(), self.options))
        if path == "/models":
            return await self._models(scope, receive)
        if path.startswith("/models/"):
            return await self._one_model(path[len("/models/") :], scope, receive)
        raise Refusal(404, "no_such_path", "see /openapi.json for what is here")

    def _wishes(self) -> dict[str, Any]:
        """What suits this server in a batch transform, unless the job has said it."""
        job = container.batch_transform()
        return {
            "MaxConcurrentTransforms": (job and job.concurrent) or 2 * self.options.workers,
            "BatchStrategy": job.strategy if job else "MULTI_RECORD",
            "MaxPayloadInMB": max(1, self.options.max_payload // 2**20),
        }

    async def _models(self, scope: Scope, receive: Receive) -> Reply:
        if _check_method(scope, "GET", "POST") == "GET":
            return _json({"models": [_described(each) for each in self.pool.models.values()]})
        self._check_manages()
        order = await self._order(scope, receive)
        name = order.get("model_name")
        if not isinstance(name, str) or not sizing.MODEL_NAME.fullmatch(name):
            raise Refusal(422, "unfit_payload", f"model_name: expected {sizing.MODEL_NAME.pattern}")
        async with self.pool.changing:
            if name in self.pool.models:
                raise Refusal(
                    409, "already_loaded", f"{name} is loaded: PUT /models/{name} replaces it"
                )
            return await self._load(name, order)

    async def _one_model(self, name: str, scope: Scope, receive: Receive) -> Reply:
        method = _check_method(scope, "GET", "PUT", "DELETE")
        if method == "GET":
            return _json(_described(self._model(name)))
        self._check_manages()
        self._model(name)
        order = await self._order(scope, receive) if method == "PUT" else {}
        async with self.pool.changing:
            self._model(name)  # another request may have unloaded it meanwhile
            if method == "PUT":
                return await self._load(name, order)
            await self.pool.unload(name)
            return _json({"unloaded": name})

    async def _load(self, name: str, order: Mapping[str, Any]) -> Reply:
        folder = self._folder(order.get("url"))
        if not sizing.fits(folder, self.options.workers):
            raise Refusal(507, "out_of_memory", f"there is no memory left for {name}")
        try:
            await self.pool.load(name, folder)
        except AlgoshelfError as error:
            log.error("%s is not loaded: %s", name, error)
            status = 503 if isinstance(error, WorkersDownError) else 422
            raise Refusal(
                status, error.code, f"{name} cannot be loaded; the server's log says why"
            ) from None
        return _json({"loaded": name})

    def _folder(self, url: Any) -> Path:
        """The folder that a path or a file: URL names, where models may be loaded from."""
        try:
            path = unquote(urlsplit(url).path) if url.startswith("file:") else url
            if b"\0" in os.fsencode(path):
                raise ValueError("no path holds NUL")
        except (ValueError, AttributeError):  # no URL, no text, or none that the file system takes
            raise Refusal(
                422, "unfit_payload", "url: expected the path of a model folder"
            ) from None
        try:
            return admission.confined(Path(path), self.options.roots)
        except InputError as error:
            raise Refusal(422, "unfit_payload", f"url: {error}") from None

    def _check_manages(self) -> None:
        if not self.options.manages:
            raise Refusal(
                403, "not_managed", "models are fixed here: serve with --multi-model to change them"
            )

    async def _order(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The JSON object that a request to load a model holds."""
        if payload.media_type(_header(scope, b"content-type")) != payload.JSON:
            # which also keeps a page in a browser from sending it without asking
            raise Refusal(415, "unsupported_content_type", f"expected {payload.JSON}")
        body = await self._body(scope, receive, MOST_ORDER_BYTES, NO_MODEL)
        self.pool.release(NO_MODEL, len(body))
        try:
            order = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal(400, "malformed_payload", "the body is no JSON") from None
        if not isinstance(order, dict):
            raise Refusal(422, "unfit_payload", "expected a JSON object")
        return order


def _inflated(inflater: encoding.Inflater, piece: bytes, more: bool) -> bytes:
    try:
        found = inflater.feed(piece)
        if not more:
            inflater.check_end()
    except PayloadTooLargeError as error:
        raise Refusal(413, error.code, str(error), headers=CLOSE, early=more) from None
    except MalformedPayloadError as error:
        raise Refusal(400, error.code, str(error), headers=CLOSE, early=more) from None
    return found


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def _check_method(scope: Scope, *allowed: str) -> str:
    method = str(scope["method"])
    if method not in allowed:
        allow = ", ".join(allowed)
        raise Refusal(
            405, "method_not_allowed", f"expected {allow}", headers=((b"allow", allow.encode()),)
        )
    return method


def _too_large(most: int) -> Refusal:
    text = f"a body may hold {most:,} bytes"
    return Refusal(413, "too_large", text, headers=CLOSE, early=True)


def _overloaded() -> Refusal:
    text = "there is no memory left for bodies: send it again later"
    return Refusal(503, "overloaded", text, headers=CLOSE, early=True)


async def _drop_rest(receive: Receive) -> None:
    """Take what the client still sends, for a while: closed at once, it would read no answer."""

    async def drop() -> None:
        while (await receive()).get("more_body"):
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(drop(), LINGER_SECONDS)


def _json(document: Any) -> Reply:
    return Reply(200, payload.JSON, payload.encode_json(document))


def _described(served: Served) -> dict[str, Any]:
    return {
        "modelName": served.name,
        "algorithm": served.metadata.algorithm,
        "version": served.key.rpartition("@")[2],
        "accepts": list(served.algorithm.accepted()),
        "answers": list(served.algorithm.answered()),
        "classes": list(served.metadata.classes),
        "state": "given up" if served.lost else "serving",
    }
