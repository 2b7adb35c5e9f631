"""Who may import whom: the invariants of the architecture, read off the source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

from tests.conftest import ROOT

AWS = {"boto3", "botocore", "sagemaker"}
CORE = sorted(ROOT.glob("core/**/*.py"))
ALGORITHMS = sorted(ROOT.glob("algorithms/**/*.py"))
REGISTRY = sorted(ROOT.glob("registry/**/*.py"))
FILES = [*CORE, *ALGORITHMS, *REGISTRY]


def imports(path: Path) -> Iterator[str]:
    """Absolute names of all that ``path`` imports, at the top or in a function."""
    package = ["algoshelf", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            yield from (
                ".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names
            )


def test_the_test_sees_imports() -> None:
    found = set(imports(ROOT / "algorithms" / "mnist_cnn" / "__init__.py"))
    assert "algoshelf.core.codecs" in found
    assert "algoshelf.algorithms.mnist_cnn.data" in found


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_neither_registry_nor_an_algorithm_nor_aws(path: Path) -> None:
    for name in imports(path):
        assert not name.startswith(("algoshelf.registry", "algoshelf.algorithms"))
        assert name.split(".")[0] not in AWS | {"click", "rich"}


@pytest.mark.parametrize("path", ALGORITHMS, ids=lambda p: str(p.relative_to(ROOT)))
def test_an_algorithm_imports_core_and_itself_only(path: Path) -> None:
    own = ".".join(["algoshelf", *path.relative_to(ROOT).parts[:2]])
    for name in imports(path):
        assert name.split(".")[0] not in AWS
        if name.startswith("algoshelf."):
            assert name.startswith(("algoshelf.core", own))


@pytest.mark.parametrize("path", REGISTRY, ids=lambda p: str(p.relative_to(ROOT)))
def test_registry_knows_no_algorithm_by_name(path: Path) -> None:
    assert not [name for name in imports(path) if name.startswith("algoshelf.algorithms")]


@pytest.mark.parametrize("path", REGISTRY, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_sdk_of_aws_is_imported_in_one_module(path: Path) -> None:
    homes = {"boto3": ROOT / "registry/aws/account.py", "sagemaker": ROOT / "registry/aws/sdk.py"}
    for name in imports(path):
        root = name.split(".")[0]
        assert homes.get(root, path) == path
        assert root not in {"botocore", "s3transfer"} or path.parent == ROOT / "registry/aws"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_mxnet_is_imported_in_one_module(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] == "mxnet"] or (
        path == ROOT / "core" / "runtime" / "types.py"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_can_unpickle(path: Path) -> None:
    names = {name.split(".")[0] for name in imports(path)}
    assert not names & {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
    assert "allow_pickle=True" not in path.read_text()


@pytest.mark.parametrize("path", [*CORE, *ALGORITHMS], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_runs_in_the_container_parses_on_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))
