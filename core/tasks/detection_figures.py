"""Figures of detection: mean average precision as COCO and as VOC define it.

Sources: pycocotools 2.0, cocoeval.py (T.-Y. Lin et al., "Microsoft COCO", arXiv:1405.0312);
M. Everingham et al., "The PASCAL visual object classes challenge", IJCV 2010, and VOC's development
kit, whose boxes are a pixel wider: here they are as wide as the difference of their edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..algorithm.evaluation import Curve, Drawn, Evaluation, ObjectFigures
from ..data.box_drawing import Caption, with_boxes
from ..data.box_pictures import LabelledPictures
from ..data.boxes import AREA, CLASS, CROWD, FLAG, HEIGHT, WIDTH, XMIN, YMAX
from ..runtime.types import Array
from .detections import EDGES, FOUND_CLASS, SCORE, captions, encode_png

# As floats that pycocotools has, to the bit.
OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
# Sizes of objects, by their areas in square pixels.
SIZES = {"": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2),
         "large": (96.0**2, 1e10)}  # fmt: skip
AT_50, AT_75 = 0, 5  # in OVERLAPS
RESAMPLES, FEWEST_PICTURES = 200, 20
MOST_CURVES = 8


class Judged(NamedTuple):
    """What is found of one class in all pictures, the best first: D of it.

    ``matched`` and ``ignored`` are (R, T, D) bool, by the sizes of objects and by OVERLAPS;
    ``objects`` (R, N) is how many objects each picture has that count; ``voc`` (D,) is 1 for what
    is right by VOC's rules, 0 for what is wrong and -1 for what counts as neither.
    """

    matched: Array
    ignored: Array
    scores: Array
    picture: Array
    objects: Array
    voc: Array


@dataclass(frozen=True)
class Figures:
    """Of each of C classes: ``ap`` (R, T, C), NaN where there is no object, and ``recall`` (C,) at
    an overlap of 0.5; ``voc`` (C,) and ``voc07`` (C,) are VOC's of 2010 and of 2007.
    """

    ap: Array
    recall: Array
    voc: Array
    voc07: Array


def evaluate_detections(
    found: Array, labels: Array, names: Sequence[str], *, in_full: bool = False
) -> Evaluation:
    """How well what is ``found`` (N, K, FOUND_WIDTH) fits ``labels`` (N, M, LABEL_WIDTH).

    ``in_full`` with figures by size, confidence intervals and curves, which take longer.
    """
    sizes = list(SIZES) if in_full else [""]
    judged = [judge(found, labels, number, sizes) for number in range(len(names))]
    figures = figures_of(judged)
    metrics = _metrics(figures, sizes)
    intervals: dict[str, tuple[float, float]] = {}
    curves: tuple[Curve, ...] = ()
    if in_full:
        intervals = _intervals(judged, len(labels))
        curves = tuple(_curves(judged, names))
    return Evaluation(
        examples=len(labels),
        metrics=metrics,
        intervals=intervals,
        objects=tuple(_of_classes(figures, judged, names)),
        curves=curves,
    )


def judge(found: Array, labels: Array, number: int, sizes: Sequence[str]) -> Judged:
    """What is found of the class ``number``, held against the objects of that class."""
    parts: list[tuple[Array, ...]] = []
    objects = np.zeros((len(sizes), len(labels)), np.int64)
    for index, (rows, truth) in enumerate(zip(found, labels)):
        sides = np.tile(truth[0, [WIDTH, HEIGHT]], 2)
        truth = truth[truth[:, CLASS] == number]
        rows = rows[rows[:, FOUND_CLASS] == number]
        rows = rows[np.argsort(-rows[:, SCORE], kind="stable")]
        ignored = _ignored(truth, sizes)
        objects[:, index] = (~ignored).sum(axis=1)
        if not len(rows):
            continue
        edges = rows[:, EDGES].astype(np.float64) * sides
        overlaps = overlaps_of(edges, truth[:, XMIN : YMAX + 1], truth[:, FLAG] == CROWD)
        matched, left = _matched(overlaps, ignored, truth[:, FLAG] == CROWD)
        areas = np.prod(edges[:, 2:] - edges[:, :2], axis=1)
        bounds = np.array([SIZES[size] for size in sizes])
        beyond = (areas < bounds[:, :1]) | (areas > bounds[:, 1:])
        left |= ~matched & beyond[:, None]
        place = np.full(len(rows), index)
        parts.append((matched, left, rows[:, SCORE], place, _voc(overlaps, truth)))
    if not parts:
        none = np.zeros((len(sizes), len(OVERLAPS), 0), bool)
        return Judged(none, none, np.zeros(0), np.zeros(0, np.int64), objects, np.zeros(0))
    matched, left, scores, place, voc = (np.concatenate(each, axis=-1) for each in zip(*parts))
    order = np.argsort(-scores, kind="stable")
    return Judged(
        matched[..., order], left[..., order], scores[order], place[order], objects, voc[order]
    )


def _ignored(truth: Array, sizes: Sequence[str]) -> Array:
    """Which objects do not count, (R, G): of another size, difficult, or a crowd."""
    areas, flags = truth[:, AREA], truth[:, FLAG]
    rows = [(areas < SIZES[size][0]) | (areas > SIZES[size][1]) | (flags > 0) for size in sizes]
    return np.array(rows, bool).reshape(len(sizes), len(truth))


def overlaps_of(edges: Array, truth: Array, crowd: Array | bool) -> Array:
    """Intersection over union of boxes (D, 4) and (G, 4), (D, G); over the box alone of crowds."""
    low = np.maximum(edges[:, None, :2], truth[None, :, :2])
    high = np.minimum(edges[:, None, 2:], truth[None, :, 2:])
    common = np.prod((high - low).clip(0), axis=2)
    own, other = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (edges, truth))
    whole = np.where(crowd, own[:, None], own[:, None] + other - common)
    found: Array = common / np.maximum(whole, np.finfo(np.float64).tiny)
    return found


def _matched(overlaps: Array, ignored: Array, crowd: Array) -> tuple[Array, Array]:
    """Which boxes (R, T, D) find an object, and which of these one that does not count.

    ``overlaps`` (D, G), the best box first; each takes the object that it overlaps with the most,
    of those left that count if there is one; of equal ones the last.
    """
    sizes, objects = ignored.shape
    boxes = len(overlaps)
    matched = np.zeros((sizes, len(OVERLAPS), boxes), bool)
    left_out = np.zeros_like(matched)
    if not objects:
        return matched, left_out
    taken = np.zeros((sizes, len(OVERLAPS), objects), bool)
    enough = overlaps[None] >= np.minimum(OVERLAPS, 1 - 1e-10)[:, None, None]
    for box in range(boxes):
        free = enough[None, :, box] & (~taken | crowd)
        if not free.any():
            continue
        # what counts comes before what does not
        value = np.where(free, overlaps[box] + 2.0 * ~ignored[:, None], -1.0)
        best = objects - 1 - value[..., ::-1].argmax(axis=2)
        chosen = np.take_along_axis(free, best[..., None], axis=2)[..., 0]
        matched[..., box] = chosen
        left_out[..., box] = chosen & np.take_along_axis(ignored, best, axis=1)
        rows, columns = np.nonzero(chosen)
        taken[rows, columns, best[rows, columns]] = True
    return matched, left_out


def _voc(overlaps: Array, truth: Array) -> Array:
    """By VOC's rules: each box stands for the object that it overlaps with the most, (D,)."""
    found = np.zeros(len(overlaps))
    if not len(truth):
        return found
    aside, taken = truth[:, FLAG] > 0, set()
    for box, best in enumerate(overlaps.argmax(axis=1).tolist()):
        if overlaps[box, best] < OVERLAPS[AT_50]:
            continue
        if aside[best]:
            found[box] = -1
        elif best not in taken:
            taken.add(best)
            found[box] = 1
    return found


def figures_of(judged: Sequence[Judged], weights: Array | None = None) -> Figures:
    """The figures of all classes; ``weights`` (N,) say how often each picture counts."""
    found = [_of_class(each, weights) for each in judged]
    ap, recall, voc, voc07 = zip(*found)
    return Figures(np.stack(ap, axis=2), np.array(recall), np.array(voc), np.array(voc07))


def _of_class(judged: Judged, weights: Array | None) -> tuple[Array, float, float, float]:
    each = np.ones(judged.objects.shape[1]) if weights is None else weights
    objects = judged.objects @ each
    count = each[judged.picture]
    right = np.cumsum((judged.matched & ~judged.ignored) * count, axis=2)
    wrong = np.cumsum((~judged.matched & ~judged.ignored) * count, axis=2)
    ap = np.full(right.shape[:2], np.nan)
    recall = voc = voc07 = np.nan
    for size in np.flatnonzero(objects):
        for at in range(len(OVERLAPS)):
            ap[size, at] = _average(right[size, at], wrong[size, at], objects[size])
    if objects[0]:
        recall = right[0, AT_50, -1] / objects[0] if right.shape[2] else 0.0
        counted = judged.voc >= 0
        right = np.cumsum((judged.voc == 1)[counted] * count[counted])
        wrong = np.cumsum((judged.voc == 0)[counted] * count[counted])
        voc, voc07 = _voc_averages(right, wrong, objects[0])
    return ap, float(recall), float(voc), float(voc07)


def _average(right: Array, wrong: Array, objects: float) -> float:
    """COCO's: the mean over RECALLS of the best precision at that recall or a higher one."""
    recall = right / objects
    precision = right / (wrong + right + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(best, 0.0)[places].mean())


def _voc_averages(right: Array, wrong: Array, objects: float) -> tuple[float, float]:
    """VOC's of 2010, the area under the curve, and of 2007, the mean at eleven recalls."""
    recall = np.concatenate([[0.0], right / objects, [1.0]])
    precision = np.concatenate([[0.0], right / np.maximum(right + wrong, 1e-300), [0.0]])
    best = np.maximum.accumulate(precision[::-1])[::-1]
    area = float(np.sum(np.diff(recall) * best[1:]))
    at = [best[1:-1][recall[1:-1] >= each].max(initial=0.0) for each in np.arange(0, 1.1, 0.1)]
    return area, float(np.mean(at))


def _metrics(figures: Figures, sizes: Sequence[str]) -> dict[str, float]:
    found = {
        "map": _mean(figures.ap[0]),
        "map_50": _mean(figures.ap[0, AT_50]),
        "map_75": _mean(figures.ap[0, AT_75]),
    }
    if len(sizes) > 1:
        found.update((f"map_{size}", _mean(figures.ap[i])) for i, size in enumerate(sizes) if size)
        found.update(voc_map=_mean(figures.voc), voc07_map=_mean(figures.voc07))
    return {name: value for name, value in found.items() if not np.isnan(value)}


def _mean(values: Array) -> float:
    """The mean of those that there are; NaN where there is none."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")


def _of_classes(
    figures: Figures, judged: Sequence[Judged], names: Sequence[str]
) -> Iterator[ObjectFigures]:
    for number, name in enumerate(names):
        objects = int(judged[number].objects[0].sum())
        if not objects:
            yield ObjectFigures(name, None, None, None, None, 0)
            continue
        ap = figures.ap[0, :, number]
        yield ObjectFigures(
            name, float(ap.mean()), float(ap[AT_50]), float(ap[AT_75]),
            float(figures.recall[number]), objects,
        )  # fmt: skip


def _intervals(judged: Sequence[Judged], pictures: int) -> dict[str, tuple[float, float]]:
    """95 % intervals by the bootstrap over pictures (B. Efron, "Bootstrap methods", 1979)."""
    if pictures < FEWEST_PICTURES:
        return {}
    rng = np.random.default_rng(0)
    whole = [
        each._replace(matched=each.matched[:1], ignored=each.ignored[:1], objects=each.objects[:1])
        for each in judged
    ]
    found: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        weights = np.bincount(rng.integers(0, pictures, pictures), minlength=pictures)
        for name, value in _metrics(figures_of(whole, weights), [""]).items():
            found.setdefault(name, []).append(value)
    return {
        name: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975)))
        for name, values in found.items()
    }


def _curves(judged: Sequence[Judged], names: Sequence[str]) -> Iterator[Curve]:
    """Precision over recall at an overlap of 0.5, of the first classes that have objects."""
    there = [(name, each) for name, each in zip(names, judged) if each.objects[0].sum()]
    for name, each in there[:MOST_CURVES]:
        counted = ~each.ignored[0, AT_50]
        right = np.cumsum(each.matched[0, AT_50][counted])
        precision = right / np.arange(1, len(right) + 1)
        recall = right / each.objects[0].sum()
        points = tuple(zip(recall.tolist(), precision.tolist()))
        yield Curve(f"{name}: precision and recall at 0.5", ("recall", "precision"), points)


def worst_first(found: Array, labels: Array, classes: int, threshold: float) -> list[int]:
    """The places of the pictures by their mistakes, the most first: objects that are missed, and
    what is found with a score from ``threshold`` on where there is none.
    """
    sure = found.copy()
    sure[sure[..., SCORE] < threshold, FOUND_CLASS] = -1
    mistakes = np.zeros(len(labels))
    for number in range(classes):
        judged = judge(sure, labels, number, [""])
        matched, ignored = judged.matched[0, AT_50], judged.ignored[0, AT_50]
        right = np.bincount(judged.picture[matched & ~ignored], minlength=len(labels))
        wrong = np.bincount(judged.picture[~matched & ~ignored], minlength=len(labels))
        mistakes += judged.objects[0] - right + wrong
    order: list[int] = np.argsort(-mistakes, kind="stable").tolist()
    return [place for place in order if mistakes[place]]


def mistakes(
    pictures: LabelledPictures, index: int, found: Array, labels: Array, threshold: float
) -> Drawn:
    """The picture at ``index`` with what is ``found`` (K, FOUND_WIDTH) from ``threshold`` on, and
    dashed what of ``labels`` (M, LABEL_WIDTH) was missed.
    """
    rows = found[found[:, SCORE] >= threshold]
    truth = labels[(labels[:, CLASS] >= 0) & (labels[:, FLAG] == 0)]
    sides = np.tile(labels[0, [WIDTH, HEIGHT]], 2)
    same = rows[:, FOUND_CLASS, None] == truth[:, CLASS]
    overlaps = overlaps_of(rows[:, EDGES] * sides, truth[:, XMIN : YMAX + 1], False)
    right = same & (overlaps >= OVERLAPS[AT_50])
    missed, wrong = truth[~right.any(axis=0)], int((~right.any(axis=1)).sum())
    drawn = [
        *captions(rows, pictures.classes),
        *(
            Caption(
                tuple((row[XMIN : YMAX + 1] / sides).tolist()),
                f"missed: {pictures.classes[int(row[CLASS])]}",
                int(row[CLASS]),
                dashed=True,
            )
            for row in missed
        ),
    ]
    title = f"{pictures.store.name(index).rpartition('/')[2]}: {len(missed)} missed, {wrong} wrong"
    return Drawn(title, encode_png(with_boxes(pictures.store.picture(index)[1], drawn)))
