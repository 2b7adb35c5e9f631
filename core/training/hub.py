"""The hub of a job's hosts: it hears every one, and hands on what each says to all the others.

It says at once which of them failed, ended, or has fallen silent.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from .line import Line, beat_seconds

# Who connects and does not say at once that it is a host is none.
GREETING_SECONDS = 10.0


@dataclass
class _Guest:
    """A host as the hub sees it: for ``idle`` seconds it has done nothing but wait for ``what``."""

    line: Line
    name: str
    number: int = -1
    idle: float = 0.0
    what: str = ""
    ended: bool = False


@dataclass
class _Round:
    """What the hosts say at one place of the program."""

    what: str
    to: int | None
    bodies: dict[int, bytearray] = field(default_factory=dict)


class Hub:
    """Hears ``count`` hosts at ``listener``, and hands on what they say; on the host ``name``."""

    def __init__(self, listener: socket.socket, name: str, count: int, timeout: float) -> None:
        self._listener, self._name = listener, name
        self._count, self._timeout = count, timeout
        self._lock = threading.RLock()
        self._guests: list[_Guest] = []
        self._rounds: dict[int, _Round] = {}
        self._begun = False
        for work in (self._admit, self._watch):
            threading.Thread(target=work, name="algoshelf-hub", daemon=True).start()

    def _admit(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._hear, args=(stream,), name="algoshelf-hub", daemon=True
            ).start()

    def _hear(self, stream: socket.socket) -> None:
        """All that one host says, until it ends."""
        line = Line(stream, self._timeout)
        try:
            stream.settimeout(GREETING_SECONDS)
            guest = self._greet(line)
            if guest is None:
                return
            stream.settimeout(None)
            while True:
                received = line.receive()
                if received is None:
                    break
                message, body = received
                if message["kind"] == "end":
                    self._end(guest, message["reason"], message["code"], well=message["well"])
                    return
                with self._lock:
                    guest.idle = message.get("idle", 0.0)
                    guest.what = message.get("what", guest.what)
                if message["kind"] == "round":
                    self._take(guest, message, body)
            self._end(guest, "has died: its connection is closed", 1, well=False)
        except (OSError, ValueError, LookupError) as error:  # a stranger, or a host that is gone
            known = next((each for each in self._guests if each.line is line), None)
            if known is not None:
                died = isinstance(error, ConnectionResetError)  # with something left unread
                why = "has died: its connection is closed" if died else "cannot be reached any more"
                self._end(known, why, 1, well=False)
        finally:
            line.close()

    def _greet(self, line: Line) -> _Guest | None:
        received = line.receive(most=0)
        if received is None or received[0].get("kind") != "hello":
            return None
        guest = _Guest(line, str(received[0]["name"]))
        with self._lock:
            if self._begun:
                line.send({"kind": "full", "hosts": self._count})
                return None
            self._guests.append(guest)
            here = [each.name for each in self._guests]
            self._begun = len(here) == self._count
            self._guests.sort(key=lambda each: each.name)
            for number, each in enumerate(self._guests):
                each.number = number
            names = [each.name for each in self._guests]
            for each in self._guests:
                kind = "begin" if self._begun else "present"
                told = {"kind": kind, "number": each.number, "names": names, "hub": self._name}
                self._send(each, told)
        return guest

    def _take(self, guest: _Guest, message: dict[str, Any], body: bytearray) -> None:
        """What a host says in a round; when all have, they are told."""
        with self._lock:
            number, what = message["round"], message["what"]
            current = self._rounds.setdefault(number, _Round(what, message["to"]))
            if what != current.what:
                self._fail(
                    f"the hosts are at different places: {guest.name} at {what!r}, others at "
                    f"{current.what!r}. Start all with the same settings and the same software"
                )
                return
            current.bodies[guest.number] = body
            if len(current.bodies) < self._count:
                return
            del self._rounds[number]
            bodies = [current.bodies[each.number] for each in self._guests]
        whole = b"".join(bodies)
        sizes = [len(each) for each in bodies]
        for each in self._guests:
            meant = current.to in (None, each.number)
            told = {"kind": "result", "round": number, "sizes": sizes if meant else []}
            self._send(each, told, whole if meant else b"")

    def _end(self, guest: _Guest, reason: str, code: int, *, well: bool) -> None:
        with self._lock:
            if guest.ended:
                return
            if not self._begun:  # it may come again
                self._guests.remove(guest)
                return
            guest.ended = True
            told = {
                "kind": "ended", "number": guest.number, "reason": reason, "code": code,
                "well": well,
            }  # fmt: skip
            for each in self._guests:
                if not each.ended:
                    self._send(each, told)

    def _fail(self, reason: str) -> None:
        for each in self._guests:
            if not each.ended:
                self._send(each, {"kind": "fail", "reason": reason})

    def _send(
        self, guest: _Guest, message: dict[str, Any], body: bytes = b"", *, wait: bool = True
    ) -> None:
        with contextlib.suppress(OSError):  # whoever reads its line sees that it is gone
            guest.line.send(message, body, wait=wait)

    def _watch(self) -> None:
        """Say that this host lives, and see to it that the others do."""
        while True:
            time.sleep(beat_seconds(self._timeout))
            with self._lock:
                here = [each for each in self._guests if not each.ended]
            for each in here:
                self._send(each, {"kind": "beat"}, wait=False)
            if not self._begun:
                continue
            if not here:  # all have ended
                with contextlib.suppress(OSError):
                    self._listener.shutdown(socket.SHUT_RDWR)  # which ends its accept
                self._listener.close()
                return
            now = time.monotonic()
            for each in here:
                if now - each.line.heard > self._timeout:
                    reason = f"has said nothing for {self._timeout:g} s: it hangs, or is cut off"
                    self._end(each, reason, 1, well=False)
            if min(each.idle for each in here) > self._timeout:
                waits = "; ".join(f"{each.name} for {each.what}" for each in here)
                self._fail(
                    f"all hosts have waited for more than {self._timeout:g} s ({waits}): "
                    "the parameter server does not answer"
                )
