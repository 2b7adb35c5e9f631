"""The servers that are measured: algoshelf's own, and its peers; each starts, gets ready, ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from command import ALGOSHELF
from load_client import load
from workloads import Workload

PEERS = Path(__file__).with_name("peers")
WORKERS = 2
READY_SECONDS = 120.0
MAX_WARM_UPS = 15  # of two seconds
# What AWS's toolkit sets for its workers; gunicorn's get the same.
ONE_THREAD = {
    "MXNET_CPU_WORKER_NTHREADS": "1",
    "MXNET_CPU_PRIORITY_NTHREADS": "1",
    "OMP_NUM_THREADS": "1",
}
# The toolkit's `serve`, except that its configuration goes where no root is needed.
AWS_SERVE = """
import os
from sagemaker_inference import model_server
from sagemaker_mxnet_serving_container import serving
model_server.MMS_CONFIG_FILE = os.path.join(os.environ["TMPDIR"], "sagemaker-mms.properties")
serving.main()
"""


@dataclass(frozen=True)
class Server:
    port: int
    pid: int


@contextlib.contextmanager
def own(models: Sequence[str], options: Sequence[str] = ()) -> Iterator[Server]:
    """``algoshelf serve``: ``models`` are folders or NAME=FOLDER."""
    port = _free_port()
    command = [ALGOSHELF, "serve", *models, "--port", str(port), *options]
    with _running(command, port, {}) as server:
        yield server


@contextlib.contextmanager
def multi_model_server(python: str, work: Workload, model: Path) -> Iterator[Server]:
    """AWS's MXNet serving toolkit on multi-model-server, as its image starts it."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="mms-") as folder:
        served = shutil.copytree(model, Path(folder, "base", "model"))
        (served / "code").mkdir()
        shutil.copy(PEERS / f"{work.entry}.py", served / "code" / "inference.py")
        environment = {
            "SAGEMAKER_BASE_DIR": str(served.parent),
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": str(WORKERS),
            "AWS_DEFAULT_REGION": "us-east-1",
            "TMPDIR": folder,
            "TEMP": folder,
            "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with _running([python, "-c", AWS_SERVE], port, environment, Path(folder)) as server:
            yield server


@contextlib.contextmanager
def flask(python: str, work: Workload, model: Path) -> Iterator[Server]:
    """gunicorn's synchronous workers with Flask."""
    port = _free_port()
    command = [
        python, "-m", "gunicorn", "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}",
        "--chdir", str(PEERS), "flask_app:app",
    ]  # fmt: skip
    environment = {**ONE_THREAD, "ENTRY": work.entry, "MODEL": str(model.resolve())}
    with _running(command, port, environment) as server:
        yield server


def warm_up(server: Server, requests: Sequence[bytes]) -> None:
    """Load it until it gets no faster: Java compiles while it runs, and some servers load the
    model with their first request.
    """
    best = 0.0
    for _ in range(MAX_WARM_UPS):
        found = load(server.port, 4 * WORKERS, requests, seconds=2).figures
        if not found["failed"] and 0 < found["rate"] < 1.05 * best:
            return
        best = max(best, found["rate"])
    if found["failed"] or not found["rate"]:
        raise SystemExit(
            f"the server does not answer well: {found['failures'][:3] or 'it is silent'}"
        )


def _free_port() -> int:
    for port in range(18080, 28080):  # multi-model-server takes none above 32767
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise SystemExit("no port is free")


@contextlib.contextmanager
def _running(
    command: Sequence[str], port: int, environment: dict[str, str], folder: Path | None = None
) -> Iterator[Server]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**_inherited(), **environment},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            if not _is_ready(process, port):
                log.seek(0)
                said = log.read().decode()[-3000:]
                raise SystemExit(f"{command[0]} does not serve ({process.poll()}):\n{said}")
            yield Server(port, process.pid)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Java outlives what started it
            process.wait()


def _inherited() -> dict[str, str]:
    """The environment, without what mxnet, which is loaded here too, was told by it."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "MXNET_"))
    }


def _is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    ping = f"http://127.0.0.1:{port}/ping"
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(ping, timeout=2):
            return True
        time.sleep(0.1)
    return False
