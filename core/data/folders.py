"""Examples in folders, a folder a class: what is there to learn from, and what is left out."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Callable, Collection, Iterator, Mapping, NamedTuple

from ..runtime.deprecated import warn
from ..runtime.errors import DataError
from .images import HEAD_BYTES, JPEG, LFS_POINTER, PNG, WEB_PAGE, WEBP, kind_of
from .walking import walk

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SHOWN = 4
# Names of folders that divide examples, where a class was to be expected; and their channels.
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class ClassFolders(NamedTuple):
    """The files by their class, sorted by path, and how many other files there are of a kind.

    ``empty`` are the folders that hold nothing to learn from, and so make no class; ``odd`` are
    phrases on links and what is no file.
    """

    files: Mapping[str, list[Path]]
    left_out: Mapping[str, int]
    empty: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()

    @property
    def pictures(self) -> Mapping[str, list[Path]]:
        """Deprecated: ``files``."""
        warn("ClassFolders.pictures: it is called files now", 3)
        return self.files

    @property
    def note(self) -> str:
        """What is left out, for people: ``3 files are left out: 2 GIF, 1 .txt``."""
        several = (
            "1 folder is no class, since it holds"
            if len(self.empty) == 1
            else (f"{len(self.empty):,} folders are no classes, since they hold")
        )
        empty = f"{several} no examples: {named(self.empty)}" if self.empty else ""
        return "; ".join(filter(None, [left_out(self.left_out), empty, *self.odd]))

    @property
    def counts(self) -> dict[str, int]:
        """The figures in ``note``."""
        found = {"left_out": sum(self.left_out.values()), "empty_folders": len(self.empty)}
        return {name: count for name, count in found.items() if count}


def named(names: Collection[str]) -> str:
    """The first of ``names``, and how many more there are."""
    first = ", ".join(list(names)[:SHOWN])
    return first + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def left_out(kinds: Mapping[str, int]) -> str:
    """``3 files are left out: 2 GIF, 1 .txt``; an empty text where there are none."""
    count = sum(kinds.values())
    if not count:
        return ""
    listed = ", ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))
    return f"{count:,} {'file is' if count == 1 else 'files are'} left out: {listed}"


def other_than_picture(path: Path) -> str:
    """As what ``path`` is left out of pictures; empty for what holds PNG, JPEG or WebP, whatever
    its name, and for what is nothing known under a picture's name: that is a damaged one.
    """
    kind = _kind(path)
    if kind in (PNG, JPEG, WEBP):
        return ""
    if kind in ("", LFS_POINTER, WEB_PAGE) and path.suffix.lower() in _PICTURE_SUFFIXES:
        return ""
    return kind or ending(path)


def ending(path: Path) -> str:
    """How the name of a file ends, for people."""
    return path.suffix.lower() or "without an ending"


def class_folders(
    path: Path, other: Callable[[Path], str] = other_than_picture, *, no_class: str = ""
) -> ClassFolders:
    """The files below each subfolder of ``path``, however deep, by the subfolder's name.

    ``other`` says as what a file is left out, empty for an example. Hidden files and folders don't
    count, nor does the subfolder ``no_class``. Raises DataError where something cannot be read, or
    where the subfolders are parts of the data, not classes.
    """
    found: dict[str, list[Path]] = {}
    kinds: Counter[str] = Counter()
    walked = walk(path)
    for name, file in sorted(walked.files.items(), key=lambda item: item[0].split("/")):
        folder, below, _ = name.partition("/")
        if below and folder == no_class:
            kinds[f"in {folder}, without a class"] += 1
            continue
        kind = other(file)
        if not below:
            kinds[f"{kind or _kind(file) or ending(file)} beside the classes' folders"] += 1
        elif kind:
            kinds[kind] += 1
        else:
            found.setdefault(folder, []).append(file)
    tops = [name for name in walked.folders if name not in ("", no_class) and "/" not in name]
    _check_parts(path, found)
    empty = tuple(name for name in tops if name not in found)
    return ClassFolders(found, kinds, empty, (*walked.odd, *_below_one(path, found)))


def _below_one(path: Path, found: Mapping[str, list[Path]]) -> Iterator[str]:
    """Where all classes seem to lie one folder deeper than is read: that, and what to give."""
    if len(found) != 1:
        return
    ((name, files),) = found.items()
    below = sorted({file.relative_to(path / name).parts[0] for file in files})
    if len(below) > 1 and not any((path / name / each).is_file() for each in below):
        yield (
            f"all examples lie in one folder, {name}, below its subfolders {named(below)}: if "
            f"these are the classes, give {path / name}"
        )


def _kind(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return kind_of(stream.read(HEAD_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _check_parts(path: Path, found: Mapping[str, list[Path]]) -> None:
    """Raises DataError where all folders are called as parts of the data are: what the model would
    learn is to tell one part from another, or, given as one, the examples that it is measured by.
    """
    names = sorted(found)
    if not names or not all(name.lower() in _PARTS for name in names):
        return
    folders = any(file.parent != path / name for name, files in found.items() for file in files)
    if len(names) == 1 and not folders:
        return
    channels = {_PARTS[name.lower()]: path / name for name in names}
    ordered = (name for name in ("train", "validation", "test") if name in channels)
    advice = " ".join(f"--{name} {shlex.quote(str(channels[name]))}" for name in ordered)
    raise DataError(
        f"{path}: its subfolders {', '.join(names)} are parts of the data, not classes: give each "
        f"to its channel: {advice}"
        + ("" if folders else "; each needs a subfolder for every class, with its examples")
    )
