"""object-detection through the command line, and on the page in a real browser."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from algoshelf.algorithms.object_detection import SAMPLE
from PIL import Image

from tests.conftest import InProcess
from tests.core.serving.conftest import serving
from tests.core.serving.page import browser as chromium

PICTURE = SAMPLE / "test-00007.jpg"


def test_what_was_read_and_measured_is_said(detector: Path, in_process: InProcess) -> None:
    log = (detector.parent / "log.txt").read_text()
    boxes = len(json.loads((SAMPLE / "train.json").read_text())["annotations"])
    assert f"train: 24 examples ({boxes:,} boxes)" in log
    assert "training from random weights; --weights mobilenetv2-imagenet begins with" in log
    found = in_process("evaluate", detector, "--json", "--plot", "worst.png").json
    assert (in_process.folder / "worst.png").read_bytes().startswith(b"\x89PNG")
    trained = json.loads((detector / "algorithm.json").read_text())["metrics"]
    for name in ("map", "map_50", "map_75"):
        assert found["metrics"][name] == pytest.approx(trained[f"test:{name}"], abs=1e-6)
    assert {"map_medium", "voc_map", "voc07_map"} <= found["metrics"].keys()
    assert [each["name"] for each in found["objects"]] == ["Platelets", "RBC", "WBC"]
    shown = in_process("evaluate", detector).text
    assert "recall at 0.5" in shown


def test_boxes_are_answered_or_drawn(detector: Path, in_process: InProcess) -> None:
    answer = in_process("predict", detector, PICTURE).json
    assert (answer["width"], answer["height"]) == (240, 180)
    assert 0 < len(answer["objects"]) <= 20
    scores = [each["score"] for each in answer["objects"]]
    assert scores == sorted(scores, reverse=True)
    few = in_process(
        "predict", detector, PICTURE, "--content-type", f"image/jpeg; threshold={scores[0]}"
    ).json
    assert few["objects"] == answer["objects"][:1]
    drawn = in_process("predict", detector, PICTURE, "--accept", "image/png")
    with Image.open(io.BytesIO(drawn.stdout)) as picture:
        assert picture.size[0] >= 240
    two = in_process("predict", detector, PICTURE, PICTURE, "--accept", "image/png")
    assert (two.code, two.stdout) == (2, b"")
    assert "--accept image/png gives one document per INPUT" in two.stderr


def test_drift_is_told_of_pictures_and_of_what_is_found(
    detector: Path, in_process: InProcess
) -> None:
    rng = np.random.default_rng(0)
    for name, brightness in (("before", 1.0), ("after", 0.4)):
        (in_process.folder / name).mkdir()
        for number, path in enumerate(sorted(SAMPLE.glob("*.jpg"))):
            with Image.open(path) as picture:
                pixels = np.asarray(picture) * brightness + rng.normal(0, 2, (180, 240, 3))
            changed = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            changed.save(in_process.folder / name / f"{number}.png")
    found = in_process("drift", detector, "--baseline", "before", "--current", "after", "--json")
    subjects = {each["subject"]: each["verdict"] for each in found.json["changes"]}
    assert subjects["brightness"] == "drift"
    assert "size" not in subjects
    assert "objects" in subjects


@contextlib.contextmanager
def page_of(model: Path) -> Iterator[chromium.Tab]:
    path = chromium.found()
    assert path is not None
    browser = chromium.Browser(path)
    try:
        with serving(model, "--workers", 1) as server, browser.tab(
            f"http://127.0.0.1:{server.port}/"
        ) as tab:
            yield tab
    finally:
        browser.close()


@pytest.mark.skipif(chromium.found() is None, reason="no Chromium on this machine")
def test_the_page_draws_the_boxes_where_they_are(detector: Path, in_process: InProcess) -> None:
    first = in_process("predict", detector, PICTURE).json["objects"][0]
    with page_of(detector) as tab:
        tab.until("document.querySelector('#ask .primary')")
        tab.drop(".drop", PICTURE)
        tab.until("document.querySelector('.framed .box')")
        left, top, right, bottom = tab.run(
            "(() => { const [box, frame] = ['.box', '.framed'].map((each) => "
            "document.querySelector(each).getBoundingClientRect()); "
            "return [(box.left - frame.left) / frame.width, (box.top - frame.top) / frame.height, "
            "(box.right - frame.left) / frame.width, (box.bottom - frame.top) / frame.height]; })()"
        )
        box = first["box"]
        assert left == pytest.approx(box["xmin"] / 240, abs=0.01)
        assert top == pytest.approx(box["ymin"] / 180, abs=0.01)
        assert right == pytest.approx(box["xmax"] / 240, abs=0.01)
        assert bottom == pytest.approx(box["ymax"] / 180, abs=0.01)
        assert tab.text(".framed .box").startswith(first["class"])
        assert tab.complaints() == []
        tab.click(tab.button("Clear"))
        tab.until("!document.querySelector('.framed .box')")
