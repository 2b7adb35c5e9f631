"""Public names that are imported when they are first asked for (PEP 562).

What answers a request is not to wait until all that trains is imported.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, Mapping

_OFFERED: dict[str, dict[str, str]] = {}  # by package, the home of each name


def offer(package: str, homes: Mapping[str, str]) -> None:
    """Let ``package``, which calls this, have the public names of ``homes``: by each module below
    it (beside it, where a dot comes first), those that are imported from there, with a space
    between them. ``name=`` stands for the module itself. Type checkers read the same under
    ``if TYPE_CHECKING``.
    """
    _OFFERED[package] = {name: home for home, names in homes.items() for name in names.split()}
    vars(sys.modules[package])["__getattr__"] = functools.partial(found, package)


def offers(package: str, name: str) -> bool:
    """Whether ``package`` has a public ``name`` that is imported when it is asked for."""
    homes = _OFFERED.get(package, {})
    return name in homes or f"{name}=" in homes


def found(package: str, name: str) -> Any:
    """What ``package`` offers as ``name``, which it has from then on. Raises AttributeError."""
    if not offers(package, name):
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    homes = _OFFERED[package]
    module = importlib.import_module(f".{homes.get(name) or homes[f'{name}=']}", package)
    value = getattr(module, name) if name in homes else module
    vars(sys.modules[package])[name] = value
    return value
