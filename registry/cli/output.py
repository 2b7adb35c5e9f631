"""Output of the command line: tables and progress for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import click

from ...core.runtime.errors import InputError, did_you_mean
from ...core.runtime.printable import beneath, printable, printable_text
from ...core.training.reporting import LogReporter, Reporter, metrics_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
)


class DebugHint:
    """Unforeseen errors are shown in one line; this environment variable shows the traceback."""

    variable = "ALGOSHELF_TRACEBACK"
    text = f"this is an error in algoshelf or in a plugin; {variable}=1 shows the traceback"

    @classmethod
    def wanted(cls) -> bool:
        return bool(os.environ.get(cls.variable))


MAX_SUMMARY = 300  # characters
GAP = 2  # between columns of a table
LEAST_WIDTH = 40  # of a column of words, in characters


class SuggestingGroup(click.Group):
    """A group that answers a mistyped command with the nearest one."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each command with the first sentence of its help, which click would cut."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [
            (name, command.get_short_help_str(limit=MAX_SUMMARY))
            for name, command in commands
            if command is not None
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            near = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise click.UsageError(f"no such command {name!r}{near}", ctx)
        return super().resolve_command(ctx, args)


def say(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(text, err=True)


def print_json(document: Any) -> None:
    """The one JSON document on stdout: in ASCII, which every encoding of a terminal leaves alone.

    Raises ValueError for NaN and infinity, which JSON has no form for.
    """
    click.echo(json.dumps(document, indent=2, allow_nan=False, default=str))


def write_answer(body: bytes) -> None:
    """What a model answers, on stdout: as it is, but to a terminal as text without its commands.

    Raises InputError for a picture that would go to a terminal.
    """
    if sys.stdout.isatty():
        from ...core.data import images  # numpy's import takes longer than --help

        if images.format_of(body[: images.HEAD_BYTES]):
            raise InputError("the answer is a picture: write it into a file, as by > boxes.png")
        click.echo(body.decode("utf-8", "replace"), nl=False)
        return
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def console(*, stderr: bool = False) -> Console:
    """Where people read: coloured on a terminal, plain and unwrapped in a file or a pipe.

    Every str is printed as it is, since most come from plugins; style needs a rich Text.
    """
    from rich.console import Console
    from rich.text import Text

    def shown(value: Any) -> Any:
        if isinstance(value, Text) and printable_text(value.plain) != value.plain:
            value = value.plain  # without its styles, whose places are other ones then
        return printable_text(value) if isinstance(value, str) else value

    class PipeConsole(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*map(shown, objects), **options)

        def on_broken_pipe(self) -> None:  # rich would exit with 1
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 160
    return PipeConsole(
        file=beneath(stream),
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not stream.isatty(),
    )


def print_table(where: Console, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns without a frame; the last one wraps, and where little room is left for it, long ones
    do too.
    """
    from rich.table import Table

    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells)]
    tight = sum(width + GAP for width in widths[:-1]) + min(widths[-1], LEAST_WIDTH) > where.width
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for position, heading in enumerate(headings):
        whole = position < len(headings) - 1 and not (tight and widths[position] > LEAST_WIDTH)
        table.add_column(heading, overflow="fold", no_wrap=whole)
    for row in cells:
        table.add_row(*row)
    where.print(table)


def reporter(unit: str = "steps") -> Reporter:
    """A progress display on a terminal, plain lines anywhere else; both on stderr."""
    return ProgressReporter(unit) if sys.stderr.isatty() else LogReporter(sys.stderr, unit)


class ProgressReporter(Reporter):
    """A bar that moves with every step, or other ``unit``, under the lines of metrics."""

    def __init__(self, unit: str = "steps") -> None:
        self.unit = unit
        self.console = console(stderr=True)
        self.progress: Progress | None = None
        self.task: TaskID | None = None

    def message(self, text: str) -> None:
        self.console.print(text)

    def begin(self, steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        self.end()
        columns = ("training", BarColumn(), MofNCompleteColumn(), self.unit, TimeRemainingColumn())
        self.progress = Progress(*columns, console=self.console, transient=True)
        self.progress.start()
        self.task = self.progress.add_task("training", total=steps)

    def step(self, step: int) -> None:
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=step)

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.message(metrics_line(values, epoch=epoch, step=step))

    def end(self) -> None:
        if self.progress is not None:
            self.progress.stop()
