"""The result of an evaluation: metrics with confidence intervals, figures per class, plot data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..runtime.types import Array


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
    by itself has ``groups`` and ``scatter``. ``importances`` say which columns matter, the most
    important first. ``baselines`` are simpler methods beside it.
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
    importances: tuple[Importance, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    positive: str | None = None
    threshold: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the scatter and the fits, which are for pictures."""
        plain = asdict(replace(self, scatter=None, fits=()))
        del plain["scatter"], plain["fits"]
        return plain
