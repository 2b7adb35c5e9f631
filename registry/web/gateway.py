"""API Gateway on this machine: requests of HTTP become events of payload format 2.0 for a handler.

Its limits and its errors are those of an HTTP API. Source: API Gateway's developer guide, "AWS
Lambda proxy integrations for HTTP APIs" and "Quotas for HTTP APIs".
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import secrets
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Mapping

from ...core.runtime.signals import heeded
from ...core.serving import admission
from ...core.serving.server import http_server

log = logging.getLogger(__name__)

Handler = Callable[[Any, Any], Mapping[str, Any]]

MAX_BODY_BYTES = 10 * 2**20
SECONDS = 30.0
THREADS = 32  # each as one instance of a function; more requests wait
GRACE_SECONDS = 10
# Bodies of these types are passed on as text, others in base64.
TEXTS = ("application/json", "application/javascript", "application/xml")
COOKIE = "cookie"


class Gateway:
    """The application, for an ASGI server; hosts other than ``hosts`` are refused."""

    def __init__(self, handler: Handler, hosts: tuple[str, ...] | None) -> None:
        self._handler, self._hosts = handler, hosts
        self._threads = ThreadPoolExecutor(THREADS, "function")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, headers, body = await self._answer(scope, receive)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send(
            {"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""}
        )

    def close(self) -> None:
        """Wait for what is being answered."""
        self._threads.shutdown()

    async def _answer(self, scope: Any, receive: Any) -> tuple[int, Mapping[str, str], bytes]:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if self._hosts is not None and not admission.is_allowed(
            host.decode("latin-1"), self._hosts
        ):
            return _error(403, "Forbidden")  # a page elsewhere that made its name one for here
        body = await _body(receive)
        if body is None:
            return _error(413, "Request Entity Too Large")
        loop = asyncio.get_running_loop()
        called = loop.run_in_executor(self._threads, self._handler, event(scope, body), None)
        try:
            return _sent(await asyncio.wait_for(called, SECONDS))
        except asyncio.TimeoutError:
            return _error(503, "Service Unavailable")
        except Exception:
            log.exception("the handler failed")
            return _error(500, "Internal Server Error")


def event(scope: Any, body: bytes) -> dict[str, Any]:
    """A request, as ASGI has it, as an event of payload format 2.0."""
    headers: dict[str, str] = {}
    cookies = []
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == COOKIE:
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    now = time.time()
    host = headers.get("host", "")
    method, path = scope["method"], scope["path"]
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": scope.get("query_string", b"").decode("latin-1"),
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split(".")[0],
            "http": {
                "method": method,
                "path": path,
                "protocol": f"HTTP/{scope.get('http_version', '1.1')}",
                "sourceIp": (scope.get("client") or ("",))[0],
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": secrets.token_urlsafe(12),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(1000 * now),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        made["cookies"] = cookies
    if body:
        made["body"], made["isBase64Encoded"] = _passed(body, headers.get("content-type", ""))
    return made


def run(
    listening: socket.socket,
    handler: Handler,
    hosts: tuple[str, ...] | None,
    tell: Callable[[], None],
) -> None:
    """Answer at ``listening`` until SIGTERM or SIGINT; ``tell`` is called when that has begun."""
    asyncio.run(_run(listening, handler, hosts, tell))


async def _run(
    listening: socket.socket,
    handler: Handler,
    hosts: tuple[str, ...] | None,
    tell: Callable[[], None],
) -> None:
    gateway = Gateway(handler, hosts)
    server = http_server(gateway, timeout_graceful_shutdown=GRACE_SECONDS)
    loop = asyncio.get_running_loop()
    for number in heeded(signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    tell()
    try:
        await server.serve(sockets=[listening])
    finally:
        gateway.close()


async def _body(receive: Any) -> bytes | None:
    """The body of a request; None where it is larger than may be, and is read no further."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""  # the client has left
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(pieces)


def _passed(body: bytes, content_type: str) -> tuple[str, bool]:
    """A body as an event has it, and whether that is base64."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in TEXTS or kind.startswith("text/"):
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(), False
    return base64.b64encode(body).decode("ascii"), True


def _sent(answer: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    """A handler's answer, as it is sent."""
    body = answer.get("body") or ""
    raw = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    return int(answer["statusCode"]), answer.get("headers") or {}, raw


def _error(status: int, message: str) -> tuple[int, Mapping[str, str], bytes]:
    body = json.dumps({"message": message}).encode()
    return status, {"content-type": "application/json"}, body
