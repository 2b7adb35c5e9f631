"""What the command line says of a benchmark; every fault of it is told at once."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import click

from ....core.algorithm.channels import check_channels
from ....core.data.reading import Reading
from ....core.runtime.devices import FORMS
from ....core.runtime.errors import InputError, MissingDependencyError, OutputError
from ...discovery import Entry
from ...files import check_writable
from ...flags import REMOTE_FLAGS
from ...weights.choosing import chosen
from ..flags import flag, unknown_flags
from ..output import say
from ..reading import taken
from ..values import Values
from .remote import read as read_remote

if TYPE_CHECKING:
    from ....core.benchmark import Setting
    from ...benchmark.remote import RemoteRequest

OUTPUT = Path("benchmarks")
MAX_SETTINGS, MAX_REPEATS = 100, 100
MAX_CONNECTIONS, MAX_SECONDS = 1000, 3600.0
BATCH_SIZE = "batch_size"
PARTS_OF_ONE = ("accuracy", "precision", "recall", "f1")


@dataclass(frozen=True)
class Request:
    """What is to be measured; ``remote`` is None where that is this machine."""

    sampled: bool
    output: Path
    repeats: int
    connections: Sequence[int]
    seconds: float
    settings: Sequence[Setting]
    remote: RemoteRequest | None


def read(
    entry: Entry,
    given: Mapping[str, str],
    company: Mapping[str, Any],
    ctx: click.Context,
    serving: bool,
    switches: Sequence[str],
) -> Request:
    """What ``given`` says, beside the flags for a ``company``, None where they are not given, and
    the ``switches`` of AWS that are set. Raises InputError.
    """
    algorithm = entry.algorithm
    faults = unknown_flags(ctx)
    pretrained = Values(given, faults).attempt(partial(chosen, algorithm, given))
    given = {**(pretrained.hyperparameters if pretrained else {}), **given}
    values = Values(given, faults)
    sampled = not any(channel.name in given for channel in algorithm.channels)
    output = Path(given.get("output") or OUTPUT / algorithm.name)
    faults += _output_faults(output, given)
    repeats = values.whole("repeats", 5, MAX_REPEATS)
    connections = sorted(values.wholes("connections", "1,4,16", MAX_CONNECTIONS))
    seconds = values.number("seconds", 5.0, MAX_SECONDS, f"a number above 0 to {MAX_SECONDS:g}")
    if serving:
        _check_serving()
    else:
        faults += [
            f"--{name}: belongs to --serving: give --serving too, or leave it out"
            for name in ("connections", "seconds")
            if name in given
        ]
    there = "instances" in given
    of_aws = [*(name for name, value in company.items() if value is not None), *switches]
    faults += _misplaced(given, serving, of_aws, there)
    channels: Mapping[str, Path] = {}
    if not there:  # those of a job may lie in S3, and are checked in the account
        own = {c.name: Path(given[c.name]) for c in algorithm.channels if c.name in given}
        paths = algorithm.sample() if sampled else own
        channels = values.attempt(partial(check_channels, algorithm.channels, paths)) or {}
    settings = _settings(entry, given, channels, values)
    remote = read_remote(values, company, settings, repeats) if there else None
    if faults:
        raise InputError(*faults)
    if pretrained is not None:
        there_too = {c.name: given[c.name] for c in algorithm.channels if c.name in given}
        channels = pretrained.added_to(channels or there_too or algorithm.sample(), say)
        settings = [replace(setting, channels=channels) for setting in settings]
    return Request(sampled, output, repeats, connections, seconds, settings, remote)


def _misplaced(
    given: Mapping[str, str], serving: bool, switches: Sequence[str], there: bool
) -> list[str]:
    """What belongs to training jobs is for --instances alone, and the other way round."""
    if there:
        own = ["serving"] * serving + ["devices"] * ("devices" in given)
        return [
            f"--{name}: is for a measurement on this machine; with --instances, a training uses "
            "all devices of its instance"
            for name in own
        ]
    flags = [name for name, _, _ in REMOTE_FLAGS if name[2:].replace("-", "_") in given]
    return [
        f"{name}: belongs to --instances: give --instances too, or leave it out"
        for name in (*flags, *map(flag, switches))
    ]


def _output_faults(output: Path, given: Mapping[str, str]) -> list[str]:
    if given.get("output") == "":
        return ["--output: expected a path, got ''"]
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        return [f"{output}: exists already: choose another --output"]
    try:
        check_writable(output)
    except OutputError as error:
        return [str(error)]
    return []


def _check_serving() -> None:
    try:
        from ....core.serving import server  # noqa: F401 - whether it can be imported
    except ModuleNotFoundError as error:
        from ..serving import INSTALL_HINT

        raise MissingDependencyError(f"{INSTALL_HINT} ({error.name} is missing)") from None


def _settings(
    entry: Entry, given: Mapping[str, str], channels: Mapping[str, Path], values: Values
) -> list[Setting]:
    """Each device with each batch size."""
    from ....core.benchmark import Setting

    faults = values.faults
    target = _target(entry, given.get("target_metric"), faults)
    devices = _devices(given.get("devices", "auto"), faults)
    variants = _variants(entry, given, values)
    reading = values.attempt(partial(taken, given)) or Reading()
    count = len(devices) * len(variants)
    if count > MAX_SETTINGS:
        faults.append(f"--devices and --batch-sizes: {count} settings; {MAX_SETTINGS} at most")
        return []
    return [
        Setting(
            algorithm=entry.algorithm,
            channels=channels,
            hyperparameters=hyperparameters,
            devices=device,
            target=target,
            distribution=f"{entry.distribution} {entry.version}",
            reading=reading,
        )
        for device, hyperparameters in itertools.product(devices, filter(None, variants))
    ]


def _variants(entry: Entry, given: Mapping[str, str], values: Values) -> list[Any]:
    """The hyperparameters with each batch size; None for those that are refused."""
    schema = entry.algorithm.Hyperparameters
    own = {name: given[name] for name in schema.model_fields if name in given}
    sizes: list[dict[str, str]] = [{}]
    if "batch_sizes" in given and BATCH_SIZE not in schema.model_fields:
        values.faults.append(
            f"--batch-sizes: {entry.algorithm.name} has no batch size: leave it out"
        )
    elif "batch_sizes" in given:
        words = dict.fromkeys(size.strip() for size in given["batch_sizes"].split(","))
        sizes = [{BATCH_SIZE: word} for word in words]
    return [values.attempt(partial(schema.parse, {**own, **size}, flag)) for size in sizes]


def _devices(text: str, faults: list[str]) -> list[str]:
    """``cpu,gpu:0,1,gpu`` is three: a number belongs to the GPUs before it."""
    found: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        if word.isdecimal() and found and found[-1].startswith("gpu:"):
            found[-1] += f",{word}"
        else:
            found.append(word)
    form = r"auto|cpu(:[1-9]\d?)?|gpu(:\d+(,\d+)*)?"
    faults += [
        f"--devices: expected a list of {FORMS}, got {word!r}"
        for word in found
        if not re.fullmatch(form, word)
    ]
    return list(dict.fromkeys(found))


def _target(entry: Entry, text: str | None, faults: list[str]) -> float | None:
    if text is None:
        return None
    name, separator, value = text.rpartition("=")
    objective = entry.algorithm.objective.metric
    if separator and name != objective:
        faults.append(
            f"--target-metric: the objective of {entry.algorithm.name} is {objective}, not {name!r}"
        )
    try:
        target = float(value)
    except ValueError:
        target = math.nan
    if not math.isfinite(target):
        faults.append(f"--target-metric: expected a number, got {value!r}")
    elif objective.rpartition(":")[2] in PARTS_OF_ONE and not 0 < target <= 1:
        faults.append(
            f"--target-metric: expected a number from 0 to 1 for {objective}, got {value}"
        )
    return target
