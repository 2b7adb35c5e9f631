"""Start and supervise the processes of a training on several hosts.

``--hosts N`` starts a scheduler, N servers and N workers here. In a SageMaker container, whose
``resourceconfig.json`` names the hosts, each host starts a server and a worker, and the first of
them the scheduler. Where AWS's toolkit has started scheduler and servers, DMLC_ROLE says so, and
nothing of this is used. Whatever happens to one of them ends all, with the reason; nothing outlives
the one who looks on.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO, Callable, Mapping, Sequence

from ..runtime import mx
from ..runtime.children import start
from ..runtime.errors import TrainingError
from ..runtime.opt_ml import Hosts, report_failure
from ..runtime.signals import heeded
from .peers import NAME_VARIABLE
from .peers import PORT_VARIABLE as PEERS_PORT_VARIABLE
from .stopping import grace

# mxnet as scheduler or server serves until the workers are done, and then ends the process.
SERVE = "from algoshelf.core import mx; mx.load()"
# How long the scheduler and the servers may take to end after the last worker.
FAREWELL_SECONDS = 10.0
SETTLE_SECONDS = 0.5
# Where the scheduler of a SageMaker job listens; the container's network is the job's own.
SCHEDULER_PORT = 9092
PORT_VARIABLE = "ALGOSHELF_SCHEDULER_PORT"


def run_hosts(command: Sequence[str], hosts: int, tell: Callable[[str], None]) -> int:
    """Run ``command`` as the worker of each of ``hosts`` here.

    Returns the exit code of the first that failed. The chief's output is shown; another's only when
    it fails. SIGINT, SIGTERM and SIGHUP are handed on.
    """
    port, line, *own = _free_ports(hosts + 2)
    common = {
        **_cluster("127.0.0.1", "127.0.0.1", port, hosts),
        PEERS_PORT_VARIABLE: str(line),
        "OMP_NUM_THREADS": _share(hosts),
    }
    with Processes(tell) as processes:
        processes.serve("scheduler", common)
        for i in range(hosts):
            processes.serve(f"server {i}", common)
        for i in range(hosts):
            # Ranks go by port, so worker 0 is the chief.
            processes.work(f"worker {i}", command, {**common, "PORT": str(own[i])}, shown=i == 0)
        return processes.look_after()


def run_host(command: Sequence[str], hosts: Hosts, tell: Callable[[str], None]) -> int:
    """Run ``command`` as this host's worker of a job whose other hosts do the same."""
    try:
        here, root = (socket.gethostbyname(name) for name in (hosts.current, hosts.first))
    except OSError as error:
        raise TrainingError(f"a host of {hosts.names} has no address: {error}") from None
    port = int(os.environ.get(PORT_VARIABLE, SCHEDULER_PORT))
    common = _cluster(root, here, port, len(hosts.names))
    with Processes(tell) as processes:
        if hosts.current == hosts.first:
            processes.serve("scheduler", common)
        processes.serve(f"server of {hosts.current}", common)
        own = {**common, NAME_VARIABLE: hosts.current}
        processes.work(f"worker of {hosts.current}", command, own, shown=True)
        return processes.look_after()


def _cluster(root: str, here: str, port: int, hosts: int) -> dict[str, str]:
    """The environment by which the processes of a job find one another."""
    return {
        "DMLC_PS_ROOT_URI": root,
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NODE_HOST": here,
        "DMLC_NUM_SERVER": str(hosts),
        "DMLC_NUM_WORKER": str(hosts),
    }


def _share(hosts: int) -> str:
    return str(max(1, mx.threads() // hosts))


class Processes:
    """Processes that end together: with the first that fails, on a signal, or with this one."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._outputs: dict[str, IO[bytes]] = {}
        self._workers: list[str] = []
        self._received: list[int] = []

    def __enter__(self) -> Processes:
        handled = heeded(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._hand_on) for number in handled}
        return self

    def __exit__(self, *_: object) -> None:
        _end(list(self._running.values()))
        for output in self._outputs.values():
            output.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def serve(self, name: str, environment: Mapping[str, str]) -> None:
        """Start a scheduler or a server, as ``name`` begins."""
        role = {**environment, "DMLC_ROLE": name.split()[0]}
        command = [sys.executable, "-c", SERVE]
        self._running[name] = start(command, role, stdout=subprocess.DEVNULL)

    def work(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, shown: bool
    ) -> None:
        """Start a worker; what one that is not ``shown`` says is told if it fails."""
        role = {NAME_VARIABLE: name, **environment, "DMLC_ROLE": "worker"}
        said = None
        if not shown:
            said = self._outputs[name] = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        quiet = None if shown else subprocess.DEVNULL
        self._running[name] = start(command, role, stdout=quiet, stderr=said)
        self._workers.append(name)

    def _hand_on(self, number: int, frame: object) -> None:
        self._received.append(number)
        for name in self._workers:
            if self._running[name].poll() is None:
                self._running[name].send_signal(number)

    def look_after(self) -> int:
        """Wait until every worker is done, or one process has failed; the exit code."""
        asked: float | None = None
        culprit: tuple[str, float] | None = None
        while True:
            codes = {name: process.poll() for name, process in self._running.items()}
            now = time.monotonic()
            failed = [name for name, code in codes.items() if code not in (None, 0)]
            if failed and culprit is None:
                culprit = failed[0], now
            if self._received and asked is None:
                asked = now
            ended = all(codes[name] is not None for name in self._workers)
            if ended and not (culprit and not self._received):
                return max((_code(codes[name] or 0) for name in self._workers), default=0)
            if culprit is not None and not self._received and now - culprit[1] > SETTLE_SECONDS:
                # A fault in the data is every host's: let the chief, who has been heard, speak.
                chief = self._workers[0] if self._workers else ""
                name = chief if (codes[culprit[0]] or 0) > 0 and chief in failed else culprit[0]
                return self._report(name, codes[name] or 1)
            if asked is not None and now - asked > grace() + SETTLE_SECONDS:
                self.tell(f"the workers did not end within {grace():g} s of the signal")
                return 128 + self._received[0]
            time.sleep(0.05)

    def _report(self, name: str, code: int) -> int:
        if name in self._outputs:
            self._outputs[name].seek(0)
            self.tell(self._outputs[name].read().decode(errors="replace").strip())
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        reason = f"{name} {how}: the job ends"
        self.tell(reason)
        report_failure(reason)
        return _code(code)


def _code(code: int) -> int:
    return 1 if code < 0 else code


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let who is still there end by itself for a moment if all went well, then see to it."""
    failed = any(process.poll() not in (None, 0) for process in processes)
    deadline = time.monotonic() + (0.0 if failed else FAREWELL_SECONDS)
    while time.monotonic() < deadline and any(p.poll() is None for p in processes):
        time.sleep(0.02)
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        left = [process for process in processes if process.poll() is None]
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
