"""The bodies of requests and answers: up to a size, sent piece by piece, counted while held."""

from __future__ import annotations

import asyncio
import contextlib

from ..inference.requests import Reply
from ..payload import content_encoding as encoding
from ..runtime.errors import AlgoshelfError, MalformedPayloadError, PayloadTooLargeError
from .queueing import Queues
from .refusals import CLOSE, Headers, Receive, Refusal, Scope, Send, header

ANSWER_PIECE_BYTES = 2**18
NOT_MODIFIED = 304
LINGER_SECONDS = 5.0


class Bodies:
    """What of bodies and answers a server has in memory, which its pool counts."""

    def __init__(self, pool: Queues) -> None:
        self.pool = pool
        self.options = pool.options

    async def send(
        self, model: str, reply: Reply, headers: Headers, send: Send, *, more: bool
    ) -> None:
        """Send a reply piece by piece, as it is taken: till then its bytes are counted."""
        size = len(reply.body)
        self.pool.hold(model, size)
        try:
            head = [*headers]
            if reply.status != NOT_MODIFIED:  # which has no body, and is silent on that of 200
                content_type = reply.content_type.encode("latin-1")
                length = (b"content-length", b"%d" % size)
                head = [(b"content-type", content_type), length, *headers]
            await send({"type": "http.response.start", "status": reply.status, "headers": head})
            for start in range(0, size or 1, ANSWER_PIECE_BYTES):
                end = start + ANSWER_PIECE_BYTES
                piece = reply.body if size <= ANSWER_PIECE_BYTES else reply.body[start:end]
                await send(
                    {"type": "http.response.body", "body": piece, "more_body": more or end < size}
                )
        finally:
            self.pool.release(model, size)

    async def read(self, scope: Scope, receive: Receive, most: int, model: str) -> bytes:
        """The body of a request, of at most ``most`` bytes, which the caller is to release.

        It is decompressed as it comes.
        """
        try:
            inflater = encoding.inflater(header(scope, b"content-encoding"), most)
        except AlgoshelfError as error:
            accepted = (b"accept-encoding", encoding.ACCEPTED.encode())
            raise Refusal(
                415, error.code, str(error), headers=(accepted, *CLOSE), early=True
            ) from None
        length = int(header(scope, b"content-length") or 0)  # a number, or it had been refused
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


def _too_large(most: int) -> Refusal:
    text = f"a body may hold {most:,} bytes"
    return Refusal(413, "too_large", text, headers=CLOSE, early=True)


def _overloaded() -> Refusal:
    text = "there is no memory left for bodies: send it again later"
    return Refusal(503, "overloaded", text, headers=CLOSE, early=True)


async def drop_rest(receive: Receive) -> None:
    """Take what the client still sends, for a while: closed at once, it would read no answer."""

    async def drop() -> None:
        while (await receive()).get("more_body"):
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(drop(), LINGER_SECONDS)
