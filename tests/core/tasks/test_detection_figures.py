"""Mean average precision is what pycocotools and VOC's development kit say."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from algoshelf.core import Array
from algoshelf.core.data.boxes import CROWD, DIFFICULT, LABEL_WIDTH
from algoshelf.core.tasks.detection_figures import evaluate_detections, worst_first
from algoshelf.core.tasks.detections import FOUND_WIDTH

NAMES = ["cat", "dog", "owl", "none"]


def labelled(rng: np.random.Generator, pictures: int, crowds: bool = True) -> tuple[Array, Array]:
    """What is found and what there is, at random: near misses, doubles, crowds, equal scores."""
    labels = np.full((pictures, 12, LABEL_WIDTH), -1.0)
    found = np.full((pictures, 40, FOUND_WIDTH), -1, np.float32)
    for index in range(pictures):
        width, height = rng.integers(50, 600, 2)
        sides = np.array([width, height] * 2)
        labels[index, :, 7:] = width, height
        objects, guesses = int(rng.integers(0, 12)), int(rng.integers(0, 40))
        low = rng.uniform(0, 0.7, (objects, 2))
        edges = np.concatenate([low, low + rng.uniform(0.02, 0.3, (objects, 2))], axis=1)
        pixels = np.round(edges * sides)
        rows = labels[index, :objects]
        rows[:, 0] = rng.integers(0, 3, objects)
        rows[:, 1:5] = pixels
        rows[:, 5] = rng.choice([0, 0, 0, 0, CROWD], objects) if crowds else 0
        rows[:, 6] = np.prod(pixels[:, 2:] - pixels[:, :2], axis=1) * rng.uniform(0.5, 1, objects)
        for place in range(guesses):
            row = found[index, place]
            row[0] = rng.integers(0, 3)
            row[1] = np.round(rng.uniform(0.05, 1), 1)
            if objects and rng.random() < 0.8:
                near = int(rng.integers(objects))
                row[0] = labels[index, near, 0] if rng.random() < 0.9 else row[0]
                shift = rng.choice([0, 0.005, 0.02, 0.06]) * rng.uniform(-1, 1, 4)
                row[2:] = (pixels[near] / sides + shift).clip(0, 1)
            else:
                low = rng.uniform(0, 0.7, 2)
                row[2:] = np.concatenate([low, low + rng.uniform(0.02, 0.3, 2)])
            row[4:] = np.maximum(row[4:], row[2:4] + 0.001)
    return found, labels


def by_pycocotools(found: Array, labels: Array) -> tuple[dict[str, float], Array]:
    coco = pytest.importorskip("pycocotools.coco", reason="pip install 'algoshelf[dev]'")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    annotations: list[dict[str, Any]] = []
    guesses: list[dict[str, Any]] = []
    for index, rows in enumerate(labels):
        for row in rows[rows[:, 0] >= 0].tolist():
            kind, left, top, right, bottom, flag, area = row[:7]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": index, "category_id": int(kind),
                    "bbox": [left, top, right - left, bottom - top], "area": area,
                    "iscrowd": int(flag == CROWD),
                }
            )  # fmt: skip
        sides = np.tile(rows[0, 7:], 2)
        for guess in found[index][found[index][:, 0] >= 0]:
            left, top, right, bottom = (guess[2:].astype(np.float64) * sides).tolist()
            guesses.append(
                {
                    "image_id": index, "category_id": int(guess[0]), "score": float(guess[1]),
                    "bbox": [left, top, right - left, bottom - top],
                }
            )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [
                {"id": i, "width": rows[0, 7], "height": rows[0, 8]}
                for i, rows in enumerate(labels)
            ],
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
        }
        truth.createIndex()
        run = cocoeval.COCOeval(truth, truth.loadRes(guesses), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    names = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
    precision = run.eval["precision"][:, :, :, 0, 2]  # overlap, recall, class
    return dict(zip(names, run.stats[:6].tolist())), precision


@pytest.mark.parametrize("seed", range(4))
def test_they_are_pycocotools_figures(seed: int) -> None:
    found, labels = labelled(np.random.default_rng(seed), 25)
    expected, precision = by_pycocotools(found, labels)
    evaluation = evaluate_detections(found, labels, NAMES, in_full=True)
    for name, value in expected.items():
        assert evaluation.metrics[name] == pytest.approx(value, abs=1e-6), name
    for number, each in enumerate(evaluation.objects[:3]):
        assert each.ap == pytest.approx(precision[:, :, number].mean(), abs=1e-6)
        assert each.ap_50 == pytest.approx(precision[0, :, number].mean(), abs=1e-6)
    assert evaluation.objects[3].ap is None
    quick = evaluate_detections(found, labels, NAMES)
    assert quick.metrics == {name: evaluation.metrics[name] for name in quick.metrics}


def one(rows: Any, guesses: Any) -> tuple[Array, Array]:
    """One picture of 100 x 100 pixels."""
    labels = np.full((1, max(1, len(rows)), LABEL_WIDTH), -1.0)
    labels[..., 7:] = 100
    for place, (kind, left, top, right, bottom, flag) in enumerate(rows):
        area = (right - left) * (bottom - top)
        labels[0, place, :7] = kind, left, top, right, bottom, flag, area
    found = np.full((1, max(1, len(guesses)), FOUND_WIDTH), -1, np.float32)
    for place, (kind, score, *edges) in enumerate(guesses):
        found[0, place] = kind, score, *(edge / 100 for edge in edges)
    return found, labels


def test_vocs_figures_of_a_case_that_is_worked_out_by_hand() -> None:
    """Of four objects, two are found, with one mistake between them: precision 1, 1/2, 2/3."""
    rows = [(0, 10 * i, 10 * i, 10 * i + 10, 10 * i + 10, 0) for i in range(4)]
    guesses = [(0, 0.9, 0, 0, 10, 10), (0, 0.8, 60, 60, 70, 70), (0, 0.7, 10, 10, 20, 20)]
    metrics = evaluate_detections(*one(rows, guesses), ["cat"], in_full=True).metrics
    assert metrics["voc_map"] == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    # at the recalls 0, .1 and .2 it is 1, at .3, .4 and .5 it is 2/3
    assert metrics["voc07_map"] == pytest.approx((3 + 3 * 2 / 3) / 11)


def test_difficult_objects_count_neither_as_found_nor_as_missed() -> None:
    rows = [(0, 0, 0, 20, 20, 0), (0, 50, 50, 70, 70, DIFFICULT)]
    guesses = [(0, 0.9, 50, 50, 70, 70), (0, 0.8, 0, 0, 20, 20)]
    evaluation = evaluate_detections(*one(rows, guesses), ["cat"], in_full=True)
    assert evaluation.metrics["map_50"] == pytest.approx(1)
    assert evaluation.metrics["voc_map"] == pytest.approx(1)
    assert evaluation.objects[0].objects == 1
    assert evaluate_detections(*one(rows, guesses[:1]), ["cat"]).metrics["map_50"] == 0


def test_nothing_found_and_nothing_there() -> None:
    found, labels = one([], [(0, 0.9, 0, 0, 10, 10)])
    assert evaluate_detections(found, labels, ["cat"]).metrics == {}
    found, labels = one([(0, 0, 0, 10, 10, 0)], [])
    assert evaluate_detections(found, labels, ["cat"], in_full=True).metrics["map"] == 0


def test_intervals_hold_the_figure_and_are_the_same_every_time() -> None:
    found, labels = labelled(np.random.default_rng(1), 40, crowds=False)
    first, again = (evaluate_detections(found, labels, NAMES, in_full=True) for _ in range(2))
    assert {*first.intervals} == {"map", "map_50", "map_75"}
    for name, (low, high) in first.intervals.items():
        assert low < first.metrics[name] < high
    assert first.intervals == again.intervals
    assert not evaluate_detections(found[:10], labels[:10], NAMES, in_full=True).intervals


def test_the_picture_with_the_most_mistakes_is_the_first() -> None:
    right = one([(0, 0, 0, 20, 20, 0)], [(0, 0.9, 0, 0, 20, 20)])
    missed = one([(0, 0, 0, 20, 20, 0)], [(0, 0.2, 0, 0, 20, 20)])
    wrong = one([(0, 0, 0, 20, 20, 0)], [(0, 0.9, 50, 50, 70, 70)])
    found, labels = (np.concatenate(parts) for parts in zip(right, missed, wrong))
    assert worst_first(found, labels, 1, 0.5) == [2, 1]
