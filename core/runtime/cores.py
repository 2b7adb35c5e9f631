"""The number of CPU cores that this process may use, by its affinity and its cgroup's quota.

A quota is of a control group (cgroup) or of any above it, in either version of them:
https://docs.kernel.org/scheduler/sched-bwc.html (1: ``cpu.cfs_quota_us``, ``cpu.cfs_period_us``),
https://docs.kernel.org/admin-guide/cgroup-v2.html (2: ``cpu.max``). The group is in
``/proc/self/cgroup``, where its files are in ``/proc/self/mountinfo``.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import Iterator, NamedTuple

# Of a part of a processor, so much counts as a whole: with a thread more than the quota has
# processors, all of them stand still at the end of every period.
NEARLY_WHOLE = 0.75


def cores(root: Path = Path("/")) -> int:
    """The processors that this process may use, at least 1; ``root`` holds ``proc`` and ``sys``."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    allowed = quota(root)
    return found if allowed is None else max(1, min(found, int(allowed + 1 - NEARLY_WHOLE)))


def quota(root: Path = Path("/")) -> float | None:
    """The processors that the control groups allow, which may be a fraction; None for no limit."""
    quotas = [
        found
        for folder, version in _groups(root)
        if (found := _unified(folder) if version == 2 else _legacy(folder)) is not None
    ]
    return min(quotas, default=None)


class _Mount(NamedTuple):
    version: int
    top: PurePosixPath  # the group that is mounted
    place: PurePosixPath  # where


def _groups(root: Path) -> Iterator[tuple[Path, int]]:
    """The folder of each group that this process is in, and of those above, as far as mounted."""
    mounts = {mount.version: mount for mount in _mounts(root)}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, own = line.split(":", 2)
        version = 2 if not controllers else 1 if "cpu" in controllers.split(",") else 0
        mount = mounts.get(version)
        if mount is None:
            continue
        place = root / mount.place.relative_to("/")
        group = PurePosixPath(own)
        # In a container the path may be the host's, whose part above the mount is not to be seen.
        below: tuple[str, ...] = ()
        if ".." not in group.parts and mount.top in (group, *group.parents):
            below = group.relative_to(mount.top).parts
        for depth in range(len(below), -1, -1):
            yield place.joinpath(*below[:depth]), version


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _lines(root / "proc/self/mountinfo"):
        place, _, kind = line.partition(" - ")
        fields, (form, _, *options) = place.split(" "), kind.split(" ")
        holds_cpu = "cpu" in ",".join(options).split(",")
        if form == "cgroup2" or (form == "cgroup" and holds_cpu):
            top, where = (PurePosixPath(_unescaped(field)) for field in fields[3:5])
            yield _Mount(2 if form == "cgroup2" else 1, top, where)


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):  # another system than Linux, or /proc is not mounted
        return path.read_text().splitlines()
    return []


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _unified(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = (folder / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    return None


def _legacy(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = (
            int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
        )
        return allowed / period if allowed > 0 else None
    return None
