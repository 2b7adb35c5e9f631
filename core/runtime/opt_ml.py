"""The paths and environment of a SageMaker container (/opt/ml), and its failure file.

Sources: "How Amazon SageMaker provides training information" in AWS's developer guide. Everything
lies under one base, /opt/ml; SAGEMAKER_BASE_DIR moves it, as it does for AWS's own toolkit.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

# SageMaker shows so many characters of the reason of a failure.
FAILURE_CHARACTERS = 1024
# A job without network finds its code in a channel of this name.
CODE = "code"


def base() -> Path:
    """The folder under which the container's contract lies."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


@dataclass(frozen=True)
class Hosts:
    """The hosts of a job by their names, and which of them this one is."""

    current: str
    names: tuple[str, ...]

    @property
    def first(self) -> str:
        """Where what there is once stands; the same on every host."""
        return min(self.names)


def hosts() -> Hosts | None:
    """What ``resourceconfig.json`` says; None outside a training container.

    Raises InputError where it is malformed.
    """
    path = base() / "input" / "config" / "resourceconfig.json"
    try:
        content = json.loads(path.read_bytes())
        found = Hosts(content["current_host"], tuple(content["hosts"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: does not name the hosts of the job: {error!r}") from None
    if found.current not in found.names:
        raise InputError(f"{path}: current_host {found.current!r} is none of {found.names}")
    return found


@dataclass(frozen=True)
class BatchTransform:
    """What a batch transform job asks of the server in its container.

    ``max_payload`` is in bytes, 0 where there is no limit; ``strategy`` is MULTI_RECORD or
    SINGLE_RECORD; ``concurrent`` is how many requests come at once at most, 0 where not said.
    """

    max_payload: int
    strategy: str
    concurrent: int


def batch_transform() -> BatchTransform | None:
    """What the job says by SAGEMAKER_BATCH and its companions; None outside of one.

    Raises InputError where a number is none.
    """
    if os.environ.get("SAGEMAKER_BATCH", "").lower() != "true":
        return None
    return BatchTransform(
        _number("SAGEMAKER_MAX_PAYLOAD_IN_MB", 6) * 2**20,
        os.environ.get("SAGEMAKER_BATCH_STRATEGY", "MULTI_RECORD"),
        _number("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", 0),
    )


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise InputError(f"{variable}: expected a whole number, got {text!r}")
    return int(text)


def in_training_job() -> bool:
    """Whether this is the container of a training job."""
    return (base() / "input" / "config").is_dir()


def report_failure(reason: str) -> None:
    """Leave ``reason`` where SageMaker looks for it; the first one given stays.

    Outside a training container nothing is done.
    """
    if not in_training_job():
        return
    path = base() / "output" / "failure"
    with contextlib.suppress(OSError):  # the log has it as well
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(reason[:FAILURE_CHARACTERS])
