"""The line of a job's hosts beside the parameter server: exact values, and who is still there.

A KVStore adds float32 and waits for a host that is gone without an end. So one host, whichever on
the scheduler's machine comes first, is the hub: it hears every host, hands on what each says to all
the others, and says at once which of them failed, ended, or has fallen silent.

A message is ``>4sIQ`` (MAGIC, the length of a JSON object, that of a body), the object, the body.
Nothing is unpickled. Like the parameter server's own, the line trusts the network of the job.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ..runtime import opt_ml as container
from ..runtime.errors import TrainingError
from ..runtime.staging import leave

PORT_VARIABLE = "ALGOSHELF_PEERS_PORT"
NAME_VARIABLE = "ALGOSHELF_HOST"
MAGIC = b"ASH1"
HEADER = struct.Struct(">4sIQ")
MOST_OBJECT = 2**20
MOST_BODY = 2**36
MOST_REASON = 4000  # characters
MOST_BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.1
# After one host has failed: how long another may go on to find its own fault, waiting or working.
SETTLE_SECONDS, WORK_SECONDS = 0.5, 10.0
# A host that waits for one that has ended well waits for nothing.
LEFT_SECONDS = 10.0
FAREWELL_SECONDS = 3.0
# Who connects and does not say at once that it is a host is none.
GREETING_SECONDS = 10.0
# One that uses less of a core than this while it waits does nothing but wait.
IDLE_PART = 0.1
CHUNK = 2**20


class Ended(NamedTuple):
    """How a host ended: ``well`` or with an exit code, with what reason, and when it was heard."""

    reason: str
    code: int
    well: bool
    at: float


class Line:
    """One connection: whole messages, from any thread."""

    def __init__(self, stream: socket.socket, timeout: float) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seconds = max(1, int(timeout))  # whoever does not read for so long is gone
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))
        self._stream = stream
        self._lock = threading.Lock()
        self.heard = time.monotonic()

    def send(self, message: dict[str, Any], body: bytes = b"", *, wait: bool = True) -> None:
        """Send ``message``; without ``wait`` nothing is sent while another message is under way."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            text = json.dumps(message).encode()
            self._stream.sendall(HEADER.pack(MAGIC, len(text), len(body)) + text)
            if body:
                self._stream.sendall(body)
        finally:
            self._lock.release()

    def receive(self, most: int = MOST_BODY) -> tuple[dict[str, Any], bytearray] | None:
        """The next message; None at the end of the connection.

        Raises ValueError for other data, and for a body of more than ``most`` bytes.
        """
        head = self._read(HEADER.size)
        if head is None:
            return None
        magic, length, size = HEADER.unpack(bytes(head))
        if magic != MAGIC or length > MOST_OBJECT or size > most:
            raise ValueError("no message of algoshelf's")
        text, body = self._read(length), self._read(size)
        if text is None or body is None:
            return None
        message = json.loads(bytes(text))
        if not isinstance(message, dict):
            raise ValueError("no message of algoshelf's")
        return message, body

    def _read(self, size: int) -> bytearray | None:
        found = bytearray()
        while len(found) < size:
            part = self._stream.recv(min(CHUNK, size - len(found)))
            if not part:
                return None
            found += part
            self.heard = time.monotonic()
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()


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
            time.sleep(min(MOST_BEAT_SECONDS, self._timeout / 5))
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
        told = {"kind": "end", "reason": reason[:MOST_REASON], "code": code, "well": well}
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
                raise TrainingError(f"{host}:{port}: cannot be listened at: {error}") from None
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
        interval = min(MOST_BEAT_SECONDS, self._timeout / 5)
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
