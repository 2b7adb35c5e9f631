"""`algoshelf drift` as a schedule and a person use it: exit codes, one document, labels, a page."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core.data import capture

from tests.conftest import ROOT, InProcess

IRIS = ROOT / "algorithms" / "kmeans" / "sample" / "iris.csv"


@pytest.fixture
def captured(
    in_process: InProcess, digits: tuple[np.ndarray, np.ndarray]
) -> tuple[Path, list[str]]:
    """A folder as SageMaker's data capture fills it, with a request for each digit, and labels."""
    images, labels = digits
    folder = in_process.folder / "captured" / "digits" / "AllTraffic" / "2026" / "01" / "31" / "12"
    folder.mkdir(parents=True)
    lines = [
        capture.written(
            json.dumps([image.tolist()]).encode(), "application/json", b"{}", "application/json",
            f"r{number}",
        )
        for number, image in enumerate(images)
    ]  # fmt: skip
    (folder / "00-00-000-a.jsonl").write_bytes(b"".join(lines[:60]))
    (folder / "01-00-000-b.jsonl").write_bytes(b"".join(lines[60:]))
    np.savez(in_process.folder / "test.npz", x=images, y=labels)
    return in_process.folder / "captured", [str(label) for label in labels]


def asked(model: Path, captured: Path, *more: object) -> tuple[object, ...]:
    return ("drift", model, "--baseline", "test.npz", "--current", captured, *more)


def as_csv(labels: list[str]) -> str:
    return "id,label\n" + "".join(f"r{i},{label}\n" for i, label in enumerate(labels))


def as_model_monitor(labels: list[str]) -> str:
    """As SageMaker's Model Monitor takes them."""
    return "".join(
        json.dumps(
            {
                "groundTruthData": {"data": label, "encoding": "CSV"},
                "eventMetadata": {"eventId": f"r{number}"},
                "eventVersion": "0",
            }
        )
        + "\n"
        for number, label in enumerate(labels)
    )


@pytest.mark.parametrize("form", [as_csv, as_model_monitor])
def test_labels_by_request_measure_the_model(
    form: Any, model: Path, captured: tuple[Path, list[str]], in_process: InProcess
) -> None:
    folder, labels = captured
    path = in_process.folder / "labels"
    path.write_text(form(labels))
    good = in_process(*asked(model, folder, "--labels", path, "--json"))
    assert good.code == 0, good.stderr
    (metric,) = (each for each in good.json["changes"] if each["part"] == "metric")
    assert metric["subject"] == "accuracy"
    assert metric["baseline"] == metric["current"]
    path.write_text(form([str((int(label) + 1) % 10) for label in labels]))
    bad = in_process(*asked(model, folder, "--labels", path, "--json"))
    assert bad.code == 3
    (first, *others) = bad.json["changes"]
    assert (first["part"], first["verdict"], first["detail"]) == ("metric", "drift", "worse")
    assert {each["verdict"] for each in others} == {"no drift"}
    assert bad.json["drift"] is True
    assert bad.json["correction"] == "Holm"


def test_requests_as_sagemaker_keeps_them(iris_model: Path, in_process: InProcess) -> None:
    """Lines of the developer guide's form: CSV, JSON and base64, with ids and without."""
    rows = np.loadtxt(IRIS, delimiter=",", skiprows=1, usecols=range(4))
    lines = []
    for number, row in enumerate(rows.tolist()):
        text = ",".join(map(str, row))
        given = {
            0: {"observedContentType": "text/csv", "mode": "INPUT", "data": text,
                "encoding": "CSV"},
            1: {"observedContentType": "application/json", "mode": "INPUT",
                "data": json.dumps({"instances": [row]}), "encoding": "JSON"},
            2: {"observedContentType": "text/csv; charset=utf-8", "mode": "INPUT",
                "data": base64.b64encode(text.encode()).decode(), "encoding": "BASE64"},
        }[number % 3]  # fmt: skip
        lines.append({"captureData": {"endpointInput": given}, "eventVersion": "0"})
    path = in_process.folder / "c.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    result = in_process("drift", iris_model, "--baseline", IRIS, "--current", path, "--json")
    assert result.code == 0, result.stderr
    assert result.json["current"] == {"path": str(path), "examples": 150, "of": 150}
    assert not result.json["notes"]
    assert all(each["effect"] == 0 for each in result.json["changes"])


def test_the_page_shows_names_as_text(iris_model: Path, in_process: InProcess) -> None:
    evil = "<script>alert(1)</script>"
    rows = np.loadtxt(IRIS, delimiter=",", skiprows=1, usecols=range(4))
    path = in_process.folder / f"{evil.replace('/', '')}.csv"
    np.savetxt(path, rows + np.array([0, 0, 3, 0]), delimiter=",", fmt="%.2f")
    result = in_process(
        "drift", iris_model, "--baseline", IRIS, "--current", path, "--page", "d/page.html"
    )
    assert result.code == 3, result.stderr
    page = (in_process.folder / "d" / "page.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") == 1
    assert result.text.startswith("Drift: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--current", "nope"), "nope: no such file or folder"),
        (("--current", "empty"), "empty"),
        (("--current", IRIS, "--alpha", 2), "expected a probability between 0 and 1"),
        (("--current", IRIS, "--pictures", "s3://b/p"), "--pictures: works only with --manifest"),
        (("--current", IRIS, "--labels", "nope"), "nope: no such file or folder"),
        (("--current", IRIS, "--page", "file/page.html"), "file"),
        ((), "Missing option '--current'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    options: tuple[object, ...], told: str, iris_model: Path, in_process: InProcess
) -> None:
    (in_process.folder / "empty").mkdir()
    (in_process.folder / "file").touch()
    result = in_process("drift", iris_model, "--baseline", IRIS, *options, "--json")
    assert result.code in (1, 2), result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert told.strip("'") in result.json["error"]["message"]
