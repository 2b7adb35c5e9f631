"""What one test has found: a line of the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Sequence

from .distributions import holm
from .two_samples import Tested

# The level at which a schedule is alarmed: the probability of any false alarm in one comparison.
ALPHA = 0.01
# Effects below it count for nothing, however certain: of large samples everything is.
LEAST_EFFECT = 0.05
DRIFT, SLIGHT, SAME, BETTER = "drift", "slight", "no drift", "better"
INPUT, ANSWER, METRIC = "input", "answer", "metric"


@dataclass(frozen=True)
class Change:
    """One test: ``subject`` is what was compared, ``part`` INPUT, ANSWER or METRIC.

    ``effect`` is from 0 to 1 and called ``measure``; ``baseline`` and ``current`` say in words what
    was and what is. ``adjusted`` is ``p`` corrected for all tests of the comparison.
    """

    part: str
    subject: str
    test: str
    measure: str
    effect: float
    p: float
    baseline: str
    current: str
    psi: float | None = None
    detail: str = ""
    adjusted: float = 1.0
    verdict: str = SAME

    @classmethod
    def of(cls, tested: Tested, **told: Any) -> Change:
        return cls(effect=tested.effect, p=tested.p, psi=tested.psi, **told)


def judged(changes: Sequence[Change], alpha: float) -> list[Change]:
    """``changes`` with their adjusted p-values and verdicts, those that matter most first."""
    adjusted = holm([each.p for each in changes])
    found = []
    for each, p in zip(changes, adjusted):
        verdict = SAME
        if p < alpha:
            verdict = DRIFT if each.effect >= LEAST_EFFECT else SLIGHT
            if each.part == METRIC:
                verdict = BETTER if each.detail == BETTER else DRIFT
        found.append(replace(each, adjusted=p, verdict=verdict))
    rank = {DRIFT: 0, BETTER: 1, SLIGHT: 2, SAME: 3}
    order = {METRIC: 0, ANSWER: 1, INPUT: 2}
    return sorted(found, key=lambda c: (rank[c.verdict], order[c.part], c.adjusted, -c.effect))
