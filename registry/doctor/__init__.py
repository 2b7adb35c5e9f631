"""doctor: whether all is there, and what to do where it is not; imports registry and core.

    machine.py      this machine: Python, mxnet, processors, GPUs, extras, disk
    selftest.py     the process that compares two devices; alone imports mxnet

``registry/aws/doctor.py`` does the same for an account at AWS.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Iterable

OK, WARNING, FAILED, ABSENT, UNKNOWN = "ok", "warning", "failed", "absent", "unknown"


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and the ``fix``, "" where none is needed.

    ``absent`` is what may be missing, if what it is for is not wanted; ``unknown`` what could not
    be looked at.
    """

    name: str
    status: str
    text: str
    fix: str = ""

    def document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def is_well(checks: Iterable[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.status != FAILED for check in checks)
