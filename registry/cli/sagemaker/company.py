"""The flags for companies: given to a command, and resolved with variables and pyproject.toml."""

from __future__ import annotations

import functools
from typing import Any, Callable, Mapping

import click

from ...aws.settings import Settings, resolved, told
from ...flags import company_flags
from ..flags import Command, option, options
from ..output import say


def company_parameters(command: str) -> list[click.Parameter]:
    """The flags as click's options, whose values stay text."""
    return options(company_flags(command))


def company_names(command: str) -> list[str]:
    """What click calls their values."""
    return [str(each.name) for each in company_parameters(command)]


def read(command: str, given: Mapping[str, Any]) -> Settings:
    """What counts for ``command``; what no flag gave is told. Raises InputError."""
    found = resolved(command, given)
    for line in told(found):
        say(line)
    return found


def company_options(command: str) -> Callable[[Command], Command]:
    """Gives a command's function these flags; its ``settings`` are what counts."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def called(**given: Any) -> Any:
            flags = {name: given.pop(name) for name in company_names(command)}
            return function(settings=read(command, flags), **given)

        for row in reversed(company_flags(command)):
            called = option(row)(called)
        return called

    return decorate
