"""The page of all measurements is that of the kept files, and each of them can be repeated."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.conftest import ROOT

BENCHMARKS = ROOT / "benchmarks"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_is_what_the_kept_files_make_of_it() -> None:
    checked = run(BENCHMARKS / "page.py", "--check")
    assert checked.returncode == 0, checked.stderr


def test_every_measurement_has_its_program_and_pins_its_peers() -> None:
    listed = run(BENCHMARKS / "run.py")
    assert listed.returncode == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert len(lines) > 40
    for _, program, *words in lines:
        assert program == "make" or (BENCHMARKS / program).is_file(), program
        for name in re.findall(r"{peer:([^}]*)}", " ".join(words)):
            pins = (BENCHMARKS / "peers" / f"{name}.txt").read_text().splitlines()
            packages = [line for line in pins if not line.startswith(("#", "--"))]
            assert packages, name
            assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", line) for line in packages), name


def test_what_a_measurement_needs_is_asked_for() -> None:
    unknown = run(BENCHMARKS / "run.py", "nonsense")
    assert unknown.returncode != 0
    assert "nonsense: no such measurement" in unknown.stderr
    lacking = run(BENCHMARKS / "run.py", "scaling")
    assert lacking.returncode != 0
    assert "scaling needs --cifar10" in lacking.stderr
