"""The options of the commands: how they are made of ``registry/flags.py``, written and read."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, Callable, TypeVar

import click

from ...core.runtime.errors import did_you_mean
from ...core.serving.sizing import parse_size
from ...core.training.run import parse_duration
from .. import flags
from ..discovery import Entry, catalog
from ..flags import Row, Table
from .output import SuggestingGroup

Command = TypeVar("Command", bound=Callable[..., Any])
# Headings of ``--help``.
DATA, READING, ACCOUNT = "Data", "How tables and texts are read", "AWS account"
HYPERPARAMETERS = "Hyperparameters"


class Parsed(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A parameter that a function reads from text, and refuses by ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any], expected: str) -> None:
        self.name = name
        self._parse = parse
        self._expected = expected

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError:
            self.fail(f"expected {self._expected}, got {value[:80]!r}", param, ctx)


def whole(least: int = 0, most: int | None = None) -> Parsed:
    """A whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        if not text.strip().isascii() or not text.strip().isdecimal() or len(text) > 15:
            raise ValueError
        value = int(text)
        if value < least or (most is not None and value > most):
            raise ValueError
        return value

    upwards = f"from {least} on" if most is None else f"from {least} to {most}"
    return Parsed("integer", parse, f"a whole number {upwards}")


def _parse_above_0(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _parse_path(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


ABOVE_0 = Parsed("float", _parse_above_0, "a number above 0")
SIZE = Parsed("size", parse_size, "a size such as 6MB")
DURATION = Parsed("duration", parse_duration, "a time such as 2ms, 60s or 5m")
PATH = Parsed("path", _parse_path, "a path")


def flag(name: str) -> str:
    """A channel or hyperparameter as it is written on the command line."""
    return "--" + name.replace("_", "-")


class Option(click.Option):
    """An option that ``--help`` shows below ``heading``."""

    def __init__(self, *arguments: Any, heading: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.heading = heading


def under(heading: str) -> Callable[..., Callable[[Command], Command]]:
    """``click.option`` for an option that ``--help`` shows below ``heading``."""
    return partial(click.option, cls=Option, heading=heading)


def options(table: Table, heading: str = "") -> list[click.Parameter]:
    """The flags of a table, whose values stay text."""
    return [Option([row[0]], heading=heading, **_settings(row)) for row in table]


def option(row: Row, heading: str = "", **more: Any) -> Callable[[Command], Command]:
    """The flag of a row of a table, for a command's function."""
    return under(heading)(row[0], **_settings(row), **more)


def _settings(row: Row) -> dict[str, Any]:
    name, kind, text = row
    if kind:
        return {"metavar": kind, "help": text}
    return {"is_flag": True, "default": "/--no-" in name, "help": text}


def channel_options(entry: Entry) -> list[click.Parameter]:
    """A flag for each channel."""
    return [
        Option(
            [flag(channel.name)],
            heading=DATA,
            metavar="PATH",
            help=_capital(channel.description),
        )
        for channel in entry.algorithm.channels
    ]


def hyperparameter_options(entry: Entry) -> list[click.Parameter]:
    """A flag for each hyperparameter."""
    return [
        Option(
            [flag(info.name)],
            heading=HYPERPARAMETERS,
            metavar=info.type.upper(),
            help=f"{info.description} [{_limits(info)}]",
        )
        for info in entry.algorithm.Hyperparameters.describe()
    ]


def _parse_owner(text: str) -> str:
    if text not in ("", "any") and not (len(text) == 12 and text.isascii() and text.isdecimal()):
        raise ValueError
    return text


def account_options(command: Command) -> Command:
    """``--region`` and ``--profile``."""
    return option(flags.REGION, ACCOUNT)(option(flags.PROFILE, ACCOUNT)(command))


bucket_option = option(
    flags.BUCKET_OWNER,
    ACCOUNT,
    type=Parsed("owner", _parse_owner, "the 12 digits of an account, or any"),
    default="",
)
dry_run_option = option(flags.DRY_RUN)


def acting_options(command: Command) -> Command:
    """``--dry-run`` and ``--yes``, of whatever creates, changes or ends something."""
    return dry_run_option(option(flags.YES)(command))


class GroupedCommand(click.Command):
    """Shows options below their headings, and at last those that have none."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            shown = isinstance(parameter, click.Option)  # what arguments are, the text says
            record = parameter.get_help_record(ctx) if shown else None
            if record is not None:
                sections.setdefault(getattr(parameter, "heading", ""), []).append(record)
        others = sections.pop("", [])
        sections["Other options" if sections else "Options"] = others
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class AlgorithmCommand(GroupedCommand):
    """Leaves unknown flags to be reported with all faults."""

    def __init__(self, entry: Entry, **settings: Any) -> None:
        super().__init__(
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, **settings
        )
        self.entry = entry


class AlgorithmGroup(SuggestingGroup):
    """Offers a command for each algorithm, which ``make`` makes when it is asked for."""

    def __init__(self, *arguments: Any, make: Callable[[Entry], click.Command], **more: Any):
        super().__init__(*arguments, **more)
        self.make = make

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*catalog().entries, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        held = super().get_command(ctx, cmd_name)
        if held is not None or cmd_name.startswith("-"):
            return held
        return self.make(catalog().get(cmd_name))


def unknown_flags(ctx: click.Context) -> list[str]:
    """A fault for each argument that click could not place; a value belongs to its flag."""
    known = [written for option in ctx.command.get_params(ctx) for written in _written(option)]
    faults, previous = [], ""
    for word in ctx.args:
        if word.startswith("-"):
            name = word.split("=", 1)[0]
            faults.append(f"{name}: no such option{did_you_mean(name, known)}")
        elif not previous.startswith("-") or "=" in previous:
            faults.append(f"{word!r}: unexpected argument")
        previous = word
    return faults


def _written(option: click.Parameter) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _capital(description: str) -> str:
    return description[:1].upper() + description[1:]


def _limits(info: Any) -> str:
    return ", ".join(part for part in (info.range, f"default: {info.default}") if part)
