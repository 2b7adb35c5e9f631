"""The processors that a process may use, as its affinity and its control groups have it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest
from algoshelf.core.runtime import mx
from algoshelf.core.runtime.cores import cores, free_cores, quota
from algoshelf.core.runtime.errors import InputError
from algoshelf.core.serving import sizing

V1 = "32 31 0:29 {top} {place} rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "41 31 0:38 {top} {place} rw,relatime shared:9 - cgroup2 cgroup2 rw\n"


def machine(root: Path, cgroup: str, mounts: str, files: dict[str, str]) -> Path:
    """A root with so much of /proc and of the control groups."""
    proc = root / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(cgroup)
    (proc / "mountinfo").write_text("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" + mounts)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def legacy(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {
        f"{folder}/cpu.cfs_quota_us": f"{quota}\n",
        f"{folder}/cpu.cfs_period_us": f"{period}\n",
    }


CPU = "sys/fs/cgroup/cpu"
ALL = "sys/fs/cgroup"
MACHINES = {
    "1, own group": (
        "4:cpu,cpuacct:/a/b\n0::/\n", V1.format(top="/", place="/sys/fs/cgroup/cpu"),
        {**legacy(f"{CPU}/a/b", 150_000), **legacy(f"{CPU}/a", -1), **legacy(CPU, -1)}, 1.5,
    ),
    "1, the group above allows less": (
        "4:cpu:/a/b\n", V1.format(top="/", place="/sys/fs/cgroup/cpu"),
        {**legacy(f"{CPU}/a/b", 300_000), **legacy(f"{CPU}/a", 50_000, 25_000)}, 2.0,
    ),
    "1, in a container, where the path is the host's": (
        "4:cpu:/docker/abc\n", V1.format(top="/docker/abc", place="/sys/fs/cgroup/cpu"),
        legacy(CPU, 250_000), 2.5,
    ),
    "1, in a namespace of its own": (
        "4:cpu:/\n", V1.format(top="/", place="/sys/fs/cgroup/cpu"), legacy(CPU, 100_000), 1.0,
    ),
    "1, moved out of its namespace": (
        "4:cpu:/../x\n", V1.format(top="/", place="/sys/fs/cgroup/cpu"), legacy(CPU, 70_000), 0.7,
    ),
    "1, mounted where there is a blank": (
        "4:cpu:/a\n", V1.format(top="/", place="/mnt/c\\040g"), legacy("mnt/c g/a", 200_000), 2.0,
    ),
    "2, in a namespace of its own": (
        "0::/\n", V2.format(top="/", place="/sys/fs/cgroup"), {f"{ALL}/cpu.max": "150000 100000\n"},
        1.5,
    ),
    "2, without a namespace": (
        "0::/s.slice/d.scope\n", V2.format(top="/", place="/sys/fs/cgroup"),
        {f"{ALL}/s.slice/d.scope/cpu.max": "400000 100000\n",
         f"{ALL}/s.slice/cpu.max": "max 100000\n"}, 4.0,
    ),
    "2, the slice above allows less": (
        "0::/s.slice/d.scope\n", V2.format(top="/", place="/sys/fs/cgroup"),
        {f"{ALL}/s.slice/d.scope/cpu.max": "400000 100000\n",
         f"{ALL}/s.slice/cpu.max": "100000 50000\n"}, 2.0,
    ),
    "both, the processor in 1": (
        "9:name=systemd:/x\n1:cpu:/y\n0::/x\n",
        V1.format(top="/", place="/sys/fs/cgroup/cpu")
        + V2.format(top="/", place="/sys/fs/cgroup/unified"),
        legacy(f"{CPU}/y", 120_000), 1.2,
    ),
    "no limit": (
        "0::/\n", V2.format(top="/", place="/sys/fs/cgroup"), {f"{ALL}/cpu.max": "max 1\n"}, None,
    ),
    "nonsense": (
        "0::/\n", V2.format(top="/", place="/sys/fs/cgroup"), {f"{ALL}/cpu.max": "1 0\n"}, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_the_least_quota_of_all_groups_counts(tmp_path: Path, name: str) -> None:
    cgroup, mounts, files, expected = MACHINES[name]
    assert quota(machine(tmp_path, cgroup, mounts, files)) == expected


@pytest.mark.parametrize(
    ("allowed", "expected"), [(10, 1), (100, 1), (150, 1), (170, 1), (180, 2), (200, 2), (250, 2)]
)
def test_parts_of_a_processor_are_rounded(
    tmp_path: Path, allowed: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    files = {f"{ALL}/cpu.max": f"{allowed} 100\n"}
    root = machine(tmp_path, "0::/\n", V2.format(top="/", place="/sys/fs/cgroup"), files)
    assert cores(root) == expected


def test_without_proc_the_affinity_counts(tmp_path: Path) -> None:
    assert quota(tmp_path) is None
    assert cores(tmp_path) >= 1


@pytest.fixture
def group() -> Iterator[Path]:
    """A real group of version 1, beside those of this process."""
    top = Path("/sys/fs/cgroup/cpu")
    if not (top / "cpu.cfs_quota_us").exists() and not (top / "cpu.shares").exists():
        pytest.skip("no control groups of version 1 here")
    path = top / f"algoshelf-test-{os.getpid()}"
    try:
        path.mkdir()
        (path / "cpu.cfs_quota_us").write_text("100000")
    except OSError as error:
        if path.exists():
            path.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    yield path
    path.rmdir()


def test_training_and_serving_keep_to_a_real_quota(group: Path) -> None:
    code = (
        f"open({str(group / 'tasks')!r}, 'w').write('0')\n"
        "from algoshelf.core import mx\n"
        "from algoshelf.core.serving import sizing\n"
        "mx.load()\n"
        "import ctypes\n"
        "print(ctypes.CDLL('libgomp.so.1').omp_get_max_threads(), mx.threads(), "
        "sizing.workers(None, ['cpu'], []))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.stdout == "1 1 1\n", done.stderr


BUSY = [sys.executable, "-S", "-c", "while True: pass"]


def test_processors_that_others_use_are_not_free() -> None:
    neighbours = [subprocess.Popen(BUSY) for _ in range(2 * cores())]
    try:
        assert free_cores() <= max(1, cores() // 2)
    finally:
        for process in neighbours:
            process.kill()
            process.wait()
    assert 1 <= free_cores() <= cores()
    assert free_cores(1) == 1


def settled(call: str, **environment: str) -> list[str]:
    """What ``settle_threads`` says, and the threads it settles on, in a new process."""
    code = f"from algoshelf.core import mx\nprint(mx.settle_threads({call}), mx.threads(), sep='|')"
    plain = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, env={**plain, **environment}, check=True,
    )  # fmt: skip
    return done.stdout.strip().split("|")


def test_threads_are_those_asked_for_set_or_recorded_before_those_that_are_free() -> None:
    assert settled("3", OMP_NUM_THREADS="2") == ["", "3"]
    assert settled("None, 1", OMP_NUM_THREADS="2") == ["", "2"]
    assert settled("None, 1")[1] == "1"
    told, threads = settled("")
    assert 1 <= int(threads) <= cores()
    assert ("busy" in told) == (int(threads) < cores())


def test_threads_of_a_run_with_more_processors_are_not_taken_over() -> None:
    assert int(settled(f"None, {cores() + 1}")[1]) <= cores()


def test_another_number_of_threads_comes_too_late_once_mxnet_is_imported() -> None:
    mx.load()
    assert mx.settle_threads() == mx.settle_threads(mx.threads()) == ""
    with pytest.raises(InputError, match=r"--threads 9999: .* in a new process"):
        mx.settle_threads(9999)


def test_serving_asks_the_same() -> None:
    assert sizing.workers(None, ["cpu"], []) <= cores()
