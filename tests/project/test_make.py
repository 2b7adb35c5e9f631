"""What a newcomer types in a fresh clone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what is committed, with what is changed and not ignored laid over it."""
    folder = tmp_path_factory.mktemp("clone") / "algoshelf"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return folder


def make(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "VIRTUAL"))}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**environment, **changes}, capture_output=True, text=True,
        check=False, timeout=900,
    )  # fmt: skip


def test_what_is_skipped_here_lacks_no_fixture() -> None:
    """`make toolkits` alone runs these, and a skip hides that one was renamed."""
    plan = ["--setup-plan", "-q", "-p", "no:cacheprovider", "tests/toolkits"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plan],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.long
def test_make_run_in_a_fresh_clone(clone: Path) -> None:
    done = make(clone, "run")
    assert done.returncode == 0, done.stderr
    assert ".venv/bin/algoshelf train mnist-cnn\n" in done.stdout
    accuracy = re.search(r"test:accuracy +(0\.\d+|1\.0+)", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.97
    assert "█" in done.stdout
    assert "The model is in models/mnist-cnn. Next:" in done.stdout
    suggested = re.findall(r"^  (\S+ evaluate .*)$", done.stdout, re.MULTILINE)
    again = subprocess.run(
        suggested[0].split(), cwd=clone, capture_output=True, text=True, check=True
    )
    assert f"accuracy        {accuracy[1]}" in again.stdout
    changed = {path.name for path in clone.iterdir()} - {path.name for path in ROOT.iterdir()}
    assert changed <= {"models", ".venv", "algoshelf.egg-info"}


def test_without_a_python_it_says_what_to_install(clone: Path, tmp_path: Path) -> None:
    done = make(clone, "run", "PYTHON=", f"VENV={tmp_path / 'none'}")
    assert done.returncode != 0
    assert "needs Python 3.9, 3.10, 3.11 or 3.12" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr
