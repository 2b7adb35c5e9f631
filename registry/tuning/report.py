"""What a tuning found, for people: Markdown, a page of HTML that holds all, and its pictures."""

from __future__ import annotations

import base64
import html
import importlib.util
import io
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Callable, Sequence

from ...core.errors import MissingDependencyError, OutputError
from .tuner import tests_of, values_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .study import Outcome
    from .tuner import Result, Tuner

COLUMNS = 3
BEST, DEFAULT, OTHER, LEFT = "#d1495b", "#00798c", "#9aa5b1", "#d6dbe1"
STATES = ("complete", "pruned", "failed", "interrupted", "running", "waiting")


NOT_TESTED = (
    "The best was chosen by the very examples that it is judged by here, which flatters it: --test "
    "lets examples judge that no trial was chosen by."
)


def check_report() -> None:
    """Before the work, not after it: raises MissingDependencyError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "the report of a tuning needs matplotlib: pip install 'algoshelf[tune]'"
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
    """``report.md`` with its PNG files, and ``report.html``, which holds everything.

    Raises OutputError where ``folder`` cannot be written.
    """
    pictures = {
        name: _png(figure)
        for name, figure in (
            ("history", _history(tuner, result)),
            ("curves", _curves(tuner, result)),
            ("hyperparameters", _slices(tuner, result)),
            ("seeds", _seeds(tuner, result)),
        )
        if figure is not None
    }
    blocks = list(_blocks(tuner, result, list(pictures)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in CAPTIONS.keys() - pictures.keys():
            (folder / f"{old}.png").unlink(missing_ok=True)
        for name, content in pictures.items():
            (folder / f"{name}.png").write_bytes(content)
        (folder / "report.md").write_text(_markdown(blocks), encoding="utf-8")
        (folder / "report.html").write_text(_page(blocks, pictures), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None


# A block is a heading, a sentence, a table (its first row the headings) or the name of a picture.
Block = tuple[str, Any]
CAPTIONS = {
    "history": "Each trial in its order; the line is the best so far.",
    "curves": "The objective after each epoch; a grey line that ends early was pruned.",
    "hyperparameters": "The objective by each hyperparameter, of the trials that were completed.",
    "seeds": "The same hyperparameters with seeds that no trial had; a grey line joins a seed.",
}


def _blocks(tuner: Tuner, result: Result, pictures: Sequence[str]) -> Any:
    metric = tuner.objective.metric
    yield "title", f"Tuning of {tuner.algorithm.name}"
    yield "text", result.verdict.sentence
    yield "text", result.tested or NOT_TESTED
    if result.over:
        yield "text", f"Not finished: {result.over}."
    counted = ", ".join(f"{count} {state}" for state, count in _counts(result) if count)
    goal = "higher" if tuner.objective.maximize else "lower"
    yield "text", f"Objective: {metric}, the {goal} the better. Trials: {counted}."
    given = ", ".join(f"{name} {value}" for name, value in tuner.plan.fixed.items())
    data = ", ".join(f"{name} {path}" for name, path in tuner.plan.channels.items())
    yield "text", f"Seed {tuner.plan.seed}. Data: {data}." + (f" Fixed: {given}." if given else "")
    arms = [arm for arm in (result.default, result.best) if arm is not None]
    if result.default is not None and result.best is not None:
        yield "heading", "Best and defaults"
        both, default = tuner.settings(result.best), tuner.settings(result.default)
        rows: list[tuple[Any, ...]] = [
            ("", "best", "defaults"),
            ("trial", result.best.number, result.default.number),
        ]
        rows.append((metric, _shown(result.best.value), _shown(result.default.value)))
        seeds = [result.repeats.get(arm, {}) for arm in ("best", "default")]
        for measured, read in ((metric, values_of), (tuner.test_metric, tests_of)):
            values = [read(by_seed) for by_seed in seeds]
            if all(values):
                means = [_shown(mean(each.values())) for each in values]
                rows.append((f"{measured}, mean of {len(values[0])} other seeds", *means))
        rows += [
            (each.name, _shown(both[each.name]), _shown(default[each.name]))
            for each in tuner.plan.ranges
        ]
        yield "table", rows
    for name in pictures:
        yield "picture", name
    if arms:
        yield "heading", "All trials"
        names = [each.name for each in tuner.plan.ranges]
        rows = [("trial", "state", metric, "epochs", "s", *names)]
        for outcome in result.outcomes:
            state = outcome.state + (" (defaults)" if outcome.default else "")
            tried = tuner.settings(outcome) if outcome.default else outcome.params
            chosen = [_shown(tried.get(name)) for name in names]
            rows.append(
                (
                    outcome.number,
                    state,
                    _shown(outcome.value),
                    len(outcome.curve),
                    _shown(outcome.seconds),
                    *chosen,
                )
            )
        yield "table", rows
        failed = [outcome for outcome in result.outcomes if outcome.error]
        for outcome in failed:
            yield "text", f"Trial {outcome.number} failed: {outcome.error}"


def _counts(result: Result) -> list[tuple[str, int]]:
    return [(state, sum(o.state == state for o in result.outcomes)) for state in STATES]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown(blocks: Sequence[Block]) -> str:
    lines: list[str] = []
    for kind, content in blocks:
        if kind == "table":
            head, *rows = [[_cell(cell) for cell in row] for row in content]
            lines += [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
        elif kind == "picture":
            lines.append(f"![{CAPTIONS[content]}]({content}.png)")
        else:
            lines.append({"title": "# ", "heading": "## "}.get(kind, "") + str(content))
        lines.append("")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
div { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; border-bottom: 1px solid #e3e7eb;
  white-space: nowrap; font-variant-numeric: tabular-nums }
figure { margin: 1.5rem 0 } img { max-width: 100% } figcaption { color: #5b6875; font-size: .9rem }
@media print { body { max-width: none; margin: 0 } figure, tr { break-inside: avoid }
  table { font-size: .6rem } div { overflow: visible } }
"""


def _page(blocks: Sequence[Block], pictures: dict[str, bytes]) -> str:
    parts = []
    title = ""
    for kind, content in blocks:
        if kind == "table":
            head, *rows = content
            cells = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)
            body = "".join(
                "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
                for row in rows
            )
            parts.append(f"<div><table><tr>{cells}</tr>{body}</table></div>")
        elif kind == "picture":
            data = base64.b64encode(pictures[content]).decode()
            caption = html.escape(CAPTIONS[content])
            parts.append(
                f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
        else:
            tag = {"title": "h1", "heading": "h2"}.get(kind, "p")
            title = str(content) if kind == "title" else title
            parts.append(f"<{tag}>{html.escape(str(content))}</{tag}>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=140)
    return target.getvalue()


def _figure(rows: int = 1, columns: int = 1, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25)
    return figure, axes


def _completed(result: Result) -> list[tuple[Outcome, float]]:
    """The trials that came to their end, and their values."""
    return [(outcome, outcome.value) for outcome in result.outcomes if outcome.value is not None]


def _colour(outcome: Outcome, result: Result) -> str:
    if outcome.default:
        return DEFAULT
    return BEST if result.best is not None and outcome.number == result.best.number else OTHER


def _label(outcome: Outcome, result: Result) -> str | None:
    if outcome.default:
        return "defaults"
    best = result.best is not None and outcome.number == result.best.number
    return f"best, trial {outcome.number}" if best else None


def _history(tuner: Tuner, result: Result) -> Figure | None:
    from matplotlib.ticker import MaxNLocator

    completed = _completed(result)
    if not completed:
        return None
    figure, (axes,) = _figure()
    choose: Callable[..., Any] = max if tuner.objective.maximize else min
    numbers = [outcome.number for outcome, _ in completed]
    values = [value for _, value in completed]
    best = [choose(values[: place + 1]) for place in range(len(values))]
    axes.step(numbers, best, where="post", color=BEST, linewidth=1.2, zorder=1)
    for outcome, value in completed:
        axes.scatter(
            outcome.number,
            value,
            color=_colour(outcome, result),
            label=_label(outcome, result),
            s=36,
            zorder=2,
        )
    pruned = [o for o in result.outcomes if o.state == "pruned" and o.curve]
    if pruned:
        ends = [list(outcome.curve.values())[-1] for outcome in pruned]
        axes.scatter([o.number for o in pruned], ends, marker="x", color=OTHER, label="pruned")
    axes.set(xlabel="trial", ylabel=tuner.objective.metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def _curves(tuner: Tuner, result: Result) -> Figure | None:
    from matplotlib.ticker import MaxNLocator

    drawn = [outcome for outcome in result.outcomes if len(outcome.curve) > 1]
    if not tuner.prunes or not drawn:
        return None
    figure, (axes,) = _figure()
    for outcome in sorted(drawn, key=lambda o: _label(o, result) is not None):
        colour, label = _colour(outcome, result), _label(outcome, result)
        axes.plot(
            list(outcome.curve),
            list(outcome.curve.values()),
            color=colour if label else LEFT if outcome.value is None else OTHER,
            linewidth=2.2 if label else 1,
            label=label,
            zorder=3 if label else 2,
        )
    axes.set(xlabel="epoch", ylabel=tuner.objective.metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def _slices(tuner: Tuner, result: Result) -> Figure | None:
    completed = _completed(result)
    ranges = tuner.plan.ranges
    if len(completed) < 2:
        return None
    rows = -(-len(ranges) // COLUMNS)
    columns = min(COLUMNS, len(ranges))
    figure, axes = _figure(rows, columns, 2.6 * rows)
    for each, place in zip(ranges, axes):
        counted = each.kind == "choice"
        for outcome, value in completed:
            if each.name not in outcome.params:
                continue
            tried = outcome.params[each.name]
            place.scatter(
                each.choices.index(tried) if counted else tried,
                value,
                color=_colour(outcome, result),
                s=26,
                zorder=3 if _label(outcome, result) else 2,
            )
        if counted:
            names = [str(choice) for choice in each.choices]
            place.set_xticks(range(len(names)), names, fontsize=8)
            place.set_xlim(-0.5, len(each.choices) - 0.5)
        elif each.log:
            place.set_xscale("log")
        place.set_xlabel(each.name)
    for unused in axes[len(ranges) :]:
        unused.set_visible(False)
    figure.supylabel(tuner.objective.metric)
    return figure


def _seeds(tuner: Tuner, result: Result) -> Figure | None:
    default, best = (values_of(result.repeats.get(arm, {})) for arm in ("default", "best"))
    shared = sorted(default.keys() & best.keys())
    if not shared:
        return None
    figure, (axes,) = _figure(height=3.0)
    for seed in shared:
        axes.plot([default[seed], best[seed]], [0, 1], color=LEFT, zorder=1)
    for height, values, colour in ((0, default, DEFAULT), (1, best, BEST)):
        shown = [values[seed] for seed in shared]
        axes.scatter(shown, [height] * len(shown), color=colour, s=36, zorder=2)
        axes.scatter([mean(shown)], [height], marker="|", s=700, color=colour, zorder=3)
    number = result.best.number if result.best is not None else ""
    axes.set_yticks([0, 1], ["defaults", f"trial {number}"])
    axes.set_ylim(-0.5, 1.5)
    axes.set(xlabel=f"{tuner.objective.metric}; a bar is the mean")
    return figure
