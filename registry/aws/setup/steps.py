"""Steps: what is still to be done, in words and as a request; and what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from .. import rights
from ..account import Account, AwsError, explained

ABSENT = (
    *("404", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchEntity", "NoSuchTagSet"),
    *("NoSuchLifecycleConfiguration", "NoSuchPublicAccessBlockConfiguration"),
    *("OwnershipControlsNotFoundError", "ServerSideEncryptionConfigurationNotFoundError"),
)


@dataclass(frozen=True)
class Step:
    """What ``act`` does, in words. Done twice, it does no harm; it raises AwsError."""

    what: str
    act: Callable[[], Any]


def found(request: Callable[..., Any], **parameters: Any) -> Any:
    """The answer to ``request``; None where what it asks for is not there. Raises AwsError."""
    try:
        with explained():
            return request(**parameters)
    except AwsError as error:
        if error.aws_code in ABSENT:
            return None
        raise


def step(what: str, request: Callable[..., Any], **parameters: Any) -> Step:
    """One request."""

    def act() -> None:
        with explained():
            request(**parameters)

    return Step(what, act)


def gone(what: str, request: Callable[..., Any], **parameters: Any) -> Step:
    """One request that removes what may be gone already."""
    return Step(what, lambda: found(request, **parameters))


def place(account: Account) -> rights.Place:
    """Where the policies hold."""
    return rights.Place(account.partition, account.identity["Account"])
