"""Review apps: a page, a function and an API, which cost nothing while nobody asks."""

from __future__ import annotations

from typing import Iterator

from ....core.runtime.errors import InputError
from .. import web
from ..account import Account
from ..rollback import Report
from . import Item, Kind, Wanted

APP = "web app"


def _found(account: Account, wanted: Wanted) -> Iterator[Item]:
    for app in web.apps(account):
        labels = wanted.labels(app.name, app.created, lambda app=app: app.tags)  # type: ignore[misc]
        if labels is not None:
            kept = sum(size for _, size in web.kept(account, app))
            yield Item(APP, app.name, app.status, app.created, "requests", 0.0, labels, kept)


def _end(account: Account, item: Item, report: Report) -> None:
    app = web.find(account, item.name)
    if app is None:
        return
    count = len(web.kept(account, app))
    if count:
        raise InputError(
            f"{item.name}: {count:,} corrections are kept in it: `algoshelf sagemaker web delete "
            f"{item.name} --corrections FILE` saves them first"
        )
    web.remove(account, app, report)


APPS = Kind(APP, _found, _end, bills=False)
