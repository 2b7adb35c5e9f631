"""The tags on everything that algoshelf creates, by which it finds its own resources."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib import metadata
from typing import Iterable, Mapping

from .account import Account, explained

VERSION, ALGORITHM, EXPIRES = "algoshelf", "algoshelf:algorithm", "algoshelf:expires"
ENDPOINT = "algoshelf:endpoint"  # on configurations and models: which endpoint they are for
# Of which run of a command it is: names can be anybody's, and what fails undoes its own alone.
RUN = "algoshelf:run"


def tags(algorithm: str, run: str = "", expires: datetime | None = None) -> list[dict[str, str]]:
    """As AWS takes them; ``run`` is that of the account that creates it, and ``expires`` when
    ``algoshelf sagemaker sweep`` may end it.
    """
    found = {VERSION: metadata.version("algoshelf"), ALGORITHM: algorithm}
    if run:
        found[RUN] = run
    if expires is not None:
        found[EXPIRES] = expires.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [{"Key": key, "Value": value} for key, value in found.items()]


def read(listed: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Values by key; algoshelf's own things have ``VERSION`` among them."""
    return {tag["Key"]: tag["Value"] for tag in listed}


def of(account: Account, arn: str) -> dict[str, str]:
    """The tags of what has this ARN, by key. Raises AwsError."""
    with explained():
        pages = account.client("sagemaker").get_paginator("list_tags").paginate(ResourceArn=arn)
        return read(tag for page in pages for tag in page["Tags"])


def expiry(values: Mapping[str, str]) -> datetime | None:
    """When it expires; None where it does not, or the tag was changed to what is no time."""
    try:
        found = datetime.strptime(values[EXPIRES], "%Y-%m-%dT%H:%M:%SZ")
    except (KeyError, ValueError):
        return None
    return found.replace(tzinfo=timezone.utc)
