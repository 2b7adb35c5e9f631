"""Inference components: models that share the instances of an endpoint, down to none at all."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Iterator

from ...core.runtime.errors import InputError
from . import instances, removal, scaling
from .account import Account, AwsError, explained
from .removal import IN_SERVICE, POLL_SECONDS
from .rollback import Report, Rollback

UNSETTLED = ("Creating", "Updating", "Deleting")
# Of an instance's memory, what its components may have: the rest is for AWS's own programs there.
# Since it is over one half, two copies of a lone model never share an instance.
MEMORY_SHARE = 0.6
LEAST_CORES, LEAST_MEMORY = 0.25, 128  # of ComputeResourceRequirements, the latter in MB


def described(account: Account, name: str) -> dict[str, Any] | None:
    """As AWS describes it; None where there is none."""
    return removal.described(account, "describe_inference_component", InferenceComponentName=name)


def arn(account: Account, name: str) -> str:
    """The ARN of the component; "" where there is none."""
    return str((described(account, name) or {}).get("InferenceComponentArn", ""))


def listed(account: Account, **filters: Any) -> Iterator[dict[str, Any]]:
    """Every component, or those of an endpoint: ``EndpointNameEquals``."""
    return removal.listed(account, "list_inference_components", "InferenceComponents", **filters)


def needs(instance: str, models: int) -> dict[str, Any]:
    """What each of so many ``models`` on an instance of this type asks of it, as AWS takes it.

    All vCPUs but one are shared out, which is left for AWS's own programs, and MEMORY_SHARE of the
    memory. Raises InputError where it has GPUs, and fewer than models.
    """
    type_ = instances.find(instance)
    found: dict[str, Any] = {
        "NumberOfCpuCoresRequired": max(LEAST_CORES, (type_.vcpus - 1) / models),
        "MinMemoryRequiredInMb": max(
            LEAST_MEMORY, int(type_.memory * 1024 * MEMORY_SHARE / models)
        ),
    }
    if type_.gpus:
        if type_.gpus < models:
            raise InputError(
                f"{instance}: has {type_.gpus} GPUs, and {models} models that are to be scaled to "
                "zero need one each: deploy each to an endpoint of its own"
            )
        found["NumberOfAcceleratorDevicesRequired"] = type_.gpus // models
    return found


def create(
    account: Account,
    rollback: Rollback,
    name: str,
    endpoint: str,
    request: dict[str, Any],
    report: Report,
) -> None:
    """Create the component ``name`` of an ``endpoint`` that is in service, with one copy, and wait
    until it answers. Raises AwsError with the reason if it does not.
    """
    rollback.creating(
        f"inference component {name}",
        partial(remove, account, name, report),
        f"aws sagemaker delete-inference-component --inference-component-name {name}",
        holds=True,
        arn=partial(arn, account, name),
    )
    with explained():
        account.client("sagemaker").create_inference_component(
            InferenceComponentName=name,
            EndpointName=endpoint,
            RuntimeConfig={"CopyCount": 1},
            **request,
        )
    rollback.created()
    if account.dry:
        return
    found = settled(account, name, report)
    status = (found or {}).get("InferenceComponentStatus", "deleted by somebody else")
    if found is None or status != IN_SERVICE:
        reason = (found or {}).get("FailureReason") or "AWS says not why"
        raise AwsError(
            f"{name}: {status}: {reason}; its log: aws logs tail "
            f"/aws/sagemaker/InferenceComponents/{name} --region {account.region}"
        )


def settled(account: Account, name: str, report: Report) -> dict[str, Any] | None:
    """Wait until it is neither being created, changed nor deleted; as it is then."""
    status = ""
    while True:
        found = described(account, name)
        if found is None or found["InferenceComponentStatus"] not in UNSETTLED:
            return found
        if found["InferenceComponentStatus"] != status:
            status = found["InferenceComponentStatus"]
            report(f"inference component {name}: {status}")
        time.sleep(POLL_SECONDS)


def end(account: Account, name: str, report: Report) -> None:
    """Delete it, with its scaling, and wait until it is gone."""
    scaling.given_up(account, scaling.of_component(name), report)
    remove(account, name, report)


def remove(account: Account, name: str, report: Report) -> None:
    """Delete it and wait until it is gone: before that AWS keeps the endpoint."""
    found = described(account, name)
    if found is None:
        return
    if not account.dry and found["InferenceComponentStatus"] in UNSETTLED:
        report(f"{name}: is {found['InferenceComponentStatus']}: AWS deletes it only after that")
        if settled(account, name, report) is None:
            return
    removal.removed(account, "delete_inference_component", InferenceComponentName=name)
    if not account.dry:
        left = settled(account, name, report)
        if left is not None:
            raise AwsError(f"{name}: AWS has not deleted it: {left['InferenceComponentStatus']}")


def end_of(account: Account, endpoint: str, report: Report) -> None:
    """Delete all components of an endpoint, with their scaling."""
    for each in list(listed(account, EndpointNameEquals=endpoint)):
        end(account, each["InferenceComponentName"], report)
