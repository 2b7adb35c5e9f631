"""page: the page at ``/``, where people ask the models: its files, kept in memory, and what it is
told of the models.

The files are static and say nothing of the models: they are given to whoever may reach the server.
What they show comes from ``/page/models``, for which a token is needed where one is set.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from ...algorithm import widgets
from ...algorithm.base import Algorithm
from ...inference.requests import Reply
from ..bodies import NOT_MODIFIED
from ..pool import Pool
from ..refusals import Headers, Refusal, Scope, check_method, header, json_reply
from .described import Descriptions

HTML, MODULE, CSS, SVG = (
    "text/html; charset=utf-8",
    "text/javascript; charset=utf-8",
    "text/css; charset=utf-8",
    "image/svg+xml",
)
TYPES: Mapping[str, str] = {".html": HTML, ".js": MODULE, ".css": CSS, ".svg": SVG}
STATIC = Path(__file__).parent / "static"
PREFIX, MODELS, OWN_WIDGETS = "/page/", "/page/models", "/page/own/"

# Nothing from elsewhere, nothing inline, in no frame; and no text ever becomes markup or a script,
# not even by a fault of the page's (Trusted Types).
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), payment=(), usb=()"),
)


class File(NamedTuple):
    """A file as it is sent, and as it is said to be unchanged."""

    etag: str
    reply: Reply
    headers: Headers

    @classmethod
    def of(cls, content: bytes, content_type: str) -> File:
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        caching = ((b"etag", etag.encode()), (b"cache-control", b"no-cache"))
        return cls(etag, Reply(200, content_type, content), (*caching, *SECURITY))


class Page:
    """What is answered at ``/`` and under ``/page/``."""

    def __init__(self, pool: Pool) -> None:
        self._descriptions = Descriptions(pool, self._module)
        self._files = {
            f"{PREFIX}{path.relative_to(STATIC).as_posix()}": File.of(
                path.read_bytes(), TYPES[path.suffix]
            )
            for path in STATIC.rglob("*")
            if path.suffix in TYPES
        }
        self._files["/"] = self._files.pop(f"{PREFIX}index.html")
        self._own: dict[type[Algorithm[Any]], str] = {}  # the path of its widget

    def has(self, path: str) -> bool:
        """Whether ``path`` is one of the page's."""
        return path == "/" or path.startswith(PREFIX)

    def is_public(self, path: str) -> bool:
        """Whether no token is needed for ``path``."""
        return path in self._files

    def answer(self, scope: Scope) -> tuple[Reply, Headers]:
        """What is at the path of ``scope``. Raises Refusal."""
        path = scope["path"]
        if path == MODELS:
            check_method(scope, "GET")
            told = json_reply(self._descriptions.document())
            return told, ((b"cache-control", b"no-store"), *SECURITY)
        file = self._files.get(path)
        if file is None:
            raise Refusal(404, "no_such_path", "see /openapi.json for what is here")
        check_method(scope, "GET", "HEAD")
        if file.etag in header(scope, b"if-none-match"):
            return Reply(NOT_MODIFIED, "", b""), file.headers
        return file.reply, file.headers

    def _module(self, algorithm: Algorithm[Any]) -> str:
        """The path of the module that is the own widget of an algorithm; empty where it has none.

        It is named after its content, and so tells nobody the name of a model.
        """
        cls = type(algorithm)
        if not widgets.is_own(cls.widget):
            return ""
        if cls not in self._own:
            file = File.of(widgets.source(cls), MODULE)
            path = f"{OWN_WIDGETS}{file.etag.strip(chr(34))}.js"
            self._files[path] = file
            self._own[cls] = path
        return self._own[cls]
