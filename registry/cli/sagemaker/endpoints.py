"""What the commands for endpoints share."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from ...aws import instances, prices
from ...aws.account import Account
from ..flags import option
from ..output import say

if TYPE_CHECKING:
    from ...aws.endpoints import Hosting

HOURS_A_DAY = 24
image_option = option(
    ("--image", "URI", "The image of your own that answers. [default: AWS's MXNet image]"),
    default="",
)
foreign_option = click.option(
    "--foreign", is_flag=True, help="Also change or delete what algoshelf did not make."
)


def say_price(account: Account, hosting: Hosting, count: int, what: str) -> float | None:
    """Tell what ``count`` instances cost; USD an hour, None where it is unknown."""
    found = prices.find(hosting.instance, instances.ENDPOINT, account.region)
    if found is None:
        say(prices.unknown(hosting.instance, account.region))
        return None
    usd = found.usd * count
    say(
        f"{what} {usd:,.3f} USD an hour, {usd * HOURS_A_DAY:,.2f} USD a day, for {count} × "
        f"{hosting.instance}: each {found}."
    )
    return usd


def iso(time: datetime | None) -> str | None:
    """As JSON has it: UTC, to the second."""
    return None if time is None else time.astimezone(timezone.utc).isoformat(timespec="seconds")
