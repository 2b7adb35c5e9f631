"""``tune NAME``: search for the best hyperparameters of an algorithm."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

import click

from ...core.algorithm.channels import CheckedChannels, check_channels
from ...core.algorithm.hyperparameters import Search
from ...core.algorithm.search_space import Range, tunable
from ...core.runtime.errors import InputError, TrainingError
from ...core.training import parse_duration, parse_seed
from ..discovery import Entry
from ..flags import TUNE_FLAGS, VARY
from ..lacking import check_installed
from ..weights.choosing import chosen
from .flags import (
    AlgorithmCommand,
    AlgorithmGroup,
    channel_options,
    flag,
    hyperparameter_options,
    options,
    unknown_flags,
)
from .output import json_option, print_json, reporter, say
from .reading import reading_parameters, taken
from .training import OUTPUT
from .values import Values

if TYPE_CHECKING:
    from ..tuning.plan import Plan
    from ..tuning.tuner import Result, Tuner

MAX_TRIALS, MAX_PARALLEL, MAX_REPEATS = 10_000, 256, 20


def tune_command(entry: Entry) -> click.Command:
    """The command that tunes ``entry``; a hyperparameter that is given is left as it is."""
    ranges = tunable(entry.algorithm.Hyperparameters)
    parameters = channel_options(entry)
    parameters += options(TUNE_FLAGS)
    name, form, meaning = VARY
    known = "; ".join(f"{each.name} {each}" for each in ranges)
    parameters.append(
        click.Option(
            [name],
            metavar=form,
            multiple=True,
            help=f"{meaning} [default: {known}]",
        )
    )
    parameters += reading_parameters()
    parameters += hyperparameter_options(entry)

    def callback(as_json: bool, vary: tuple[str, ...], **given: str | None) -> None:
        ctx = click.get_current_context()
        told = {name: value for name, value in given.items() if value is not None}
        _tune(entry, told, vary, ctx, as_json)

    command = AlgorithmCommand(
        entry,
        name=entry.algorithm.name,
        params=parameters,
        callback=callback,
        help=f"Tune {entry.algorithm.name}: find hyperparameters with the "
        f"{'highest' if entry.algorithm.objective.maximize else 'lowest'} "
        f"{entry.algorithm.objective.metric}. A hyperparameter given as an option is fixed at "
        "that value.",
    )
    return json_option(command)


@click.group(cls=AlgorithmGroup, make=tune_command, subcommand_metavar="NAME [OPTIONS]")
def tune() -> None:
    """Search for the best hyperparameters of the algorithm NAME.

    `algoshelf tune NAME --help` shows which are tuned, and their ranges. A search that was stopped
    resumes when the same command is given again.

    Example: algoshelf tune kmeans --train rows.csv --k 5 --trials 10
    """


def _tune(
    entry: Entry,
    given: Mapping[str, str],
    vary: Sequence[str],
    ctx: click.Context,
    as_json: bool,
) -> None:
    name = entry.algorithm.name
    output = Path(given.get("output") or OUTPUT / f"{name}-tuned")
    storage = Path(given.get("storage") or f"{output}.db")
    report = Path(f"{output}-report")
    plan = _plan(entry, given, vary, ctx, output, storage)
    check_installed(entry, entry.algorithm.Hyperparameters.parse(plan.fixed))
    from ...core.artifact.target import check_target
    from ..files import check_writable
    from ..tuning.report import write_report
    from ..tuning.study import Store
    from ..tuning.tuner import Tuner

    check_target(output)  # before hours of work, not after them
    check_writable(report)
    store = Store(storage)
    try:
        listener = reporter("trials")
        tuner = Tuner(plan, store, listener)
        if not any(channel.name in given for channel in entry.algorithm.channels):
            listener.message(
                f"tuning {name} on its bundled sample; give --train PATH to use your own data"
            )
        for each in plan.ranges:
            listener.message(f"  {flag(each.name)}: {each}")
        try:
            result = tuner.run()
        except (InputError, TrainingError):
            if tuner.is_empty:  # what is mended is other data, and is not to be refused
                store.discard()
            raise
        except (KeyboardInterrupt, SystemExit):
            result = tuner.result("it was interrupted")
            if result.chosen is not None:
                tuner.publish(result, output)
                write_report(tuner, result, report)
                listener.message(
                    f"{output} holds the best model so far; the same command resumes the search"
                )
            raise
        tuner.publish(result, output)
        write_report(tuner, result, report)
        _show(tuner, result, output, report, storage, as_json)
    finally:
        store.close()


def _show(
    tuner: Tuner, result: Result, output: Path, report: Path, storage: Path, as_json: bool
) -> None:
    from ..tuning.report import document

    if as_json:
        paths = {"model": output, "report": report / "report.html", "storage": storage}
        print_json({**{key: str(path) for key, path in paths.items()}, **document(tuner, result)})
        return
    click.echo(result.verdict.sentence)
    if result.tested:
        click.echo(result.tested)
    if result.chosen is not None:
        for name, value in result.chosen.params.items():
            click.echo(f"  {flag(name)} {value}")
    click.echo(f"\nThe model is in {output}, the report in {report / 'report.html'}. Next:")
    click.echo(f"  algoshelf predict {output} FILE")


def _plan(
    entry: Entry,
    given: Mapping[str, str],
    vary: Sequence[str],
    ctx: click.Context,
    output: Path,
    storage: Path,
) -> Plan:
    """What the command line says; every fault of it in one InputError."""
    from ..tuning.plan import Plan

    algorithm = entry.algorithm
    schema = algorithm.Hyperparameters
    names = list(schema.model_fields)
    channels = [channel.name for channel in algorithm.channels]
    faults = unknown_flags(ctx)
    faults += [
        f"{flag(name)}: expected a path, got ''"
        for name in ("output", "storage", *channels)
        if given.get(name) == ""
    ]
    inside = output.resolve() in storage.resolve().parents
    faults += [f"--storage: must not be inside the model folder {output}"] if inside else []
    values = Values(given, faults)
    pretrained = values.attempt(partial(chosen, algorithm, given))
    given = {**(pretrained.hyperparameters if pretrained else {}), **given}
    counts = {
        name: values.whole(name, default, most, least)
        for name, default, least, most in (
            ("trials", 20, 1, MAX_TRIALS),
            ("parallel", 1, 1, MAX_PARALLEL),
            ("repeats", 4, 0, MAX_REPEATS),
        )
    }
    seed = values.read("seed", parse_seed, 1)
    runtime = values.read("max_runtime", _parse_runtime)
    own = {name: Path(given[name]) for name in channels if given.get(name)}
    paths = values.attempt(partial(check_channels, algorithm.channels, own or algorithm.sample()))
    reading = values.attempt(partial(taken, given))
    fixed = {name: given[name] for name in names if name in given}
    ranges: list[Range] = []
    try:
        settings = schema.parse(fixed, flag).model_dump(mode="json")
        fixed = {name: settings[name] for name in fixed}
        search_space = _search_space(schema, vary, fixed)
        ranges = tunable(schema, fixed, search_space)
        if not ranges:
            faults.append(
                "nothing is left to tune: give fewer hyperparameters as options, or name some "
                "with --vary"
            )
    except InputError as error:
        faults += error.faults
    if faults:
        raise InputError(*faults)
    if pretrained is not None:
        paths = CheckedChannels(pretrained.added_to(paths, say))
    return Plan(
        entry=entry,
        channels=paths,
        fixed=fixed,
        ranges=ranges,
        seed=seed,
        max_runtime=runtime,
        reading=reading,
        **counts,
    )


def _parse_runtime(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(f"expected a time such as 90s, 10m, 1h, got {text!r}") from None


def _search_space(
    schema: Any, vary: Sequence[str], fixed: Mapping[str, Any]
) -> dict[str, Search] | None:
    """The ranges that ``--vary`` names; None without any. Raises InputError."""
    search_space: dict[str, Search] = {}
    faults = []
    for text in vary:
        name, _, values = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if name in fixed:
            faults.append(f"--vary {name}: {flag(name)} also fixes its value: give one of the two")
        if name in search_space:
            faults.append(f"--vary {name}: given twice")
        known = schema.search_space.get(name)
        if not values and known is None and name in schema.model_fields:
            faults.append(f"--vary {name}: no default range: give {name}=LOW..HIGH or {name}=A,B,C")

        def typed(choice: str, name: str = name) -> Any:
            return getattr(schema.parse({**fixed, name: choice}, flag), name)

        try:
            search_space[name] = (
                _search(values, typed) if values else replace(known or Search(), where={})
            )
        except InputError as error:
            faults += error.faults
        except ValueError:
            faults.append(
                f"--vary {text}: expected {name}=LOW..HIGH, {name}=LOW..HIGH:log or {name}=A,B,C"
            )
    if faults:
        raise InputError(*faults)
    return search_space or None


def _search(text: str, typed: Callable[[str], Any]) -> Search:
    """Raises ValueError, and HyperparameterError for a choice that is none."""
    if ".." in text:
        bounds, _, scale = text.partition(":")
        low, high = (float(part) for part in bounds.split(".."))
        if scale not in ("", "log") or not math.isfinite(low) or not math.isfinite(high):
            raise ValueError(text)
        whole = low.is_integer() and high.is_integer()
        return Search(int(low) if whole else low, int(high) if whole else high, scale == "log")
    return Search(choices=tuple(typed(part.strip()) for part in text.split(",")))
