"""Application Auto Scaling: how many instances, or copies of a model, there are by load.

From none at all a metric of load never leads back, since there is nothing to measure it on: what
may be scaled to zero also has a step policy and a CloudWatch alarm that wakes it
(https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable

from .account import REFUSED, Account, AwsError, explained
from .removal import is_absent, removed
from .rollback import Report

SERVICE, NAMESPACE = "application-autoscaling", "sagemaker"
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
COPIES = "sagemaker:inference-component:DesiredCopyCount"
TRACKING, STEPS = "TargetTrackingScaling", "StepScaling"
ALARM = "algoshelf-wakes-"  # how the names of alarms begin: docs/iam-policy.json allows these
MAX_ALARM = 255

Target = Dict[str, str]


@dataclass(frozen=True)
class Wake:
    """The metric that says of ``dimension`` that somebody asks and there is nothing to answer."""

    metric: str
    dimension: str
    minutes: int = 1  # for so long, before there is something
    cooldown: int = 60  # seconds before one more is added


# Of an inference component: requests that failed for want of a copy. Of an asynchronous endpoint:
# requests that wait and no instance.
COMPONENT = Wake("NoCapacityInvocationFailures", "InferenceComponentName")
QUEUE = Wake("HasBacklogWithoutCapacity", "EndpointName", minutes=2, cooldown=300)


def of_variant(endpoint: str, variant: str) -> Target:
    """The number of instances of a variant."""
    return _target(f"endpoint/{endpoint}/variant/{variant}", INSTANCES)


def of_component(name: str) -> Target:
    """The number of copies of an inference component."""
    return _target(f"inference-component/{name}", COPIES)


def alarm(target: Target) -> str:
    """The name of the alarm that wakes ``target``."""
    return (ALARM + target["ResourceId"].replace("/", "-"))[:MAX_ALARM]


def found(account: Account, target: Target) -> dict[str, Any] | None:
    """The scalable target, its policies under ``Policies``; None where there is none."""
    client = account.client(SERVICE)
    with explained():
        pages = client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace=NAMESPACE,
            ResourceIds=[target["ResourceId"]],
            ScalableDimension=target["ScalableDimension"],
        )
        targets = [one for page in pages for one in page["ScalableTargets"]]
        if not targets:
            return None
        policies = client.get_paginator("describe_scaling_policies").paginate(**target)
        return {
            **targets[0],
            "Policies": [one for page in policies for one in page["ScalingPolicies"]],
        }


def put(account: Account, target: Target, least: int, most: int) -> None:
    """Let there be from ``least`` to ``most``."""
    with explained():
        account.client(SERVICE).register_scalable_target(
            **target, MinCapacity=least, MaxCapacity=most
        )


def track(account: Account, target: Target, policy: str, tracking: dict[str, Any]) -> None:
    """Have their number follow a metric."""
    with explained():
        account.client(SERVICE).put_scaling_policy(
            PolicyName=policy,
            PolicyType=TRACKING,
            TargetTrackingScalingPolicyConfiguration=tracking,
            **target,
        )


def wake(account: Account, target: Target, of: str, on: Wake, labels: list[dict[str, str]]) -> None:
    """Have one more as soon as ``on`` says so of ``of``: a step policy, and the alarm for it."""
    name = alarm(target)
    with explained():
        policy = account.client(SERVICE).put_scaling_policy(
            PolicyName=name,
            PolicyType=STEPS,
            StepScalingPolicyConfiguration={
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Maximum",
                "Cooldown": on.cooldown,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            },
            **target,
        )["PolicyARN"]
        account.client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            AlarmDescription=f"Somebody asks {of}, which has been scaled to zero.",
            AlarmActions=[policy],
            Namespace="AWS/SageMaker",
            MetricName=on.metric,
            Dimensions=[{"Name": on.dimension, "Value": of}],
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=on.minutes,
            DatapointsToAlarm=on.minutes,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="missing",
            Tags=labels,
        )


def foreign(policies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those policies that ``restore`` cannot put on another target."""
    return [
        each
        for each in policies
        if each["PolicyType"] != TRACKING and not each["PolicyName"].startswith(ALARM)
    ]


def restore(
    account: Account,
    target: Target,
    before: dict[str, Any],
    endpoint: str,
    labels: list[dict[str, str]],
) -> None:
    """Scale the variant ``target`` of ``endpoint`` as ``found`` has said that another was."""
    put(account, target, before["MinCapacity"], before["MaxCapacity"])
    for policy in before["Policies"]:
        if policy["PolicyType"] == TRACKING:
            tracking = policy["TargetTrackingScalingPolicyConfiguration"]
            track(account, target, policy["PolicyName"], tracking)
        else:
            wake(account, target, endpoint, QUEUE, labels)


def remove(account: Account, target: Target) -> None:
    """Remove the policies, the scalable target, and the alarm that wakes it."""
    there = found(account, target)
    if there is not None:
        for policy in there["Policies"]:
            removed(
                account, "delete_scaling_policy", SERVICE, PolicyName=policy["PolicyName"], **target
            )
        removed(account, "deregister_scalable_target", SERVICE, **target)
    remove_alarm(account, alarm(target))


def given_up(account: Account, target: Target, report: Report) -> None:
    """As ``remove``; who may not do that is told so, and goes on to what is billed."""
    try:
        remove(account, target)
    except AwsError as error:
        if error.aws_code not in REFUSED:
            raise
        report(f"the scaling of {target['ResourceId']} stays: {error}")


def remove_alarm(account: Account, name: str) -> None:
    """Delete the alarm, if there is one."""
    client = account.client("cloudwatch")
    with explained():
        if not client.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
            return
    try:
        with explained():
            client.delete_alarms(AlarmNames=[name])
    except AwsError as error:
        if not is_absent(error):
            raise


def _target(resource: str, dimension: str) -> Target:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource,
        "ScalableDimension": dimension,
    }
