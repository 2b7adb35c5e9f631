"""IAM as far as the policies here need it: what a request asks for, and whether a policy allows it.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Callable, Iterable, Iterator, Mapping

Policy = Mapping[str, Any]
Tags = Mapping[str, str]

USER = "moto"  # who signs in
SERVICES = {"service-quotas": "servicequotas", "sagemaker-runtime": "sagemaker"}  # by endpoint name
FREE = {("sts", "GetCallerIdentity")}  # needs no right, and cannot be forbidden
# Requests whose right has another name; without an entry it is the request's own.
RENAMED = {
    "s3": {
        "CopyObject": ("PutObject",),
        "CompleteMultipartUpload": ("PutObject",),
        "CreateMultipartUpload": ("PutObject",),
        "DeleteObjects": ("DeleteObject", "DeleteObjectVersion"),
        "DeletePublicAccessBlock": ("PutBucketPublicAccessBlock",),
        "GetBucketEncryption": ("GetEncryptionConfiguration",),
        "GetBucketLifecycleConfiguration": ("GetLifecycleConfiguration",),
        "GetPublicAccessBlock": ("GetBucketPublicAccessBlock",),
        "HeadBucket": ("ListBucket",),
        "HeadObject": ("GetObject",),
        "ListBuckets": ("ListAllMyBuckets",),
        "ListMultipartUploads": ("ListBucketMultipartUploads",),
        "ListObjectVersions": ("ListBucketVersions",),
        "ListObjectsV2": ("ListBucket",),
        "PutBucketEncryption": ("PutEncryptionConfiguration",),
        "PutBucketLifecycleConfiguration": ("PutLifecycleConfiguration",),
        "PutPublicAccessBlock": ("PutBucketPublicAccessBlock",),
        "UploadPart": ("PutObject",),
    }
}
# The resource that a parameter names, by service. What begins with ``arn:`` is one already.
RESOURCES = {
    "sagemaker": {
        "EndpointConfigName": "endpoint-config/{}",
        "EndpointName": "endpoint/{}",
        "HyperParameterTuningJobName": "hyper-parameter-tuning-job/{}",
        "InferenceComponentName": "inference-component/{}",
        "ModelName": "model/{}",
        "ModelPackageGroupName": "model-package-group/{}",
        "ModelPackageName": "model-package/{}",
        "ResourceArn": "{}",
        "TrainingJobName": "training-job/{}",
        "TransformJobName": "transform-job/{}",
    },
    "application-autoscaling": {"ResourceId": "scalable-target/{}"},
    "cloudformation": {"StackName": "stack/{}/*"},
    "cloudwatch": {"AlarmName": "alarm:{}", "AlarmNames": "alarm:{}"},
    "logs": {"logGroupName": "log-group:{}", "resourceArn": "{}"},
    "iam": {
        "GroupName": "group/{}",
        "PolicyArn": "{}",
        "PolicyName": "policy/{}",
        "PolicySourceArn": "{}",
        "RoleName": "role/{}",
        "UserName": "user/{}",
    },
}
UNSCOPED = ("List", "DescribeScal", "DescribeAlarms", "GetMetricData", "GetProducts")
WITH_RESOURCE = {"ListTags", "ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"}
WITH_RESOURCE |= {"ListTrainingJobsForHyperParameterTuningJob", "ListRolePolicies"}
WITH_RESOURCE |= {"ListTagsForResource"}
WITH_RESOURCE |= {"ListAttachedRolePolicies", "ListPolicyVersions", "ListEntitiesForPolicy"}


@dataclass(frozen=True)
class Asked:
    """A right that a request needs, on one resource; ``context`` is what conditions look at."""

    action: str
    resource: str
    context: Mapping[str, str]


def asked(
    service: str,
    operation: str,
    parameters: Mapping[str, Any],
    *,
    account: str,
    region: str = "us-east-1",
    tags: Callable[[str], Tags] = lambda _: {},
) -> list[Asked]:
    """All that a request needs; ``tags`` are those that a resource has already."""
    if (service, operation) in FREE:
        return []
    prefix = SERVICES.get(service, service)
    context = {
        "aws:PrincipalAccount": account,
        "aws:ResourceAccount": account,
        "aws:username": USER,
    }
    context |= {f"aws:RequestTag/{key}": value for key, value in _tags(parameters).items()}
    if prefix == "application-autoscaling":
        context["application-autoscaling:service-namespace"] = parameters["ServiceNamespace"]
    told = parameters.get("CustomerMetadataProperties", {})
    context |= {f"sagemaker:CustomerMetadataProperties/{k}": v for k, v in told.items()}
    if "PolicyArn" in parameters and prefix == "iam":
        context["iam:PolicyARN"] = parameters["PolicyArn"]
    found = []
    for name in RENAMED.get(prefix, {}).get(operation, (operation,)):
        for resource in _resources(prefix, name, parameters, account, region):
            own = {f"aws:ResourceTag/{key}": value for key, value in tags(resource).items()}
            found.append(Asked(f"{prefix}:{name}", resource, {**context, **own}))
    return [*found, *_implied(prefix, operation, parameters, found)]


def _implied(
    prefix: str, operation: str, parameters: Mapping[str, Any], found: list[Asked]
) -> Iterator[Asked]:
    """What AWS asks for beside the request's own right."""
    if prefix == "sagemaker" and operation.startswith("Create") and _tags(parameters):
        first = found[0]
        context = {**first.context, "sagemaker:TaggingAction": operation}
        yield Asked("sagemaker:AddTags", first.resource, context)
    if prefix == "sagemaker":
        for role in _roles(parameters):
            yield Asked("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _roles(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in ("RoleArn", "ExecutionRoleArn") and isinstance(inner, str):
                yield inner
            else:
                yield from _roles(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _roles(inner)


def _tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    listed = parameters.get("Tags", ())
    if isinstance(listed, Mapping):
        return dict(listed)
    return {each["Key"]: each["Value"] for each in listed if isinstance(each, Mapping)}


def _resources(
    prefix: str, name: str, parameters: Mapping[str, Any], account: str, region: str
) -> list[str]:
    if name.startswith(UNSCOPED) and name not in WITH_RESOURCE:
        return ["*"]
    if prefix == "s3":
        key = f"/{parameters.get('Key', 'some/object')}" if "Object" in name or ("Upload" in name \
            and "Bucket" not in name) else ""  # fmt: skip
        return [f"arn:aws:s3:::{parameters['Bucket']}{key}"]
    where = "" if prefix == "iam" else region
    found = []
    for parameter, form in RESOURCES.get(prefix, {}).items():
        for value in _listed(parameters.get(parameter)):
            if not isinstance(value, str) or (prefix, parameter) in _inline(name):
                continue
            own = f"arn:aws:{prefix}:{where}:{account}:{form.format(value)}"
            found.append(value if value.startswith("arn:") else own)
    if prefix == "iam" and name.startswith(("Attach", "Detach")):  # the policy is a condition
        found = [each for each in found if ":policy/" not in each]
    return found or ["*"]


def _inline(name: str) -> set[tuple[str, str]]:
    """A role's inline policy is no resource."""
    return {("iam", "PolicyName")} if "RolePolicy" in name else set()


def allows(policies: Iterable[Policy], what: Asked) -> bool:
    """Whether a statement of ``policies``, none of which denies anything, allows it."""
    return any(_matches(each, what) for policy in policies for each in policy["Statement"])


def _matches(statement: Mapping[str, Any], what: Asked) -> bool:
    assert statement["Effect"] == "Allow"
    return (
        any(fnmatchcase(what.action, action) for action in _listed(statement["Action"]))
        and any(
            _like(what.resource, _filled(resource, what.context))
            for resource in _listed(statement["Resource"])
        )
        and all(
            CONDITIONS[operator](
                what.context.get(key), [_filled(str(one), what.context) for one in _listed(values)]
            )
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _like(value: str, pattern: str) -> bool:
    """``*`` and ``?`` stand for characters; brackets, as fnmatch has them, for themselves."""
    parts = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(parts, value, re.DOTALL) is not None


def _filled(text: str, context: Mapping[str, str]) -> str:
    return re.sub(r"\$\{([\w:/]+)\}", lambda found: context.get(found[1], ""), text)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


CONDITIONS: Mapping[str, Callable[[str | None, list[str]], bool]] = {
    "ArnEquals": lambda value, given: value is not None and any(_like(value, g) for g in given),
    "ArnLike": lambda value, given: value is not None and any(_like(value, g) for g in given),
    "Null": lambda value, given: str(value is None).lower() in given,
    "StringEquals": lambda value, given: value in given,
    "StringLike": lambda value, given: value is not None and any(_like(value, g) for g in given),
}
