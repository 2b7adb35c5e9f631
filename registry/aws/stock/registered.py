"""What is in SageMaker's model registry: packages, and the groups of which they are versions."""

from __future__ import annotations

from functools import partial
from typing import Collection, Iterator

from ....core.runtime.errors import InputError
from .. import packages, removal, tags
from ..account import Account
from ..rollback import Report
from . import Item, Kind, Part, Wanted

PACKAGE, GROUP = "package", "package group"


def _packages(account: Account, wanted: Wanted) -> Iterator[Item]:
    """They have the tags of their group."""
    asked = {name.partition(":")[0] for name in wanted.names}
    for group in packages.groups(account):
        title = group["ModelPackageGroupName"]
        if asked and title not in asked:
            continue
        for each in packages.of_group(account, title):
            name = f"{title}:{each['ModelPackageVersion']}"
            read = partial(tags.of, account, group["ModelPackageGroupArn"])
            labels = wanted.labels(name, each["CreationTime"], read)
            if labels is not None:
                status = each.get("ModelApprovalStatus", "")
                yield Item(PACKAGE, name, status, each["CreationTime"], "", 0.0, labels)


def _end_package(account: Account, item: Item, report: Report) -> None:
    package = packages.found(account, item.name)
    users = sorted(_models_of(account, package.arn))
    if users:
        raise InputError(f"{item.name}: the model {users[0]} is made of it: delete that first")
    packages.remove(account, package.arn)


def _models_of(account: Account, arn: str) -> Iterator[str]:
    for each in removal.listed(account, "list_models", "Models"):
        container = (removal.model(account, each["ModelName"]) or {}).get("PrimaryContainer") or {}
        if container.get("ModelPackageName") == arn:
            yield each["ModelName"]


def _groups(account: Account, wanted: Wanted) -> Iterator[Item]:
    for each in packages.groups(account):
        name, created = each["ModelPackageGroupName"], each["CreationTime"]
        read = partial(tags.of, account, each["ModelPackageGroupArn"])
        labels = wanted.labels(name, created, read)
        if labels is not None:
            yield Item(GROUP, name, "", created, "", 0.0, labels)


def _groups_of_packages(account: Account, without: Collection[Part]) -> Iterator[str]:
    gone = {name for title, name in without if title == PACKAGE}
    for group in packages.groups(account):
        title = group["ModelPackageGroupName"]
        versions = packages.of_group(account, title)
        if any(f"{title}:{each['ModelPackageVersion']}" not in gone for each in versions):
            yield title


PACKAGES = Kind(
    PACKAGE,
    _packages,
    _end_package,
    bills=False,
    parts=lambda account, name: [(GROUP, name.partition(":")[0])],
    uses={GROUP: _groups_of_packages},
)
GROUPS = Kind(
    GROUP,
    _groups,
    lambda account, item, report: packages.remove_group(account, item.name),
    bills=False,
    sweeps=True,
)
