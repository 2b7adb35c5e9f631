"""Columns of later tables are taken by the headings that a model was trained on: in evaluate,
predict, transform and over HTTP alike.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.core.inference.handlers import Handlers
from algoshelf.core.inference.requests import Request, answer

from tests.conftest import InProcess

ROWS = [(i % 7 + 0.5, 100.0 + 3 * (i % 5), -20.25 * (i % 3)) for i in range(30)]
NAMES = ("width", "length", "height")


def table(*names: str, header: bool = True, delimiter: str = ",") -> str:
    """The rows with the columns ``names`` in this order; what is unknown counts."""
    lines = [delimiter.join(names)] * header
    for number, row in enumerate(ROWS):
        cells = dict(zip(NAMES, row))
        lines.append(delimiter.join(str(cells.get(name.strip().lower(), number)) for name in names))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("headings")
    (folder / "a.csv").write_text(table(*NAMES))
    done = InProcess(folder)("train", "kmeans", "--train", "a.csv", "--k", 3, "--output", "m")
    assert done.code == 0, done.stderr
    return folder


@pytest.fixture
def known(trained: Path, in_process: InProcess) -> InProcess:
    """A folder with the model ``m`` and its table ``a.csv``."""
    shutil.copytree(trained / "m", in_process.folder / "m")
    shutil.copy(trained / "a.csv", in_process.folder)
    return in_process


def test_the_artifact_keeps_the_headings(known: InProcess) -> None:
    document = json.loads((known.folder / "m" / "algorithm.json").read_text())
    assert document["headings"] == {"columns": list(NAMES), "labels": []}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (table("height", "width", "length"), "are taken by their headings, in the order that"),
        (table("height", "width", "length", delimiter=";"), "are taken by their headings"),
        (table(" Height ", "WIDTH", "length"), "the order that the model was trained on: width, l"),
        (table("id", *NAMES), "1 column is left out, which the model was not trained on: id"),
        (table("height", "species", "length", "width"), "left out, which the model was not"),
        (table(*NAMES), ""),
        (table(*NAMES, header=False), ""),
    ],
)  # fmt: skip
def test_every_command_takes_columns_by_their_headings(
    content: str, said: str, known: InProcess
) -> None:
    (known.folder / "b.csv").write_text(content)
    for name in ("a", "b"):
        measured = known("evaluate", "m", "--test", f"{name}.csv", "--json")
        assert measured.code == 0, measured.stderr
        asked = known("predict", "m", f"{name}.csv")
        transformed = known("transform", "m", f"{name}.csv", f"out-{name}")
        assert transformed.code == 0, transformed.stderr
        answers = (known.folder / f"out-{name}" / f"{name}.csv.out").read_text()
        found = measured.json, asked.text, [line for line in answers.splitlines() if line]
        if name == "a":
            expected = found
    assert found == expected
    for result in (measured, asked, transformed):
        assert result.stderr.count(said) == 1 if said else "headings, in" not in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (table("width", "length", "depth"), "height missing, depth unknown"),
        (table("width", "length"), "height missing; name them alike, or leave the line of head"),
        (table("width", "height", "height", "length"), "several columns have the heading height"),
    ],
)
def test_every_command_refuses_other_headings(content: str, said: str, known: InProcess) -> None:
    (known.folder / "b.csv").write_text(content)
    for command in (
        ("evaluate", "m", "--test", "b.csv"), ("predict", "m", "b.csv"),
        ("transform", "m", "b.csv", "out"),
    ):  # fmt: skip
        refused = known(*command)
        assert (refused.code, said in refused.stderr) == (2, True), refused.stderr


def test_a_model_without_headings_takes_columns_by_place(known: InProcess) -> None:
    path = known.folder / "m" / "algorithm.json"
    document = json.loads(path.read_text())
    del document["headings"]
    path.write_text(json.dumps(document))
    (known.folder / "b.csv").write_text(table("x", "y", "z"))
    assert known("predict", "m", "b.csv").code == 0


def test_a_training_takes_its_test_channel_by_headings(known: InProcess) -> None:
    (known.folder / "b.csv").write_text(table("height", "length", "width"))
    figures = []
    for test in ("a.csv", "b.csv"):
        done = known(
            "train", "kmeans", "--train", "a.csv", "--test", test, "--k", 3, "--output", "n",
            "--json",
        )  # fmt: skip
        assert done.code == 0, done.stderr
        figures.append(done.json["metrics"])
    assert figures[0] == figures[1]
    assert f"in the order that {known.folder / 'a.csv'} has" in done.stderr or (
        "in the order that a.csv has: width, length, height" in done.stderr
    )


def test_leading_labels_are_left_out_wherever_they_stand(in_process: InProcess) -> None:
    figures = []
    for number, names in enumerate(
        (("kind", *NAMES), ("length", "height", "kind", "width"), NAMES)
    ):
        (in_process.folder / "a.csv").write_text(table(*names))
        if not number:
            options = ("--k", 3, "--label-size", 1, "--output", "m")
            assert in_process("train", "kmeans", "--train", "a.csv", *options).code == 0
        done = in_process("evaluate", "m", "--test", "a.csv", "--json")
        assert done.code == 0, done.stderr
        figures.append(done.json["metrics"])
    assert figures[0] == figures[1] == figures[2]


def http(model: Path, body: str, content_type: str = "text/csv") -> tuple[int, str]:
    algorithm = KMeans()
    handlers = Handlers.load(algorithm, model)
    [reply] = answer(handlers, [Request(body.encode(), content_type, "text/csv")])
    return reply.status, reply.body.decode()


def test_a_request_with_headings_is_taken_by_them(trained: Path) -> None:
    model = trained / "m"
    status, expected = http(model, table(*NAMES, header=False))
    assert status == 200
    for names in (NAMES, ("height", "width", "length"), (" Length", "height", "WIDTH")):
        for ends in ("\n", "\r\n", "\r"):
            body = table(*names).replace("\n", ends)
            assert http(model, body) == (200, expected)
            assert http(model, "\ufeff" + body, "text/csv; charset=utf-8") == (200, expected)
    status, told = http(model, table("width", "length", "depth"))
    assert (status, "height missing, depth unknown" in told) == (422, True), told
    status, told = http(model, "height,width,length\n1,2,3\n1,x,3\n")
    assert (status, "line 3, column 2: 'x' is not a number" in told) == (400, True), told


def test_headings_that_are_numbers_are_known_again(in_process: InProcess) -> None:
    years = ("2019", "2020", "2021")
    named = dict(zip(NAMES, years))
    (in_process.folder / "a.csv").write_text(
        table(*NAMES).replace(",".join(NAMES), ",".join(years))
    )
    options = ("--k", 3, "--output", "m", "--header", "yes")
    assert in_process("train", "kmeans", "--train", "a.csv", *options).code == 0
    model = in_process.folder / "m"
    (in_process.folder / "rows.csv").write_text(table(*NAMES, header=False))
    expected = in_process("predict", "m", "rows.csv", "--accept", "text/csv").text
    for names in (NAMES, ("height", "width", "length")):
        body = table(*names).replace(",".join(names), ",".join(named[name] for name in names))
        (in_process.folder / "b.csv").write_text(body)
        assert in_process("predict", "m", "b.csv", "--accept", "text/csv").text == expected
        assert http(model, body) == (200, expected)


def test_chosen_columns_are_taken_by_headings_too(in_process: InProcess) -> None:
    (in_process.folder / "a.csv").write_text(table("id", *NAMES))
    options = ("--k", 3, "--output", "m", "--columns", "2-4")
    assert in_process("train", "kmeans", "--train", "a.csv", *options).code == 0
    answers = []
    for names, flags in (
        (("id", *NAMES), ("--columns", "2-4")), (("id", *NAMES), ()),
        (("id", "length", "height", "width"), ("--columns", "2-4")),
        (("length", "height", "width"), ()),
    ):  # fmt: skip
        (in_process.folder / "b.csv").write_text(table(*names))
        answers.append(in_process("predict", "m", "b.csv", *flags).text)
    assert answers[0]
    assert answers.count(answers[0]) == len(answers)


def test_stdin_with_headings_is_taken_by_them(known: InProcess) -> None:
    expected = known("predict", "m", "a.csv").text
    body = table("height", "width", "length").encode()
    asked = known("predict", "m", "-", "--content-type", "text/csv", stdin=body)
    assert (asked.code, asked.text) == (0, expected), asked.stderr
    wrong = known("predict", "m", "-", "--content-type", "text/csv", stdin=b"a,b,c\n1,2,3\n")
    assert wrong.code == 2
    assert "stdin: the request: its headings are not those" in wrong.stderr
