"""The options of the commands: how they are made of ``registry/flags.py``, written and read."""

from __future__ import annotations

import math
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Mapping, TypeVar

import click

from ...core.algorithm.channels import MODEL
from ...core.artifact import engines
from ...core.artifact.engines import AUTO, ENGINES, VARIABLE
from ...core.data.reading_flags import FLAGS as READING_FLAGS
from ...core.runtime.durations import parse_duration
from ...core.runtime.errors import did_you_mean
from ...core.serving.sizing import parse_size
from .. import flags
from ..flags import Row, Table
from .output import SuggestingGroup, say

if TYPE_CHECKING:
    from ..discovery import Entry

Command = TypeVar("Command", bound=Callable[..., Any])

OTHER, HYPERPARAMETERS, DATA = "Other options", "Hyperparameters", "Data"
# The headings of --help in their order, each with the options below it. A channel is below Data,
# a hyperparameter below Hyperparameters, and what is not named here below Other options.
SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        DATA: ("test", "baseline", "current", "labels", "weights"),
        "Files": ("algorithm", "symbol", "params", "network", "output_layer", "classes"),
        "Pictures": ("input_shape", "mean", "std", "pixel_range", "channels"),
        "Requests": (
            *("content_type", "accept", "split_type", "strategy", "join_source", "on_error"),
            *("outputs", "capture", "capture_percent", "capture_size"),
            *("max_payload", "max_examples", "max_batch", "max_delay", "max_queue", "timeout"),
        ),
        "Reading tables and texts": tuple(name for name, _, _ in READING_FLAGS),
        "Search": ("trials", "jobs", "vary", "repeats", "storage", "parallel"),
        "Training": (
            *("seed", "max_runtime", "target_metric", "checkpoints", "checkpoint_every"),
            *("batch_sizes", "connections", "seconds", "serving"),
        ),
        "Models": ("multi_model", "model_root"),
        "Network": (
            "local",
            "host",
            "port",
            "allowed_hosts",
            "token_file",
            "password_file",
            "page",
        ),
        "Hardware": (
            *(
                "instance",
                "instances",
                "engine",
                "devices",
                "threads",
                "workers",
                "hosts",
                "volume",
                "spot",
            ),
            *("count", "scaling", "serverless"),
            *("peer_timeout", "kvstore", "gradient_compression"),
        ),
        "AWS": (
            *("name", "role", "image", "max_run", "max_wait", "max_cost", "price", "region"),
            *("profile", "bucket_owner", "ttl"),
            *("page_origin", "email", "requests_per_second", "log_days", "correction_days"),
        ),
        "Network, keys and tags": tuple(
            row[0].split("/")[0][2:].replace("-", "_") for row, _ in flags.COMPANY_FLAGS
        ),
        "Rollout": ("steps", "bake", "errors", "limits", "only"),
        "Output": (
            *("output", "corrections", "metrics", "plot", "force", "wait"),
            *("report_page", "manifest", "most", "pictures"),
        ),
        OTHER: ("dry_run", "yes", "as_json", "help"),
        HYPERPARAMETERS: (),
    }
)
MAX_UNGROUPED = 8  # options of a command that stand in one list


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


def parse_above_0(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _parse_path(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


def _parse_from_0(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value


ABOVE_0 = Parsed("float", parse_above_0, "a number above 0")
FROM_0 = Parsed("float", _parse_from_0, "a number from 0 on")
SIZE = Parsed("size", parse_size, "a size such as 6MB")
DURATION = Parsed("duration", parse_duration, "a time such as 2ms, 60s or 5m")
PATH = Parsed("path", _parse_path, "a path")


def flag(name: str) -> str:
    """A channel or hyperparameter as it is written on the command line."""
    return "--" + name.replace("_", "-")


def options(table: Table) -> list[click.Parameter]:
    """The flags of a table, whose values stay text."""
    return [click.Option([row[0]], **_settings(row)) for row in table]


def option(row: Row, **more: Any) -> Callable[[Command], Command]:
    """The flag of a row of a table, for a command's function."""
    return click.option(row[0], **{**_settings(row), **more})


def _settings(row: Row) -> dict[str, Any]:
    name, kind, text = row
    if kind:
        return {"metavar": kind, "help": text}
    may_be_open = row in flags.COMPANY_SWITCHES  # a variable or a file may decide
    return {"is_flag": True, "default": None if may_be_open else "/--no-" in name, "help": text}


def channel_options(entry: Entry) -> list[click.Parameter]:
    """A flag for each channel, and where one is a model to begin with, ``--weights``."""
    found: list[click.Parameter] = [
        click.Option([flag(channel.name)], metavar="PATH", help=_capital(channel.description))
        for channel in entry.algorithm.channels
    ]
    begins = MODEL in {channel.name for channel in entry.algorithm.channels}
    return [*found, *options((flags.WEIGHTS,) if begins else ())]


def hyperparameter_options(entry: Entry) -> list[click.Parameter]:
    """A flag for each hyperparameter."""
    return [
        click.Option(
            [flag(info.name)],
            metavar=info.type.upper(),
            help=f"{_capital(info.description)} [{_limits(info)}]",
        )
        for info in entry.algorithm.Hyperparameters.describe()
    ]


def _parse_owner(text: str) -> str:
    if text not in ("", "any") and not (len(text) == 12 and text.isascii() and text.isdecimal()):
        raise ValueError
    return text


def account_options(command: Command) -> Command:
    """``--region`` and ``--profile``."""
    return option(flags.REGION)(option(flags.PROFILE)(command))


bucket_option = option(
    flags.BUCKET_OWNER,
    type=Parsed("owner", _parse_owner, "the 12 digits of an account, or any"),
    default="",
)
dry_run_option = option(flags.DRY_RUN)


engine_option = option(
    flags.ENGINE, type=click.Choice(ENGINES), default=AUTO, envvar=VARIABLE, show_envvar=True
)


def resolved(engine: str, model: Path, devices: str = "auto") -> str:
    """The engine that answers for ``model`` on ``devices``, said unless it is the one it was
    trained by.
    """
    found = engines.resolve(engine, model, devices)
    if found != engines.MXNET:
        say(engines.told(found, model))
    return found


def acting_options(command: Command) -> Command:
    """``--dry-run`` and ``--yes``, of whatever creates, changes or ends something."""
    return dry_run_option(option(flags.YES)(command))


class SectionedCommand(click.Command):
    """A command whose --help groups the options by use, where there are many."""

    def heading(self, option: click.Parameter) -> str:
        """The one of SECTIONS below which ``option`` is shown."""
        return next((title for title, names in SECTIONS.items() if option.name in names), OTHER)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, by SECTIONS."""
        found: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record is not None:
                found[self.heading(option)].append(record)
        if sum(map(len, found.values())) <= MAX_UNGROUPED:
            super().format_options(ctx, formatter)
            return
        for title, records in found.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class AlgorithmCommand(SectionedCommand):
    """Shows hyperparameters apart, and leaves unknown flags to be reported with all faults."""

    def __init__(self, entry: Entry, **settings: Any) -> None:
        super().__init__(
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, **settings
        )
        self.entry = entry

    def heading(self, option: click.Parameter) -> str:
        if option.name in self.entry.algorithm.Hyperparameters.model_fields:
            return HYPERPARAMETERS
        if option.name in {channel.name for channel in self.entry.algorithm.channels}:
            return DATA
        return super().heading(option)


class AlgorithmGroup(SuggestingGroup):
    """Offers a command for each algorithm, which ``make`` makes when it is asked for."""

    def __init__(self, *arguments: Any, make: Callable[[Entry], click.Command], **more: Any):
        super().__init__(*arguments, **more)
        self.make = make

    def list_commands(self, ctx: click.Context) -> list[str]:
        from ..discovery import catalog

        return [*catalog().entries, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        held = super().get_command(ctx, cmd_name)
        if held is not None or cmd_name.startswith("-"):
            return held
        from ..discovery import catalog

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
    default = "none" if info.default in ("", None) else info.default
    return "; ".join(part for part in (info.range, f"default: {default}") if part)
