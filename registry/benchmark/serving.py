"""Measure serving: the cold start of `algoshelf serve`, and its latency under load."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

from ...core.artifact.folder import Artifact
from ...core.benchmark import Record, Run
from ...core.benchmark.machine import processor
from ...core.runtime.children import ask, start
from ...core.runtime.cores import cores
from ...core.runtime.errors import TrainingError

PATH = "/invocations"
WARM_UP_SECONDS = 2.0
READY_SECONDS = 300.0
ASK_AGAIN_SECONDS = 0.01


def measure_serving(
    trained: Record,
    model: Path,
    repeats: int,
    *,
    connections: Sequence[int],
    seconds: float,
    tell: Callable[[str], None],
) -> Iterator[Record]:
    """How the model of the record ``trained`` is served, by a new server ``repeats`` times; the
    record of all that were measured so far, after each.

    Each answers the model's own example, under 1, 2, … ``connections``, for ``seconds`` after a
    warm-up. Client and server share this machine's cores. A server that fails is a failed run.
    """
    example = Artifact.open(model).metadata.example
    devices = "cpu" if not trained.on_gpus else trained.devices
    runs: list[Run] = []
    for number in range(1, repeats + 1):
        tell(f"server {number} of {repeats}: {trained.algorithm} on {devices}")
        try:
            with _server(model, devices) as server:
                answered = _first_answer(server.port, example)
                figures = {"cold_start_seconds": answered - server.started}
                for count in connections:
                    found = _load(server.port, example, count, seconds)
                    figures.update((f"{name}@{count}", value) for name, value in found.items())
                notes = [note for note in [server.workers()] if note]
            runs.append(Run(seed=number, figures=figures, notes=notes))
            tell(f"  {figures['cold_start_seconds']:.2f} s to the first answer")
        except (TrainingError, OSError) as error:
            runs.append(Run(seed=number, failure=str(error).replace(str(model), "MODEL")))
            tell(f"  failed: {error}")
        yield trained.model_copy(update={"kind": "serving", "devices": devices, "runs": [*runs]})


@dataclass(frozen=True)
class Level:
    """So many ``connections`` at once: requests a ``rate`` a second, 99 of 100 within ``p99`` s."""

    connections: int
    rate: float
    p99: float
    failed: int


@dataclass(frozen=True)
class Capacity:
    """What a server of a model answers on this machine, by the number of connections.

    ``memory`` is MiB of each worker, the server's own shared among them; 0 where it is unknown.
    """

    algorithm: str
    processor: str
    cores: int
    workers: int
    memory: float
    levels: tuple[Level, ...]

    @classmethod
    def read(cls, text: str) -> Capacity:
        """As ``json`` wrote it. Raises ValueError."""
        try:
            found = json.loads(text)
            levels = tuple(Level(**each) for each in found.pop("levels"))
            made = cls(**found, levels=levels)
            if not levels or min(made.cores, made.workers, *(each.rate for each in levels)) <= 0:
                raise ValueError
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError('expected what `recommend --json` writes as "measured"') from None
        return made


def capacity(
    model: Path, *, connections: Sequence[int], seconds: float, tell: Callable[[str], None]
) -> Capacity:
    """What a new server answers with the model's own example, each number of ``connections`` for
    ``seconds`` after a warm-up. Client and server share this machine's cores.

    Raises ArtifactError, TrainingError where it does not answer.
    """
    metadata = Artifact.open(model).metadata
    with _server(model, "cpu") as server:
        _first_answer(server.port, metadata.example)
        levels = []
        for count in connections:
            found = _load(server.port, metadata.example, count, seconds)
            level = Level(
                count,
                found["requests_per_second"],
                found.get("p99_ms", math.inf) / 1000,
                int(found["failed_requests"]),
            )
            levels.append(level)
            tell(f"{count} at once: {level.rate:,.1f} requests/s, p99 {level.p99 * 1000:.1f} ms")
        said = server.workers()
        workers = int((re.match(r"([0-9]+) workers?", said) or ["", "1"])[1])
        memory = _memory(server.pid) / workers
    return Capacity(
        metadata.algorithm, processor(), cores(), workers, round(memory, 1), tuple(levels)
    )


@dataclass(frozen=True)
class _Server:
    port: int
    started: float
    pid: int
    workers: Callable[[], str]  # ``2 workers on cpu, 1 thread each``, once it is ready


@contextlib.contextmanager
def _server(model: Path, devices: str) -> Iterator[_Server]:
    """One that is ready."""
    command = [sys.executable, "-m", "algoshelf.registry.cli", "serve", str(model)]
    with tempfile.TemporaryFile() as log:
        started = time.monotonic()
        process = start([*command, "--port", "0", "--devices", devices], stdout=log, stderr=log)

        def said() -> str:
            log.seek(0)
            return log.read().decode(errors="replace")

        try:
            deadline = started + READY_SECONDS
            while not (port := re.search(r"^loading .* at http://\S+:(\d+)$", said(), re.M)):
                _check_alive(process, said, deadline)
                time.sleep(ASK_AGAIN_SECONDS)
            while not _is_ready(int(port[1])):
                _check_alive(process, said, deadline)
                time.sleep(ASK_AGAIN_SECONDS)
            yield _Server(int(port[1]), started, process.pid, lambda: _workers(said()))
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _memory(pid: int) -> float:
    """MiB of a process and those below it, what they share counted once; 0 where Linux is not."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    own = re.search(r"^Pss: +([0-9]+) kB$", text, re.M)
    return (int(own[1]) / 1024 if own else 0.0) + sum(_memory(int(child)) for child in children)


def _workers(log: str) -> str:
    """``2 workers on cpu, 1 thread each``."""
    found = re.search(r"^ready at [^ ]+: ([^;]*)", log, re.M)
    return found[1] if found else ""


def _check_alive(process: subprocess.Popen[bytes], said: Callable[[], str], until: float) -> None:
    if process.poll() is not None or time.monotonic() > until:
        raise TrainingError(f"the server does not get ready: {said().strip()[-1000:]}")


def _is_ready(port: int) -> bool:
    ping = f"http://127.0.0.1:{port}/ping"
    with contextlib.suppress(OSError), urllib.request.urlopen(ping, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def _first_answer(port: int, example: Any) -> float:
    """When the first request was answered."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{PATH}",
        example.body.encode(),
        {"Content-Type": example.content_type},
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        raise TrainingError(f"the server answers {error.code} to its own example") from None
    return time.monotonic()


def _load(port: int, example: Any, connections: int, seconds: float) -> dict[str, float]:
    job = {
        "port": port,
        "path": PATH,
        "content_type": example.content_type,
        "body": example.body,
        "connections": connections,
        "warm_up": min(WARM_UP_SECONDS, seconds),
        "seconds": seconds,
    }
    done = ask(["-m", "algoshelf.registry.benchmark.load"], job)
    if done.code or done.answer is None:
        raise TrainingError(f"the load of {connections} connections failed: see above")
    found: dict[str, float] = done.answer
    return found
