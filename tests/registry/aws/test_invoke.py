"""``algoshelf sagemaker invoke``: real requests through a gateway to a real ``algoshelf serve``.

The gateway is a server of HTTP that answers as AWS's runtime does; boto3 finds it by
AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME. What is asked of SageMaker and S3 beside that answers moto.
"""

from __future__ import annotations

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from algoshelf.core import payload
from algoshelf.core.runtime.errors import PayloadTooLargeError
from algoshelf.registry.aws import invoking
from moto.sagemaker.models import sagemaker_backends

from tests.conftest import Algoshelf, InProcess, free_port
from tests.registry.aws.conftest import ACCOUNT, Aws

ROWS = "5.1,3.5,1.4,0.2\n6.2,3.4,5.4,2.3\n5.9,3.0,4.2,1.5\n"


class Gateway:
    """AWS's runtime: it hands invocations on to ``port``, and says what AWS says of errors.

    ``refusals`` are answered first, each once: a status and AWS's code.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.refusals: list[tuple[int, str]] = []
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                gateway.asked.append((self.path, dict(self.headers), body))
                if gateway.refusals:
                    status, code = gateway.refusals.pop(0)
                    self._answer(status, code, {"message": "slow down"})
                    return
                upstream = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
                kept = ("Content-Type", "Accept")
                headers = {k: self.headers[k] for k in kept if k in self.headers}
                upstream.request("POST", "/invocations", body, headers)
                answer = upstream.getresponse()
                content = answer.read()
                if answer.status != 200:
                    told = {
                        "OriginalStatusCode": answer.status,
                        "OriginalMessage": content.decode(),
                        "LogStreamArn": "arn:aws:logs:us-east-1:1:log-group:x",
                        "Message": "Received client error from primary",
                    }
                    self._answer(424, "ModelError", told)
                    return
                self.send_response(200)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _answer(self, status: int, code: str, document: Any) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("x-amzn-ErrorType", code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def served(iris_model: Path) -> Iterator[int]:
    """The port at which `algoshelf serve` answers for the model."""
    port = free_port()
    process = Algoshelf(iris_model.parent).start("serve", iris_model, "--port", port)
    assert process.stderr is not None
    for line in process.stderr:
        if "ready" in line or "http://" in line:
            break
    drained = threading.Thread(target=process.stderr.read)
    drained.start()
    _wait(port)
    yield port
    process.terminate()
    process.wait(30)
    drained.join()


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        threading.Event().wait(0.05)
    raise AssertionError("the server does not answer")


@pytest.fixture
def gateway(served: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    made = Gateway(served)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", made.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.close()


@pytest.fixture
def endpoint(aws: Aws, gateway: Gateway, packed_iris: Path) -> Any:
    """`demo`, deployed by us; as moto has it."""
    aws.quotas["ml.m5.large for endpoint usage"] = 1.0
    done = aws("deploy", packed_iris, "--name", "demo", "--role", aws.role(), "--yes")
    assert done.exit_code == 0, done.exception
    aws.requests.clear()
    return sagemaker_backends[ACCOUNT]["us-east-1"].endpoints["demo"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """As people keep them: with headings, in another order, with a column more."""
    path = tmp_path / "rows.csv"
    lines = ["id;petal_width;sepal_length;sepal_width;petal_length"]
    lines += ["1;0.2;5.1;3.5;1.4", "2;2.3;6.2;3.4;5.4"]
    path.write_text("\n".join(lines) + "\n")
    return path


def invoke(in_process: InProcess, *words: object, stdin: bytes = b"") -> Any:
    return in_process("sagemaker", "invoke", *words, stdin=stdin)


def test_it_answers_what_predict_answers(
    endpoint: Any,
    in_process: InProcess,
    iris_model: Path,
    gateway: Gateway,
    rows: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_bytes(rows.read_bytes())
    (folder / "b.csv").write_text(ROWS)
    files = (folder / "a.csv", folder / "b.csv")
    for words in (
        (),
        files,
        (*files, "--accept", "text/csv"),
        (files[1], "--accept", payload.JSON),
    ):
        there, here = invoke(in_process, "demo", *words), in_process("predict", iris_model, *words)
        assert there.code == here.code == 0, there.stderr
        assert there.stdout == here.stdout
        for line in here.stderr.splitlines():
            assert line in there.stderr
    whole = invoke(in_process, "demo", folder)
    assert whole.stdout == invoke(in_process, "demo", *files).stdout
    piped = ("-", "--content-type", "text/csv")
    assert (
        invoke(in_process, "demo", *piped, stdin=ROWS.encode()).stdout
        == in_process("predict", iris_model, *piped, stdin=ROWS.encode()).stdout
    )
    path, headers, _ = gateway.asked[-1]
    assert path == "/endpoints/demo/invocations"
    assert headers["Accept"] == payload.JSONLINES


def test_errors_are_those_of_predict(
    endpoint: Any, in_process: InProcess, iris_model: Path, tmp_path: Path
) -> None:
    cases: dict[str, tuple[str, tuple[str, ...]]] = {
        "narrow.csv": ("1,2\n", ()),
        "words.csv": (f"{ROWS}5.1,x,1.4,0.2\n", ()),
        "headed.csv": ("a,b\n1,2\n", ()),
        "nothing.csv": ("", ()),
        "broken.json": ("[[1,", ()),
        "rows.bin": (ROWS, ("--content-type", "image/png")),
    }
    for name, (content, words) in cases.items():
        path = tmp_path / name
        path.write_text(content)
        there, here = (
            invoke(in_process, "demo", path, *words),
            in_process("predict", iris_model, path, *words),
        )
        assert there.code == here.code == 2, name
        assert there.stderr.splitlines()[-1] == here.stderr.splitlines()[-1], name
    missing = invoke(in_process, "demo", tmp_path / "none.csv")
    assert missing.code == 2
    assert "none.csv" in missing.stderr


def test_what_is_more_than_a_request_may_hold_goes_in_several(
    endpoint: Any,
    in_process: InProcess,
    iris_model: Path,
    gateway: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(invoking, "MAX_BYTES", 100)
    path = tmp_path / "rows.csv"
    path.write_text(ROWS * 10)
    for accept in (payload.JSONLINES, payload.JSON, "text/csv"):
        gateway.asked.clear()
        there = invoke(in_process, "demo", path, "--accept", accept)
        assert there.stdout == in_process("predict", iris_model, path, "--accept", accept).stdout
        assert len(gateway.asked) == 5
        assert all(len(body) <= 100 for _, _, body in gateway.asked)
    path.write_text(ROWS * 5 + "1,2\n")
    there, here = invoke(in_process, "demo", path), in_process("predict", iris_model, path)
    assert there.code == 2
    assert "line 16" in there.stderr
    assert "line 16" in here.stderr


def test_an_endpoint_that_does_not_answer_is_said_so(
    endpoint: Any, in_process: InProcess, rows: Path, gateway: Gateway
) -> None:
    there = invoke(in_process, "none", rows)
    assert there.code == 2
    assert (
        "none: there is no such endpoint in us-east-1; `algoshelf sagemaker list --all`"
        in there.stderr
    )
    wrong = invoke(in_process, "demo", rows, "--variant", "b")
    assert "--variant: demo has no 'b'; there are kmeans" in wrong.stderr
    assert (
        "--async: demo answers at once: leave --async out"
        in invoke(in_process, "demo", "--async").stderr
    )
    endpoint.endpoint_status = "Creating"
    assert (
        "demo: is Creating, and answers when it is InService" in invoke(in_process, "demo").stderr
    )
    endpoint.endpoint_status = "Failed"
    endpoint.failure_reason = "no capacity"
    assert "demo: is Failed" in invoke(in_process, "demo").stderr
    assert gateway.asked == []


def test_throttling_is_met_by_a_bounded_number_of_tries(
    endpoint: Any, in_process: InProcess, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    gateway.refusals = [
        (400, "ThrottlingException"),
        (429, "ModelNotReadyException"),
        (503, "ServiceUnavailable"),
    ]
    there = invoke(in_process, "demo")
    assert there.code == 0, there.stderr
    assert len(gateway.asked) == 4
    assert "the model is being loaded; asking again" in there.stderr
    for code in ("ThrottlingException", "ModelNotReadyException"):
        gateway.asked.clear()
        gateway.refusals = [(429, code)] * 100
        there = invoke(in_process, "demo")
        assert there.code == 1
        assert "slow down" in there.stderr
        assert len(gateway.asked) <= invoking.LOADING_TRIES
    assert "AWS got too many requests" not in there.stderr


def test_a_failure_of_the_model_names_its_log(
    endpoint: Any, in_process: InProcess, gateway: Gateway
) -> None:
    gateway.port = free_port()  # whose connection is refused: the gateway's own failure
    gateway.refusals = [(424, "ModelError")]
    there = invoke(in_process, "demo")
    assert there.code == 1
    assert "demo: the model failed (500): it gives no reason" in there.stderr
    assert "aws logs tail /aws/sagemaker/Endpoints/demo" in there.stderr


def test_where_nobody_answers_that_is_said(
    endpoint: Any, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{free_port()}")
    there = invoke(in_process, "demo")
    assert there.code == 1
    assert "Could not connect" in there.stderr
    assert "is there a network" in there.stderr


def test_variant_and_model_are_named_to_aws(
    endpoint: Any, in_process: InProcess, gateway: Gateway, rows: Path
) -> None:
    assert invoke(in_process, "demo", "--variant", "kmeans").code == 0
    assert gateway.asked[-1][1]["X-Amzn-SageMaker-Target-Variant"] == "kmeans"
    there = invoke(
        in_process,
        "demo",
        "--target-model",
        "b.tar.gz",
        "-",
        "--content-type",
        "text/csv",
        stdin=ROWS.encode(),
    )
    assert there.code == 0, there.stderr
    assert gateway.asked[-1][1]["X-Amzn-SageMaker-Target-Model"] == "b.tar.gz"


def test_an_asynchronous_endpoint_answers_through_s3(
    aws: Aws, in_process: InProcess, packed_iris: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto keeps the request; this test answers in the place of the model."""
    aws.quotas["ml.m5.large for endpoint usage"] = 1.0
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="mine")
    given = ("--async", "s3://mine/answers", "--kms-key", "alias/firm")
    done = aws("deploy", packed_iris, "--name", "later", "--role", aws.role(), "--yes", *given)
    assert done.exit_code == 0, done.exception
    described = sagemaker_backends[ACCOUNT]["us-east-1"].endpoints["later"]
    config = {"OutputConfig": {"S3OutputPath": "s3://mine/answers"}}
    monkeypatch.setattr(described, "async_inference_config", config, raising=False)
    aws.answers["DescribeEndpoint"] = lambda told: told.update(AsyncInferenceConfig=config)
    told = {
        "OutputLocation": "s3://mine/answers/1.out",
        "FailureLocation": "s3://mine/failures/1.out",
    }

    def fail(_: Any) -> None:
        fault = {"code": "unfit_payload", "message": "a cell", "faults": ["a cell"]}
        text = f"Received client error (422): {json.dumps({'error': fault})}"
        s3.put_object(Bucket="mine", Key="failures/1.out", Body=text.encode())

    def succeed(_: Any) -> None:
        s3.put_object(Bucket="mine", Key="answers/1.out", Body=b"{}\n")

    assert (
        "later: is asynchronous, and answers through S3: give --async"
        in invoke(in_process, "later", rows).stderr
    )
    for work, out in ((fail, ""), (succeed, "{}\n")):
        aws.answers["InvokeEndpointAsync"] = lambda answer, work=work: (
            answer.update(told),
            work(answer),
        )
        there = invoke(in_process, "later", rows, "--async", "--kms-key", "alias/firm")
        assert there.text == out
        assert (there.code, "rows.csv: a cell" in there.stderr) == (
            (0, False) if out else (2, True)
        ), there.stderr
    (request, *_) = aws.sent("InvokeEndpointAsync")
    assert request["EndpointName"] == "later"
    key = request["InputLocation"].split("/", 3)[3]
    head = s3.head_object(Bucket=request["InputLocation"].split("/")[2], Key=key)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/firm")


def parts(body: bytes, kind: str, most: int) -> list[invoking.Part]:
    found = list(invoking.divided(body, kind, most))
    assert all(len(part.body) <= most for part in found)
    assert [part.first for part in found] == [
        sum(p.examples for p in found[:i]) for i in range(len(found))
    ]
    return found


def test_requests_are_divided_between_examples_alone() -> None:
    quoted = b'"a\nb",1\n' * 9
    found = parts(quoted, payload.CSV, 20)
    assert b"".join(part.body for part in found) == quoted
    assert [part.lines for part in found] == [4 * n for n in range(5)]
    records = [{"features": [1, 2]}] * 7
    jsons = parts(json.dumps({"instances": records}).encode(), payload.JSON, 70)
    assert [r for part in jsons for r in json.loads(part.body)["instances"]] == records
    array = np.arange(60_000, dtype="float32").reshape(3000, 20)
    arrays = parts(payload.encode_npy(array), payload.NPY, 20_000)
    assert np.array_equal(
        np.concatenate([payload.decode_array(p.body, payload.NPY) for p in arrays]), array
    )
    for body, kind in (
        (b"x" * 30, payload.TEXT),
        (b"x" * 30, payload.PNG),
        (b'{"a": 1}' * 9, payload.JSONLINES),
    ):
        with pytest.raises(PayloadTooLargeError):
            parts(body, kind, 5)
