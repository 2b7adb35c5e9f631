"""What files of labelled pictures have in common: where pictures lie, and all faults at once."""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any, Mapping, NamedTuple, Sequence

from ..runtime.errors import DataError
from . import files
from .boxes import LabelledPicture
from .folders import named
from .image_datasets import SKIP
from .walking import walk

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MAX_FAULTS = 100  # shown
MAX_ANNOTATION = 2**31  # bytes of a file of annotations
# Names of the parts of a data set, as files and folders are called by them, by channel.
PARTS = {
    "train": ("train", "training", "trainval"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


class Listing(NamedTuple):
    """Pictures and where they lie; ``classes`` are the names in their order, where the files say
    one, else they are put in order by name. ``notes`` say what was decided and left out.
    """

    paths: Sequence[Path]
    labelled: Sequence[LabelledPicture]
    classes: Sequence[str] | None = None
    notes: Sequence[str] = ()
    left_out: int = 0


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
        """The picture that lies at the first of ``names`` below the folder; or anywhere in it,
        where it is the only one so called. Without an ending, with any of a picture's.
        """
        candidates = [
            each
            for name in names if name
            for each in (name, *(name + suffix for suffix in PICTURES))
            if each.lower().endswith(PICTURES)
        ]  # fmt: skip
        for each in candidates:
            if each in self.files:
                return self.files[each]
        for each in candidates:
            same = self._by_base.get(PurePosixPath(each).name, ())
            if len(same) == 1:
                return self.files[same[0]]
        return None


class Builder:
    """Makes a Listing, picture by picture; what is wrong is raised all at once."""

    def __init__(self, source: Path, on_damaged: str) -> None:
        self.source = source
        self.on_damaged = on_damaged
        self.faults: list[str] = []
        self.lacking: list[str] = []
        self.paths: list[Path] = []
        self.labelled: list[LabelledPicture] = []
        self.notes: list[str] = []

    def add(self, path: Path, picture: LabelledPicture) -> None:
        self.paths.append(path)
        self.labelled.append(picture)

    def fault(self, fault: str) -> None:
        """What has to be mended."""
        self.faults.append(fault)

    def lack(self, what: str) -> None:
        """A picture that is not there, or has no labels yet."""
        self.lacking.append(what)

    def listing(self, classes: Sequence[str] | None = None) -> Listing:
        """Raises DataError where anything is wrong."""
        wrong = [*self.faults]
        if self.on_damaged != SKIP:
            wrong += self.lacking
        if wrong:
            more = len(wrong) - MAX_FAULTS
            one = len(wrong) == 1
            advice = f"{self.source}: {_counted(len(wrong), 'fault')}: mend or remove "
            advice += "it" if one else "them"
            if not self.faults:
                advice += f", or leave the picture{'' if one else 's'} out (--on-damaged {SKIP})"
            raise DataError(
                *wrong[:MAX_FAULTS], *([f"... and {more:,} more"] if more > 0 else []), advice
            )
        count = len(self.lacking)
        if count:
            are = "is" if count == 1 else "are"
            said = f"{_counted(count, 'picture')} {are} left out ({self.lacking[0]})"
            self.notes.append(said)
        if not self.paths:
            raise DataError(f"{self.source}: holds no labelled pictures")
        return Listing(self.paths, self.labelled, classes, self.notes, count)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def of_channel(names: Sequence[str], channel: str, *, by_folder: bool = False) -> list[str]:
    """Those of ``names``, of files below a folder, that a word in them says are of ``channel``;
    all where no word says anything of any. The file's own name tells too, unless ``by_folder``.
    """
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in names:
        words = set(_words(name.rpartition("/")[0] if by_folder else name))
        for part, called in PARTS.items():
            if words & {*called}:
                found[part].append(name)
                break
    return found[channel] if any(found.values()) else list(names)


def chosen_of(folder: Path, names: Sequence[str], channel: str) -> list[str]:
    """Those of ``names``, of files below ``folder``, that lie in folders called as ``channel`` is;
    all where no folder is called as any. Raises DataError where there are others alone.
    """
    found = of_channel(names, channel, by_folder=True)
    if names and not found:
        raise DataError(
            f"{folder}: its folders divide the pictures, and none is called as the channel "
            f"{channel!r} is ({', '.join(PARTS[channel])}): give the folder of that part"
        )
    return found


def _words(name: str) -> list[str]:
    """The words of a name with its folders: ``train`` is one of ``instances_train2017.json``."""
    letters = "".join(each if each.isalpha() else " " for each in name.lower())
    return letters.split()


def number(value: Any) -> float:
    """A number, of a text too; NaN where ``value`` is none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """A picture's size; None where the two are no numbers of pixels."""
    sides = number(width), number(height)
    return (int(sides[0]), int(sides[1])) if min(sides) >= 1 and max(sides) < 2**31 else None


def read_bytes(file: Path) -> bytes:
    with files.open_bytes(file) as stream:
        body = stream.read(MAX_ANNOTATION + 1)
    if len(body) > MAX_ANNOTATION:
        raise DataError(f"{file}: longer than {MAX_ANNOTATION:,} bytes: no file of annotations")
    return body


def read_json(file: Path) -> Any:
    """Raises ValueError where it is no JSON."""
    try:
        return json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {str(error)[:200]}") from None


def numbered(names: Mapping[int, str], what: str) -> list[str]:
    """Names in the order of their numbers; raises ValueError where two have one name."""
    found = [names[each] for each in sorted(names)]
    twice = [name for name in dict.fromkeys(found) if found.count(name) > 1]
    if twice:
        raise ValueError(f"two {what} have one name: {named(twice)}")
    return found
