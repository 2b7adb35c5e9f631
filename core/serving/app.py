"""The HTTP interface: what is asked at which path, as an ASGI application.

SageMaker's contract for containers (``/ping``, ``/invocations``, ``/execution-parameters``), its
multi-model API (``/models``), ``/metrics`` for Prometheus, ``/openapi.json``, and a page for people
(``/``), unless that is off. Every error is JSON with a stable code.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from ..inference.requests import Reply, Request, fault, refusal
from ..runtime import opt_ml as container
from . import admission, metrics, openapi
from .bodies import Bodies, drop_rest
from .capturing import Capture
from .management import Management
from .page import Page
from .pool import Pool
from .refusals import (
    CLOSE,
    NO_MODEL,
    Headers,
    Receive,
    Refusal,
    Scope,
    Send,
    check_method,
    header,
    json_reply,
)
from .served import Served

TARGET_MODEL = b"x-amzn-sagemaker-target-model"
INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
RETRY_SECONDS = 1
MAX_TYPE_CHARACTERS = 2000
MAX_HOST_CHARACTERS = 255
MAX_ID_CHARACTERS = 64  # as SageMaker has it
# In a request's state, where the server puts a function: what it is given is called if the client
# leaves before it has its answer.
WHEN_GONE = "when_gone"


class App:
    """The application around a pool, whose options are its own."""

    def __init__(self, pool: Pool, capture: Capture | None = None) -> None:
        self.pool = pool
        self._capture = capture
        self.options = pool.options
        self._bodies = Bodies(pool)
        self._management = Management(pool, self._bodies)
        self._page = Page(pool) if self.options.page else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        start = time.monotonic()
        model = NO_MODEL
        headers: Headers = ()
        early = False
        try:
            self._admit(scope)
            target = await self._target(scope)
            if target is not None:
                model = target.name
                with target.in_use(start):
                    reply = await self._invoke(target, scope, receive, start)
            elif self._page is not None and self._page.has(scope["path"]):
                reply, headers = self._page.answer(scope)
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
        await self._bodies.send(model, reply, headers, send, more=early)
        if early:
            await drop_rest(receive)
            await send({"type": "http.response.body"})

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
                f"Host {host[:MAX_HOST_CHARACTERS]!r} is not a host name of this server: "
                "serve with --allowed-hosts to add one",
                early=True, headers=CLOSE,
            )  # fmt: skip
        token, path = self.options.token, scope["path"]
        free = (
            not token
            or path == "/ping"
            or (self._page is not None and self._page.is_public(path))  # where it asks for one
        )
        if not (free or admission.knows(header(scope, b"authorization"), token)):
            raise Refusal(
                401, "unauthorized", "expected the header Authorization: Bearer TOKEN",
                early=True, headers=((b"www-authenticate", b"Bearer"), *CLOSE),
            )  # fmt: skip

    async def _target(self, scope: Scope) -> Served | None:
        """The model that a request asks; None where it asks none."""
        path = scope["path"]
        if path == "/invocations":
            check_method(scope, "POST")
            models = self.pool.models
            name = header(scope, TARGET_MODEL)
            if name:
                return await self._management.asked(name)
            if len(models) == 1 and self.options.folder is None:
                return next(iter(models.values()))
            self._management.check_ready()
            several = "several models are served: POST /models/NAME/invoke"
            known = models or self.options.folder is not None
            raise Refusal(404, "no_such_model", several if known else "no model is served yet")
        if path.startswith("/models/") and path.endswith("/invoke"):
            check_method(scope, "POST")
            return await self._management.asked(path[len("/models/") : -len("/invoke")])
        return None

    async def _invoke(self, model: Served, scope: Scope, receive: Receive, start: float) -> Reply:
        content_type, accept = header(scope, b"content-type"), header(scope, b"accept")
        if max(len(content_type), len(accept)) > MAX_TYPE_CHARACTERS:
            raise Refusal(400, "malformed_request", "Content-Type or Accept is too long")
        body = await self._bodies.read(scope, receive, self.options.max_payload, model.name)
        try:
            # What cannot be answered is refused before anything is computed.
            model.check(content_type, accept)
            request = Request(body, content_type, accept)
            job = self.pool.submit(model, request, start)
            scope["state"][WHEN_GONE](lambda: self.pool.abandon(model, job))
            reply = await job.future
            if self._capture is not None:
                name = header(scope, INFERENCE_ID)[:MAX_ID_CHARACTERS]
                self._capture.keep(model.name, request, reply, name)
            return reply
        finally:
            self.pool.release(model.name, len(body))

    async def _other(self, scope: Scope, receive: Receive) -> Reply:
        path = scope["path"]
        if path == "/ping":
            check_method(scope, "GET")
            self._management.check_ready()
            return json_reply({"status": "ready"})
        if path == "/execution-parameters":
            check_method(scope, "GET")
            return json_reply(self._wishes())
        if path == "/metrics":
            check_method(scope, "GET")
            return Reply(200, metrics.CONTENT_TYPE, self.pool.metrics.text())
        if path == "/openapi.json":
            check_method(scope, "GET")
            return json_reply(openapi.document(self.pool.models.values(), self.options))
        if path == "/models":
            return await self._management.models(scope, receive)
        if path.startswith("/models/"):
            return await self._management.one_model(path[len("/models/") :], scope, receive)
        raise Refusal(404, "no_such_path", "see /openapi.json for what is here")

    def _wishes(self) -> dict[str, Any]:
        """What suits this server in a batch transform, unless the job has said it."""
        job = container.batch_transform()
        return {
            "MaxConcurrentTransforms": (job and job.concurrent) or 2 * self.options.workers,
            "BatchStrategy": job.strategy if job else "MULTI_RECORD",
            "MaxPayloadInMB": max(1, self.options.max_payload // 2**20),
        }
