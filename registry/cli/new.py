"""``new NAME``: create a package with a small working algorithm, to change into one's own."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import metadata
from pathlib import Path

import click

from ...core.algorithm.declaration import NAME
from ...core.runtime.errors import InputError, OutputError
from ..discovery import catalog
from .flags import PATH

# A distribution that works: its names are replaced, and nothing else. For another task than
# classification, the files of the task's folder stand in place of those of the same name, and its
# sample in place of the whole sample.
SCAFFOLDS = Path(__file__).parent / "scaffold"
OF_TASKS = {
    "classification": ("my-algorithm",),
    "regression": ("my-algorithm", "regression"),
    "multilabel": ("my-algorithm", "multilabel"),
    "autoencoder": ("my-algorithm", "autoencoder"),
    "recommendation": ("my-algorithm", "recommendation"),
    "detection": ("my-algorithm", "detection"),
}
NAMED, MODULE, CLASS = "my-algorithm", "my_algorithm", "MyAlgorithm"
MAX_CHARACTERS = 60
SAMPLE, PICTURE = "sample", ".png"
FOLDERS = frozenset(["tests", "build", "dist", "src"])  # of a distribution, beside its package


@click.command()
@click.argument("name")
@click.option(
    "--task",
    type=click.Choice(list(OF_TASKS)),
    default="classification",
    show_default=True,
    help="What it learns of an example: one of several classes, numbers, several labels, to give "
    "it back, of users which items they like, or of pictures what is where.",
)
@click.option(
    "--output",
    type=PATH,
    metavar="DIR",
    help="Folder to create. [default: ./NAME]",
)
def new(name: str, task: str, output: Path | None) -> None:
    """Create a package with a small working algorithm NAME, to change into your own.

    Example: algoshelf new my-algorithm
    """
    faults = _faults(name)
    if faults:
        raise InputError(*faults)
    folder = output or Path(name)
    _check_empty(folder)
    _write(folder, name, task)
    click.echo(f"{name} is in {folder}. Next:")
    click.echo(f"  pip install -e '{folder.absolute()}[test]'")
    click.echo(f"  algoshelf check {name}")
    click.echo(f"  algoshelf train {name}")
    click.echo(f"  pytest {folder}")
    click.echo(f"The class is in {folder / _module(name) / '__init__.py'}.")


def _faults(name: str) -> list[str]:
    """Why an algorithm and its distribution cannot be called ``name``."""
    module = _module(name)
    if not NAME.fullmatch(name) or len(name) > MAX_CHARACTERS:
        return [
            f"{name!r}: expected lower-case words joined by hyphens, such as leaf-shapes, with at "
            f"most {MAX_CHARACTERS} characters"
        ]
    if not module.isidentifier() or keyword.iskeyword(module) or module in FOLDERS:
        return [f"{name!r}: {module} is not a valid name of a Python module here: choose another"]
    claimed = catalog().entries.get(name)
    if claimed is not None:
        return [f"{name!r}: already in the catalog, from {claimed.distribution}: choose another"]
    if importlib.util.find_spec(module) is not None or _is_installed(name):
        return [f"{name!r}: a module or package of that name is already installed: choose another"]
    return []


def _module(name: str) -> str:
    return name.replace("-", "_")


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _check_empty(folder: Path) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: a file of this name exists: choose another --output")
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(f"{folder}: is not empty: choose another --output")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror}") from None


def _write(folder: Path, name: str, task: str) -> None:
    found = _sources(task)
    pictures = {path: source for path, source in found.items() if path.suffix == PICTURE}
    sources = {
        path: source.read_text(encoding="utf-8")
        for path, source in found.items()
        if path not in pictures
    }
    new_class = "".join(word.capitalize() for word in name.split("-"))
    if any(re.search(rf"\b{new_class}\b", text) for text in sources.values()):
        new_class += "Algorithm" if name != NAMED else ""  # Path, say, is imported there
    names = ((NAMED, name), (MODULE, _module(name)), (CLASS, new_class))
    try:
        for path, text in sources.items():
            target = folder / _renamed(str(path), names)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(text, names), encoding="utf-8")
        for path, source in pictures.items():
            (folder / _renamed(str(path), names)).write_bytes(source.read_bytes())
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot be written: {error.strerror}") from None


def _sources(task: str) -> dict[Path, Path]:
    """The files of the scaffold for ``task``, by their paths in the distribution."""
    sources: dict[Path, Path] = {}
    for part in OF_TASKS[task]:
        files = {
            path.relative_to(SCAFFOLDS / part): path
            for path in sorted((SCAFFOLDS / part).rglob("*"))
            if path.is_file() and path.suffix != ".pyc"
        }
        if any(path.parent.name == SAMPLE for path in files):
            sources = {path: each for path, each in sources.items() if path.parent.name != SAMPLE}
        sources.update(files)
    return sources


def _renamed(text: str, names: tuple[tuple[str, str], ...]) -> str:
    """Every old name at once, so that no new one is taken for an old."""
    table = dict(names)
    return re.sub("|".join(map(re.escape, table)), lambda found: table[found[0]], text)
