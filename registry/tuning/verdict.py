"""Decide whether the best trial is better than the defaults, or only lucky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from ...core.algorithm.base import Objective
from ..statistics import mean_interval
from .study import Outcome

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """``better``, ``as good``, ``worse`` or ``unknown``; a sentence that says why.

    ``difference`` is best minus defaults over the same seeds, ``interval`` its 95 % confidence
    interval; None where it was not measured.
    """

    finding: str
    sentence: str
    difference: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def keeps_default(self) -> bool:
        return self.finding == "worse" or (self.finding == "as good" and self._is_behind)

    _is_behind: bool = False


def compare(
    objective: Objective,
    best: Outcome | None,
    default: Outcome | None,
    of_default: Mapping[int, Outcome],
    of_best: Mapping[int, Outcome],
) -> Verdict:
    """The verdict by ``of_default`` and ``of_best``: what came of seeds that no trial had.

    The trials' own seed is left out: by it the best was chosen, so it flatters the best. One that
    fails with another seed is worse, whatever the seeds say with which it did not.
    """
    if best is None or default is None:
        return Verdict("unknown", "Too few trials were completed to compare with the defaults.")
    if best.default:
        return Verdict("as good", "No trial was better than the defaults: keep the defaults.")
    failed = [each.error for each in of_best.values() if each.error]
    if failed:
        return Verdict(
            "worse",
            f"Trial {best.number} failed with {len(failed)} of {len(of_best)} other seeds "
            f"({failed[0]}). The model is that of the defaults.",
        )
    ours, theirs = values_of(of_best), values_of(of_default)
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if len(differences) < 2:
        gain = (best.value or 0.0) - (default.value or 0.0)
        return Verdict(
            "unknown",
            f"Trial {best.number} differs from the defaults by {gain:+.4g}, with one seed: that "
            "may be luck. Let --repeats train both with other seeds.",
        )
    return _tested(objective, best, differences)


def values_of(outcomes: Mapping[int, Outcome]) -> dict[int, float]:
    """The objective by seed, of those that have one."""
    return {seed: each.value for seed, each in outcomes.items() if each.value is not None}


def tests_of(outcomes: Mapping[int, Outcome]) -> dict[int, float]:
    """The figure of the test channel by seed, of those that have one."""
    return {seed: each.test for seed, each in outcomes.items() if each.test is not None}


def on_test(metric: str, of_default: Mapping[int, Outcome], of_best: Mapping[int, Outcome]) -> str:
    """What the test channel says, by which nothing was chosen; empty without two seeds of it."""
    ours, theirs = tests_of(of_best), tests_of(of_default)
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if len(differences) < 2:
        return ""
    middle, interval = _difference(differences)
    return f"On the test channel, which chose nothing: {_said(metric, middle, interval)}."


def _difference(differences: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The mean and its confidence interval."""
    middle, reach = mean_interval(differences, CONFIDENCE)
    return middle, (middle - reach, middle + reach)


def _said(metric: str, middle: float, interval: tuple[float, float]) -> str:
    return (
        f"{metric} {middle:+.4g} against the defaults "
        f"(95 % confidence: {interval[0]:+.4g} to {interval[1]:+.4g})"
    )


def _tested(objective: Objective, best: Outcome, differences: list[float]) -> Verdict:
    """A paired t-test over seeds: each has its order of examples and its held-out part."""
    middle, interval = _difference(differences)
    sign = 1 if objective.maximize else -1
    ends = sorted((sign * interval[0], sign * interval[1]))
    measured = f"over {len(differences)} other seeds " + _said(objective.metric, middle, interval)
    if ends[0] > 0:
        return Verdict("better", f"Trial {best.number} is better: {measured}.", middle, interval)
    if ends[1] < 0:
        return Verdict(
            "worse",
            f"Trial {best.number} was lucky with its seed, and is worse: {measured}. The model is "
            "that of the defaults.",
            middle,
            interval,
        )
    behind = sign * middle < 0
    kept = "the defaults" if behind else f"trial {best.number}"
    return Verdict(
        "as good",
        f"The defaults are as good, as far as can be told: for trial {best.number} {measured}. "
        f"The model is that of {kept}.",
        middle,
        interval,
        behind,
    )
