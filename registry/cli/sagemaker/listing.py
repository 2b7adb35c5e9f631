"""``sagemaker list``: what is billed now."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import click

from ...aws import inventory, packages
from ...aws.stock import Item, Wanted
from ...aws.stock.registered import PACKAGES
from ..flags import account_options
from ..output import console, json_option, print_json, print_table, say
from .common import account
from .endpoints import iso


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Also show what algoshelf did not make.")
@click.option("--registered", is_flag=True, help="Show the registered models alone, each version.")
@account_options
@json_option
def list_(
    everything: bool, registered: bool, region: str | None, profile: str | None, as_json: bool
) -> None:
    """Show what is billed now, and all else of algoshelf's, in one region.

    First the endpoints and running jobs, with the prices of their instances; volumes, storage and
    traffic are billed on top. Then what is not billed by the hour, such as models.
    """
    if registered:
        _show_registered(region, profile, everything, as_json)
        return
    unseen: list[str] = []
    with account(region, profile, False) as acting:
        items = inventory.found(acting, foreign=everything, unseen=unseen)
        resting = inventory.found(acting, foreign=everything, bills=False, unseen=unseen)
    for text in unseen:
        say(f"not listed: {text}")
    usd, unknown = inventory.total(items)
    if as_json:
        print_json(
            {
                "region": acting.region,
                "items": [_document(item) for item in items],
                "resting": [_document(item) for item in resting],
                "not_listed": unseen,
                "price_per_hour": None if unknown or unseen else usd,
                "known_price_per_hour": usd,
                "unknown_prices": unknown,
            }
        )
        return
    if items:
        headings = ["NAME", "KIND", "STATUS", "AGE", "RUNS ON", "USD/HOUR", "EXPIRES", "ALGORITHM"]
        print_table(console(), headings, [_row(item) for item in items])
        known = f"{usd:,.3f} USD an hour in {acting.region}"
        click.echo(f"\nmore than {known}: {unknown} of unknown price" if unknown else f"\n{known}")
    else:
        whose = "" if everything else " of algoshelf's"
        click.echo(f"nothing{whose} is billed in {acting.region} now")
    if resting:
        click.echo("\nNot billed by the hour:\n")
        headings = ["NAME", "KIND", "STATUS", "AGE", "STORES", "EXPIRES", "ALGORITHM"]
        print_table(console(), headings, [_resting_row(item) for item in resting])


def _show_registered(
    region: str | None, profile: str | None, everything: bool, as_json: bool
) -> None:
    with account(region, profile, False) as acting:
        found = [
            (item, packages.found(acting, item.name))
            for item in PACKAGES.found(acting, Wanted(everything))
        ]
    if as_json:
        versions = [
            {**_document(item), "package": package.arn, "properties": dict(package.properties)}
            for item, package in found
        ]
        print_json({"region": acting.region, "registered": versions})
        return
    if not found:
        whose = "" if everything else " of algoshelf's"
        click.echo(f"no model{whose} is registered in {acting.region}")
        return
    headings = ["PACKAGE", "STATUS", "AGE", "ALGORITHM", "CONFORMANCE", "METRICS"]
    rows = [
        [
            item.name,
            item.status,
            _age(item),
            _whose(item),
            package.conformance,
            ", ".join(f"{name} {value}" for name, value in package.metrics.items()),
        ]
        for item, package in found
    ]
    print_table(console(), headings, rows)


def _document(item: Item) -> dict[str, Any]:
    return {
        "name": item.name,
        "kind": item.kind,
        "status": item.status,
        "created": iso(item.created),
        "runs_on": item.runs_on,
        "price_per_hour": item.price,
        "stored_bytes": item.kept,
        "expires": iso(item.expires),
        "algorithm": item.algorithm or None,
        "ours": item.is_ours,
        "creator": item.creator or None,
    }


def _row(item: Item) -> list[str]:
    return [
        item.name,
        item.kind,
        item.status,
        _age(item),
        item.runs_on,
        "unknown" if item.price is None else f"{item.price:,.3f}",
        _expiry(item),
        _whose(item),
    ]


def _resting_row(item: Item) -> list[str]:
    stored = "-" if item.kept is None else f"{item.kept / 2**20:,.1f} MiB"
    return [item.name, item.kind, item.status, _age(item), stored, _expiry(item), _whose(item)]


def _age(item: Item) -> str:
    return _span(datetime.now(timezone.utc) - item.created)


def _expiry(item: Item) -> str:
    if item.expires is None:
        return "never"
    left = item.expires - datetime.now(timezone.utc)
    return f"in {_span(left)}" if left > timedelta() else f"{_span(-left)} ago: sweep"


def _whose(item: Item) -> str:
    return item.algorithm if item.is_ours else "(not algoshelf's)"


def _span(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"
