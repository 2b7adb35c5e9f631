"""``benchmark NAME``: what a training costs, by the rules of MLPerf; ``benchmark compare``."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Mapping, Sequence

import click

from ...discovery import Entry
from ...flags import BENCHMARK_FLAGS, INSTANCES, REMOTE_FLAGS, SERVING_FLAGS
from ...lacking import check_installed
from ...weights.choosing import WEIGHTS
from ..flags import (
    AlgorithmCommand,
    AlgorithmGroup,
    account_options,
    acting_options,
    bucket_option,
    channel_options,
    flag,
    hyperparameter_options,
    options,
)
from ..output import console, json_option, print_json, print_table, say
from ..reading import reading_parameters
from ..sagemaker.common import account as open_account
from ..sagemaker.company import company_names, company_parameters
from .compare import compare
from .remote import measure_there
from .request import BATCH_SIZE, Request, read

THREADS = "OMP_NUM_THREADS"  # without it, the same command measures something else
SWITCHES = ("region", "profile", "bucket_owner", "dry_run", "yes")


def benchmark_command(entry: Entry) -> click.Command:
    """The command that measures ``entry``."""
    parameters = channel_options(entry)
    parameters += options((*BENCHMARK_FLAGS, *SERVING_FLAGS, INSTANCES, *REMOTE_FLAGS))
    parameters += company_parameters("benchmark")
    parameters += reading_parameters()
    parameters += [option for option in hyperparameter_options(entry) if option.name != BATCH_SIZE]

    def callback(as_json: bool, serving: bool, **given: Any) -> None:
        switches = {name: given.pop(name) for name in SWITCHES}
        flags = {name: given.pop(name) for name in company_names("benchmark")}
        values = {name: value for name, value in given.items() if value is not None}
        set_switches = [name for name in SWITCHES if switches[name]]
        request = read(entry, values, flags, click.get_current_context(), serving, set_switches)
        command = _command(entry, values, serving)
        if request.remote is None:
            _measure_here(entry, request, command, serving, as_json)
        else:
            _measure_there(entry, request, values, command, as_json, **switches)

    command = AlgorithmCommand(
        entry,
        name=entry.algorithm.name,
        params=parameters,
        callback=callback,
        help=f"Measure: {entry.algorithm.summary}",
    )
    return json_option(acting_options(account_options(bucket_option(command))))


@click.group(
    cls=AlgorithmGroup,
    make=benchmark_command,
    subcommand_metavar="NAME [OPTIONS] | compare A B …",
)
def benchmark() -> None:
    """Measure the training of the algorithm NAME, or compare two measurements.

    Each setting, a device with a batch size, is run several times; each run is a process of its
    own. The output folder holds results.jsonl, report.md and report.html.
    """


benchmark.add_command(compare)


def _measure_here(
    entry: Entry, request: Request, command: str, serving: bool, as_json: bool
) -> None:
    from ...benchmark.local import measure_here
    from ...benchmark.page import write_all
    from ...benchmark.serving import measure_serving

    keep = partial(write_all, request.output)
    for setting in request.settings:
        check_installed(entry, setting.hyperparameters)
    if request.sampled:
        say("The bundled sample is measured; give --train PATH for your own data.")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        model = Path(scratch, "model")
        records = measure_here(
            request.settings,
            request.repeats,
            command,
            tell=say,
            keep=keep,
            model=model if serving else None,
        )
        if serving and model.is_dir():
            for served in measure_serving(
                records[0],
                model,
                request.repeats,
                connections=request.connections,
                seconds=request.seconds,
                tell=say,
            ):
                records[len(request.settings) :] = [served]
                keep(records)
        elif serving:
            say("Serving is not measured: no training of the first setting has left a model.")
    _show(records, request.output, as_json)
    _fail_for(records)


def _measure_there(
    entry: Entry,
    request: Request,
    given: Mapping[str, str],
    command: str,
    as_json: bool,
    *,
    yes: bool,
    dry_run: bool,
    **where: Any,
) -> None:
    from ...benchmark.page import write_all

    assert request.remote is not None
    keep = partial(write_all, request.output)
    settings = request.remote.settings
    with open_account(dry_run=dry_run, settings=settings, **where) as account:
        channels = {c.name: given[c.name] for c in entry.algorithm.channels if c.name in given}
        if WEIGHTS in given:  # which were fetched, and lie here
            channels = {name: str(path) for name, path in request.settings[0].channels.items()}
        records, cost = measure_there(
            account, entry, channels, request.settings, request.remote, command, keep, yes=yes
        )
    if not dry_run:
        _show(records, request.output, as_json, cost)
        _fail_for(records)


def _fail_for(records: Sequence[Any]) -> None:
    """End with 1 where runs failed."""
    failures = [failure for record in records for failure in record.failures]
    if failures:
        say(f"error: {len(failures)} runs failed, the first for this reason: {failures[0]}")
        sys.exit(1)


def _command(entry: Entry, given: Mapping[str, str], serving: bool) -> str:
    """The command as it was given, without what it does not depend on, or is nobody's business."""
    words = ["algoshelf", "benchmark", entry.algorithm.name]
    for name, value in given.items():
        words += [flag(name), value] if name != "output" else []
    threads = os.environ.get(THREADS)
    told = f"{THREADS}={shlex.quote(threads)} " if threads else ""
    return told + shlex.join(words + ["--serving"] * serving)


def _show(
    records: Sequence[Any], output: Path, as_json: bool, cost: Mapping[str, Any] | None = None
) -> None:
    from ...benchmark.page import PAGE
    from ...benchmark.report import best_of, scaling, serving_table, summary_table

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
            f"{cost['max_cost']:g} USD; storage and traffic are billed on top."
        )
    click.echo(f"The report is {output / PAGE}.")
