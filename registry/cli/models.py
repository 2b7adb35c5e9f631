"""``evaluate`` and ``predict``: measure a trained model, and let it answer files."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import click

from ...core import codecs
from ...core.algorithm.base import Algorithm
from ...core.algorithm.channels import TEST
from ...core.algorithm.evaluation import (
    ClassFigures,
    Evaluation,
    LabelFigures,
    TargetFigures,
)
from ...core.artifact.folder import Artifact
from ...core.data import images
from ...core.data.files import absent, exists
from ...core.data.folders import named
from ...core.data.reading import using
from ...core.inference import headings as headed
from ...core.inference.handlers import Handlers
from ...core.inference.headings import Taken
from ...core.inference.intake import intake
from ...core.runtime.errors import InputError, PayloadError, UnfitPayloadError
from ...core.tasks.class_figures import MAX_IN_MATRIX
from ..discovery import opened
from .flags import PATH, SectionedCommand, engine_option, resolved
from .output import console, figure, json_option, print_json, print_table, say, write_answer
from .plots import check_plot, save_plot
from .reading import reading_options, taken

STDIN = "-"
MAX_INPUT_BYTES = 2**30
LOWEST = 20  # of many classes, and of pairs of them, so many are shown
ONE_DOCUMENT = (codecs.JSON, codecs.NPY)
_EXAMPLE = re.compile(r"example (\d+)")


@click.command(cls=SectionedCommand)
@click.argument("model", type=PATH)
@click.option(
    "--test",
    type=PATH,
    help="Test examples. [default: the bundled sample]",
)
@click.option(
    "--plot",
    type=PATH,
    metavar="FILE.png",
    help="Also draw what was measured into this PNG file: confusion matrix, curves, residuals, "
    "clusters, which columns matter.",
)
@click.option(
    "--importances",
    is_flag=True,
    help="Also measure which columns of the table matter, by permuting each.",
)
@engine_option
@reading_options
@json_option
def evaluate(
    model: Path,
    test: Path | None,
    plot: Path | None,
    importances: bool,
    engine: str,
    as_json: bool,
    **given: str | None,
) -> None:
    """Measure MODEL, a folder written by `algoshelf train`, on test examples.

    Example: algoshelf evaluate models/mine --test test.csv --plot matrix.png
    """
    decided = taken(given)
    artifact, algorithm = opened(model)
    path = test or algorithm.sample().get(TEST)
    if path is None:
        raise InputError(f"{algorithm.name} has no bundled test sample: give --test PATH")
    if not exists(path):
        raise InputError(f"{absent(path)} (--test)")
    if test is None:
        click.echo(
            "evaluating on the bundled sample; give --test PATH to use your own data",
            err=True,
        )
    if plot is not None:
        check_plot(plot)
    with using(decided, say, artifact.metadata.headings):
        loaded = algorithm.model_fn(model, resolved(engine, model))
        evaluation = algorithm.evaluate(loaded, path)
        if importances:
            evaluation = replace(evaluation, importances=algorithm.importances(loaded, path))
    if plot is not None:
        save_plot(evaluation, plot)
        click.echo(f"the plot is in {plot}", err=True)
    if as_json:
        print_json({"model": str(model), "algorithm": algorithm.name, **evaluation.to_dict()})
    else:
        _print_evaluation(evaluation)


def _print_evaluation(evaluation: Evaluation) -> None:
    out = console()
    width = max([16, *(len(name) + 2 for name in evaluation.metrics)])
    for name, value in evaluation.metrics.items():
        interval = evaluation.intervals.get(name)
        bounds = " to ".join(map(figure, interval)) if interval else ""
        sure = f"  (95 % confidence: {bounds})" if interval else ""
        out.print(f"{name:<{width}}{figure(value)}{sure}", markup=False)
    if evaluation.positive is not None:
        at = evaluation.threshold
        sure = "" if at is None else f", from a probability of {figure(at)} on"
        out.print(f"{'positive class':<{width}}{evaluation.positive}{sure}", markup=False)
    out.print(f"{'examples':<{width}}{evaluation.examples:,}")
    _print_targets(evaluation.targets)
    if evaluation.baselines:
        names = [name for name in evaluation.metrics if name in evaluation.baselines[0].metrics]
        compared = [("this model", evaluation.metrics)]
        compared += [(each.name, each.metrics) for each in evaluation.baselines]
        out.print("")
        told = [[name, *(figure(metrics[each]) for each in names)] for name, metrics in compared]
        print_table(out, ("", *names), told)
    if evaluation.labels:
        out.print("")
        _print_labels(evaluation.labels)
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
        if len(evaluation.classes) > MAX_IN_MATRIX:
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
            f"\nMost often confused (no matrix is shown of more than {MAX_IN_MATRIX} classes)"
        )
        rows = [[p.true, p.predicted, p.examples] for p in evaluation.confused[:LOWEST]]
        print_table(out, ("true class", "predicted", "examples"), rows)
    if evaluation.importances:
        metric = evaluation.importances[0].metric
        out.print(f"\nWhich columns matter: {metric} lost where a column is permuted")
        shown = evaluation.importances[:LOWEST]
        print_table(
            out,
            ("column", "lost", "spread"),
            [[each.name, figure(each.loss), figure(each.spread)] for each in shown],
        )
        more = len(evaluation.importances) - len(shown)
        if more:
            out.print(f"{more:,} more matter less; --json gives all.")


def _print_labels(labels: Sequence[LabelFigures]) -> None:
    """All of a few labels, of many those that fare worst."""
    out = console()
    shown = labels
    if len(labels) > MAX_IN_MATRIX:
        shown = sorted((each for each in labels if each.support), key=lambda each: each.f1)[:LOWEST]
    print_table(
        out,
        ("label", "precision", "recall", "f1", "average precision", "examples", "from"),
        [
            [
                each.name,
                f"{each.precision:.4f}",
                f"{each.recall:.4f}",
                f"{each.f1:.4f}",
                "–" if each.average_precision is None else f"{each.average_precision:.4f}",
                each.support,
                figure(each.threshold),
            ]
            for each in shown
        ],
    )
    if len(labels) > MAX_IN_MATRIX:
        out.print(
            f"These are the {LOWEST} of {len(labels):,} labels with the lowest f1 among those that "
            "occur; --json gives all."
        )


def _print_targets(targets: Sequence[TargetFigures]) -> None:
    """Each of several targets, and of which R² is undefined."""
    out = console()
    if len(targets) > 1:
        out.print("")
        rows = [
            [t.name, figure(t.rmse), figure(t.mae), "–" if t.r2 is None else figure(t.r2)]
            for t in targets
        ]
        print_table(out, ("target", "rmse", "mae", "r2"), rows)
    constant = [target.name for target in targets if target.r2 is None]
    if constant:
        out.print(
            f"r2 is undefined where all examples have the same value: {', '.join(constant)}",
            markup=False,
        )


def _shown(classes: Sequence[ClassFigures]) -> Sequence[ClassFigures]:
    """All of a few classes, of many those that fare worst."""
    if len(classes) <= MAX_IN_MATRIX:
        return classes
    return sorted((c for c in classes if c.support), key=lambda c: c.f1)[:LOWEST]


@click.command(cls=SectionedCommand)
@click.argument("model", type=PATH)
@click.argument("inputs", nargs=-1, metavar="[INPUT ...]")
@click.option(
    "--content-type",
    help="Content type of every INPUT, such as text/csv. [default: by the file's name]",
)
@click.option(
    "--accept",
    help="Content type of the answers. "
    f"[default: {codecs.JSONLINES}, where the algorithm offers it]",
)
@engine_option
@reading_options
def predict(
    model: Path,
    inputs: tuple[str, ...],
    content_type: str | None,
    accept: str | None,
    engine: str,
    **given: str | None,
) -> None:
    """Print the predictions of MODEL for each INPUT, a file or - for standard input.

    MODEL is a folder written by `algoshelf train`. Without INPUT, the model answers the example
    request that it carries.

    Example: algoshelf predict models/mine image.png
    """
    artifact, algorithm = opened(model)
    answered = algorithm.response_media_types()
    usual = codecs.JSONLINES if codecs.JSONLINES in answered else answered[0]
    answer_type = codecs.negotiate(accept or usual, answered)
    if len(inputs) > 1 and answer_type in ONE_DOCUMENT:
        raise InputError(
            f"--accept {answer_type} gives one document per INPUT: "
            f"give a single INPUT, or --accept {codecs.JSONLINES}"
        )
    with using(taken(given), say, artifact.metadata.headings):
        asked = _asked(model, artifact, algorithm, inputs, content_type)
        handlers = Handlers.load(algorithm, model, engine=resolved(engine, model))
        for each in asked:
            body = Taken(b"")
            try:
                body = each.taken()
                examples = handlers.decode(body.body, each.kind)
                answer = handlers.encode(handlers.predict(examples), answer_type)
            except PayloadError as error:
                faults = (f"{each.source}: {_placed(body, each.kind, x)}" for x in error.faults)
                raise type(error)(*faults, *_advice(each, error)) from None
            if codecs.PNG in algorithm.accepted_media_types():
                _say_one_colour(each.source, examples)
            write_answer(answer)


class _Asked(NamedTuple):
    """Where a request comes from, what reads it, and its content type."""

    source: str
    taken: Callable[[], Taken]
    kind: str


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
            raise InputError("--content-type needs an INPUT: give a file, or - for standard input")
        click.echo("no INPUT: predicting the example request that the model carries", err=True)
        example = artifact.metadata.example
        body = partial(Taken, example.body.encode())
        return [_Asked("the model's example", body, example.content_type)]
    found, faults = [], []
    for name in inputs:
        try:
            found.append(_input(model, artifact, algorithm, name, content_type))
        except InputError as error:
            faults += [each if name in each else f"{name}: {each}" for each in error.faults]
    if faults:
        raise InputError(*faults)
    return found


def _input(
    model: Path,
    artifact: Artifact,
    algorithm: Algorithm[Any],
    name: str,
    content_type: str | None,
) -> _Asked:
    if name == STDIN:
        if content_type is None:
            raise InputError(
                "standard input needs --content-type, since it has no file name to tell it"
            )
        kind, headings = content_type, artifact.metadata.headings
        read_all = sys.stdin.buffer.read
        mixed = algorithm.mixed_tables
        return _Asked("stdin", lambda: headed.taken(read_all(), kind, headings, mixed), kind)
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(absent(Path(name))) from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(
            f"{name}: is a folder; for all files in it, run `algoshelf transform "
            f"{shlex.quote(str(model))} {shlex.quote(name)} OUTPUT`"
        )
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
    return _Asked(
        name,
        lambda: Taken(read.body(MAX_INPUT_BYTES), read.lead, columns),
        content_type or read.content_type,
    )


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


def _advice(asked: _Asked, error: PayloadError) -> tuple[str, ...]:
    """What to do where a table has columns that are not asked about."""
    if codecs.media_type(asked.kind) != codecs.CSV or not isinstance(error, UnfitPayloadError):
        return ()
    if not any(word in fault for fault in error.faults for word in ("shape", "rows of", "cells")):
        return ()
    return (
        "where the table has other columns too, choose with --columns, or leave one out with "
        "--label-column, or name the one with texts by --text-column",
    )
