"""What belongs to algoshelf in an account: listed, ended, and swept.

Each kind of thing is one entry of ``KINDS`` (see ``stock``); nothing here knows one by name but the
endpoint, whose remains can be named too.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Collection, Iterator, Sequence

from ...core.runtime.errors import InputError, UnknownNameError, did_you_mean
from . import tags
from .account import REFUSED, Account, AwsError
from .rollback import Report
from .stock import Item, Kind, Part, Wanted
from .stock.apps import APPS
from .stock.hosting import ALARMS, COMPONENTS, CONFIGURATIONS, ENDPOINTS, MODELS
from .stock.registered import GROUPS, PACKAGES
from .stock.running import TRAINING_JOBS, TRANSFORM_JOBS, TUNING_JOBS
from .stock.stored import BUCKETS, LOG_GROUPS

# What uses comes before what is used: so `sweep` ends it.
KINDS: tuple[Kind, ...] = (
    APPS,
    ENDPOINTS,
    TRAINING_JOBS,
    TUNING_JOBS,
    TRANSFORM_JOBS,
    COMPONENTS,
    CONFIGURATIONS,
    MODELS,
    ALARMS,
    PACKAGES,
    GROUPS,
    LOG_GROUPS,
    BUCKETS,
)
REMAINS = "remains of an endpoint"


def kind(title: str) -> Kind:
    """The one of this title. Raises UnknownNameError."""
    for each in KINDS:
        if each.title == title:
            return each
    titles = [each.title for each in KINDS if each.end]
    raise UnknownNameError(
        f"--kind: there is no {title!r}{did_you_mean(title, titles)}; there are {', '.join(titles)}"
    )


def found(
    account: Account,
    *,
    foreign: bool = False,
    bills: bool = True,
    unseen: list[str] | None = None,
) -> list[Item]:
    """All that ``bills`` by the hour, or all else; also what is not algoshelf's if ``foreign``.

    Kinds that the credentials may not list are named in ``unseen``; without it, AwsError is raised.
    """
    items: list[Item] = []
    for each in KINDS:
        if each.bills != bills:
            continue
        try:
            items += each.found(account, Wanted(foreign))
        except AwsError as error:
            if unseen is None or error.aws_code not in REFUSED:
                raise
            unseen.append(f"{each.title}: {error}")
    return items


def named(
    account: Account, names: Sequence[str], *, foreign: bool = False, only: str = ""
) -> list[Item]:
    """What bills and has one of these names, and what is left of such endpoints; with ``only``, of
    that kind alone.

    Raises InputError for a name that nothing has, or only what is not algoshelf's; for a job that
    somebody else has created; and for what something else uses.
    """
    kinds = [kind(only)] if only else [each for each in KINDS if each.bills]
    items = [item for each in kinds for item in each.found(account, Wanted(True, names))]
    what = only or "endpoint and no job in progress"
    faults = []
    for name in dict.fromkeys(names):
        its = [item for item in items if item.name == name]
        if not its and not only and ENDPOINTS.parts(account, name):
            now = datetime.now(timezone.utc)
            items.append(Item(REMAINS, name, "", now, "", 0.0, {tags.VERSION: ""}))
        elif not its:
            faults.append(
                f"{name}: there is no {what} of this name in {account.region}; "
                "`algoshelf sagemaker list --all` shows what there is"
            )
        for item in its:
            faults += _obstacles(account, item, foreign)
    if faults:
        raise InputError(*faults)
    return items


def belongs(account: Account, item: Item) -> bool:
    """Whether it is algoshelf's and, where its kind is personal, of who acts."""
    personal = kind(item.kind).personal and bool(item.creator)
    return item.is_ours and not (personal and item.creator != tags.creator(account))


def expired(items: Sequence[Item], now: datetime) -> list[Item]:
    """What of algoshelf's is past its time, of the kinds that do not go with what uses them."""
    return [
        item
        for item in items
        if item.is_ours and item.expires and item.expires <= now and not kind(item.kind).sweeps
    ]


def total(items: Sequence[Item]) -> tuple[float, int]:
    """USD an hour of what has a known price, and how many have none."""
    known = [item.price for item in items if item.price is not None]
    return sum(known), len(items) - len(known)


def end(account: Account, item: Item, report: Report) -> list[Part]:
    """End it, and what was made for it and nothing else uses; what is gone, by kind and name.

    Of what is algoshelf's, no parts go that are not.
    """
    its = ENDPOINTS if item.kind == REMAINS else kind(item.kind)
    parts = its.parts(account, item.name)
    if its.end is None:
        raise InputError(f"{item.name}: no command of algoshelf's ends a {item.kind}")
    its.end(account, item, report)
    gone = discard(account, parts, without=(its.title, item.name), foreign=not item.is_ours)
    return gone if item.kind == REMAINS else [(item.kind, item.name), *gone]


def discard(
    account: Account, parts: Sequence[Part], *, without: Part, foreign: bool = False
) -> list[Part]:
    """Remove those ``parts`` that nothing uses but ``without``; what is gone.

    What is not algoshelf's is kept unless ``foreign``.
    """
    leaving: list[Part] = [without]
    gone: list[Part] = []
    for each in KINDS:
        names = [name for title, name in parts if title == each.title]
        if not names or each.end is None:
            continue
        used = _used(account, each.title, leaving)
        for item in list(each.found(account, Wanted(foreign, names, spared=used))):
            each.end(account, item, lambda text: None)
            gone.append((each.title, item.name))
        leaving += gone
    return gone


def orphans(account: Account, now: datetime) -> Iterator[Item]:
    """What is algoshelf's and nothing uses, of the kinds that ``sweep`` ends then.

    What is younger than its kind's ``age`` may be part of a deployment under way, and is no orphan;
    nor is what still stores something.
    """
    leaving: list[Part] = []
    for each in KINDS:
        if each.sweeps:
            used = _used(account, each.title, leaving)
            for item in each.found(account, Wanted(spared=used, before=now - each.age)):
                if not item.kept:
                    leaving.append((each.title, item.name))
                    yield item


def _used(account: Account, title: str, without: Collection[Part]) -> set[str]:
    """The names of all of a kind that other things use, those ``without`` not counted."""
    return {
        name for each in KINDS if title in each.uses for name in each.uses[title](account, without)
    }


def _obstacles(account: Account, item: Item, foreign: bool) -> Iterator[str]:
    """Why it is not ended, each in a line."""
    its = kind(item.kind)
    if not foreign and not item.is_ours:
        yield f"{item.name}: algoshelf did not make it: give --foreign to end it anyhow"
    elif not foreign and not belongs(account, item):
        yield (
            f"{item.name}: {item.creator} has created this {item.kind}, and you are "
            f"{tags.creator(account)}: give --foreign to end it anyhow"
        )
    if its.sweeps and item.name in _used(account, item.kind, ()):
        yield f"{item.name}: something uses this {item.kind}: delete that first"
    if its.end is None:
        yield f"{item.name}: no command of algoshelf's ends a {item.kind}"
