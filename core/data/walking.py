"""All files below a folder: each real folder is visited once, wherever links lead."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Tuple

from ..runtime.errors import DataError

SHOWN = 4
_Identity = Tuple[int, int]


class Walk(NamedTuple):
    """The ``files`` and ``folders`` found, by their POSIX paths below the folder, sorted; and what
    was left out, a phrase each: ``links`` and what is no file as ``odd``, and what is ``hidden``.
    """

    files: dict[str, Path]
    folders: list[str]
    odd: list[str]
    hidden: list[str]

    @property
    def left_out(self) -> list[str]:
        """All that was left out, a phrase each: ``2 hidden entries: .DS_Store, .git``."""
        return self.odd + self.hidden


def walk(folder: Path) -> Walk:
    """The files of ``folder`` and of the folders in it, but hidden ones; a file is walked itself.

    Links are followed, to a folder only if that is neither above this one nor visited already: so
    ``ln -s . again`` adds nothing, and no two links lead round in a circle. Real folders are
    visited before links to them. Raises DataError for what is not there or cannot be read.
    """
    try:
        if not folder.is_dir():
            folder.stat()
            return Walk({folder.name: folder}, [], [], [])
        return _Walker(folder).run()
    except OSError as error:
        where = error.filename or folder
        missing = isinstance(error, FileNotFoundError)
        why = "no such file or folder" if missing else f"cannot be read: {error.strerror}"
        raise DataError(f"{where}: {why}") from None


class _Walker:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, Path] = {}
        self.folders: list[str] = []
        self.hidden: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.others: list[str] = []
        self.seen: set[_Identity] = set()
        self.above = {_identity(os.stat(parent)) for parent in root.resolve().parents}

    def run(self) -> Walk:
        waiting: list[tuple[str, Path]] = [("", self.root)]
        while waiting:
            linked: list[tuple[str, Path]] = []
            for name, folder in waiting:
                self._enter(name, folder, linked)
            waiting = sorted(linked)
        links = [f"{name}: a link that {why}" for name, why in sorted(self.links)]
        return Walk(
            dict(sorted(self.files.items())),
            sorted(self.folders),
            links + _counted(self.others, "entry that is no file", "entries that are no files"),
            _counted(self.hidden, "hidden entry", "hidden entries"),
        )

    def _enter(self, name: str, folder: Path, linked: list[tuple[str, Path]]) -> None:
        """Take the files of a folder and of all real folders in it; links come to ``linked``."""
        waiting = [(name, folder)]
        while waiting:
            name, folder = waiting.pop()
            identity = _identity(os.stat(folder))
            if identity in self.above:
                self.links.append((name, "leads to a folder above"))
                continue
            if identity in self.seen:
                self.links.append((name, "leads to a folder that is read already"))
                continue
            self.seen.add(identity)
            self.folders.append(name)
            with os.scandir(folder) as entries:
                for entry in entries:
                    below = str(PurePosixPath(name, entry.name))
                    if entry.name.startswith("."):
                        self.hidden.append(below)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append((below, Path(entry.path)))
                    elif entry.is_file(follow_symlinks=False):
                        self.files[below] = Path(entry.path)
                    elif self._take(below, Path(entry.path)):
                        linked.append((below, Path(entry.path)))

    def _take(self, name: str, path: Path) -> bool:
        """Take a file; whether it is a link to a folder instead."""
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            if not path.is_symlink():
                raise
            self.links.append((name, f"leads nowhere: {error.strerror}"))
            return False
        if stat.S_ISREG(mode):
            self.files[name] = path
        elif not stat.S_ISDIR(mode):
            self.others.append(name)
        return stat.S_ISDIR(mode)


def _counted(names: list[str], one: str, several: str) -> list[str]:
    if not names:
        return []
    shown = ", ".join(sorted(names)[:SHOWN]) + ", …" * (len(names) > SHOWN)
    return [f"{len(names):,} {one if len(names) == 1 else several}: {shown}"]


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino
