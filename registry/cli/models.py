"""``evaluate`` and ``predict``: measure a trained model, and ask it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Iterator

import click

from ...core import codecs
from ...core.artifact import Artifact
from ...core.channels import TEST
from ...core.errors import InputError, PayloadError
from ...core.evaluation import Evaluation
from ...core.files import exists
from ..discovery import opened
from .output import console, json_option, print_json, print_table, write_answer
from .plots import check_plot, save_plot

STDIN = "-"
MOST_INPUT_BYTES = 2**30
ONE_DOCUMENT = (codecs.JSON, codecs.NPY)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--test",
    type=click.Path(path_type=Path),
    help="Examples to measure it on [default: the bundled sample]",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw the confusion matrix, or the clusters.",
)
@json_option
def evaluate(model: Path, test: Path | None, plot: Path | None, as_json: bool) -> None:
    """Measure how good MODEL, a folder that `train` wrote, is on examples it never saw."""
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
                for c in evaluation.classes
            ],
        )
    if evaluation.groups:
        out.print("")
        rows = [[g.name, g.size, f"{g.msd:.4f}"] for g in evaluation.groups]
        print_table(out, ("", "examples", "mean squared distance"), rows)
    if evaluation.confusion is not None:
        out.print("\nConfusion matrix: a row for each true class, a column for each predicted one")
        names = [c.name for c in evaluation.classes]
        print_table(out, ("", *names), [[n, *row] for n, row in zip(names, evaluation.confusion)])


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, metavar="[INPUT ...]")
@click.option("--content-type", help="Of every INPUT [default: by the file's name]")
@click.option(
    "--accept", help=f"The content type of the answers [default: {codecs.JSONLINES}, if offered]"
)
def predict(
    model: Path, inputs: tuple[str, ...], content_type: str | None, accept: str | None
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
    loaded = algorithm.model_fn(model)
    for source, body, kind in _bodies(artifact, inputs, content_type):
        try:
            prediction = algorithm.predict_fn(algorithm.input_fn(body, kind), loaded)
        except PayloadError as error:
            raise type(error)(*(f"{source}: {fault}" for fault in error.faults)) from None
        write_answer(algorithm.output_fn(prediction, answer_type))


def _bodies(
    artifact: Artifact, inputs: tuple[str, ...], content_type: str | None
) -> Iterator[tuple[str, bytes, str]]:
    """Where each request comes from, its body and its content type."""
    if not inputs:
        if content_type is not None:
            raise InputError("--content-type speaks of an INPUT: give a file, or - for stdin")
        click.echo("no INPUT: answering the example that the model carries", err=True)
        example = artifact.metadata.example
        yield "the model's example", example.body.encode(), example.content_type
    for name in inputs:
        if name == STDIN:
            if content_type is None:
                raise InputError(
                    "stdin has no name to tell its content type by: give --content-type"
                )
            yield "stdin", sys.stdin.buffer.read(), content_type
            continue
        try:
            if not stat.S_ISREG(os.stat(name).st_mode):
                raise InputError(f"{name}: not a file; give - for stdin")
            if os.stat(name).st_size > MOST_INPUT_BYTES:
                raise InputError(f"{name}: larger than {MOST_INPUT_BYTES:,} bytes: divide it")
            yield name, Path(name).read_bytes(), content_type or codecs.content_type_of(name)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from None
