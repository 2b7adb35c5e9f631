"""Pictures in folders, a folder a class: what is there to learn from, and what is left out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Iterable, Iterator, Mapping, NamedTuple

from ..runtime.errors import DataError
from .images import HEAD_BYTES, JPEG, PNG, WEBP, kind_of

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_DAMAGED = "picture"
_READ = (PNG, JPEG, WEBP, _DAMAGED)
# Names of folders that divide examples, where a class was to be expected.
_PARTS = frozenset(["train", "training", "val", "valid", "validation", "eval", "test", "testing"])


class ClassFolders(NamedTuple):
    """The pictures by their class, sorted by path, and how many other files there are of a kind."""

    pictures: Mapping[str, list[Path]]
    left_out: Mapping[str, int]

    @property
    def note(self) -> str:
        """What is left out, for people: ``3 files are left out: 2 GIF, 1 .txt``."""
        return left_out(self.left_out)


def left_out(kinds: Mapping[str, int]) -> str:
    """``3 files are left out: 2 GIF, 1 .txt``; an empty text where there are none."""
    count = sum(kinds.values())
    if not count:
        return ""
    listed = ", ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))
    return f"{count:,} {'file is' if count == 1 else 'files are'} left out: {listed}"


def class_folders(path: Path) -> ClassFolders:
    """The pictures below each subfolder of ``path``, however deep, by the subfolder's name.

    A picture is what holds PNG, JPEG or WebP, whatever its name, or nothing known under a
    picture's name: that is a damaged one. Hidden files and folders don't count. Raises DataError
    where something cannot be read, or where the subfolders are parts of the data, not classes.
    """
    found: dict[str, list[Path]] = {}
    kinds: Counter[str] = Counter()
    parts = []
    status = os.stat(path)
    top = (status.st_dev, status.st_ino)  # no class is to hold what the others hold, by a link
    for entry in _entries(path):
        if not entry.is_dir():
            kinds[f"{_kind(Path(entry.path))} beside the classes' folders"] += 1
            continue
        pictures = []
        for file in _files(Path(entry.path), [top]):
            kind = _kind(file)
            if kind in _READ:
                pictures.append(file)
            else:
                kinds[kind] += 1
        if pictures:
            found[entry.name] = pictures
            folder = Path(entry.path)
            if entry.name.lower() in _PARTS and all(file.parent != folder for file in pictures):
                parts.append(entry.name)
    if len(parts) == len(found) > 0:
        raise DataError(
            f"{path}: its subfolders {', '.join(sorted(parts))} hold folders of pictures: they are "
            f"parts of the data, not classes; give each to its channel, as --train "
            f"{path / sorted(parts)[0]}"
        )
    return ClassFolders(found, kinds)


def _kind(path: Path) -> str:
    """What ``path`` holds, or where that is not known, how its name ends."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    known = kind_of(head)
    if known:
        return known
    if path.suffix.lower() in _PICTURE_SUFFIXES:
        return _DAMAGED
    return path.suffix.lower() or "without an ending"


def _files(folder: Path, above: list[tuple[int, int]]) -> Iterator[Path]:
    """The files below ``folder``, in the order of their paths; a link back up is not followed."""
    try:
        status = os.stat(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _files(Path(entry.path), [*above, here])
        elif entry.is_file():
            yield Path(entry.path)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    """What ``folder`` holds, sorted, without hidden entries such as ``.DS_Store``."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    return sorted(entries, key=lambda entry: entry.name)
