"""`algoshelf web --local`, as a process, and models to ask."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.conftest import Algoshelf
from tests.core.serving.page.conftest import hostile_model, reviews_model

__all__ = ["hostile_model", "reviews_model"]

PATIENCE = 60.0


@dataclass
class Chain:
    """A running chain: gateway, handler and endpoint."""

    folder: Path
    process: Any
    port: int = 0
    endpoint: int = 0  # the port of `algoshelf serve`
    log: list[str] = field(default_factory=list)

    @property
    def kept(self) -> Path:
        return self.folder / "corrections.jsonl"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, path: str, value: Any = None, **headers: str) -> tuple[int, Any]:
        """What it answers to a request of JSON: the status, and the document."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        body = value if isinstance(value, (bytes, str)) else json.dumps(value)
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request("POST", path, body, {"content-type": "application/json", **given})
        response = connection.getresponse()
        status, answer = response.status, response.read()
        connection.close()
        return status, json.loads(answer)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in path.read_text().split()]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return int(self.process.wait(PATIENCE))


@contextlib.contextmanager
def chain(folder: Path, model: Path, *arguments: object, **environment: str) -> Iterator[Chain]:
    """The app of ``model`` on this machine, whose files lie in ``folder``."""
    words = ("web", model, "--local", "--port", 0, "--workers", 1, *arguments)
    process = Algoshelf(folder).start(*words, **{"OMP_NUM_THREADS": "1", **environment})
    found = Chain(folder, process)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found.log.append(line)
            if line.startswith("the endpoint: "):
                found.endpoint = int(line.rsplit(":", 1)[1])
            if line.startswith("open http"):
                found.port = int(line.split("/ in a browser")[0].rsplit(":", 1)[1])
                break
        else:
            raise AssertionError(f"ended with {process.wait()}: {''.join(found.log)}")
        reader = threading.Thread(target=lambda: found.log.extend(process.stderr), daemon=True)
        reader.start()
        yield found
        if process.poll() is None:
            assert found.end() == 0
        reader.join(PATIENCE)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="session")
def reviews(reviews_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with chain(tmp_path_factory.mktemp("chain"), reviews_model) as found:
        yield found


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False
