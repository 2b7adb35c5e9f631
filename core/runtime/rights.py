"""Drop root's rights in a container.

SageMaker starts containers as root, and what it lays out under /opt/ml is root's: an image whose
USER is another could not write its model. So the image starts as root, hands those folders over to
a user of its own, and becomes that user before any code of an algorithm runs.
"""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import Iterable

CHECKED_FILES = 100  # of each folder; more would have a mounted bucket listed


def give_up_root(user: str, readable: Iterable[Path], writable: Iterable[Path]) -> str:
    """Become ``user``, who can read all that is ``readable``, and owns all that is ``writable``.

    Folders that are missing among the latter are made. Returns why root's rights were kept, "" if
    they are given up: a process that isn't root's, no such user, or what only root may read, as
    some mounts are.
    """
    if os.geteuid() != 0:
        return "this process does not run as root"
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        return f"there is no user {user}"
    for path in readable:
        if not _may_read(found, path):
            return f"{user} may not read {path}"
    for folder in writable:
        _hand_over(folder, found)
    _become(found)
    os.environ["HOME"] = found.pw_dir
    return ""


def _become(user: pwd.struct_passwd) -> None:
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def _may_read(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether the user may; found out by a process that is the user's, as modes do not say all."""
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            _become(user)
            _read(path)
            code = 0
        os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _read(path: Path) -> None:
    """Open the path, and of a folder the first files in it and below. Raises OSError."""
    if not path.is_dir():
        with path.open("rb") as stream:
            stream.read(1)
        return
    count = 0

    def refuse(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(path, onerror=refuse):
        for name in names:
            with Path(folder, name).open("rb") as stream:
                stream.read(1)
            count += 1
            if count >= CHECKED_FILES:
                return


def _hand_over(folder: Path, user: pwd.struct_passwd) -> None:
    """Make the folder the user's, with all in it; where links lead stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, user.pw_uid, user.pw_gid)
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            os.chown(Path(parent, name), user.pw_uid, user.pw_gid, follow_symlinks=False)
