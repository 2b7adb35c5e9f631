"""The flags that decide how tables and texts are read, for every command that reads data."""

from __future__ import annotations

import shlex
from typing import Any, Callable, Mapping, TypeVar

import click

from ...core.data.reading import Reading
from ...core.data.reading_flags import FLAGS
from .flags import flag

F = TypeVar("F", bound=Callable[..., Any])


def reading_parameters() -> list[click.Parameter]:
    """The flags as click's options, whose values are read by ``Reading.parse``."""
    return [click.Option([flag(name)], metavar=kind, help=text) for name, kind, text in FLAGS]


def reading_options(command: F) -> F:
    """Gives a command these flags; its ``reading`` is what they say."""
    for name, kind, text in reversed(FLAGS):
        command = click.option(flag(name), metavar=kind, help=text)(command)
    return command


def taken(given: Mapping[str, Any]) -> Reading:
    """What flags say. Raises InputError with every fault of them."""
    return Reading.parse(given, flag)


def written(reading: Reading) -> str:
    """The flags that say it, as they are typed, with a blank before each."""
    return "".join(
        f" {flag(name)} {shlex.quote(value)}" for name, value in reading.written().items()
    )
