"""``train NAME``: one command per algorithm, with its hyperparameters as options."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

import click

from ...core.algorithm.channels import MODEL, TEST, CheckedChannels, check_channels
from ...core.artifact.target import remove_leftovers
from ...core.data.reading import using
from ...core.runtime import opt_ml as container
from ...core.runtime.errors import AlgoshelfError, InputError
from ...core.runtime.printable import figure
from ...core.training import RunOptions, parse_duration, parse_seed, parse_threads
from ...core.training import train as run_training
from ...core.training.cluster import is_worker
from ...core.training.launch import run_host, run_hosts
from ...core.training.reporting import Guarded, JsonLinesReporter, Reporter, Reporters
from ..discovery import Entry, catalog
from ..flags import MODEL_FLAGS, RUN_FLAGS
from ..lacking import check_installed
from ..weights.choosing import chosen, fitting
from .flags import (
    AlgorithmCommand,
    AlgorithmGroup,
    channel_options,
    flag,
    hyperparameter_options,
    options,
    parse_above_0,
    unknown_flags,
)
from .output import json_option, print_json, reporter, say
from .reading import reading_parameters, taken, written

OUTPUT = Path("models")
PREVIEWED = 8


def train_command(entry: Entry) -> click.Command:
    """The command that trains ``entry``."""
    algorithm = entry.algorithm
    parameters = channel_options(entry)
    parameters += options((*MODEL_FLAGS, *RUN_FLAGS))
    parameters += reading_parameters()
    parameters += hyperparameter_options(entry)

    def callback(as_json: bool, **given: str | None) -> None:
        ctx = click.get_current_context()
        _train(
            entry, {name: value for name, value in given.items() if value is not None}, ctx, as_json
        )

    command = AlgorithmCommand(
        entry, name=algorithm.name, params=parameters, callback=callback, help=algorithm.summary
    )
    return json_option(command)


@click.group(cls=AlgorithmGroup, make=train_command, subcommand_metavar="NAME [OPTIONS]")
def train() -> None:
    """Train the algorithm NAME on your data.

    `algoshelf train NAME --help` shows the hyperparameters and other options of an algorithm.
    Without a data channel such as --train, the algorithm trains on its bundled sample.

    Example: algoshelf train kmeans --train rows.csv --k 5 --output models/mine
    """


def _train(entry: Entry, given: Mapping[str, str], ctx: click.Context, as_json: bool) -> None:
    algorithm = entry.algorithm
    sampled = not any(channel.name in given for channel in algorithm.channels)
    channels, hyperparameters, seed, run_options = _checked(entry, given, ctx, sampled)
    output = Path(given.get("output", OUTPUT / str(ctx.info_name)))
    if not is_worker():
        _start_hosts(given.get("hosts"), output)
    listener = Reporters([reporter()])
    if sampled:
        listener.message(
            f"training {algorithm.name} on its bundled sample; give --train PATH to use your own "
            "data"
        )
    pretrained = [] if MODEL in channels else fitting(algorithm, hyperparameters)
    if pretrained:
        listener.message(
            f"training from random weights; --weights {' or '.join(pretrained)} begins with "
            "pretrained ones, for which fewer examples and epochs suffice"
        )
    listener.listeners += _listeners(given, algorithm.name, hyperparameters, output, listener)
    artifact, metrics = run_training(
        algorithm,
        channels,
        hyperparameters,
        output,
        seed=seed,
        options=run_options,
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
                "epoch": artifact.metadata.epoch,
                "examples": artifact.metadata.examples,
                "metrics": metrics,
            }
        )
        return
    headings = artifact.metadata.headings
    with using(run_options.reading, _say_nothing, headings):  # what was assumed is said already
        _show(entry, output, channels.get(TEST), metrics, written(run_options.reading))


def _say_nothing(text: str) -> None:
    pass


def _start_hosts(count: str | None, output: Path) -> None:
    """Where there are to be several hosts, this process looks after theirs, and ends with them."""
    there = container.hosts() if count is None else None
    command = [sys.executable, "-m", "algoshelf.registry.cli", *sys.argv[1:]]
    if there is not None and len(there.names) > 1:
        code = run_host(command, there, say)
    elif count is not None and int(count) > 1:
        code = run_hosts(command, int(count), say)
    else:
        return
    remove_leftovers(output)
    sys.exit(code)


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
            shown.message(
                f"warning: the reporter of {plugin} is ignored: {type(error).__name__}: {error}"
            )
            continue
        if offered is not None:
            listeners.append(Guarded(offered, plugin, shown.message))
    return listeners


def _checked(
    entry: Entry, given: Mapping[str, str], ctx: click.Context, sampled: bool
) -> tuple[CheckedChannels, Any, int, RunOptions]:
    """What the command line says; every fault of it in one InputError."""
    algorithm = entry.algorithm
    names = [info.name for info in algorithm.Hyperparameters.describe()]
    faults = unknown_flags(ctx)
    pretrained = None
    try:
        pretrained = chosen(algorithm, given)
    except InputError as error:
        faults += error.faults
    given = {**(pretrained.hyperparameters if pretrained else {}), **given}
    paths = ("output", "checkpoints", "metrics", *(channel.name for channel in algorithm.channels))
    faults += [f"{flag(name)}: expected a path, got ''" for name in paths if given.get(name) == ""]
    output = Path(given.get("output") or OUTPUT / str(ctx.info_name)).resolve()
    faults += [
        f"{flag(name)}: must not be inside the model folder {output}"
        for name in ("metrics", "checkpoints")
        if given.get(name) and output in (Path(given[name]) / "x").resolve().parents
    ]
    channels = CheckedChannels()
    hyperparameters: Any = None
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
        seed = parse_seed(given.get("seed", "1"))
    except ValueError as error:
        faults.append(f"--seed: {error}")
    run_options, wrong = _run_options(given)
    faults += wrong
    try:
        run_options = replace(run_options, reading=taken(given))
    except InputError as error:
        faults += error.faults
    if faults:
        raise InputError(*faults)
    check_installed(entry, hyperparameters)
    if pretrained is not None:
        channels = CheckedChannels(pretrained.added_to(channels, say))
    return channels, hyperparameters, seed, run_options


def _run_options(given: Mapping[str, str]) -> tuple[RunOptions, list[str]]:
    """How the run is carried out, and the faults of those flags."""
    values: dict[str, Any] = {}
    faults = []
    for name, read, expected in (
        ("devices", str, ""),
        ("threads", parse_threads, "a whole number from 1 to 9999, or auto"),
        ("kvstore", str, ""),
        ("checkpoints", Path, ""),
        ("checkpoint_every", parse_duration, "a time such as 90s, 10m, 1h"),
        ("peer_timeout", parse_duration, "a time such as 90s, 10m, 1h"),
        ("max_runtime", parse_duration, "a time such as 90s, 10m, 1h"),
        ("target_metric", _finite, "a number"),
        ("gradient_compression", parse_above_0, "a number above 0"),
    ):
        if name in given:
            try:
                values[name] = read(given[name])
            except ValueError:
                faults.append(f"{flag(name)}: expected {expected}, got {given[name]!r}")
    return RunOptions(**values), faults


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _show(
    entry: Entry, output: Path, test: Path | None, metrics: Mapping[str, float], reading: str
) -> None:
    """The figures, a few examples drawn, where the model is, and what may come next."""
    algorithm = entry.algorithm
    if test is not None:
        _preview(entry, output, test)
    width = max(28, *(len(name) + 2 for name in metrics)) if metrics else 0
    for name, value in metrics.items():
        click.echo(f"{name:<{width}}{figure(value)}")
    program, model = _program(), shlex.quote(str(output))
    own = test is not None and test not in algorithm.sample().values()
    data = f" --test {shlex.quote(str(test))}" if own else "" if test else " --test PATH"
    click.echo(f"\nThe model is in {output}. Next:")
    click.echo(f"  {program} evaluate {model}{data}{reading}")
    click.echo(f"  {program} predict {model} FILE{reading}")
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


def _preview(entry: Entry, output: Path, test: Path) -> None:
    width = shutil.get_terminal_size((100, 24)).columns
    try:
        model = entry.algorithm.model_fn(output)
        picture = entry.algorithm.preview(test, model, PREVIEWED, width)
    except Exception as error:  # a drawing that fails does not make the training one that failed
        click.echo(f"warning: no example predictions can be shown: {error}", err=True)
        return
    if picture:
        click.echo(f"\n{picture}\n")
