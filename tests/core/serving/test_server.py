"""The HTTP server: a real process, asked over real sockets."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import select
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from algoshelf.algorithms.mnist_cnn import MnistCnn
from algoshelf.core import codecs
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import Algoshelf, free_port

from .conftest import PATIENCE, Answer, Server, serving

HUGE = codecs.encode_npy(np.full((1, 784), 1e38))


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    """One worker, so that a test can hold it."""
    options = ("--workers", 1, "--max-payload", "100kB", "--multi-model", "--model-root", "/")
    with serving(model, *options) as server:
        yield server


@pytest.fixture(scope="module")
def expected(model: Path, bodies: list[bytes]) -> list[np.ndarray]:
    return _expected(model, bodies)


def _expected(model: Path, bodies: list[bytes]) -> list[np.ndarray]:
    algorithm = MnistCnn()
    loaded = algorithm.model_fn(model)
    return [
        algorithm.predict_fn(algorithm.input_fn(body, codecs.NPY), loaded).values for body in bodies
    ]


def _values(answer: Answer) -> np.ndarray:
    assert answer.status == 200, answer.body
    return codecs.decode_array(answer.body, codecs.NPY)


BATCHES = 'algoshelf_batch_requests_count{model="mnist-cnn"}'


@contextlib.contextmanager
def _waiting(server: Server, bodies: list[bytes]) -> Iterator[tuple[int, list[Future[Answer]]]]:
    """The one worker, held at a request of its own, and the answers to come of others that wait."""
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    before = server.metric(BATCHES)
    with ThreadPoolExecutor(len(bodies) + 1) as threads:
        first = threads.submit(server.ask, bodies[0])
        server.until(lambda: server.metric(BATCHES) > before)
        answers = [threads.submit(server.ask, body, accept=codecs.NPY) for body in bodies]
        server.until(lambda: server.metric("algoshelf_queue_requests") == len(bodies))
        yield worker, answers
        assert first.result().status in (200, 504)


def _all_at_once(server: Server, bodies: list[bytes]) -> list[Answer]:
    """The answers to requests that have all waited for the one worker."""
    with _waiting(server, bodies) as (worker, answers):
        os.kill(worker, signal.SIGCONT)
        return [answer.result() for answer in answers]


def test_answers_are_those_of_predict(server: Server, model: Path, algoshelf: Algoshelf) -> None:
    example = Algoshelf(model.parent)("predict", model).stdout
    metadata = server.ask(path="/openapi.json").json
    content = metadata["paths"]["/invocations"]["post"]["requestBody"]["content"]
    body = codecs.encode_json(content[codecs.JSON]["example"])
    answer = server.ask(body, codecs.JSON, accept=codecs.JSONLINES)
    assert answer.headers["content-type"] == codecs.JSONLINES
    assert answer.json["label"] == codecs.decode_records(example, codecs.JSONLINES)[0]["label"]


def test_requests_that_wait_are_computed_together_and_answered_as_alone(
    server: Server, bodies: list[bytes], expected: list[np.ndarray]
) -> None:
    batches = server.metric(BATCHES)
    answers = _all_at_once(server, bodies)
    for answer, values in zip(answers, expected):
        assert np.allclose(_values(answer), values, rtol=0, atol=1e-5)
    assert server.metric(BATCHES) - batches == 2  # the first alone, the others together


def test_a_request_that_cannot_be_answered_fails_alone(
    server: Server, bodies: list[bytes], expected: list[np.ndarray]
) -> None:
    spoilt = [bodies[0], b"no npy", bodies[1], HUGE, bodies[2]]
    answers = _all_at_once(server, spoilt)
    assert [answer.status for answer in answers] == [200, 400, 200, 422, 200]
    for index, values in zip((0, 2, 4), expected):
        assert np.allclose(_values(answers[index]), values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "code", "said"),
    [
        (b'{"instances":\n [1,', codecs.JSON, {}, 400, "malformed_payload", "line 2, column"),
        (b"", codecs.JSON, {}, 400, "malformed_payload", "empty"),
        (b"1,2", codecs.CSV, {}, 422, "unfit_payload", "28 x 28"),
        (HUGE, codecs.NPY, {}, 422, "unfit_payload", "1e+38"),
        (b"<a/>", "text/xml", {}, 415, "unsupported_content_type", "text/csv"),
        (b"1", "", {}, 415, "unsupported_content_type", "text/csv"),
        (b"x" * 200_000, codecs.CSV, {}, 413, "too_large", "102,400"),
        (b"x" * 20_000_000, codecs.CSV, {}, 413, "too_large", "102,400"),  # longer than any buffer
    ],
)
def test_errors_say_what_is_wrong(
    body: bytes, content_type: str, headers: dict[str, str], status: int, code: str, said: str,
    server: Server,
) -> None:  # fmt: skip
    answer = server.ask(body, content_type, **headers)
    assert (answer.status, answer.code) == (status, code)
    assert said in answer.json["error"]["message"]


def test_what_cannot_be_asked(server: Server, bodies: list[bytes]) -> None:
    refused = server.ask(bodies[0], accept="text/html")
    assert (refused.status, refused.code) == (406, "not_acceptable")
    assert server.ask(path="/nothing").code == "no_such_path"
    unknown = server.ask(bodies[0], path="/models/none/invoke")
    assert unknown.code == "no_such_model"
    assert "served: " in unknown.json["error"]["message"]
    wrong = server.ask(path="/invocations")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert server.ask(b"{}", path="/ping", method="POST").status == 405


def test_what_sagemaker_asks(server: Server) -> None:
    assert server.ask(path="/ping").status == 200
    wishes = server.ask(path="/execution-parameters").json
    assert wishes["BatchStrategy"] == "MULTI_RECORD"
    assert wishes["MaxConcurrentTransforms"] >= 1
    (described,) = server.ask(path="/models").json["models"]
    assert described["modelName"] == "mnist-cnn"
    assert server.ask(path="/models/mnist-cnn").json == described


def test_bodies_in_pieces_and_requests_one_after_the_other(
    server: Server, bodies: list[bytes]
) -> None:
    """Chunked, pipelined, and too large a body in chunks."""
    head = b"POST /invocations HTTP/1.1\r\n" + server.host + b"content-type: application/x-npy\r\n"
    body = bodies[0]
    halves = (body[:50], body[50:])
    chunked = head + b"transfer-encoding: chunked\r\n\r\n"
    chunked += b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves) + b"0\r\n\r\n"
    plain = head + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    end = b"GET /ping HTTP/1.1\r\n" + server.host + b"connection: close\r\n\r\n"
    assert _talk(server, chunked + plain + end).count(b"HTTP/1.1 200 OK") == 3
    endless = head + b"transfer-encoding: chunked\r\n\r\n" + b"10000\r\n%s\r\n" % bytes(65536) * 3
    assert b"HTTP/1.1 413" in _talk(server, endless)


def _talk(server: Server, sent: bytes) -> bytes:
    """What comes back for ``sent`` until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        while True:
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                return received
            if not piece:
                return received
            received += piece


def test_a_wish_for_another_protocol_is_ignored(server: Server, bodies: list[bytes]) -> None:
    wish = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n"
    head = b"POST /invocations HTTP/1.1\r\ncontent-type: application/x-npy\r\n" + server.host + wish
    asked = head + b"content-length: %d\r\n\r\n%s" % (len(bodies[0]), bodies[0])
    end = b"GET /ping HTTP/1.1\r\n" + server.host + b"connection: close\r\n\r\n"
    assert _talk(server, asked + asked + end).count(b"HTTP/1.1 200 OK") == 3


ENDLESS_TRAILERS = (
    b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    b"0\r\nx: " + b"y" * 500_000
)
MANY_HEADERS = b"GET /ping HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 1000 + b"\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 500_000, b"431"),
        (b"POST /invocations HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"400"),
        (ENDLESS_TRAILERS, b"431"),
        (MANY_HEADERS, b"431"),
        (b"GET /ping HTTP/1.1\r\n\r\n", b"400"),  # of no host
        (b"GET /ping HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", b"400"),
        (b"GET /ping HTTP/1.1\r\nhost: evil.example:8080\r\n\r\n", b"403"),
    ],
)
def test_what_is_no_request(sent: bytes, status: bytes, server: Server) -> None:
    """Each is answered once, and the connection closed."""
    answer = _talk(server, sent)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b'"code"' in answer
    assert server.is_ready()


def test_a_slow_request_is_ended(model: Path, bodies: list[bytes]) -> None:
    """And a worker that hangs: its requests are answered 504, and another one takes its place."""
    limits = ("--timeout", "1s", "--max-queue", 2)
    with serving(model, "--workers", 1, *limits) as server:
        head = b"POST /invocations HTTP/1.1\r\n" + server.host + b"content-length: 10\r\n\r\n12"
        assert b"HTTP/1.1 408" in _talk(server, head)
        with _waiting(server, bodies[:2]) as (worker, answers):
            refused = server.ask(bodies[0])
            assert (refused.status, refused.code) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
            for each in answers:
                assert (each.result().status, each.result().code) == (504, "timeout")
        server.until(lambda: server.workers() not in ([worker], []) and server.is_ready())
        assert server.ask(bodies[0]).status == 200


def test_bodies_that_come_take_bounded_memory(model: Path, bodies: list[bytes]) -> None:
    """Of what may wait and be computed: here two bodies of 1 MiB each."""
    limits = ("--max-queue", 1, "--max-batch", 1, "--max-payload", "1MB")
    part = bytes(900_000)
    chunk = b"transfer-encoding: chunked\r\n\r\n%x\r\n" % 2**20
    length = b"content-length: %d\r\n\r\n" % 2**20
    with serving(model, "--workers", 1, *limits) as server, contextlib.ExitStack() as stack:
        coming = []
        for head in (chunk, length) * 4:
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
            coming.append(stack.enter_context(connection))
            connection.sendall(b"POST /invocations HTTP/1.1\r\n" + server.host + head + part)
        refused: set[socket.socket] = set()
        while len(refused) < 6:
            answered = select.select(set(coming) - refused, [], [], PATIENCE)[0]
            assert answered
            refused.update(answered)
        for connection in refused:
            answer = b""
            while not answer.endswith(b"}}"):
                piece = connection.recv(65536)
                assert piece, answer
                answer += piece
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 1" in answer
            assert b"overloaded" in answer
            connection.close()
        for connection in set(coming) - refused:
            connection.close()
        server.until(lambda: server.ask(bytes(2**20)).status == 400)
        assert server.ask(bodies[0]).status == 200


@pytest.mark.parametrize("size", [10, 90_000])  # the latter is more than is read at once
def test_what_nobody_waits_for_any_more_is_not_computed(
    size: int, server: Server, bodies: list[bytes]
) -> None:
    with _waiting(server, bodies[:1]) as (worker, answers):
        head = b"POST /invocations HTTP/1.1\r\n" + server.host
        head += b"content-type: application/x-npy\r\ncontent-length: %d\r\n\r\n" % size
        with socket.create_connection(("127.0.0.1", server.port)) as leaving:
            leaving.sendall(head + bytes(size))
            server.until(lambda: server.metric("algoshelf_queue_requests") == 2)
        server.until(lambda: server.metric("algoshelf_queue_requests") == 1)
        os.kill(worker, signal.SIGCONT)
        assert answers[0].result().status == 200


def test_a_killed_worker_costs_no_request(
    server: Server, bodies: list[bytes], expected: list[np.ndarray]
) -> None:
    with _waiting(server, bodies[:8]) as (worker, answers):
        os.kill(worker, signal.SIGKILL)
        for answer, values in zip(answers, expected):
            assert np.allclose(_values(answer.result()), values, rtol=0, atol=1e-5)
    assert server.workers() != [worker]
    assert server.metric("algoshelf_worker_restarts_total") >= 1


def test_models_are_swapped_without_a_failed_request(
    server: Server, model: Path, other_model: Path, bodies: list[bytes], expected: list[np.ndarray]
) -> None:
    others = _expected(other_model, bodies)
    done = threading.Event()
    wrong: list[str] = []
    seen = {0: 0, 1: 0}

    def keep_asking(index: int) -> None:
        while not done.is_set():
            answer = server.ask(bodies[index], path="/models/mnist-cnn/invoke", accept=codecs.NPY)
            if answer.status != 200:
                wrong.append(answer.body.decode())
                return
            values = _values(answer)
            known = [np.allclose(values, e[index], rtol=0, atol=1e-5) for e in (expected, others)]
            if not any(known):
                wrong.append(f"neither of the two: {values}")
            seen[known.index(True) if any(known) else 0] += 1

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(keep_asking, index) for index in range(4)]
        for folder in (other_model, model):
            order = codecs.encode_json({"url": str(folder)})
            swapped = server.ask(order, codecs.JSON, "/models/mnist-cnn", "PUT")
            assert swapped.status == 200, swapped.body
            time.sleep(0.2)
        done.set()
        for each in asking:
            each.result()
    assert wrong == []
    assert min(seen.values()) > 0


def test_models_come_and_go(server: Server, other_model: Path, bodies: list[bytes]) -> None:
    order = codecs.encode_json({"model_name": "second", "url": str(other_model)})
    assert server.ask(order, codecs.JSON, "/models").status == 200
    assert server.ask(order, codecs.JSON, "/models").status == 409
    assert server.ask(bodies[0], path="/models/second/invoke").status == 200
    assert server.ask(bodies[0]).code == "no_such_model"  # which of the two is not said
    target = server.ask(bodies[0], X_Amzn_SageMaker_Target_Model="second")
    assert target.status == 200
    assert server.ask(path="/models/second", method="DELETE").status == 200
    assert server.ask(bodies[0], path="/models/second/invoke").status == 404
    assert server.ask(bodies[0]).status == 200


def test_a_model_that_goes_while_a_request_to_it_comes(
    server: Server, other_model: Path, bodies: list[bytes]
) -> None:
    order = codecs.encode_json({"model_name": "second", "url": str(other_model)})
    assert server.ask(order, codecs.JSON, "/models").status == 200
    head = b"POST /models/second/invoke HTTP/1.1\r\ncontent-type: application/x-npy\r\n"
    head += server.host + b"content-length: 10\r\n\r\n12345"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head)
        assert server.ask(path="/models/second", method="DELETE").status == 200
        connection.sendall(b"67890")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
    assert server.metric("algoshelf_queue_requests") == 0


def test_changes_of_one_model_at_once_are_made_one_after_the_other(
    server: Server, other_model: Path
) -> None:
    """What each of them finds is what the one before has left."""

    def at_once(*asked: tuple[str, str]) -> list[int]:
        """The statuses of requests that have all come before the first of them is done."""
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        connections = []
        for method, path in asked:
            connection = server.connect()
            connection.request(method, path, order, {"content-type": codecs.JSON})
            assert server.is_ready()  # which came after it
            connections.append(connection)
        os.kill(worker, signal.SIGCONT)
        statuses = [connection.getresponse().status for connection in connections]
        for connection in connections:
            connection.close()
        return statuses

    order = codecs.encode_json({"model_name": "second", "url": str(other_model)})
    one = "/models/second"
    assert at_once(("POST", "/models"), ("POST", "/models")) == [200, 409]
    assert at_once(("PUT", one), ("DELETE", one), ("PUT", one)) == [200, 200, 404]
    assert len(server.ask(path="/models").json["models"]) == 1


def test_a_model_that_goes_gives_its_memory_back(
    server: Server, model: Path, bodies: list[bytes]
) -> None:
    def swap(times: int) -> float:
        """MiB that the worker holds then."""
        order = codecs.encode_json({"url": str(model)})
        for _ in range(times):
            assert server.ask(order, codecs.JSON, "/models/mnist-cnn", "PUT").status == 200
        (worker,) = server.workers()
        text = Path(f"/proc/{worker}/status").read_text()
        return next(int(row.split()[1]) for row in text.splitlines() if "VmRSS" in row) / 1024

    before = swap(1)
    assert swap(2) < before + 60


@pytest.mark.parametrize("url", ["file://[", "file:///a%00b", "a\0b", "\ud800", 7, None])
def test_a_folder_that_cannot_be(url: object, server: Server) -> None:
    order = json.dumps({"url": url}).encode()
    answer = server.ask(order, codecs.JSON, "/models/mnist-cnn", "PUT")
    assert (answer.status, answer.code) == (422, "unfit_payload")


def test_a_model_that_does_not_load_changes_nothing(
    server: Server, tmp_path: Path, model: Path, bodies: list[bytes]
) -> None:
    broken = shutil.copytree(model, tmp_path / "broken")
    (broken / "model-0000.params").write_bytes(b"none")
    for folder in (broken, tmp_path / "missing"):
        order = codecs.encode_json({"url": str(folder)})
        answer = server.ask(order, codecs.JSON, "/models/mnist-cnn", "PUT")
        assert (answer.status, answer.code) == (422, "wrong_artifact")
        assert str(tmp_path) not in answer.body.decode()
    assert server.ask(bodies[0]).status == 200
    server.kill_worker()  # the one that comes up meets the broken model among those it needs
    answer = server.ask(order, codecs.JSON, "/models/mnist-cnn", "PUT")
    assert (answer.status, answer.code) == (422, "wrong_artifact")
    assert server.ask(bodies[0]).status == 200
    by_form = server.ask(b"url=x", "application/x-www-form-urlencoded", "/models/mnist-cnn", "PUT")
    assert by_form.status == 415


def test_a_model_that_kills_its_worker_is_left(
    server: Server, tmp_path: Path, model: Path, bodies: list[bytes]
) -> None:
    deadly = shutil.copytree(model, tmp_path / "deadly")
    order = codecs.encode_json({"url": str(deadly)})
    libc = ctypes.CDLL(None)
    with open(libc.inotify_init(), "rb", buffering=0) as opened, ThreadPoolExecutor(1) as threads:
        path = bytes(deadly / "model-0000.params")
        assert libc.inotify_add_watch(opened.fileno(), path, 0x20) >= 0  # IN_OPEN
        answer = threads.submit(server.ask, order, codecs.JSON, "/models/mnist-cnn", "PUT")
        while not answer.done():
            if select.select([opened], [], [], 0.05)[0]:
                opened.read(4096)
                server.kill_worker()
        assert (answer.result().status, answer.result().code) == (422, "serving_failed")
    assert server.ask(bodies[0]).status == 200


def test_a_server_whose_worker_keeps_dying_is_not_ready(tmp_path: Path, model: Path) -> None:
    """Nor does it take another model, for which no worker lives long enough."""
    folder = shutil.copytree(model, tmp_path / "gone")
    options = ("--workers", 1, "--multi-model", "--model-root", "/")
    with serving(folder, *options) as server, ThreadPoolExecutor(1) as one:
        shutil.rmtree(folder)
        server.kill_worker()
        order = codecs.encode_json({"model_name": "second", "url": str(model)})
        posted = one.submit(server.ask, order, codecs.JSON, "/models")
        server.until(lambda: b"keeps dying" in server.ask(path="/ping").body)
        assert str(tmp_path) not in server.ask(path="/ping").body.decode()
        assert (posted.result().status, posted.result().code) == (503, "workers_down")
        assert len(server.ask(path="/models").json["models"]) == 1
    assert str(folder) in server.log
    assert "second is not loaded: each worker died 3 times meanwhile" in server.log


def test_a_parameter_of_the_content_type_is_documented_and_decides(server: Server) -> None:
    paths = server.ask(path="/openapi.json").json["paths"]
    [path] = [path for path in paths if path.endswith("/invoke")]
    content = paths[path]["post"]["requestBody"]["content"]
    assert "invert=auto|yes|no" in content[codecs.PNG]["schema"]["description"]
    paper = codecs.encode_json([[0.9] * 300 + [0.1] * 100 + [0.9] * 384])
    answers = {
        asked: server.ask(paper, f"{codecs.JSON}{asked}").json["predictions"][0]
        for asked in ("", "; invert=auto", "; invert=no")
    }
    assert answers[""]["inverted"] is True
    assert answers["; invert=auto"]["probability"] == pytest.approx(answers[""]["probability"])
    assert "inverted" not in answers["; invert=no"]
    assert server.ask(paper, f"{codecs.JSON}; invert=perhaps").code == "unfit_payload"


def test_models_are_fixed_unless_said_otherwise(model: Path) -> None:
    with serving(f"a={model}", f"b={model}", "--workers", 1) as server:
        order = codecs.encode_json({"url": str(model)})
        assert server.ask(order, codecs.JSON, "/models/a", "PUT").code == "not_managed"
        paths = server.ask(path="/openapi.json").json["paths"]
        assert {"/models/a/invoke", "/models/b/invoke"} <= paths.keys()


def test_a_broken_model_is_never_served(tmp_path: Path, model: Path, algoshelf: Algoshelf) -> None:
    broken = shutil.copytree(model, tmp_path / "broken")
    (broken / "model-0000.params").write_bytes(b"none")
    result = algoshelf("serve", broken, "--port", 0)
    assert result.code == 2
    assert "model-0000.params" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_use(algoshelf: Algoshelf, model: Path, server: Server) -> None:
    assert "no such model folder" in algoshelf("serve", "nowhere").stderr
    assert "no MODEL" in algoshelf("serve", SAGEMAKER_BASE_DIR="/nonexistent").stderr
    taken = algoshelf("serve", model, "--port", server.port)
    assert taken.code == 2
    assert "cannot be listened on" in taken.stderr
    assert "NAME=MODEL" in algoshelf("serve", model, model).stderr
    assert "as the model's name" in algoshelf("serve", f"a b={model}").stderr
    assert "cannot be listened on" in algoshelf("serve", model, "--host", "x" * 70).stderr
    assert "expected a size" in algoshelf("serve", model, "--max-payload", "big").stderr


def test_stopped_while_it_loads_it_ends_without_a_word_of_python(model: Path) -> None:
    process = Algoshelf(Path.cwd()).start("serve", model, "--workers", 1, "--port", 0)
    assert process.stderr is not None
    log = process.stderr.readline()
    time.sleep(0.7)  # somewhere within the worker's imports
    process.terminate()
    log += process.stderr.read()
    assert process.wait(60) == 0
    assert "Traceback" not in log


def test_a_container_serves_what_lies_in_its_model_folder(tmp_path: Path, model: Path) -> None:
    """In flight at SIGTERM: answered, then the end, with exit code 0."""
    shutil.copytree(model, tmp_path / "model")
    port = free_port()
    environment = {
        "SAGEMAKER_BASE_DIR": str(tmp_path),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
    }
    server = Server("--workers", 1, **environment).wait()
    assert server.port == port
    assert server.ask(path="/execution-parameters").json == {
        "MaxConcurrentTransforms": 3,
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 1,
    }
    assert server.ask(bytes(2**20 + 1)).status == 413
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    example = codecs.encode_npy(np.zeros((1, 784)))
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(server.ask, example)
        server.until(lambda: server.metric(BATCHES.replace("mnist-cnn", "model")) == 1)
        server.process.terminate()
        server.until(lambda: _refuses(server))
        assert server.close() == 0
        assert answer.result().status == 200


def _refuses(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except OSError:
        return True
    return False


MUTATION = st.tuples(st.integers(0, 3000), st.binary(max_size=8), st.integers(0, 8))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    content_type=st.sampled_from(MnistCnn.accepted_media_types()),
    noise=st.binary(max_size=200),
    mutations=st.lists(MUTATION, max_size=4),
    spoil=st.booleans(),
)
def test_whatever_comes_is_answered_or_refused(
    content_type: str,
    noise: bytes,
    mutations: list[tuple[int, bytes, int]],
    spoil: bool,
    server: Server,
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    body = bytearray(_body(digits[0][0], content_type) if spoil else noise)
    for at, piece, removed in mutations:
        at %= len(body) + 1
        body[at : at + removed] = piece
    answer = server.ask(bytes(body), content_type)
    assert answer.status in (200, 400, 422), answer
    assert answer.status == 200 or answer.code in ("malformed_payload", "unfit_payload")


def _body(digit: np.ndarray, content_type: str) -> bytes:
    """A good request."""
    rows = digit.reshape(1, -1)
    stream = io.BytesIO()
    if content_type.startswith("image/"):
        Image.fromarray(digit).save(stream, content_type.rpartition("/")[2])
        return stream.getvalue()
    writers = {
        codecs.NPY: codecs.encode_npy,
        codecs.JSON: codecs.encode_json,
        codecs.JSONLINES: codecs.encode_jsonlines,
        codecs.CSV: codecs.encode_csv,
    }
    return writers[content_type](rows)
