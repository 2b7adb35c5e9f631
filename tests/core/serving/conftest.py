"""A running server, and a client that says exactly what it sends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest
from algoshelf.core import codecs, mx
from algoshelf.core.artifact import folder as artifact
from algoshelf.core.artifact.folder import Artifact
from algoshelf.core.artifact.network import GluonNetwork

from tests.conftest import Algoshelf

PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Server:
    """``algoshelf serve``, as a process."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        self.process = Algoshelf(Path.cwd()).start("serve", *arguments, **environment)
        self.log = ""
        self.port = 0

    def wait(self) -> Server:
        """Until it says that it is ready."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line
            if line.startswith("ready at"):
                self.port = int(line.split(":")[3 if "[" in line else 2])
                return self
        raise AssertionError(f"ended with {self.process.wait()}: {self.log}")

    @property
    def host(self) -> bytes:
        """The header line that every request has."""
        return b"host: 127.0.0.1:%d\r\n" % self.port

    def connect(self, timeout: float = PATIENCE) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self,
        body: bytes | None = None,
        content_type: str = codecs.NPY,
        path: str = "/invocations",
        method: str = "",
        **headers: str,
    ) -> Answer:
        connection = self.connect()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            given = {"content-type": content_type, **given}
        connection.request(method or ("GET" if body is None else "POST"), path, body, given)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer

    def workers(self) -> list[int]:
        """The process numbers of its workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in path.read_text().split()]

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.workers()[0], number)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def is_ready(self) -> bool:
        return self.ask(path="/ping").status == 200

    def metric(self, line: str) -> float:
        text = self.ask(path="/metrics").body.decode()
        found = [row for row in text.splitlines() if row.startswith(line + " ")]
        return float(found[0].split()[-1]) if found else 0.0

    def close(self) -> int:
        """End it as a container's end does; the exit code."""
        workers = self.workers() if self.process.poll() is None else []
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        self.log += self.process.stderr.read()
        self.process.stderr.close()
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        return code


@contextlib.contextmanager
def serving(*arguments: object, **environment: str) -> Iterator[Server]:
    server = Server("--port", 0, *arguments, **environment)
    try:
        yield server.wait()
    finally:
        server.close()


@pytest.fixture(scope="session")
def other_model(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network with other weights, which answers otherwise."""
    folder = tmp_path_factory.mktemp("other")
    loaded = Artifact.open(model).load()
    assert isinstance(loaded.network, GluonNetwork)
    block = loaded.network.block
    for parameter in block.collect_params().values():
        parameter.set_data(parameter.data() * 0.9)
    block(mx.nd.zeros((1, *loaded.metadata.input.shape[1:])))
    artifact.write(folder, block, loaded.metadata)
    return folder


@pytest.fixture(scope="session")
def bodies(digits: tuple[np.ndarray, np.ndarray]) -> list[bytes]:
    """Requests of one digit each, as npy."""
    return [codecs.encode_npy(image[None]) for image in digits[0][::5]]
