"""Writing a model folder completely or not at all, and removing what an aborted run left."""

from __future__ import annotations

import contextlib
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from ..runtime import staging
from ..runtime.errors import OutputError
from .metadata import METADATA, ONNX, PARAMETERS, SYMBOL

# What an artifact's folder may hold; without the export, which is of one model alone, it is whole.
OURS = frozenset([METADATA, ONNX, PARAMETERS, SYMBOL])


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder whose files take their place in ``target`` on success, and vanish on any error.

    An earlier artifact at ``target`` is replaced; a folder that holds anything else is refused.
    Raises OutputError at once where ``target`` cannot be written, so that no training is lost.
    Several processes may do this at a time: each has a stage of its own, and the last one to end
    stays.
    """
    target = target.resolve()  # through links, to where the files are to lie
    with contextlib.ExitStack() as held:
        try:
            inside = _is_replaceable(target) and not _is_exchangeable(target)
            remove_leftovers(target)
            place = target if inside else target.parent
            held.enter_context(staging.made(place))
            stage = held.enter_context(staging.stage(place, target.name))
        except OSError as error:
            raise OutputError(staging.unwritable(target, error)) from None
        yield stage
        with _signals_deferred():
            _take_place(stage, target)


class _Withdrawn(Exception):  # noqa: N818 - it is no fault
    """What was staged is not to take its place."""


def check_target(target: Path) -> None:
    """Raises the OutputError that ``staged(target)`` would, and leaves all as it was."""
    with contextlib.suppress(_Withdrawn), staged(target):
        raise _Withdrawn


def _is_replaceable(target: Path) -> bool:
    """Whether ``target`` is there, empty or an artifact; raises OutputError if it is other work."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise OutputError(f"{target}: a file of this name exists: choose another --output")
    names = (entry.name for entry in target.iterdir())
    entries = {name for name in names if not staging.is_stage(name, target.name)}
    if not entries <= OURS or (entries and METADATA not in entries):
        stranger = min(entries - OURS, default="no " + METADATA)
        raise OutputError(
            f"{target}: contains other files than a model ({stranger}), so it is not replaced: "
            "choose another --output"
        )
    return True


def _is_exchangeable(target: Path) -> bool:
    """Whether the folder may be swapped for another: nobody stands in it, nothing is mounted."""
    return (
        not _is_mounted(target)
        and target != Path.cwd()
        and os.access(target.parent, os.W_OK)
        and target.stat().st_dev == target.parent.stat().st_dev
    )


def _is_mounted(folder: Path) -> bool:
    """Whether something is mounted at ``folder``, be it another folder of the same disk."""
    if folder.is_mount():
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    path = str(folder.resolve())
    for sign in ("\\", " ", "\t", "\n"):  # as mountinfo writes them
        path = path.replace(sign, f"\\{ord(sign):03o}")
    return any(line.split()[4] == path for line in lines)


def _take_place(stage: Path, target: Path) -> None:
    """Move the whole artifact in one step; only where that cannot be, by file, metadata last."""
    if not target.exists():
        stage.rename(target)
        return
    beside = stage.parent == target.parent
    if beside and _holds_nothing_else(target) and staging.exchange(stage, target):
        return  # what was replaced vanishes as the stage
    (target / ONNX).unlink(missing_ok=True)  # of the model before
    for name in (PARAMETERS, SYMBOL, METADATA):
        os.replace(stage / name, target / name)


def _holds_nothing_else(target: Path) -> bool:
    """Whether nobody has put anything, or begun a stage, in ``target`` during the training."""
    return {entry.name for entry in target.iterdir()} <= OURS


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Nothing interrupts between the first file and the last."""
    asked = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove_leftovers(target: Path) -> None:
    """Remove the stages, beside and in ``target``, of processes that were killed."""
    target = target.resolve()
    for folder in (target.parent, target):
        staging.sweep(folder, target.name)
