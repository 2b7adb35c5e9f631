"""``sagemaker recommend MODEL``: the cheapest instances for a load, worked out and shown."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from ....core.runtime.errors import InputError
from ...benchmark import recommend as advice
from ...benchmark import serving
from ..flags import ABOVE_0, DURATION, PATH, Parsed
from ..output import console, json_option, print_json, print_table, say
from .cost import DEFAULT_REGION, REGION_VARIABLE

CONNECTIONS = (1, 2, 4, 8, 16, 32)
SHOWN = 5


def _parse_percent(text: str) -> float:
    value = float(text.rstrip("%"))
    if not 0 <= value < 100:
        raise ValueError(text)
    return value / 100


@click.command()
@click.argument("model", type=PATH)
@click.option(
    "--latency", type=DURATION, required=True,
    help="The time within which 99 of 100 answers have to be there, such as 100ms.",
)  # fmt: skip
@click.option(
    "--rps", type=ABOVE_0, required=True, help="The requests a second that have to be answered.",
)  # fmt: skip
@click.option(
    "--headroom", type=Parsed("percent", _parse_percent, "a percentage from 0 to 99"),
    default=f"{advice.HEADROOM:.0%}", show_default=True,
    help="The part of the capacity that stays free, for peaks.",
)  # fmt: skip
@click.option(
    "--seconds", type=ABOVE_0, default="3", show_default=True,
    help="Seconds for which each number of simultaneous connections is measured.",
)  # fmt: skip
@click.option(
    "--measured", type=PATH, metavar="FILE",
    help="Measure nothing: take the measurement from FILE, which --json has written.",
)  # fmt: skip
@click.option(
    "--region", metavar="REGION",
    help=f"The AWS region. [default: ${REGION_VARIABLE}, or {DEFAULT_REGION}]",
)  # fmt: skip
@json_option
def recommend(
    model: Path,
    latency: float,
    rps: float,
    headroom: float,
    seconds: float,
    measured: Path | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Name the cheapest instances that answer --rps requests a second with MODEL within --latency.

    MODEL, a folder written by `algoshelf train`, is served and put under load on this machine,
    where nothing else should run meanwhile. What that measures is scaled to the instance types with
    a known price; each step is shown.
    """
    region = region or os.environ.get(REGION_VARIABLE) or DEFAULT_REGION
    if measured is None:
        found = serving.capacity(model, connections=CONNECTIONS, seconds=seconds, tell=say)
    else:
        found = _read(measured)
    wanted = advice.Wanted(latency, rps, headroom)
    answer = advice.answer(found, wanted, region)
    lines = advice.steps(found, wanted, answer, region)
    if as_json:
        print_json(
            {
                "region": region,
                "latency_seconds": latency,
                "requests_per_second": rps,
                "headroom": headroom,
                "recommended": answer.choices[0].summary(wanted),
                "choices": [each.summary(wanted) for each in answer.choices],
                "steps": lines,
                "assumed": advice.ASSUMED,
                "left_out": answer.left_out,
                "measured": asdict(found),
            }
        )
        return
    for number, line in enumerate(lines, 1):
        click.echo(f"{number}. {line}")
    click.echo("\nAssumed, not measured:")
    for line in advice.ASSUMED:
        click.echo(f"- {line}")
    _print_choices(answer, wanted)
    best = answer.choices[0]
    click.echo(
        f"\nalgoshelf sagemaker deploy {model} --image YOUR-IMAGE --instance {best.instance.name} "
        f"--count {best.count} --region {region}"
    )


def _print_choices(answer: advice.Answer, wanted: advice.Wanted) -> None:
    headings = (
        "instance",
        "count",
        "vCPUs",
        "GiB",
        "requests/s each",
        "load",
        "USD/hour",
        "USD/month",
    )
    rows = [
        [
            each.instance.name,
            str(each.count),
            str(each.instance.vcpus),
            f"{each.instance.memory:g}",
            f"{each.rate:,.0f}",
            f"{each.load(wanted.rps):.0%}",
            f"{each.usd:,.3f}",
            f"{each.usd * advice.HOURS_A_MONTH:,.0f}",
        ]
        for each in answer.choices[:SHOWN]
    ]
    click.echo()
    print_table(console(), headings, rows)
    told = "; ".join(f"{count} types: {reason}" for reason, count in answer.left_out.items())
    if told:
        click.echo(f"Not considered: {told}.")
    if answer.choices[0].count == 1:
        click.echo("One instance is a single point of failure: --count 2 keeps on if one fails.")


def _read(path: Path) -> serving.Capacity:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
        return serving.Capacity.read(json.dumps(document.get("measured", document)))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"--measured {path}: {getattr(error, 'strerror', None) or error}"
        ) from None
