"""Batch transform: a line for each line, whatever it holds, and however often it is killed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterable

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import IRIS, KMeans
from algoshelf.algorithms.mnist_cnn import MnistCnn
from algoshelf.algorithms.text_classification import TextClassification
from algoshelf.core import InputError, PayloadError, Reporter, codecs, recordio_protobuf, train
from algoshelf.core.runtime.errors import DataError, OutputError
from algoshelf.core.transform import journal
from algoshelf.core.transform.job import TransformOptions
from algoshelf.core.transform.run import Listener, Summary, transform
from PIL import Image

from tests.conftest import InProcess

LINES = IRIS.read_bytes().splitlines()[1:]
REPORT = TransformOptions(on_error="report")
CSV = codecs.CSV


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transform-text") / "m"
    algorithm = TextClassification()
    options = algorithm.Hyperparameters(network="ngram", epochs=1)
    train(algorithm, algorithm.sample(), options, folder, reporter=Reporter())
    return folder


class Heard(Listener):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


class Asked:
    """k-means on a file of these lines; what there is afterwards."""

    def __init__(self, model: Path, folder: Path, name: str = "in.csv") -> None:
        self.model = model
        self.input = folder / name
        self.output = folder / "out"
        self.algorithm = KMeans()
        self.heard = Heard()

    def __call__(self, options: TransformOptions | None = None, **changed: Any) -> Summary:
        self.heard = Heard()
        options = replace(options or TransformOptions(), **changed)
        source = str(self.input)
        return transform(self.algorithm, self.model, source, self.output, options, self.heard)

    def write(self, lines: Iterable[bytes]) -> None:
        self.input.write_bytes(b"".join(line + b"\n" for line in lines))

    @property
    def body(self) -> bytes:
        return (self.output / f"{self.input.name}.out").read_bytes()

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) if line else None for line in self.body.split(b"\n")[:-1]]

    @property
    def errors(self) -> list[Any]:
        path = self.output / f"{self.input.name}.errors.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def asked(iris_model: Path, tmp_path: Path) -> Asked:
    asked = Asked(iris_model, tmp_path)
    asked.write(LINES)
    return asked


def distances(rows: list[Any]) -> np.ndarray:
    return np.array([row["distance_to_cluster"] for row in rows])


def test_both_strategies_answer_each_line_as_predict_does(
    asked: Asked, in_process: InProcess
) -> None:
    summary = asked()
    assert (summary.files, summary.rows, summary.errors) == (1, 150, 0)
    multi = asked.rows
    asked(strategy="single")
    np.testing.assert_allclose(distances(asked.rows), distances(multi), rtol=1e-5)
    predicted = in_process("predict", asked.model, asked.input)
    answers = [json.loads(line) for line in predicted.text.splitlines()]
    assert [row["closest_cluster"] for row in multi] == [row["closest_cluster"] for row in answers]
    np.testing.assert_allclose(distances(answers), distances(multi), rtol=1e-5)


def test_what_is_refused_before_the_first_answer_leaves_nothing(asked: Asked) -> None:
    asked.write([LINES[0], b"x,1,1,1"])
    with pytest.raises(PayloadError, match="line 2"):
        asked()
    assert not asked.output.exists()
    asked.output.mkdir()
    (asked.output / "kept").touch()
    with pytest.raises(PayloadError, match="line 2"):
        asked()
    assert [path.name for path in asked.output.iterdir()] == ["kept"]


def test_what_is_refused_later_can_be_gone_on_with(asked: Asked) -> None:
    asked.write([LINES[0]] * 20_000 + [b"x,1,1,1"])
    with pytest.raises(PayloadError, match="line 20,001"):
        asked()
    names = {path.name for path in asked.output.iterdir()}
    assert {".transform.jsonl", ".in.csv.out.partial"} <= names


def test_pictures_and_pixels_in_a_tree_of_folders(
    model: Path, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, _labels = digits
    deep = tmp_path / "in" / "a" / "b"
    deep.mkdir(parents=True)
    for position in (0, 50):
        Image.fromarray(images[position]).save(deep / f"{position}.png")
    (deep / ".hidden").write_text("x")
    pixels = codecs.encode_csv(images.reshape(100, -1))
    (tmp_path / "in" / "all.csv").write_bytes(pixels)
    (tmp_path / "in" / "none.csv").touch()
    out = tmp_path / "out"
    summary = transform(MnistCnn(), model, str(tmp_path / "in"), out)
    assert (summary.files, summary.rows) == (4, 102)
    assert sorted(path.name for path in (out / "a" / "b").iterdir()) == ["0.png.out", "50.png.out"]
    assert (out / "none.csv.out").read_bytes() == b""
    rows = [json.loads(line) for line in (out / "all.csv.out").read_bytes().splitlines()]
    for position in (0, 50):
        alone = json.loads((out / "a" / "b" / f"{position}.png.out").read_bytes())
        assert alone["label"] == rows[position]["label"]
        assert alone["probability"] == pytest.approx(rows[position]["probability"], rel=1e-4)
    chosen = transform(MnistCnn(), model, str(tmp_path / "in" / "**" / "5*.png"), tmp_path / "some")
    assert chosen.files == 1
    assert (tmp_path / "some" / "a" / "b" / "50.png.out").exists()


def test_devices_share_the_work_and_keep_the_order(asked: Asked) -> None:
    asked.write(LINES * 200)
    asked()
    alone = asked.body
    asked(devices="cpu:2")
    assert asked.heard.messages == [f"{asked.input}: starting over: another devices than before"]
    assert asked.body == alone
    assert distances(asked.rows[:150]).tolist() == distances(asked.rows[-150:]).tolist()


def test_what_stands_between_lines_makes_no_difference(asked: Asked) -> None:
    asked.write(LINES[:3])
    asked()
    expected = asked.rows
    mark = codecs.UTF8_MARK
    for lines, answered in (
        (mark + b"\r\n".join(LINES[:3]), expected),
        (b"\n" + b"\n \r\n".join(LINES[:3]) + b"\n\n", [None, *expected, None]),
    ):
        asked.input.write_bytes(lines)
        assert asked().rows == 3
        assert [row for row in asked.rows if row] == expected
        if answered[0] is None:
            assert [row is None for row in asked.rows] == [True, *[False, True] * 3]


def test_bad_rows_are_found_without_asking_one_by_one(asked: Asked) -> None:
    class Counting(KMeans):
        calls = 0

        def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
            Counting.calls += 1
            return super().input_fn(request_body, request_content_type)

    lines = LINES * 20
    asked.write(lines)
    asked()
    good = asked.rows
    asked.algorithm = Counting()
    bad = {1: b"a,b,c,d", 1700: b"1,2,3", 1701: b"nan,1,1,1", 2999: b"1e30,1,1,1"}
    asked.write(bad.get(i, line) for i, line in enumerate(lines))
    summary = asked(REPORT)
    assert (summary.rows, summary.errors) == (2996, 4)
    assert Counting.calls < 400
    assert [(e["file"], e["line"], e["code"]) for e in asked.errors] == [
        ("in.csv", 2, "malformed_payload"),
        ("in.csv", 1701, "unfit_payload"),
        ("in.csv", 1702, "unfit_payload"),
        ("in.csv", 3000, "unfit_payload"),
    ]
    assert asked.errors[0]["reason"].startswith("column 1: 'a' is not a number")
    rows = asked.rows
    assert rows[1701]["error"] == {
        "code": "unfit_payload",
        "message": "column 1: 'nan' is not a finite float32",
    }
    kept = [i for i in range(3000) if i not in bad]
    np.testing.assert_allclose(
        distances([rows[i] for i in kept]), distances([good[i] for i in kept]), rtol=1e-5
    )
    asked(REPORT, accept=CSV)
    assert [i for i, line in enumerate(asked.body.split(b"\n")[:-1]) if not line] == list(bad)


def test_a_bad_row_is_the_end_unless_it_is_to_be_reported(asked: Asked) -> None:
    lines = [*LINES * 60, b"x", *LINES]
    asked.write(lines)
    with pytest.raises(PayloadError, match=r"in.csv: line 9,001: .*--on-error report"):
        asked()
    assert not (asked.output / "in.csv.out").exists()
    asked(REPORT)
    assert asked.heard.messages == [f"{asked.input}: resuming after line 8,192"]
    continued = asked.body
    assert len(asked.rows) == 9151
    asked(REPORT, force=True)
    assert asked.body == continued
    with pytest.raises(PayloadError, match="line 9,001"):
        asked()
    assert asked.heard.messages == [
        f"{asked.input}: starting over: it has 1 bad row, and --on-error is fail"
    ]


def test_a_line_that_is_too_long_is_an_error_of_that_line(asked: Asked) -> None:
    asked.write([LINES[0], b"1" * 5000, LINES[1]])
    summary = asked(REPORT, max_payload=1000)
    assert (summary.rows, summary.errors) == (2, 1)
    assert asked.errors[0]["code"] == "too_large"
    assert "5,000 bytes; --max-payload allows 1,000" in asked.errors[0]["reason"]
    asked(max_payload=5000, split_type="none", on_error="report")
    assert asked.errors[0]["line"] is None
    assert [row["error"]["code"] for row in asked.rows] == ["too_large"]


def test_csv_is_joined_with_its_answers(asked: Asked) -> None:
    asked.write([LINES[0], b"", b"x,1,1,1"])
    asked(REPORT, join_source=True)
    first, *rest = asked.body.split(b"\n")
    assert first.startswith(LINES[0] + b",")
    assert len(first.split(b",")) == 6
    assert rest == [b"", b"", b""]


def test_json_lines_are_joined_with_their_answers(iris_model: Path, tmp_path: Path) -> None:
    asked = Asked(iris_model, tmp_path, "in.jsonl")
    row = [float(cell) for cell in LINES[0].split(b",")]
    asked.write(
        json.dumps(value).encode() for value in (row, {"features": row}, {"data": {"x": 1}})
    )
    asked(REPORT, join_source=True)
    plain, wrapped, bad = asked.rows
    answer = plain["SageMakerOutput"]
    assert set(answer) == {"closest_cluster", "distance_to_cluster"}
    assert plain == {"SageMakerInput": row, "SageMakerOutput": answer}
    assert wrapped == {"features": row, "SageMakerOutput": answer}
    assert set(bad) == {"error"}


def test_a_whole_document_is_joined_and_its_old_answer_replaced(
    iris_model: Path, tmp_path: Path
) -> None:
    asked = Asked(iris_model, tmp_path, "in.json")
    row = [float(cell) for cell in LINES[0].split(b",")]
    asked.input.write_text(json.dumps({"instances": [row], "SageMakerOutput": 1}))
    asked(join_source=True)
    assert json.loads(asked.body)["SageMakerOutput"]["predictions"][0]["closest_cluster"] >= 0


def test_texts_keep_their_lines_and_an_open_quote_is_told(text_model: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "in.txt", tmp_path / "out"
    path.write_bytes(b"A wonderful, moving film.\n\nDull and boring.")
    assert transform(TextClassification(), text_model, str(path), out).rows == 3
    labels = [json.loads(line)["label"] for line in (out / "in.txt.out").read_bytes().splitlines()]
    assert (labels[0], labels[2]) == ("positive", "negative")
    path = tmp_path / "in.csv"
    path.write_bytes(b'"A wonderful, moving film."\n"Dull\nand boring."\n"Dull and ""boring""."\n')
    summary = transform(TextClassification(), text_model, str(path), out, REPORT)
    assert (summary.rows, summary.errors) == (2, 2)
    errors = [json.loads(line) for line in (out / "in.csv.errors.jsonl").read_bytes().splitlines()]
    assert [error["line"] for error in errors] == [2, 3]
    assert "line feed is divided there, as SageMaker does" in errors[0]["reason"]


def test_records_are_divided_by_their_frames(iris_model: Path, tmp_path: Path) -> None:
    asked = Asked(iris_model, tmp_path, "in.pbr")
    rows = np.loadtxt(IRIS, delimiter=",", skiprows=1, dtype=np.float32)
    records = recordio_protobuf.encode_rows(rows)
    asked.input.write_bytes(records)
    assert asked().rows == 150
    whole = asked.rows
    asked.input.write_bytes(records[:-5])
    summary = asked(REPORT)
    assert (summary.rows, summary.errors) == (149, 1)
    assert asked.errors[0]["line"] == 150
    assert "cut short" in asked.errors[0]["reason"]
    np.testing.assert_allclose(distances(asked.rows[:-1]), distances(whole[:-1]), rtol=1e-5)


def test_what_is_done_is_not_done_again(asked: Asked) -> None:
    asked()
    before = (asked.output / "in.csv.out").stat()
    assert asked().unchanged == 1
    assert asked.heard.messages == [f"{asked.input}: already done; --force computes it again"]
    assert (asked.output / "in.csv.out").stat() == before
    asked.write(LINES[:10])
    asked()
    assert "starting over: another input size" in asked.heard.messages[0]
    assert len(asked.rows) == 10
    (asked.output / "in.csv.out").unlink()
    asked()
    assert asked.heard.messages == [f"{asked.input}: starting over: the earlier output is gone"]
    assert len(asked.rows) == 10


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ({}, {}, "holds no files"),
        ({"a.csv": b"1", "b.xyz": b"", "c.png": b""}, {}, "b.xyz: no content type is known"),
        ({"a.png": b""}, {}, "a.png: content type 'image/png' is not accepted"),
        ({"a.csv": b"1"}, {"accept": "application/json"}, "one document per request"),
        ({"a.csv": b"1"}, {"accept": "image/png"}, "matches no offered content type"),
        ({"a.npy": b"1"}, {"split_type": "line"}, "has no lines"),
        ({"a.json": b"1"}, {"split_type": "line"}, "--strategy single"),
        ({"a.npy": b"1"}, {"join_source": True}, "--join-source joins lines"),
        ({"a.csv": b"1"}, {"join_source": True, "accept": codecs.JSONLINES}, "leave out --accept"),
    ],
)
def test_what_does_not_fit_is_said_at_once(
    asked: Asked, content: dict[str, bytes], options: dict[str, Any], expected: str
) -> None:
    asked.input = asked.input.with_name("folder")
    asked.input.mkdir()
    for name, body in content.items():
        (asked.input / name).write_bytes(body)
    with pytest.raises(InputError, match=expected):
        asked(**options)
    assert not asked.output.exists()


def test_places_that_cannot_be(asked: Asked, tmp_path: Path) -> None:
    asked.output = tmp_path / "folder" / "out"
    asked.input = tmp_path / "absent.csv"
    with pytest.raises(InputError, match="no such file or folder"):
        asked()
    asked.input = tmp_path
    with pytest.raises(InputError, match="lies in INPUT"):
        asked()
    asked.output = tmp_path / "out"
    asked.input = tmp_path / "pipes"
    asked.input.mkdir()
    os.mkfifo(asked.input / "a.csv")
    (asked.input / "b.csv").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"b.csv: a link that leads nowhere.*\n.*no file: a.csv"):
        asked()
    asked.input = tmp_path / "in.csv"
    asked.output = asked.input
    with pytest.raises(InputError, match="is a file: OUTPUT must be a folder"):
        asked()


def started(asked: Asked, *options: str) -> subprocess.Popen[bytes]:
    """The command in a process of its own, once it has more to go on from than before."""
    noted = asked.output / journal.NAME
    before = noted.stat().st_ino if noted.exists() else None
    command = [str(Path(sys.executable).parent / "algoshelf"), "transform", str(asked.model)]
    process = subprocess.Popen(
        [*command, str(asked.input), str(asked.output), *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    kept = 0 if before is None else 1
    while not (
        noted.exists() and noted.stat().st_ino != before and noted.read_bytes().count(b"\n") > kept
    ):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def test_a_killed_and_a_terminated_run_go_on_where_they_were(
    asked: Asked, in_process: InProcess
) -> None:
    options = ("--strategy", "single", "--on-error", "report")
    asked.write([*LINES * 20, b"bad", *LINES])
    process = started(asked, *options)
    process.send_signal(signal.SIGSTOP)  # or it could end before the other begins
    refused = in_process("transform", asked.model, asked.input, asked.output)
    assert refused.code == 2
    assert "another transform is writing into it" in refused.stderr
    process.kill()
    process.communicate()
    process = started(asked, *options)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, said
    assert b"resuming after line" in said
    assert b"the same command resumes from there" in said
    assert not (asked.output / "in.csv.out").exists()
    done = in_process("transform", asked.model, asked.input, asked.output, *options, "--json")
    assert done.code == 0
    assert (done.json["rows"], done.json["errors"], done.json["files"]) == (3150, 1, 1)
    pieces = asked.body, asked.errors
    asked(REPORT, strategy="single", force=True)
    assert (asked.body, asked.errors) == pieces
    assert sorted(os.listdir(asked.output)) == [
        journal.NAME,
        "in.csv.errors.jsonl",
        "in.csv.out",
    ]


def test_a_journal_is_believed_only_as_it_was_written(asked: Asked) -> None:
    asked.write([*LINES * 60, b"x", *LINES])
    asked(REPORT)
    expected = asked.body
    for spoil in (
        lambda text: text.replace(b'"offset": 1', b'"offset": 2'),
        lambda text: text.replace(b'"records": 8', b'"records": 7'),
        lambda text: text.replace(b'"settings": {', b'"settings": 7, "x": {'),
        lambda text: text[:-20],
        lambda text: b"\xff\n[]\n7\n" + b"[" * 100_000 + b"\n",
    ):
        asked.output = asked.output.with_name("other")
        with pytest.raises(PayloadError, match="line 9,001"):
            asked(force=True)
        noted = asked.output / journal.NAME
        assert spoil(noted.read_bytes()) != noted.read_bytes()
        noted.write_bytes(spoil(noted.read_bytes()))
        asked(REPORT)
        assert asked.body == expected


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(asked: Asked) -> None:
    """Of every file that is written: here the journal, which grows beyond what is allowed."""
    asked.input = asked.input.with_name("folder")
    asked.input.mkdir()
    for index in range(5):
        (asked.input / f"{index}.csv").write_bytes(LINES[index])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1200, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            asked()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    summary = asked()
    assert (summary.files, summary.rows) == (5, 5)
    assert 0 < summary.unchanged < 5


def test_an_input_that_goes_away_meanwhile_is_told(asked: Asked) -> None:
    asked.write(LINES * 60)

    class Removing(Heard):
        def progress(self, summary: Summary, done: int) -> None:
            asked.input.unlink(missing_ok=True)

    with pytest.raises(DataError, match=r"in.csv: has changed while it was read"):
        transform(KMeans(), asked.model, str(asked.input), asked.output, listener=Removing())
    assert not (asked.output / "in.csv.out").exists()


def test_links_lead_nowhere_unseen(asked: Asked) -> None:
    """One to a file is that file; one to a folder would be left out; none is written through."""
    folder = asked.input.with_name("folder")
    folder.mkdir()
    (folder / "linked.csv").symlink_to(asked.input)
    content = asked.input.read_bytes()
    asked.output.mkdir()
    hidden = asked.output / ".linked.csv.out.partial"
    hidden.symlink_to(asked.input)
    asked.input = folder
    with pytest.raises(OutputError, match="cannot be written"):
        asked()
    assert (folder / "linked.csv").read_bytes() == content
    hidden.unlink()
    assert asked().rows == 150
    (folder / "deeper").symlink_to("..")
    with pytest.raises(InputError, match=r"deeper: a link that leads to a folder above"):
        asked()


def test_an_output_that_is_in_the_way_is_told(asked: Asked) -> None:
    (asked.output / "in.csv.out" / "x").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"in.csv.out: cannot be written: Is a directory"):
        asked()
