"""``benchmark NAME``: measure trainings by the rules of MLPerf; ``benchmark compare``."""

from __future__ import annotations

import itertools
import math
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any, Mapping, Sequence

import click

from ...core.algorithm.channels import check_channels
from ...core.data.reading import Reading
from ...core.runtime.devices import FORMS
from ...core.runtime.errors import InputError, MissingDependencyError, OutputError
from ..discovery import Entry
from ..files import check_writable
from ..lacking import check_installed
from .flags import (
    ABOVE_0,
    BENCHMARK_FLAGS,
    HIRING_FLAGS,
    INSTANCES,
    AlgorithmCommand,
    AlgorithmGroup,
    account_options,
    acting_options,
    bucket_option,
    channel_options,
    flag,
    hyperparameter_options,
    options,
    unknown_flags,
)
from .output import console, json_option, print_json, print_table
from .reading import reading_parameters, taken
from .sagemaker.common import account as open_account

OUTPUT = Path("benchmarks")
COMPARE = "compare"
MOST_SETTINGS, MOST_REPEATS = 100, 100
MOST_CONNECTIONS, MOST_SECONDS = 1000, 3600.0
BATCH_SIZE = "batch_size"
THREADS = "OMP_NUM_THREADS"  # without it, the same command measures something else
PARTS_OF_ONE = ("accuracy", "precision", "recall", "f1")

JOB_SWITCHES = ("region", "profile", "bucket_owner", "dry_run", "yes")


def benchmark_command(entry: Entry) -> click.Command:
    """The command that measures ``entry``."""
    algorithm = entry.algorithm
    parameters = channel_options(entry)
    parameters += options(BENCHMARK_FLAGS)
    parameters.append(
        click.Option(
            ["--serving"], is_flag=True, help="Serve the first setting's model too, and load it."
        )
    )
    parameters += options((INSTANCES, *HIRING_FLAGS))
    parameters += reading_parameters()
    parameters += [option for option in hyperparameter_options(entry) if option.name != BATCH_SIZE]

    def callback(as_json: bool, serving: bool, **given: Any) -> None:
        switches = {name: given.pop(name) for name in JOB_SWITCHES}
        values = {name: value for name, value in given.items() if value is not None}
        asked = _Asked(entry, values, click.get_current_context(), serving, switches)
        if asked.jobs is None:
            _measure_here(entry, asked, _command(entry, values, serving), serving, as_json)
        else:
            _measure_there(entry, asked, values, switches, as_json)

    command = AlgorithmCommand(
        entry,
        name=algorithm.name,
        params=parameters,
        callback=callback,
        help=f"Measure: {algorithm.summary}",
    )
    return json_option(acting_options(account_options(bucket_option(command))))


@click.group(
    cls=AlgorithmGroup,
    make=benchmark_command,
    subcommand_metavar="NAME [OPTIONS] | compare A B …",
)
def benchmark() -> None:
    """Measure what training the algorithm NAME costs, and compare two such measurements.

    Each setting (devices × batch sizes) is run several times, each run in a process of its own.
    The folder of the results holds results.jsonl, report.md and report.html.
    """


def _measure_here(entry: Entry, asked: _Asked, command: str, serving: bool, as_json: bool) -> None:
    from ..benchmark.local import measure_here
    from ..benchmark.serving import measure_serving

    for setting in asked.settings:
        check_installed(entry, setting.hyperparameters)

    if asked.sampled:
        _say(f"measuring {entry.algorithm.name} on its bundled sample; give --train PATH for yours")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        model = Path(scratch, "model")
        records = measure_here(
            asked.settings,
            asked.repeats,
            command,
            tell=_say,
            keep=asked.keep,
            model=model if serving else None,
        )
        if serving and model.is_dir():
            for served in measure_serving(
                records[0],
                model,
                asked.repeats,
                connections=asked.connections,
                seconds=asked.seconds,
                tell=_say,
            ):
                records[len(asked.settings) :] = [served]
                asked.keep(records)
        elif serving:
            _say("nothing is served: no training of the first setting has left a model")
    _show(records, asked.output, as_json)
    _fail_for(records)


def _measure_there(
    entry: Entry,
    asked: _Asked,
    given: Mapping[str, str],
    switches: Mapping[str, Any],
    as_json: bool,
) -> None:
    from . import remote as hiring

    acting = (switches[name] for name in ("region", "profile", "dry_run", "bucket_owner"))
    with open_account(*acting) as account:
        if asked.sampled:
            _say("on the bundled sample; give --train PATH or s3://… for your own data")
        records, cost = hiring.measure(
            account,
            entry,
            given,
            asked.settings,
            asked.jobs,
            _command(entry, given, False),
            yes=switches["yes"],
            keep=asked.keep,
            tell=_say,
        )
    if not switches["dry_run"]:
        _show(records, asked.output, as_json, cost)
        _fail_for(records)


def _fail_for(records: Sequence[Any]) -> None:
    """End with 1 where runs failed."""
    failures = [failure for record in records for failure in record.failures]
    if failures:
        _say(f"error: {len(failures)} runs failed, the first by this: {failures[0]}")
        sys.exit(1)


class _Asked:
    """What the command line says; every fault of it in one InputError."""

    def __init__(
        self,
        entry: Entry,
        given: Mapping[str, str],
        ctx: click.Context,
        serving: bool,
        switches: Mapping[str, Any],
    ) -> None:
        algorithm = entry.algorithm
        names = [info.name for info in algorithm.Hyperparameters.describe()]
        self.faults = unknown_flags(ctx)
        self.sampled = not any(channel.name in given for channel in algorithm.channels)
        self.output = Path(given.get("output") or OUTPUT / algorithm.name)
        self._check_output(given)
        self.repeats = self._whole("repeats", given.get("repeats", "5"), MOST_REPEATS)
        self.connections = self._wholes("connections", given.get("connections", "1,4,16"))
        self.seconds = self._seconds(given.get("seconds", "5"))
        if serving:
            self._check_serving()
        else:
            self.faults += [
                f"--{name}: is for --serving alone"
                for name in ("connections", "seconds")
                if name in given
            ]
        there = "instances" in given
        self._check_place(given, serving, [name for name in switches if switches[name]], there)
        # those of a job may lie in S3, and are checked in the account
        channels = {} if there else self._channels(entry, given)
        target = self._target(entry, given.get("target_metric"))
        values = {name: given[name] for name in names if name in given}
        self.settings = self._settings(entry, given, channels, values, target)
        self.jobs: Any = None
        if there:
            from . import remote as hiring

            self.jobs = hiring.read(given, self.settings, self.repeats, self.faults)
        if self.faults:
            raise InputError(*self.faults)

    def keep(self, records: Sequence[Any]) -> None:
        """Write the results and the report, as far as they are."""
        from ..benchmark.page import write_report
        from ..benchmark.results_file import RESULTS, write

        write(self.output / RESULTS, records)
        write_report(self.output, records)

    def _check_place(
        self, given: Mapping[str, str], serving: bool, switches: Sequence[str], there: bool
    ) -> None:
        """What speaks of jobs is for --instances alone, and what speaks of this machine is not."""
        if there:
            own = ["serving"] * serving + ["devices"] * ("devices" in given)
            self.faults += [
                f"--{name}: is of a measurement here; a job trains on all that its instance has"
                for name in own
            ]
            return
        flags = [name for name, _, _ in HIRING_FLAGS if name[2:].replace("-", "_") in given]
        flags += map(flag, switches)
        self.faults += [f"{name}: is for --instances alone" for name in flags]

    def _channels(self, entry: Entry, given: Mapping[str, str]) -> Mapping[str, Path]:
        channels = entry.algorithm.channels
        own = {c.name: Path(given[c.name]) for c in channels if c.name in given}
        try:
            return check_channels(channels, entry.algorithm.sample() if self.sampled else own)
        except InputError as error:
            self.faults += error.faults
            return {}

    def _check_output(self, given: Mapping[str, str]) -> None:
        if given.get("output") == "":
            self.faults.append("--output: expected a path, got ''")
        elif self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            self.faults.append(f"{self.output}: is there already: choose another --output")
        else:
            try:
                check_writable(self.output)
            except OutputError as error:
                self.faults.append(str(error))

    def _check_serving(self) -> None:
        try:
            from ...core.serving import server  # noqa: F401 - whether it can be imported
        except ModuleNotFoundError as error:
            from .serve import INSTALL_HINT

            raise MissingDependencyError(f"{INSTALL_HINT} ({error.name} is missing)") from None

    def _settings(
        self,
        entry: Entry,
        given: Mapping[str, str],
        channels: Mapping[str, Path],
        values: Mapping[str, str],
        target: float | None,
    ) -> list[Any]:
        """Each device with each batch size."""
        from ...core.benchmark import Setting

        schema = entry.algorithm.Hyperparameters
        variants: list[dict[str, str]] = [{}]
        if "batch_sizes" in given:
            sizes = [size.strip() for size in given["batch_sizes"].split(",")]
            variants = [{BATCH_SIZE: size} for size in dict.fromkeys(sizes)]
            if BATCH_SIZE not in schema.model_fields:
                self.faults.append(f"--batch-sizes: {entry.algorithm.name} knows no batches")
                variants = [{}]
        parsed = []
        for variant in variants:
            try:
                parsed.append(schema.parse({**values, **variant}, flag))
            except InputError as error:
                self.faults += [fault for fault in error.faults if fault not in self.faults]
        reading = Reading()
        try:
            reading = taken(given)
        except InputError as error:
            self.faults += error.faults
        devices = self._devices(given.get("devices", "auto"))
        if len(devices) * len(variants) > MOST_SETTINGS:
            self.faults.append(f"{len(devices) * len(variants)} settings: {MOST_SETTINGS} at most")
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
            for device, hyperparameters in itertools.product(devices, parsed)
        ]

    def _devices(self, text: str) -> list[str]:
        """``cpu,gpu:0,1,gpu`` is three: a number belongs to the GPUs before it."""
        found: list[str] = []
        for word in (word.strip() for word in text.split(",")):
            if word.isdecimal() and found and found[-1].startswith("gpu:"):
                found[-1] += f",{word}"
            else:
                found.append(word)
        form = r"auto|cpu(:[1-9]\d?)?|gpu(:\d+(,\d+)*)?"
        self.faults += [
            f"--devices: expected a list of {FORMS}, got {word!r}"
            for word in found
            if not re.fullmatch(form, word)
        ]
        return list(dict.fromkeys(found))

    def _target(self, entry: Entry, text: str | None) -> float | None:
        if text is None:
            return None
        name, separator, value = text.rpartition("=")
        objective = entry.algorithm.objective.metric
        if separator and name != objective:
            self.faults.append(
                f"--target-metric: {entry.algorithm.name} is judged by {objective}, not by {name!r}"
            )
        try:
            target = float(value)
        except ValueError:
            target = math.nan
        if not math.isfinite(target):
            self.faults.append(f"--target-metric: expected a number, got {value!r}")
        elif objective.rpartition(":")[2] in PARTS_OF_ONE and not 0 < target <= 1:
            self.faults.append(f"--target-metric: {objective} is from 0 to 1, got {value}")
        return target

    def _whole(self, name: str, text: str, most: int) -> int:
        if re.fullmatch(r"[0-9]{1,9}", text) and 1 <= int(text) <= most:
            return int(text)
        self.faults.append(f"--{name}: expected a whole number from 1 to {most}, got {text!r}")
        return 1

    def _wholes(self, name: str, text: str) -> list[int]:
        words = [word.strip() for word in text.split(",")]
        return sorted({self._whole(name, word, MOST_CONNECTIONS) for word in words})

    def _seconds(self, text: str) -> float:
        if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) and 0 < float(text) <= MOST_SECONDS:
            return float(text)
        self.faults.append(
            f"--seconds: expected a number above 0 to {MOST_SECONDS:g}, got {text!r}"
        )
        return 1.0


def _command(entry: Entry, given: Mapping[str, str], serving: bool) -> str:
    """The command as it was given, without what it does not depend on, or is nobody's business."""
    words = ["algoshelf", "benchmark", entry.algorithm.name]
    for name, value in given.items():
        words += [flag(name), value] if name not in ("output", "role") else []
    threads = os.environ.get(THREADS)
    told = f"{THREADS}={shlex.quote(threads)} " if threads else ""
    return told + shlex.join(words + ["--serving"] * serving)


def _show(
    records: Sequence[Any], output: Path, as_json: bool, cost: Mapping[str, Any] | None = None
) -> None:
    from ..benchmark.page import PAGE
    from ..benchmark.report import best_of, scaling, serving_table, summary_table

    trained = [record for record in records if record.kind == "training"]
    if as_json:
        print_json(
            {
                "output": str(output),
                "records": [record.model_dump(mode="json") for record in records],
                **({} if cost is None else {"cost": cost}),
                "scaling": [
                    {
                        "devices": each.record.devices,
                        "batch_size": each.record.batch_size,
                        "speed": each.speed,
                        "efficiency": each.share,
                    }
                    for each in scaling(trained)
                ],
            }
        )
        return
    tables = [summary_table(trained)]
    tables += [serving_table(record) for record in records if record.kind == "serving"]
    for table in tables:
        print_table(console(), table.headings, table.rows)
        click.echo()
    for text in best_of(trained):
        click.echo(text)
    if cost is not None:
        click.echo(
            f"AWS bills {cost['spent']:.4g} USD for the instances, of --max-cost "
            f"{cost['max_cost']:g}; storage and traffic come on top."
        )
    click.echo(f"The report is {output / PAGE}.")


@benchmark.command(COMPARE)
@click.argument("measured", nargs=-1, required=True, metavar="A B …")
@click.option(
    "--fail-below",
    type=ABOVE_0,
    metavar="RATIO",
    help="Exit with 1 where a figure is worse by more than this, such as 0.95, and not by noise.",
)
@json_option
def compare(measured: tuple[str, ...], fail_below: float | None, as_json: bool) -> None:
    """Compare measurements B … with A: folders of `benchmark NAME`, or their results.jsonl.

    A ratio above 1 is better, whatever the figure. Its interval holds with 95 % for all figures
    together; "no difference" is what lies within it, or within 3 %.
    """
    from ..benchmark import compare as comparing
    from ..benchmark.results_file import read

    if len(measured) < 2:
        raise InputError("expected two measurements or more: A B …")
    first = read(Path(measured[0]))
    documents, failing = [], []
    for name in measured[1:]:
        found = comparing.compare(first, read(Path(name)))
        reasons = [] if fail_below is None else found.failing(fail_below)
        failing += [f"{name}: {reason}" for reason in reasons]
        documents.append(
            {
                "first": measured[0],
                "second": name,
                "comparisons": [each.to_dict() for each in found.comparisons],
                "notes": found.notes,
                "lost": found.lost,
                "failing": reasons,
            }
        )
        if not as_json:
            _show_compared(measured[0], name, found)
    if as_json:
        print_json({"compared": documents, "fail_below": fail_below})
    if failing:
        _say("\n".join([f"error: worse than {fail_below:g}:", *failing]))
        sys.exit(1)


def _show_compared(first: str, second: str, found: Any) -> None:
    from ..benchmark.figures import FIGURES, Meaning

    click.echo(f"{second} beside {first}; above 1 is better")
    rows = []
    for each in found.comparisons:
        known = FIGURES.get(each.figure.partition("@")[0], Meaning(each.title))
        interval = f"{each.low:.3f} … {each.high:.3f}" if each.low is not None else "–"
        ratio = "–" if each.ratio is None else f"{each.ratio:.3f}"
        values = (known.written(each.first), known.written(each.second))
        rows.append([each.setting, each.title, *values, ratio, interval, each.verdict])
    headings = ["setting", "figure", "A", "B", "ratio", "interval", ""]
    print_table(console(), headings, rows)
    for note in (*found.notes, *found.lost):
        click.echo(f"note: {note}", err=True)


def _say(text: str) -> None:
    click.echo(text, err=True)
