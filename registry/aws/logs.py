"""The log groups of endpoints: made beforehand, so that they are tagged and kept for a while only.

SageMaker itself makes a group without tags, whose logs are kept, and billed, for ever.
"""

from __future__ import annotations

from .account import REFUSED, Account, AwsError, explained
from .rollback import Report

PREFIX = "/aws/sagemaker/"
RETENTION_DAYS = 30


def of_endpoint(name: str) -> str:
    """The group that an endpoint's containers write to."""
    return f"{PREFIX}Endpoints/{name}"


def of_component(name: str) -> str:
    """The group that the containers of an inference component write to."""
    return f"{PREFIX}InferenceComponents/{name}"


def prepare(account: Account, name: str, labels: list[dict[str, str]], report: Report) -> None:
    """Make the group, unless there is one. Who may not is told, and does without."""
    client = account.client("logs")
    values = {tag["Key"]: tag["Value"] for tag in labels}
    try:
        with explained():
            client.create_log_group(logGroupName=name, tags=values)
            client.put_retention_policy(logGroupName=name, retentionInDays=RETENTION_DAYS)
    except AwsError as error:
        if error.aws_code == "ResourceAlreadyExistsException":
            return
        if error.aws_code not in REFUSED:
            raise
        report(f"{name}: its logs will be kept for ever: {error}")


def labels(account: Account, arn: str) -> dict[str, str]:
    """The tags of a group."""
    with explained():
        client = account.client("logs")
        found = client.list_tags_for_resource(resourceArn=arn.partition(":*")[0])
    return dict(found["tags"])


def remove(account: Account, name: str) -> None:
    """Delete the group with its logs, if it is there."""
    try:
        with explained():
            account.client("logs").delete_log_group(logGroupName=name)
    except AwsError as error:
        if error.aws_code != "ResourceNotFoundException":
            raise
