"""What SageMaker's own object detection takes, and what its Ground Truth writes.

https://docs.aws.amazon.com/sagemaker/latest/dg/object-detection.html,
https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Iterator, Sequence

from . import reading
from .box_listing import Builder, Folder, Listing, number, numbered, read_json, size_of
from .boxes import Box, LabelledPicture
from .listed import lines, place_of

LONGEST_REASON = 500
# A record's or a line's labels: how long their header is, how long each object, and so on.
LEAST_HEADER, LEAST_OBJECT = 2, 5
PACKED = "the length of the header, that of an object, and of each object class, xmin, ymin, xmax "


def packed(labels: Sequence[float], place: str) -> LabelledPicture:
    """A picture by the labels that im2rec packs. Raises ValueError."""
    if len(labels) < LEAST_HEADER:
        raise ValueError(
            f"has {len(labels)} label: expected {PACKED}and ymax; pack it with --pack-label"
        )
    header, width = labels[0], labels[1]
    objects = (len(labels) - header) / width if width >= LEAST_OBJECT else 0.5
    if header < LEAST_HEADER or header != int(header) or width != int(width) or objects % 1:
        raise ValueError(
            f"its {len(labels)} labels, which begin with {header:g}, {width:g}, are not {PACKED}"
            "and ymax"
        )
    boxes = []
    for count in range(int(objects)):
        start = int(header) + count * int(width)
        kind, left, top, right, bottom = labels[start : start + LEAST_OBJECT]
        label = str(int(kind)) if kind >= 0 and kind == int(kind) else f"{kind:g}"
        difficult = width > LEAST_OBJECT and labels[start + LEAST_OBJECT] == 1
        own = f"{place}: object {count + 1}"
        boxes.append(
            Box(label, left, top, right, bottom, relative=True, difficult=difficult, place=own)
        )
    return LabelledPicture(tuple(boxes))


def read_list(path: Path, on_damaged: str) -> Listing:
    """im2rec's list: number, labels and path, with tabs between."""
    builder = Builder(path, on_damaged)
    delimiter = reading.current().delimiter or "\t"
    for line, text in lines(path):
        cells = text.split(delimiter)
        place = f"{path}: line {line}"
        numbers = [number(cell) for cell in cells[1:-1]]
        if any(map(math.isnan, numbers)):
            wrong = next(cell for cell in cells[1:-1] if math.isnan(number(cell)))
            builder.fault(
                f"{place}: {wrong[:40]!r} is no number: expected number, labels and path, with "
                "tabs between; --delimiter says what else is between them"
            )
            continue
        try:
            picture = packed(numbers, place)
            file = place_of(path, cells[-1])
        except ValueError as error:
            builder.fault(f"{place}: {error}")
            continue
        _add(builder, file, picture, place, cells[-1])
    return builder.listing()


def _add(builder: Builder, file: Path, picture: LabelledPicture, place: str, name: str) -> None:
    if file.is_file():
        builder.add(file, picture)
    else:
        builder.lack(f"{place}: {name!r}: there is no file {file}")


class _Names:
    """The names of classes by their numbers, as each picture says them again."""

    def __init__(self) -> None:
        self.known: dict[int, str] = {}

    def add(self, kind: int, name: str) -> None:
        """Raises ValueError where the number has another name already."""
        if self.known.setdefault(kind, name) != name:
            raise ValueError(
                f"class {kind} is called {name!r}, and {self.known[kind]!r} before: number them "
                "alike everywhere"
            )

    def of(self, kind: Any) -> str:
        unknown = f"class {kind}"[:60]
        return self.known.get(int(kind), unknown) if str(kind).isdecimal() else unknown


def _boxes(annotations: Any, names: _Names, place: str) -> Iterator[Box]:
    """Boxes as left, top, width and height, in pixels. Raises ValueError."""
    if not isinstance(annotations, list):
        raise ValueError("annotations: expected a list")
    for count, each in enumerate(annotations, 1):
        if not isinstance(each, dict) or "class_id" not in each:
            raise ValueError(f"annotations: {count} has no class_id")
        left, top, width, height = (
            number(each.get(edge)) for edge in ("left", "top", "width", "height")
        )
        kind = each["class_id"]
        label = names.of(
            int(kind) if isinstance(kind, (int, str)) and str(kind).isdecimal() else kind
        )
        yield Box(label, left, top, left + width, top + height, place=f"{place}: object {count}")


def _size(given: Any) -> tuple[int, int] | None:
    first = given[0] if isinstance(given, list) and given else given
    return size_of(first.get("width"), first.get("height")) if isinstance(first, dict) else None


def read_json_files(folder: Folder, on_damaged: str) -> Listing:
    """A JSON file a picture."""
    builder, names = Builder(folder.path, on_damaged), _Names()
    found = []
    for name in folder.ending(".json"):
        file = folder.files[name]
        try:
            content = read_json(file)
            if not isinstance(content, dict) or not isinstance(content.get("file"), str):
                raise ValueError(
                    "expected an object with file, image_size, annotations, categories"
                )
            for each in content.get("categories") or ():
                if not isinstance(each, dict) or not isinstance(each.get("class_id"), int):
                    raise ValueError("categories: expected a class_id and a name of each")
                names.add(each["class_id"], str(each.get("name", each["class_id"])))
            found.append((file, content))
        except ValueError as error:
            builder.fault(f"{file}: {error}")
    for file, content in found:
        try:
            boxes = tuple(_boxes(content.get("annotations", []), names, str(file)))
        except ValueError as error:
            builder.fault(f"{file}: {error}")
            continue
        path = folder.picture(content["file"])
        if path is None:
            builder.lack(f"{file}: there is no picture {content['file']!r} in {folder.path}")
        else:
            builder.add(path, LabelledPicture(boxes, _size(content.get("image_size"))))
    return builder.listing(_ordered(names, builder))


def _ordered(names: _Names, builder: Builder) -> list[str] | None:
    try:
        return numbered(names.known, "classes") or None
    except ValueError as error:
        builder.fault(f"{builder.source}: {error}")
        return None


def read_manifest(path: Path, on_damaged: str) -> Listing:
    """Ground Truth's: a JSON object a line, with source-ref, boxes, and what is said of them."""
    builder, names = Builder(path, on_damaged), _Names()
    found = []
    for line, text in lines(path):
        place = f"{path}: line {line}"
        try:
            row = json.loads(text)
            if not isinstance(row, dict) or not isinstance(row.get("source-ref"), str):
                raise ValueError("expected a JSON object with source-ref, where the picture is")
            label, metadata = _label_of(row)
            if label is None:
                reason = str(metadata.get("failure-reason"))[:LONGEST_REASON]
                builder.lack(f"{place}: Ground Truth has not labelled it: {reason!r}")
                continue
            for kind, name in (metadata.get("class-map") or {}).items():
                names.add(int(kind), str(name))
            found.append((place, row["source-ref"], label, place_of(path, row["source-ref"])))
        except (ValueError, RecursionError, AttributeError) as error:
            builder.fault(f"{place}: {str(error)[:300]}")
    for place, name, label, file in found:
        try:
            boxes = tuple(_boxes(label.get("annotations"), names, place))
        except ValueError as error:
            builder.fault(f"{place}: {error}")
            continue
        _add(builder, file, LabelledPicture(boxes, _size(label.get("image_size"))), place, name)
    return builder.listing(_ordered(names, builder))


def _label_of(row: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The boxes of a line and their metadata; None where Ground Truth has failed."""
    for key, value in row.items():
        if isinstance(value, dict) and "annotations" in value and not key.endswith("-metadata"):
            metadata = row.get(f"{key}-metadata")
            return value, metadata if isinstance(metadata, dict) else {}
    for key, value in row.items():
        if key.endswith("-metadata") and isinstance(value, dict) and "failure-reason" in value:
            return None, value
    raise ValueError(
        "expected a label with annotations and image_size, as Ground Truth writes bounding boxes"
    )
