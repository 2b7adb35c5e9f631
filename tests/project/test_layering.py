"""Who may import whom: the invariants of the architecture, read off the source."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import Iterable, Mapping

import pytest
from graphlib import CycleError, TopologicalSorter

from tests.conftest import ROOT

AWS = {"boto3", "botocore", "sagemaker"}
CORE = sorted(ROOT.glob("core/**/*.py"))
ALGORITHMS = sorted(ROOT.glob("algorithms/**/*.py"))
REGISTRY = sorted(ROOT.glob("registry/**/*.py"))
FILES = [*CORE, *ALGORITHMS, *REGISTRY]
# What each folder of core may import of the others; types alone may come from anywhere.
ARROWS = {
    "runtime": (),
    "pages": (),
    "data": ("runtime",),
    "payload": ("data", "runtime"),
    "artifact": ("data", "pages", "runtime"),
    "weights": ("artifact", "data", "runtime"),
    "algorithm": ("weights", "artifact", "data", "pages", "runtime"),
    "training": ("algorithm", "artifact", "data", "pages", "runtime"),
    "inference": ("algorithm", "artifact", "payload", "data", "runtime"),
    "tasks": (
        *(
            "training",
            "inference",
            "algorithm",
            "weights",
            "artifact",
            "payload",
            "data",
            "runtime",
        ),
    ),
    "serving": ("inference", "algorithm", "artifact", "payload", "data", "runtime"),
    "transform": ("inference", "algorithm", "artifact", "payload", "data", "runtime"),
    "drift": ("tasks", "inference", "algorithm", "artifact", "payload", "data", "runtime"),
    "benchmark": ("training", "algorithm", "artifact", "data", "runtime"),
    "container": (
        *("benchmark", "serving", "transform", "training", "inference", "algorithm"),
        *("weights", "artifact", "payload", "data", "runtime"),
    ),
    "conformance": (
        *("tasks", "training", "inference", "algorithm", "artifact", "payload", "data", "runtime"),
    ),
}
# Of an algorithm, a training knows what it is told by; the rest it states itself (Trainable).
OF_ALGORITHMS = ("channels", "hyperparameters")


def imports(path: Path, *, types: bool = True) -> list[str]:
    """Absolute names of all that ``path`` imports, at the top or in a function.

    Without ``types``, not what a type checker alone imports.
    """
    return [name for name, for_types in _imports(path) if types or not for_types]


@cache
def _imports(path: Path) -> list[tuple[str, bool]]:
    """What ``path`` imports, and whether for a type checker alone."""
    package = ["algoshelf", *path.relative_to(ROOT).parts[:-1]]
    tree = ast.parse(path.read_text())
    for_types = {node for each in checked_alone(tree) for node in ast.walk(each)}
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = [*base, *filter(None, [node.module])]
            names = [".".join([*module, alias.name]) for alias in node.names]
        found += [(name, node in for_types) for name in names]
    return found


def checked_alone(tree: ast.AST) -> list[ast.If]:
    """The parts that stand under ``if TYPE_CHECKING``."""
    conditions = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    return [each for each in conditions if ast.unparse(each.test) == "TYPE_CHECKING"]


def module_of(path: Path) -> str:
    parts = ["algoshelf", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported_modules(path: Path, *, types: bool = True) -> set[str]:
    """The modules of this project among ``imports``, but for ``path`` itself."""
    names = imports(path, types=types)
    found = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return (found & MODULES) - {module_of(path)}


def folder_of(module: str) -> str:
    """The folder of core that ``module`` lies in; empty for core's own and what is not core's."""
    parts = module.split(".")
    return parts[2] if parts[1] == "core" and len(parts) > 2 else ""


def circle(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """A way that leads back to where it begins; empty where there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_test_sees_imports() -> None:
    found = set(imports(ROOT / "algorithms" / "mnist_cnn" / "__init__.py"))
    assert "algoshelf.core.ArrayDataset" in found
    assert "algoshelf.algorithms.mnist_cnn.data" in found
    base = ROOT / "core" / "algorithm" / "base.py"
    assert "algoshelf.core.training.run" in imported_modules(base)
    assert "algoshelf.core.training.run" not in imported_modules(base, types=False)
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_every_folder_of_core_has_its_arrows() -> None:
    folders = {path.name for path in (ROOT / "core").iterdir() if (path / "__init__.py").exists()}
    assert folders == ARROWS.keys()
    assert not circle(ARROWS)


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_along_its_arrows(path: Path) -> None:
    here = folder_of(module_of(path))
    if not here:  # the public face
        return
    for module in imported_modules(path, types=False):
        there = folder_of(module)
        assert there in (here, *ARROWS[here]), f"{here} imports {module}"
        if (here, there) == ("training", "algorithm"):
            assert module.rpartition(".")[2] in OF_ALGORITHMS, f"{here} imports {module}"


@pytest.mark.parametrize("folder", ["serving", "transform", "inference"])
def test_what_answers_knows_nothing_of_training(folder: str) -> None:
    """Not even for types."""
    asked = [path for path in CORE if folder_of(module_of(path)) == folder]
    assert asked
    for path in asked:
        found = {folder_of(module) for module in imported_modules(path)}
        assert not found & {"training", "tasks", "benchmark", "conformance"}, path


@pytest.mark.parametrize("top", [CORE, ALGORITHMS], ids=["core", "algorithms"])
def test_no_module_imports_itself_by_way_of_others(top: list[Path]) -> None:
    """Not even for types: of two modules, one can be read first."""
    assert not circle({module_of(path): imported_modules(path) for path in top})


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


# What is carried into a function of AWS Lambda has the boto3 that is there.
AT_HOME = [path for path in REGISTRY if ROOT / "registry/web/scaffold" not in path.parents]


@pytest.mark.parametrize("path", AT_HOME, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_sdk_of_aws_is_imported_in_one_module(path: Path) -> None:
    homes = {"boto3": ROOT / "registry/aws/account.py", "sagemaker": ROOT / "registry/aws/sdk.py"}
    for name in imports(path):
        root = name.split(".")[0]
        assert homes.get(root, path) == path
        assert root not in {"botocore", "s3transfer"} or path.parent == ROOT / "registry/aws"


CARRIED = (
    "algoshelf.registry.web.app",
    "algoshelf.registry.web.corrections",
    "algoshelf.core.container.events",
)


@pytest.mark.parametrize("module", CARRIED)
def test_what_a_function_carries_imports_the_standard_library_and_what_it_carries(
    module: str,
) -> None:
    path = next(path for path in FILES if module_of(path) == module)
    for name in imports(path):
        root = name.split(".")[0]
        assert root in sys.stdlib_module_names or any(
            name == each or name.startswith(f"{each}.") for each in CARRIED
        ), name


@pytest.mark.parametrize("path", REGISTRY, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_command_imports_the_sagemaker_sdk(path: Path) -> None:
    """The module of the SDK's own objects is for callers of ``registry.estimator`` and its like."""
    found = "algoshelf.registry.aws.sdk" in imported_modules(path)
    assert found == (path == ROOT / "registry" / "__init__.py")


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


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_handlers_are_called_in_one_module(path: Path) -> None:
    """All answers go one way; an algorithm may call its own, or its task's."""
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"input_fn", "predict_fn", "output_fn"}
        and ast.unparse(node.func.value) not in {"self", "super()", "task"}
    }
    if path != ROOT / "core" / "inference" / "handlers.py":
        assert not called


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_artifact_and_training_know_what_computes(path: Path) -> None:
    """Gluon's blocks and a loaded model's device: so a model may be computed by something else."""
    if path.parent in {ROOT / "core" / "artifact", ROOT / "core" / "training"}:
        return
    assert not {
        f"{ast.unparse(node.value)}.{node.attr}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"block", "device"}
    } & {"model.block", "model.device", "loaded.block", "loaded.device"}
