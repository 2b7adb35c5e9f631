"""Plots of an evaluation, drawn with matplotlib (extra ``plot``)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from ...core.algorithm.evaluation import Evaluation, Scatter
from ...core.runtime.errors import InputError, MissingDependencyError, OutputError

DRAWN_PAIRS = 20

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_plot(path: Path) -> None:
    """Find out before the work, not after it, whether ``path`` can be drawn.

    Raises MissingDependencyError without matplotlib, OutputError where ``path`` is in no folder.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("--plot needs matplotlib: pip install 'algoshelf[plot]'")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: no such folder")


def save_plot(evaluation: Evaluation, path: Path) -> None:
    """Draw what ``evaluation`` holds: a confusion matrix, the most confused, or groups in a plane.

    Raises InputError where it holds neither, OutputError where ``path`` cannot be written.
    """
    if evaluation.confusion is not None:
        figure = _confusion(evaluation, evaluation.confusion)
    elif evaluation.classes:
        figure = _confused(evaluation)
    elif evaluation.scatter is not None:
        figure = _scatter(evaluation, evaluation.scatter)
    else:
        raise InputError("there is nothing to draw: this algorithm has neither classes nor groups")
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None


def _confusion(evaluation: Evaluation, confusion: Sequence[Sequence[int]]) -> Figure:
    """Colour is the share of the true class: a small class is as readable as a large one."""
    from matplotlib.figure import Figure

    names = [figures.name for figures in evaluation.classes]
    shares = [[n / max(1, sum(row)) for n in row] for row in confusion]
    side = max(4.0, 0.45 * len(names) + 2)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(
        xticks=range(len(names)),
        yticks=range(len(names)),
        xticklabels=names,
        yticklabels=names,
        xlabel="predicted",
        ylabel="true",
        title=f"accuracy {evaluation.metrics['accuracy']:.4f} on {evaluation.examples:,} examples",
    )
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            if count:
                colour = "white" if shares[i][j] > 0.5 else "black"
                axes.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    return figure


def _confused(evaluation: Evaluation) -> Figure:
    """Of too many classes for a matrix, the pairs that were confused the most, and how often."""
    from matplotlib.figure import Figure

    pairs = evaluation.confused[:DRAWN_PAIRS]
    figure = Figure(figsize=(8, max(2.5, 0.3 * len(pairs) + 1.5)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(pairs)), [pair.examples for pair in pairs])
    axes.invert_yaxis()
    axes.set(
        yticks=range(len(pairs)),
        yticklabels=[f"{pair.true} taken for {pair.predicted}" for pair in pairs],
        xlabel="examples",
        title=f"accuracy {evaluation.metrics['accuracy']:.4f} on {evaluation.examples:,} examples; "
        f"most confused of {len(evaluation.classes):,} classes",
    )
    return figure


def _scatter(evaluation: Evaluation, scatter: Scatter) -> Figure:
    """Each group in its colour, its centre a cross."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.5), layout="constrained")
    axes = figure.subplots()
    colours = "tab10" if len(scatter.centres) <= 10 else "turbo"
    x, y = scatter.points.T
    axes.scatter(x, y, c=scatter.groups, cmap=colours, s=14, alpha=0.7, linewidths=0)
    axes.plot(*scatter.centres.T, "kx", markersize=9, markeredgewidth=2)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in evaluation.metrics.items())
    title = f"{len(scatter.centres)} groups of {evaluation.examples:,} examples: {figures}"
    axes.set(xlabel=scatter.axes[0], ylabel=scatter.axes[1], title=title)
    return figure
