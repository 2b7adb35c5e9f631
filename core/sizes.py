"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def parse_size(text: str) -> int:
    """Bytes, from ``6291456``, ``6MB``, ``6M``, ``6 MiB`` or ``1.5GB``; a KB is 1,024 bytes, as
    SageMaker counts them. Raises ValueError.
    """
    found = re.fullmatch(
        r"(\d{1,15}(?:\.\d{1,15})?) *([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE
    )
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size < 1:
        raise ValueError(f"no size: {text!r}")
    return size


def show_size(size: float) -> str:
    """``6 MB``, ``1.5 GB``: the inverse, to two digits."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GB"
