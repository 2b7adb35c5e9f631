"""The connection between a job's hosts beside the parameter server: exact values, and heartbeats.

A KVStore adds float32 and waits for a host that is gone without an end. So one host, whichever on
the scheduler's machine comes first, is the hub: it hears every host, hands on what each says to all
the others, and says at once which of them failed, ended, or has fallen silent.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ..runtime import opt_ml as container
from ..runtime.errors import TrainingError
from ..runtime.staging import leave
from .hub import Hub
from .line import Line, beat_seconds

PORT_VARIABLE = "ALGOSHELF_PEERS_PORT"
NAME_VARIABLE = "ALGOSHELF_HOST"
MAX_REASON = 4000  # characters
LOOK_SECONDS = 0.1
# After one host has failed: how long another may go on to find its own fault, waiting or working.
SETTLE_SECONDS, WORK_SECONDS = 0.5, 10.0
# A host that waits for one that has ended well waits for nothing.
LEFT_SECONDS = 10.0
FAREWELL_SECONDS = 3.0
# One that uses less of a core than this while it waits does nothing but wait.
IDLE_PART = 0.1


class Ended(NamedTuple):
    """How a host ended: ``well`` or with an exit code, with what reason, and when it was heard."""

    reason: str
    code: int
    well: bool
    at: float


class Peers:
    """The end of the line that is this host's.

    ``number`` is its place among ``names``, all hosts in alphabetical order. Where the job cannot
    go on, ``fail`` is told why, and the process ends at once: mxnet's own exit would wait for the
    other hosts for ever. Raises TrainingError where the hosts do not find one another within
    ``timeout`` seconds, with those that are missing.
    """

    def __init__(self, count: int, timeout: float, fail: Callable[[str], None]) -> None:
        self.names: list[str] = []
        self.number = 0
        self._count, self._timeout, self._fail = count, timeout, fail
        self._changed = threading.Condition()
        self._begun = False
        self._round = 0
        self._results: dict[int, list[bytes]] = {}
        self._ended: dict[int, Ended] = {}
        self._waits: tuple[float, str] | None = None
        self._idle_since = time.monotonic()
        self._leaving = False
        self._doomed = ""
        self._hub = "the host that connects the others"
        self._line = self._connect(name_of_this_host())
        threading.Thread(target=self._listen, name="algoshelf-peers", daemon=True).start()
        self._await_all()
        threading.Thread(target=self._watch, name="algoshelf-peers", daemon=True).start()

    def exchange(self, body: bytes, what: str, to: int | None = None) -> list[bytes]:
        """What every host gives at this place, in the order of ``names``.

        Every host calls it at the same place, with the same ``what`` and ``to``: the number of the
        only one that is to know, the others get nothing.
        """
        self._round += 1
        with self.waiting(what):
            message = {"kind": "round", "round": self._round, "what": what, "to": to}
            with contextlib.suppress(OSError):  # the hub is gone: _watch says so
                self._line.send(message, body)
            with self._changed:
                self._changed.wait_for(lambda: self._round in self._results)
                return self._results.pop(self._round)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """While inside, this host depends on the others: ``what`` it waits for."""
        before, self._waits = self._waits, (time.monotonic(), what)
        try:
            yield
        finally:
            self._waits = before

    def leave(self, reason: str, code: int, *, well: bool) -> None:
        """Tell the others that this host ends, and how; returns when they have been told."""
        self._leaving = True
        told = {"kind": "end", "reason": reason[:MAX_REASON], "code": code, "well": well}
        with contextlib.suppress(OSError):
            self._line.send(told)
        deadline = time.monotonic() + FAREWELL_SECONDS
        with self._changed:  # until the hub, which may be of this process, has closed the line
            self._changed.wait_for(lambda: bool(self._doomed), deadline - time.monotonic())
        self._line.close()

    def _connect(self, name: str) -> Line:
        host, port = _address()
        deadline = time.monotonic() + self._timeout
        while True:
            self._offer_hub(host, port, name)
            try:
                stream = socket.create_connection((host, port), max(0.1, self._timeout))
                if stream.getsockname() == stream.getpeername():  # so it is with nobody there
                    stream.close()
                    continue
                stream.settimeout(None)
                line = Line(stream, self._timeout)
                line.send({"kind": "hello", "name": name})
                return line
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TrainingError(
                        f"no answer from the other hosts: none is at {host}:{port} within "
                        f"{self._timeout:g} s ({error.strerror or error})"
                    ) from None
            time.sleep(LOOK_SECONDS)

    def _offer_hub(self, host: str, port: int, name: str) -> None:
        """Be the hub, where the address is this machine's and no other host is it."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(self._count)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise TrainingError(f"{host}:{port}: cannot be listened on: {error}") from None
            return
        Hub(listener, name, self._count, self._timeout)

    def _await_all(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._begun or bool(self._doomed), self._timeout)
        if not self._begun:
            raise TrainingError(self._doomed or self._missing())

    def _missing(self) -> str:
        hosts = container.hosts()
        missing = sorted({*(hosts.names if hosts else ())} - {*self.names})
        return (
            f"no answer from the other hosts for {self._timeout:g} s, while waiting for the other "
            f"hosts to begin: {len(self.names)} of {self._count} are here "
            f"({', '.join(self.names) or 'none'})"
            + (f", {', '.join(missing)} missing" if missing else "")
        )

    def _listen(self) -> None:
        try:
            while True:
                received = self._line.receive()
                if received is None:
                    break
                self._understand(*received)
        except (OSError, ValueError):
            pass
        self._doom(f"{self._hub} has died, or cannot be reached: the job ends")

    def _understand(self, message: dict[str, Any], body: bytearray) -> None:
        kind = message["kind"]
        if kind == "fail":
            self._doom(message["reason"])
        elif kind == "full":
            self._doom(f"the {message['hosts']} hosts of the job are there already")
        with self._changed:
            if kind in ("present", "begin"):
                self.names, self.number = message["names"], message["number"]
                self._hub = message["hub"]
                self._begun = kind == "begin"
            elif kind == "result":
                self._results[message["round"]] = _parts(body, message["sizes"])
            elif kind == "ended":
                self._ended[message["number"]] = Ended(
                    message["reason"], message["code"], message["well"], time.monotonic()
                )
            self._changed.notify_all()

    def _doom(self, reason: str) -> None:
        with self._changed:
            self._doomed = self._doomed or reason
            self._changed.notify_all()

    def _watch(self) -> None:
        """Say that this host lives, and end it where the others do not."""
        beaten = spent = 0.0
        interval = beat_seconds(self._timeout)
        while not self._leaving:
            now, waits = time.monotonic(), self._waits
            if now - beaten >= interval:
                used = time.process_time()
                if waits is None or used - spent > IDLE_PART * (now - beaten):
                    self._idle_since = now
                beaten, spent = now, used
                self._beat(now, waits)
            verdict = self._verdict(now, waits)
            if verdict is not None and not self._leaving:
                self._fail(verdict[0])
                leave(verdict[1])
            time.sleep(LOOK_SECONDS)

    def _beat(self, now: float, waits: tuple[float, str] | None) -> None:
        idle = 0.0 if waits is None else now - max(self._idle_since, waits[0])
        message = {"kind": "beat", "idle": idle, "what": waits[1] if waits else ""}
        with contextlib.suppress(OSError):
            self._line.send(message, wait=False)

    def _verdict(self, now: float, waits: tuple[float, str] | None) -> tuple[str, int] | None:
        """Why this host has to end, and its exit code; None where all is well."""
        during = f", while waiting for {waits[1]}" if waits else ""
        for number, ended in sorted(self._ended.items()):
            waited = 0.0 if waits is None else now - max(waits[0], ended.at)
            patience = LEFT_SECONDS if ended.well else SETTLE_SECONDS
            worked_on = not ended.well and now - ended.at > WORK_SECONDS
            if waited > patience or worked_on:
                how = ended.reason or "has ended"
                reason = f"{self.names[number]} {how}: the job ends"
                return f"{reason}{during if ended.well else ''}", ended.code or 1
        if self._ended:  # the hub may be one of them
            return None
        if self._doomed:
            return f"{self._doomed}{during}", 1
        if now - self._line.heard > self._timeout:
            return (
                f"no answer from the other hosts for {self._timeout:g} s{during}: {self._hub}, "
                "which connects them, hangs or is cut off"
            ), 1
        return None


def name_of_this_host() -> str:
    """What the others call this host: as the launcher or SageMaker does, or by its process."""
    hosts = container.hosts()
    given = os.environ.get(NAME_VARIABLE) or (hosts.current if hosts else "")
    return given or f"{socket.gethostname()} (process {os.getpid()})"


def _address() -> tuple[str, int]:
    """Where the hub listens: on the scheduler's machine, one port on where nothing else is said."""
    root = os.environ["DMLC_PS_ROOT_URI"]
    port = os.environ.get(PORT_VARIABLE) or int(os.environ["DMLC_PS_ROOT_PORT"]) + 1
    try:
        return socket.gethostbyname(root), int(port)
    except OSError as error:
        raise TrainingError(f"DMLC_PS_ROOT_URI {root!r}: has no address: {error}") from None


def _parts(body: bytearray, sizes: Sequence[int]) -> list[bytes]:
    parts, start = [], 0
    for size in sizes:
        parts.append(bytes(body[start : start + size]))
        start += size
    return parts
