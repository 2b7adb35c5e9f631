"""The report of a comparison: the sentence that says it, its table, and the page of HTML."""

from __future__ import annotations

from html import escape

from ...core.drift.changes import DRIFT, METRIC, SAME, SLIGHT, Change
from ...core.drift.comparing import Report
from ...core.pages import Table, document, drawing, figure, table

HEADINGS = ("what", "verdict", "effect", "p", "baseline", "current")
SHOWN = 25  # rows on a terminal
DRAWN = 10  # bars
RULES = (
    "p is the probability of such a difference by chance, corrected for the number of tests by "
    "Holm's rule: below {alpha:g} it is no chance. An effect is 0 where nothing has changed and 1 "
    "where nothing is as it was; what is certain, but below 0.05, is called slight, and is no "
    "drift. Of numbers the effect is the largest distance of the two distributions (Kolmogorov and "
    "Smirnov's D), and PSI is the population stability index: below 0.1 little, above 0.25 much "
    "has changed. Of categories it is the share of examples that are in another one."
)


def sentence(report: Report) -> str:
    """What was found, in one or two sentences."""
    found = [each for each in report.changes if each.verdict == DRIFT]
    tests = f"{len(report.changes)} test{'s' * (len(report.changes) > 1)}"
    if not found:
        slight = sum(each.verdict == SLIGHT for each in report.changes)
        more = f"; {slight} slight change{'s' * (slight > 1)}" if slight else ""
        return f"No drift: {tests}, and no difference that is more than chance{more}."
    listed = "; ".join(f"{title(each)}: {_told(each)}" for each in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Drift: {len(found)} of {tests} found a change: {listed}{more}."


def _told(change: Change) -> str:
    if not change.baseline:
        return change.current
    return f"{change.baseline}, now {change.current}"


def title(change: Change) -> str:
    """What was compared: ``input age``."""
    return f"{change.part} {change.subject}"


def rows(report: Report) -> list[list[str]]:
    """A row for each test, by HEADINGS."""
    return [
        [
            title(each),
            f"{each.verdict} ({each.detail})" if _is_worse(each) else each.verdict,
            _effect(each),
            f"{each.adjusted:.2g}",
            each.baseline,
            each.current,
        ]
        for each in report.changes
    ]


def details(report: Report) -> list[str]:
    """What is to be said of single tests, a sentence each."""
    said = [each for each in report.changes if each.detail and each.part != METRIC]
    return [f"{title(each)}: {each.detail}" for each in said if each.verdict != SAME]


def _is_worse(change: Change) -> bool:
    return change.part == METRIC and change.verdict == DRIFT


def _effect(change: Change) -> str:
    if change.part == METRIC:
        return f"{change.effect:.3g}"
    psi = f", PSI {change.psi:.2f}" if change.psi is not None else ""
    return f"{change.effect:.3f}{psi}"


def sizes(report: Report) -> str:
    """How many examples either side has."""
    first, second = report.baseline, report.current
    return f"{len(second):,} examples of {second.path} beside {len(first):,} of {first.path}."


def page(report: Report, model: str) -> str:
    """One page of HTML with everything in it."""
    drawn = [each for each in report.changes if each.part != METRIC][:DRAWN]
    bars = [(title(each)[:48], each.effect, ()) for each in drawn]
    caption = f"0: nothing has changed. The {len(bars)} that matter most."
    body = [
        f'<p class="best">{escape(sentence(report))}</p>',
        f"<p>Model {escape(model)}: {escape(sizes(report))}</p>",
        table(Table(HEADINGS, rows(report))),
    ]
    if bars:
        svg = drawing.bars(bars, "effect", "effects")
        body.append(f'<div class="plots">{figure("Effects", svg, caption=caption)}</div>')
    for heading, told in (("Details", details(report)), ("Notes", report.notes)):
        if told:
            items = "".join(f"<li>{escape(each)}</li>" for each in told)
            body.append(f"<h2>{heading}</h2><ul>{items}</ul>")
    body.append(f"<p>{escape(RULES.format(alpha=report.alpha))}</p>")
    return document("Drift", body)
