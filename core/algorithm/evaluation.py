"""The result of an evaluation: metrics with confidence intervals, figures per class, plot data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Iterator, Sequence

from ..pages import drawing, notebook
from ..pages.drawing import Axis, Series
from ..runtime.printable import figure
from ..runtime.types import Array

MOST_POINTS = 400  # of many points, so many evenly chosen ones are drawn


@dataclass(frozen=True)
class ClassFigures:
    """How one class fares: ``support`` is its number of examples."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Confused:
    """How many examples of the class ``true`` were taken for the class ``predicted``."""

    true: str
    predicted: str
    examples: int


@dataclass(frozen=True)
class TargetFigures:
    """How one target of a regression fares; ``rmse`` and ``mae`` are in the target's unit.

    ``r2`` is None where it is undefined: where all examples have one value of the target.
    """

    name: str
    rmse: float
    mae: float
    r2: float | None


@dataclass(frozen=True)
class LabelFigures:
    """How one of several labels fares: ``support`` is how many examples have it.

    ``average_precision`` is None where no example has it. It is given from ``threshold`` on.
    """

    name: str
    precision: float
    recall: float
    f1: float
    average_precision: float | None
    support: int
    threshold: float = 0.5


@dataclass(frozen=True)
class GroupFigures:
    """How one group of examples that a model has found fares: its size and its mean square."""

    name: str
    size: int
    msd: float


@dataclass(frozen=True)
class Scatter:
    """Examples in a plane: ``points`` (N, 2), the group of each (N,), and ``centres`` (G, 2)."""

    points: Array
    groups: Array
    centres: Array
    axes: tuple[str, str]


@dataclass(frozen=True)
class Fit:
    """What was estimated of one target: ``estimated`` (N,) of the examples whose values are
    ``true`` (N,), evenly chosen ones where there are many.
    """

    name: str
    true: Array
    estimated: Array


@dataclass(frozen=True)
class Curve:
    """A curve of ``points`` (x, y) over ``axes``, and the ``guide`` that knowing nothing, or being
    right on average, would give. ``spread`` are 95 % intervals of y, one a point, or none.
    """

    name: str
    axes: tuple[str, str]
    points: tuple[tuple[float, float], ...]
    guide: tuple[tuple[float, float], ...] = ()
    spread: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class StepFigures:
    """How the forecasts of one ``step`` ahead fare, the first being 1; None where it is undefined.

    ``smape`` is in percent, ``coverage`` the part of the truth within the 80 % interval.
    """

    step: int
    mase: float | None
    smape: float | None
    wql: float | None
    coverage: float | None


@dataclass(frozen=True)
class Forecast:
    """A series for a picture: its ``past`` (P,), the ``truth`` (H,) after it, NaN where it is not
    known, the ``median`` (H,) that was forecast, and the ``band`` (2, H) of the 80 % interval.
    """

    name: str
    past: Array
    truth: Array
    median: Array
    band: Array


@dataclass(frozen=True)
class Importance:
    """How much worse ``metric`` becomes where the column ``name`` is permuted among the examples:
    the mean over several permutations, and its standard deviation over them.
    """

    name: str
    metric: str
    loss: float
    spread: float


@dataclass(frozen=True)
class Baseline:
    """What a simpler method gets on the same examples: ``metrics`` by the names of the model's."""

    name: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` returns: ``metrics`` by name, and what lies behind them.

    ``intervals`` holds 95 % confidence intervals of the metrics that have one. A classifier has
    ``classes`` and, of up to MAX_IN_MATRIX, ``confusion`` (C, C): row = the true class, column =
    the predicted one; of more, it has in ``confused`` the pairs that were confused the most, at
    most MAX_PAIRS. Of two classes it names the ``positive`` one, has the ``threshold`` from which
    on an example is called so (None: the likelier class), and ``curves``. A regression has
    ``targets`` and ``fits``; of several labels an example there are ``labels``. What finds groups
    by itself has ``groups`` and ``scatter``. Forecasts have ``steps``, how each step ahead fares,
    and ``forecasts``. ``importances`` say which columns matter, the most important first.
    ``baselines`` are simpler methods beside it.
    """

    examples: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    classes: tuple[ClassFigures, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    confused: tuple[Confused, ...] = ()
    targets: tuple[TargetFigures, ...] = ()
    groups: tuple[GroupFigures, ...] = ()
    scatter: Scatter | None = None
    fits: tuple[Fit, ...] = ()
    curves: tuple[Curve, ...] = ()
    labels: tuple[LabelFigures, ...] = ()
    steps: tuple[StepFigures, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    importances: tuple[Importance, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    positive: str | None = None
    threshold: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the scatter, the fits and the forecasts: for pictures."""
        plain = asdict(replace(self, scatter=None, fits=(), forecasts=()))
        del plain["scatter"], plain["fits"], plain["forecasts"]
        return plain

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return notebook.shown([*self._tables(), notebook.plots([*self._plots()])])

    def _tables(self) -> Iterator[str]:
        yield notebook.rows(("", "", "95 % confidence"), [*self._measured()])
        if self.baselines:
            names = [name for name in self.metrics if name in self.baselines[0].metrics]
            compared = [("this model", self.metrics)]
            compared += [(each.name, each.metrics) for each in self.baselines]
            told = [[name, *(figure(found[n]) for n in names)] for name, found in compared]
            yield notebook.rows(("", *names), told)
        if self.steps:
            measured = ("mase", "smape", "wql", "coverage")
            told = [
                [str(e.step), *(_or_dash(getattr(e, name)) for name in measured)]
                for e in self.steps
            ]
            yield notebook.rows(("steps ahead", *measured), told)
        if len(self.targets) > 1:
            told = [[t.name, figure(t.rmse), figure(t.mae), _or_dash(t.r2)] for t in self.targets]
            yield notebook.rows(("target", "rmse", "mae", "r2"), told)
        if self.labels:
            told = [
                [*_judged(e), _or_dash(e.average_precision), f"{e.support:,}"] for e in self.labels
            ]
            headings = ("label", "precision", "recall", "f1", "average precision", "examples")
            yield notebook.rows(headings, told)
        if self.classes:
            told = [[*_judged(each), f"{each.support:,}"] for each in self.classes]
            yield notebook.rows(("class", "precision", "recall", "f1", "examples"), told)
        if self.groups:
            told = [[each.name, f"{each.size:,}", figure(each.msd)] for each in self.groups]
            yield notebook.rows(("", "examples", "mean squared distance"), told)
        if self.confusion is not None:
            yield notebook.matrix([each.name for each in self.classes], self.confusion)
        if self.confused:
            told = [[each.true, each.predicted, f"{each.examples:,}"] for each in self.confused]
            yield notebook.rows(("true class", "predicted", "examples"), told)

    def _measured(self) -> Iterator[tuple[str, str, str]]:
        for name, value in self.metrics.items():
            bounds = self.intervals.get(name, ())
            yield name, figure(value), " to ".join(map(figure, bounds))
        if self.positive is not None:
            at = self.threshold
            yield "positive class", self.positive, "" if at is None else f"from {figure(at)} on"
        yield "examples", f"{self.examples:,}", ""

    def _plots(self) -> Iterator[tuple[str, str]]:
        """Each plot's title, and its SVG."""
        for curve in self.curves:
            line = Series(curve.name, [curve.points], 0, dots=bool(curve.spread))
            x, y = (Axis(name, zero=True) for name in curve.axes)
            yield curve.name, drawing.lines([line], x, y, curve.name, guide=curve.guide)
        for forecast in self.forecasts:
            yield forecast.name, _forecast(forecast)
        for fit in self.fits:
            pairs = _some([*zip(fit.true.tolist(), fit.estimated.tolist())])
            ends = [min(map(min, pairs)), max(map(max, pairs))]
            dots = Series(fit.name, [[pair] for pair in pairs], 0)
            x, y = Axis("true"), Axis("estimated")
            yield fit.name, drawing.lines([dots], x, y, fit.name, guide=[*zip(ends, ends)])
        if self.scatter is not None:
            yield "groups", _drawn(self.scatter)
        if self.importances:
            title = f"{self.importances[0].metric} lost where a column is permuted"
            shown = self.importances[: notebook.NUMBERED]
            bars = [(each.name, max(0.0, each.loss), ()) for each in shown]
            yield title, drawing.bars(bars, title, title, 0)


def _judged(of: ClassFigures | LabelFigures) -> tuple[str, str, str, str]:
    return of.name, f"{of.precision:.4f}", f"{of.recall:.4f}", f"{of.f1:.4f}"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else figure(value)


def _some(points: list[Any]) -> list[Any]:
    return points[:: -(-len(points) // MOST_POINTS)]


def _forecast(forecast: Forecast) -> str:
    """What was and what came in one colour, what was forecast in another, its interval dashed."""
    ahead = range(1, len(forecast.truth) + 1)
    known = [*zip(range(1 - len(forecast.past), 1), forecast.past.tolist())]
    came = [*zip(ahead, forecast.truth.tolist())]
    series = [
        Series("truth", [*_pieces(known), *_pieces(came)], 0),
        *(Series("80 % interval", [[*zip(ahead, end.tolist())]], 9) for end in forecast.band),
        Series("median", [[*zip(ahead, forecast.median.tolist())]], 1),
    ]
    x, y = Axis("steps ahead"), Axis("")
    return drawing.lines(series, x, y, forecast.name)


def _pieces(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """``points`` (x, y) in order, cut where y is not known."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if math.isfinite(y):
            found[-1].append((x, y))
        elif found[-1]:
            found.append([])
    return [each for each in found if each]


def _drawn(scatter: Scatter) -> str:
    """Each group in its colour, its centre larger."""
    found = _some([*zip(scatter.points.tolist(), scatter.groups.tolist())])
    dots = [
        Series("", [[(x, y)] for (x, y), of in found if of == group], group)
        for group in range(len(scatter.centres))
    ]
    centres = [(x, y) for x, y in scatter.centres.tolist()]
    x, y = map(Axis, scatter.axes)
    return drawing.lines(dots, x, y, "groups", marks=centres)
