"""Pictures with boxes, read on demand: the dataset of a detector."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, Protocol, Sequence, TypeVar

import numpy as np

from ..runtime.errors import DataError
from ..runtime.types import Array
from . import images
from .boxes import (
    BOX_WIDTH,
    CROWD,
    FLAG,
    HEIGHT,
    LABEL_WIDTH,
    MOST_OBJECTS,
    NO_BOX,
    WIDTH,
    XMAX,
    XMIN,
    YMAX,
    YMIN,
    Faulty,
    Frame,
    LabelledPicture,
    settled,
)
from .dataset import Dataset, Encoded, Subset
from .image_datasets import ImageFiles, Look, RecordImages, _Images

T = TypeVar("T")
# A picture is read at this longer side or smaller: a network's input has no more.
LONGEST = 1024


def opened(body: bytes) -> Array:
    """A picture as it is shown, (H, W, 3) uint8, scaled down to LONGEST where it is larger.

    In training as in requests: so what the network sees is the same in both. Raises PayloadError.
    """
    frame = frame_of(images.inspect(body))
    scale = min(1.0, LONGEST / max(frame.width, frame.height))
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    return images.decode(body, size=size)


def frame_of(picture: images.Picture) -> Frame:
    """Its width and height as it is shown."""
    sides = (picture.width, picture.height)
    return Frame(*(sides if picture.orientation < 5 else sides[::-1]), picture.orientation)


def stretched(picture: Array, side: int) -> Array:
    """A picture (H, W, 3) uint8 scaled to a square, whatever its shape: (3, side, side)."""
    from PIL import Image

    if picture.shape[:2] != (side, side):
        image = Image.fromarray(np.ascontiguousarray(picture))
        picture = np.asarray(
            image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        )
    found: Array = np.ascontiguousarray(picture.transpose(2, 0, 1))
    return found


class Store(Protocol):
    """Where the pictures come from; those that are damaged are dealt with there."""

    note: str
    counts: dict[str, int]

    def __len__(self) -> int: ...

    def picture(self, index: int) -> tuple[int, Array]:
        """The picture at ``index`` (H, W, 3) uint8, or what stands in for it; and its index."""

    def number(self, index: int) -> int:
        """The place of the picture at ``index`` among all that were given."""

    def frame(self, index: int) -> Frame: ...

    def name(self, index: int) -> str: ...

    def each(self, make: Callable[[int], T], indices: Sequence[int]) -> Iterator[T]:
        """``make`` of each of ``indices``, by threads."""

    def digest(self) -> str: ...


class _Framed(_Images):
    """Images whose frames are kept when all are looked through."""

    _frames: Array

    def picture(self, index: int) -> tuple[int, Array]:
        return self._example(index)

    def number(self, index: int) -> int:
        return int(self._kept[index])

    def frame(self, index: int) -> Frame:
        return Frame(*self._frames[self._kept[index]].tolist())

    def name(self, index: int) -> str:
        return self._name(index)

    def each(self, make: Callable[[int], T], indices: Sequence[int]) -> Iterator[T]:
        return self._pool.map(make, indices)

    def _look_through(self, look: Look) -> None:
        self._frames = np.ones((len(self), 3), np.int32)
        super()._look_through(look)

    def _first_bytes(self, index: int) -> bytes:
        body = super()._first_bytes(index)
        if images.format_of(body[: images.HEAD_BYTES]):
            self._frames[self._kept[index]] = frame_of(images.inspect(body))
        return body


class PictureFiles(_Framed, ImageFiles):
    """Files of pictures."""

    def __init__(self, paths: Sequence[Path], on_damaged: str | None) -> None:
        super().__init__(paths, np.zeros(len(paths)), (), opened, on_damaged=on_damaged)


class PictureRecords(_Framed, RecordImages):
    """The pictures of a RecordIO file, with as many labels as each has: ``ragged``."""

    ragged: list[Array]

    def __init__(self, path: Path, on_damaged: str | None) -> None:
        super().__init__(path, opened, ("",), on_damaged=on_damaged)

    def _scan(self) -> tuple[Array, Array]:
        starts, labels, counts = self._scanned()
        self.ragged = np.split(labels, np.cumsum(counts)[:-1])
        return starts, np.zeros((len(starts), 1), np.float32)


class LabelledPictures:
    """Pictures with boxes as examples: x (B, 3, S, S) uint8 in RGB, S being ``side``, and y
    (B, M, BOX_WIDTH) float32, whose columns and rows are those of ``data.boxes``.

    M is ``most``, where the training says it, and by default as many as any picture has here that
    can be learned: of more, which examples to measure by may have, y has the first. ``labels()``
    has all, (N, M', LABEL_WIDTH) float64, edges in pixels. ``labelled`` are the pictures of
    ``store`` in its order.
    """

    def __init__(
        self,
        store: Store,
        labelled: Sequence[LabelledPicture],
        classes: Sequence[str],
        side: int,
        *,
        most: int | None = None,
        on_faulty: str,
        notes: Iterable[str] = (),
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.store, self.side, self.classes = store, side, list(classes)
        _check_unit(store, labelled)
        faulty = Faulty(on_faulty)
        places = {name: place for place, name in enumerate(classes)}
        self.boxes = [
            settled(labelled[store.number(i)], store.frame(i), places, faulty)
            for i in range(len(store))
        ]
        faulty.check(sum(len(labelled[store.number(i)].boxes) for i in range(len(store))))
        largest = max(map(len, self.boxes), default=0)
        if largest > MOST_OBJECTS:
            index = next(i for i, rows in enumerate(self.boxes) if len(rows) == largest)
            raise DataError(
                f"{store.name(index)}: has {largest:,} boxes, expected {MOST_OBJECTS:,} at most"
            )
        learned = (int((rows[:, FLAG] != CROWD).sum()) for rows in self.boxes)
        self.most = most or max([1, *learned])
        objects, empty = sum(map(len, self.boxes)), sum(not len(rows) for rows in self.boxes)
        said = [
            f"{objects:,} box{'' if objects == 1 else 'es'}",
            *([f"{empty:,} picture{'s' * (empty > 1)} without any"] if empty else []),
        ]
        self.note = "; ".join(filter(None, [", ".join(said), faulty.note, store.note, *notes]))
        self.counts = {**store.counts, **faulty.figures, **(counts or {}), "boxes": objects}

    @property
    def encoding(self) -> Mapping[str, Any]:
        return {"classes": self.classes, "boxes": self.most}

    def __len__(self) -> int:
        return len(self.store)

    def take(self, indices: Array) -> tuple[Array, Array]:
        return joined(self.store.each(self.example, indices.tolist()))

    def example(self, index: int) -> tuple[Array, Array]:
        """x (3, S, S) and y (M, BOX_WIDTH) of one picture, as it is."""
        taken, picture = self.store.picture(index)
        return stretched(picture, self.side), padded(self.relative(taken), self.most)

    def relative(self, index: int) -> Array:
        """The boxes of a picture that are learned, (G, BOX_WIDTH) float32, edges from 0 to 1."""
        rows = self.boxes[index]
        rows = rows[rows[:, FLAG] != CROWD]
        found: Array = rows[:, :BOX_WIDTH].astype(np.float32)
        found[:, (XMIN, XMAX)] = rows[:, (XMIN, XMAX)] / rows[:, WIDTH, None]
        found[:, (YMIN, YMAX)] = rows[:, (YMIN, YMAX)] / rows[:, HEIGHT, None]
        return found

    def labels(self) -> Array:
        """All boxes, (N, M', LABEL_WIDTH) float64; rows that are none have the class NO_BOX, and
        the picture's width and height as all rows.
        """
        longest = max([1, *map(len, self.boxes)])
        found = np.full((len(self), longest, LABEL_WIDTH), NO_BOX)
        for index, rows in enumerate(self.boxes):
            frame = self.store.frame(index)
            found[index, :, WIDTH], found[index, :, HEIGHT] = frame.width, frame.height
            found[index, : len(rows)] = rows
        return found

    def digest(self) -> str:
        """Of the pictures and of the boxes that are learned of them."""
        digest = hashlib.sha256("\0".join([self.store.digest(), *self.classes]).encode())
        for rows in self.boxes:
            digest.update(f"\0{len(rows)}\0".encode() + rows.tobytes())
        return digest.hexdigest()


def _check_unit(store: Store, labelled: Sequence[LabelledPicture]) -> None:
    """Raises DataError where all edges that are to be in pixels are from 0 to 1."""
    edges = [max(box[1:5]) for each in labelled for box in each.boxes if not box.relative]
    if edges and max(edges) <= 1:
        raise DataError(
            f"{store.name(0)}: the edges of its boxes, as those of all pictures, are from 0 to 1: "
            "expected pixels in this form"
        )


def joined(examples: Iterable[tuple[Array, Array]]) -> tuple[Array, Array]:
    """A batch of the examples' x and y."""
    x, y = zip(*examples)
    return np.stack(x), np.stack(y)


def padded(boxes: Array, most: int) -> Array:
    """The first ``most`` of ``boxes`` (G, BOX_WIDTH), and rows of NO_BOX: (most, BOX_WIDTH)."""
    found = np.full((most, BOX_WIDTH), NO_BOX, np.float32)
    count = min(len(boxes), most)
    found[:count] = boxes[:count]
    return found


def pictures_of(dataset: Dataset) -> tuple[LabelledPictures, Array]:
    """The pictures that ``dataset`` is made of, and which of them it has, (N,) int64."""
    if isinstance(dataset, Encoded):
        return pictures_of(dataset.whole)
    if isinstance(dataset, Subset):
        whole, indices = pictures_of(dataset.whole)
        return whole, indices[dataset.indices]
    assert isinstance(dataset, LabelledPictures)
    return dataset, np.arange(len(dataset))
