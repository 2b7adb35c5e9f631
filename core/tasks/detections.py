"""What a detector is asked, and what it answers: objects in pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .. import payload
from ..data import images
from ..data.box_drawing import Caption, with_boxes
from ..data.box_pictures import frame_of, opened
from ..payload import pictures
from ..runtime.errors import NotAcceptableError
from ..runtime.types import Array

# Columns of what is found, (K, FOUND_WIDTH): the class, its score, and the edges from 0 to 1.
FOUND_WIDTH = 6
FOUND_CLASS, SCORE, EDGES = 0, 1, slice(2, 6)
# So many candidates, the best by their scores, are looked at in a picture.
MOST_CANDIDATES = 2000
# What a request may say of itself, in the parameters of its content type or beside a picture.
OPTIONS = ("threshold", "overlap")


class Asked(NamedTuple):
    """A picture to find objects in: ``pixels`` (H, W, 3) uint8 as it is shown, maybe scaled down;
    ``width`` and ``height`` are those that it was sent with. ``threshold`` and ``overlap`` are None
    where the model's are meant.
    """

    pixels: Array
    width: int
    height: int
    threshold: float | None = None
    overlap: float | None = None


def asked(body: bytes, content_type: str, accepted: Sequence[str]) -> list[Asked]:
    """The pictures of a request. Raises PayloadError."""
    media = payload.check_content_type(content_type, accepted)
    usual = {name: payload.number_parameter(content_type, name, 0, 1) for name in OPTIONS}
    return [
        each._replace(**{**usual, **own})
        for each, own in pictures.decode(body, media, _of_file, _of_pixels, _options)
    ]


def _of_file(body: bytes) -> Asked:
    frame = frame_of(images.inspect(body))
    return Asked(opened(body), frame.width, frame.height)


def _of_pixels(pixels: Array) -> Asked:
    return Asked(pixels, pixels.shape[1], pixels.shape[0])


def _options(record: Mapping[str, Any]) -> Mapping[str, float]:
    """What a record says beside its picture. Raises ValueError."""
    found = {}
    for name in OPTIONS:
        value = record.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a number from 0 to 1, got {str(value)[:40]!r}")
        found[name] = float(value)
    return found


def suppressed(candidates: Array, threshold: float, overlap: float, most: int) -> Array:
    """The objects among ``candidates`` (A, 4 + C), the best first: (K, FOUND_WIDTH) float32.

    Of those whose score reaches ``threshold``, the best by their scores; of a class no two whose
    intersection over union is larger than ``overlap``. Edges are cut at the picture's.
    """
    scores = candidates[:, 4:]
    places, classes = np.nonzero(scores >= max(threshold, np.finfo(np.float32).tiny))
    values = scores[places, classes]
    if len(values) > MOST_CANDIDATES:
        best = np.argpartition(-values, MOST_CANDIDATES)[:MOST_CANDIDATES]
        best.sort()
        places, classes, values = places[best], classes[best], values[best]
    order = np.argsort(-values, kind="stable")
    edges = candidates[places[order], :4].clip(0, 1)
    classes, values = classes[order], values[order]
    real = (edges[:, 2:] > edges[:, :2]).all(axis=1)
    edges, classes, values = edges[real], classes[real], values[real]
    kept = _kept(edges, classes, overlap, most)
    found: Array = np.concatenate(
        [classes[kept, None], values[kept, None], edges[kept]], axis=1
    ).astype(np.float32)
    return found


def _kept(edges: Array, classes: Array, overlap: float, most: int) -> list[int]:
    """The places of boxes, the best first, that no better one of their class covers."""
    # Classes apart from each other in the plane, so that all are looked at together.
    low_x, low_y, high_x, high_y = np.ascontiguousarray((edges + 2.0 * classes[:, None]).T)
    columns = np.stack([low_x, low_y, high_x, high_y, (high_x - low_x) * (high_y - low_y)])
    left = np.arange(len(edges))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        kept.append(int(left[0]))
        x, y, x_end, y_end, area = columns[:, 0].tolist()
        low_x, low_y, high_x, high_y, areas = columns = columns[:, 1:]
        wide = np.minimum(high_x, x_end) - np.maximum(low_x, x)
        high = np.minimum(high_y, y_end) - np.maximum(low_y, y)
        common = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
        apart = common <= overlap * (areas + area - common)
        left, columns = left[1:][apart], columns[:, apart]
    return kept


def in_rows(found: Array, most: int) -> Array:
    """What is found (K, FOUND_WIDTH) as (most, FOUND_WIDTH): rows that are nothing are -1."""
    rows = np.full((most, FOUND_WIDTH), -1, np.float32)
    rows[: len(found)] = found[:most]
    return rows


class Seen(NamedTuple):
    """The objects ``found`` (K, FOUND_WIDTH) in a picture, the best first."""

    picture: Asked
    found: Array


@dataclass(frozen=True)
class Detections:
    """The answers to a batch of pictures, in their order; ``classes`` are the names."""

    classes: tuple[str, ...]
    seen: Sequence[Seen]

    def __len__(self) -> int:
        return len(self.seen)

    def __iter__(self) -> Iterator[Seen]:
        return iter(self.seen)

    def __getitem__(self, part: slice) -> Detections:
        return replace(self, seen=self.seen[part])

    def encoded(self, content_type: str) -> bytes:
        """In JSON, JSON Lines or CSV; or the one picture as PNG. Raises NotAcceptableError."""
        if content_type == payload.PNG:
            return self._drawn()
        if content_type == payload.CSV:
            return payload.encode_csv(self._cells(each) for each in self.seen)
        return payload.encode_answers([self._record(each) for each in self.seen], content_type)

    def _record(self, seen: Seen) -> dict[str, Any]:
        rows = payload.plain(seen.found)
        return {
            "prediction": [[int(row[0]), *row[1:]] for row in rows],
            "objects": [
                {"class": name, "score": score, "box": dict(zip(_EDGES, edges))}
                for name, score, edges in self._objects(seen)
            ],
            "width": seen.picture.width,
            "height": seen.picture.height,
        }

    def _cells(self, seen: Seen) -> list[Any]:
        objects = [(name, score, *edges) for name, score, edges in self._objects(seen)]
        return [len(objects), *(cell for each in objects for cell in each)]

    def _objects(self, seen: Seen) -> Iterator[tuple[str, float, list[float]]]:
        """The name, the score and the edges in pixels of each object."""
        sides = [seen.picture.width, seen.picture.height] * 2
        edges = (seen.found[:, EDGES].astype(np.float64) * sides).round(2)
        scores = payload.plain(seen.found[:, SCORE])
        for number, score, row in zip(seen.found[:, FOUND_CLASS], scores, edges.tolist()):
            yield self.classes[int(number)], score, row

    def _drawn(self) -> bytes:
        if len(self.seen) != 1:
            raise NotAcceptableError(
                f"{payload.PNG} is the answer to one picture, and the request has "
                f"{len(self.seen)}: send one at a time, or ask for {payload.JSON}"
            )
        (seen,) = self.seen
        return encode_png(with_boxes(seen.picture.pixels, captions(seen.found, self.classes)))


def captions(found: Array, classes: Sequence[str]) -> list[Caption]:
    """What is written at each box of ``found`` (K, FOUND_WIDTH); the least certain first, so that
    the best lie on top.
    """
    return [
        Caption(
            tuple(row[EDGES].tolist()),
            f"{classes[int(row[FOUND_CLASS])]} {row[SCORE]:.0%}",
            int(row[FOUND_CLASS]),
        )
        for row in found[::-1]
    ]


_EDGES = ("xmin", "ymin", "xmax", "ymax")


def encode_png(picture: Array) -> bytes:
    """A picture (H, W, 3) uint8 as PNG, at a level that takes little time."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=3)
    return stream.getvalue()
