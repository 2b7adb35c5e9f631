"""Staging folders: write something beside its target, then move it there completely or not at all.

    with staging.stage(folder, "model") as stage:     # folder/.model.stage-3f9c…, and its lock
        …                                             # written into stage
        staging.take_place(stage, folder / "model")

A stage lies beside what it is to become, so that a rename moves it. Its name is of this attempt
alone: a process id is not, since in a container it is 1 each time. Whether its maker lives is told
by a lock beside it (flock), which the kernel takes back however the maker ends, and which two
containers on one volume see alike. Who makes a stage first removes those of makers that are gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterable, Iterator, NoReturn

_MARK = ".stage-"
_LOCK = ".lock"
# What leave() gives to the removal of what is unfinished: a disk that hangs is not waited for.
_LEAVE_SECONDS = 2.0
BLOCK_BYTES = 2**20
# The stages of this process, which must not outlive it.
_ours: set[Path] = set()


@contextmanager
def stage(folder: Path, name: str) -> Iterator[Path]:
    """A new empty folder in ``folder`` for what becomes ``name``; removed on exit unless moved.

    What makers that are gone have left there for ``name`` is removed first. Raises OSError where
    ``folder``, which must be there, cannot be written.
    """
    sweep(folder, name)
    path, lock = _begin(folder, name)
    _ours.add(path)
    try:
        path.mkdir()
        yield path
    finally:
        _remove(path)
        _ours.discard(path)
        os.close(lock)


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """``folder`` and its parents exist; what had to be made is removed on any error, if empty."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        remove_empty(missing)
        raise


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of ``folders``, the innermost first, that hold nothing."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def sweep(folder: Path, name: str = "") -> None:
    """Remove the stages for ``name`` in ``folder``, or all, whose makers are gone."""
    for path in stages(folder, name):
        lock = _taken(_lock_of(path))
        if lock is not None:
            _remove(path)
            os.close(lock)


def stages(folder: Path, name: str = "") -> list[Path]:
    """The stages for ``name`` in ``folder``, or all, of makers that live and that are gone.

    What cannot be listed holds none.
    """
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    found = (_told_by(entry, name) for entry in entries)
    return [folder / entry for entry in sorted({entry for entry in found if entry})]


def is_stage(entry: str, name: str) -> bool:
    """Whether a folder's ``entry`` is a stage for ``name``, or the lock of one."""
    return bool(_told_by(entry, name))


def take_place(made: Path, target: Path) -> None:
    """Move the folder ``made`` to ``target``, replacing a folder there in one step.

    Both lie on one file system. Raises OSError.
    """
    if not target.exists():
        made.rename(target)
    elif exchange(made, target):
        shutil.rmtree(made, ignore_errors=True)
    else:
        shutil.rmtree(target)
        made.rename(target)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places at once; False where this system cannot."""
    with contextlib.suppress(AttributeError):
        swap = ctypes.CDLL(None).renameat2
        at_cwd, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        return bool(swap(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), both) == 0)
    return False


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file ``path`` by ``content``, all or nothing. Raises OSError."""
    with stage(path.parent, path.name) as folder:
        whole = folder / path.name
        whole.write_bytes(content)
        sync(whole)
        os.replace(whole, path)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    hash_file(path, found.update)
    return found.hexdigest()


def hash_file(path: Path, update: Callable[[bytes], None]) -> None:
    """Give ``update``, of a digest, the content of a file, of which memory holds a block."""
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(BLOCK_BYTES), b""):
            update(block)


def sync(path: Path) -> None:
    """Write a file or folder durably to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unique() -> str:
    """A random name that is unique across processes, containers and hosts."""
    return secrets.token_hex(8)


def unwritable(path: Path, error: OSError) -> str:
    """Why ``path`` cannot be written, for people: a file in place of a folder is named."""
    blocking = next((each for each in path.parents if os.path.isfile(each)), None)
    if blocking is not None:
        return f"{path}: cannot be written: {blocking} is a file, expected a folder"
    if isinstance(error, PermissionError):
        return f"{path}: cannot be written: {error.strerror}: choose a place that is yours"
    return f"{path}: cannot be written: {error.strerror or error}"


def leave(code: int) -> NoReturn:
    """End the process at once, as ``os._exit``, and leave no stage behind."""
    remover = threading.Thread(target=_remove_ours, daemon=True)
    remover.start()
    remover.join(_LEAVE_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def _remove_ours() -> None:
    for path in list(_ours):
        _remove(path)


def _begin(folder: Path, name: str) -> tuple[Path, int]:
    """Where a new stage is to be, and its lock, held."""
    while True:
        path = folder / f".{name}{_MARK}{unique()}"
        lock = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # who sweeps was faster, and removes it
            os.close(lock)
            continue
        except OSError:
            return path, lock  # nothing can be locked there, so nobody sweeps
        if _is_at(lock, _lock_of(path)):
            return path, lock
        os.close(lock)


def _taken(path: Path) -> int | None:
    """The lock at ``path``, made where there is none; None where its holder lives."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(lock, path):
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


def _remove(path: Path) -> None:
    """Remove a stage whose lock is held, and then the lock."""
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        with contextlib.suppress(OSError):
            _lock_of(path).unlink()


def _told_by(entry: str, name: str) -> str:
    """The name of the stage for ``name`` (any without) that an entry is of; or an empty string."""
    found = re.fullmatch(rf"(\.(.+){re.escape(_MARK)}[0-9a-z]+)({re.escape(_LOCK)})?", entry, re.S)
    return found[1] if found and name in ("", found[2]) else ""
