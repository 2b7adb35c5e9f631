"""Public names that are imported when they are first asked for (PEP 562).

What answers a request is not to wait until all that trains is imported.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Mapping


def offer(package: str, homes: Mapping[str, str]) -> None:
    """Let ``package``, which calls this, have the public names of ``homes``: by each module below
    it (beside it, where a dot comes first), those that are imported from there, with a space
    between them. ``name=`` stands for the module itself. Type checkers read the same under
    ``if TYPE_CHECKING``.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def __getattr__(name: str) -> Any:  # noqa: N807 - PEP 562
        if name in home_of:
            found = getattr(importlib.import_module(f".{home_of[name]}", package), name)
        elif f"{name}=" in home_of:
            found = importlib.import_module(f".{home_of[f'{name}=']}", package)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        vars(sys.modules[package])[name] = found
        return found

    vars(sys.modules[package])["__getattr__"] = __getattr__
