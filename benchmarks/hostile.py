"""What a server answers to requests that nobody should send.

    python hostile.py ALGORITHM [--model FOLDER] [--requests 200000] [--connections 2000] [--seed 1]

Starts `algoshelf serve` with a small model of the built-in ALGORITHM, trained on its sample unless
--model gives one, and sends it, over real sockets, requests that are malformed, truncated,
mistyped, oversized, or good ones with some bytes changed; holds slow and half-open connections
meanwhile. Every answer has to be a good one or a 4xx with its code, never a 500; good
requests in between have to be answered; memory is noted as it goes. With schemathesis installed,
its own requests, made from /openapi.json, follow. The result is kept under results/.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import psutil
from command import ALGOSHELF
from environment import environment, results_file
from workloads import WORKLOADS

HEADS = (
    b"nonsense\r\n\r\n",
    b"GET /ping HTTP/9.9\r\n\r\n",
    b"POST /invocations HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    b"POST /invocations HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    b"POST /invocations HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /ping HTTP/1.1\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"\0" * 100,
)
PATHS = ("/", "/nope", "/models/x/invoke", "/models/%00", "/models/../..", "/invocations/")
TYPES = ("", "text/xml", "application/x-npy", "text/csv", "image/png", "x" * 300, 'a/b; c="d')
ACCEPTS = ("", "*/*", "text/html", "application/json;q=2", ",,,", "x" * 5000, "image/png")
METHODS = ("GET", "PUT", "DELETE", "PATCH")
PIECES = (b"-", b"1e400", b"\0", b"]", b"[", b'"', b",", b"\n", b"null", b"\xc3", b"NaN")
ODD = (
    *(b"", b"null", b"[]", b"[[1e999]]", b"{}", b"NaN", b"[" * 50_000, b"-" * 1000, b"9" * 20_000),
    *(b'{"instances":[[' + b"1," * 30_000, b'1,2\n"', b"\xff\xfe" * 100),
    b"\x93NUMPY\x01\x00" + b"\xff" * 40,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=WORKLOADS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        model = options.model or WORKLOADS[options.algorithm].train(Path(folder, "model"), 1)
        document = served(model, options)
    path = results_file(f"hostile-{options.algorithm}")
    path.write_text(json.dumps({"algorithm": options.algorithm, **document}, indent=2) + "\n")
    print(json.dumps(document, indent=2))
    print(path)


def served(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    process = subprocess.Popen(
        [ALGOSHELF, "serve", str(model), "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("ready at"))
        port = int(re.findall(r":(\d+):", line)[0])
        document = _measured(port, process.pid, options)
    finally:
        process.terminate()
        code = process.wait(60)
    return {**document, "exit_code": code}


def _measured(port: int, pid: int, options: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(options.seed)
    goods = _good_requests(port)
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(options.connections)]
    for i, connection in enumerate(idle):  # silent, or in the middle of a head or of a body
        if i % 3:
            connection.send(b"POST /invocations HTTP/1.1\r\n"[: 5 + 20 * (i % 2)])
    statuses: Counter[str] = Counter()
    memory: list[int] = []
    client, friend = Client(port), Client(port)  # a good request's connection has no other
    start = time.monotonic()
    for number in range(options.requests):
        if number == 2000:
            for connection in idle:
                connection.close()
        if number % max(1, options.requests // 40) == 0:
            memory.append(_memory(pid))
        if number % 100 == 0:
            kind, body = rng.choice(goods)
            answer = friend.ask(_request("/invocations", kind, "", body))
            assert answer[0] == 200, (kind, answer)
            continue
        sent = _hostile(rng, goods)
        status, content = client.ask(sent)
        statuses[str(status)] += 1
        if status >= 500 or (status >= 400 and not json.loads(content)["error"]["code"]):
            raise SystemExit(f"{sent[:300]!r} is answered {status} {content[:300]!r}")
    return {
        "requests": options.requests,
        "idle_connections": options.connections,
        "answers_by_status": dict(sorted(statuses.items())),
        "good_requests_in_between": options.requests // 100,
        "memory_mb": memory,
        "seconds": round(time.monotonic() - start),
        "schemathesis": _schemathesis(port),
        "environment": environment(),
    }


class Client:
    """One connection, opened anew whenever the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, sent: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer; 0 where the server only closed."""
        for _ in range(2):
            fresh = self._socket is None
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30)
            with contextlib.suppress(OSError):  # it may be refused before all of it is sent
                self._socket.sendall(sent)
            received = self._receive()
            if received[0] or fresh:
                return received
        return received

    def _receive(self) -> tuple[int, bytes]:
        assert self._socket is not None
        data = b""
        while True:
            head, found, rest = data.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower()) if found else None
            if length and len(rest) >= int(length[1]):
                if b"connection: close" in head.lower():
                    self._close()
                return int(head.split()[1]), rest[: int(length[1])]
            try:
                piece = self._socket.recv(2**16)
            except OSError:
                piece = b""
            if not piece:
                self._close()
                return 0, b""
            data += piece

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _good_requests(port: int) -> list[tuple[str, bytes]]:
    """Content types and bodies of the server's own examples that are answered."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as response:
        document = json.load(response)
    content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    found = []
    client = Client(port)
    for kind, described in content.items():
        example = described.get("example")
        if example is not None:
            text = example if isinstance(example, str) else json.dumps(example)
            if client.ask(_request("/invocations", kind, "", text.encode()))[0] == 200:
                found.append((kind, text.encode()))
    return found


def _request(path: str, kind: str, accept: str, body: bytes, method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    head += f"content-type: {kind}\r\n" if kind else ""
    head += f"accept: {accept}\r\n" if accept else ""
    return head.encode("latin-1") + b"\r\n" + body


def _hostile(rng: random.Random, goods: list[tuple[str, bytes]]) -> bytes:
    """A request that is wrong in one way or another, most of them in the body."""
    draw = rng.random()
    kind, body = rng.choice(goods)
    if draw < 0.01:
        return rng.choice(HEADS)
    if draw < 0.03:
        return _request(rng.choice(PATHS), kind, "", body)
    if draw < 0.05:
        return _request("/invocations", kind, "", body, rng.choice(METHODS))
    if draw < 0.08:
        return _request("/invocations", rng.choice(TYPES), "", body)
    if draw < 0.11:
        return _request("/invocations", kind, rng.choice(ACCEPTS), body)
    if draw < 0.112:
        return _request("/invocations", kind, "", bytes(7_000_000))
    if draw < 0.25:
        return _request("/invocations", kind, "", rng.choice(ODD))
    if draw < 0.4:
        noise = rng.randbytes(rng.randrange(3000))
        return _request("/invocations", rng.choice(TYPES) or kind, "", noise)
    change = rng.choice(CHANGES)
    return _request("/invocations", kind, "", change(rng, bytearray(body)))


def _cut(rng: random.Random, body: bytearray) -> bytes:
    return bytes(body[: rng.randrange(len(body))])


def _flipped(rng: random.Random, body: bytearray) -> bytes:
    for _ in range(rng.randrange(1, 5)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body)


def _inserted(rng: random.Random, body: bytearray) -> bytes:
    at = rng.randrange(len(body))
    return bytes(body[:at]) + rng.choice(PIECES) + bytes(body[at:])


def _repeated(rng: random.Random, body: bytearray) -> bytes:
    return bytes(body) * rng.randrange(2, 6)


CHANGES: tuple[Callable[[random.Random, bytearray], bytes], ...] = (
    _cut, _flipped, _inserted, _repeated,
)  # fmt: skip


def _memory(pid: int) -> int:
    """MiB that the server and its workers hold."""
    server = psutil.Process(pid)
    return sum(p.memory_info().rss for p in (server, *server.children())) // 2**20


def _schemathesis(port: int) -> str:
    """What schemathesis finds; its requests are made from the server's OpenAPI document."""
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if command is None:
        return "not installed"
    address = f"http://127.0.0.1:{port}/openapi.json"
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    done = subprocess.run(
        [command, "run", address, "--checks", checks, "--max-examples", "200", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    ended = done.stdout.strip().splitlines()[-1].strip("= ")
    unsent = "Serialization not possible"  # it knows no way to write that content type
    if done.returncode and ("failure" in ended or unsent not in done.stdout):
        raise SystemExit(done.stdout[-5000:] + done.stderr[-2000:])
    return f"{ended} ({unsent})" if done.returncode else ended


if __name__ == "__main__":
    main()
