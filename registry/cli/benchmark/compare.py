"""``benchmark compare A B …``: is one measurement better, or is it noise?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ....core.runtime.errors import InputError
from ..flags import ABOVE_0
from ..output import console, json_option, print_json, print_table, say


@click.command()
@click.argument("measured", nargs=-1, required=True, metavar="A B …")
@click.option(
    "--fail-below",
    type=ABOVE_0,
    metavar="RATIO",
    help="Exit with code 1 if a figure of B is worse than this ratio, such as 0.95, and the "
    "difference is not noise.",
)
@json_option
def compare(measured: tuple[str, ...], fail_below: float | None, as_json: bool) -> None:
    """Compare the measurements B … with A: folders that `benchmark NAME` wrote, or results.jsonl.

    Each figure of B is compared with that of A by a ratio: above 1, B is better. The confidence
    intervals hold with 95 % for all figures together. "no difference" means that the interval
    contains 1, or that the difference is below 3 %.
    """
    from ...benchmark import compare as comparing
    from ...benchmark.results_file import read

    if len(measured) < 2:
        raise InputError("expected at least two measurements, A and B")
    first = read(Path(measured[0]))
    documents, failing = [], []
    for name in measured[1:]:
        found = comparing.compare(first, read(Path(name)))
        reasons = [] if fail_below is None else found.failing(fail_below)
        failing += [f"{name}: {reason}" for reason in reasons]
        documents.append(
            {
                "first": measured[0],
                "second": name,
                "comparisons": [each.to_dict() for each in found.comparisons],
                "notes": found.notes,
                "lost": found.lost,
                "failing": reasons,
            }
        )
        if not as_json:
            _show_compared(measured[0], name, found)
    if as_json:
        print_json({"compared": documents, "fail_below": fail_below})
    if failing:
        say("\n".join([f"error: worse than {fail_below:g}:", *failing]))
        sys.exit(1)


def _show_compared(first: str, second: str, found: Any) -> None:
    from ...benchmark.figures import FIGURES, Meaning

    click.echo(f"{second} beside {first}; above 1 is better")
    rows = []
    for each in found.comparisons:
        known = FIGURES.get(each.figure.partition("@")[0], Meaning(each.title))
        interval = f"{each.low:.3f} … {each.high:.3f}" if each.low is not None else "–"
        ratio = "–" if each.ratio is None else f"{each.ratio:.3f}"
        values = (known.written(each.first), known.written(each.second))
        rows.append([each.setting, each.title, *values, ratio, interval, each.verdict])
    headings = ["setting", "figure", "A", "B", "ratio", "interval", ""]
    print_table(console(), headings, rows)
    for note in (*found.notes, *found.lost):
        click.echo(f"note: {note}", err=True)
