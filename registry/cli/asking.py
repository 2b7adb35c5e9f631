"""What ``predict`` and ``sagemaker invoke`` ask a model, each INPUT read alike; its answers."""

from __future__ import annotations

import os
import re
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import click

from ...core import codecs
from ...core.algorithm.base import Algorithm
from ...core.artifact.metadata import Metadata
from ...core.data import images
from ...core.data.files import absent
from ...core.data.folders import named
from ...core.inference import headings as headed
from ...core.inference.headings import Taken
from ...core.inference.intake import intake
from ...core.runtime.errors import InputError, PayloadError, UnfitPayloadError
from .flags import Command
from .output import say, write_answer

STDIN = "-"
MAX_INPUT_BYTES = 2**30
ONE_DOCUMENT = (codecs.JSON, codecs.NPY, codecs.PNG)
_EXAMPLE = re.compile(r"example (\d+)")


def asking_options(function: Command) -> Command:
    """INPUT, --content-type and --accept."""
    for add in (
        click.option(
            "--accept",
            help="Content type of the answers. "
            f"[default: {codecs.JSONLINES}, where the algorithm offers it]",
        ),
        click.option(
            "--content-type",
            help="Content type of every INPUT, such as text/csv. [default: by the file's name]",
        ),
        click.argument("inputs", nargs=-1, metavar="[INPUT ...]"),
    ):
        function = add(function)
    return function


class Answer(NamedTuple):
    """The body of an answer, and the examples that were decoded for it, None where none were."""

    body: bytes
    examples: Any = None


def accepted_answer(algorithm: Algorithm[Any], accept: str | None, inputs: Sequence[str]) -> str:
    """The content type of the answers. Raises InputError where they cannot follow each other."""
    answered = algorithm.response_media_types()
    usual = codecs.JSONLINES if codecs.JSONLINES in answered else answered[0]
    found = codecs.negotiate(accept or usual, answered)
    if len(inputs) > 1 and found in ONE_DOCUMENT:
        raise InputError(
            f"--accept {found} gives one document per INPUT: "
            f"give a single INPUT, or --accept {codecs.JSONLINES}"
        )
    return found


class Asked(NamedTuple):
    """Where a request comes from, what reads it, and its content type."""

    source: str
    taken: Callable[[], Taken]
    kind: str


def asked_of(
    metadata: Metadata,
    algorithm: Algorithm[Any],
    inputs: Sequence[str],
    content_type: str | None,
    of_folder: Callable[[str], str],
) -> list[Asked]:
    """The requests, checked as far as it can be without mxnet; all faults in one InputError.

    ``of_folder`` says what to do about a folder.
    """
    if not inputs:
        if content_type is not None:
            raise InputError("--content-type needs an INPUT: give a file, or - for standard input")
        click.echo("no INPUT: predicting the example request that the model carries", err=True)
        example = metadata.example
        body = partial(Taken, example.body.encode())
        return [Asked("the model's example", body, example.content_type)]
    found, faults = [], []
    for name in inputs:
        try:
            found.append(_input(metadata, algorithm, name, content_type, of_folder))
        except InputError as error:
            faults += [each if name in each else f"{name}: {each}" for each in error.faults]
    if faults:
        raise InputError(*faults)
    return found


def _input(
    metadata: Metadata,
    algorithm: Algorithm[Any],
    name: str,
    content_type: str | None,
    of_folder: Callable[[str], str],
) -> Asked:
    if name == STDIN:
        if content_type is None:
            raise InputError(
                "standard input needs --content-type, since it has no file name to tell it"
            )
        kind, headings = content_type, metadata.headings
        read_all = sys.stdin.buffer.read
        mixed = algorithm.mixed_tables
        return Asked("stdin", lambda: headed.taken(read_all(), kind, headings, mixed), kind)
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(absent(Path(name))) from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: is a folder; {of_folder(name)}")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: not a regular file; give - for standard input")
    if status.st_size > MAX_INPUT_BYTES:
        raise InputError(
            f"{name}: larger than {MAX_INPUT_BYTES:,} bytes, the limit of predict: use transform"
        )
    read = intake(algorithm, Path(name), content_type)
    if read.is_empty:
        raise InputError(f"{name}: holds no rows")
    columns = None if read.layout is None else read.layout.columns
    return Asked(
        name,
        lambda: Taken(read.body(MAX_INPUT_BYTES), read.lead, columns),
        content_type or read.content_type,
    )


def print_answers(
    algorithm: Algorithm[Any], asked: Sequence[Asked], ask: Callable[[bytes, str], Answer]
) -> None:
    """Write what ``ask`` answers to each body of a content type. Raises PayloadError, placed."""
    for each in asked:
        body = Taken(b"")
        try:
            body = each.taken()
            answer = ask(body.body, each.kind)
        except PayloadError as error:
            faults = (f"{each.source}: {_placed(body, each.kind, x)}" for x in error.faults)
            raise type(error)(*faults, *_advice(each, error)) from None
        if codecs.PNG in algorithm.accepted_media_types():
            _say_one_colour(each.source, answer.examples)
        write_answer(answer.body)


def _placed(taken: Taken, kind: str, fault: str) -> str:
    """``fault`` of a line or an example of what was ``taken`` with its line in the file."""
    found = _EXAMPLE.match(fault)
    starts = codecs.lines_of_records(taken.body, kind) if found else ()
    if found and int(found[1]) <= len(starts):
        fault = f"line {starts[int(found[1]) - 1]}{fault[found.end() :]}"
    return taken.placed(fault)


def _say_one_colour(source: str, examples: Any) -> None:
    """Note the pictures whose answers, however certain, have nothing to go by."""
    some = examples if isinstance(examples, list) or hasattr(examples, "shape") else []
    pictures = [each for each in some if getattr(each, "ndim", 0) in (2, 3)]
    blank = [str(i) for i, each in enumerate(pictures, 1) if images.is_one_colour(each)]
    if blank:
        which = f"example {named(blank)}: " if len(pictures) > 1 else ""
        say(f"{source}: {which}one colour throughout: the answer has nothing to go by")


def _advice(asked: Asked, error: PayloadError) -> tuple[str, ...]:
    """What to do where a table has columns that are not asked about."""
    if codecs.media_type(asked.kind) != codecs.CSV or not isinstance(error, UnfitPayloadError):
        return ()
    if not any(word in fault for fault in error.faults for word in ("shape", "rows of", "cells")):
        return ()
    return (
        "where the table has other columns too, choose with --columns, or leave one out with "
        "--label-column, or name the one with texts by --text-column",
    )
