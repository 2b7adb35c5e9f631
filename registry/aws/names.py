"""Names of AWS resources: letters, digits and single hyphens, of limited length."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timezone

MAX_NAME = 63
MAX_TUNING_NAME = 32  # of a tuning job, whose trainings' names begin with it
STEM = MAX_NAME - 7  # of a name, before the hyphen and the six random digits that end it
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def is_name(text: str, most: int = MAX_NAME) -> bool:
    """Whether AWS takes ``text`` as a name."""
    return len(text) <= most and NAME.fullmatch(text) is not None


def fault(text: str, most: int = MAX_NAME) -> str:
    """Why AWS does not take ``text`` as a name, as ``--name`` gave it; "" where it does."""
    if is_name(text, most):
        return ""
    return f"--name: expected up to {most} letters, digits and inner hyphens, got {text[:80]!r}"


def named(*parts: str) -> str:
    """A name that nothing else has, which begins with ``parts`` as far as they fit."""
    return f"{slug('-'.join(parts), STEM)}-{secrets.token_hex(3)}"


def timed(stem: str, *, tuning: bool = False) -> str:
    """A name for a new job: ``stem`` with the time in UTC, to the millisecond if it fits."""
    now = datetime.now(timezone.utc)
    time = f"{now:%Y-%m-%d-%H-%M-%S}-{now.microsecond // 1000:03}"
    if tuning:
        time = f"{now:%y%m%d-%H%M}"
    most = MAX_TUNING_NAME if tuning else MAX_NAME
    return f"{slug(stem, most - len(time) - 1)}-{time}"


def slug(text: str, most: int = MAX_NAME) -> str:
    """``text`` as a name at AWS."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-")[:most].strip("-") or "model"
