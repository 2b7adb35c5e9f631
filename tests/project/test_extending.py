"""docs/extending.md is true: its commands run, its excerpts are the files, its table is whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from algoshelf.core.conformance import CHECKS

from tests.conftest import ROOT
from tests.project.test_docs import blocks

DOCUMENT = ROOT / "docs" / "extending.md"
SCAFFOLD = ROOT / "registry" / "cli" / "scaffold" / "my-algorithm"
FAILS = "# fails"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment to install into that sees, and does not touch, the one of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    inside = next(folder.glob("lib/*/site-packages"))
    seen = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (inside / "tests.pth").write_text(seen)
    for name, module in (
        ("algoshelf", "algoshelf.registry.cli"),
        ("pip", "pip"),
        ("pytest", "pytest"),
    ):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {python} -m {module} "$@"\n')
        script.chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def test_every_command_of_the_walk_runs_and_shows_what_is_shown(
    environment: dict[str, str], tmp_path: Path
) -> None:
    shown = ""
    for line in "".join(blocks(DOCUMENT, "sh")).splitlines():
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == (1 if line.endswith(FAILS) else 0), f"{line}\n{done}"
        shown += done.stdout
    lines = [line.rstrip() for line in shown.splitlines()]
    assert any(re.match(r"my-algorithm +tabular-classification", line) for line in lines)
    assert f"my-algorithm: {len(CHECKS)} of {len(CHECKS)} checks passed" in lines
    expected = [block for block in blocks(DOCUMENT, "text") if block.startswith("failed")]
    without_seconds = re.sub(r" +\d+\.\d\d s$", "", shown, flags=re.MULTILINE)
    assert len(expected) == 1
    assert expected[0] in without_seconds
    accuracy = re.search(r"test:accuracy +([01]\.\d+)", shown)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.9


def test_every_excerpt_is_of_the_scaffold() -> None:
    source = (SCAFFOLD / "my_algorithm" / "__init__.py").read_text()
    excerpts = blocks(DOCUMENT, "python")
    assert len(excerpts) >= 4
    assert all(excerpt in source for excerpt in excerpts)
    (toml,) = blocks(DOCUMENT, "toml")
    assert toml in (SCAFFOLD / "pyproject.toml").read_text()


def test_every_check_is_explained() -> None:
    rows = [f"| `{check.name}` | {check.holds.replace('``', '`')} |\n" for check in CHECKS.values()]
    assert "".join(rows) in DOCUMENT.read_text()
