"""The report of a tuning: one HTML page with plots, and Markdown."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Callable, Iterator

from ...core import pages
from ...core.pages import Table, drawing
from ...core.pages.drawing import Axis, Series
from ..files import write_text
from .verdict import tests_of, values_of

if TYPE_CHECKING:
    from ...core.algorithm.search_space import Range
    from .study import Outcome
    from .tuner import Result, Tuner

MARKDOWN, PAGE = "report.md", "report.html"
DEFAULTS, BEST, OTHERS, PRUNED = 0, 1, 7, 4  # colours of the page
STATES = ("complete", "pruned", "failed", "interrupted", "running", "waiting")
NOT_TESTED = (
    "The best trial was chosen by the examples that measure it here, so its value is "
    "optimistic; give --test to measure it on examples that chose nothing."
)


def document(tuner: Tuner, result: Result) -> dict[str, Any]:
    """All that was found, in JSON types."""

    def told(outcome: Outcome | None) -> dict[str, Any] | None:
        if outcome is None:
            return None
        return {
            "trial": outcome.number,
            "value": outcome.value,
            "hyperparameters": tuner.settings(outcome),
        }

    plan = tuner.plan
    return {
        "algorithm": tuner.algorithm.name,
        "objective": asdict(tuner.objective),
        "seed": plan.seed,
        "channels": {name: str(path) for name, path in plan.channels.items()},
        "fixed": dict(plan.fixed),
        "ranges": [asdict(each) for each in plan.ranges],
        "counts": {state: count for state, count in _counts(result) if count},
        "best": told(result.best),
        "default": told(result.default),
        "chosen": told(result.chosen),
        "repeats": {
            arm: {seed: {"value": each.value, "test": each.test} for seed, each in by_seed.items()}
            for arm, by_seed in result.repeats.items()
        },
        "tested": result.tested,
        "verdict": {
            "finding": result.verdict.finding,
            "sentence": result.verdict.sentence,
            "difference": result.verdict.difference,
            "interval": result.verdict.interval,
        },
        "ended": result.over or "all trials are done",
        "trials": [asdict(outcome) for outcome in result.outcomes],
    }


def write_report(tuner: Tuner, result: Result, folder: Path) -> None:
    """Write ``report.md`` and ``report.html`` into ``folder``. Raises OutputError."""
    write_text(folder / MARKDOWN, _markdown(tuner, result))
    write_text(folder / PAGE, _page(tuner, result))


def _title(tuner: Tuner) -> str:
    return f"Tuning of {tuner.algorithm.name}"


def _markdown(tuner: Tuner, result: Result) -> str:
    parts = [f"# {_title(tuner)}", *_told(tuner, result)]
    arms = _arms(tuner, result)
    if arms is not None:
        parts += ["## Best and defaults", pages.markdown_table(arms)]
    parts += ["## All trials", pages.markdown_table(_trials(tuner, result)), *_failures(result)]
    return "\n\n".join(parts) + "\n"


def _page(tuner: Tuner, result: Result) -> str:
    verdict, *told = _told(tuner, result)
    body = [f'<p class="best">{escape(verdict)}</p>', *(f"<p>{escape(text)}</p>" for text in told)]
    arms = _arms(tuner, result)
    if arms is not None:
        body += ["<h2>Best and defaults</h2>", pages.table(arms)]
    plots = [_history(tuner, result), _curves(tuner, result), _seeds(tuner, result)]
    body.append(f'<div class="plots">{"".join(plots)}</div>')
    slices = "".join(_slices(tuner, result))
    if slices:
        body += [
            "<h2>By each hyperparameter</h2>",
            "<p>Completed trials; they also differ in the other hyperparameters.</p>",
            f'<div class="plots">{slices}</div>',
        ]
    body += ["<h2>All trials</h2>", pages.table(_trials(tuner, result))]
    body += [f"<p>{escape(text)}</p>" for text in _failures(result)]
    return pages.document(_title(tuner), body)


def _told(tuner: Tuner, result: Result) -> Iterator[str]:
    plan = tuner.plan
    yield result.verdict.sentence
    if result.best is not None and not result.best.default:
        yield result.tested or NOT_TESTED
    if result.over:
        yield f"Not finished: {result.over}."
    counted = ", ".join(f"{count} {state}" for state, count in _counts(result) if count)
    goal = "higher" if tuner.objective.maximize else "lower"
    given = ", ".join(f"{name} {value}" for name, value in plan.fixed.items())
    # A page is shown to others: where the data lay is nobody's business.
    data = ", ".join(f"{channel} {path.name}" for channel, path in plan.channels.items())
    yield (
        f"Objective: {tuner.objective.metric}, the {goal} the better. Trials: {counted}. Seed "
        f"{plan.seed}. Data: {data}." + (f" Fixed: {given}." if given else "")
    )


def _arms(tuner: Tuner, result: Result) -> Table | None:
    """The best beside the defaults; None before there are both."""
    if result.default is None or result.best is None:
        return None
    metric = tuner.objective.metric
    both, default = tuner.settings(result.best), tuner.settings(result.default)
    rows = [
        ["trial", str(result.best.number), str(result.default.number)],
        [metric, _shown(result.best.value), _shown(result.default.value)],
    ]
    repeats = [result.repeats.get(arm, {}) for arm in ("best", "default")]
    for measured, read in ((metric, values_of), (tuner.test_metric, tests_of)):
        ours, theirs = map(read, repeats)
        shared = ours.keys() & theirs.keys()
        if shared:
            means = [_shown(mean(arm[seed] for seed in shared)) for arm in (ours, theirs)]
            rows.append([f"{measured}, mean of {len(shared)} other seeds", *means])
    rows += [
        [each.name, _shown(both[each.name]), _shown(default[each.name])]
        for each in tuner.plan.ranges
    ]
    return Table(["", "best", "defaults"], rows)


def _trials(tuner: Tuner, result: Result) -> Table:
    names = [each.name for each in tuner.plan.ranges]
    rows = []
    for outcome in result.outcomes:
        state = outcome.state + (" (defaults)" if outcome.default else "")
        tried = tuner.settings(outcome) if outcome.default else outcome.params
        measured = [_shown(outcome.value), str(len(outcome.curve)), _shown(outcome.seconds)]
        rows.append(
            [f"trial {outcome.number}", state, *measured, *(_shown(tried.get(n)) for n in names)]
        )
    return Table(["trial", "state", tuner.objective.metric, "epochs", "s", *names], rows)


def _failures(result: Result) -> list[str]:
    told = [f"Trial {each.number} failed: {each.error}" for each in result.outcomes if each.error]
    for arm, by_seed in result.repeats.items():
        name = "The best" if arm == "best" else "The defaults"
        failed = {seed: each.error for seed, each in by_seed.items() if each.error}
        told += [f"{name} failed with seed {seed}: {error}" for seed, error in failed.items()]
    return told


def _counts(result: Result) -> list[tuple[str, int]]:
    return [(state, sum(o.state == state for o in result.outcomes)) for state in STATES]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# Plots


def _completed(result: Result) -> list[tuple[Outcome, float]]:
    """The trials that came to their end, and their values."""
    return [(outcome, outcome.value) for outcome in result.outcomes if outcome.value is not None]


def _by_kind(result: Result, line: Callable[[Outcome], list[tuple[float, float]]]) -> list[Series]:
    """``line`` of each trial: the others, over them the defaults, over them the best.

    A trial whose line is empty is left out.
    """
    best = result.best.number if result.best is not None else None
    kinds: dict[tuple[str, int], list[list[tuple[float, float]]]] = {
        ("pruned", PRUNED): [],
        ("others", OTHERS): [],
        ("defaults", DEFAULTS): [],
        (f"best, trial {best}", BEST): [],
    }
    pruned, others, defaults, chosen = kinds.values()
    for outcome in result.outcomes:
        drawn = line(outcome)
        kind = pruned if outcome.state == "pruned" else others
        kind = defaults if outcome.default else chosen if outcome.number == best else kind
        kind += [drawn] * bool(drawn)
    return [Series(name, drawn, colour) for (name, colour), drawn in kinds.items() if drawn]


def _history(tuner: Tuner, result: Result) -> str:
    completed = _completed(result)
    if not completed:
        return ""

    def point(outcome: Outcome) -> list[tuple[float, float]]:
        reached = outcome.value
        if reached is None and outcome.state == "pruned" and outcome.curve:
            reached = list(outcome.curve.values())[-1]
        return [] if reached is None else [(outcome.number, reached)]

    choose = max if tuner.objective.maximize else min
    steps: list[tuple[float, float]] = []
    for outcome, value in completed:
        before = steps[-1][1] if steps else value
        steps += [(outcome.number, before), (outcome.number, choose(before, value))]
    series = [Series("best so far", [steps], BEST), *_by_kind(result, point)]
    x, y = Axis("trial", counted=True), Axis(tuner.objective.metric)
    return pages.figure("Trials in their order", drawing.lines(series, x, y, "trials"), series)


def _curves(tuner: Tuner, result: Result) -> str:
    def curve(outcome: Outcome) -> list[tuple[float, float]]:
        points = [(float(epoch), value) for epoch, value in outcome.curve.items()]
        return points if len(points) > 1 else []

    series = _by_kind(result, curve)
    if not tuner.prunes or not series:
        return ""
    x, y = Axis("epoch", counted=True), Axis(tuner.objective.metric)
    return pages.figure("After each epoch", drawing.lines(series, x, y, "curves"), series)


def _seeds(tuner: Tuner, result: Result) -> str:
    default, best = (values_of(result.repeats.get(arm, {})) for arm in ("default", "best"))
    shared = sorted(default.keys() & best.keys())
    if not shared or result.best is None:
        return ""
    pairs = [[(0.0, default[seed]), (1.0, best[seed])] for seed in shared]
    means = [(float(arm), mean(pair[arm][1] for pair in pairs)) for arm in (0, 1)]
    series = [Series("a seed", pairs, OTHERS, dots=True), Series("mean", [means], BEST, dots=True)]
    x = Axis("", labels=("defaults", f"best, trial {result.best.number}"))
    drawn = drawing.lines(series, x, Axis(tuner.objective.metric), "other seeds")
    return pages.figure("With seeds that no trial had", drawn, series)


def _slices(tuner: Tuner, result: Result) -> Iterator[str]:
    """A plot a hyperparameter."""
    if len(_completed(result)) < 2:
        return
    for each in tuner.plan.ranges:

        def point(outcome: Outcome, each: Range = each) -> list[tuple[float, float]]:
            tried = (tuner.settings(outcome) if outcome.default else outcome.params).get(each.name)
            if outcome.value is None or tried is None or tried not in each:
                return []  # where the defaults lie outside of what was searched
            place = each.choices.index(tried) if each.kind == "choice" else tried
            return [(place, outcome.value)]

        series = _by_kind(result, point)
        if series:
            whole = each.kind == "int"
            labels = [str(choice) for choice in each.choices]
            x = Axis(each.name, counted=whole, log=each.log, labels=labels)
            drawn = drawing.lines(series, x, Axis(tuner.objective.metric), each.name)
            yield pages.figure(each.name, drawn, series)
