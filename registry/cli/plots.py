"""Plots of an evaluation, drawn with matplotlib (extra ``plot``)."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, Sequence

import numpy as np

from ...core.algorithm.evaluation import Curve, Drawn, Evaluation, Fit, Forecast, Scatter
from ...core.runtime.errors import InputError, MissingDependencyError, OutputError
from ...core.runtime.types import Array

DRAWN_PAIRS = 20
DRAWN_ROWS = 30  # labels, and columns
DRAWN_TARGETS = 6
DRAWN_LEVELS = 12  # values of a target, each with a box of its own
BLUE, ORANGE = "#0072b2", "#d55e00"
# The figure that tells a curve in one number.
OF_CURVES = {
    "ROC": "roc_auc",
    "precision-recall": "average_precision",
    "calibration": "calibration_error",
    "hits": "hit_rate",
    "quantiles": "coverage",
}

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def check_plot(path: Path) -> None:
    """Find out before the work, not after it, whether ``path`` can be drawn.

    Raises MissingDependencyError without matplotlib, OutputError where ``path`` is in no folder.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("--plot needs matplotlib: pip install 'algoshelf[plot]'")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: no such folder")


@dataclass(frozen=True)
class Panel:
    """One plot of a picture: what draws it, and its size in inches."""

    draw: Callable[[Axes], None]
    width: float = 4.6
    height: float = 4.2


def save_plot(evaluation: Evaluation, path: Path) -> None:
    """Draw what ``evaluation`` holds, a panel for each: a confusion matrix or the most confused,
    forecasts, curves, labels, what was estimated, groups in a plane, which columns matter, pictures
    with what was found in them.

    Raises InputError where it holds nothing of it, OutputError where ``path`` cannot be written.
    """
    from matplotlib.figure import Figure

    panels = list(_panels(evaluation))
    if not panels:
        raise InputError(
            "there is nothing to draw: this algorithm has no classes, targets, groups, forecasts "
            "or objects"
        )
    columns = min(3, len(panels)) if len(panels) != 4 else 2
    rows = -(-len(panels) // columns)
    width, height = max(each.width for each in panels), max(each.height for each in panels)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, axes in zip_longest(panels, every):
        if panel is None:
            axes.set_axis_off()
        else:
            panel.draw(axes)
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None


def _panels(evaluation: Evaluation) -> Iterator[Panel]:
    if evaluation.confusion is not None:
        side = max(4.2, 0.45 * len(evaluation.classes) + 2)
        yield Panel(partial(_confusion, evaluation, evaluation.confusion), side, side)
    elif evaluation.classes:
        height = max(2.5, 0.3 * min(DRAWN_PAIRS, len(evaluation.confused)) + 1.5)
        yield Panel(partial(_confused, evaluation), 8, height)
    for forecast in evaluation.forecasts:
        yield Panel(partial(_forecast, forecast), 6.4, 3.4)
    if evaluation.steps:
        yield Panel(partial(_steps, evaluation))
    for curve in evaluation.curves:
        yield Panel(partial(_curve, evaluation, curve))
    if evaluation.labels:
        shown = min(DRAWN_ROWS, len(evaluation.labels))
        yield Panel(partial(_labels, evaluation), height=max(4.2, 0.25 * shown + 1.5))
    for fit in evaluation.fits[:DRAWN_TARGETS]:
        yield Panel(partial(_fit, evaluation, fit))
    if len(evaluation.fits) == 1 and not _levels(evaluation.fits[0]):
        yield Panel(partial(_residuals, evaluation.fits[0]))
    if evaluation.scatter is not None:
        yield Panel(partial(_scatter, evaluation, evaluation.scatter), 7, 5.5)
    for picture in evaluation.pictures:
        yield Panel(partial(_picture, picture), 5.5, 5)
    if evaluation.importances:
        shown = min(DRAWN_ROWS, len(evaluation.importances))
        yield Panel(partial(_importances, evaluation), height=max(4.2, 0.25 * shown + 1.5))


def _confusion(evaluation: Evaluation, confusion: Sequence[Sequence[int]], axes: Axes) -> None:
    """Colour is the share of the true class: a small class is as readable as a large one."""
    names = [figures.name for figures in evaluation.classes]
    shares = [[n / max(1, sum(row)) for n in row] for row in confusion]
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


def _confused(evaluation: Evaluation, axes: Axes) -> None:
    """Of too many classes for a matrix, the pairs that were confused the most, and how often."""
    pairs = evaluation.confused[:DRAWN_PAIRS]
    axes.barh(range(len(pairs)), [pair.examples for pair in pairs])
    axes.invert_yaxis()
    axes.set(
        yticks=range(len(pairs)),
        yticklabels=[f"{pair.true} taken for {pair.predicted}" for pair in pairs],
        xlabel="examples",
        title=f"accuracy {evaluation.metrics['accuracy']:.4f} on {evaluation.examples:,} examples; "
        f"most confused of {len(evaluation.classes):,} classes",
    )


def _curve(evaluation: Evaluation, curve: Curve, axes: Axes) -> None:
    """With what knowing nothing would give (dashed), and the threshold's place on it (a dot)."""
    x, y = zip(*curve.points)
    if curve.spread:
        ends = [[abs(v - end[side]) for v, end in zip(y, curve.spread)] for side in (0, 1)]
        axes.errorbar(x, y, yerr=ends, color=BLUE, marker="o", markersize=4, linewidth=1, capsize=2)
    else:
        axes.plot(x, y, color=BLUE, linewidth=1.6)
    if curve.guide:
        axes.plot(*zip(*curve.guide), color="0.5", linestyle="--", linewidth=1)
    place = _decided(evaluation, curve)
    if place is not None:
        how = "likelier class" if evaluation.threshold is None else "threshold"
        label = f"at the {how}" + (f" {evaluation.threshold:.3g}" if evaluation.threshold else "")
        axes.plot(*place, "o", color=ORANGE, label=label)
        axes.legend(loc="best", frameon=False)
    metric = OF_CURVES.get(curve.name, "")
    value = evaluation.metrics.get(metric)
    figures = "" if value is None else f": {metric} {value:.4f}"
    axes.set(xlabel=curve.axes[0], ylabel=curve.axes[1], title=f"{curve.name}{figures}")
    axes.set(xlim=(-0.02 * max(x), 1.02 * max(1, *x)), ylim=(-0.02, 1.02))


def _forecast(forecast: Forecast, axes: Axes) -> None:
    """What was, what was forecast with its interval, and what came; the last known is at 0."""
    horizon = np.arange(1, len(forecast.truth) + 1)
    past = np.arange(1 - len(forecast.past), 1)
    axes.fill_between(horizon, *forecast.band, color=ORANGE, alpha=0.25, linewidth=0)
    axes.plot(past, forecast.past, color=BLUE, linewidth=1.2, label="known")
    axes.plot(horizon, forecast.truth, color="0.15", linewidth=1, label="truth")
    label = "median and 80 % interval"
    axes.plot(horizon, forecast.median, color=ORANGE, linewidth=1.4, label=label)
    for x, values, colour in ((past, forecast.past, BLUE), (horizon, forecast.truth, "0.15")):
        known = _alone(values)
        axes.plot(x[known], values[known], ".", color=colour, markersize=4)
    axes.axvline(0.5, color="0.5", linewidth=0.8)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    axes.margins(y=0.25)
    axes.set(xlabel="steps ahead", title=_short(forecast.name, 60))


def _alone(values: Array) -> Array:
    """Which of ``values`` (L,) a line does not show, as those beside them are not known."""
    known = np.pad(np.isfinite(values), 1)
    return known[1:-1] & ~known[:-2] & ~known[2:]


def _steps(evaluation: Evaluation, axes: Axes) -> None:
    """The error of each step ahead."""
    name = "mase" if any(each.mase is not None for each in evaluation.steps) else "smape"
    pairs = [(each.step, getattr(each, name)) for each in evaluation.steps]
    x, y = zip(*((step, value) for step, value in pairs if value is not None))
    axes.plot(x, y, color=BLUE, marker="o", markersize=3, linewidth=1.2)
    label = {"mase": "MASE", "smape": "sMAPE in percent"}[name]
    axes.set(xlabel="steps ahead", ylabel=label, title=f"{label} by horizon")
    axes.set_ylim(bottom=0)


def _decided(evaluation: Evaluation, curve: Curve) -> tuple[float, float] | None:
    """Where on ``curve`` the answers lie, by the figures of the positive class."""
    found = [each for each in evaluation.classes if each.name == evaluation.positive]
    if not found or curve.name not in ("ROC", "precision-recall"):
        return None
    (positive,) = found
    if curve.name == "precision-recall":
        return positive.recall, positive.precision
    (other,) = (each for each in evaluation.classes if each is not positive)
    return 1 - other.recall, positive.recall


def _labels(evaluation: Evaluation, axes: Axes) -> None:
    """Each label's F1 as a bar, and its average precision as a dot; the worst of many."""
    shown = sorted(evaluation.labels, key=lambda each: each.f1)[:DRAWN_ROWS]
    axes.barh(range(len(shown)), [each.f1 for each in shown], color=BLUE, label="F1")
    known = [
        (each.average_precision, i)
        for i, each in enumerate(shown)
        if each.average_precision is not None
    ]
    if known:
        axes.plot(*zip(*known), "o", color=ORANGE, label="average precision")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncol=2, frameon=False)
    title = f"micro F1 {evaluation.metrics['micro_f1']:.4f} on {evaluation.examples:,} examples"
    if len(shown) < len(evaluation.labels):
        title += f"; the worst of {len(evaluation.labels):,} labels"
    axes.set(
        yticks=range(len(shown)),
        yticklabels=[_short(each.name) for each in shown],
        xlim=(0, 1.02),
        title=title,
    )


def _fit(evaluation: Evaluation, fit: Fit, axes: Axes) -> None:
    """What was estimated over what is true; on the dashed line they are the same.

    Where few values are true, such as stars of a rating, a box for each: quartiles, and the rest.
    """
    levels = _levels(fit)
    if levels:
        boxes = [fit.estimated[fit.true == level] for level in levels]
        widths = 0.5 * min(after - before for before, after in zip(levels, levels[1:]))
        shown = {"color": BLUE, "linewidth": 1.2}
        axes.boxplot(
            boxes,
            positions=levels,
            widths=widths,
            manage_ticks=False,
            boxprops=shown,
            whiskerprops=shown,
            capprops=shown,
            medianprops={"color": ORANGE, "linewidth": 1.6},
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": BLUE},
        )
        axes.set_xticks(levels)
    else:
        axes.scatter(fit.true, fit.estimated, s=10, alpha=0.5, color=BLUE, linewidths=0)
    ends = [min(fit.true.min(), fit.estimated.min()), max(fit.true.max(), fit.estimated.max())]
    axes.plot(ends, ends, color="0.5", linestyle="--", linewidth=1)
    (found,) = (each for each in evaluation.targets if each.name == fit.name)
    figures = f"rmse {found.rmse:.4g}" + ("" if found.r2 is None else f", R² {found.r2:.3f}")
    axes.set(xlabel="true", ylabel="estimated", title=f"{_short(fit.name)}: {figures}")


def _levels(fit: Fit) -> list[float]:
    """The values that are true, where they are few; else none."""
    found: list[float] = np.unique(fit.true).tolist()
    return found if 1 < len(found) <= DRAWN_LEVELS else []


def _residuals(fit: Fit, axes: Axes) -> None:
    """How far off, over what was estimated: a slope or a funnel shows what was not learned."""
    axes.scatter(fit.estimated, fit.true - fit.estimated, s=10, alpha=0.5, color=BLUE, linewidths=0)
    axes.axhline(0, color="0.5", linestyle="--", linewidth=1)
    axes.set(xlabel="estimated", ylabel="true - estimated", title=f"{_short(fit.name)}: residuals")


def _importances(evaluation: Evaluation, axes: Axes) -> None:
    """The most important columns, the spread over permutations as a line."""
    shown = evaluation.importances[:DRAWN_ROWS]
    axes.barh(
        range(len(shown)),
        [each.loss for each in shown],
        xerr=[each.spread for each in shown],
        color=BLUE,
        ecolor="0.3",
        capsize=2,
    )
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", linewidth=0.8)
    more = len(evaluation.importances) - len(shown)
    axes.set(
        yticks=range(len(shown)),
        yticklabels=[_short(each.name) for each in shown],
        xlabel=f"{shown[0].metric} lost where the column is permuted",
        title="which columns matter" + (f" ({more:,} more matter less)" if more else ""),
    )


def _picture(picture: Drawn, axes: Axes) -> None:
    from matplotlib import image

    axes.imshow(image.imread(io.BytesIO(picture.png)))
    axes.set_axis_off()
    axes.set_title(picture.title, fontsize=9)


def _short(name: str, most: int = 30) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _scatter(evaluation: Evaluation, scatter: Scatter, axes: Axes) -> None:
    """Each group in its colour, its centre a cross."""
    colours = "tab10" if len(scatter.centres) <= 10 else "turbo"
    x, y = scatter.points.T
    axes.scatter(x, y, c=scatter.groups, cmap=colours, s=14, alpha=0.7, linewidths=0)
    axes.plot(*scatter.centres.T, "kx", markersize=9, markeredgewidth=2)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in evaluation.metrics.items())
    title = f"{len(scatter.centres)} groups of {evaluation.examples:,} examples: {figures}"
    axes.set(xlabel=scatter.axes[0], ylabel=scatter.axes[1], title=title)
