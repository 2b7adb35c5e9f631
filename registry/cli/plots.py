"""Pictures, drawn with matplotlib (extra ``plot``)."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError, MissingDependencyError, OutputError
from ...core.evaluation import Evaluation


def save_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix into the PNG file ``path``.

    Colour is the share of the true class, so that a small class is as readable as a large one.
    """
    if evaluation.confusion is None:
        raise InputError("there is no confusion matrix to draw: this algorithm has no classes")
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "--plot needs matplotlib: pip install 'algoshelf[plot]'"
        ) from None
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
                axes.text(j, i, count, ha="center", va="center", color=colour, fontsize=8)
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
