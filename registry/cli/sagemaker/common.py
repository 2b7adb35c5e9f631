"""What the commands for AWS share: the account, the confirmation, the dry run."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Sized

import click

from ....core.runtime.errors import InputError
from ...aws.account import Account


@contextmanager
def account(
    region: str | None, profile: str | None, dry_run: bool, bucket_owner: str = ""
) -> Iterator[Account]:
    """The account; a dry run's requests are printed at its end, one JSON document to stdout."""
    requests: list[dict[str, Any]] = []

    def planned(service: str, operation: str, parameters: dict[str, Any]) -> None:
        requests.append({"service": service, "operation": operation, "parameters": parameters})

    yield Account(
        region=region,
        profile=profile,
        planned=planned if dry_run else None,
        bucket_owner=bucket_owner,
    )
    if dry_run:
        click.echo(json.dumps({"dry_run": True, "requests": requests}, indent=2, default=_shown))


def confirm(question: str, yes: bool) -> None:
    """Ask on the terminal, unless ``yes``. Raises InputError where there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{question}: nobody is here to ask: give --yes, or --dry-run to look")
    click.confirm(question, abort=True, err=True)


def _shown(value: object) -> str:
    return f"<{len(value):,} bytes>" if isinstance(value, Sized) else str(value)
