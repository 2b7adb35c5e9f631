"""``sagemaker web``: the review app in an AWS account."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ....core.runtime.errors import InputError
from ...aws import names, tags
from ...aws import web as apps
from ...aws.account import Account
from ...aws.stock import Wanted
from ...aws.stock.hosting import ENDPOINTS
from ...aws.web import Folder, WebApp
from ...web import prices as of_requests
from ...web.template import LOG_DAYS
from ..flags import PATH, Parsed, SectionedCommand, account_options, acting_options, whole
from ..output import SuggestingGroup, console, json_option, print_json, print_table, say
from .common import account, confirm
from .endpoints import foreign_option, iso


def _matching(name: str, pattern: str, expected: str) -> Parsed:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return Parsed(name, parse, expected)


ORIGIN = _matching(
    "origin", r"https://[a-z0-9.-]+(:[0-9]+)?", "an origin such as https://example.org, no path"
)
EMAIL = _matching("email", r"[^@\s]+@[^@\s]+\.[^@\s]+", "an address such as me@example.org")


@click.group(cls=SuggestingGroup)
def web() -> None:
    """Deploy the review app that `algoshelf web` writes, list such apps, and delete them."""


@web.command(cls=SectionedCommand)
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("--name", help="The name of the app. [default: the model's]")
@click.option(
    "--page-origin", metavar="ORIGIN", type=ORIGIN,
    help="Let a page of your own elsewhere ask too, such as https://example.org. [default: none]",
)  # fmt: skip
@click.option(
    "--email", metavar="ADDRESS", type=EMAIL,
    help="Where the alarm of too many requests writes to. [default: nowhere]",
)  # fmt: skip
@click.option(
    "--requests-per-second", type=whole(1, 10_000), metavar="N",
    help="Refuse requests above this. [default: 10]",
)  # fmt: skip
@click.option(
    "--log-days", type=click.Choice([str(days) for days in LOG_DAYS]), metavar="N",
    help="Delete logs after so many days, such as 7, 30 or 365. [default: 30]",
)  # fmt: skip
@click.option(
    "--correction-days", type=whole(1, 36_500), metavar="N",
    help="Delete corrections after so many days. [default: 365]",
)  # fmt: skip
@account_options
@acting_options
@json_option
def deploy(
    folder: Path,
    name: str | None,
    page_origin: str | None,
    email: str | None,
    requests_per_second: int | None,
    log_days: str | None,
    correction_days: int | None,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Deploy the review app in DIR, which `algoshelf web --output DIR` has written.

    Example: algoshelf sagemaker web deploy review-app --name reviews
    """
    given = apps.folder(folder)
    chosen = name or names.slug(given.remarks["Model"], apps.MAX_NAME).lower()
    apps.check_name(chosen)
    wanted = {
        "PageOrigin": page_origin, "AlarmEmail": email, "RequestsPerSecond": requests_per_second,
        "LogDays": log_days, "CorrectionDays": correction_days,
    }  # fmt: skip
    parameters = {key: str(value) for key, value in wanted.items() if value is not None}
    with account(region, profile, dry_run) as acting:
        _announce(acting, given, chosen)
        if not dry_run:
            confirm(f"Deploy {chosen} in {acting.region}?", yes)
        url = apps.deploy(acting, given, chosen, parameters, say)
        where = acting.region
    if dry_run:
        return
    if as_json:
        print_json(
            {"name": chosen, "region": where, "url": url, "endpoint": given.endpoint or None}
        )
        return
    click.echo(f"{chosen} is at {url}")
    click.echo(f"  algoshelf sagemaker web delete {chosen} --region {where}")


@web.command("list")
@account_options
@json_option
def list_(region: str | None, profile: str | None, as_json: bool) -> None:
    """Show the review apps of one region: their pages, models and corrections."""
    with account(region, profile, False) as acting:
        found = [(app, apps.kept(acting, app)) for app in apps.apps(acting) if _is_ours(app)]
        where = acting.region
    if as_json:
        print_json({"region": where, "apps": [_document(app, len(kept)) for app, kept in found]})
        return
    if not found:
        click.echo(f"there is no review app in {where}")
        return
    headings = ["NAME", "STATUS", "PAGE", "ASKS", "CORRECTIONS"]
    rows = [
        [app.name, app.status, app.url or "-", _asked(app), f"{len(kept):,}"] for app, kept in found
    ]
    print_table(console(), headings, rows)


@web.command(cls=SectionedCommand)
@click.argument("name", metavar="NAME")
@click.option(
    "--corrections", type=PATH, metavar="FILE",
    help="First save the corrections to FILE, which must be new.",
)  # fmt: skip
@click.option("--discard-corrections", is_flag=True, help="Delete the corrections unsaved.")
@foreign_option
@account_options
@acting_options
@json_option
def delete(
    name: str,
    corrections: Path | None,
    discard_corrections: bool,
    foreign: bool,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the review app NAME with all that belongs to it: nothing is left.

    The endpoint that it asks is kept. An app with corrections is deleted only if they are saved by
    --corrections, or discarded.
    """
    if corrections is not None and discard_corrections:
        raise InputError("give either --corrections or --discard-corrections")
    with account(region, profile, dry_run) as acting:
        app = apps.find(acting, name)
        if app is None:
            raise InputError(
                f"{name}: there is no review app of this name in {acting.region}; `algoshelf "
                "sagemaker web list` shows what there is"
            )
        if not _is_ours(app) and not foreign:
            raise InputError(
                f"{name}: algoshelf did not make it: give --foreign to delete it anyhow"
            )
        count = len(apps.kept(acting, app))
        say(f"{name}: {app.status}, {app.url or 'no page'}, {count:,} corrections")
        if count and corrections is None and not discard_corrections:
            raise InputError(
                f"{name}: {count:,} corrections are kept in it: save them by --corrections FILE, "
                "or give --discard-corrections"
            )
        if not dry_run:
            confirm(f"Delete {name} in {acting.region}?", yes)
            if corrections is not None:
                saved = apps.fetch(acting, app, corrections)
                say(f"{saved:,} corrections are saved in {corrections}")
        apps.remove(acting, app, say)
        where = acting.region
    if dry_run:
        return
    if as_json:
        print_json(
            {"region": where, "deleted": name, "corrections": str(corrections or "") or None}
        )
        return
    click.echo(f"{name} is deleted")


def _announce(acting: Account, given: Folder, name: str) -> None:
    """Say what will be there and what it costs."""
    asks = f"asks the endpoint {given.endpoint}" if given.endpoint else "holds the model itself"
    say(f"{name} in {acting.region}: a page and an API whose function {asks}")
    usd = 1e6 * of_requests.of_request(given.remarks["Memory"], given.remarks["Machine"])
    say(
        f"It costs nothing while nobody asks, but for an alarm ({of_requests.ALARM_USD:.2f} USD a "
        f"month); a million requests cost about {usd:.2f} USD in {of_requests.REGION}. Logs and "
        "traffic are billed on top."
    )
    if not given.endpoint:
        return
    for item in ENDPOINTS.found(acting, Wanted(True, [given.endpoint])):
        cost = "an unknown price" if item.price is None else f"{item.price:,.3f} USD"
        say(f"The endpoint is billed beside it: {cost} an hour, asked or not.")


def _is_ours(app: WebApp) -> bool:
    return tags.VERSION in app.tags


def _asked(app: WebApp) -> str:
    endpoint = app.tags.get(tags.ENDPOINT)
    return (
        f"the endpoint {endpoint}" if endpoint else f"{app.tags.get(tags.WEB, '?')}, its own model"
    )


def _document(app: WebApp, count: int) -> dict[str, Any]:
    return {
        "name": app.name,
        "status": app.status,
        "created": iso(app.created),
        "url": app.url or None,
        "model": app.tags.get(tags.WEB),
        "endpoint": app.tags.get(tags.ENDPOINT),
        "corrections": count,
        "bucket": app.bucket or None,
    }
