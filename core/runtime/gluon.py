"""GluonCV and GluonNLP, imported when they are first used; both need mxnet as ``mx`` mends it."""

from __future__ import annotations

import importlib
from typing import Any

from . import mx
from .errors import MissingDependencyError


def gluoncv(what: str) -> Any:
    """GluonCV, which ``what`` needs. Raises MissingDependencyError where it cannot be had."""
    try:
        return _imported("gluoncv", f"{what} needs GluonCV", "vision")
    except RuntimeError as error:  # beside torch 2
        raise MissingDependencyError(f"GluonCV does not import: {error}") from None


def gluonnlp() -> Any:
    """GluonNLP. Raises MissingDependencyError where it is not installed."""
    return _imported("gluonnlp", "texts need GluonNLP", "text")


def _imported(name: str, needed: str, extra: str) -> Any:
    mx.load()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingDependencyError(
            f"{needed}, which is not installed: pip install 'algoshelf[{extra}]'"
        ) from None
