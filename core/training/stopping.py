"""Hear SIGTERM (a spot interruption) and its like: ``Run.decide`` then has a checkpoint saved.

AWS's toolkit hands no SIGTERM on; there ``core/container/job.py`` saves every five minutes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Collection, ContextManager, Iterator, Sequence

from ..runtime import opt_ml as container
from ..runtime.errors import Stopped
from ..runtime.signals import heeded
from ..runtime.staging import leave

# SageMaker kills 120 s after SIGTERM, an orchestrator often 30 s after.
GRACE_SECONDS, JOB_GRACE_SECONDS = 25.0, 110.0
# Where nothing is to be lost, Python is given so long to come out of what it is in.
UNHEARD_SECONDS = 3.0
GOES_ON = "the same command resumes from there"
LAST = "the same command resumes from the last one"


def grace() -> float:
    """How many seconds a run may take to end after a signal."""
    return JOB_GRACE_SECONDS if container.in_training_job() else GRACE_SECONDS


@dataclass
class Stop:
    """``signal`` is the number of the signal that asks the run to end.

    ``finish`` asks it to end as if its time were over: with a model. ``begun``: the run has learned
    something by now, or is about to.
    """

    signal: int | None = None
    finish: bool = False
    begun: bool = False

    def interruptible(self, where: str) -> ContextManager[None]:
        """While inside, the run may be ended at once: what it has done is in a checkpoint."""
        return contextlib.nullcontext()


def stopped(number: int, where: str) -> Stopped:
    """What ends a run that signal ``number`` has stopped, ``where`` it then stood."""
    return Stopped(f"stopped by {_name(number)} {where}; {GOES_ON}", number)


@contextmanager
def finish_on_interrupt(stop: Stop) -> Iterator[None]:
    """While inside, SIGINT asks the run to end with the model that it has by then.

    A second one, or one before the run has begun to learn, raises KeyboardInterrupt. Outside the
    main thread, or where it is ignored, nothing is changed.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not heeded(signal.SIGINT):
        yield
        return

    def ask(number: int, frame: object) -> None:
        if stop.finish or not stop.begun:
            raise KeyboardInterrupt
        stop.finish = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def stop_on_signals(
    enabled: bool,
    signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
) -> Iterator[Stop]:
    """While inside, ``signals`` ask for a checkpoint instead of ending the process.

    Where the run is interruptible they end it at once, by Stopped. A second one ends the process;
    so do ``grace()`` seconds without an answer, with the exit code of the signal. A signal that the
    process was started to ignore stays ignored. Not ``enabled``, or outside the main thread,
    nothing is changed.
    """
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield Stop()
        return
    stop = _SignalStop()
    numbers = heeded(*signals)
    before = {number: signal.signal(number, stop.ask) for number in numbers}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(
        target=stop.watch, args=(reader, frozenset(map(int, numbers)), earlier),
        name="algoshelf-signals", daemon=True,
    )  # fmt: skip
    watch.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(earlier)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        watch.join()
        os.close(reader)


class _SignalStop(Stop):
    """Asked by signals. A thread sees to what Python's handlers cannot: they wait for its code.

    mxnet may be in a computation, or wait for another host, for as long as it likes; the thread
    learns of a signal at once (``signal.set_wakeup_fd``), says so, and counts the seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._where = ""  # it is interruptible

    @contextmanager
    def interruptible(self, where: str) -> Iterator[None]:
        self._where = where
        try:
            if self.signal is not None:
                raise stopped(self.signal, where)
            yield
        finally:
            self._where = ""

    def ask(self, number: int, frame: object) -> None:
        """Python's handler."""
        if self.signal is None:
            self.signal = number
            if self._where:
                raise stopped(number, self._where)

    def watch(self, reader: int, numbers: Collection[int], earlier: int) -> None:
        """The thread: ``reader`` gives the number of each signal, until it is closed.

        What came for others goes on to ``earlier``, as it would have without this.
        """
        first, asked = 0, 0.0
        while True:
            ready, _, _ = select.select([reader], [], [], 0.1 if first else None)
            content = os.read(reader, 1) if ready else b""
            if ready and not content:
                return
            if content and content[0] not in numbers:
                if earlier != -1:
                    with contextlib.suppress(OSError):
                        os.write(earlier, content)
            elif content and first:
                self._leave(content[0], "a second signal came before there was a checkpoint")
            elif content:
                first, asked = content[0], time.monotonic()
                _say(f"{_name(first)}: the training ends")
            elif self._where and time.monotonic() > asked + UNHEARD_SECONDS:
                self._leave(first, f"it stands {self._where}; {GOES_ON}")
            elif first and time.monotonic() > asked + grace():
                self._leave(first, f"there was no checkpoint within {grace():g} s; {LAST}")

    def _leave(self, number: int, why: str) -> None:
        _say(f"stopped by {_name(number)}: {why}")
        leave(128 + number)


def _name(number: int) -> str:
    return signal.Signals(number).name


def _say(text: str) -> None:
    """Past Python's buffers, in which the interrupted code may be."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())
