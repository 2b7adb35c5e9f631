"""The files of a package's archive: a wheel, or what ``npm pack`` writes; within bounds."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Collection

from ..runtime.archives import Bounds, unpack
from ..runtime.errors import DataError
from .folder import MAX_FILE_BYTES
from .formats import is_beside

BOUNDS = Bounds(contents=2 * MAX_FILE_BYTES)
ZIP = ".whl"


def unpacked(archive: Path, members: Collection[str], target: Path) -> None:
    """Write ``members`` of ``archive``, and the shards beside them, into the folder ``target``.

    Raises DataError where one is not in it, or where it is none, or beyond the bounds.
    """
    wanted = lambda name: MAX_FILE_BYTES if _is_wanted(name, members) else 0  # noqa: E731
    if archive.suffix == ZIP:
        _unpack_zip(archive, members, target)
    else:
        unpack(archive, target, wanted, BOUNDS)
    missing = [member for member in members if not (target / member).is_file()]
    if missing:
        raise DataError(*(f"{archive}: holds no {member}" for member in missing))


def _is_wanted(name: str, members: Collection[str]) -> bool:
    return name in members or any(is_beside(member, name) for member in members)


def _unpack_zip(archive: Path, members: Collection[str], target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            if len(entries) > BOUNDS.entries:
                raise DataError(f"{archive}: holds more than {BOUNDS.entries:,} entries")
            for entry in entries:
                if not _is_wanted(entry.filename, members) or entry.filename.endswith("/.."):
                    continue
                if entry.file_size > MAX_FILE_BYTES:
                    raise DataError(
                        f"{archive}: its {entry.filename} has {entry.file_size:,} bytes, more than "
                        f"{MAX_FILE_BYTES:,}"
                    )
                path = target / entry.filename  # a member's own, which leads out of no folder
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as content, path.open("wb") as stream:
                    shutil.copyfileobj(content, stream, 2**20)
    except (DataError, OSError):
        raise
    except Exception as error:  # zipfile raises many kinds for a damaged archive
        raise DataError(f"{archive}: is not a readable wheel: {error}") from None
