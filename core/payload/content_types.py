"""Content types: their names, aliases, and file extensions."""

from __future__ import annotations

import functools
from pathlib import PurePath
from typing import TYPE_CHECKING, Sequence

from ..runtime.errors import UnfitPayloadError, UnsupportedContentTypeError, did_you_mean
from ..runtime.faults import either, quoted

if TYPE_CHECKING:
    import os

CSV = "text/csv"
JSON = "application/json"
JSONLINES = "application/jsonlines"
NPY = "application/x-npy"
TEXT = "text/plain"
PNG = "image/png"
JPEG = "image/jpeg"
WEBP = "image/webp"
RECORDIO_PROTOBUF = "application/x-recordio-protobuf"

FORM = "application/x-www-form-urlencoded"  # what curl -d says unless it is told otherwise

_ALIASES = {
    "application/csv": CSV,
    "text/json": JSON,
    "application/jsonl": JSONLINES,
    "application/x-jsonlines": JSONLINES,
    "application/x-jsonl": JSONLINES,
    "application/ndjson": JSONLINES,
    "application/x-ndjson": JSONLINES,
    "image/jpg": JPEG,
    "*": "*/*",  # what Java's HttpURLConnection sends as Accept
}
_EXTENSIONS = {
    ".csv": CSV,
    ".json": JSON,
    ".npy": NPY,
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".webp": WEBP,
    ".jsonl": JSONLINES,
    ".jsonlines": JSONLINES,
    ".ndjson": JSONLINES,
    ".pbr": RECORDIO_PROTOBUF,
    ".txt": TEXT,
}


# Content types


@functools.lru_cache(maxsize=512)
def media_type(content_type: str) -> str:
    """The bare, lower-case type of a Content-Type header: ``text/csv; label_size=0`` is
    ``text/csv``. Other names of the eight types (``application/x-ndjson``) become theirs.
    """
    bare = content_type.split(";", 1)[0].strip().lower()
    return _ALIASES.get(bare, bare)


def check_content_type(content_type: str, accepted: Sequence[str]) -> str:
    """The media type, if it is one of ``accepted``.

    Raises UnsupportedContentTypeError, which lists what is accepted.
    """
    return _checked(content_type, tuple(accepted))


@functools.lru_cache(maxsize=512)
def _checked(content_type: str, accepted: tuple[str, ...]) -> str:
    media = media_type(content_type)
    if any(media == media_type(name) for name in accepted):
        return media
    expected = f"expected {either(accepted)}"
    if media in ("", FORM):
        said = (
            f"Content-Type is {FORM}, which curl -d sends with any body"
            if media
            else "no Content-Type"
        )
        raise UnsupportedContentTypeError(
            f"{said}: give the type of the body in a header, as in "
            f"curl -H 'Content-Type: {accepted[0]}' --data-binary @FILE; {expected}"
        )
    raise UnsupportedContentTypeError(
        f"content type {quoted(media)} is not accepted{did_you_mean(media, accepted)}: {expected}"
    )


def parameter(content_type: str, name: str, choices: Sequence[str]) -> str | None:
    """The value of a parameter of a Content-Type header: ``no`` of ``image/png; invert=no``.

    None where it is not given. Raises UnfitPayloadError for a value that is none of ``choices``.
    """
    value = _parameter(content_type, name)
    if value is not None and value not in choices:
        raise UnfitPayloadError(
            f"the content type's {name} is {quoted(value)}{did_you_mean(value, choices)}: "
            f"expected {either(choices)}"
        )
    return value


def number_parameter(content_type: str, name: str, low: float, high: float) -> float | None:
    """As ``parameter``, for a number from ``low`` to ``high``."""
    text = _parameter(content_type, name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise UnfitPayloadError(
            f"the content type's {name} is {quoted(text)}: expected a number from {low:g} to "
            f"{high:g}"
        )
    return value


def _parameter(content_type: str, name: str) -> str | None:
    for part in content_type.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"').lower()
    return None


def content_type_of(path: str | os.PathLike[str]) -> str:
    """The content type that a file's extension stands for.

    Raises UnsupportedContentTypeError, which lists the known extensions.
    """
    extension = PurePath(path).suffix.lower()
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    raise UnsupportedContentTypeError(
        f"{path}: no content type is known for the extension {extension!r}"
        f"{did_you_mean(extension, _EXTENSIONS)}: expected {either(list(_EXTENSIONS))}; "
        "for any other file, pass --content-type"
    )


def endings(accepted: Sequence[str]) -> str:
    """How the names of files end that hold one of the content types ``accepted``, for people."""
    return either([ending for ending, kind in _EXTENSIONS.items() if kind in accepted])
