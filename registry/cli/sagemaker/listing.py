"""``sagemaker list``: what is billed now."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import click

from ...aws import inventory
from ...aws.inventory import Item
from ..flags import account_options
from ..output import console, json_option, print_json, print_table
from .common import account
from .endpoints import iso


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Also show what algoshelf did not make.")
@account_options
@json_option
def list_(everything: bool, region: str | None, profile: str | None, as_json: bool) -> None:
    """Show what is billed now: the endpoints and running jobs of one region.

    The prices are those of the instances; volumes, storage and traffic are billed on top.
    """
    with account(region, profile, False) as acting:
        items = inventory.billing(acting, foreign=everything)
    usd, unknown = inventory.total(items)
    if as_json:
        print_json(
            {
                "region": acting.region,
                "items": [_document(item) for item in items],
                "price_per_hour": None if unknown else usd,
                "known_price_per_hour": usd,
                "unknown_prices": unknown,
            }
        )
        return
    if not items:
        whose = "" if everything else " of algoshelf's"
        click.echo(f"nothing{whose} is billed in {acting.region} now")
        return
    headings = ["NAME", "KIND", "STATUS", "AGE", "RUNS ON", "USD/HOUR", "EXPIRES", "ALGORITHM"]
    print_table(console(), headings, [_row(item) for item in items])
    known = f"{usd:,.3f} USD an hour in {acting.region}"
    click.echo(f"\nmore than {known}: {unknown} of unknown price" if unknown else f"\n{known}")


def _document(item: Item) -> dict[str, Any]:
    return {
        "name": item.name,
        "kind": item.kind,
        "status": item.status,
        "created": iso(item.created),
        "runs_on": item.runs_on,
        "price_per_hour": item.price,
        "expires": iso(item.expires),
        "algorithm": item.algorithm or None,
        "ours": item.is_ours,
    }


def _row(item: Item) -> list[str]:
    expires = "never"
    if item.expires:
        left = item.expires - datetime.now(timezone.utc)
        expires = f"in {_span(left)}" if left > timedelta() else f"{_span(-left)} ago: sweep"
    return [
        item.name,
        item.kind,
        item.status,
        _span(datetime.now(timezone.utc) - item.created),
        item.runs_on,
        "unknown" if item.price is None else f"{item.price:,.3f}",
        expires,
        item.algorithm if item.is_ours else "(not algoshelf's)",
    ]


def _span(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"
