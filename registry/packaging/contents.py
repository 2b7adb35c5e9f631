"""The installed files of a distribution that go into a package.

An installer's RECORD lists them; an editable installation's does not, and there they are those of
its modules.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, Iterator, NamedTuple, Union

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from ... import core
from ...core.algorithm import hooks
from ...core.runtime.errors import InputError, PluginError
from ..discovery import AnyAlgorithm, Entry

Content = Union[bytes, Path]
Files = Dict[str, Content]  # by their POSIX paths

OWN = "algoshelf"


class Python(NamedTuple):
    """The Python that a package is for: where it runs, its version, and what runs another one."""

    place: str
    version: str
    otherwise: str

    @property
    def feature_version(self) -> tuple[int, int]:
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)


OF_AWS_IMAGE = Python("AWS's MXNet image", "3.8.10", "package it --as container")
OF_ONNX = Python(
    "an image that answers by ONNX Runtime", "3.13.0", "package it --as container --engine mxnet"
)
COMPILED = (".so", ".pyd", ".dylib")
MAX_BYTES = 256 * 2**20  # of code; it is fetched and unpacked by every host of every job


def distribution_of(entry: Entry) -> metadata.Distribution:
    """The installed distribution that ``entry`` comes from. Raises PluginError."""
    try:
        return metadata.distribution(entry.distribution)
    except metadata.PackageNotFoundError:
        raise PluginError(
            f"{entry.algorithm.name}: its distribution {entry.distribution} cannot be found"
        ) from None


def is_own(entry: Entry) -> bool:
    """Whether the algorithm comes with algoshelf."""
    return canonicalize_name(entry.distribution) == OWN


def importable(entry: Entry, python: Python = OF_AWS_IMAGE) -> Files:
    """The files that must be importable for ``entry`` to train and predict: core and the plugin.

    Raises InputError where it could not run on ``python``.
    """
    core_folder = Path(core.__file__).parent
    files = _package(core_folder, f"{OWN}/core")
    files = {path: file for path, file in files.items() if "/conformance/" not in path}
    distributions = {OWN: metadata.distribution(OWN)}
    if is_own(entry):
        files.update(_own_algorithm(entry.algorithm, core_folder.parent))
    else:
        distribution = distribution_of(entry)
        distributions[entry.distribution] = distribution
        files.update(modules(distribution))
    for distribution in distributions.values():
        files.update(_identity(distribution))
    _check_portable(files)
    check_python(files, distributions.values(), python)
    return files


def installable(entry: Entry) -> dict[str, Files]:
    """The distributions that an image of your own installs, with all their files.

    Raises InputError where it is too large, or compiled for this machine.
    """
    folder = Path(core.__file__).parent.parent
    found: dict[str, Files] = {OWN: {}}
    for name in ("core", "algorithms", "registry"):
        found[OWN].update(_package(folder / name, f"{OWN}/{name}"))
    if not is_own(entry):
        found[entry.distribution] = modules(distribution_of(entry))
    _check_portable({path: file for files in found.values() for path, file in files.items()})
    return found


def modules(distribution: metadata.Distribution) -> Files:
    """The modules of ``distribution`` with the data in its packages, without its metadata."""
    listed = distribution.files or []
    files: Files = {
        str(path): Path(str(path.locate()))
        for path in listed
        if not path.parts[0].endswith((".dist-info", ".egg-info"))
        and path.parts[0] != "__editable__"
        and not _stays_at_home(PurePosixPath(path))
        and not path.name.startswith("__editable__")
        and path.suffix != ".pth"
    }
    if not any(path.endswith(".py") for path in files):
        files = {}
        for name in _top_level(distribution):
            files.update(_module(name, distribution))
    return files


def _check_portable(files: Files) -> None:
    """Raises InputError for what is compiled, or too large."""
    faults = [
        f"{path}: is compiled for this machine: only pure Python can be packaged; publish it as "
        "a wheel, and require it"
        for path in files
        if path.endswith(COMPILED)
    ]
    size = sum(size_of(content) for content in files.values())
    if size > MAX_BYTES:
        largest = max(files, key=lambda path: size_of(files[path]))
        faults.append(
            f"the package would have {size:,} bytes, more than {MAX_BYTES:,}; the largest file "
            f"is {largest}: give data as a channel"
        )
    if faults:
        raise InputError(*faults)


def check_python(
    files: Files, distributions: Iterable[metadata.Distribution], python: Python
) -> None:
    """Raises InputError for what ``python`` could not read, or should not."""
    faults = []
    for distribution in distributions:
        described = distribution.metadata
        wanted = ""
        if "Requires-Python" in described:
            wanted = described["Requires-Python"]
        if wanted and not _admits(wanted, python.version):
            faults.append(
                f"{distribution.metadata['Name']}: requires Python {wanted}, and {python.place} "
                f"has {python.version}: {python.otherwise}"
            )
    faults += [fault for path in sorted(files) for fault in _syntax(path, files[path], python)]
    if faults:
        raise InputError(*faults)


def size_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def read(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _own_algorithm(algorithm: AnyAlgorithm, folder: Path) -> Files:
    """The folder of an algorithm of this repository; its sample stays at home."""
    algorithms, name = type(algorithm).__module__.split(".")[1:3]
    return {
        f"{OWN}/{algorithms}/__init__.py": folder / algorithms / "__init__.py",
        **{
            path: file
            for path, file in _package(
                folder / algorithms / name, f"{OWN}/{algorithms}/{name}"
            ).items()
            if path.endswith(".py") and "/sample/" not in path
        },
    }


def _identity(distribution: metadata.Distribution) -> Files:
    """So much metadata that the version and the entry points are found."""
    name, version = distribution.metadata["Name"], distribution.version
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"{info}/METADATA": text.encode()}


def _package(folder: Path, prefix: str) -> Files:
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _stays_at_home(PurePosixPath(path.relative_to(folder)))
    }


def _stays_at_home(path: PurePosixPath) -> bool:
    """Whether it is generated, hidden as `.env` is, or lies outside the distribution."""
    hidden = any(part.startswith(".") for part in path.parts)  # `..` too
    generated = "__pycache__" in path.parts or path.suffix in (".pyc", ".pyo")
    return hidden or generated or path.is_absolute()


def _top_level(distribution: metadata.Distribution) -> list[str]:
    """The names under which its modules are imported."""
    listed = (distribution.read_text("top_level.txt") or "").split()
    points = [point for point in distribution.entry_points if point.group == hooks.GROUP]
    return sorted(listed or {point.value.split(":")[0].split(".")[0] for point in points})


def _module(name: str, distribution: metadata.Distribution) -> Files:
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise PluginError(f"{distribution.metadata['Name']}: its module {name} cannot be found")
    files: Files = {}
    for folder in spec.submodule_search_locations or ():
        files.update(_package(Path(folder), name))
    if not files and spec.origin is not None:
        files[Path(spec.origin).name] = Path(spec.origin)
    return files


def _admits(wanted: str, version: str) -> bool:
    try:
        return version in SpecifierSet(wanted)
    except InvalidSpecifier:
        return True  # what pip makes of it shows when it is installed


def _syntax(path: str, content: Content, python: Python) -> Iterator[str]:
    """A fault where ``python`` could not read ``path``."""
    if not path.endswith(".py"):
        return
    place, fault = _invalid(read(content), python.feature_version)
    if fault:
        yield (
            f"{path}{f', line {place}' if place else ''}: is not valid in Python "
            f"{'.'.join(map(str, python.feature_version))}, the version of {python.place}: "
            f"{fault}; change it, or {python.otherwise}"
        )


@lru_cache(maxsize=1024)  # a process that packages often reads the same hundreds of modules
def _invalid(source: bytes, version: tuple[int, int]) -> tuple[int | None, str]:
    """The line and the fault of what is no Python of ``version``; (None, "") of what is."""
    try:
        ast.parse(source, feature_version=version)
    except (SyntaxError, ValueError) as error:
        return getattr(error, "lineno", None), getattr(error, "msg", None) or str(error)
    return None, ""
