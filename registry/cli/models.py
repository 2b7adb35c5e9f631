"""``evaluate`` and ``predict``: measure a trained model, and let it answer files."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Sequence

import click

from ...core.algorithm.channels import TEST
from ...core.algorithm.evaluation import (
    ClassFigures,
    Evaluation,
    LabelFigures,
    ObjectFigures,
    StepFigures,
    TargetFigures,
)
from ...core.data.files import absent, exists
from ...core.data.reading import using
from ...core.inference.handlers import Handlers
from ...core.runtime.errors import InputError
from ...core.runtime.printable import figure
from ...core.tasks.class_figures import MAX_IN_MATRIX
from ..discovery import opened
from .asking import Answer, accepted_answer, asked_of, asking_options, print_answers
from .flags import PATH, SectionedCommand, engine_option, resolved, whole
from .output import console, json_option, print_json, print_table, say
from .plots import check_plot, save_plot
from .reading import reading_options, taken

MOST_STEPS = 8  # of many steps of a forecast, so many are shown
LOWEST = 20  # of many classes, and of pairs of them, so many are shown


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
    "forecasts, clusters, which columns matter, pictures with the worst mistakes.",
)
@click.option(
    "--importances",
    is_flag=True,
    help="Also measure which columns of the table matter, by permuting each.",
)
@click.option(
    "--windows",
    type=whole(1, 10_000),
    metavar="N",
    help="Forecast the last N horizons of each series, each by what was before it. [default: 1]",
)
@engine_option
@reading_options
@json_option
def evaluate(
    model: Path,
    test: Path | None,
    plot: Path | None,
    importances: bool,
    windows: int | None,
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
        if windows is None:
            evaluation = algorithm.evaluate(loaded, path)
        else:
            evaluation = algorithm.backtest(loaded, path, windows)
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
    if evaluation.steps:
        _print_steps(evaluation.steps)
    if evaluation.labels:
        out.print("")
        _print_labels(evaluation.labels)
    if evaluation.objects:
        out.print("")
        _print_objects(evaluation.objects)
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


def _print_steps(steps: Sequence[StepFigures]) -> None:
    """How the first step ahead fares, the last, and evenly chosen ones between them."""
    out = console()
    most = min(MOST_STEPS, len(steps))
    places = sorted({round(i * (len(steps) - 1) / max(1, most - 1)) for i in range(most)})
    out.print("")
    names = ("mase", "smape", "wql", "coverage")
    told = [
        [each.step, *("–" if (v := getattr(each, name)) is None else figure(v) for name in names)]
        for each in (steps[place] for place in places)
    ]
    print_table(out, ("steps ahead", *names), told)
    if len(places) < len(steps):
        out.print(f"These are {len(places)} of {len(steps):,} steps; --json gives all.")


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


def _print_objects(objects: Sequence[ObjectFigures]) -> None:
    """All of a few classes of objects, of many those that fare worst."""
    out, shown = console(), objects
    if len(objects) > MAX_IN_MATRIX:
        there = [each for each in objects if each.ap is not None]
        shown = sorted(there, key=lambda each: each.ap or 0.0)[:LOWEST]
    rows = [
        [
            each.name,
            *(
                "–" if value is None else f"{value:.4f}"
                for value in (each.ap, each.ap_50, each.ap_75, each.recall)
            ),
            each.objects,
        ]
        for each in shown
    ]
    print_table(out, ("class", "AP", "AP at 0.5", "AP at 0.75", "recall at 0.5", "objects"), rows)
    if len(shown) < len(objects):
        out.print(
            f"These are the {len(shown)} of {len(objects):,} classes with the lowest AP among "
            "those with objects; --json gives all."
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
@asking_options
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
    answer_type = accepted_answer(algorithm, accept, inputs)
    with using(taken(given), say, artifact.metadata.headings):
        of_folder = partial(_transformed, model)
        asked = asked_of(artifact.metadata, algorithm, inputs, content_type, of_folder)
        handlers = Handlers.load(algorithm, model, engine=resolved(engine, model))

        def ask(body: bytes, kind: str) -> Answer:
            examples = handlers.decode(body, kind)
            return Answer(handlers.encode(handlers.predict(examples), answer_type), examples)

        print_answers(algorithm, asked, ask)


def _transformed(model: Path, folder: str) -> str:
    command = f"{shlex.quote(str(model))} {shlex.quote(folder)} OUTPUT"
    return f"for all files in it, run `algoshelf transform {command}`"
