"""The handler: events of API Gateway as they were recorded, and what it makes of them."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any, Mapping

import pytest
from algoshelf.registry.web import app, gateway, site, stack
from algoshelf.registry.web.app import App, Endpoint, Local, RefusedError
from algoshelf.registry.web.template import Stack
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registry.web.events import FORMS, http, rest

ANSWER = {"label": "positive", "probability": 0.75}
TYPE = {"Content-Type": "application/json; charset=utf-8"}
HOSTILE = "<script>alert(1)</script> \"'& \u202e🎉 שלום\x00"


class Parts:
    """What a handler is given, and what reached it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.kept: list[Mapping[str, Any]] = []
        self.failure: Exception | None = None

    def ask(self, body: bytes) -> bytes:
        self.asked += json.loads(body)["instances"]
        if self.failure:
            raise self.failure
        return json.dumps({"predictions": [ANSWER]}).encode()

    def keep(self, correction: Mapping[str, Any]) -> None:
        if self.failure:
            raise self.failure
        self.kept.append(correction)


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def handler(parts: Parts) -> App:
    return App(site.files("reviews"), "reviews", parts.ask, parts.keep)


def told(answer: Mapping[str, Any]) -> Any:
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["isBase64Encoded"] is False
    return json.loads(answer["body"])


def code(answer: Mapping[str, Any]) -> tuple[int, str]:
    return answer["statusCode"], told(answer)["error"]["code"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["a warm film", HOSTILE, "é" * 20_000, "🎉" * 20_000])
@pytest.mark.parametrize("encoded", [False, True])
def test_a_text_gets_its_verdict(
    form: Any, text: str, encoded: bool, handler: App, parts: Parts
) -> None:
    body = json.dumps({"text": text}, ensure_ascii=encoded)
    if encoded:
        body = base64.b64encode(body.encode()).decode()
    answer = handler(form("/ask", body, TYPE, isBase64Encoded=encoded), None)
    assert answer["statusCode"] == 200
    assert told(answer) == {"answer": ANSWER, "model": "reviews"}
    assert parts.asked == [text]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (None, TYPE, (400, "malformed_body")),
        ("", TYPE, (400, "malformed_body")),
        ("{", TYPE, (400, "malformed_body")),
        ("[" * 100_000, TYPE, (400, "malformed_body")),
        ('["text"]', TYPE, (400, "malformed_body")),
        ('{"text": 1}', TYPE, (400, "malformed_body")),
        ('{"text": "  "}', TYPE, (400, "malformed_body")),
        ('{"text": "\\ud800"}', TYPE, (400, "malformed_body")),
        (json.dumps({"text": "x" * 20_001}), TYPE, (400, "malformed_body")),
        ('{"text": "a"}', {"Content-Type": "text/plain"}, (415, "unsupported_content_type")),
        ('{"text": "a"}', None, (415, "unsupported_content_type")),
        ("x" * (10 * 2**20), TYPE, (413, "too_large")),
    ],
)
def test_what_is_no_question_is_refused(
    form: Any, body: str | None, headers: Any, expected: Any, handler: App, parts: Parts
) -> None:
    for path in ("/ask", "/corrections"):
        assert code(handler(form(path, body, headers), None)) == expected
    assert parts.asked == []
    assert parts.kept == []


@pytest.mark.parametrize("event", [None, [], "x", {}, {"httpMethod": 1}, {"body": {}}])
def test_what_is_no_event_is_refused(event: Any, handler: App) -> None:
    assert code(handler(event, None)) == (400, "malformed_event")


def test_a_body_that_is_no_base64_is_refused(handler: App) -> None:
    event = http("/ask", "no base64!", TYPE, isBase64Encoded=True)
    assert code(handler(event, None)) == (400, "malformed_event")


@pytest.mark.parametrize(
    ("path", "method", "status", "allow"),
    [
        ("/ask", "GET", 405, "POST"),
        ("/", "POST", 405, "GET, HEAD"),
        ("/headers.json", "GET", 404, None),
        ("/page/../lambda_function.py", "GET", 404, None),
        ("/page", "GET", 404, None),
    ],
)
def test_other_ways_are_refused(
    path: str, method: str, status: int, allow: str | None, handler: App
) -> None:
    answer = handler(http(path, None, {}, method), None)
    assert answer["statusCode"] == status
    assert answer["headers"].get("allow") == allow


def test_the_page_and_what_it_is_made_of(handler: App) -> None:
    page = handler(rest("/", None, {}, "GET"), None)
    assert page["statusCode"] == 200
    policy = page["headers"]["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in page["body"].replace("http://www.w3.org", "")
    names = [part.split('"')[0] for part in page["body"].split('="page/')[1:]]
    assert len(names) == 5
    for name in names:
        file = handler(http(f"/page/{name}", None, {}, "GET"), None)
        assert file["statusCode"] == 200
        assert "immutable" in file["headers"]["cache-control"]
        again = {"If-None-Match": file["headers"]["etag"]}
        same = handler(http(f"/page/{name}", None, again, "GET"), None)
        assert (same["statusCode"], same["body"]) == (304, "")
    assert page["headers"]["cache-control"] == "no-cache"


def test_names_with_markup_are_no_script_of_the_page() -> None:
    files = site.files("</script><b>\u2028", "x</script>")
    [about] = [body for name, body in files.items() if name.endswith("about.js")]
    assert json.loads(about.split(b"= ", 1)[1].rstrip(b";\n"))["model"] == "</script><b>\u2028"
    assert b"\xe2" not in about


def test_a_correction_is_kept_with_consent_alone(handler: App, parts: Parts) -> None:
    given: dict[str, Any] = {"text": HOSTILE, "label": "negative", "answer": ANSWER}
    refused = handler(http("/corrections", json.dumps(given), TYPE), None)
    assert code(refused) == (400, "malformed_body")
    assert parts.kept == []
    given["consent"] = True
    answer = handler(http("/corrections", json.dumps(given), TYPE), None)
    [kept] = parts.kept
    assert told(answer) == {"id": kept["id"]}
    assert {name: kept[name] for name in given} == given
    parts.failure = OSError("disk full, at /secret")
    failed = handler(http("/corrections", json.dumps(given), TYPE), None)
    assert code(failed) == (503, "not_kept")
    assert "secret" not in failed["body"]


def test_a_password_is_asked_for_and_known(parts: Parts) -> None:
    secret = "a-long-enough-password"
    digest = app.digest(secret, b"0" * 16)
    handler = App(site.files("m"), "m", parts.ask, parts.keep, digest)
    for header in ("", "Bearer", "Bearer wrong", f"Basic {secret}", "Bearer \udcff"):
        answer = handler(http("/ask", '{"text": "a"}', {**TYPE, "Authorization": header}), None)
        assert code(answer) == (401, "unauthorized")
    assert parts.asked == []
    answer = handler(
        http("/ask", '{"text": "a"}', {**TYPE, "Authorization": f"bearer {secret}"}), None
    )
    assert answer["statusCode"] == 200
    assert handler(http("/", None, {}, "GET"), None)["statusCode"] == 200
    assert secret not in digest


class Failing:
    """A client of boto3's whose requests fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def invoke_endpoint(self, **_: Any) -> Any:
        raise self.error


def aws_error(code: str, **more: Any) -> Exception:
    error = Exception(f"An error occurred ({code}) arn:aws:secret")
    error.response = {"Error": {"Code": code}, **more}  # type: ignore[attr-defined]
    return error


REFUSAL = json.dumps({"error": {"faults": ["instances: 1: expected a text"]}})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aws_error("ValidationError"), (503, "model_absent")),
        (aws_error("ThrottlingException"), (503, "model_silent")),
        (aws_error("AccessDeniedException"), (503, "model_silent")),
        (OSError("connection refused"), (503, "model_silent")),
        (
            aws_error("ModelError", OriginalStatusCode=500, OriginalMessage="x"),
            (503, "model_failed"),
        ),
        (aws_error("ModelError"), (503, "model_failed")),
        (
            aws_error("ModelError", OriginalStatusCode=422, OriginalMessage=REFUSAL),
            (422, "refused_by_model"),
        ),
    ],
)
def test_a_model_that_does_not_answer_is_told_in_a_sentence(
    error: Exception, expected: Any, parts: Parts
) -> None:
    handler = App(site.files("m"), "m", Endpoint(Failing(error), "reviews"), parts.keep)
    answer = handler(http("/ask", '{"text": "a"}', TYPE), None)
    assert code(answer) == expected
    assert "secret" not in answer["body"]
    assert "connection" not in answer["body"]


@pytest.mark.parametrize("answered", [b"", b"x", b"[]", b"[1, 2]", b"{}", b'{"predictions": 1}'])
def test_an_answer_that_is_none_is_told(answered: bytes, parts: Parts) -> None:
    handler = App(site.files("m"), "m", lambda _: answered, parts.keep)
    answer = handler(http("/ask", '{"text": "a"}', TYPE), None)
    assert code(answer) == (502, "malformed_answer")


def test_a_model_in_the_function_is_asked_as_api_gateway_would(parts: Parts) -> None:
    seen = []

    def function(event: Any) -> dict[str, Any]:
        seen.append(event)
        good = len(seen) == 1
        body = json.dumps([ANSWER]) if good else REFUSAL
        return {"statusCode": 200 if good else 422, "body": body, "isBase64Encoded": False}

    local = Local(function)
    assert json.loads(local(b'{"instances": ["a"]}')) == [ANSWER]
    with pytest.raises(RefusedError, match="expected a text"):
        local(b"{}")
    assert seen[0]["body"] == '{"instances": ["a"]}'


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip
FIELDS = ("headers", "requestContext", "body", "httpMethod", "rawPath", "isBase64Encoded", "path")
events = st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values


@settings(max_examples=150, deadline=None)
@given(event=events)
def test_it_answers_whatever_comes(event: Any) -> None:
    parts = Parts()
    handler = App(site.files("m"), "m", parts.ask, parts.keep)
    answer = handler(event, None)
    assert 200 <= answer["statusCode"] < 500
    json.dumps(answer)


def test_the_gateway_sends_what_aws_sends() -> None:
    """The fields of a recorded event of an HTTP API, and the same kinds of values."""
    recorded = http("/ask", '{"text": "é"}', TYPE)
    scope = {
        "type": "http", "method": "POST", "path": "/ask", "query_string": b"",
        "http_version": "1.1", "client": ("192.0.2.1", 1),
        "headers": [
            (b"host", b"x.test"), (b"content-type", b"application/json; charset=utf-8"),
            (b"user-agent", b"c"), (b"accept", b"a"), (b"accept", b"b"), (b"cookie", b"a=1; b=2"),
        ],
    }  # fmt: skip
    made = gateway.event(scope, '{"text": "é"}'.encode())
    assert made["cookies"] == ["a=1", "b=2"]
    assert made["headers"]["accept"] == "a,b"
    assert {key: made[key] for key in ("body", "isBase64Encoded", "rawPath", "routeKey")} == {
        "body": '{"text": "é"}', "isBase64Encoded": False, "rawPath": "/ask",
        "routeKey": "$default",
    }  # fmt: skip
    assert set(recorded) - {"stageVariables"} <= set(made)
    assert set(recorded["requestContext"]) == set(made["requestContext"])
    assert set(recorded["requestContext"]["http"]) == set(made["requestContext"]["http"])
    binary = gateway.event({**scope, "headers": []}, b"\xff\x00")
    assert binary["isBase64Encoded"] is True
    assert base64.b64decode(binary["body"]) == b"\xff\x00"


RUNNER = """
import json, sys
sys.path.insert(0, sys.argv[1])
sys.modules["boto3"] = type(sys)("boto3")
class Client:
    def __init__(self, service, config=None):
        self.service = service
    def invoke_endpoint(self, **given):
        import io
        assert given["EndpointName"] == "reviews-1", given
        return {"Body": io.BytesIO(b'[{"label": "positive"}]')}
    def put_object(self, **given):
        print(json.dumps([given["Bucket"], given["Key"], given["Body"].decode()]))
sys.modules["boto3"].client = Client
sys.modules["botocore"] = type(sys)("botocore")
sys.modules["botocore.config"] = type(sys)("botocore.config")
sys.modules["botocore.config"].Config = dict
from lambda_function import lambda_handler
for event in json.load(sys.stdin):
    print(json.dumps(lambda_handler(event, None)))
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"numpy", "click", "pydantic", "uvicorn", "mxnet", "rich"}, loaded
"""


def test_the_archive_answers_in_a_bare_python(tmp_path: Path) -> None:
    """As Lambda runs it: without this project's packages, with what stands for boto3."""
    stack.write_for_endpoint(Stack("reviews-1", "", "reviews-1"), tmp_path / "app")
    function = tmp_path / "function"
    with zipfile.ZipFile(io.BytesIO((tmp_path / "app" / "function.zip").read_bytes())) as archive:
        archive.extractall(function)
    given = {"text": "a", "label": "b", "answer": {}, "consent": True}
    asked = [
        http("/", None, {}, "GET"),
        http("/ask", '{"text": "a"}', TYPE),
        rest("/corrections", json.dumps(given), TYPE),
    ]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUNNER, str(function)],
        input=json.dumps(asked), capture_output=True, text=True, check=False,
        env={"ALGOSHELF_ENDPOINT": "reviews-1", "ALGOSHELF_BUCKET": "kept"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page, verdict, [bucket, key, line], correction = map(json.loads, done.stdout.splitlines())
    assert page["body"].startswith("<!doctype html>")
    assert json.loads(verdict["body"])["answer"] == {"label": "positive"}
    assert (bucket, key.split("/")[0]) == ("kept", "corrections")
    assert json.loads(correction["body"])["id"] == json.loads(line)["id"]
    assert '"a"' not in done.stderr  # texts are not logged


def test_many_threads_may_ask(handler: App, parts: Parts) -> None:
    answers: list[int] = []

    def go(number: int) -> None:
        for place in range(20):
            body = json.dumps({"text": f"{number} {place}"})
            answers.append(handler(http("/ask", body, TYPE), None)["statusCode"])

    threads = [threading.Thread(target=go, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 160
    assert len(set(parts.asked)) == 160
