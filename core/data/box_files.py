"""Files of labelled pictures: VOC, COCO, YOLO, and what SageMaker's own algorithms take."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Sequence
from xml.etree import ElementTree

from ..runtime.errors import DataError
from . import encoding, files
from .box_pictures import LabelledPictures, PictureFiles
from .boxes import Box, LabelledPicture
from .walking import walk

FORMATS = (
    "a folder in VOC's form (Annotations with an XML file a picture, JPEGImages, ImageSets/Main)",
    "COCO's JSON (images, annotations, categories) beside the pictures or above them",
    "RecordIO (.rec) with boxes, as im2rec --pack-label writes it",
    "a list (.lst) with boxes, as im2rec reads it, beside the pictures",
    "a JSON file a picture, as SageMaker's object detection takes them",
    "an augmented manifest of SageMaker Ground Truth with bounding boxes (.manifest, .jsonl)",
    "YOLO's text files, one a picture, in a folder labels or beside the pictures",
)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MANIFESTS = (".manifest", ".jsonl")
MAX_FAULTS = 100  # shown
MAX_ANNOTATION = 2**31  # bytes of a file of annotations
S3 = "s3://"


class Listing(NamedTuple):
    """Pictures and where they lie; ``classes`` are the names in their order, where the files say
    one, else they are put in order by name. ``notes`` say what was decided and left out.
    """

    paths: Sequence[Path]
    labelled: Sequence[LabelledPicture]
    classes: Sequence[str] | None = None
    notes: Sequence[str] = ()
    left_out: int = 0


def read(
    path: Path,
    channel: str,
    side: int,
    *,
    classes: Sequence[str] | None = None,
    most: int | None = None,
    on_damaged: str,
    on_faulty: str,
) -> LabelledPictures:
    """The labelled pictures of ``channel`` at ``path``, a file or a folder in one of FORMATS.

    ``classes`` and ``most`` are those of the training, where it is not this channel that decides.
    Raises DataError.
    """
    listing = _listing(path, channel)
    if not listing.paths:
        raise DataError(f"{path}: holds no labelled pictures")
    return LabelledPictures(
        PictureFiles(listing.paths, on_damaged),
        listing.labelled,
        classes or listing.classes or _names(listing.labelled),
        side,
        most=most,
        on_faulty=on_faulty,
        notes=listing.notes,
        counts={"left_out": listing.left_out} if listing.left_out else {},
    )


def _listing(path: Path, channel: str) -> Listing:
    if path.is_dir():
        folder = Folder(path)
        for form in (_voc,):
            found = form(folder, channel)
            if found is not None:
                return found
    raise DataError(f"{path}: is none of these: {'; '.join(FORMATS)}")


def _names(labelled: Sequence[LabelledPicture]) -> list[str]:
    """The names of the classes, in the order of their value where all are numbers."""
    names = {box.label for picture in labelled for box in picture.boxes}
    numbered = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbered else 0, name))


class Folder:
    """A folder with all that lies in it, walked once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = walk(path).files
        self._by_base: dict[str, list[str]] = {}
        for name in self.files:
            self._by_base.setdefault(PurePosixPath(name).name, []).append(name)

    def ending(self, *suffixes: str) -> list[str]:
        """The names, below the folder, of the files that end so."""
        return [name for name in self.files if name.lower().endswith(suffixes)]

    def picture(self, *names: str) -> Path | None:
        """The first of ``names``, below the folder or anywhere in it if its name is the only one
        of its kind; without an ending, with any of a picture's.
        """
        for name in names:
            for candidate in (name, *(name + suffix for suffix in PICTURES)):
                if candidate.lower().endswith(PICTURES):
                    if candidate in self.files:
                        return self.files[candidate]
                    same = self._by_base.get(PurePosixPath(candidate).name, ())
                    if len(same) == 1:
                        return self.files[same[0]]
        return None


class Faults:
    """What is wrong with files of annotations, raised all at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, fault: str) -> None:
        self.found.append(fault)

    def check(self) -> None:
        if self.found:
            more = len(self.found) - MAX_FAULTS
            rest = [f"... and {more:,} more"] if more > 0 else []
            raise DataError(*self.found[:MAX_FAULTS], *rest)


# VOC: M. Everingham et al., "The PASCAL visual object classes challenge", IJCV 2010; the form is
# that of its development kit, which LabelImg and others write too.

LISTS = {"train": ("train", "trainval"), "validation": ("val",), "test": ("test",)}


def _voc(folder: Folder, channel: str) -> Listing | None:
    annotations = {PurePosixPath(name).stem: name for name in folder.ending(".xml")}
    if not annotations:
        return None
    chosen, notes = _voc_list(folder, channel)
    faults = Faults()
    paths, labelled = [], []
    for stem in annotations if chosen is None else chosen:
        name = annotations.get(stem)
        if name is None:
            faults.add(f"{folder.path}: there is no {stem}.xml, which ImageSets lists")
            continue
        file = folder.files[name]
        try:
            own, picture = _voc_picture(file)
        except ValueError as error:
            faults.add(f"{file}: {error}")
            continue
        found = folder.picture(stem, own)
        if found is None:
            faults.add(f"{file}: there is no picture {stem} (.jpg, .png, .webp) in {folder.path}")
            continue
        paths.append(found)
        labelled.append(picture)
    faults.check()
    return Listing(paths, labelled, None, notes)


def _voc_list(folder: Folder, channel: str) -> tuple[list[str] | None, list[str]]:
    """The pictures that ImageSets/Main lists for ``channel``; None where it has no lists."""
    lists = {
        PurePosixPath(name).stem: name
        for name in folder.files
        if name.endswith(".txt") and PurePosixPath(name).parts[-3:-1] == ("ImageSets", "Main")
    }
    parts = sorted(name for names in LISTS.values() for name in names if name in lists)
    if not parts:
        return None, []
    name = next((each for each in LISTS[channel] if each in lists), None)
    if name is None:
        raise DataError(
            f"{folder.path}: ImageSets/Main lists {', '.join(parts)}, and no {LISTS[channel][0]}, "
            f"which the channel {channel!r} is read by: add that list, or remove ImageSets, so "
            "that all pictures are read"
        )
    listed = [text.split()[0] for _, text in _lines(folder.files[lists[name]])]
    return listed, [f"the {len(listed):,} pictures of ImageSets/Main/{name}.txt are read"]


def _voc_picture(file: Path) -> tuple[str, LabelledPicture]:
    """The file's name that an annotation has, and the picture. Raises ValueError."""
    body = _bytes(file)
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ValueError("declares entities, which no annotation needs: remove the DOCTYPE")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError(f"is no XML: {error}") from None
    if root.tag != "annotation":
        raise ValueError(f"expected an <annotation>, got <{root.tag[:40]}>")
    boxes = []
    for number, each in enumerate(root.iter("object"), 1):
        label = (each.findtext("name") or "").strip()
        if not label:
            raise ValueError(f"object {number} has no <name>, the name of its class")
        edges = [_number(each.findtext(f"bndbox/{n}")) for n in ("xmin", "ymin", "xmax", "ymax")]
        difficult = (each.findtext("difficult") or "").strip() == "1"
        boxes.append(Box(label, *edges, difficult=difficult, place=f"{file}: object {number}"))
    sides = [_number(root.findtext(f"size/{name}")) for name in ("width", "height")]
    size = (int(sides[0]), int(sides[1])) if all(side >= 1 for side in sides) else None
    return (root.findtext("filename") or "").strip(), LabelledPicture(tuple(boxes), size)


def _number(text: Any) -> float:
    """A number; NaN where ``text`` is none."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _bytes(file: Path) -> bytes:
    with files.open_bytes(file) as stream:
        body = stream.read(MAX_ANNOTATION + 1)
    if len(body) > MAX_ANNOTATION:
        raise DataError(f"{file}: longer than {MAX_ANNOTATION:,} bytes: no file of annotations")
    return body


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that hold something, numbered, in whichever encoding they are."""
    form = encoding.form_of(path, whole=True)
    encoding.say(path, form)
    lines = encoding.lines(path, form)
    return [(number, line.strip()) for number, line in lines if line.strip()]
