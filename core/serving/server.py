"""The HTTP server: uvicorn around the application, with what it leaves to whoever uses it.

uvicorn waits without end for the head of a request and takes one of any length; both are bounded
here. Its errors of the protocol are JSON here, as all others are.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import resource
import signal
import socket
import struct
import termios
import time
from pathlib import Path
from typing import Any, Callable

import httptools
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..inference.requests import fault
from ..runtime.errors import AlgoshelfError, InputError
from ..runtime.signals import heeded
from .app import WHEN_GONE, App
from .begun import First
from .capturing import Capture
from .metrics import Metrics
from .options import Options
from .pool import Opener, Pool

log = logging.getLogger(__name__)

HEAD_SECONDS = 20.0
MAX_HEAD_BYTES = 2**16
MAX_HEADERS = 200
SWEEP_SECONDS = 1.0
# AWS's and other load balancers keep idle connections for 60 s.
IDLE_SECONDS = 75
GRACE_SECONDS = 25
BACKLOG = 2048
_INT = struct.Struct("=i")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at ``host`` and ``port``; 0 is any free one. Raises InputError."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # the latter of a name that no host can have
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{host}:{port}: cannot be listened on: {reason}; give another --host or --port"
        ) from None
    listening.setblocking(False)
    return listening


def run(
    listening: socket.socket,
    models: dict[str, Path],
    opener: Opener,
    options: Options,
    tell: Callable[[], None],
    first: First,
) -> None:
    """Serve ``models``, folders by name, until SIGTERM or SIGINT; SIGHUP reads them anew.

    ``tell`` is called when the server is ready; ``first`` is a worker that has been begun. Raises
    what a model that does not load raises.
    """
    _allow_connections()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(listening, models, opener, options, tell, first))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def http_server(app: Any, **settings: Any) -> uvicorn.Server:
    """uvicorn around ``app``, with ``Protocol`` and what else is left to whoever uses it; signals
    are the caller's, as are further ``settings`` of uvicorn's.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            **settings,
        )
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    return server


async def _serve(
    listening: socket.socket,
    models: dict[str, Path],
    opener: Opener,
    options: Options,
    tell: Callable[[], None],
    first: First,
) -> None:
    pool = Pool(options, opener, Metrics(), first)
    capture = None
    if options.capture is not None:
        capture = Capture(options.capture, options.capture_percent, options.capture_bytes)
    server = http_server(
        App(pool, capture),
        date_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        log.info("stopping: no new connections; what is in flight is answered")
        server.should_exit = True

    background = set()

    def reload() -> None:
        task = loop.create_task(_reload(pool))
        background.add(task)
        task.add_done_callback(background.discard)

    for number in heeded(signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    serving = loop.create_task(server.serve(sockets=[listening]))
    sweeping = loop.create_task(_sweep(server))
    starting = loop.create_task(pool.start(models))
    try:
        await asyncio.wait((serving, starting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            tell()
        await serving
    finally:
        server.should_exit = True
        for task in (starting, sweeping):
            task.cancel()
        await asyncio.gather(starting, sweeping, return_exceptions=True)
        with contextlib.suppress(Exception):
            await serving
        await pool.close()
        if capture is not None:
            capture.close()


async def _reload(pool: Pool) -> None:
    async with pool.changing:
        for served in list(pool.models.values()):
            try:
                await pool.load(served.name, served.folder)
                log.info("%s: read anew", served.name)
            except AlgoshelfError as error:
                log.error("%s: the old version stays: %s", served.name, error)


def _allow_connections() -> None:
    """As many open connections as the system grants."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Protocol(HttpToolsProtocol):
    """A connection whose request heads are bounded in size; ``_sweep`` bounds them in time.

    A wish for another protocol is ignored, as HTTP allows: Java's client sends one (h2c) with its
    first request, the body of which httptools would leave out.
    """

    head_since: float = 0.0  # 0: not within a head
    blocked_since: float = 0.0  # 0: the client takes what it is sent
    untaken = 0  # bytes that waited for the client when that was last looked at
    _is_refused = False  # what came last; nothing is read after it
    _last_answer: bytes | None = None  # to that, when all that came before it is answered
    _other_bytes = 0  # since the last of a body: of a head, of trailers
    _abandon: Callable[[], None] | None = None  # what is asked, if the client leaves

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.head_since = time.monotonic()

    def on_message_begin(self) -> None:
        self.head_since = time.monotonic()
        self._other_bytes = 0
        super().on_message_begin()
        self.scope["state"][WHEN_GONE] = self.when_gone

    def when_gone(self, abandon: Callable[[], None]) -> None:
        """Have ``abandon`` called if the client leaves before its answer."""
        self._abandon = abandon
        if self.transport.is_closing():
            abandon()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._abandon is not None:
            self._abandon()
            self._abandon = None

    def on_response_complete(self) -> None:
        self._abandon = None
        last = not self.pipeline
        super().on_response_complete()
        if last and self._last_answer is not None and not self.transport.is_closing():
            self.transport.write(self._last_answer)
            self.transport.close()

    def on_message_complete(self) -> None:
        """Read on, or the end of the connection would not be noticed behind a large body."""
        if self._is_refused:
            return
        super().on_message_complete()
        if not self.pipeline and not self.transport.is_closing():
            self.flow.resume_reading()

    def on_headers_complete(self) -> None:
        self.head_since = 0.0
        if len(self.headers) > MAX_HEADERS:
            # Each is looked through for each request; the app never sees this one.
            self.refuse(431, "head_too_large", f"expected at most {MAX_HEADERS} headers")
        if self._is_refused:
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._is_refused:
            return
        self._other_bytes = 0
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        self._other_bytes += len(data)
        if self._other_bytes > MAX_HEAD_BYTES + len(data):
            self.refuse(431, "head_too_large", f"expected at most {MAX_HEAD_BYTES:,} bytes")
            return
        while data and not self._is_refused:
            data = self._parsed(data)
        if self.cycle is None or self.cycle.response_complete:
            self.head_since = self.head_since or time.monotonic()  # as uvicorn waits no more

    def _parsed(self, data: bytes) -> bytes:
        """What is still to be parsed: a request with a wish for another protocol, without it."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            if self.parser.get_method() != b"CONNECT":
                return self._head_without_wish() + data[wish.args[0] :]
            self.send_400_response("CONNECT: this is no proxy")
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        return b""

    def _should_upgrade(self) -> bool:
        return True  # so that uvicorn leaves such a request alone

    def _head_without_wish(self) -> bytes:
        version = self.parser.get_http_version().encode("ascii")
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [
            b"%s: %s" % header
            for header in self.headers
            if header[0] not in (b"upgrade", b"connection")
        ]
        self.parser = httptools.HttpRequestParser(self)
        return b"\r\n".join((*lines, b"", b""))

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, "malformed_request", msg)

    def refuse(self, status: int, code: str, text: str) -> None:
        """Answer with an error, unless an answer has begun, and close."""
        if self._is_refused:
            return
        self._is_refused = True
        self.head_since = 0.0
        reply = fault(status, code, text)
        head = (
            f"HTTP/1.1 {status} Refused\r\ncontent-type: {reply.content_type}\r\n"
            f"content-length: {len(reply.body)}\r\nconnection: close\r\n\r\n"
        )
        answer = head.encode("ascii") + reply.body
        if self._is_others_turn():
            self._last_answer = answer
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:  # it is this request that is refused
            if cycle.response_started:
                answer = b""
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(answer)
        self.transport.close()

    def _is_others_turn(self) -> bool:
        """Whether requests that came before what is refused are yet to be answered."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        if not self.cycle.more_body:  # the last one is whole: what is refused came after it
            return True
        if self.pipeline and self.pipeline[0][0] is self.cycle:  # it has not begun
            self.pipeline.popleft()
            return True
        return False


def _untaken(transport: Any) -> int:
    """Bytes that the client has not taken, here and in the kernel.

    The kernel asks for more only when a third of its buffer is free, which takes long at few kB/s.
    """
    size: int = transport.get_write_buffer_size()
    with contextlib.suppress(OSError, ValueError):  # it may be closed, or the system lack this
        connection = transport.get_extra_info("socket")
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
        size += _INT.unpack(queued)[0]
    return size


async def _sweep(server: uvicorn.Server) -> None:
    """Close connections on which a head does not end, or an answer is not taken."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = time.monotonic()
        for connection in list(server.server_state.connections):
            if not isinstance(connection, Protocol):
                continue
            waits = connection.flow.write_paused or connection.transport.is_closing()
            untaken = _untaken(connection.transport) if waits else 0
            taken, connection.untaken = untaken != connection.untaken, untaken
            if waits and not taken:
                connection.blocked_since = connection.blocked_since or now
            else:
                connection.blocked_since = 0.0
            for since in (connection.head_since, connection.blocked_since):
                if since and now - since > HEAD_SECONDS:
                    connection.transport.abort()
