"""Times as they are written on the command line and in environment variables."""

from __future__ import annotations

import re


def parse_duration(text: str) -> float:
    """Seconds, from ``90``, ``90s``, ``2ms``, ``10m`` or ``1.5h``. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|[smh]|)", text.strip())
    if not found or float(found[1]) == 0:
        raise ValueError(f"no duration: {text!r}")
    return float(found[1]) * {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2]]
