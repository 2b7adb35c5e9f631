"""Join the answers to consecutive parts of a request into one answer."""

from __future__ import annotations

import json
from typing import Any

from ..data.npy import joined_npy, npy_layout
from ..runtime.errors import PayloadError
from .content_types import CSV, JSON, JSONLINES, NPY
from .encode import encode_npy

_LINES = (JSONLINES, CSV)
_FRAMES = ((b'{"predictions":[', b"]}"), (b"[", b"]"))  # as JSON answers are written


class Joined:
    """The parts of an answer of one content type, as far as they are known to join."""

    def __init__(self, content_type: str) -> None:
        self._content_type = content_type
        self._parts: list[bytes] = []
        self._form: Any = None  # what all parts have in common
        self.size = 0

    def add(self, body: bytes, examples: int) -> bool:
        """Add the answer to the next ``examples``; False if it cannot be joined to those before.

        Then the request must be predicted as a whole.
        """
        found = self._inner(body, examples)
        if found is None or (self._parts and found[0] != self._form):
            return False
        self._form, inner = found
        self._parts.append(inner)
        self.size += len(inner)
        return True

    def body(self) -> bytes:
        """The answer to all of them."""
        if self._content_type == JSON:
            before, after = self._form
            return bytes(before + b",".join(self._parts) + after)
        if self._content_type == NPY:
            return encode_npy(joined_npy(self._parts))
        return b"".join(self._parts)

    def _inner(self, body: bytes, examples: int) -> tuple[Any, bytes] | None:
        """What a part has to have in common with the others, and what of it is joined."""
        if self._content_type in _LINES:
            whole = body.endswith(b"\n") and body.count(b"\n") == examples
            return ("", body) if whole else None
        if self._content_type == JSON:
            return _inner_json(body, examples)
        if self._content_type == NPY:
            try:
                dtype, order, shape, _ = npy_layout(body, len(body))
            except PayloadError:
                return None
            return ((dtype.str, order, shape[1:]), body) if shape[0] == examples else None
        return None


def _inner_json(body: bytes, examples: int) -> tuple[tuple[bytes, bytes], bytes] | None:
    frame = next((f for f in _FRAMES if body.startswith(f[0]) and body.endswith(f[1])), None)
    if frame is None:
        return None
    before, after = frame
    value = json.loads(body)
    answers = list(value.values()) if isinstance(value, dict) else [value]
    if len(answers) != 1 or len(answers[0]) != examples:
        return None
    return frame, body[len(before) : -len(after)]
