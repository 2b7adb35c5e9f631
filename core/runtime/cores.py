"""The number of CPU cores that this process may use, by its affinity and its cgroup's quota, and
of those that other programs leave to it.

A quota is of a control group (cgroup) or of any above it, in either version of them:
https://docs.kernel.org/scheduler/sched-bwc.html (1: ``cpu.cfs_quota_us``, ``cpu.cfs_period_us``),
https://docs.kernel.org/admin-guide/cgroup-v2.html (2: ``cpu.max``). The group is in
``/proc/self/cgroup``, where its files are in ``/proc/self/mountinfo``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path, PurePosixPath
from typing import Iterator, NamedTuple

# Of a part of a processor, so much counts as a whole: with a thread more than the quota has
# processors, all of them stand still at the end of every period.
NEARLY_WHOLE = 0.75
# A look at what is free: so long, so often where it is not all, and so long after one another.
LOOK, LOOKS, PAUSE = 0.06, 3, 0.15  # seconds, times, seconds
HASHED = bytes(2**18)  # long enough for hashlib to let go of the interpreter's lock


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


def free_cores(found: int | None = None) -> int:
    """Of the processors that this process may use, those that others leave free, at least 1.

    Measured: a thread for each of them computes for LOOK seconds, and what it was given of a
    processor tells how many others want one. Where it is not all, it is looked again, so that what
    passes does not count. Takes 60 ms where nobody else computes.
    """
    from concurrent.futures import ThreadPoolExecutor  # which imports logging and more

    usable = cores() if found is None else found
    free = 0
    for look in range(LOOKS if usable > 1 else 0):
        if look:
            time.sleep(PAUSE)
        with ThreadPoolExecutor(usable) as pool:
            given = sum(pool.map(_given, [time.monotonic() + LOOK] * usable))
        # With n of ours and b others on n processors, ours are given n * n / (n + b) together.
        others = usable * usable / max(given, 1e-3) - usable
        free = max(free, int(usable - others + 1 - NEARLY_WHOLE))
        if free >= usable:
            break
    return max(1, free)


def _given(until: float) -> float:
    """Compute until then; the part of a processor that this thread was given."""
    begun, own = time.monotonic(), time.thread_time()
    while time.monotonic() < until:
        hashlib.sha256(HASHED)
    passed = time.monotonic() - begun
    return (time.thread_time() - own) / passed if passed > 0 else 0.0


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
