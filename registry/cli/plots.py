"""Pictures, drawn with matplotlib (extra ``plot``)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ...core.errors import InputError, MissingDependencyError, OutputError
from ...core.evaluation import Evaluation


def check_plot(path: Path) -> None:
    """Find out before the work, not after it, whether ``path`` can be drawn.

    Raises MissingDependencyError without matplotlib, OutputError where ``path`` is in no folder.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("--plot needs matplotlib: pip install 'algoshelf[plot]'")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: no such folder")


def save_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix into the PNG file ``path``.

    Colour is the share of the true class, so that a small class is as readable as a large one.
    """
    from matplotlib.figure import Figure

    if evaluation.confusion is None:
        raise InputError("there is no confusion matrix to draw: this algorithm has no classes")
    names = [figures.name for figures in evaluation.classes]
    shares = [[n / max(1, sum(row)) for n in row] for row in evaluation.confusion]
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
    for i, row in enumerate(evaluation.confusion):
        for j, count in enumerate(row):
            if count:
                colour = "white" if shares[i][j] > 0.5 else "black"
                axes.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
