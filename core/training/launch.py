"""``--hosts N``: a scheduler, N servers and N workers here, and one who looks after them.

Whatever happens to one of them ends all, with the reason; nothing outlives the one who looks on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO, Callable, Mapping, Sequence

from .. import mx

# mxnet as scheduler or server serves until the workers are done, and then ends the process.
SERVE = "from algoshelf.core import mx; mx.load()"
# How long the scheduler and the servers may take to end after the last worker.
FAREWELL_SECONDS = 10.0
GRACE_SECONDS = 25.0
SETTLE_SECONDS = 0.5
CHIEF = "worker 0"


def run_hosts(command: Sequence[str], hosts: int, tell: Callable[[str], None]) -> int:
    """Run ``command`` as the worker of each of ``hosts``; the exit code of the first that failed.

    The chief's output is shown; another's only when it fails. SIGINT and SIGTERM are handed on.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    outputs: dict[str, IO[bytes]] = {}
    received: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        received.append(number)
        for name, process in processes.items():
            if name.startswith("worker") and process.poll() is None:
                process.send_signal(number)

    before = {n: signal.signal(n, hand_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        ports = _free_ports(hosts + 1)
        common = {
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_PS_ROOT_PORT": str(ports[0]),
            "DMLC_NODE_HOST": "127.0.0.1",
            "DMLC_NUM_SERVER": str(hosts),
            "DMLC_NUM_WORKER": str(hosts),
            "OMP_NUM_THREADS": str(max(1, mx.threads() // hosts)),
        }
        serve = [sys.executable, "-c", SERVE]
        processes["scheduler"] = _start(serve, {**common, "DMLC_ROLE": "scheduler"})
        for i in range(hosts):
            processes[f"server {i}"] = _start(serve, {**common, "DMLC_ROLE": "server"})
        for i in range(hosts):
            # Ranks go by port, so worker 0 is the chief.
            role = {**common, "DMLC_ROLE": "worker", "PORT": str(ports[1 + i])}
            name = f"worker {i}"
            if i > 0:
                outputs[name] = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
            processes[name] = _start(command, role, outputs.get(name))
        return _look_after(processes, outputs, received, tell)
    finally:
        _end(processes)
        for output in outputs.values():
            output.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _look_after(
    processes: Mapping[str, subprocess.Popen[bytes]],
    outputs: Mapping[str, IO[bytes]],
    received: Sequence[int],
    tell: Callable[[str], None],
) -> int:
    """Wait until every worker is done, or one process has failed."""
    workers = [name for name in processes if name.startswith("worker")]
    asked: float | None = None
    culprit: tuple[str, float] | None = None
    while True:
        codes = {name: process.poll() for name, process in processes.items()}
        now = time.monotonic()
        failed = [name for name, code in codes.items() if code not in (None, 0)]
        if failed and culprit is None:
            culprit = failed[0], now
        if received and asked is None:
            asked = now
        if all(codes[name] is not None for name in workers) and not (culprit and not received):
            return max((_code(codes[name] or 0) for name in workers), default=0)
        if culprit is not None and not received and now - culprit[1] > SETTLE_SECONDS:
            # A fault in the data is every host's: then let the chief, who has been heard, speak.
            name = CHIEF if (codes[culprit[0]] or 0) > 0 and CHIEF in failed else culprit[0]
            return _report(name, codes[name] or 1, outputs, tell)
        if asked is not None and now - asked > GRACE_SECONDS:
            tell(f"the workers did not end within {GRACE_SECONDS:g} s of the signal")
            return 128 + received[0]
        time.sleep(0.05)


def _report(
    name: str, code: int, outputs: Mapping[str, IO[bytes]], tell: Callable[[str], None]
) -> int:
    if name in outputs:
        outputs[name].seek(0)
        tell(outputs[name].read().decode(errors="replace").strip())
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    tell(f"{name} {how}: the job ends")
    return _code(code)


def _code(code: int) -> int:
    return 1 if code < 0 else code


def _start(
    command: Sequence[str], role: Mapping[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    serving = role["DMLC_ROLE"] != "worker"
    return subprocess.Popen(
        command,
        env={**os.environ, **role},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if serving or output else None,
        stderr=output,
        start_new_session=True,  # a terminal's Ctrl-C reaches the one who looks on, who hands it on
        preexec_fn=_die_with_parent,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _end(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Let who is still there end by itself for a moment if all went well, then see to it."""
    failed = any(process.poll() not in (None, 0) for process in processes.values())
    deadline = time.monotonic() + (0.0 if failed else FAREWELL_SECONDS)
    while time.monotonic() < deadline and any(p.poll() is None for p in processes.values()):
        time.sleep(0.02)
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        left = [process for process in processes.values() if process.poll() is None]
        for process in left:
            process.send_signal(number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(p.poll() is None for p in left):
            time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, in rising order."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return sorted(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()
