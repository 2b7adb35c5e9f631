"""Which signals this process may handle."""

from __future__ import annotations

import signal


def heeded(*numbers: signal.Signals) -> list[signal.Signals]:
    """Those of ``numbers`` that nobody has asked this process to ignore.

    ``nohup`` starts a program with SIGHUP ignored, a shell what it puts into the background of a
    script with SIGINT ignored. A handler in their place would undo what the user asked for.
    """
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
