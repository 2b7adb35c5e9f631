"""Write folders and archives reproducibly: the same contents give the same bytes."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Iterator, Mapping

from ...core.runtime import staging
from ...core.runtime.errors import OutputError
from .contents import Files, read, size_of

# The time that every file bears: the first that a zip archive can hold, 1980-01-01 UTC.
TIME = 315_532_800
EARLIEST = (1980, 1, 1, 0, 0, 0)
UNIX = 3  # the system whose modes a zip archive holds
EXECUTABLE, PLAIN, FOLDER = 0o755, 0o644, 0o755


def check_free(target: Path) -> None:
    """Raises OutputError where something is at ``target`` already."""
    try:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise OutputError(f"{target}: a file of this name exists: choose another --output")
        if target.is_dir() and any(target.iterdir()):
            raise OutputError(f"{target}: is not empty: choose another --output")
    except OSError as error:
        raise OutputError(f"{target}: cannot be read: {error.strerror}") from None


def write_folder(target: Path, files: Files, executable: frozenset[str] = frozenset()) -> None:
    """Write ``files`` as the folder ``target``, all or nothing. Raises OutputError."""
    with _staged(target) as stage:
        for name in sorted(files):
            path = stage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = files[name]
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                shutil.copyfile(content, path)
            path.chmod(EXECUTABLE if name in executable else PLAIN)
        _set_times(stage)


def write_archive(target: Path, name: str, files: Files) -> None:
    """Write ``files`` as the gzipped tar archive ``name`` in the folder ``target``."""
    with _staged(target) as stage:
        path = stage / name
        with path.open("wb") as raw, _gzip(raw) as stream:
            _write_tar(stream, files)
        path.chmod(PLAIN)
        _set_times(stage)


def write_zip(stream: IO[bytes], files: Files) -> None:
    """A zip archive of ``files`` that anybody may read."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, EARLIEST)
            member.create_system, member.external_attr = UNIX, PLAIN << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, read(files[name]))


def write_function(
    target: Path, name: str, files: Files, beside: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Write ``files`` as the zip archive ``name`` in the folder ``target``, and other files
    ``beside`` it. Raises OutputError.
    """
    with _staged(target) as stage:
        with (stage / name).open("wb") as stream:
            write_zip(stream, files)
        for other, content in beside.items():
            (stage / other).write_bytes(content)
        for path in stage.iterdir():
            path.chmod(PLAIN)
        _set_times(stage)


def _write_tar(stream: gzip.GzipFile, files: Files) -> None:
    """A tar archive of ``files``, which belong to root."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            content = files[name]
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = size_of(content), TIME, PLAIN
            if isinstance(content, bytes):
                archive.addfile(member, io.BytesIO(content))
            else:
                with content.open("rb") as file:
                    archive.addfile(member, file)


def _gzip(raw: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=TIME)


def _set_times(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):  # a folder after what it holds
        if path.is_dir():
            path.chmod(FOLDER)
        os.utime(path, (TIME, TIME))


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder that takes the place of ``target`` on success, and vanishes on any error."""
    target = target.absolute()
    try:
        with staging.made(target.parent), staging.stage(target.parent, target.name) as stage:
            stage.chmod(FOLDER)
            yield stage
            os.utime(stage, (TIME, TIME))
            stage.rename(target)
    except OSError as error:
        raise OutputError(staging.unwritable(target, error)) from None
