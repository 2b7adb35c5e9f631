"""``sagemaker delete`` and ``sweep``: the end of endpoints and jobs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Sequence

import click

from ....core.runtime.errors import AlgoshelfError, InputError
from ...aws import inventory
from ...aws.account import Account, AwsError
from ...aws.stock import Item
from ..flags import account_options, acting_options, dry_run_option
from ..output import json_option, print_json, say
from .common import account, check_signed, confirm
from .endpoints import foreign_option


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Delete everything that is billed now.")
@click.option(
    "--kind", metavar="KIND",
    help="Delete only what is of this kind, such as 'model'; kinds that are not billed by the hour "
    "are deleted only so. `algoshelf sagemaker list` shows the kinds.",
)  # fmt: skip
@foreign_option
@account_options
@acting_options
@json_option
def delete(
    names: tuple[str, ...],
    everything: bool,
    kind: str | None,
    foreign: bool,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the endpoints, and stop the jobs, of these NAMEs.

    With an endpoint go its components, configurations, models and scaling. Data in S3 and logs are
    kept. A job is stopped only by who has created it.
    """
    if bool(names) == everything or (everything and kind):
        raise InputError("expected either the NAMEs of endpoints and jobs, or --all")
    with account(region, profile, dry_run) as acting:
        check_signed(acting, "what there is to delete")
        if everything:
            items = _everything(acting, foreign)
        else:
            items = inventory.named(acting, names, foreign=foreign, only=kind or "")
        for item in items:
            say(f"{item.kind} {item.name}: {item.runs_on or item.status or 'at rest'}")
        if not items:
            say(f"nothing to delete in {acting.region}")
        elif not dry_run:
            confirm(f"Delete {len(items)} in {acting.region}?", yes)
        gone = _ended(acting, items)
    if not dry_run:
        _show_gone(acting.region, gone, as_json)


@click.command()
@dry_run_option
@account_options
@json_option
def sweep(dry_run: bool, region: str | None, profile: str | None, as_json: bool) -> None:
    """Delete endpoints whose --ttl has passed, and configurations and models that nothing uses.

    Only what algoshelf made is deleted. There is no question: the command is meant for cron.
    """
    with account(region, profile, dry_run) as acting:
        check_signed(acting, "what there is to delete")
        now = datetime.now(timezone.utc)
        items = [*inventory.found(acting), *inventory.found(acting, bills=False)]
        gone = _ended(acting, inventory.expired(items, now))
        gone += _ended(acting, list(inventory.orphans(acting, now)))
    if not dry_run:
        _show_gone(acting.region, gone, as_json)


def _everything(acting: Account, foreign: bool) -> list[Item]:
    """All that bills and that is to be ended; the jobs of others are told, and left."""
    items = inventory.found(acting, foreign=foreign)
    mine = [item for item in items if foreign or inventory.belongs(acting, item)]
    for item in items:
        if item not in mine:
            say(f"{item.kind} {item.name}: {item.creator} has created it, and it goes on")
    return mine


def _ended(acting: Account, items: Sequence[Item]) -> list[tuple[str, str]]:
    """End each of ``items``; what is gone. Raises AwsError for what failed, after all the rest."""
    gone: list[tuple[str, str]] = []
    faults = []
    for item in items:
        try:
            gone += inventory.end(acting, item, say)
        except AlgoshelfError as error:
            faults.append(f"{item.kind} {item.name}: {error}")
    if faults:
        done = ", ".join(name for _, name in gone) or "nothing"
        raise AwsError("\n".join([*faults, f"ended all the same: {done}"]))
    return gone


def _show_gone(region: str, gone: Sequence[tuple[str, str]], as_json: bool) -> None:
    if as_json:
        ended = [{"kind": kind, "name": name} for kind, name in gone]
        print_json({"region": region, "ended": ended})
        return
    for kind, name in gone:
        click.echo(f"ended: {kind} {name}")
    if not gone:
        click.echo(f"nothing was to be ended in {region}")
