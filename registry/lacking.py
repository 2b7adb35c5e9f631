"""Find what an algorithm needs and is not installed, without importing it."""

from __future__ import annotations

from importlib import metadata
from typing import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from ..core.algorithm.hyperparameters import Hyperparameters
from ..core.runtime.errors import MissingDependencyError
from .discovery import Entry


def lacking(entry: Entry, extras: Sequence[str] | None = None) -> list[str]:
    """The requirements of the algorithm's extras, or of ``extras``, that are not met here."""
    return unmet(entry.distribution, entry.algorithm.extras if extras is None else extras)


def unmet(distribution: str, extras: Sequence[str]) -> list[str]:
    """The requirements of the distribution's ``extras`` that are not met here."""
    if not extras:
        return []
    try:
        lines = metadata.distribution(distribution).requires or []
    except metadata.PackageNotFoundError:
        return []
    return [found for line in lines if (found := _unmet(line, extras))]


def install_command(entry: Entry, extras: Sequence[str] | None = None) -> str:
    """What installs them."""
    wanted = entry.algorithm.extras if extras is None else extras
    return f"pip install '{entry.distribution}[{','.join(wanted)}]'"


def check_installed(entry: Entry, hyperparameters: Hyperparameters) -> None:
    """Raise MissingDependencyError where a training by ``hyperparameters`` lacks something."""
    extras = entry.algorithm.needed_extras(hyperparameters)
    found = lacking(entry, extras)
    if found:
        raise MissingDependencyError(
            f"{entry.algorithm.name} needs {', '.join(found)}, which "
            f"{'is' if len(found) == 1 else 'are'} not installed: {install_command(entry, extras)}"
        )


def _unmet(line: str, extras: Sequence[str]) -> str:
    """The requirement as pip writes it, if one of ``extras`` brings it and it is not met."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:  # which packaging reports
        return ""
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return ""
    if not any(marker.evaluate({"extra": extra}) for extra in extras):
        return ""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name}{requirement.specifier}"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name}{requirement.specifier} (there is {version})"
