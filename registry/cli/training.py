"""``train NAME``: one command for each algorithm of the catalog, its hyperparameters its flags."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Mapping

import click

from ...core.channels import TEST, check_channels
from ...core.errors import InputError, did_you_mean
from ...core.training import train as run_training
from ..catalog import Entry, catalog
from .output import SuggestingGroup, json_option, print_json, reporter

OUTPUT = Path("models")
SKETCHED = 8


class TrainGroup(SuggestingGroup):
    """Offers a command for each algorithm, made when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(catalog().entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return None if cmd_name.startswith("-") else train_command(catalog().get(cmd_name))


@click.group(cls=TrainGroup, subcommand_metavar="NAME [OPTIONS]")
def train() -> None:
    """Train the algorithm NAME; `train NAME --help` shows its hyperparameters."""


class TrainCommand(click.Command):
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


def train_command(entry: Entry) -> click.Command:
    """The command that trains ``entry``."""
    algorithm = entry.algorithm
    parameters: list[click.Parameter] = [
        click.Option([f"--{channel.name}"], metavar="PATH", help=_channel_help(channel.description))
        for channel in algorithm.channels
    ]
    parameters += [
        click.Option(
            ["--output"],
            metavar="DIR",
            help=f"The model folder [default: {OUTPUT / algorithm.name}]",
        ),
        click.Option(
            ["--seed"], metavar="N", default="1", help="The same seed, the same model [default: 1]"
        ),
    ]
    parameters += [
        click.Option(
            [flag(info.name)],
            metavar=info.type.upper(),
            help=f"{info.description} [{_limits(info)}]",
        )
        for info in algorithm.Hyperparameters.describe()
    ]

    def callback(as_json: bool, **given: str | None) -> None:
        ctx = click.get_current_context()
        _train(
            entry, {name: value for name, value in given.items() if value is not None}, ctx, as_json
        )

    command = TrainCommand(
        entry, name=algorithm.name, params=parameters, callback=callback, help=algorithm.summary
    )
    return json_option(command)


def flag(name: str) -> str:
    """A hyperparameter as it is written on the command line."""
    return "--" + name.replace("_", "-")


def _channel_help(description: str) -> str:
    return description[0].upper() + description[1:]


def _limits(info: Any) -> str:
    return ", ".join(part for part in (info.range, f"default: {info.default}") if part)


def _train(entry: Entry, given: Mapping[str, str], ctx: click.Context, as_json: bool) -> None:
    algorithm = entry.algorithm
    sampled = not any(channel.name in given for channel in algorithm.channels)
    channels, hyperparameters, seed = _checked(entry, given, ctx.args, sampled)
    output = Path(given.get("output", OUTPUT / algorithm.name))
    listener = reporter()
    if sampled:
        listener.message(
            f"training {algorithm.name} on its bundled sample; give --train PATH for your own data"
        )
    artifact, metrics = run_training(
        algorithm, channels, hyperparameters, output, seed=seed, reporter=listener
    )
    if as_json:
        print_json(
            {
                "model": str(output),
                "algorithm": algorithm.name,
                "seed": seed,
                "hyperparameters": artifact.metadata.hyperparameters,
                "metrics": metrics,
            }
        )
        return
    _show(entry, output, channels.get(TEST), metrics)


def _checked(
    entry: Entry, given: Mapping[str, str], rest: list[str], sampled: bool
) -> tuple[dict[str, Path], Any, int]:
    """Channels, hyperparameters and seed; every fault of the command line in one InputError."""
    algorithm = entry.algorithm
    names = [info.name for info in algorithm.Hyperparameters.describe()]
    flags = [
        flag(name) for name in (*names, *(c.name for c in algorithm.channels), "output", "seed")
    ]
    faults = _unknown(rest, flags)
    channels: dict[str, Path] = {}
    hyperparameters = None
    try:
        paths = {c.name: Path(given[c.name]) for c in algorithm.channels if c.name in given}
        channels = check_channels(algorithm.channels, algorithm.sample() if sampled else paths)
    except InputError as error:
        faults += error.faults
    try:
        values = {name: given[name] for name in names if name in given}
        hyperparameters = algorithm.Hyperparameters.parse(values, flag)
    except InputError as error:
        faults += error.faults
    seed = given["seed"]
    if not (seed.isdigit() and int(seed) < 2**31):
        faults.append(f"--seed: expected a whole number from 0 to {2**31 - 1}, got {seed!r}")
    if faults:
        raise InputError(*faults)
    return channels, hyperparameters, int(seed)


def _unknown(rest: list[str], flags: list[str]) -> list[str]:
    """A fault for each argument that click could not place; a value belongs to its flag."""
    faults, previous = [], ""
    for word in rest:
        if word.startswith("-"):
            name = word.split("=", 1)[0]
            faults.append(f"{name}: no such option{did_you_mean(name, flags)}")
        elif not previous.startswith("-") or "=" in previous:
            faults.append(f"{word!r}: unexpected argument")
        previous = word
    return faults


def _show(entry: Entry, output: Path, test: Path | None, metrics: Mapping[str, float]) -> None:
    algorithm = entry.algorithm
    model = algorithm.model_fn(output)
    if test is not None:
        width = shutil.get_terminal_size((100, 24)).columns
        picture = algorithm.sketch(test, model, SKETCHED, width)
        if picture:
            click.echo(f"\n{picture}")
    click.echo("")
    for name, value in metrics.items():
        click.echo(f"{name:<28}{value:.4f}")
    data = f" --test {test}" if test is not None and test not in algorithm.sample().values() else ""
    click.echo(f"\nThe model is in {output}. Next:")
    click.echo(f"  algoshelf evaluate {output}{data}")
    click.echo(f"  algoshelf predict {output} FILE")
    click.echo(f"  algoshelf info {algorithm.name}")
