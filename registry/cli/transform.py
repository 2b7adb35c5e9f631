"""``transform``: predictions for files of any size, as SageMaker's Batch Transform gives them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...core import codecs
from ...core.runtime.devices import FORMS
from ...core.transform.job import FAIL, MULTI, ON_ERROR, STRATEGIES, TransformOptions
from ...core.transform.reader import SPLIT_TYPES
from ...core.transform.run import Listener, Summary
from ...core.transform.run import transform as run
from ..discovery import opened
from .flags import PATH, SIZE, SectionedCommand, engine_option, resolved
from .output import console, json_option, print_json
from .reading import reading_options, taken

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOG_SECONDS = 10.0
SHOW_SECONDS = 0.1


@click.command(cls=SectionedCommand)
@click.argument("model", type=PATH)
@click.argument("source", metavar="INPUT")
@click.argument("output", type=PATH)
@click.option(
    "--content-type",
    help="Content type of every input file, such as text/csv. [default: by the file's name]",
)
@click.option(
    "--accept",
    help="Content type of the predictions. "
    f"[default: {codecs.JSONLINES}, where the algorithm offers it]",
)
@click.option(
    "--split-type",
    type=click.Choice(SPLIT_TYPES),
    help="What one record is: line, a RecordIO frame (recordio), or the whole file (none). "
    "[default: by the content type]",
)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default=MULTI,
    help=f"Put many records into a request (multi), or one (single). [default: {MULTI}]",
)
@click.option(
    "--max-payload",
    type=SIZE,
    default="6MB",
    show_default=True,
    help="Largest size of a request, and so of a record.",
)
@click.option(
    "--join-source", is_flag=True, help="Write each input record together with its prediction."
)
@click.option(
    "--on-error",
    type=click.Choice(ON_ERROR),
    default=FAIL,
    help="What to do about a bad record: fail stops, report lists it in <input>.errors.jsonl and "
    f"continues. [default: {FAIL}]",
)
@engine_option
@click.option("--devices", metavar="D", default="auto", help=f"Devices: {FORMS}. [default: auto]")
@click.option("--force", is_flag=True, help="Discard the results of an earlier run and start over.")
@reading_options
@json_option
def transform(
    model: Path,
    source: str,
    output: Path,
    content_type: str | None,
    accept: str | None,
    split_type: str | None,
    strategy: str,
    max_payload: int,
    join_source: bool,
    on_error: str,
    engine: str,
    devices: str,
    force: bool,
    as_json: bool,
    **given: str | None,
) -> None:
    """Write the predictions of MODEL for every record of INPUT into the folder OUTPUT.

    INPUT is a file, a folder with all files in it, or a pattern in quotes such as 'data/*.csv'.
    OUTPUT/<input>.out has one line for each line of <input>. The line is blank for a blank line
    (except in plain text, where every line is a text) and for the headings of a table; for a bad
    record it is {"error": …}, or blank in CSV.

    After an interruption, the same command resumes where it stopped.

    Example: algoshelf transform models/iris data/ predictions
    """
    algorithm = opened(model)[1]
    options = TransformOptions(
        content_type=content_type,
        accept=accept,
        split_type=split_type,
        strategy=strategy,
        max_payload=max_payload,
        join_source=join_source,
        on_error=on_error,
        engine=resolved(engine, model, devices),
        devices=devices,
        force=force,
        reading=taken(given),
    )
    listener = Bar() if sys.stderr.isatty() else Log()
    summary = run(algorithm, model, source, output, options, listener)
    if as_json:
        print_json(
            {
                "model": str(model),
                "algorithm": algorithm.name,
                "output": str(output),
                "files": summary.files,
                "unchanged": summary.unchanged,
                "rows": summary.rows,
                "errors": summary.errors,
                "seconds": round(summary.seconds, 3),
                "rate": round(summary.rate, 1),
            }
        )
        return
    speed = f" ({summary.seconds:.1f} s, {summary.rate:,.0f} rows/s)" if summary.answered else ""
    files = "1 file" if summary.files == 1 else f"{summary.files:,} files"
    rows = "1 row" if summary.rows == 1 else f"{summary.rows:,} rows"
    click.echo(f"{rows} of {files}: the predictions are in {output}{speed}")
    if summary.errors:
        bad = "1 bad row has" if summary.errors == 1 else f"{summary.errors:,} bad rows have"
        click.echo(f"{bad} no prediction: see {output / '*.errors.jsonl'}", err=True)


class Rate:
    """How fast bytes are read, so when all will be."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.first: tuple[float, int] | None = None

    def remaining(self, done: int) -> float | None:
        """Seconds to the end; None before anything can be said."""
        now = time.monotonic()
        if self.first is None:  # the time before was not spent on answers
            self.first = (now, done)
        started, before = self.first
        if done <= before:
            return None
        # what is packed, or in another encoding, is counted as UTF-8: more than the file's bytes
        return (now - started) / (done - before) * max(0, self.total - done)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _line(summary: Summary, done: int, rate: Rate) -> str:
    part = min(1.0, done / max(1, rate.total))
    errors = f", {summary.errors:,} bad" if summary.errors else ""
    return (
        f"{summary.rows:,} rows{errors}, {summary.rate:,.0f} rows/s, {part:.0%} of "
        f"{rate.total / 2**20:,.1f} MiB, {_clock(rate.remaining(done))} left"
    )


class Log(Listener):
    """A line on stderr now and then."""

    def __init__(self) -> None:
        self.shown = time.monotonic()

    def message(self, text: str) -> None:
        click.echo(text, err=True)

    def begin(self, total: int) -> None:
        self.rate = Rate(total)

    def progress(self, summary: Summary, done: int) -> None:
        self.rate.remaining(done)
        if time.monotonic() - self.shown >= LOG_SECONDS:
            self.shown = time.monotonic()
            self.message(_line(summary, done, self.rate))


class Bar(Listener):
    """A bar that moves, with the same line beside it."""

    def __init__(self) -> None:
        self.console = console(stderr=True)
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.shown = 0.0

    def message(self, text: str) -> None:
        self.console.print(text)

    def begin(self, total: int) -> None:
        from rich.progress import BarColumn, Progress

        self.rate = Rate(total)
        columns = (BarColumn(), "{task.description}")
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.bar.start()
        self.task = self.bar.add_task("loading the model", total=max(1, total))

    def progress(self, summary: Summary, done: int) -> None:
        self.rate.remaining(done)
        if self.bar is None or self.task is None:
            return
        if time.monotonic() - self.shown >= SHOW_SECONDS:
            self.shown = time.monotonic()
            line = _line(summary, done, self.rate)
            self.bar.update(self.task, completed=done, description=line)

    def end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
