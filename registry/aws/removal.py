"""Describe and remove endpoints, endpoint configurations and models.

What is to be removed and is not there is as good as removed.
"""

from __future__ import annotations

import time
from typing import Any, Iterator

from . import tags
from .account import Account, AwsError, explained
from .rollback import Report

POLL_SECONDS = 10.0
REPORT_SECONDS = 60.0
# AWS refuses to delete or change an endpoint in these.
UNSETTLED = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
IN_SERVICE, DELETING = "InService", "Deleting"
ABSENT = (
    *("could not find", "not found", "does not exist"),
    *("no scalable target", "no scaling policy"),
)


def endpoint(account: Account, name: str) -> dict[str, Any] | None:
    """As AWS describes it; None where there is none."""
    return described(account, "describe_endpoint", EndpointName=name)


def configurations(described: dict[str, Any]) -> set[str]:
    """The names of those that an endpoint uses, or is about to."""
    pending = described.get("PendingDeploymentSummary", {})
    names = {described.get("EndpointConfigName"), pending.get("EndpointConfigName")}
    return {name for name in names if name}


def configuration(account: Account, name: str) -> dict[str, Any] | None:
    """As AWS describes it; None where there is none."""
    return described(account, "describe_endpoint_config", EndpointConfigName=name)


def model(account: Account, name: str) -> dict[str, Any] | None:
    """As AWS describes it; None where there is none."""
    return described(account, "describe_model", ModelName=name)


def endpoint_arn(account: Account, name: str) -> str:
    """The ARN of the endpoint; "" where there is none."""
    return str((endpoint(account, name) or {}).get("EndpointArn", ""))


def configuration_arn(account: Account, name: str) -> str:
    """The ARN of the configuration; "" where there is none."""
    return str((configuration(account, name) or {}).get("EndpointConfigArn", ""))


def model_arn(account: Account, name: str) -> str:
    """The ARN of the model; "" where there is none."""
    return str((model(account, name) or {}).get("ModelArn", ""))


def settled(account: Account, name: str, report: Report) -> dict[str, Any] | None:
    """Wait until the endpoint is neither being created, changed nor deleted; as it is then."""
    begun = reported = time.monotonic()
    status = ""
    while True:
        found = endpoint(account, name)
        if found is None or found["EndpointStatus"] not in UNSETTLED:
            return found
        now = time.monotonic()
        if found["EndpointStatus"] != status or now - reported >= REPORT_SECONDS:
            status, reported = found["EndpointStatus"], now
            report(f"{name}: {status}, {(now - begun) / 60:.0f} min")
        time.sleep(POLL_SECONDS)


def remove_endpoint(account: Account, name: str, report: Report) -> None:
    """Delete it once AWS allows that, and wait until it is gone."""
    found = endpoint(account, name)
    if found is None:
        return
    if not account.dry and found["EndpointStatus"] in UNSETTLED:
        report(f"{name}: is {found['EndpointStatus']}: AWS deletes it only after that")
        found = settled(account, name, report)
        if found is None:
            return
    removed(account, "delete_endpoint", EndpointName=name)
    if not account.dry:
        found = settled(account, name, report)
        if found is not None:
            raise AwsError(f"{name}: AWS has not deleted it, it is {found['EndpointStatus']}")


def remove_configuration(account: Account, name: str) -> None:
    removed(account, "delete_endpoint_config", EndpointConfigName=name)


def remove_model(account: Account, name: str) -> None:
    removed(account, "delete_model", ModelName=name)


def remove_own_model(account: Account, name: str) -> None:
    """Delete the model if this run has made it."""
    arn = model_arn(account, name)
    if arn and tags.of(account, arn).get(tags.RUN) == account.run:
        remove_model(account, name)


def listed(account: Account, operation: str, key: str, **filters: Any) -> Iterator[dict[str, Any]]:
    """What a listing of SageMaker's has under ``key``, over all its pages."""
    client = account.client("sagemaker")
    with explained():
        for page in client.get_paginator(operation).paginate(**filters):
            yield from page.get(key, ())


def is_absent(error: AwsError) -> bool:
    """Whether AWS says that there is no such thing."""
    if error.aws_code in ("ObjectNotFoundException", "ResourceNotFound"):
        return True
    return error.aws_code.startswith("Validation") and any(
        words in str(error).lower() for words in ABSENT
    )


def described(account: Account, operation: str, **which: str) -> dict[str, Any] | None:
    """What one of SageMaker's operations describes; None where there is none."""
    try:
        with explained():
            return dict(getattr(account.client("sagemaker"), operation)(**which))
    except AwsError as error:
        if is_absent(error):
            return None
        raise


def removed(account: Account, operation: str, service: str = "sagemaker", **which: str) -> None:
    """Remove something by ``operation``, where it is there."""
    try:
        with explained():
            getattr(account.client(service), operation)(**which)
    except AwsError as error:
        if not is_absent(error):
            raise
