"""What one request may cost, and that the others don't pay for it: real servers, real sockets."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from algoshelf.core import codecs, recordio_protobuf
from algoshelf.core.data import recordio
from algoshelf.core.runtime.bounds import Account, Bounds, Cost, CrowdedError, Ledger
from algoshelf.core.runtime.errors import PayloadError, PayloadTooLargeError

from .conftest import PATIENCE, Answer, Server, serving

BODY_BYTES = 6 * 2**20
BOUNDS = Bounds.of(BODY_BYTES, 10_000, 60.0)
ROW = b"5.1,3.5,1.4,0.2\n"


@pytest.fixture(scope="module")
def both(model: Path, iris_model: Path) -> Iterator[Server]:
    """Two models and one worker, which is away for as long as a request keeps it."""
    with serving(f"digits={model}", f"iris={iris_model}", "--workers", 1) as server:
        yield server


def _npy_head(descr: str, shape: tuple[int, ...]) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def _field(number: int, content: bytes) -> bytes:
    length, size = bytearray(), len(content)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def _sparse(tensor: bytes) -> bytes:
    return recordio.frame(_field(1, _field(1, b"values") + _field(2, _field(2, tensor))))


# Values 1.0 at key 1, in a shape of 2**24.
HUGE_ROW = _sparse(_field(1, b"\0\0\x80?") + _field(2, b"\1") + _field(3, b"\x80\x80\x80\x08"))
MANY_DIMENSIONS = _sparse(_field(3, (b"\xff" * 9 + b"\1") * 60_000))
BOMBS = {
    "line feeds": (codecs.decode_records, b"\n" * BODY_BYTES, codecs.TEXT),
    "lines": (codecs.decode_records, b"a\n" * (BODY_BYTES // 2), codecs.CSV),
    "columns": (codecs.decode_records, b"," * BODY_BYTES, codecs.CSV),
    "strings": (codecs.decode_records, b'["' + b'","' * 1_500_000 + b'"]', codecs.JSON),
    "lists": (codecs.decode_records, b"[" + b"[]," * 2_000_000 + b"[]]", codecs.JSON),
    "objects": (codecs.decode_records, b"[" + b"{}," * 2_000_000 + b"{}]", codecs.JSON),
    "jsonlines": (codecs.decode_records, b'""\n' * 2_000_000, codecs.JSONLINES),
    "blank lines": (codecs.decode_records, b"\n" * (BODY_BYTES - 1) + b"1", codecs.JSONLINES),
    "numbers": (codecs.decode_array, b"1\n" * (BODY_BYTES // 2), codecs.CSV),
    "rows of npy": (codecs.decode_array, _npy_head("|u1", (60_000,)) + bytes(60_000), codecs.NPY),
    "misfits": (codecs.decode_array, b"[" + b"[1]," * 1_500_000 + b"[true]]", codecs.JSON),
    "sparse rows": (lambda body, _: recordio_protobuf.decode(body), HUGE_ROW * 100_000, ""),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_body_that_becomes_much_is_refused(name: str) -> None:
    decode, body, content_type = BOMBS[name]
    cost = Cost(BOUNDS)
    with pytest.raises(PayloadTooLargeError, match="several requests"), cost:
        decode(body, content_type)  # type: ignore[operator]
    assert cost.decoded <= BOUNDS.decoded_bytes


def test_a_shape_of_too_many_dimensions_is_refused() -> None:
    with pytest.raises(PayloadError, match="60,000 dimensions"):
        recordio_protobuf.decode(MANY_DIMENSIONS)


def test_faults_of_many_numbers_take_no_memory_for_each_of_their_places() -> None:
    """All of them NaN in 32 dimensions: the indices alone would take 2.3 GB."""
    body = _npy_head("<f2", (3_000_000, *[1] * 31)) + b"\xff\x7f" * 3_000_000
    tracemalloc.start()
    with pytest.raises(PayloadError, match=r"(?s)example 1, .*at least 990 more$"):
        codecs.decode_array(body, codecs.NPY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20


def test_what_all_workers_hold_decoded_is_bounded() -> None:
    """The first may always go on, the other one is told to come again."""
    ledger = Ledger(2, 1000 * 2**20)
    other = Ledger(2, 1000 * 2**20, os.dup(ledger.descriptor))
    first, second = Account(ledger, 0), Account(other, 1)
    first.take(900 * 2**20)
    with pytest.raises(CrowdedError, match="again later"):
        second.take(200 * 2**20)
    second.take(100 * 2**20)
    first.give_back(900 * 2**20)
    second.take(800 * 2**20)
    assert ledger.total() == 900 * 2**20
    for each in (ledger, other):
        each.close()


def _at_once(server: Server, path: str, body: bytes, content_type: str, count: int) -> list[Answer]:
    with ThreadPoolExecutor(count) as threads:
        asked = [threads.submit(server.ask, body, content_type, path) for _ in range(count)]
        return [each.result() for each in asked]


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("iris", b"1\n" * (BODY_BYTES // 2 - 100), codecs.CSV),
        ("iris", _npy_head("|u1", (6_000_000, 1)) + bytes(6_000_000), codecs.NPY),
        ("iris", b"[" + b"[]," * 2_000_000 + b"[]]", codecs.JSON),
        ("iris", HUGE_ROW * 100_000, codecs.RECORDIO_PROTOBUF),
        ("digits", _npy_head("|u1", (10_001, 1)) + bytes(10_001), codecs.NPY),
    ],
)
def test_what_is_too_much_is_answered_413(
    name: str, body: bytes, content_type: str, both: Server
) -> None:
    workers = both.workers()
    for answer in _at_once(both, f"/models/{name}/invoke", body, content_type, 2):
        assert (answer.status, answer.code) == (413, "too_large")
    assert both.workers() == workers
    assert both.ask(ROW, codecs.CSV, "/models/iris/invoke").status == 200


def test_others_are_answered_while_a_long_request_is_computed(
    both: Server, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    """Both models by one worker; the long answer is that of its examples asked alone."""
    images = np.concatenate([digits[0]] * 70)
    body = codecs.encode_npy(images)
    assert len(body) < BODY_BYTES
    answered = 0
    with ThreadPoolExecutor(1) as threads:
        kind = {"path": "/models/digits/invoke", "accept": codecs.NPY}
        single = both.ask(codecs.encode_npy(images[:1]), codecs.NPY, **kind)
        long = threads.submit(both.ask, body, codecs.NPY, **kind)
        while not long.done():
            assert both.ask(ROW, codecs.CSV, "/models/iris/invoke").status == 200
            again = both.ask(codecs.encode_npy(images[:1]), codecs.NPY, **kind)
            assert again.status == 200
            answered += not long.done()
    assert answered > 1  # in one piece, the long one would have let one of them wait for its end
    found = codecs.decode_array(long.result().body, codecs.NPY)
    assert found.shape == (7000, 10)
    expected = codecs.decode_array(single.body, codecs.NPY)
    assert np.allclose(found[::100][:70], expected, atol=1e-5)


@pytest.mark.parametrize("accept", [codecs.JSON, codecs.JSONLINES, codecs.CSV, codecs.NPY])
def test_an_answer_in_parts_is_the_whole_one(
    accept: str, both: Server, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    body = codecs.encode_npy(np.concatenate([digits[0]] * 20))
    answer = both.ask(body, codecs.NPY, "/models/digits/invoke", accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, accept)
    if accept == codecs.NPY:
        assert codecs.decode_array(answer.body, accept).shape == (2000, 10)
    elif accept == codecs.JSON:
        assert len(answer.json["predictions"]) == 2000
    else:
        assert answer.body.count(b"\n") == 2000


def test_a_model_that_is_asked_too_much_leaves_the_others_their_share(
    model: Path, iris_model: Path
) -> None:
    """Of the queue, and of the memory for bodies."""
    limits = ("--max-queue", 2, "--max-batch", 1, "--max-payload", "1MB", "--workers", 1)
    digit = codecs.encode_npy(np.zeros((1, 784), np.uint8))
    with serving(f"digits={model}", f"iris={iris_model}", *limits) as server, ThreadPoolExecutor(
        8
    ) as threads:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        asked = [
            threads.submit(server.ask, digit, codecs.NPY, "/models/digits/invoke") for _ in range(3)
        ]
        server.until(lambda: server.metric("algoshelf_queue_requests") == 2)
        refused = server.ask(digit, codecs.NPY, "/models/digits/invoke")
        assert (refused.status, refused.code) == (503, "overloaded")
        other = threads.submit(server.ask, ROW, codecs.CSV, "/models/iris/invoke")
        server.until(lambda: server.metric("algoshelf_queue_requests") == 3)
        os.kill(worker, signal.SIGCONT)
        assert [each.result().status for each in (*asked, other)] == [200] * 4


# Negotiation


def test_what_cannot_be_answered_is_refused_before_it_is_computed(both: Server) -> None:
    batches = 'algoshelf_batch_requests_count{model="iris"}'
    before = both.metric(batches)
    for body, kind, accept, status in (
        (ROW, codecs.CSV, "image/bmp", 406),
        (ROW, "text/xml", "", 415),
        (ROW, "", "", 415),
    ):
        answer = both.ask(body, kind, "/models/iris/invoke", accept=accept)
        assert answer.status == status
    assert both.metric(batches) == before


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", ""])
def test_who_does_not_say_what_the_body_is_is_told_how(kind: str, both: Server) -> None:
    """curl -d says of any body that it is a form."""
    answer = both.ask(ROW, kind, "/models/iris/invoke")
    assert (answer.status, answer.code) == (415, "unsupported_content_type")
    message = answer.json["error"]["message"]
    assert "curl -H 'Content-Type: text/csv' --data-binary @FILE" in message
    assert "did you mean" not in message


# Compressed bodies


def test_a_compressed_body_is_answered_as_it_would_be_otherwise(both: Server) -> None:
    plain = both.ask(ROW, codecs.CSV, "/models/iris/invoke")
    members = gzip.compress(ROW[:7]) + gzip.compress(ROW[7:])
    for body, encoding in (
        (gzip.compress(ROW, mtime=0), "gzip"),
        (members, "X-GZIP"),
        (ROW, "identity"),
    ):
        answer = both.ask(body, codecs.CSV, "/models/iris/invoke", content_encoding=encoding)
        assert (answer.status, answer.body) == (200, plain.body)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "said"),
    [
        (gzip.compress(bytes(2**30 // 4)), "gzip", 413, "also after decompression"),
        (gzip.compress(ROW, mtime=0)[:-4], "gzip", 400, "cut short"),
        (ROW, "gzip", 400, "not gzip"),
        (gzip.compress(ROW, mtime=0) + b"rest", "gzip", 400, "not gzip"),
        (ROW, "br", 415, "'br' is not supported: expected gzip"),
        (ROW, "gzip, gzip", 415, "'gzip, gzip'"),
    ],
)
def test_what_is_badly_compressed_is_refused(
    body: bytes, encoding: str, status: int, said: str, both: Server
) -> None:
    answer = both.ask(body, codecs.CSV, "/models/iris/invoke", content_encoding=encoding)
    assert answer.status == status
    assert said in answer.json["error"]["message"]
    assert both.is_ready()


# Who reads slowly

SHORT = """
import sys
from algoshelf.core.serving import server
from algoshelf.registry.cli import main
server.HEAD_SECONDS, server.SWEEP_SECONDS = 3.0, 0.1
main(["serve", *sys.argv[1:]])
"""


class Impatient(Server):
    """A server that drops a client after 3 s instead of 20."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-c", SHORT, *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log, self.port = "", 0


def test_a_large_answer_is_cut_off_only_for_who_takes_none_of_it(iris_model: Path) -> None:
    """Clients with small buffers: one that reads steadily, for longer than is waited; one not."""
    server = Impatient(iris_model, "--workers", 1, "--port", 0, "--max-examples", 400_000)
    try:
        server.wait()
        body = b"1,2,3,4\n" * 200_000
        head = b"POST /invocations HTTP/1.1\r\n" + server.host + b"content-type: text/csv\r\n"
        head += b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        steady, silent = socket.socket(), socket.socket()
        for each in (silent, steady):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            each.settimeout(PATIENCE)
            each.connect(("127.0.0.1", server.port))
            each.sendall(head + body)
            assert each.recv(1, socket.MSG_PEEK) == b"H"  # the answer has begun
        begin, received = time.monotonic(), bytearray()
        while True:
            piece = steady.recv(2**15)
            if not piece:
                break
            received += piece
            if time.monotonic() - begin < 8:  # whatever the machine does: more than twice 3 s
                time.sleep(0.05)
        found, _, answer = bytes(received).partition(b"\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 200")
        assert len(json.loads(answer)["predictions"]) == 200_000
        taken = 0
        with silent, steady:
            while True:
                try:
                    piece = silent.recv(2**20)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                taken += len(piece)
        assert taken < len(received)
    finally:
        server.close()
