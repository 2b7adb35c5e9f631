"""Child processes that end when this process ends."""

from __future__ import annotations

import ctypes
import signal


def die_with_parent() -> None:
    """Have this process killed when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
