"""What the commands for AWS share: the account, the confirmation, the dry run."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Sized

import click

from ....core.runtime.errors import InputError
from ...aws import prices
from ...aws.account import UNSIGNED, Account
from ...aws.prices import Price
from ...aws.settings import Settings
from ..output import say

NOTHING = Settings()


@contextmanager
def account(
    region: str | None,
    profile: str | None,
    dry_run: bool,
    bucket_owner: str = "",
    settings: Settings = NOTHING,
) -> Iterator[Account]:
    """The account; a dry run's requests are printed at its end, one JSON document to stdout."""
    requests: list[dict[str, Any]] = []

    def planned(service: str, operation: str, parameters: dict[str, Any]) -> None:
        requests.append({"service": service, "operation": operation, "parameters": parameters})

    acting = Account(
        region=region,
        profile=profile,
        planned=planned if dry_run else None,
        bucket_owner=bucket_owner,
        tags=settings.tags,
        kms_key=settings.kms_key,
    )
    if acting.is_unsigned:
        say(UNSIGNED)
    yield acting
    if dry_run:
        click.echo(json.dumps({"dry_run": True, "requests": requests}, indent=2, default=_shown))


def confirm(question: str, yes: bool) -> None:
    """Ask on the terminal, unless ``yes``. Raises InputError where there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            f"{question} There is no terminal to ask on: give --yes to agree, or --dry-run to see "
            "what would be sent"
        )
    click.confirm(question, abort=True, err=True)


def check_signed(acting: Account, what: str) -> None:
    """Raise InputError in a dry run without credentials, of a command that looks first."""
    if acting.is_unsigned:
        raise InputError(f"{what}: only the account knows: sign in, as with `aws configure`")


def say_price(price: Price | None, instance: str, region: str) -> str:
    """Tell what an hour costs; the same in a few words, for a question."""
    if price is None:
        say(prices.unknown(instance, region))
        return "a price that is unknown"
    say(f"Each {instance} costs {price}.")
    return f"{price.usd:g} USD an hour"


def _shown(value: object) -> str:
    return f"<{len(value):,} bytes>" if isinstance(value, Sized) else str(value)
