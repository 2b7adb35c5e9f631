"""The catalog: all algorithms of all installed packages, found through pluggy.

Built-in algorithms come the same way as anyone's: by an entry point of the group ``algoshelf``.
Each entry point is loaded by itself. A plugin that is broken becomes a Problem, named, and the
others go on.
"""

from __future__ import annotations

import inspect
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, Callable, Iterator, Mapping

import pluggy

from ..core.algorithm import declaration, hooks
from ..core.algorithm.base import Algorithm
from ..core.artifact.folder import Artifact
from ..core.pages import notebook
from ..core.runtime.errors import PluginError, UnknownNameError, did_you_mean
from ..core.weights import PretrainedWeights
from .flags import reserved

AnyAlgorithm = Algorithm[Any]
ReporterHook = Callable[..., Any]
HOOK_PREFIX = "algoshelf_"
RAISED = (Exception, SystemExit)  # whatever a stranger's code raises is reported by its name


@dataclass(frozen=True)
class Entry:
    """An algorithm in the catalog, and the distribution that it came from."""

    algorithm: AnyAlgorithm
    distribution: str
    version: str


@dataclass(frozen=True)
class Stated:
    """A row of the table of pretrained weights, and the distribution that it came from."""

    row: PretrainedWeights
    distribution: str


@dataclass(frozen=True)
class Problem:
    """Why a plugin, or a name that two plugins claim, is not in the catalog."""

    plugin: str
    distribution: str
    error: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution} is skipped: {self.error}"


class Catalog:
    """Algorithms and pretrained weights by name, and the problems of those that are missing."""

    def __init__(
        self,
        entries: Mapping[str, Entry],
        problems: tuple[Problem, ...] = (),
        disputed: Mapping[str, str] | None = None,
        reporters: tuple[tuple[str, ReporterHook], ...] = (),
        weights: Mapping[str, Stated] | None = None,
    ) -> None:
        self.entries = MappingProxyType(dict(sorted(entries.items())))
        self.problems = problems
        self.reporters = reporters
        self.weights = MappingProxyType(dict(sorted((weights or {}).items())))
        self._disputed = dict(disputed or {})

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        told = [
            [each.algorithm.name, each.algorithm.task, each.algorithm.summary, each.distribution]
            for each in self
        ]
        headings = ("algorithm", "task", "what it does", "distribution")
        parts = [notebook.rows(headings, told, len(told))]
        parts += [notebook.heading(f"{problem}") for problem in self.problems]
        return notebook.shown(parts)

    def get(self, name: str) -> Entry:
        """The entry ``name``.

        Raises PluginError where two distributions claim the name, UnknownNameError, with the
        nearest one, where none does.
        """
        if name in self.entries:
            return self.entries[name]
        if name in self._disputed:
            raise PluginError(self._disputed[name])
        near = (
            did_you_mean(name, self.entries) or f"; there are {', '.join(self.entries) or 'none'}"
        )
        skipped = "".join(f"\n{problem}" for problem in self.problems)
        raise UnknownNameError(f"no algorithm {name!r} in the catalog{near}{skipped}")


@dataclass(frozen=True)
class _Plugin:
    """An entry point of the group, and the distribution that it came from."""

    point: EntryPoint
    distribution: str
    version: str


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    """The catalog of everything that is installed, read once."""
    problems: list[Problem] = []
    return _loaded_catalog(_plugins(problems), problems)


def _loaded_catalog(plugins: list[_Plugin], problems: list[Problem]) -> Catalog:
    """The catalog of ``plugins``, to whose ``problems`` those of loading them are added.

    What plugins print meanwhile goes to stderr: stdout is for results.
    """
    found: dict[str, list[Entry]] = {}
    weights: dict[str, Stated] = {}
    reporters: list[tuple[str, ReporterHook]] = []
    with redirect_stdout(sys.stderr):
        for plugin in plugins:
            try:
                manager = _loaded(plugin.point)
                reporters += [
                    (f"plugin {plugin.point.name!r} of {plugin.distribution}", hook.function)
                    for hook in manager.hook.algoshelf_reporter.get_hookimpls()
                ]
                for algorithm in _algorithms(manager):
                    entry = Entry(algorithm, plugin.distribution, plugin.version)
                    found.setdefault(algorithm.name, []).append(entry)
                for row in _weights(manager):
                    first = weights.setdefault(row.name, Stated(row, plugin.distribution))
                    if first.row is not row:
                        raise PluginError(
                            f"the weights {row.name!r} are stated by {first.distribution} already"
                        )
            except RAISED as error:
                reason = _one_line(_reason(error))
                problems.append(Problem(plugin.point.name, plugin.distribution, reason))
    disputed = {name: _dispute(name, claims) for name, claims in found.items() if len(claims) > 1}
    problems += [
        Problem(name, ", ".join(claim.distribution for claim in found[name]), text)
        for name, text in disputed.items()
    ]
    return Catalog(
        {name: claims[0] for name, claims in found.items() if len(claims) == 1},
        tuple(dict.fromkeys(problems)),
        disputed,
        tuple(reporters),
        weights,
    )


def opened(model: Path) -> tuple[Artifact, AnyAlgorithm]:
    """The artifact in ``model`` and the algorithm that made it, which must be installed."""
    artifact = Artifact.open(model)
    made_by, origin = artifact.metadata.algorithm, artifact.metadata.distribution
    try:
        found = _alone(made_by, origin.partition(" ")[0]) or catalog()
        return artifact, found.get(made_by).algorithm
    except UnknownNameError as error:
        origin = origin or "a distribution that it does not name"
        raise UnknownNameError(f"{model}: made by {made_by!r} of {origin}: {error}") from None


@lru_cache(maxsize=None)
def _alone(name: str, distribution: str) -> Catalog | None:
    """The catalog of the one plugin that is called as the algorithm ``name`` and is of
    ``distribution``: no other is imported. None where that plugin does not offer it, or it is not
    the only one so called; then the whole catalog tells why.
    """
    so_called = [each for each in _plugins([]) if _normalized(each.point.name) == _normalized(name)]
    if [_normalized(each.distribution) for each in so_called] != [_normalized(distribution)]:
        return None
    found = _loaded_catalog(so_called, [])
    return found if name in found.entries else None


def _plugins(problems: list[Problem]) -> list[_Plugin]:
    """The plugins of each distribution, once, in a fixed order; what cannot be read is a problem.

    Of two distributions of one name, the first on the path is the one that Python imports.
    """
    seen: dict[str, list[_Plugin]] = {}
    for distribution in distributions():
        folder = str(getattr(distribution, "_path", "a distribution without a folder"))
        label = PurePath(folder).name
        try:
            points = _entry_points(distribution)
            if points:
                name = _metadata(distribution, "Name") or label
                version = _metadata(distribution, "Version") or "(no version)"
                plugins = [_Plugin(point, name, version) for point in points]
                seen.setdefault(_normalized(name), plugins)
        except RAISED as error:
            reason = f"{folder}: its metadata cannot be read: {_reason(error)}"
            problems.append(Problem(label, label, _one_line(reason)))
    return [plugin for _, plugins in sorted(seen.items()) for plugin in plugins]


def _entry_points(distribution: Distribution) -> list[EntryPoint]:
    """The entry points of the group; a file that does not speak of it is not even parsed."""
    if hooks.GROUP not in (distribution.read_text("entry_points.txt") or ""):
        return []
    points = [point for point in distribution.entry_points if point.group == hooks.GROUP]
    return sorted(points, key=lambda point: point.name)


def _metadata(distribution: Distribution, field: str) -> str:
    metadata = distribution.metadata
    return _one_line(str(metadata[field])) if field in metadata else ""


def _normalized(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _reason(error: BaseException) -> str:
    if isinstance(error, PluginError):
        return str(error)
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception as worse:
        return f"{kind}, which cannot be shown: its __str__ raised {type(worse).__name__}"


def _loaded(point: EntryPoint) -> pluggy.PluginManager:
    """A manager of one plugin, its hooks checked."""
    manager = pluggy.PluginManager(hooks.GROUP)
    manager.add_hookspecs(hooks)
    plugin = point.load()
    _check_hook_names(manager, plugin)
    manager.register(plugin, name=point.name)
    manager.check_pending()
    return manager


def _algorithms(manager: pluggy.PluginManager) -> list[AnyAlgorithm]:
    """New instances of the algorithms that a plugin offers."""
    answers = manager.hook.algoshelf_algorithms()
    if not answers and manager.hook.algoshelf_algorithms.get_hookimpls():
        raise PluginError("its hook 'algoshelf_algorithms' returned nothing; expected a list")
    offered = [cls for classes in answers for cls in classes]
    for cls in offered:
        _check_class(cls)
    return [_instance(cls) for cls in offered]


def _weights(manager: pluggy.PluginManager) -> list[PretrainedWeights]:
    """The rows of pretrained weights that a plugin states. Raises PluginError."""
    stated = [row for rows in manager.hook.algoshelf_weights() for row in rows]
    for row in stated:
        if not isinstance(row, PretrainedWeights):
            raise PluginError(
                f"its weights {row!r} are no algoshelf.core.weights.PretrainedWeights"
            )
        faults = list(row.faults())
        if faults:
            raise PluginError(f"its weights {row.name!r}: {'; '.join(faults)}")
    return stated


def _instance(cls: type[AnyAlgorithm]) -> AnyAlgorithm:
    try:
        return cls()
    except RAISED as error:
        raise PluginError(
            f"{_path(cls)}() raised {_reason(error)}; expected a constructor that takes no "
            "arguments and does not fail"
        ) from error


def _check_hook_names(manager: pluggy.PluginManager, plugin: Any) -> None:
    """A function that looks like a hook is one: spelt right, and marked."""
    known = [name for name in vars(hooks) if name.startswith(HOOK_PREFIX)]
    for name, value in vars(plugin).items():
        if not inspect.isroutine(value):
            continue
        marked = manager.parse_hookimpl_opts(plugin, name) is not None
        if (marked or name.startswith(HOOK_PREFIX)) and name not in known:
            raise PluginError(f"there is no hook {name!r}{did_you_mean(name, known)}")
        if name in known and not marked:
            raise PluginError(f"the hook {name!r} lacks the decorator @hookimpl")
    if not any(manager.parse_hookimpl_opts(plugin, name) for name in vars(plugin)):
        raise PluginError(f"it implements no hook; expected {', '.join(known)}")


def _check_class(cls: type[AnyAlgorithm]) -> None:
    """What the catalog itself relies on; ``algoshelf check`` looks at all the rest."""
    if not (inspect.isclass(cls) and issubclass(cls, Algorithm)):
        raise PluginError(f"{cls!r} is not a subclass of algoshelf.core.Algorithm")
    faults = declaration.faults(cls, reserved())
    if faults:
        raise PluginError(f"{_path(cls)}: {'; '.join(faults)}")


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _dispute(name: str, claims: list[Entry]) -> str:
    owners = " and ".join(f"{claim.distribution} {claim.version}" for claim in claims)
    return f"the name {name!r} is used by {owners}: uninstall all but one of them"
