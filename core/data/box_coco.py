"""COCO's form: a JSON file with images, annotations and categories.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Any, Dict

from ..runtime.errors import DataError
from .box_listing import Builder, Folder, Listing, number, numbered, of_channel, read_json, size_of
from .boxes import Box, LabelledPicture
from .folders import named

Content = Dict[str, Any]
MOST_FILES = 20  # of a folder in this form; one a picture is another


def found_in(folder: Folder, channel: str) -> tuple[Path, Content] | None:
    """The file of ``folder`` in this form that ``channel`` is read by, and what it holds; None
    where there is none of this form. Raises DataError.
    """
    names = folder.ending(".json")
    if not names or len(names) > MOST_FILES:
        return None
    wanted = of_channel(names, channel)
    for part in (wanted, [name for name in names if name not in wanted]):
        read = [(folder.files[name], content_of(folder.files[name])) for name in part]
        found = [(file, content) for file, content in read if content is not None]
        if part is wanted and len(found) == 1:
            return found[0]
        if found:
            listed = named([file.name for file, _ in found])
            raise DataError(
                f"{folder.path}: {len(found) if part is wanted else 'none'} of its files in COCO's "
                f"form is called as the channel {channel!r} is ({listed}): give one by its name"
            )
    return None


def content_of(file: Path) -> Content | None:
    """What a file in this form holds; None of another file."""
    try:
        content = read_json(file)
    except ValueError:
        return None
    keys = ("images", "annotations", "categories")
    fits = isinstance(content, dict) and all(isinstance(content.get(key), list) for key in keys)
    return content if fits else None


def root_of(file: Path) -> Path:
    """The folder below which the pictures of a file of annotations lie."""
    return file.parent.parent if file.parent.name == "annotations" else file.parent


def read(file: Path, content: Content, folder: Folder, on_damaged: str) -> Listing:
    """The pictures of ``file``, which holds ``content``; they lie in ``folder``."""
    builder = Builder(file, on_damaged)
    classes = _categories(file, content["categories"], builder)
    boxes: dict[Any, list[Box]] = {}
    for place, each in enumerate(content["annotations"], 1):
        if not isinstance(each, dict) or not isinstance(each.get("image_id"), (int, str)):
            builder.fault(f"{file}: annotations: {place} has no image_id, the number of its image")
            continue
        boxes.setdefault(each["image_id"], []).append(_box(file, place, each, classes))
    part = PurePosixPath(file.stem).name.rpartition("_")[2]
    for place, each in enumerate(content["images"], 1):
        if not isinstance(each, dict) or not isinstance(each.get("file_name"), str):
            builder.fault(f"{file}: images: {place} has no file_name")
            continue
        name = each["file_name"]
        beside = file.parent.name
        found = folder.picture(name, f"{part}/{name}", f"images/{part}/{name}", f"{beside}/{name}")
        own = tuple(boxes.pop(each.get("id"), ()))
        if found is None:
            builder.lack(f"{file}: images: {place}: there is no file {name!r} in {folder.path}")
        else:
            picture = LabelledPicture(own, size_of(each.get("width"), each.get("height")))
            builder.add(found, picture)
    for identity, left in boxes.items():
        builder.fault(f"{left[0].place}: there is no image {identity!r}")
    return builder.listing(list(classes.values()))


def _categories(file: Path, given: list[Any], builder: Builder) -> dict[int, str]:
    """The names of the classes by their numbers, in their order."""
    names = {}
    for place, each in enumerate(given, 1):
        fits = isinstance(each, dict) and isinstance(each.get("id"), int)
        if not fits or not isinstance(each.get("name"), str):
            builder.fault(f"{file}: categories: {place}: expected an id, a number, and a name")
            continue
        names[each["id"]] = each["name"]
    try:
        return dict(zip(sorted(names), numbered(names, "categories")))
    except ValueError as error:
        builder.fault(f"{file}: categories: {error}")
        return {}


def _box(file: Path, place: int, each: dict[str, Any], classes: dict[int, str]) -> Box:
    """An annotation, whose bbox is left, top, width and height, in pixels."""
    given = each.get("bbox")
    edges = [math.nan] * 4
    if isinstance(given, list) and len(given) == 4:
        edges = [number(edge) for edge in given]
    left, top, width, height = edges
    kind = each.get("category_id")
    area = number(each.get("area"))
    return Box(
        classes.get(kind, f"category {kind}"[:60]) if isinstance(kind, int) else "no category",
        left, top, left + width, top + height,
        crowd=each.get("iscrowd") == 1,
        area=area if math.isfinite(area) else None,
        place=f"{file}: annotation {each.get('id', place)}",
    )  # fmt: skip
