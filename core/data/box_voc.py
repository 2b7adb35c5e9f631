"""VOC's form: an XML file a picture, as its development kit has it, and LabelImg and others write.

M. Everingham et al., "The PASCAL visual object classes challenge", IJCV 2010.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from ..runtime.errors import DataError
from .box_listing import (
    PICTURES,
    Builder,
    Folder,
    Listing,
    chosen_of,
    number,
    read_bytes,
    size_of,
)
from .boxes import Box, LabelledPicture
from .listed import lines

# The lists of ImageSets/Main that a channel is read by, the first that there is.
LISTS = {"train": ("train", "trainval"), "validation": ("val",), "test": ("test",)}
EDGES = ("xmin", "ymin", "xmax", "ymax")


class _HasDoctype(Exception):  # noqa: N818 - it leaves this module as a ValueError
    """A document declares its type, and so may declare entities that expand without end."""


class _Plain(ElementTree.TreeBuilder):
    """Builds the tree of a document that declares nothing."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise _HasDoctype


def read(folder: Folder, channel: str, on_damaged: str) -> Listing:
    """The pictures of ``folder`` that have an annotation; of ``channel``, where lists or folders
    tell the channels apart.
    """
    builder = Builder(folder.path, on_damaged)
    every = {folder.files[name] for name in folder.ending(".xml")}
    for name in _chosen(folder, channel, builder):
        file = folder.files[name]
        try:
            own, picture = _picture(file)
        except ValueError as error:
            builder.fault(f"{file}: {error}")
            continue
        bare = PurePosixPath(name).with_suffix("")
        found = folder.picture(
            str(bare), str(bare.parent.parent / "JPEGImages" / bare.name), bare.name, own
        )
        beside = None if found is None else found.with_suffix(file.suffix)
        if found is None or (beside != file and beside in every):  # the picture of another one
            builder.lack(f"{file}: there is no picture {bare.name} (.jpg, .png, .webp)")
        else:
            builder.add(found, picture)
    return builder.listing()


def _chosen(folder: Folder, channel: str, builder: Builder) -> list[str]:
    """The annotations of the pictures that ImageSets/Main lists for ``channel``; without lists, of
    those in folders that are called so, or all.
    """
    annotations: dict[str, list[str]] = {}
    for name in folder.ending(".xml"):
        annotations.setdefault(PurePosixPath(name).stem, []).append(name)
    lists: dict[str, list[str]] = {}
    for name in folder.ending(".txt"):
        if PurePosixPath(name).parts[-3:-1] == ("ImageSets", "Main"):
            lists.setdefault(PurePosixPath(name).stem, []).append(name)
    parts = sorted({name for names in LISTS.values() for name in names} & {*lists})
    if not parts:
        pictures = {PurePosixPath(name).stem for name in folder.ending(*PICTURES)}
        without = len(pictures - {*annotations})
        if without:
            builder.notes.append(f"{without:,} pictures without an annotation are left out")
        return chosen_of(folder.path, folder.ending(".xml"), channel)
    part = next((each for each in LISTS[channel] if each in lists), None)
    if part is None:
        raise DataError(
            f"{folder.path}: ImageSets/Main has the lists {', '.join(parts)}, and not "
            f"{LISTS[channel][0]}, by which the channel {channel!r} is read: add that list, or "
            "give a folder without ImageSets, of which all pictures are read"
        )
    texts = [text for name in lists[part] for _, text in lines(folder.files[name])]
    listed = [text.split()[0] for text in texts]
    builder.notes.append(f"ImageSets/Main/{part}.txt lists {len(listed):,} pictures")
    for stem in listed:
        if stem not in annotations:
            builder.lack(f"{folder.path}: there is no {stem}.xml, which ImageSets lists")
    return [name for stem in dict.fromkeys(listed) for name in annotations.get(stem, ())]


def _picture(file: Path) -> tuple[str, LabelledPicture]:
    """The file's name that an annotation has, and the picture. Raises ValueError."""
    try:
        root = ElementTree.fromstring(read_bytes(file), ElementTree.XMLParser(target=_Plain()))
    except _HasDoctype:
        raise ValueError("has a DOCTYPE, which no annotation needs: remove it") from None
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
