"""``train NAME``: one command for each algorithm of the catalog, its hyperparameters its flags."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, Mapping

import click

from ...core import container
from ...core.artifact import remove_leftovers
from ...core.channels import TEST, check_channels
from ...core.errors import AlgoshelfError, InputError, did_you_mean
from ...core.training import RunOptions, parse_duration, parse_seed
from ...core.training import train as run_training
from ...core.training.cluster import is_worker
from ...core.training.devices import DISTRIBUTED_STORES, FORMS, STORES
from ...core.training.launch import run_host, run_hosts
from ...core.training.reporting import Guarded, JsonLinesReporter, Reporter, Reporters
from ..discovery import Entry, catalog
from .output import SuggestingGroup, json_option, print_json, reporter

OUTPUT = Path("models")
SKETCHED = 8


RUN_FLAGS = (
    ("--devices", "D", f"{FORMS} [default: auto]"),
    (
        "--hosts",
        "N",
        "Train in N processes here, over MXNet's parameter server "
        "[default: 1; on SageMaker the hosts of the job]",
    ),
    ("--peer-timeout", "TIME", "A host that hears nothing for so long ends itself [default: 5m]"),
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
    parameters = channel_options(entry)
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
    parameters += [click.Option([name], metavar=kind, help=text) for name, kind, text in RUN_FLAGS]
    parameters += hyperparameter_options(entry)

    def callback(as_json: bool, **given: str | None) -> None:
        ctx = click.get_current_context()
        _train(
            entry, {name: value for name, value in given.items() if value is not None}, ctx, as_json
        )

    command = TrainCommand(
        entry, name=algorithm.name, params=parameters, callback=callback, help=algorithm.summary
    )
    return json_option(command)


def channel_options(entry: Entry) -> list[click.Parameter]:
    """A flag for each channel."""
    return [
        click.Option([f"--{channel.name}"], metavar="PATH", help=_channel_help(channel.description))
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
    channels, hyperparameters, seed, options = _checked(entry, given, ctx.args, sampled)
    output = Path(given.get("output", OUTPUT / algorithm.name))
    if not is_worker():
        _start_hosts(given.get("hosts"), output)
    listener = Reporters([reporter()])
    if sampled:
        listener.message(
            f"training {algorithm.name} on its bundled sample; give --train PATH for your own data"
        )
    listener.listeners += _listeners(given, algorithm.name, hyperparameters, output, listener)
    artifact, metrics = run_training(
        algorithm,
        channels,
        hyperparameters,
        output,
        seed=seed,
        options=options,
        reporter=listener,
        distribution=f"{entry.distribution} {entry.version}",
    )
    if artifact is None:  # the chief has it, and speaks for all hosts
        return
    if as_json:
        print_json(
            {
                "model": str(output),
                "algorithm": algorithm.name,
                "seed": seed,
                "hyperparameters": artifact.metadata.hyperparameters,
                "examples": artifact.metadata.examples,
                "metrics": metrics,
            }
        )
        return
    _show(entry, output, channels.get(TEST), metrics)


def _start_hosts(count: str | None, output: Path) -> None:
    """Where there are to be several hosts, this process looks after theirs, and ends with them."""
    there = container.hosts() if count is None else None
    command = [sys.executable, "-m", "algoshelf.registry.cli", *sys.argv[1:]]
    if there is not None and len(there.names) > 1:
        code = run_host(command, there, _say)
    elif count is not None and int(count) > 1:
        code = run_hosts(command, int(count), _say)
    else:
        return
    remove_leftovers(output)
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _listeners(
    given: Mapping[str, str], name: str, hyperparameters: Any, output: Path, shown: Reporter
) -> list[Reporter]:
    """Who listens besides the display: ``--metrics``, and what plugins offer by their hook."""
    listeners: list[Reporter] = []
    if "metrics" in given:
        path = Path(given["metrics"])
        listeners.append(Guarded(JsonLinesReporter(path), f"--metrics {path}", shown.message))
    settings = hyperparameters.model_dump(mode="json")
    for plugin, hook in catalog().reporters:
        try:
            offered = hook(algorithm=name, hyperparameters=settings, output=output)
        except AlgoshelfError:
            raise
        except Exception as error:
            shown.message(f"warning: {plugin} is dropped: {type(error).__name__}: {error}")
            continue
        if offered is not None:
            listeners.append(Guarded(offered, plugin, shown.message))
    return listeners


def _checked(
    entry: Entry, given: Mapping[str, str], rest: list[str], sampled: bool
) -> tuple[dict[str, Path], Any, int, RunOptions]:
    """What the command line says; every fault of it in one InputError."""
    algorithm = entry.algorithm
    names = [info.name for info in algorithm.Hyperparameters.describe()]
    flags = [name for name, _, _ in RUN_FLAGS]
    flags += [
        flag(name) for name in (*names, *(c.name for c in algorithm.channels), "output", "seed")
    ]
    faults = unknown_flags(rest, [*flags, "--json", "--help"])
    paths = ("output", "checkpoints", "metrics", *(channel.name for channel in algorithm.channels))
    faults += [f"{flag(name)}: expected a path, got ''" for name in paths if given.get(name) == ""]
    output = Path(given.get("output") or OUTPUT / algorithm.name).resolve()
    faults += [
        f"{flag(name)}: may not lie in the model folder {output}"
        for name in ("metrics", "checkpoints")
        if given.get(name) and output in (Path(given[name]) / "x").resolve().parents
    ]
    channels: dict[str, Path] = {}
    hyperparameters = None
    try:
        own = {c.name: Path(given[c.name]) for c in algorithm.channels if given.get(c.name)}
        channels = check_channels(algorithm.channels, algorithm.sample() if sampled else own)
    except InputError as error:
        faults += error.faults
    try:
        values = {name: given[name] for name in names if name in given}
        hyperparameters = algorithm.Hyperparameters.parse(values, flag)
    except InputError as error:
        faults += error.faults
    hosts = given.get("hosts", "1")
    if not re.fullmatch(r"[1-9][0-9]?", hosts):
        faults.append(f"--hosts: expected a whole number from 1 to 99, got {hosts!r}")
    seed = 0
    try:
        seed = parse_seed(given["seed"])
    except ValueError as error:
        faults.append(f"--seed: {error}")
    options, wrong = _run_options(given)
    faults += wrong
    if faults:
        raise InputError(*faults)
    return channels, hyperparameters, seed, options


def _run_options(given: Mapping[str, str]) -> tuple[RunOptions, list[str]]:
    """How the run is carried out, and the faults of those flags."""
    values: dict[str, Any] = {}
    faults = []
    for name, read, expected in (
        ("devices", str, ""),
        ("kvstore", str, ""),
        ("checkpoints", Path, ""),
        ("checkpoint_every", parse_duration, "a time such as 90s, 10m, 1h"),
        ("peer_timeout", parse_duration, "a time such as 90s, 10m, 1h"),
        ("max_runtime", parse_duration, "a time such as 90s, 10m, 1h"),
        ("target_metric", float, "a number"),
        ("gradient_compression", _positive, "a number above 0"),
    ):
        if name in given:
            try:
                values[name] = read(given[name])
            except ValueError:
                faults.append(f"{flag(name)}: expected {expected}, got {given[name]!r}")
    return RunOptions(**values), faults


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def unknown_flags(rest: list[str], flags: list[str]) -> list[str]:
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
    """The figures, a few examples drawn, where the model is, and what may come next."""
    algorithm = entry.algorithm
    if test is not None:
        _sketch(entry, output, test)
    for name, value in metrics.items():
        click.echo(f"{name:<28}{value:.4f}")
    program, model = _program(), shlex.quote(str(output))
    own = test is not None and test not in algorithm.sample().values()
    data = f" --test {shlex.quote(str(test))}" if own else "" if test else " --test PATH"
    click.echo(f"\nThe model is in {output}. Next:")
    click.echo(f"  {program} evaluate {model}{data}")
    click.echo(f"  {program} predict {model} FILE")
    click.echo(f"  {program} info {algorithm.name}")


def _program() -> str:
    """How this command is called again: by its name, or where that is not on PATH by its path."""
    called = Path(sys.argv[0])
    found = shutil.which("algoshelf")
    if called.name != "algoshelf" or (found and Path(found).samefile(called)):
        return "algoshelf"
    with contextlib.suppress(ValueError):
        called = called.resolve().relative_to(Path.cwd())
    return shlex.quote(str(called))


def _sketch(entry: Entry, output: Path, test: Path) -> None:
    width = shutil.get_terminal_size((100, 24)).columns
    try:
        model = entry.algorithm.model_fn(output)
        picture = entry.algorithm.sketch(test, model, SKETCHED, width)
    except Exception as error:  # a drawing that fails does not make the training one that failed
        click.echo(f"warning: no examples can be shown: {error}", err=True)
        return
    if picture:
        click.echo(f"\n{picture}\n")
