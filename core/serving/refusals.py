"""What is refused, with which code; the headers and the method of a request; replies in JSON."""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Dict, Iterable, Mapping, Tuple

from .. import payload
from ..inference.requests import Reply, fault

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]
Headers = Iterable[Tuple[bytes, bytes]]

CLOSE = ((b"connection", b"close"),)
NO_MODEL = "-"  # in metrics


class Refusal(Exception):  # noqa: N818 - it is the answer
    """An answer other than the one that was asked for; ``early`` if more of a body may come."""

    def __init__(
        self, status: int, code: str, text: str, *, headers: Headers = (), early: bool = False
    ) -> None:
        super().__init__(text)
        self.reply = fault(status, code, text)
        self.headers = headers
        self.early = early


def header(scope: Scope, name: bytes) -> str:
    """The first header ``name``, in lower case, of a request; empty where there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def check_method(scope: Scope, *allowed: str) -> str:
    """The method of a request. Raises Refusal where it is none of ``allowed``."""
    method = str(scope["method"])
    if method not in allowed:
        allow = ", ".join(allowed)
        raise Refusal(
            405, "method_not_allowed", f"expected {allow}", headers=((b"allow", allow.encode()),)
        )
    return method


def json_reply(document: Any) -> Reply:
    """``document`` as an answer."""
    return Reply(200, payload.JSON, payload.encode_json(document))
