"""Compare two measurements: is one better, or is the difference noise?

Each figure is compared by the ratio of its geometric means over all runs, turned so that above 1 is
better, with Welch's interval on the logarithms. All intervals of a comparison hold together with
95 %: by Bonferroni's correction each holds with 1 - 0.05 / their number, or else one figure of
twenty would seem to change between two measurements of the same.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Sequence

import numpy as np

from ...core.benchmark import TO_TARGET, Figure, Place, Record
from ...core.runtime.errors import InputError
from ..statistics import welch_interval
from .figures import FINAL, Meaning, label, meaning

CONFIDENCE = 0.95
# Two measurements of the same on one machine differ by about so much, however narrow their
# intervals: memory is laid out anew, neighbours of a virtual machine come and go.
NOISE = 0.03
# An interval that goes beyond these says nothing: half or twice as much would look the same.
TOO_WIDE = 2.0
SAME, BETTER, WORSE, UNKNOWN = "no difference", "better", "worse", "one run tells nothing"
TOO_UNLIKE = "runs too unlike to tell"
MAX_EXPONENT = 700.0  # of e in a float64


@dataclass(frozen=True)
class Comparison:
    """A figure in two measurements; ``ratio``, ``low`` and ``high`` are above 1 where B is better.

    None where there is no such number: no interval of one run, no ratio of a target not reached.
    """

    setting: str
    figure: str
    title: str
    first: float | None
    second: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def is_below(self, limit: float) -> bool:
        """Whether B is worse by so much that ``limit`` refuses it; noise never is."""
        if self.ratio is None:
            return self.verdict == WORSE
        return self.verdict in (WORSE, UNKNOWN) and self.ratio < limit


@dataclass(frozen=True)
class Compared:
    """All comparisons of B with A, and what a reader has to know of them."""

    comparisons: list[Comparison]
    notes: list[str]
    lost: list[str]  # settings that A measured and B did not, or not without failures

    def failing(self, limit: float) -> list[str]:
        """Why B does not pass ``--fail-below``, a sentence each."""
        below = [
            f"{c.setting}: {c.title} is at {'–' if c.ratio is None else f'{c.ratio:.3f}'}"
            for c in self.comparisons
            if c.is_below(limit)
        ]
        return below + self.lost


def compare(first: Sequence[Record], second: Sequence[Record]) -> Compared:
    """B, ``second``, beside A, ``first``. Raises InputError where they share no setting."""
    placed = any(len({_place(record) for record in side}) > 1 for side in (first, second))
    ours, theirs = _by_setting(first, placed), _by_setting(second, placed)
    shared = [key for key in ours if key in theirs]
    if not shared:
        raise InputError(
            "they share no setting: " + "; ".join(sorted({label(r) for r in (*first, *second)}))
        )
    pairs = [
        (name, ours[k], theirs[k], m) for k in shared for name, m in _judged(ours[k], theirs[k])
    ]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(pairs))
    comparisons = [_compared(*pair, confidence) for pair in pairs]
    lost = [f"{_setting(ours[key])}: was not measured" for key in ours if key not in theirs]
    lost += [
        f"{_setting(theirs[key])}: {len(theirs[key].failures)} runs failed: "
        f"{theirs[key].failures[0]}"
        for key in shared
        if len(theirs[key].failures) > len(ours[key].failures)
    ]
    return Compared(comparisons, _notes([(ours[key], theirs[key]) for key in shared]), lost)


def _place(record: Record) -> str:
    return "" if record.place is None else f"{record.place.instances} {record.place.instance_type}"


def _setting(record: Record) -> str:
    return ("serving, " if record.kind == "serving" else "") + label(record)


def _by_setting(records: Sequence[Record], placed: bool) -> dict[tuple[Any, ...], Record]:
    found: dict[tuple[Any, ...], Record] = {}
    for record in records:
        place = _place(record) if placed else ""
        devices = tuple(record.contexts) or record.devices  # auto is cpu where there is no GPU
        key = (record.algorithm, record.kind, devices, record.batch_size, place)
        if key in found:
            raise InputError(f"two records are of one setting: {record.algorithm}, {label(record)}")
        found[key] = record
    return found


def _judged(first: Record, second: Record) -> list[tuple[str, Meaning]]:
    """Figures with their meaning; without those that another target alone makes different."""
    apart = (TO_TARGET, FINAL) if first.objective.target != second.objective.target else ()
    named = [(name, meaning(name, first.objective)) for name in first.summary]
    return [(name, found) for name, found in named if found.compared and name not in apart]


def _compared(
    name: str, first: Record, second: Record, found: Meaning, confidence: float
) -> Comparison:
    a, b = first.values(name), second.values(name)
    before, after = first.summary[name], second.summary.get(name)
    missed = _missing(before), _missing(after)
    ratio = low = high = None
    verdict = UNKNOWN
    if missed[0] != missed[1]:
        verdict = WORSE if missed[1] > missed[0] else BETTER
    elif min((*a, *b), default=0) > 0:
        ratio, low, high = (
            ratio_of(a, b, confidence) if found.higher else ratio_of(b, a, confidence)
        )
        if low is not None and high is not None:
            noise = low <= 1 <= high or abs(ratio - 1) < NOISE
            wide = noise and (low < 1 / TOO_WIDE or high > TOO_WIDE)
            verdict = TOO_UNLIKE if wide else SAME if noise else BETTER if ratio > 1 else WORSE
    elif a == b:
        verdict = SAME
    elif min(len(a), len(b)) > 1:  # of what is 0 or less there is no ratio
        gain, reach = welch_interval(a, b, confidence)
        gain = gain if found.higher else -gain
        verdict = SAME if abs(gain) <= reach else BETTER if gain > 0 else WORSE
    return Comparison(
        setting=f"{second.algorithm}, {_setting(second)}",
        figure=name,
        title=found.title,
        first=before.mean,
        second=after.mean if after is not None else None,
        ratio=ratio,
        low=low,
        high=high,
        verdict=verdict,
    )


def _missing(figure: Figure | None) -> float:
    """The part of the runs that have not got so far."""
    return 1.0 if figure is None else figure.missed / (figure.averaged + figure.dropped)


def ratio_of(
    first: Sequence[float], second: Sequence[float], confidence: float
) -> tuple[float, float | None, float | None]:
    """The ratio of the geometric means of ``second`` to ``first`` (all above 0), and its interval.

    The interval is None where either has one value alone.
    """
    logs = [np.log(values).tolist() for values in (first, second)]
    if min(len(first), len(second)) < 2:
        return _exp(float(np.mean(logs[1]) - np.mean(logs[0]))), None, None
    difference, reach = welch_interval(logs[0], logs[1], confidence)
    return _exp(difference), _exp(difference - reach), _exp(difference + reach)


def _exp(value: float) -> float:
    return math.exp(min(max(value, -MAX_EXPONENT), MAX_EXPONENT))


def _dumped(place: Place | None) -> dict[str, Any]:
    return {} if place is None else place.model_dump()


def _notes(pairs: Sequence[tuple[Record, Record]]) -> list[str]:
    """What differs between A and B besides the figures."""
    notes: dict[str, None] = {}
    for a, b in pairs:
        for what, left, right in (
            ("environment", a.environment, b.environment),
            ("hyperparameter", a.hyperparameters, b.hyperparameters),
            ("data of", a.data, b.data),
            ("objective", a.objective.model_dump(), b.objective.model_dump()),
            ("place", _dumped(a.place), _dumped(b.place)),
            ("", {"algorithm": a.algorithm_version}, {"algorithm": b.algorithm_version}),
            ("", {"distribution": a.distribution}, {"distribution": b.distribution}),
        ):
            for name in dict.fromkeys((*left, *right)):
                if left.get(name) != right.get(name):
                    one, two = (str(side.get(name, "nothing"))[:60] for side in (left, right))
                    notes[f"{what} {name} differs: {one}, then {two}".strip()] = None
    return list(notes)
