"""The flags of the commands: how they are written and read, and which names they leave to plugins.

A command that takes an algorithm's own flags (``train NAME``, ``sagemaker tune NAME``, …) has each
channel and each hyperparameter as a flag, beside those that are listed here. ``reserved`` reads
from the commands as they are which names are taken.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Callable, Iterator, Mapping, Sequence, TypeVar

import click

from ...core.algorithm.base import Objective
from ...core.algorithm.hyperparameters import Hyperparameters
from ...core.runtime.devices import DISTRIBUTED_STORES, FORMS, STORES
from ...core.runtime.errors import did_you_mean
from ...core.serving.sizing import parse_size
from ...core.training.run import parse_duration
from ..discovery import Entry, catalog
from .output import SuggestingGroup

Command = TypeVar("Command", bound=Callable[..., Any])
# Name, form of the value, meaning. Their values stay text until all faults can be told at once.
Table = Sequence["tuple[str, str, str]"]

RUN_FLAGS = (
    ("--devices", "D", f"{FORMS} [default: auto]"),
    (
        "--hosts",
        "N",
        "Train in N processes here, over MXNet's parameter server "
        "[default: 1; on SageMaker the hosts of the job]",
    ),
    ("--peer-timeout", "TIME", "Give up a host that says nothing for so long [default: 5m]"),
    (
        "--kvstore",
        "K",
        f"How devices sum gradients: {', '.join(STORES + DISTRIBUTED_STORES)} [default: auto]",
    ),
    (
        "--gradient-compression",
        "T",
        "Round what devices and hosts send to -T, 0 or T; what is left goes into the next step.",
    ),
    ("--checkpoints", "DIR", "Keep checkpoints in DIR, and go on from the newest one there."),
    ("--checkpoint-every", "TIME", "And within an epoch, such as 90s, 10m, 1h [default: 10m]"),
    ("--max-runtime", "TIME", "End the training after this time, and save what it has."),
    ("--metrics", "FILE", "Also write each metric to FILE, a JSON object a line."),
    ("--target-metric", "VALUE", "End the training when the objective reaches this value."),
)
TUNE_FLAGS = (
    ("--trials", "N", "Trainings in all, those of earlier and other processes too [default: 20]"),
    ("--parallel", "N", "Trainings at once, which share the cores [default: 1]"),
    ("--max-runtime", "TIME", "End after this time, such as 90s, 10m, 1h; what is done is kept."),
    (
        "--storage",
        "FILE",
        "What was tried; the same command goes on with it, and several processes may share it "
        "[default: OUTPUT.db]",
    ),
    ("--output", "DIR", "The folder of the best model; its report is in DIR-report."),
    ("--seed", "N", "Of every trial, and of what is tried [default: 1]"),
    (
        "--repeats",
        "N",
        "Train the best and the defaults again with N other seeds, to tell them from luck "
        "[default: 4]",
    ),
)
BENCHMARK_FLAGS = (
    ("--devices", "LIST", f"What to compare, with commas between: {FORMS} [default: auto]"),
    ("--batch-sizes", "LIST", "And of these batch sizes [default: the algorithm's]"),
    (
        "--target-metric",
        "[NAME=]VALUE",
        "A run ends when the objective reaches VALUE, and the time to it is measured.",
    ),
    ("--repeats", "N", "Runs of each setting, with the seeds 1 to N [default: 5]"),
    ("--output", "DIR", "A new folder for results and report [default: benchmarks/NAME]"),
    ("--connections", "LIST", "With --serving: how many at once [default: 1,4,16]"),
    ("--seconds", "S", "With --serving: how long each load lasts [default: 5]"),
)
INSTANCES = (
    "--instances",
    "LIST",
    "Measure in SageMaker training jobs on these, such as ml.m5.xlarge,ml.g5.xlarge; what follows "
    "speaks of them.",
)
# Of a benchmark, what speaks of SageMaker alone.
HIRING_FLAGS = (
    ("--hosts", "LIST", "How many of each, with commas between [default: 1]"),
    ("--max-cost", "USD", "No job is started that may bring the cost of all above this."),
    ("--max-run", "TIME", "AWS ends a job after this time, such as 90m, 8h [default: 1h]"),
    ("--parallel", "N", "How many jobs at once, at most [default: 2]"),
    ("--price", "TYPE=USD", "An hour's price, where the table has none; several with commas"),
    ("--role", "ROLE", "What the jobs act as: an ARN or a name [default: $ALGOSHELF_ROLE]"),
)
JOB_FLAGS = (
    ("--instance", "TYPE", "What to train on, such as ml.m5.xlarge or ml.g5.xlarge"),
    ("--hosts", "N", "How many of them, over MXNet's parameter server [default: 1]"),
    ("--max-run", "TIME", "AWS ends the job after this time, such as 90m, 8h [default: 4h]"),
    ("--max-wait", "TIME", "With --spot: and with all interruptions [default: twice --max-run]"),
    ("--volume", "GB", "The disk of each [default: 30, or what the data needs]"),
    ("--role", "ROLE", "What the job acts as: an ARN or a name [default: $ALGOSHELF_ROLE]"),
    ("--image", "URI", "An image of your own (`package --as container`) in place of AWS's"),
    ("--output", "S3", "Where all goes [default: s3://sagemaker-REGION-ACCOUNT/algoshelf]"),
    ("--name", "NAME", "Of the job [default: the algorithm's, with the time]"),
    ("--seed", "N", "The same seed, the same model [default: 1]"),
)
TUNING_JOB_FLAGS = (
    ("--jobs", "N", "How many trainings in all [default: 10]"),
    ("--parallel", "N", "How many at once [default: 1]"),
)


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
    """A finite number above 0; raises ValueError."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _parse_path(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


ABOVE_0 = Parsed("float", parse_above_0, "a number above 0")
SIZE = Parsed("size", parse_size, "a size such as 6MB")
DURATION = Parsed("duration", parse_duration, "a time such as 2ms, 60s or 5m")
PATH = Parsed("path", _parse_path, "a path")


def flag(name: str) -> str:
    """A channel or hyperparameter as it is written on the command line."""
    return "--" + name.replace("_", "-")


def options(table: Table) -> list[click.Parameter]:
    """The flags of a table, whose values stay text."""
    return [click.Option([name], metavar=kind, help=text) for name, kind, text in table]


def channel_options(entry: Entry) -> list[click.Parameter]:
    """A flag for each channel."""
    return [
        click.Option([flag(channel.name)], metavar="PATH", help=_capital(channel.description))
        for channel in entry.algorithm.channels
    ]


def hyperparameter_options(entry: Entry) -> list[click.Parameter]:
    """A flag for each hyperparameter."""
    return [
        click.Option(
            [flag(info.name)],
            metavar=info.type.upper(),
            help=f"{info.description} [{_limits(info)}]",
        )
        for info in entry.algorithm.Hyperparameters.describe()
    ]


def account_options(command: Command) -> Command:
    """``--region`` and ``--profile``."""
    for option in (
        click.option("--profile", metavar="NAME", help="The profile of AWS's configuration"),
        click.option("--region", metavar="R", help="The AWS region [default: as configured]"),
    ):
        command = option(command)
    return command


def _parse_owner(text: str) -> str:
    if text not in ("", "any") and not (len(text) == 12 and text.isascii() and text.isdecimal()):
        raise ValueError
    return text


bucket_option = click.option(
    "--bucket-owner",
    type=Parsed("owner", _parse_owner, "the 12 digits of an account, or any"),
    default="",
    metavar="ACCOUNT",
    help="Whose the buckets are that s3://… names; any for no matter whose [default: your own]",
)


def acting_options(command: Command) -> Command:
    """``--dry-run`` and ``--yes``, of whatever creates, changes or ends something."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--dry-run", is_flag=True, help="Print the requests that would be sent; send none."
        ),
    ):
        command = option(command)
    return command


class AlgorithmCommand(click.Command):
    """Shows hyperparameters apart, and leaves unknown flags to be reported with all faults."""

    def __init__(self, entry: Entry, **settings: Any) -> None:
        super().__init__(
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, **settings
        )
        self.entry = entry

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        tuned = {info.name for info in self.entry.algorithm.Hyperparameters.describe()}
        for title, mine in (("Options", False), ("Hyperparameters", True)):
            records = [
                record
                for parameter in self.get_params(ctx)
                if (parameter.name in tuned) == mine
                for record in [parameter.get_help_record(ctx)]
                if record is not None
            ]
            with formatter.section(title):
                formatter.write_dl(records)


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


@lru_cache(maxsize=1)
def reserved() -> Mapping[str, str]:
    """The names that no channel and no hyperparameter may have, each with the flag that has it.

    They are read from the commands that take an algorithm's flags, made for one that has none: in
    whatever form a flag is given (``--no-wait``, ``-q``), and as click calls its value.
    """
    from . import cli

    found: dict[str, str] = {}
    for title, command in _of_algorithms(cli, ""):
        for option in command.get_params(click.Context(command)):
            for written in _written(option):
                told = f"{written} of `{title}`"
                found.setdefault(written.lstrip("-").replace("-", "_"), told)
                found.setdefault(str(option.name), told)
    return MappingProxyType(found)


def _of_algorithms(group: click.Group, title: str) -> Iterator[tuple[str, click.Command]]:
    """What the commands that take an algorithm's flags are called, and each for one without any."""
    if isinstance(group, AlgorithmGroup):
        yield title, group.make(_BARE)
        return
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from _of_algorithms(command, f"{title} {name}".strip())


_BARE = Entry(
    algorithm=SimpleNamespace(  # type: ignore[arg-type]
        name="NAME", summary="", channels=(), Hyperparameters=Hyperparameters,
        objective=Objective("", maximize=False),
    ),
    distribution="",
    version="",
)  # fmt: skip


def _written(option: click.Parameter) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _capital(description: str) -> str:
    return description[:1].upper() + description[1:]


def _limits(info: Any) -> str:
    return ", ".join(part for part in (info.range, f"default: {info.default}") if part)
