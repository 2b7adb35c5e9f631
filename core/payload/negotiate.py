"""Content negotiation: choose the content type of an answer by HTTP's Accept header."""

from __future__ import annotations

import functools
import re
from typing import Sequence

from ..runtime.errors import NotAcceptableError
from ..runtime.faults import either, quoted
from .content_types import media_type

_QUALITY = re.compile(r";\s*q\s*=\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:;|$)", re.IGNORECASE)


def negotiate(accept: str | None, offered: Sequence[str]) -> str:
    """The one of ``offered`` that an HTTP Accept header (RFC 9110, 12.5.1) likes best.

    The most specific range decides an offer's quality; the earlier offer wins a tie; without
    a header it is the first. An unreadable quality counts as 1.
    Raises NotAcceptableError, which lists the offers.
    """
    return _negotiated(accept or "", tuple(offered))


@functools.lru_cache(maxsize=512)
def _negotiated(accept: str, offered: tuple[str, ...]) -> str:
    if not accept.strip(" \t,"):
        return offered[0]
    ranges: dict[str, float] = {}
    for element in accept.split(","):
        found = _QUALITY.search(element)
        name = media_type(element)
        ranges[name] = max(ranges.get(name, 0.0), min(float(found[1]), 1.0) if found else 1.0)

    def quality(offer: str) -> float:
        media = media_type(offer)
        names = (media, media.split("/")[0] + "/*", "*/*")
        return next((ranges[name] for name in names if name in ranges), 0.0)

    best = max(offered, key=quality)
    if quality(best) > 0:
        return best
    raise NotAcceptableError(
        f"Accept: {quoted(accept)} matches no offered content type: expected {either(offered)}"
    )
