"""Describe and remove endpoints, endpoint configurations, models and their scaling.

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
NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
ABSENT = ("could not find", "not found", "no scalable target", "no scaling policy")


def endpoint(account: Account, name: str) -> dict[str, Any] | None:
    """As AWS describes it; None where there is none."""
    return _described(account, "describe_endpoint", EndpointName=name)


def configurations(described: dict[str, Any]) -> set[str]:
    """The names of those that an endpoint uses, or is about to."""
    pending = described.get("PendingDeploymentSummary", {})
    names = {described.get("EndpointConfigName"), pending.get("EndpointConfigName")}
    return {name for name in names if name}


def configuration(account: Account, name: str) -> dict[str, Any] | None:
    """As AWS describes it; None where there is none."""
    return _described(account, "describe_endpoint_config", EndpointConfigName=name)


def model(account: Account, name: str) -> dict[str, Any] | None:
    """As AWS describes it; None where there is none."""
    return _described(account, "describe_model", ModelName=name)


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
    _removed(account, "delete_endpoint", EndpointName=name)
    if not account.dry:
        found = settled(account, name, report)
        if found is not None:
            raise AwsError(f"{name}: AWS has not deleted it, it is {found['EndpointStatus']}")


def remove_configuration(account: Account, name: str) -> None:
    _removed(account, "delete_endpoint_config", EndpointConfigName=name)


def remove_model(account: Account, name: str) -> None:
    _removed(account, "delete_model", ModelName=name)


def remove_own_model(account: Account, name: str) -> None:
    """Delete the model if this run has made it."""
    arn = model_arn(account, name)
    if arn and tags.of(account, arn).get(tags.RUN) == account.run:
        remove_model(account, name)


def scaling(account: Account, endpoint_name: str, variant: str) -> dict[str, Any] | None:
    """The variant's scalable target, its policies under ``Policies``; None where it has none."""
    client = account.client("application-autoscaling")
    target = _target(endpoint_name, variant)
    with explained():
        pages = client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace=NAMESPACE,
            ResourceIds=[target["ResourceId"]],
            ScalableDimension=DIMENSION,
        )
        found = [one for page in pages for one in page["ScalableTargets"]]
        if not found:
            return None
        policies = client.get_paginator("describe_scaling_policies").paginate(**target)
        return {
            **found[0],
            "Policies": [one for page in policies for one in page["ScalingPolicies"]],
        }


def put_scaling(account: Account, endpoint_name: str, variant: str, least: int, most: int) -> None:
    """Let the variant have from ``least`` to ``most`` instances."""
    with explained():
        account.client("application-autoscaling").register_scalable_target(
            **_target(endpoint_name, variant), MinCapacity=least, MaxCapacity=most
        )


def put_policy(
    account: Account, endpoint_name: str, variant: str, name: str, tracking: dict[str, Any]
) -> None:
    """Have the number of instances follow a metric."""
    with explained():
        account.client("application-autoscaling").put_scaling_policy(
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=tracking,
            **_target(endpoint_name, variant),
        )


def remove_scaling(account: Account, endpoint_name: str, variant: str) -> None:
    """Remove the variant's policies, then its scalable target."""
    found = scaling(account, endpoint_name, variant)
    if found is None:
        return
    target = _target(endpoint_name, variant)
    service = "application-autoscaling"
    for policy in found["Policies"]:
        _removed(
            account, "delete_scaling_policy", service, PolicyName=policy["PolicyName"], **target
        )
    _removed(account, "deregister_scalable_target", service, **target)


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


def _target(endpoint_name: str, variant: str) -> dict[str, str]:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": f"endpoint/{endpoint_name}/variant/{variant}",
        "ScalableDimension": DIMENSION,
    }


def _described(account: Account, operation: str, **which: str) -> dict[str, Any] | None:
    try:
        with explained():
            return dict(getattr(account.client("sagemaker"), operation)(**which))
    except AwsError as error:
        if is_absent(error):
            return None
        raise


def _removed(account: Account, operation: str, service: str = "sagemaker", **which: str) -> None:
    try:
        with explained():
            getattr(account.client(service), operation)(**which)
    except AwsError as error:
        if not is_absent(error):
            raise
