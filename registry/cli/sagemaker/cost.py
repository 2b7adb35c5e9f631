"""``sagemaker cost``: prices of instances per hour, and the highest cost of a job."""

from __future__ import annotations

import math
import os
from typing import Any, Mapping

import click

from ...aws import instances, prices
from ...aws.instances import ENDPOINT, TRAINING, TRANSFORM, USES, Instance
from ...aws.prices import Price
from ..flags import DURATION, whole
from ..output import console, json_option, print_json, print_table

DEFAULT_REGION = "us-east-1"
REGION_VARIABLE = "AWS_DEFAULT_REGION"  # as boto3


@click.command()
@click.argument("names", nargs=-1, metavar="[INSTANCE ...]")
@click.option(
    "--region", metavar="REGION",
    help=f"The AWS region. [default: ${REGION_VARIABLE}, or {DEFAULT_REGION}]",
)  # fmt: skip
@click.option(
    "--profile", metavar="NAME",
    help="With --refresh: the profile of your AWS configuration to sign in with.",
)  # fmt: skip
@click.option(
    "--hosts", type=whole(1), default=1, show_default=True,
    help="The number of instances in the worst case.",
)  # fmt: skip
@click.option(
    "--max-run", type=DURATION, default="1h", show_default=True,
    help="The time that they run in the worst case, such as 90m or 8h.",
)  # fmt: skip
@click.option(
    "--refresh", is_flag=True,
    help="First read the prices of the region from AWS, with your credentials.",
)  # fmt: skip
@json_option
def cost(
    names: tuple[str, ...],
    region: str | None,
    profile: str | None,
    hosts: int,
    max_run: float,
    refresh: bool,
    as_json: bool,
) -> None:
    """Show what each INSTANCE type costs in USD an hour, and in the worst case.

    Without INSTANCE, all types with a known price are shown. In the worst case, all --hosts run
    for --max-run. Storage and traffic are billed on top. --refresh asks AWS for unknown prices.
    """
    chosen = [instances.find(name) for name in names]
    if refresh:
        region = _refresh(region, profile)
    region = region or os.environ.get(REGION_VARIABLE) or DEFAULT_REGION
    known = prices.of_region(region)
    if not names:
        chosen = [one for one in instances.known() if one.name in known and not one.obstacle]
    rows = [_row(instance, known.get(instance.name, {}), hosts, max_run) for instance in chosen]
    if as_json:
        print_json(
            {
                "region": region,
                "currency": "USD",
                "hosts": hosts,
                "max_run_seconds": max_run,
                "instances": rows,
                "spot": prices.SPOT,
            }
        )
    else:
        _print(rows, region, hosts, max_run)


def _refresh(region: str | None, profile: str | None) -> str:
    """Read AWS's list for the region, and say which one that is."""
    from ...aws.account import Account, explained

    account = Account(region=region, profile=profile)
    with explained():
        client = account.boto.client("pricing", region_name=prices.API_REGION)
        count = prices.refresh(client, account.region)
    click.echo(f"{count} prices of {account.region} are in {prices.cache_path()}", err=True)
    return account.region


def _row(
    instance: Instance, known: Mapping[str, Price], hosts: int, max_run: float
) -> dict[str, Any]:
    found = {use: known.get(use) for use in USES}
    return {
        "name": instance.name,
        "vcpus": instance.vcpus,
        "memory_gib": instance.memory,
        "gpu": instance.accelerator or None,
        "gpus": instance.accelerators,
        "uses": sorted(instance.uses),
        "refused": instance.obstacle or None,
        "note": instance.note or None,
        "prices": {
            use: price
            and {
                "usd_per_hour": price.usd,
                "worst_case_usd": round(price.worst_case(max_run, hosts), 4),
                "source": price.source,
                "date": price.date or None,
            }
            for use, price in found.items()
        },
    }


def _print(rows: list[dict[str, Any]], region: str, hosts: int, max_run: float) -> None:
    if not rows:
        click.echo(
            f"{region}: no price is known; there are some of {', '.join(prices.regions())}; "
            "--refresh asks AWS for this region",
            err=True,
        )
        return
    worst = f"at most, {hosts} × {max_run / 3600:g} h"
    headings = ("instance", "vCPUs", "GiB", "GPUs", *USES, worst, "as of")
    print_table(console(), headings, [_cells(row) for row in rows])
    for row in rows:
        for kind in ("refused", "note"):
            if row[kind]:
                click.echo(f"{row['name']}: {row[kind]}", err=True)
    click.echo(f"USD an hour in {region}; ? is unknown, - is not offered; {prices.SPOT}", err=True)


def _cells(row: dict[str, Any]) -> list[str]:
    found = [price for price in row["prices"].values() if price]
    worst = max((price["worst_case_usd"] for price in found), default=None)
    oldest = min((price["date"] or "" for price in found), default="?")
    gpus = f"{row['gpus']} × {row['gpu']}" if row["gpus"] else "-"
    return [
        row["name"],
        str(row["vcpus"]),
        f"{row['memory_gib']:g}",
        gpus,
        *(_hourly(row, use) for use in (TRAINING, ENDPOINT, TRANSFORM)),
        "?" if worst is None else f"{math.ceil(worst * 100) / 100:,.2f}",
        oldest or "undated",
    ]


def _hourly(row: dict[str, Any], use: str) -> str:
    price = row["prices"][use]
    if price:
        return f"{price['usd_per_hour']:.4f}"
    return "?" if use in row["uses"] else "-"
