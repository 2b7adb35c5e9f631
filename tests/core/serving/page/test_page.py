"""The page at GET /, as it is sent: its files, its headers, what it tells and to whom."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Iterator

import pytest
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.core import codecs
from algoshelf.core.algorithm import declaration
from algoshelf.core.serving.page import POLICY, STATIC

from tests.conftest import ROOT, Algoshelf
from tests.core.serving.conftest import Server, serving

from .conftest import WIDGET, Plugin

TOKEN = "0123456789abcdef0123"
FILES = [
    "/",
    *(
        f"/page/{path.relative_to(STATIC)}"
        for path in STATIC.rglob("*.*")
        if path.suffix != ".html"
    ),
]


@pytest.fixture(scope="module")
def server(iris_model: Path, model: Path) -> Iterator[Server]:
    options = ("--multi-model", "--model-root", iris_model.parent)
    with serving(f"iris={iris_model}", f"digits={model}", "--workers", 1, *options) as server:
        yield server


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


class References(HTMLParser):
    """What a document refers to, and what of it would be a script or a style within it."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self._inside = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name in ("src", "href") and value and not value.startswith("#"):
                self.found.append(value)
            if name.startswith("on") or name == "style":
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.inline.append(data)


def test_the_page_brings_all_that_it_needs(server: Server) -> None:
    answer = server.ask(path="/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    document = References(answer.body.decode())
    assert document.inline == []
    assert document.found
    assert all(server.ask(path=f"/{path}").status == 200 for path in document.found)
    assert all(path.startswith("page/") for path in document.found)


@pytest.mark.parametrize("path", FILES)
def test_each_file_is_sent_safely(path: str, server: Server) -> None:
    answer = server.ask(path=path)
    assert answer.status == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    text = answer.body.decode()
    elsewhere = re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", text)
    assert [each for each in elsewhere if not each.endswith("www.w3.org")] == []
    assert not re.search(
        r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\b", text
    )


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline() -> None:
    rules = {name: values for name, *values in (rule.split() for rule in POLICY.split("; "))}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == ["'self'"]
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert rules["require-trusted-types-for"] == ["'script'"]
    assert not re.search(r"unsafe|\*|http|data:", POLICY)


def test_what_has_not_changed_is_not_sent_again(server: Server) -> None:
    first = server.ask(path="/page/app.js")
    again = server.ask(path="/page/app.js", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers
    assert server.ask(path="/page/app.js", if_none_match=f"W/{first.headers['etag']}").status == 304
    other = server.ask(path="/page/app.js", if_none_match='"other"')
    assert (other.status, other.body) == (200, first.body)
    assert server.ask(path="/", method="HEAD").body == b""


@pytest.mark.parametrize(
    "path",
    [
        "/page/", "/page/static/app.js", "/page/index.html", "/page/__init__.py", "/page/../app.py",
        "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//etc/passwd", "/page/widgets",
        "/page/own/none.js", "/page/app.js/", "/page/app.js%00.css", "/pages", "/index.html",
    ],
)  # fmt: skip
def test_nothing_else_is_sent(path: str, server: Server) -> None:
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request.encode())  # as it is: a client would tidy it up
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 404")
    assert str(ROOT).encode() not in answer


def test_it_is_asked_by_get_alone(server: Server) -> None:
    for path in ("/", "/page/app.js", "/page/models"):
        assert server.ask(b"{}", codecs.JSON, path).code == "method_not_allowed"


def _models(server: Server, **headers: str) -> dict[str, dict[str, Any]]:
    answer = server.ask(path="/page/models", **headers)
    assert answer.status == 200, answer.body
    return {model["modelName"]: model for model in answer.json["models"]}


def test_it_is_told_how_each_model_is_asked(server: Server, iris_model: Path) -> None:
    told = _models(server)
    assert (told["iris"]["widget"], told["digits"]["widget"]) == ("rows", "digit")
    assert told["iris"]["columns"] == ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    assert told["iris"]["example"]["body"].strip() == "5.1,3.5,1.4,0.2"
    assert told["iris"]["path"] == "models/iris/invoke"
    assert {model["state"] for model in told.values()} == {"serving"}
    answer = server.ask(path="/page/models")
    assert str(iris_model.parent) not in answer.body.decode()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_models_that_come_and_go_are_told(server: Server, iris_model: Path) -> None:
    order = codecs.encode_json({"model_name": "second", "url": str(iris_model)})
    assert server.ask(order, codecs.JSON, "/models").status == 200
    assert _models(server)["second"]["version"] > _models(server)["iris"]["version"]
    assert server.ask(path="/models/second", method="DELETE").status == 200
    assert _models(server).keys() == {"iris", "digits"}


def test_the_page_is_a_path_of_the_document(server: Server) -> None:
    assert "text/html" in server.ask(path="/openapi.json").json["paths"]["/"]["get"][
        "responses"]["200"]["content"]  # fmt: skip


@pytest.mark.parametrize("option", ["--no-page", "--page"])
def test_it_can_be_turned_off(option: str, iris_model: Path) -> None:
    with serving(iris_model, "--workers", 1, option) as server:
        status = 404 if option == "--no-page" else 200
        paths = ("/", "/page/app.js", "/page/models")
        assert {server.ask(path=path).status for path in paths} == {status}
        assert ("/" in server.ask(path="/openapi.json").json["paths"]) is (status == 200)
        if status == 200:
            assert _models(server)["kmeans"]["path"] == "invocations"  # it is alone
    assert ("in a browser" in server.log) is (status == 200)


@pytest.mark.parametrize(("options", "status"), [((), 404), (("--page",), 200)])
def test_in_a_container_it_is_off_unless_asked_for(
    options: tuple[str, ...], status: int, tmp_path: Path, iris_model: Path
) -> None:
    shutil.copytree(iris_model, tmp_path / "model")
    with serving("--workers", 1, *options, SAGEMAKER_BASE_DIR=str(tmp_path)) as server:
        assert server.ask(path="/").status == status
        assert server.ask(b"5.1,3.5,1.4,0.2", codecs.CSV).status == 200


class Image(Server):
    """What the image starts that `package --as container --engine onnx` prepares."""

    def __init__(self, model: Path, folder: Path, *arguments: object) -> None:
        script = (ROOT / "registry" / "packaging" / "scaffold" / "onnx" / "serve").read_text()
        assert '"/opt/model"' in script
        (folder / "serve.py").write_text(script.replace('"/opt/model"', repr(str(model))))
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "serve.py"), "--port", "0", *map(str, arguments)],
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(folder)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""
        self.port = 0


@pytest.mark.parametrize(("options", "status"), [((), 404), (("--page",), 200)])
def test_in_an_image_of_its_own_it_is_off_unless_asked_for(
    options: tuple[str, ...], status: int, tmp_path: Path, iris_model: Path
) -> None:
    folder = shutil.copytree(iris_model, tmp_path / "m")
    exported = Algoshelf(tmp_path)("export", folder)
    assert exported.code == 0, exported.stderr
    server = Image(folder, tmp_path, "--workers", 1, *options)
    try:
        server.wait()
        assert server.ask(path="/").status == status
        assert server.ask(b"5.1,3.5,1.4,0.2", codecs.CSV).status == 200
    finally:
        server.close()


def test_without_the_token_it_says_nothing_of_the_models(
    token_file: Path, iris_model: Path
) -> None:
    with serving(f"secret={iris_model}", "--workers", 1, "--token-file", token_file) as server:
        for path in FILES:
            answer = server.ask(path=path)
            assert answer.status == 200
            assert b"secret" not in answer.body
        assert server.ask(path="/page/models").code == "unauthorized"
        assert server.ask(path="/page/own/guess.js").code == "unauthorized"
        assert _models(server, authorization=f"Bearer {TOKEN}").keys() == {"secret"}
        assert server.ask(path="/", host="evil.example").code == "host_not_allowed"
        security = server.ask(path="/openapi.json", authorization=f"Bearer {TOKEN}").json["paths"]
        assert security["/"]["get"]["security"] == []


def test_allowed_hosts_hold_for_the_page(iris_model: Path) -> None:
    with serving(iris_model, "--workers", 1, "--allowed-hosts", "models.lan") as server:
        assert server.ask(path="/", host="models.lan").status == 200
        assert server.ask(path="/page/models", host="models.lan").status == 200
        assert server.ask(path="/").code == "host_not_allowed"


def test_without_models_it_is_told_so(tmp_path: Path) -> None:
    options = ("--multi-model", "--page", "--workers", 1)
    with serving(*options, SAGEMAKER_BASE_DIR=str(tmp_path)) as server:
        answer = server.ask(path="/page/models").json
        assert (answer["models"], answer["manages"], answer["unready"]) == ([], True, "")


def test_a_plugin_brings_its_own_widget(plugin: Plugin) -> None:
    with serving(plugin.model, "--workers", 1, **plugin.environment) as server:
        told = _models(server)["acme-dial"]
        assert re.fullmatch(r"page/own/[0-9a-f]{32}\.js", told["module"])
        answer = server.ask(path=f"/{told['module']}")
        assert answer.body.decode() == WIDGET
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["content-security-policy"] == POLICY
        assert str(plugin.site) not in server.ask(path="/page/models").body.decode()


@pytest.mark.parametrize(
    ("widget", "said"),
    [
        (
            "canvas",
            "expected one of text, digit, picture, rows, series, body, or the path of a .js file",
        ),
        ("none.js", "has no such file beside it"),
        ("../kmeans/none.js", "expected a path inside of the package"),
        ("/etc/passwd.js", "expected a path inside of the package"),
        (3, "expected a str"),
    ],
)
def test_a_widget_that_cannot_be_served_is_a_fault(widget: Any, said: str) -> None:
    class Mine(KMeans):
        pass

    Mine.widget = widget
    [fault] = declaration.faults(Mine)
    assert "widget" in fault
    assert said in fault
