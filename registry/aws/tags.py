"""The tags on everything that algoshelf creates, by which it finds its own resources."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from importlib import metadata
from typing import Iterable, Mapping

from .account import Account, explained

VERSION, ALGORITHM, EXPIRES = "algoshelf", "algoshelf:algorithm", "algoshelf:expires"
WEB = "algoshelf:web"  # on review apps: the model that they ask
ENDPOINT = "algoshelf:endpoint"  # on configurations and models: which endpoint they are for
# Of which run of a command it is: names can be anybody's, and what fails undoes its own alone.
RUN = "algoshelf:run"
MODELS = "algoshelf:models"  # on a multi-model endpoint: the folder in S3 of its models
CREATOR = "algoshelf:creator"  # on jobs: whose they are, for nobody else to stop them
# Sessions of a role that programs name anew each time: they tell nobody apart.
NAMELESS = re.compile(r"botocore-session-[0-9]+|i-[0-9a-f]+|[0-9a-f-]{20,}|aws-[a-z-]*-?[0-9]{8,}")
NOT_IN_VALUES = re.compile(r"[^A-Za-z0-9 +=._:/@-]")  # AWS allows these everywhere
MAX_VALUE = 256


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


def setup(run: str) -> list[dict[str, str]]:
    """On what ``algoshelf sagemaker setup`` makes."""
    return [{"Key": VERSION, "Value": metadata.version("algoshelf")}, {"Key": RUN, "Value": run}]


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


def creator(account: Account) -> str:
    """Who acts through ``account``, as a tag's value: the user, or the role and the session's name,
    which is a person's where people sign in by single sign-on.
    """
    user = account.identity["Arn"].split(":", 5)[5]
    role, _, session = user.rpartition("/")
    if user.startswith("assumed-role/") and NAMELESS.fullmatch(session):
        user = role
    return NOT_IN_VALUES.sub("_", user)[-MAX_VALUE:]


def signed(account: Account, listed: list[dict[str, str]]) -> list[dict[str, str]]:
    """``listed``, and who acts."""
    others = [tag for tag in listed if tag["Key"] != CREATOR]
    return [*others, {"Key": CREATOR, "Value": creator(account)}]
