"""Files of labelled pictures, in whichever form they are: one way to read them all."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from ..runtime.errors import DataError
from . import box_coco, box_sagemaker, box_voc, box_yolo, files
from .box_listing import MAX_FAULTS, Folder, Listing
from .box_pictures import LabelledPictures, PictureFiles, PictureRecords
from .boxes import LabelledPicture

FORMATS = (
    "a folder in VOC's form (Annotations with an XML file a picture, JPEGImages, ImageSets/Main)",
    "COCO's JSON (images, annotations, categories), with the pictures beside it or in the folder",
    "RecordIO (.rec) with boxes, as im2rec --pack-label writes it",
    "a list (.lst) with boxes, as im2rec reads it, beside the pictures",
    "a folder with a JSON file a picture, as SageMaker's object detection takes them",
    "an augmented manifest of SageMaker Ground Truth with bounding boxes (.manifest, .jsonl)",
    "YOLO's text files, one a picture, in a folder labels or beside the pictures",
)
MANIFESTS = (".manifest", ".jsonl")


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
    store: PictureFiles | PictureRecords
    record = _record(path)
    if record is not None:
        store = PictureRecords(record, on_damaged)
        listing = Listing((), _packed(record, store))
    else:
        listing = _listing(path, channel, on_damaged)
        store = PictureFiles(listing.paths, on_damaged)
    return LabelledPictures(
        store,
        listing.labelled,
        classes or listing.classes or _names(listing.labelled),
        side,
        most=most,
        on_faulty=on_faulty,
        notes=listing.notes,
        counts={"left_out": listing.left_out} if listing.left_out else {},
    )


def _listing(path: Path, channel: str, on_damaged: str) -> Listing:
    if path.is_dir():
        return _of_folder(path, channel, on_damaged)
    if path.suffix == ".lst":
        return box_sagemaker.read_list(path, on_damaged)
    if path.suffix in MANIFESTS:
        return box_sagemaker.read_manifest(path, on_damaged)
    content = box_coco.content_of(path) if path.suffix == ".json" else None
    if content is not None:
        return box_coco.read(path, content, Folder(box_coco.root_of(path)), on_damaged)
    raise DataError(f"{path}: is none of these: {'; '.join(FORMATS)}")


def _of_folder(path: Path, channel: str, on_damaged: str) -> Listing:
    listed = _only(path, ".lst") or _only(path, *MANIFESTS)
    if listed is not None:
        return _listing(listed, channel, on_damaged)
    folder = Folder(path)
    coco = box_coco.found_in(folder, channel)
    if coco is not None:
        return box_coco.read(*coco, folder, on_damaged)
    if folder.ending(".xml"):
        return box_voc.read(folder, channel, on_damaged)
    if folder.ending(".json"):
        return box_sagemaker.read_json_files(folder, on_damaged)
    if box_yolo.labels_of(folder):
        return box_yolo.read(folder, channel, on_damaged)
    raise DataError(f"{path}: holds none of these: {'; '.join(FORMATS)}")


def _only(path: Path, *suffixes: str) -> Path | None:
    found = files.with_suffix(path, *suffixes)
    if len(found) > 1:
        raise DataError(f"{path}: holds several {suffixes[0]} files: give one by its name")
    return found[0] if found else None


def _record(path: Path) -> Path | None:
    if path.is_dir():
        return _only(path, ".rec")
    return path if path.suffix == ".rec" else None


def _packed(path: Path, store: PictureRecords) -> list[LabelledPicture]:
    found, faults = [], []
    for count, labels in enumerate(store.ragged, 1):
        place = f"{path}: record {count}"
        try:
            found.append(box_sagemaker.packed(labels.tolist(), place))
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if faults:
        more = len(faults) - MAX_FAULTS
        raise DataError(*faults[:MAX_FAULTS], *([f"... and {more:,} more"] if more > 0 else []))
    return found


def _names(labelled: Sequence[LabelledPicture]) -> list[str]:
    """The names of the classes, in the order of their value where all are numbers."""
    names = {box.label for picture in labelled for box in picture.boxes}
    numbered = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbered else 0, name))
