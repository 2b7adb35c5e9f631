"""`serve --capture` keeps requests as SageMaker's data capture does: some, and never too many."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest
from algoshelf.core.data import capture
from algoshelf.core.inference.requests import Reply, Request
from algoshelf.core.runtime.errors import InputError
from algoshelf.core.serving.capturing import Capture

from tests.conftest import InProcess
from tests.core.serving.conftest import Server

ROW = b"5.1,3.5,1.4,0.2\n"
ANSWER = Reply(200, "application/json", b'{"predictions":[]}')


def events(folder: Path) -> list[capture.Event]:
    return [capture.read(place) for place in capture.places(folder)]


def ask(kept: Capture, count: int, body: bytes = ROW, reply: Reply = ANSWER) -> None:
    for number in range(count):
        kept.keep("m", Request(body, "text/csv", "application/json"), reply, f"r{number}")


def test_a_server_keeps_what_it_answered_and_drift_reads_it(
    iris_model: Path, tmp_path: Path, in_process: InProcess
) -> None:
    folder = tmp_path / "kept"
    server = Server(iris_model, "--port", 0, "--workers", 1, "--capture", folder).wait()
    try:
        for number in range(40):
            answer = server.ask(ROW, "text/csv", X_Amzn_SageMaker_Inference_Id=f"r{number}")
            assert answer.status == 200
        assert server.ask(b"1,2\n", "text/csv").status == 422
        binary = b"\x93NUMPY\x01\x00 no array"
        assert server.ask(binary, "application/x-npy").status != 200
    finally:
        server.process.terminate()
        assert server.process.wait(60) == 0
    found = events(folder)
    assert [each.inference_id for each in found] == [f"r{number}" for number in range(40)]
    assert {each.body for each in found} == {ROW}
    assert len({each.event_id for each in found}) == 40
    (file,) = capture.files(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.relative_to(folder).parts[0] == "kmeans"
    line = json.loads(file.read_text().splitlines()[0])
    assert line["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv", "mode": "INPUT", "data": ROW.decode(), "encoding": "CSV",
    }  # fmt: skip
    assert "closest_cluster" in line["captureData"]["endpointOutput"]["data"]
    iris = Path(__file__).parents[3] / "algorithms" / "kmeans" / "sample" / "iris.csv"
    result = in_process("drift", iris_model, "--baseline", iris, "--current", folder, "--json")
    assert result.code == 3, result.stderr
    assert result.json["current"]["examples"] == 40


def test_what_is_no_text_is_kept_in_base64(tmp_path: Path) -> None:
    kept = Capture(tmp_path, 100, 2**20)
    body = bytes(range(256))
    kept.keep("m", Request(body, "image/png", "*/*"), ANSWER, "")
    kept.keep("m", Request(body, "text/csv", "*/*"), ANSWER, "")  # which is no UTF-8
    kept.close()
    assert [each.body for each in events(tmp_path)] == [body, body]
    text = capture.files(tmp_path)[0].read_text()
    assert text.count('"BASE64"') == 2


def test_the_oldest_go_where_there_is_no_room(tmp_path: Path) -> None:
    strange = tmp_path / "m" / "2020" / "01" / "01" / "01" / "mine.jsonl"
    strange.parent.mkdir(parents=True)
    strange.write_text("not the server's")
    first = Capture(tmp_path, 100, 20_000)
    ask(first, 100)
    first.close()
    again = Capture(tmp_path, 100, 20_000)  # which knows of the files that are there
    ask(again, 100)
    again.close()
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.jsonl"))
    assert 10_000 < size <= 20_000 + len("not the server's")
    assert strange.read_text() == "not the server's"
    strange.unlink()
    assert events(tmp_path)[-1].inference_id == "r99"


def test_a_percentage_of_the_good_answers_is_kept(tmp_path: Path) -> None:
    kept = Capture(tmp_path, 25, 2**24)
    for _ in range(8):
        ask(kept, 100)
        time.sleep(0.05)
    ask(kept, 10, reply=Reply(422, "application/json", b"{}"))
    kept.close()
    assert kept.dropped == 0
    assert 140 <= len(events(tmp_path)) <= 260  # 200 are expected, give or take 12


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    blocking = tmp_path / "file"
    blocking.touch()
    with pytest.raises(InputError, match=r"--capture: .*file"):
        Capture(blocking / "kept", 100, 2**20)
