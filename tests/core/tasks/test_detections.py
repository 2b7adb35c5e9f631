"""What a detector is asked and answers: suppression, and the forms of requests and answers."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from algoshelf.core import NotAcceptableError, PayloadError, UnfitPayloadError, codecs
from algoshelf.core.tasks.detection import Detector
from algoshelf.core.tasks.detections import Asked, Detections, Seen, asked, suppressed
from PIL import Image

ACCEPTED = Detector.accepted_media_types()


def candidates(*rows: Any) -> np.ndarray:
    return np.array(rows, np.float32)


def test_of_a_class_the_best_of_what_overlaps_is_kept() -> None:
    found = suppressed(
        candidates(
            (0.1, 0.1, 0.5, 0.5, 0.6, 0.1),
            (0.12, 0.1, 0.5, 0.5, 0.8, 0.0),  # over the first
            (0.1, 0.1, 0.5, 0.5, 0.0, 0.5),  # the same place, another class
            (0.6, 0.6, 0.9, 0.9, 0.3, 0.0),
        ),
        0.25, 0.5, 10,
    )  # fmt: skip
    assert found[:, 0].tolist() == [0, 1, 0]
    np.testing.assert_allclose(found[:, 1], [0.8, 0.5, 0.3])
    assert found.dtype == np.float32


def test_boxes_are_cut_at_the_picture_and_none_without_area_is_found() -> None:
    found = suppressed(
        candidates(
            (-0.2, -0.1, 0.5, 1.4, 0.9), (1.1, 0.2, 1.4, 0.4, 0.8), (0.4, 0.4, 0.3, 0.5, 0.7)
        ),
        0.1, 0.5, 10,
    )  # fmt: skip
    np.testing.assert_allclose(found, [[0, 0.9, 0, 0, 0.5, 1]], atol=1e-6)


def test_it_is_what_a_plain_loop_keeps() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.8, (300, 2))
    scores = rng.random((300, 3)) ** 4
    given = np.concatenate([low, low + rng.uniform(0.05, 0.2, (300, 2)), scores], axis=1)
    given = given.astype(np.float32)
    kept: list[tuple[float, int, Any]] = []
    order = sorted(
        ((score, kind, row[:4].clip(0, 1)) for row in given for kind, score in enumerate(row[4:])),
        key=lambda each: -each[0],
    )
    for score, kind, box in order:
        if score >= 0.1 and all(k != kind or iou(box, other) <= 0.4 for _, k, other in kept):
            kept.append((score, kind, box))
    found = suppressed(given, 0.1, 0.4, 1000)
    assert found[:, 0].tolist() == [kind for _, kind, _ in kept]
    np.testing.assert_allclose(found[:, 2:], np.stack([box for *_, box in kept]))
    assert suppressed(given, 0.1, 0.4, 7).tolist() == found[:7].tolist()


def iou(one: Any, other: Any) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = float(np.prod((high - low).clip(0)))
    areas = [float(np.prod(each[2:] - each[:2])) for each in (one, other)]
    return common / (sum(areas) - common)


def png(width: int = 40, height: int = 20) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(stream, "PNG")
    return stream.getvalue()


def test_a_request_says_threshold_and_overlap_or_leaves_them_to_the_model() -> None:
    (plain,) = asked(png(), codecs.PNG, ACCEPTED)
    assert (plain.width, plain.height, plain.threshold, plain.overlap) == (40, 20, None, None)
    (given,) = asked(png(), "image/png; threshold=0.7; overlap=0.2", ACCEPTED)
    assert (given.threshold, given.overlap) == (0.7, 0.2)
    coded = base64.b64encode(png()).decode()
    body = json.dumps({"instances": [{"b64": coded, "threshold": 0.9}, {"b64": coded}]}).encode()
    first, second = asked(body, "application/json; threshold=0.1", ACCEPTED)
    assert (first.threshold, second.threshold) == (0.9, 0.1)


@pytest.mark.parametrize("value", ["2", "-1", "nan", "much"])
def test_a_threshold_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(UnfitPayloadError, match=r"threshold is .* expected a number from 0 to 1"):
        asked(png(), f"image/png; threshold={value}", ACCEPTED)
    body = json.dumps([{"b64": base64.b64encode(png()).decode(), "threshold": value}]).encode()
    with pytest.raises(PayloadError, match="example 1: threshold: expected a number from 0 to 1"):
        asked(body, codecs.JSON, ACCEPTED)


def test_a_large_picture_is_seen_smaller_and_answered_in_its_own_pixels() -> None:
    (found,) = asked(png(4000, 1000), codecs.PNG, ACCEPTED)
    assert (found.pixels.shape, found.width, found.height) == ((256, 1024, 3), 4000, 1000)


def answers() -> Detections:
    picture = Asked(np.full((50, 100, 3), 255, np.uint8), 200, 100)
    rows = np.array([[1, 0.9, 0.1, 0.2, 0.5, 0.8], [0, 0.4, 0, 0, 1, 1]], np.float32)
    return Detections(("cat", "dog"), [Seen(picture, rows), Seen(picture, rows[:0])])


def test_answers_are_sagemakers_and_objects_with_names_and_pixels() -> None:
    first, second = json.loads(answers().encoded(codecs.JSON))["predictions"]
    assert first["prediction"] == [[1, 0.9, 0.1, 0.2, 0.5, 0.8], [0, 0.4, 0.0, 0.0, 1.0, 1.0]]
    assert first["objects"][0] == {
        "class": "dog",
        "score": 0.9,
        "box": {"xmin": 20.0, "ymin": 20.0, "xmax": 100.0, "ymax": 80.0},
    }
    assert second == {"prediction": [], "objects": [], "width": 200, "height": 100}
    lines = answers().encoded(codecs.JSONLINES).decode().splitlines()
    assert [json.loads(line) for line in lines] == [first, second]
    rows = list(csv.reader(io.StringIO(answers().encoded(codecs.CSV).decode())))
    assert rows[0][:7] == ["2", "dog", "0.9", "20.0", "20.0", "100.0", "80.0"]
    assert rows[1] == ["0"]


def test_one_picture_is_drawn_and_several_are_refused() -> None:
    drawn = Image.open(io.BytesIO(answers()[:1].encoded(codecs.PNG)))
    assert drawn.size[0] >= 320
    colours = {tuple(each) for each in np.asarray(drawn).reshape(-1, 3).tolist()}
    assert {(86, 180, 233), (230, 159, 0)} <= colours
    with pytest.raises(
        NotAcceptableError, match="the answer to one picture, and the request has 2"
    ):
        answers().encoded(codecs.PNG)
