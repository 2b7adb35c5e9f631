"""What is seen where in a picture: labelled pictures, and how their boxes are checked.

Edges are taken as they stand, from 0 to the picture's width and height: a box is as wide as the
difference of its edges.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ..runtime.errors import DataError
from ..runtime.types import Array

# Columns of a batch's boxes, (B, M, BOX_WIDTH) float32: the index of the class, then where the box
# is, each of the four from 0 to 1 in widths and heights of the picture. Rows that are no box are
# NO_BOX throughout.
CLASS, XMIN, YMIN, XMAX, YMAX = range(5)
BOX_WIDTH = 5
# Further columns of ``labels()``, (N, M, LABEL_WIDTH) float64, whose edges are in pixels.
FLAG, AREA, WIDTH, HEIGHT = range(5, 9)
LABEL_WIDTH = 9
DIFFICULT, CROWD = 1, 2  # in FLAG
NO_BOX = -1.0

MEND, SKIP, FAIL = "mend", "skip", "fail"
MAX_NAMED = 100  # of the boxes that are faulty, where all are listed
SHOWN = 3
MOST_OBJECTS = 10_000  # in a picture
NEAR = 0.01  # two shapes are alike where the ratios of their sides differ by no more
# Relative edges are written with six digits or so: by this part of the picture they may be beyond.
ROUNDING = 1e-5


class Box(NamedTuple):
    """An object in a picture, as a file says it: ``label`` is the name of its class.

    Its edges are in pixels, or where ``relative``, in widths and heights of the picture; as the
    picture is shown, its EXIF orientation applied. ``difficult`` objects count neither as found nor
    as missed; a ``crowd`` is a group of objects that may be found any number of times, and is not
    learned. ``area`` is in square pixels where a file gives it. ``place`` says where it stands.
    """

    label: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    relative: bool = False
    difficult: bool = False
    crowd: bool = False
    area: float | None = None
    place: str = ""

    def __str__(self) -> str:
        edges = ", ".join(f"{edge:g}" for edge in self[1:5])
        return f"{self.place}: {self.label} ({edges})"


class LabelledPicture(NamedTuple):
    """The ``boxes`` of a picture, and its ``size`` (width, height) where a file gives that."""

    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None


class Frame(NamedTuple):
    """Width and height of a picture as it is shown, and EXIF's orientation, 1 to 8."""

    width: int
    height: int
    orientation: int = 1


# What can be wrong with a box, and what MEND does about it.
FLIPPED, BEYOND, NO_AREA, OUTSIDE, NO_NUMBERS, UNKNOWN, UNLIKE = (
    "flipped", "beyond the edge", "without area", "outside of the picture",
    "without four finite edges", "of an unknown class", "of a picture of another shape",
)  # fmt: skip
MENDED = {FLIPPED: "turned around", BEYOND: "cut there"}
LEFT_OUT = (NO_AREA, OUTSIDE, NO_NUMBERS)


@dataclass
class Faulty:
    """The faulty boxes of a channel, by kind: how many there are, and the first of them."""

    policy: str = MEND
    counts: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)
    turned: int = 0  # pictures whose boxes were given as the file is stored, not as it is shown
    scaled: int = 0  # pictures that have another size than their boxes are for

    def add(self, kind: str, box: Box) -> None:
        self.counts[kind] += 1
        named = self.named.setdefault(kind, [])
        if len(named) < MAX_NAMED:
            named.append(str(box))

    def check(self, boxes: int) -> None:
        """Raises DataError with all that ``policy`` does not allow, of so many ``boxes``."""
        if self.policy == SKIP or not self.counts:
            return
        wrong = [
            kind for kind in self.counts
            if self.policy == FAIL or kind in (UNKNOWN, UNLIKE)
        ]  # fmt: skip
        if not wrong:
            return
        listed = [f"{name}: is {kind}" for kind in wrong for name in self.named[kind]]
        count = sum(self.counts[kind] for kind in wrong)
        more = count - len(listed[:MAX_NAMED])
        mended = "" if {UNKNOWN, UNLIKE} & {*wrong} else f"--on-faulty {MEND} puts them right, "
        raise DataError(
            *listed[:MAX_NAMED],
            *([f"... and {more:,} more"] if more else []),
            f"{count:,} of {boxes:,} boxes are faulty: mend or remove them; in training {mended}"
            f"--on-faulty {SKIP} leaves them out, and a model keeps to what its training was told",
        )

    @property
    def note(self) -> str:
        """What was done about them, for people."""
        return "; ".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        for kind, count in self.counts.items():
            are = f"1 box {kind} is" if count == 1 else f"{count:,} boxes {kind} are"
            done = MENDED.get(kind, "left out") if self.policy == MEND else "left out"
            more = ", …" if count > SHOWN else ""
            yield f"{are} {done} ({'; '.join(self.named[kind][:SHOWN])}{more})"
        if self.turned:
            yield (
                f"{_pictures(self.turned)} boxes as the file is stored: they are turned as it "
                "is shown"
            )
        if self.scaled:
            yield f"{_pictures(self.scaled)} boxes for another size: they are scaled to its own"

    @property
    def figures(self) -> dict[str, int]:
        """The counts, by names for programs: ``boxes_without_area``."""
        found = {f"boxes_{kind.replace(' ', '_')}": count for kind, count in self.counts.items()}
        found.update({"boxes_turned": self.turned} if self.turned else {})
        return {**found, **({"boxes_scaled": self.scaled} if self.scaled else {})}


def _pictures(count: int) -> str:
    return "1 picture has" if count == 1 else f"{count:,} pictures each have"


def settled(
    picture: LabelledPicture, frame: Frame, classes: Mapping[str, int], faulty: Faulty
) -> Array:
    """The boxes of a picture, (G, LABEL_WIDTH) float64 with edges in pixels; what is wrong with
    them goes to ``faulty``.
    """
    boxes = _fitted(picture, frame, faulty)
    rows = [
        row for box in boxes for row in _row(box, frame, classes, faulty)
    ]  # fmt: skip
    return np.array(rows, np.float64).reshape(-1, LABEL_WIDTH)


def _fitted(picture: LabelledPicture, frame: Frame, faulty: Faulty) -> Sequence[Box]:
    """The boxes in pixels of the picture as it is shown, whatever size they were given for."""
    width, height = frame.width, frame.height
    found = [
        box._replace(
            xmin=box.xmin * width, xmax=box.xmax * width,
            ymin=box.ymin * height, ymax=box.ymax * height, relative=False,
        )
        if box.relative
        else box
        for box in picture.boxes
    ]  # fmt: skip
    size = picture.size
    if size is None or size == (width, height) or min(size) <= 0 or not found:
        return found
    if picture.boxes[0].relative:
        return found
    if frame.orientation >= 5 and _alike(size, (height, width)):
        faulty.turned += 1
        scale = height / size[0]
        return [_turned(_times(box, scale, scale), frame) for box in found]
    if _alike(size, (width, height)):
        faulty.scaled += 1
        return [_times(box, width / size[0], height / size[1]) for box in found]
    for box in found:
        place = (
            f"{box.place} (for {size[0]} x {size[1]} pixels, the picture has {width} x {height})"
        )
        faulty.add(UNLIKE, box._replace(place=place))
    return []


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= NEAR


def _times(box: Box, across: float, down: float) -> Box:
    area = None if box.area is None else box.area * across * down
    return box._replace(
        xmin=box.xmin * across, xmax=box.xmax * across,
        ymin=box.ymin * down, ymax=box.ymax * down, area=area,
    )  # fmt: skip


def _turned(box: Box, frame: Frame) -> Box:
    """A box of the picture as it is stored, in the picture as it is shown, whose sides change."""
    width, height = frame.width, frame.height
    x, y = (box.ymin, box.ymax), (box.xmin, box.xmax)
    if frame.orientation in (6, 7):
        x = (width - x[1], width - x[0])
    if frame.orientation in (7, 8):
        y = (height - y[1], height - y[0])
    return box._replace(xmin=x[0], xmax=x[1], ymin=y[0], ymax=y[1])


def _row(
    box: Box, frame: Frame, classes: Mapping[str, int], faulty: Faulty
) -> Iterator[tuple[float, ...]]:
    """The row of a box; none where it is left out."""
    edges = box[1:5]
    if not all(map(math.isfinite, edges)):
        faulty.add(NO_NUMBERS, box)
        return
    if box.label not in classes:
        faulty.add(UNKNOWN, box)
        return
    kinds = []
    left, top, right, bottom = edges
    if left > right or top > bottom:
        kinds.append(FLIPPED)
        left, right, top, bottom = (*sorted((left, right)), *sorted((top, bottom)))
    if left == right or top == bottom:
        kinds.append(NO_AREA)
    elif right <= 0 or bottom <= 0 or left >= frame.width or top >= frame.height:
        kinds.append(OUTSIDE)
    else:
        cut = (
            max(left, 0.0), max(top, 0.0),
            min(right, float(frame.width)), min(bottom, float(frame.height)),
        )  # fmt: skip
        if max(abs(a - b) for a, b in zip(cut, (left, top, right, bottom))) > ROUNDING * max(
            frame.width, frame.height
        ):
            kinds.append(BEYOND)
        left, top, right, bottom = cut
    for kind in kinds:
        faulty.add(kind, box)
    if any(kind in LEFT_OUT for kind in kinds) or (kinds and faulty.policy != MEND):
        return
    flag = CROWD if box.crowd else DIFFICULT if box.difficult else 0
    area = (right - left) * (bottom - top) if box.area is None else box.area
    yield (
        classes[box.label], left, top, right, bottom, flag, area, frame.width, frame.height
    )  # fmt: skip
