"""Ending well: a signal asks for a checkpoint first, and is answered within its grace."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator

# SageMaker kills 120 s after SIGTERM, an orchestrator often 30 s after.
GRACE_SECONDS = 25.0


@dataclass
class Stop:
    """``signal`` is the number of the signal that asks the run to end."""

    signal: int | None = None


@contextmanager
def stop_on_signals(enabled: bool) -> Iterator[Stop]:
    """While inside, SIGTERM and SIGINT ask for a checkpoint instead of ending the process.

    A second one ends it at once; so does GRACE_SECONDS without an answer, with the exit code of
    the signal. Not ``enabled``, or outside the main thread, nothing is changed.
    """
    stop = Stop()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    timers: list[threading.Timer] = []

    def ask(number: int, frame: object) -> None:
        if stop.signal is not None:
            os._exit(128 + number)
        stop.signal = number
        timers.append(threading.Timer(GRACE_SECONDS, os._exit, [128 + number]))
        timers[0].daemon = True
        timers[0].start()

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
