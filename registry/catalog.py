"""The catalog: every algorithm of every installed distribution, found through pluggy.

Built-in algorithms come the same way as anyone's: by an entry point of the group ``algoshelf``.
Each entry point is loaded by itself. A plugin that is broken becomes a Problem, named, and the
others go on.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions
from types import MappingProxyType
from typing import Any, Iterator, Mapping

import pluggy

from ..core import hooks
from ..core.algorithm import Algorithm
from ..core.errors import PluginError, UnknownNameError, did_you_mean
from ..core.hyperparameters import Hyperparameters

AnyAlgorithm = Algorithm[Any]
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
HOOK_PREFIX = "algoshelf_"
# What the command line itself understands: a hyperparameter of that name could not be given there.
RESERVED = frozenset(
    [
        "train",
        "validation",
        "test",
        "output",
        "seed",
        "json",
        "help",
        "devices",
        "hosts",
        "kvstore",
        "checkpoints",
        "checkpoint_every",
        "target_metric",
        "max_runtime",
    ]
)


@dataclass(frozen=True)
class Entry:
    """An algorithm in the catalog, and the distribution that it came from."""

    algorithm: AnyAlgorithm
    distribution: str
    version: str


@dataclass(frozen=True)
class Problem:
    """Why a plugin, or a name that two plugins claim, is not in the catalog."""

    plugin: str
    distribution: str
    error: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution} is skipped: {self.error}"


class Catalog:
    """Algorithms by name, and the problems of those that are missing."""

    def __init__(
        self,
        entries: Mapping[str, Entry],
        problems: tuple[Problem, ...] = (),
        disputed: Mapping[str, str] | None = None,
    ) -> None:
        self.entries = MappingProxyType(dict(sorted(entries.items())))
        self.problems = problems
        self._disputed = dict(disputed or {})

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

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


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    """The catalog of everything that is installed, read once."""
    found: dict[str, list[Entry]] = {}
    problems: list[Problem] = []
    for distribution, point in _entry_points():
        try:
            for algorithm in _algorithms(point):
                entry = Entry(algorithm, _name(distribution), distribution.version)
                found.setdefault(algorithm.name, []).append(entry)
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever a stranger's code raises is reported by its name
            reason = (
                str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            )
            problems.append(Problem(point.name, _name(distribution), reason))
    disputed = {name: _dispute(name, claims) for name, claims in found.items() if len(claims) > 1}
    problems += [
        Problem(name, ", ".join(claim.distribution for claim in found[name]), text)
        for name, text in disputed.items()
    ]
    return Catalog(
        {name: claims[0] for name, claims in found.items() if len(claims) == 1},
        tuple(problems),
        disputed,
    )


def _entry_points() -> Iterator[tuple[Distribution, EntryPoint]]:
    """Each entry point of the group, once, with its distribution, in a fixed order."""
    seen: dict[str, Distribution] = {}
    for distribution in distributions():
        seen.setdefault(_name(distribution).lower().replace("_", "-"), distribution)
    for _, distribution in sorted(seen.items()):
        for point in sorted(distribution.entry_points, key=lambda point: point.name):
            if point.group == hooks.GROUP:
                yield distribution, point


def _name(distribution: Distribution) -> str:
    return str(distribution.metadata["Name"])


def _algorithms(point: EntryPoint) -> list[AnyAlgorithm]:
    """New instances of the algorithms that one plugin offers."""
    manager = pluggy.PluginManager(hooks.GROUP)
    manager.add_hookspecs(hooks)
    plugin = point.load()
    _check_hook_names(manager, plugin)
    manager.register(plugin, name=point.name)
    manager.check_pending()
    answers = manager.hook.algoshelf_algorithms()
    if not answers:
        raise PluginError("its hook 'algoshelf_algorithms' returned nothing; expected a list")
    offered = [cls for classes in answers for cls in classes]
    for cls in offered:
        _check_class(cls)
    return [cls() for cls in offered]


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
        raise PluginError(f"it implements no hook; there is {', '.join(known)}")


def _check_class(cls: type[AnyAlgorithm]) -> None:
    """What the catalog itself relies on; ``algoshelf check`` looks at all the rest."""
    if not (inspect.isclass(cls) and issubclass(cls, Algorithm)):
        raise PluginError(f"{cls!r} is no subclass of algoshelf.core.Algorithm")
    faults = []
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        faults.append(f"it does not define {missing}")
    needed = [name for name in Algorithm.__annotations__ if not hasattr(cls, name)]
    if needed:
        faults.append(f"it does not set {', '.join(needed)}")
    else:
        if not NAME.fullmatch(cls.name):
            faults.append(f"the name {cls.name!r} is not lower-case words joined by hyphens")
        if not issubclass(cls.Hyperparameters, Hyperparameters):
            faults.append("its Hyperparameters are no subclass of algoshelf.core.Hyperparameters")
        taken = RESERVED.intersection(cls.Hyperparameters.model_fields)
        if taken:
            faults.append(
                f"hyperparameters may not be called {', '.join(sorted(taken))}: those are flags"
            )
    if faults:
        raise PluginError(f"{cls.__module__}.{cls.__qualname__}: {'; '.join(faults)}")


def _dispute(name: str, claims: list[Entry]) -> str:
    owners = " and ".join(f"{claim.distribution} {claim.version}" for claim in claims)
    return f"the name {name!r} is claimed by {owners}: uninstall all but one of them"
