"""What a server answers to requests that nobody should send.

    python hostile.py ALGORITHM [--model FOLDER] [--requests 200000] [--connections 2000] [--seed 1]
        [--engine mxnet|onnx] [--server COMMAND]

Starts `algoshelf serve` with a small model of the built-in ALGORITHM, trained on its sample unless
--model gives one, and beside it a model of k-means; with --engine onnx both are exported first.
COMMAND is the algoshelf of another environment, such as one without mxnet.
Sends the former, over real sockets and by ATTACKERS at once, requests that are malformed,
truncated, mistyped, oversized, good ones with some bytes changed, and bodies that are small but
become large (BOMBS); holds slow and half-open connections meanwhile. A friend asks both models in
turn all the time. It fails unless

- every answer is a good one or a 4xx with its code, never a 5xx, and every connection is answered;
- the friend is always answered 200, and within MAX_SECONDS;
- no process ever holds more than MAX_GROWTH times what it held when idle, and MAX_MIB besides.

With schemathesis installed, its own requests, made from /openapi.json, follow. The result is kept
under results/.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import psutil
from command import ALGOSHELF
from environment import environment, results_file
from workloads import WORKLOADS

ATTACKED, OTHER = "attacked", "other"
PATH, OTHER_PATH = (f"/models/{name}/invoke" for name in (ATTACKED, OTHER))
ATTACKERS = 2
MAX_SECONDS = 2.0
MAX_GROWTH, MAX_MIB = 1.5, 200
FRIEND_PAUSE_SECONDS = 0.02
WARM_UPS = 50
BOMB_BYTES = 5_900_000
HEADS = (
    b"nonsense\r\n\r\n",
    b"GET /ping HTTP/9.9\r\n\r\n",
    b"POST /invocations HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    b"POST /invocations HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    b"POST /invocations HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /ping HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    b"GET /ping HTTP/1.1\r\n" + b"host: localhost\r\n" * 2 + b"\r\n",
    b"GET /ping HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    b"GET /ping HTTP/1.1\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"\0" * 100,
)
PATHS = (
    "/",
    "/nope",
    "/models/x/invoke",
    "/models/%00",
    "/models/../..",
    "/invocations/",
    "/invocations",
)
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
    parser.add_argument("--engine", choices=("mxnet", "onnx"), default="mxnet")
    parser.add_argument("--server", default=ALGOSHELF)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        model = options.model or WORKLOADS[options.algorithm].train(Path(folder, "model"), 1)
        other = WORKLOADS["kmeans"].train(Path(folder, "other"), 1)
        if options.engine == "onnx":
            for each in (model, other):
                subprocess.run([ALGOSHELF, "export", str(each)], check=True, stdout=sys.stderr)
        document = served(model, other, options)
    of_engine = "-onnx" if options.engine == "onnx" else ""
    path = results_file(f"hostile{of_engine}-{options.algorithm}")
    path.write_text(json.dumps({"algorithm": options.algorithm, **document}, indent=2) + "\n")
    print(json.dumps(document, indent=2))
    print(path)
    if document["broken"]:
        raise SystemExit("broken: " + "; ".join(document["broken"]))


def served(model: Path, other: Path, options: argparse.Namespace) -> dict[str, Any]:
    models = (f"{ATTACKED}={model}", f"{OTHER}={other}")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [options.server, "serve", *models, "--port", "0", "--engine", options.engine],
            stderr=log,
            text=True,
        )
        try:
            port = _port(process, Path(f"/proc/self/fd/{log.fileno()}"))
            document = _measured(port, process.pid, options)
        finally:
            process.terminate()
            code = process.wait(60)
        if document["broken"] or code:
            log.seek(0)
            print(log.read()[-5000:], file=sys.stderr)
    if code:
        document["broken"].append(f"the server ended with {code}")
    return {**document, "served_by": _packages(options.server), "exit_code": code}


def _packages(command: str) -> list[str]:
    """The Python of ``command`` and what it computes with, such as ``numpy 2.5.5``."""
    look = (
        "import platform; from importlib.metadata import distributions as every; "
        "print('python', platform.python_version()); "
        "print(*sorted({f'{d.name} {d.version}' for d in every() "
        "if d.name in ('mxnet', 'numpy', 'onnxruntime')}), sep='\\n')"
    )
    python = Path(command).with_name("python")
    return subprocess.check_output([python, "-c", look], text=True).splitlines()


def _port(process: subprocess.Popen[str], log: Path) -> int:
    while process.poll() is None:
        found = re.search(r"ready at \S+:(\d+):", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.1)
    raise SystemExit(f"the server ended with {process.returncode}: {log.read_text()}")


class Memory:
    """What each process of the server holds, in MiB: when idle, and at most since."""

    def __init__(self, pid: int) -> None:
        self._server = psutil.Process(pid)
        self._idle = self._held()
        self._most = dict(self._idle)
        self._typical = max(self._idle.values())  # for a worker that has taken another's place

    def _held(self) -> dict[int, int]:
        found = {}
        for process in (self._server, *self._server.children()):
            with contextlib.suppress(psutil.Error, OSError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                found[process.pid] = int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024
        return found

    def look(self) -> None:
        """The kernel keeps the most that each process has held."""
        self._most.update(self._held())

    def document(self) -> list[dict[str, int]]:
        """For each process: idle, the most, what is allowed."""
        self.look()
        found = []
        for pid, most in self._most.items():
            idle = self._idle.get(pid, self._typical)
            allowed = int(MAX_GROWTH * idle + MAX_MIB)
            found.append({"idle_mib": idle, "most_mib": most, "allowed_mib": allowed})
        return found


class Friend(threading.Thread):
    """Asks both models in turn, and notes how long each answer takes."""

    def __init__(self, port: int, goods: list[tuple[str, str, bytes]]) -> None:
        super().__init__(daemon=True)
        self._client = Client(port)
        self._goods = goods
        self.ended = threading.Event()
        self.seconds: dict[str, list[float]] = {ATTACKED: [], OTHER: []}
        self.wrong: list[str] = []

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            path, kind, body = self._goods[number % len(self._goods)]
            number += 1
            start = time.monotonic()
            status, content = self._client.ask(_request(path, kind, "", body))
            name = OTHER if path == OTHER_PATH else ATTACKED
            self.seconds[name].append(time.monotonic() - start)
            if status != 200:
                self.wrong.append(f"{path} {kind}: {status} {content[:200]!r}")
            self.ended.wait(FRIEND_PAUSE_SECONDS)

    def document(self) -> dict[str, dict[str, float]]:
        found = {}
        for name, seconds in self.seconds.items():
            ordered = sorted(seconds)
            found[name] = {
                "answers": len(ordered),
                "p50_ms": round(1000 * ordered[len(ordered) // 2], 2),
                "p99_ms": round(1000 * ordered[len(ordered) * 99 // 100], 2),
                "most_ms": round(1000 * ordered[-1], 2),
            }
        return found


def _measured(port: int, pid: int, options: argparse.Namespace) -> dict[str, Any]:
    goods = _good_requests(port, PATH)
    friendly = [(PATH, *good) for good in goods]
    friendly = [each for pair in friendly for each in (pair, (OTHER_PATH, *OTHER_GOOD))]
    warming = Client(port)
    for path, kind, body in friendly * WARM_UPS:
        warming.ask(_request(path, kind, "", body))
    memory = Memory(pid)
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(options.connections)]
    for i, connection in enumerate(idle):  # silent, or in the middle of a head or of a body
        if i % 3:
            connection.send(b"POST /invocations HTTP/1.1\r\n"[: 5 + 20 * (i % 2)])
    friend = Friend(port, friendly)
    start = time.monotonic()
    friend.start()
    bombs = list(_bombs(port))
    statuses: Counter[str] = Counter()
    broken: list[str] = []

    def attack(seed: int) -> None:
        rng = random.Random(seed)
        client = Client(port)
        for number in range(options.requests // ATTACKERS):
            sent = _hostile(rng, goods, bombs)
            status, content = client.ask(sent)
            statuses[str(status)] += 1
            if status >= 500 or (status >= 400 and not json.loads(content)["error"]["code"]):
                broken.append(f"{sent[:300]!r} is answered {status} {content[:300]!r}")
            if number % 500 == 0:
                memory.look()

    with ThreadPoolExecutor(ATTACKERS) as threads:
        for each in [threads.submit(attack, options.seed + i) for i in range(ATTACKERS)]:
            each.result()
    friend.ended.set()
    friend.join()
    for connection in idle:
        connection.close()
    answers, held = friend.document(), memory.document()
    broken += friend.wrong
    broken += [
        f"an answer of {name} to the friend took {found['most_ms'] / 1000:.1f} s"
        for name, found in answers.items()
        if found["most_ms"] > 1000 * MAX_SECONDS
    ]
    broken += [
        f"a process held {each['most_mib']} MiB of {each['allowed_mib']}"
        for each in held
        if each["most_mib"] > each["allowed_mib"]
    ]
    return {
        "requests": options.requests,
        "idle_connections": options.connections,
        "bombs": [f"{kind}: {len(body):,} bytes" for kind, body in bombs],
        "answers_by_status": dict(sorted(statuses.items())),
        "good_requests_meanwhile": answers,
        "memory": held,
        "seconds": round(time.monotonic() - start),
        "broken": broken[:20],
        "schemathesis": _schemathesis(port),
        "environment": environment(),
    }


OTHER_GOOD = ("text/csv", b"5.1,3.5,1.4,0.2\n")


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


def _content(port: int, path: str) -> dict[str, Any]:
    """What is accepted at ``path``, by content type."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as response:
        document = json.load(response)
    content: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"]
    return content


def _good_requests(port: int, path: str) -> list[tuple[str, bytes]]:
    """Content types and bodies of the server's own examples that are answered."""
    found = []
    client = Client(port)
    for kind, described in _content(port, path).items():
        example = described.get("example")
        if example is not None:
            text = example if isinstance(example, str) else json.dumps(example)
            if client.ask(_request(path, kind, "", text.encode()))[0] == 200:
                found.append((kind, text.encode()))
    return found


def _request(path: str, kind: str, accept: str, body: bytes, method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    head += f"content-type: {kind}\r\n" if kind else ""
    head += f"accept: {accept}\r\n" if accept else ""
    return head.encode("latin-1") + b"\r\n" + body


def _bombs(port: int) -> Iterator[tuple[str, bytes]]:
    """Bodies that become far more than they are, of the content types that are accepted."""
    many = BOMB_BYTES
    bodies: dict[str, tuple[bytes, ...]] = {
        "text/plain": (b"\n" * many, b"a\n" * (many // 2), b"a " * (many // 2)),
        "text/csv": (
            b"a\n" * (many // 2), b"1\n" * (many // 2), b"," * many, b'"1"\n' * (many // 4),
            b"1," * (many // 2) + b"1", b'"' * many,
        ),
        "application/json": (
            b'["' + b'","' * (many // 3) + b'"]', b"[" + b"[]," * (many // 3) + b"[]]",
            b"[[" + b"1," * (many // 2) + b"true]]", b"[" + b"[1]," * (many // 4) + b"[true]]",
            b'["' + b'\\"' * (many // 2) + b'",NaN]', b"[" + b'{"":0},' * (many // 7) + b"{}]",
            b"[" + b'"a b c d",' * 9_000 + b'""]',
        ),
        "application/jsonlines": (b'""\n' * (many // 3), b"\n" * many, b"[1]\n" * (many // 4)),
        "application/x-npy": (
            _npy("|u1", (many, 1)), _npy("|u1", (many // 3, 1, 1, 3)),
            _npy("<f2", (many // 2, *[1] * 31), b"\xff\x7f"), _npy("|u1", (9_000, 1, 1, 3)),
            _npy("|u1", (7_500, 28, 28)), _npy("|u1", (many // 4, 4)),
        ),
        "application/x-recordio-protobuf": (_sparse_rows(100_000),),
        "image/png": (
            _png(1_900_000, 1), _png(1, 1_900_000), _png(49_000_000, 1), _png(7000, 7000),
        ),
        "image/jpeg": (_progressive_jpeg(many),),
    }  # fmt: skip
    for kind in _content(port, PATH):
        for body in bodies.get(kind, ()):
            yield kind, body


def _npy(descr: str, shape: tuple[int, ...], value: bytes = b"\0") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    count = 1
    for size in shape:
        count *= size
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + value * count


def _sparse_rows(count: int) -> bytes:
    """Records of one number each, in a row of 2**24."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    tensor = field(1, b"\0\0\x80?") + field(2, b"\1") + field(3, b"\x80\x80\x80\x08")
    record = field(1, field(1, b"values") + field(2, field(2, tensor)))
    frame = struct.pack("<II", 0xCED7230A, len(record)) + record
    return (frame + bytes(-len(record) % 4)) * count


def _png(width: int, height: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def _progressive_jpeg(size: int) -> bytes:
    """A picture whose last scan comes again and again."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (3000, 3000), "grey").save(stream, "JPEG", progressive=True)
    picture = stream.getvalue()
    start, end = picture.rindex(b"\xff\xda"), picture.rindex(b"\xff\xd9")
    scan = picture[start:end]
    return picture[:start] + scan * ((size - start) // len(scan)) + picture[end:]


def _hostile(
    rng: random.Random, goods: list[tuple[str, bytes]], bombs: list[tuple[str, bytes]]
) -> bytes:
    """A request that is wrong in one way or another, most of them in the body."""
    draw = rng.random()
    kind, body = rng.choice(goods)
    if draw > 0.995:
        return _request(PATH, *_with_accept(rng, rng.choice(bombs)))
    if draw < 0.01:
        return rng.choice(HEADS)
    if draw < 0.03:
        return _request(rng.choice(PATHS), kind, "", body)
    if draw < 0.05:
        return _request(PATH, kind, "", body, rng.choice(METHODS))
    if draw < 0.08:
        return _request(PATH, rng.choice(TYPES), "", body)
    if draw < 0.11:
        return _request(PATH, kind, rng.choice(ACCEPTS), body)
    if draw < 0.112:
        return _request(PATH, kind, "", bytes(7_000_000))
    if draw < 0.25:
        return _request(PATH, kind, "", rng.choice(ODD))
    if draw < 0.4:
        noise = rng.randbytes(rng.randrange(3000))
        return _request(PATH, rng.choice(TYPES) or kind, "", noise)
    change = rng.choice(CHANGES)
    return _request(PATH, kind, "", change(rng, bytearray(body)))


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


def _with_accept(rng: random.Random, bomb: tuple[str, bytes]) -> tuple[str, str, bytes]:
    kind, body = bomb
    return kind, rng.choice(("", "application/json", "application/jsonlines")), body


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
