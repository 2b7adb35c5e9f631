"""``evaluate`` and ``predict``: measure a trained model, and ask it."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import click

from ...core import codecs
from ...core.algorithm.base import Algorithm
from ...core.algorithm.channels import TEST
from ...core.algorithm.evaluation import ClassFigures, Evaluation
from ...core.artifact.folder import Artifact
from ...core.data.files import exists
from ...core.data.reading import using
from ...core.runtime.errors import InputError, PayloadError, UnfitPayloadError
from ...core.tasks.class_figures import MOST_IN_MATRIX
from ...core.transform.intake import intake
from ..discovery import opened
from .flags import PATH
from .output import console, json_option, print_json, print_table, say, write_answer
from .plots import check_plot, save_plot
from .reading import reading_options, taken

STDIN = "-"
MOST_INPUT_BYTES = 2**30
LOWEST = 20  # of many classes, and of pairs of them, so many are shown
ONE_DOCUMENT = (codecs.JSON, codecs.NPY)
_LINE = re.compile(r"^line (\d+)")


@click.command()
@click.argument("model", type=PATH)
@click.option(
    "--test",
    type=PATH,
    help="Examples to measure it on [default: the bundled sample]",
)
@click.option(
    "--plot",
    type=PATH,
    metavar="FILE.png",
    help="Draw the confusion matrix, or the clusters.",
)
@reading_options
@json_option
def evaluate(
    model: Path, test: Path | None, plot: Path | None, as_json: bool, **given: str | None
) -> None:
    """Measure how good MODEL, a folder that `train` wrote, is on examples it never saw."""
    decided = taken(given)
    _artifact, algorithm = opened(model)
    path = test or algorithm.sample().get(TEST)
    if path is None:
        raise InputError(f"{algorithm.name} bundles no test sample: give --test PATH")
    if not exists(path):
        raise InputError(f"{path}: no such file or folder (--test)")
    if test is None:
        click.echo(
            "evaluating on the bundled sample; give --test PATH for your own data",
            err=True,
        )
    if plot is not None:
        check_plot(plot)
    with using(decided, say):
        evaluation = algorithm.evaluate(algorithm.model_fn(model), path)
    if plot is not None:
        save_plot(evaluation, plot)
        click.echo(f"drawn in {plot}", err=True)
    if as_json:
        print_json({"model": str(model), "algorithm": algorithm.name, **evaluation.to_dict()})
    else:
        _print_evaluation(evaluation)


def _print_evaluation(evaluation: Evaluation) -> None:
    out = console()
    for name, value in evaluation.metrics.items():
        interval = evaluation.intervals.get(name)
        sure = f"  (95 % confidence: {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
        out.print(f"{name:<16}{value:.4f}{sure}", markup=False)
    out.print(f"{'examples':<16}{evaluation.examples:,}")
    if evaluation.classes:
        out.print("")
        print_table(
            out,
            ("class", "precision", "recall", "f1", "examples"),
            [
                [c.name, f"{c.precision:.4f}", f"{c.recall:.4f}", f"{c.f1:.4f}", c.support]
                for c in _shown(evaluation.classes)
            ],
        )
        if len(evaluation.classes) > MOST_IN_MATRIX:
            out.print(
                f"These are the {LOWEST} of {len(evaluation.classes):,} classes with the lowest f1 "
                "among those with examples; --json gives all."
            )
    if evaluation.groups:
        out.print("")
        rows = [[g.name, g.size, f"{g.msd:.4f}"] for g in evaluation.groups]
        print_table(out, ("", "examples", "mean squared distance"), rows)
    if evaluation.confusion is not None:
        out.print("\nConfusion matrix: a row for each true class, a column for each predicted one")
        names = [c.name for c in evaluation.classes]
        print_table(out, ("", *names), [[n, *row] for n, row in zip(names, evaluation.confusion)])
    if evaluation.confused:
        out.print(
            f"\nMost often confused (no matrix is shown of more than {MOST_IN_MATRIX} classes)"
        )
        rows = [[p.true, p.predicted, p.examples] for p in evaluation.confused[:LOWEST]]
        print_table(out, ("true class", "predicted", "examples"), rows)


def _shown(classes: Sequence[ClassFigures]) -> Sequence[ClassFigures]:
    """All of a few classes, of many those that fare worst."""
    if len(classes) <= MOST_IN_MATRIX:
        return classes
    return sorted((c for c in classes if c.support), key=lambda c: c.f1)[:LOWEST]


@click.command()
@click.argument("model", type=PATH)
@click.argument("inputs", nargs=-1, metavar="[INPUT ...]")
@click.option("--content-type", help="Of every INPUT [default: by the file's name]")
@click.option(
    "--accept", help=f"The content type of the answers [default: {codecs.JSONLINES}, if offered]"
)
@reading_options
def predict(
    model: Path,
    inputs: tuple[str, ...],
    content_type: str | None,
    accept: str | None,
    **given: str | None,
) -> None:
    """Ask MODEL about each INPUT: a file, or - for stdin; without any, about its own example."""
    artifact, algorithm = opened(model)
    answered = algorithm.answered()
    usual = codecs.JSONLINES if codecs.JSONLINES in answered else answered[0]
    answer_type = codecs.negotiate(accept or usual, answered)
    if len(inputs) > 1 and answer_type in ONE_DOCUMENT:
        raise InputError(
            f"--accept {answer_type} is one document an input: "
            f"give one INPUT, or --accept {codecs.JSONLINES}"
        )
    with using(taken(given), say):
        asked = _asked(model, artifact, algorithm, inputs, content_type)
        loaded = algorithm.model_fn(model)
        for each in asked:
            body = each.body()
            try:
                prediction = algorithm.predict_fn(algorithm.input_fn(body, each.kind), loaded)
            except PayloadError as error:
                faults = (f"{each.source}: {_below(each.headings, x)}" for x in error.faults)
                raise type(error)(*faults, *_advice(each, error)) from None
            write_answer(algorithm.output_fn(prediction, answer_type))


class _Asked(NamedTuple):
    """Where a request comes from, what gives its body, and its content type.

    ``headings`` is how many lines of the source come before those of the body.
    """

    source: str
    body: Callable[[], bytes]
    kind: str
    headings: int = 0


def _asked(
    model: Path,
    artifact: Artifact,
    algorithm: Algorithm[Any],
    inputs: tuple[str, ...],
    content_type: str | None,
) -> list[_Asked]:
    """The requests, checked as far as it can be without mxnet; all faults in one InputError."""
    if not inputs:
        if content_type is not None:
            raise InputError("--content-type speaks of an INPUT: give a file, or - for stdin")
        click.echo("no INPUT: answering the example that the model carries", err=True)
        example = artifact.metadata.example
        return [_Asked("the model's example", example.body.encode, example.content_type)]
    found, faults = [], []
    for name in inputs:
        try:
            found.append(_input(model, algorithm, name, content_type))
        except InputError as error:
            faults += [each if name in each else f"{name}: {each}" for each in error.faults]
    if faults:
        raise InputError(*faults)
    return found


def _input(model: Path, algorithm: Algorithm[Any], name: str, content_type: str | None) -> _Asked:
    if name == STDIN:
        if content_type is None:
            raise InputError("stdin has no name to tell its content type by: give --content-type")
        return _Asked("stdin", sys.stdin.buffer.read, content_type)
    try:
        status = os.stat(name)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(
            f"{name}: a folder: `algoshelf transform {shlex.quote(str(model))} {shlex.quote(name)} "
            "OUTPUT` answers all files in it"
        )
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: not a file; give - for stdin")
    if status.st_size > MOST_INPUT_BYTES:
        raise InputError(f"{name}: larger than {MOST_INPUT_BYTES:,} bytes: divide it")
    read = intake(algorithm, Path(name), content_type)
    headings = 1 if read.skips_headings else 0
    return _Asked(
        name, partial(read.body, MOST_INPUT_BYTES), content_type or read.content_type, headings
    )


def _below(headings: int, fault: str) -> str:
    """``fault`` with the number of its line in the file, of which ``headings`` were left out."""
    return _LINE.sub(lambda found: f"line {int(found[1]) + headings}", fault, count=1)


def _advice(asked: _Asked, error: PayloadError) -> tuple[str, ...]:
    """What to do where a table has columns that are not asked about."""
    if codecs.media_type(asked.kind) != codecs.CSV or not isinstance(error, UnfitPayloadError):
        return ()
    if not any(word in fault for fault in error.faults for word in ("shape", "rows of", "cells")):
        return ()
    return (
        "of a table with other columns too, --columns, --label-column or --text-column say which "
        "are asked about",
    )
