"""YOLO's form: a text file a picture, a line an object: class, centre, width and height.

https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path, PurePosixPath

from . import encoding
from .box_listing import PICTURES, Builder, Folder, Listing, chosen_of, number
from .boxes import Box, LabelledPicture

CELLS = 5
NAMES = ("classes.txt", "obj.names", "names.txt", "labels.txt", "predefined_classes.txt")


def labels_of(folder: Folder) -> dict[str, str]:
    """The files of pictures that have a text file beside them or in the folder labels, by name."""
    texts = {str(PurePosixPath(name).with_suffix("")) for name in folder.ending(".txt")}
    found = {}
    for name in folder.ending(*PICTURES):
        bare = PurePosixPath(name).with_suffix("")
        parts = list(bare.parts)
        if "images" in parts:
            last = len(parts) - 1 - parts[::-1].index("images")
            parts[last] = "labels"
        for candidate in (str(PurePosixPath(*parts)), str(bare), f"labels/{bare}"):
            if candidate in texts:
                found[name] = f"{candidate}.txt"
                break
    return found


def read(folder: Folder, channel: str, on_damaged: str) -> Listing:
    """The pictures of ``folder``; of ``channel``, where folders are called so."""
    builder = Builder(folder.path, on_damaged)
    labels = labels_of(folder)
    names = _names(folder, builder)
    pictures = folder.ending(*PICTURES)
    chosen = chosen_of(folder.path, pictures, channel)
    if len(chosen) < len(pictures):
        builder.notes.append(f"{len(chosen):,} of {len(pictures):,} pictures are of the {channel}")
    for name in chosen:
        boxes = _boxes(folder.files[labels[name]], names, builder) if name in labels else ()
        builder.add(folder.files[name], LabelledPicture(tuple(boxes)))
    return builder.listing(names)


def _boxes(file: Path, names: list[str] | None, builder: Builder) -> list[Box]:
    found = []
    form = encoding.form_of(file, whole=True)
    for line, text in encoding.lines(file, form):
        cells = text.split()
        if not cells:
            continue
        place = f"{file}: line {line}"
        if len(cells) != CELLS:
            outline = len(cells) > CELLS + 1 and len(cells) % 2 == 1
            builder.fault(
                f"{place}: has {len(cells)} numbers: expected {CELLS}: class, x and y of the "
                "centre, width, height" + ("; this is an outline, not a box" if outline else "")
            )
            continue
        kind = number(cells[0])
        x, y, width, height = map(number, cells[1:])
        whole = math.isfinite(kind) and kind == int(kind)
        label = str(int(kind)) if whole else cells[0][:40]
        if names is not None:
            known = whole and 0 <= kind < len(names)
            label = names[int(kind)] if known else f"class {label}"
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        found.append(Box(label, *edges, relative=True, place=place))
    return found


def _names(folder: Folder, builder: Builder) -> list[str] | None:
    """The names of the classes, by a file of names or by what a .yaml says; None without any."""
    texts = [name for name in folder.files if PurePosixPath(name).name.lower() in NAMES]
    for name in sorted(texts, key=len):
        form = encoding.form_of(folder.files[name], whole=True)
        lines = encoding.lines(folder.files[name], form)
        found = [text.strip() for _, text in lines if text.strip()]
        if found and not all(re.fullmatch(r"[\d.\s-]+", each) for each in found):
            builder.notes.append(f"{name} names the classes")
            return found
    for name in sorted(folder.ending(".yaml", ".yml"), key=len):
        form = encoding.form_of(folder.files[name], whole=True)
        found = _of_yaml("\n".join(text for _, text in encoding.lines(folder.files[name], form)))
        if found:
            builder.notes.append(f"{name} names the classes")
            return found
    return None


def _of_yaml(text: str) -> list[str]:
    """The names of a data.yaml: a list in brackets, or a line a name, with a dash or a number."""
    found = re.search(r"^names:[ \t]*(\[.*?\]|\{.*?\})", text, re.MULTILINE | re.DOTALL)
    if found:
        try:
            value = ast.literal_eval(found[1])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = [_bare(each) for each in found[1][1:-1].split(",")]
        if isinstance(value, dict):
            value = [value[key] for key in sorted(value, key=number)]
        return [str(each) for each in value]
    block = re.search(r"^names:[ \t]*(?:#.*)?\n((?:[ \t]*(?:-|\d+:).*\n?)+)", text, re.MULTILINE)
    if not block:
        return []
    return [_bare(re.sub(r"^\s*(?:-|\d+:)\s*", "", line)) for line in block[1].splitlines()]


def _bare(text: str) -> str:
    return text.partition(" #")[0].strip().strip("'\"")
