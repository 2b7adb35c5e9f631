"""Who may ask a server, from where models are loaded, and one answer a request."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
from pathlib import Path
from typing import Iterator

import pytest
from algoshelf.core import codecs
from algoshelf.core.serving import admission

from tests.conftest import Algoshelf

from .conftest import Server, serving

ROW = b"5.1,3.5,1.4,0.2\n"
TOKEN = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, iris_model: Path) -> Path:
    """A folder of models, with two links, and a folder beside it that nobody is to load."""
    folder = tmp_path_factory.mktemp("root")
    inside = folder / "models"
    shutil.copytree(iris_model, inside / "good")
    shutil.copytree(iris_model, folder / "outside")
    (inside / "link").symlink_to(folder / "outside")
    shutil.copytree(iris_model, inside / "leaky")
    (inside / "leaky" / "extra").symlink_to("/etc/hostname")
    (folder / "token").write_text(f"  {TOKEN}\n")
    return inside


@pytest.fixture(scope="module")
def server(root: Path, iris_model: Path) -> Iterator[Server]:
    options = ("--multi-model", "--model-root", root, "--token-file", root.parent / "token")
    with serving(f"iris={iris_model}", "--workers", 1, *options) as server:
        yield server


def _load(server: Server, url: object) -> tuple[int, str]:
    order = json.dumps({"model_name": "second", "url": url}).encode()
    answer = server.ask(order, codecs.JSON, "/models", authorization=f"Bearer {TOKEN}")
    return answer.status, answer.body.decode()


def test_models_are_loaded_from_their_root_only(server: Server, root: Path) -> None:
    for url in (
        f"{root}/../outside", "../outside", f"{root}/good/../../outside", f"{root.parent}/outside",
        f"file://{root.parent}/outside", f"file://{root}/%2e%2e/outside", f"{root}/link", "link",
        "/etc", "/", "leaky", str(root.parent),
    ):  # fmt: skip
        status, said = _load(server, url)
        assert status == 422, url
        assert "outside" not in said or "lies outside of the folder that --model-root" in said
    for url in (f"{root}/good", "good", f"file://{root}/good"):
        assert _load(server, url)[0] == 200, url
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert server.ask(path="/models/second", method="DELETE", **headers).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}0",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
    ],
)
def test_who_does_not_know_the_token_is_told_nothing(authorization: str, server: Server) -> None:
    given = {"authorization": authorization} if authorization else {}
    for path, body in (("/invocations", ROW), ("/models", None), ("/metrics", None)):
        answer = server.ask(body, codecs.CSV, path, **given)
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert server.ask(path="/ping", **given).status == 200


def test_who_knows_the_token_is_answered(server: Server) -> None:
    for scheme in ("Bearer", "bearer"):
        answer = server.ask(ROW, codecs.CSV, authorization=f"{scheme} {TOKEN}")
        assert answer.status == 200
    document = server.ask(path="/openapi.json", authorization=f"Bearer {TOKEN}").json
    assert document["security"] == [{"token": []}]
    assert TOKEN not in server.log


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:80", 200), ("127.0.0.1:1", 200), ("[::1]:8080", 200),
        ("localhost.", 200), ("evil.example", 403), ("localhost.evil.example", 403), ("", 403),
        ("127.0.0.1.evil.example:8080", 403), ("10.0.0.1", 403),
    ],
)  # fmt: skip
def test_the_server_is_called_by_its_own_names(host: str, status: int, server: Server) -> None:
    """A page in a browser may have made its name one for 127.0.0.1; it cannot say another one."""
    request = f"GET /ping HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request.encode())
        assert connection.recv(65536).startswith(f"HTTP/1.1 {status}".encode())


@pytest.mark.parametrize(
    ("asked", "listens", "called", "allowed"),
    [
        ("", None, "127.0.0.1:8080", True),
        ("", "192.168.0.7", "192.168.0.7:8080", True),
        ("", "0.0.0.0", "192.168.0.7", True),  # an address cannot be rebound
        ("", "0.0.0.0", "evil.example", False),
        ("", "::", "[fe80::1]:8080", True),
        ("models.lan, localhost", "0.0.0.0", "Models.LAN:80", True),
        ("models.lan", None, "localhost", False),
    ],
)
def test_the_names_of_a_server(asked: str, listens: str, called: str, allowed: bool) -> None:
    names = admission.allowed_hosts(asked, listens)
    assert names is not None
    assert admission.is_allowed(called, names) is allowed


def test_a_container_may_be_called_by_any_name(tmp_path: Path, iris_model: Path) -> None:
    """SageMaker says which; an old health check says none."""
    shutil.copytree(iris_model, tmp_path / "model")
    with serving("--workers", 1, SAGEMAKER_BASE_DIR=str(tmp_path)) as server:
        for head in (b"GET /ping HTTP/1.1\r\nhost: model.local:8080", b"GET /ping HTTP/1.0"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                connection.sendall(head + b"\r\nconnection: close\r\n\r\n")
                assert b" 200 OK" in connection.recv(65536)


def test_a_token_that_is_none_is_refused(tmp_path: Path, algoshelf: Algoshelf) -> None:
    for content in (b"", b"short", b"two words of a token"):
        (tmp_path / "token").write_bytes(content)
        refused = algoshelf("serve", "--token-file", "token", SAGEMAKER_BASE_DIR="/nonexistent")
        assert refused.code == 2
        assert "--token-file" in refused.stderr
    missing = algoshelf("serve", "--token-file", "none", SAGEMAKER_BASE_DIR="/nonexistent")
    assert "none: cannot be read" in missing.stderr


def test_what_comes_first_is_answered_first_and_once(iris_model: Path) -> None:
    """Whatever follows it: a request that is none, an end of the body that never comes."""
    head = b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n"
    whole = head + b"content-length: %d\r\n\r\n" % len(ROW) + ROW
    chunked = head + b"transfer-encoding: chunked\r\n\r\n"
    large = chunked + b"1400\r\n" + bytes(0x1400) + b"\r\n0\r\nx: " + b"y" * 500_000
    cases = [
        (whole + b"nonsense\r\n\r\n", [b"200", b"400"]),
        (whole * 3 + b"GET /ping HTTP/1.1\r\nx: " + b"y" * 500_000, [b"200"] * 3 + [b"431"]),
        (chunked + b"zz\r\n", [b"400"]),
        (whole + chunked + b"1\r\n1\r\nzz\r\n", [b"200", b"400"]),
        (large, [b"413"]),
    ]
    with serving(iris_model, "--workers", 1, "--max-payload", "4kB") as server:
        for sent, statuses in cases:
            received = b""
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                connection.sendall(sent)
                while True:
                    try:
                        piece = connection.recv(65536)
                    except ConnectionResetError:
                        break
                    if not piece:
                        break
                    received += piece
            found = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
            assert found == statuses, sent[:200]


def test_the_line_for_curl_is_quoted(tmp_path: Path, iris_model: Path) -> None:
    """The content type and the body are the model's, and reach a shell."""
    folder = shutil.copytree(iris_model, tmp_path / "m")
    path = folder / "algorithm.json"
    metadata = json.loads(path.read_text())
    evil = "text/csv; x='$(touch pwned); echo `id`"
    metadata["example"]["content_type"] = evil
    path.write_text(json.dumps(metadata))
    server = Server(folder, "--workers", 1, "--port", 0).wait()
    line = server.process.stderr.readline()  # type: ignore[union-attr]
    server.close()
    words = shlex.split(line)
    assert words[0] == "curl"
    assert words[words.index("-H") + 1] == f"Content-Type: {evil}"
    assert (
        words[words.index("--data-binary") + 1].encode() + b"\n"
        == metadata["example"]["body"].encode()
    )
