"""The notebooks: each is its script's, run, clean and small; the quickest are run here.

`make notebooks` runs all of them.
"""

from __future__ import annotations

import ast
import base64
import getpass
import importlib.util
import re
import socket
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT

nbformat = pytest.importorskip(
    "nbformat", reason="notebooks cannot be run: pip install 'algoshelf[notebooks]'"
)
jupytext = pytest.importorskip("jupytext", reason="pip install 'algoshelf[notebooks]'")
pytest.importorskip("nbclient", reason="pip install 'algoshelf[notebooks]'")

FOLDER = ROOT / "docs" / "notebooks"
SCRIPTS = sorted(FOLDER.glob("[0-9][0-9]-*.py"))
QUICK = ("09-review-app", "10-fraud")
MAX_BYTES, MAX_BYTES_OF_ALL = 300_000, 1_500_000
MACHINE = re.compile(r"/work/|/tmp/|/root\b|/home/(?!you/)|/usr/|site-packages|\.venv|localhost:\d")
every = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def notebook_of(script: Path) -> Any:
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def outputs(notebook: Any) -> list[Any]:
    return [each for cell in notebook.cells for each in cell.get("outputs", ())]


def texts(notebook: Any) -> str:
    """All that is shown in words."""
    found = []
    for output in outputs(notebook):
        data = output.get("data", {})
        found += [output.get("text", ""), data.get("text/html", ""), data.get("text/plain", "")]
    return re.sub(r"base64,[\w+/=]+", "", "\n".join(found))


def test_the_folder_is_small_and_numbered() -> None:
    assert [path.stem[:2] for path in SCRIPTS] == [f"{n:02}" for n in range(1, len(SCRIPTS) + 1)]
    assert len(SCRIPTS) >= 9
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.is_file()}
    assert max(sizes.values()) < MAX_BYTES, sizes
    assert sum(sizes.values()) < MAX_BYTES_OF_ALL, sizes
    told = (FOLDER / "README.md").read_text()
    assert [path.name for path in SCRIPTS if f"({path.stem}.ipynb)" not in told] == []


@every
def test_a_notebook_is_its_script(script: Path) -> None:
    notebook, source = notebook_of(script), jupytext.read(script)
    nbformat.validate(notebook)
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    assert cells == [(cell.cell_type, cell.source) for cell in source.cells]


@every
def test_a_notebook_was_run_from_its_top(script: Path) -> None:
    code = [cell for cell in notebook_of(script).cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1))


@every
def test_what_a_notebook_shows_is_clean(script: Path) -> None:
    notebook = notebook_of(script)
    assert [each for each in outputs(notebook) if each.output_type == "error"] == []
    shown = texts(notebook)
    assert "\x1b" not in shown
    assert "Traceback" not in shown
    assert MACHINE.findall(shown) == []
    for name in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"\b{re.escape(name)}\b", shown), name
    assert "<script" not in shown
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert "execution" not in cell.metadata


@every
def test_pictures_are_of_a_size_to_look_at(script: Path) -> None:
    for output in outputs(notebook_of(script)):
        png = output.get("data", {}).get("image/png")
        if png:
            width, height = struct.unpack(">II", base64.b64decode(png)[16:24])
            assert 100 < width < 1600
            assert 50 < height < 1600


@every
def test_what_a_notebook_imports_is_there(script: Path) -> None:
    wanted = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            wanted.add(node.module)
    own = {"acme_digits", "pretended_aws", "__future__"}  # written by the notebook, or beside it
    missing = [
        name
        for name in sorted(wanted - own)
        if importlib.util.find_spec(name.split(".")[0]) is None
    ]
    assert missing == []


@every
def test_a_cell_that_bills_says_so(script: Path) -> None:
    """Under a heading with BILLED: what creates a job or an endpoint, and is not only printed."""
    heading = ""
    for cell in jupytext.read(script).cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                heading = line if line.startswith("#") else heading
            continue
        bills = re.search(
            r"create_training_job|\.fit\(\{"
            r"|algoshelf sagemaker (train|deploy|transform|tune|update)",
            cell.source,
        )
        if bills and "--dry-run" not in cell.source and "--only" not in cell.source:
            assert "BILLED" in heading, cell.source


def test_the_runner_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    execute = module("execute")
    assert execute.names() == [path.stem for path in SCRIPTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["execute.py", "11-none"])
        with pytest.raises(SystemExit):
            execute.main()
    assert "no notebook 11-none; there are 01-research" in capsys.readouterr().err


@pytest.mark.apart
@pytest.mark.parametrize("name", QUICK)
def test_the_quickest_run(name: str) -> None:
    """In an environment without credentials; as many outputs of each kind as are kept."""
    found = module("execute").run(name)
    kept = notebook_of(FOLDER / f"{name}.py")

    def kinds(notebook: Any) -> list[list[list[str]]]:
        return [
            [sorted(output.get("data", {output.output_type: ""})) for output in cell.outputs]
            for cell in notebook.cells
            if cell.cell_type == "code"
        ]

    assert kinds(found) == kinds(kept)
