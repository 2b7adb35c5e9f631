"""A model server in a container, asked as SageMaker asks it."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from algoshelf.core import codecs

from tests.toolkits.containers import PATIENCE, Container, within


@dataclass(frozen=True)
class Endpoint:
    """A container that answers at ``port``."""

    container: Container
    port: int

    def ask(self, body: bytes, content_type: str, accept: str = codecs.JSON) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        host = self.container.host
        if host is None:
            return self._ask(body, content_type, accept)
        return within(host, partial(self._ask, body, content_type, accept))

    def _ask(self, body: bytes, content_type: str, accept: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": content_type, "Accept": accept}
        try:
            connection.request("POST", "/invocations", body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ping(self) -> bool:
        host = self.container.host
        return self._ping() if host is None else within(host, self._ping)

    def _ping(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def serving(
    ml: Path,
    image: Path | None,
    environment: Mapping[str, str],
    command: Sequence[str] = ("serve",),
    **options: Any,
) -> Iterator[Endpoint]:
    """``serve`` in a container, once it is ready; a port above 32767 multi-model-server refuses."""
    port = free_port()
    told = {"AWS_DEFAULT_REGION": "us-east-1", "SAGEMAKER_BIND_TO_PORT": str(port), **environment}
    with Container(command, ml, image, told, **options) as container:
        endpoint = Endpoint(container, port)
        deadline = time.monotonic() + PATIENCE
        while not endpoint.ping():
            assert container.process.poll() is None, container.log
            assert time.monotonic() < deadline, container.log
            time.sleep(0.1)
        yield endpoint


def free_port() -> int:
    """By chance: between the look and the server's start, another test's server may take it."""
    for port in random.sample(range(18080, 28080), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
