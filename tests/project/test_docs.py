"""The documents tell the truth: every command runs, every excerpt is the file it shows."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Algoshelf, free_port

DOCUMENTS = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("algorithms/*/README.md")),
]
# Commands that set an environment up, and what `make run` does, are run where that is tested.
ELSEWHERE = {
    "make run": "tests/project/test_make.py",
    "algoshelf train mnist-cnn": "tests/project/test_make.py",
    "make test": ".ci/run",
    "python3 -m venv .venv": "tests/project/test_make.py",
    ".venv/bin/pip install --upgrade pip setuptools": "tests/project/test_make.py",
    ".venv/bin/pip install -e '.[cpu,serve]'": "tests/project/test_make.py",
    ". .venv/bin/activate": "tests/project/test_make.py",
    "algoshelf doctor": "tests/registry/test_machine.py",
}


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> list[str]:
    lines = [line for block in blocks(path, "sh") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


@pytest.mark.long
@pytest.mark.parametrize(
    "document",
    # but for extending.md and diabetes.md, by tests of their own, and tasks.md, by
    # core/tasks/test_page.py
    [path for path in DOCUMENTS if path.name not in ("extending.md", "diabetes.md", "tasks.md")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_command_of_a_document_runs(document: Path, tmp_path: Path) -> None:
    for name in ("algorithms", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    port = str(free_port())
    with contextlib.ExitStack() as until_the_end:
        for command in commands(document):
            if command in ELSEWHERE:
                continue
            name, *arguments = shlex.split(command.replace("8080", port))
            if name == "curl":
                subprocess.run([name, "-sS", "--fail", *arguments], cwd=tmp_path, check=True)
                continue
            assert name == "algoshelf", f"{command}: run by no test"
            if arguments[-1] == "&":
                server = Algoshelf(tmp_path).start(*arguments[:-1])
                until_the_end.callback(server.wait, 60)
                until_the_end.callback(server.terminate)
                continue
            stdin = b""
            if "<" in arguments:
                arguments, source = arguments[: arguments.index("<")], arguments[-1]
                stdin = (tmp_path / source).read_bytes()
            result = Algoshelf(tmp_path)(*arguments, stdin=stdin)
            assert result.code == 0, f"{command}\n{result.stderr}"


def test_the_readme_shows_the_third_party_plugin_of_the_tests() -> None:
    readme = ROOT / "README.md"
    plugin = ROOT / "tests" / "registry" / "acme-tabular"
    (shown,) = blocks(readme, "toml")
    assert shown == (plugin / "pyproject.toml").read_text()
    assert (plugin / "acme_tabular.py").read_text() in blocks(readme, "python")


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    import sys

    code = next(block for block in blocks(ROOT / "README.md", "python") if "catalog()" in block)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "models" / "tried" / "algorithm.json").is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_every_module_that_a_document_names_is_there(document: Path) -> None:
    for name in re.findall(r"`((?:core|registry|algorithms)/[a-z_/]+\.py)`", document.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (document.parent / target).exists(), target
