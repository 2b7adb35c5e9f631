"""Lists of pictures, a line each: their lines, and where the pictures that they name lie."""

from __future__ import annotations

from pathlib import Path

from ..runtime.errors import DataError
from . import encoding

S3 = "s3://"


def lines(path: Path) -> list[tuple[int, str]]:
    """The lines that hold something, numbered, in whichever encoding they are."""
    form = encoding.form_of(path, whole=True)
    encoding.say(path, form)
    found = [(number, line.strip()) for number, line in encoding.lines(path, form) if line.strip()]
    if not found:
        raise DataError(f"{path}: holds no examples")
    return found


def place_of(path: Path, source: str) -> Path:
    """Where the picture ``source`` of the list ``path`` lies: beside the list, or as much of its
    key in S3 as is there. Raises ValueError where it would lie elsewhere.
    """
    return _downloaded(path, source) if source.startswith(S3) else _beside(path, source)


def _downloaded(path: Path, source: str) -> Path:
    """Where the object ``source`` of S3 lies beside ``path``: under as much of its key as is there.

    A channel holds what follows its prefix, so of ``s3://bucket/a/b/c.png`` it may be
    ``a/b/c.png``, ``b/c.png`` or ``c.png``. Raises ValueError where it would lie elsewhere.
    """
    key = source[len(S3) :].split("/")[1:]
    places = [_beside(path, "/".join(key[start:])) for start in range(len(key))]
    return next((place for place in places if place.is_file()), places[-1] if places else path)


def _beside(path: Path, name: str) -> Path:
    """The file ``name`` in the folder of the list ``path``, and nowhere else: or ValueError."""
    folder = path.parent.resolve()
    try:
        found = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError):  # a name that no file has, or links in a circle
        raise ValueError(f"{name[:200]!r} is no path of a file") from None
    if folder not in found.parents:
        raise ValueError(f"{name!r} lies outside of {folder}")
    return found
