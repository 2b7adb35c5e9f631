"""Compressed request bodies (Content-Encoding), decompressed piece by piece."""

from __future__ import annotations

import zlib

from ..runtime.errors import (
    MalformedPayloadError,
    PayloadTooLargeError,
    UnsupportedContentTypeError,
)

ACCEPTED = "gzip"
_GZIP = ("gzip", "x-gzip")  # RFC 9110, 8.4.1.3: the latter means the same
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS


class Inflater:
    """Decodes gzip of one member or several, to at most ``most`` bytes in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._member = zlib.decompressobj(_WITH_GZIP_HEADER)

    def feed(self, piece: bytes) -> bytes:
        """What ``piece`` adds. Raises MalformedPayloadError, PayloadTooLargeError."""
        found = []
        while piece:
            if self._member.eof:
                self._member = zlib.decompressobj(_WITH_GZIP_HEADER)
            try:
                # One byte more than may come, which shows that there is more.
                part = self._member.decompress(piece, self._most - self._size + 1)
            except zlib.error as error:
                raise MalformedPayloadError(f"the body is not gzip: {error}") from None
            self._size += len(part)
            if self._size > self._most:
                raise PayloadTooLargeError(
                    f"a body may have at most {self._most:,} bytes, also after decompression"
                )
            found.append(part)
            piece = self._member.unused_data
        return b"".join(found)

    def check_end(self) -> None:
        """Raises MalformedPayloadError where something is missing."""
        if not self._member.eof:
            raise MalformedPayloadError("the gzip of the body is cut short")


def inflater(content_encoding: str, most: int) -> Inflater | None:
    """What decodes a body of this Content-Encoding; None where it is as it is.

    Raises UnsupportedContentTypeError, which names the encoding.
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in _GZIP:
        return Inflater(most)
    raise UnsupportedContentTypeError(
        f"Content-Encoding {encoding[:40]!r} is not supported: expected {ACCEPTED}, or none"
    )
