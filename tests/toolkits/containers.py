"""Containers without Docker: an image is a virtual environment, a container is a set of namespaces.

What a container writes to /etc, /opt and its image goes to memory and vanishes with it; /opt/ml is
a folder of the test's. Its command is process 1, and gets a signal as Docker would give it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Mapping, Sequence, TypeVar

T = TypeVar("T")
ML = "/opt/ml"
PATIENCE = 300.0
# In a mount namespace of its own: WORK, ML_ROOT, HOSTS, PASSWD, LAYERS and MOUNTS are variables.
BEGIN = """
set -e
mount -t tmpfs tmpfs "$WORK"
number=0
for folder in $LAYERS; do
  number=$((number + 1))
  mkdir -p "$WORK/$number/upper" "$WORK/$number/work"
  options="lowerdir=$folder,upperdir=$WORK/$number/upper,workdir=$WORK/$number/work"
  mount -t overlay overlay -o "$options" "$folder"
done
for mount in "/opt/ml=$ML_ROOT" $MOUNTS; do
  mkdir -p "${mount%%=*}"
  mount --bind "${mount#*=}" "${mount%%=*}"
done
printf '127.0.0.1 localhost\\n%s\\n' "$HOSTS" > /etc/hosts
printf '%s\\n' "$PASSWD" >> /etc/passwd
mkdir -p /opt/tmp
chmod 1777 /opt/tmp
unset WORK ML_ROOT HOSTS PASSWD LAYERS MOUNTS
cd /opt
exec "$@"
"""
# What a container inherits: how pip finds packages, how many threads compute, by which kernels.
INHERITED = (
    "PIP_",
    "SSL_",
    "OMP_NUM_THREADS",
    "OPENBLAS_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http",
    "JAVA_HOME",
)
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> str:
    """Why no container can run here; empty where one can."""
    if os.geteuid() != 0:
        return "namespaces need root"
    for program in ("unshare", "ip", "nsenter"):
        if shutil.which(program) is None:
            return f"there is no {program} (Debian: apt-get install util-linux iproute2)"
    with tempfile.TemporaryDirectory() as folder:
        trial = Container(["true"], ml=Path(folder))
        return f"namespaces cannot be made: {trial.log}" if trial.wait() else ""


def missing_java() -> str:
    """Why AWS's model server cannot run here; empty where it can."""
    return "" if shutil.which("java") else "there is no java (Debian: apt-get install default-jre)"


@dataclass(frozen=True)
class Host:
    """A host: its name in the job, its network namespace (or "", this machine's) and address."""

    name: str
    namespace: str
    address: str


@contextmanager
def network(names: Sequence[str] = ("algo-1", "algo-2")) -> Iterator[list[Host]]:
    """Two hosts that reach each other and nothing else."""
    prefix = f"shelf{os.getpid()}"
    hosts = [Host(name, f"{prefix}-{i}", f"10.0.0.{i}") for i, name in enumerate(names, 1)]
    one, two = (host.namespace for host in hosts)
    try:
        for host in hosts:
            _ip("netns", "add", host.namespace)
        _ip("-n", one, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", two)
        for host in hosts:
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host.namespace, "link", "set", device, "up")
        yield hosts
    finally:
        for host in hosts:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", host.namespace)


@contextmanager
def alone() -> Iterator[Host]:
    """A host without any network but its own loopback."""
    host = Host("algo-1", f"shelf{os.getpid()}-alone", "127.0.0.1")
    try:
        _ip("netns", "add", host.namespace)
        _ip("-n", host.namespace, "link", "set", "lo", "up")
        yield host
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "delete", host.namespace)


def within(host: Host, work: Callable[[], T]) -> T:
    """What ``work`` gives in the network of ``host``."""

    def entered() -> T:
        with open(f"/run/netns/{host.namespace}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
        return work()

    with ThreadPoolExecutor(1) as threads:  # a namespace is a thread's
        return threads.submit(entered).result()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


@dataclass
class Container:
    """``command`` under way in namespaces of its own, with ``ml`` as /opt/ml.

    ``image`` is a virtual environment that stands first on PATH; ``host`` and ``hosts`` put it into
    a network, without which it has this machine's. ``mounts`` are folders by where they appear.
    """

    command: Sequence[str]
    ml: Path
    image: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    host: Host | None = None
    hosts: Sequence[Host] = ()
    mounts: Mapping[str, Path] = field(default_factory=dict)
    users: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._work = tempfile.mkdtemp(prefix="algoshelf-container-")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        apart = self.host is not None and self.host.namespace
        entered = ["nsenter", f"--net=/run/netns/{apart}"] if apart else []
        unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.process = subprocess.Popen(
            [*entered, *unshared, "sh", "-c", BEGIN, "sh", *self.command],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=_die_with_parent,
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
        layers = ["/etc", "/opt", *([str(self.image)] if self.image else [])]
        names = {host.name: host.address for host in self.hosts} or {"algo-1": "127.0.0.1"}
        path = f"{self.image}/bin:{SYSTEM_PATH}" if self.image else SYSTEM_PATH
        return {
            **kept,
            "PATH": path,
            "HOME": "/opt/tmp",
            "TMPDIR": "/opt/tmp",
            "TEMP": "/opt/tmp",  # where multi-model-server keeps its sockets
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"),
            **self.environment,
            "WORK": self._work,
            "ML_ROOT": str(self.ml),
            "LAYERS": " ".join(layers),
            "HOSTS": "\n".join(f"{address} {name}" for name, address in names.items()),
            "PASSWD": "\n".join(self.users),
            "MOUNTS": " ".join(f"{target}={source}" for target, source in self.mounts.items()),
        }

    @property
    def log(self) -> str:
        """What it has written so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def signal(self, number: int) -> None:
        """Signal the command, which is process 1 of the container, unless it has ended."""
        with contextlib.suppress(IndexError, ProcessLookupError, FileNotFoundError):
            os.kill(self._first, number)

    @property
    def user(self) -> str:
        """The number of the user whose rights the command has."""
        status = Path(f"/proc/{self._first}/status").read_text()
        return status.split("Uid:")[1].split()[0]

    @property
    def _first(self) -> int:
        """Process 1 of the container, by its number here."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code; after ``timeout`` seconds it is killed, and TimeoutExpired is raised."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still running after {timeout:g} s:\n{self.log}") from error
        finally:
            self.close(keep_log=True)

    def close(self, *, keep_log: bool = False) -> None:
        """Kill what is still there."""
        if self.process.poll() is None:
            self.process.kill()  # unshare takes process 1 along, and that all others
            self.process.wait()
        with contextlib.suppress(OSError):
            os.rmdir(self._work)
        if not keep_log:
            self._log.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":  # for `make toolkits-lack`
    print("\n".join(filter(None, (missing(), missing_java()))), end="")
