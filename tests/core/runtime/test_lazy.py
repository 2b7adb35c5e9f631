"""Public names are imported when they are asked for, and no others with them."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PACKAGES = ["core", "core/training", "core/artifact/adoption", "registry"]
OF_SDK = {"estimator", "model", "predictor", "tuner"}  # which need the SageMaker SDK


def imported(code: str) -> set[str]:
    """What a process of its own has imported after ``code``."""
    show = "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("folder", PACKAGES)
def test_what_is_imported_is_what_type_checkers_read(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = "algoshelf." + folder.replace("/", ".")
    module = importlib.import_module(package)
    tree = ast.parse((ROOT / folder / "__init__.py").read_text())
    read = [
        (alias.asname or alias.name, "." * node.level + (node.module or ""), alias.name)
        for each in ast.walk(tree)
        if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"
        for node in ast.walk(each)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)} & set(module.__all__)
    assert {name for name, _, _ in read} | own == set(module.__all__)
    for name, home, there in read:
        if folder == "registry" and name in OF_SDK:
            continue
        try:
            expected = getattr(importlib.import_module(home, package), there)
        except AttributeError:  # a module
            expected = importlib.import_module(f"{home.rstrip('.')}.{there}", package)
        # An old module of this name stands in its place from when it is imported (deprecated.py).
        monkeypatch.delitem(vars(module), name, raising=False)
        assert getattr(module, name) is expected, name


def test_a_name_that_is_not_offered_is_missing() -> None:
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from algoshelf.core.training import no_such_name")
    with pytest.raises(AttributeError, match=r"'algoshelf\.core' has no attribute 'nothing'"):
        importlib.import_module("algoshelf.core").nothing  # noqa: B018


def test_core_alone_imports_next_to_nothing() -> None:
    found = imported("import algoshelf.core")
    assert not found & {"numpy", "pydantic", "PIL"}
    assert not [name for name in found if name.startswith("algoshelf.core.training")]


def test_who_answers_does_not_import_what_trains() -> None:
    asked = (
        "from algoshelf.algorithms import image_classification, mnist_cnn, text_classification\n"
    )
    for code in (asked, "import algoshelf.core.serving.worker"):
        found = imported(code)
        assert "numpy" in found  # the test sees what is imported
        assert not found & {
            "algoshelf.core.training.loop",
            "algoshelf.core.training.run",
            "algoshelf.core.training.together",
            "algoshelf.core.artifact.adoption.foreign",
        }


def test_help_names_every_command_without_importing_it() -> None:
    import click
    from algoshelf.registry.cli import cli
    from algoshelf.registry.cli.output import SuggestingGroup

    assert isinstance(cli, SuggestingGroup)
    context = click.Context(cli)
    assert cli.summaries(context) == SuggestingGroup.summaries(cli, context)
    code = """
from algoshelf.registry.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""
    assert not imported(code) & {"numpy", "pydantic"}
