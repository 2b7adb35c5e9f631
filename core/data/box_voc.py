"""VOC's form: an XML file a picture, as its development kit has it, and LabelImg and others write.

M. Everingham et al., "The PASCAL visual object classes challenge", IJCV 2010.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from ..runtime.errors import DataError
from .box_listing import Builder, Folder, Listing, number, read_bytes, size_of
from .boxes import Box, LabelledPicture
from .listed import lines

# The lists of ImageSets/Main that a channel is read by, the first that there is.
LISTS = {"train": ("train", "trainval"), "validation": ("val",), "test": ("test",)}
EDGES = ("xmin", "ymin", "xmax", "ymax")


def read(folder: Folder, channel: str, on_damaged: str) -> Listing:
    """The pictures of ``folder`` that have an annotation; of ``channel``, where there are lists."""
    annotations = {PurePosixPath(name).stem: name for name in folder.ending(".xml")}
    builder = Builder(folder.path, on_damaged)
    for stem in _chosen(folder, channel, builder, list(annotations)):
        if stem not in annotations:
            builder.lack(f"{folder.path}: there is no {stem}.xml, which ImageSets lists")
            continue
        file = folder.files[annotations[stem]]
        try:
            own, picture = _picture(file)
        except ValueError as error:
            builder.fault(f"{file}: {error}")
            continue
        found = folder.picture(f"JPEGImages/{stem}", stem, own)
        if found is None:
            builder.lack(f"{file}: there is no picture {stem} (.jpg, .png, .webp)")
        else:
            builder.add(found, picture)
    return builder.listing()


def _chosen(folder: Folder, channel: str, builder: Builder, every: list[str]) -> list[str]:
    """The pictures that ImageSets/Main lists for ``channel``; ``every`` one without lists."""
    lists = {
        PurePosixPath(name).stem: name
        for name in folder.ending(".txt")
        if PurePosixPath(name).parts[-3:-1] == ("ImageSets", "Main")
    }
    parts = sorted({name for names in LISTS.values() for name in names} & {*lists})
    if not parts:
        pictures = {PurePosixPath(name).stem for name in folder.ending(".jpg", ".jpeg", ".png")}
        without = len(pictures - {*every})
        if without:
            builder.notes.append(f"{without:,} pictures without an annotation are left out")
        return every
    name = next((each for each in LISTS[channel] if each in lists), None)
    if name is None:
        raise DataError(
            f"{folder.path}: ImageSets/Main has the lists {', '.join(parts)}, and not "
            f"{LISTS[channel][0]}, by which the channel {channel!r} is read: add that list, or "
            "give a folder without ImageSets, of which all pictures are read"
        )
    listed = [text.split()[0] for _, text in lines(folder.files[lists[name]])]
    builder.notes.append(f"ImageSets/Main/{name}.txt lists {len(listed):,} pictures")
    return listed


def _picture(file: Path) -> tuple[str, LabelledPicture]:
    """The file's name that an annotation has, and the picture. Raises ValueError."""
    body = read_bytes(file)
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ValueError("declares entities, which no annotation needs: remove the DOCTYPE")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"is no XML: {error}") from None
    if root.tag != "annotation":
        raise ValueError(f"expected <annotation>, got <{root.tag[:40]}>")
    boxes = []
    for count, each in enumerate(root.iter("object"), 1):
        label = (each.findtext("name") or "").strip()
        if not label:
            raise ValueError(f"object {count} has no <name>, the name of its class")
        left, top, right, bottom = (number(each.findtext(f"bndbox/{edge}")) for edge in EDGES)
        difficult = (each.findtext("difficult") or "").strip() == "1"
        place = f"{file}: object {count}"
        boxes.append(Box(label, left, top, right, bottom, difficult=difficult, place=place))
    size = size_of(root.findtext("size/width"), root.findtext("size/height"))
    return (root.findtext("filename") or "").strip(), LabelledPicture(tuple(boxes), size)
