"""The same as a template of CloudFormation, for whoever may not make roles, to hand to who may."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .. import images, rights, tags
from . import bucket, people, role

PARTITION = "arn:${AWS::Partition}:"
ACCOUNT, REGION = "${AWS::AccountId}", "${AWS::Region}"
STACK = "algoshelf"
BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"
BUCKET_ARN = f"arn:PARTITION:s3:::{BUCKET}"


def template(
    region: str, entities: Sequence[str] = (), key: str = "", *, company: bool = False
) -> dict[str, Any]:
    """For an account that is named nowhere in it, in ``region``'s partition.

    ``entities``, ``key`` and ``company`` as ``Plan`` has them.
    """
    company = company or bool(key)
    partition = images.partition_of(region)
    place = rights.Place(partition, ACCOUNT)
    labels = tags.setup(STACK)
    resources: dict[str, Any] = {
        "ExecutionRole": {
            "Type": "AWS::IAM::Role",
            "Condition": "MakesRole",
            "Properties": {
                "RoleName": role.NAME,
                "Description": "What the jobs and endpoints of algoshelf act in",
                "AssumeRolePolicyDocument": rights.trust(place),
                "Policies": [
                    {"PolicyName": name, "PolicyDocument": rights.policy(document, place)}
                    for document, name in role.POLICIES.items()
                    if company or document == rights.EXECUTION
                ],
                "Tags": [*labels, {"Key": role.REGIONS, "Value": REGION}],
            },
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Condition": "MakesBucket",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"BucketName": BUCKET, "Tags": labels, **_settings(key)},
        },
        "BucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Condition": "MakesBucket",
            "Properties": {
                "Bucket": {"Ref": "Bucket"},
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [bucket.tls_only(place.fill(BUCKET_ARN))],
                },
            },
        },
    }
    for document in [rights.USER, *([rights.COMPANY] if company else [])]:
        title = "PeoplePolicy" if document == rights.USER else "CompanyPolicy"
        resources[title] = {
            "Type": "AWS::IAM::ManagedPolicy",
            "Condition": "MakesRole",
            "Properties": {
                "ManagedPolicyName": people.NAMES[document],
                "Description": "What people may do by algoshelf sagemaker",
                "PolicyDocument": rights.policy(document, place),
                **_having(entities),
            },
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What algoshelf needs once in an account and region",
        "Parameters": {
            "MakeRole": _choice("no where another region has the role and the policy already"),
            "MakeBucket": _choice("no where the account has the bucket of SageMaker already"),
        },
        "Conditions": {
            f"Makes{what}": {"Fn::Equals": [{"Ref": f"Make{what}"}, "yes"]}
            for what in ("Role", "Bucket")
        },
        "Resources": _substituted(resources, f"arn:{partition}:"),
    }


def _choice(what: str) -> dict[str, Any]:
    values = ["yes", "no"]
    return {"Type": "String", "Default": "yes", "AllowedValues": values, "Description": what}


def _having(entities: Sequence[str]) -> dict[str, list[str]]:
    """Who gets the policy, as CloudFormation lists them."""
    found: dict[str, list[str]] = {}
    for entity in dict.fromkeys(entities):
        kind, _, name = entity.partition("/")
        found.setdefault(f"{people.ENTITIES[kind]}s", []).append(name)
    return found


def _settings(key: str) -> dict[str, Any]:
    """Of the bucket, in CloudFormation's words."""
    by = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    rules = [{"ServerSideEncryptionByDefault": by, "BucketKeyEnabled": bool(key)}]
    return {
        "BucketEncryption": {"ServerSideEncryptionConfiguration": rules},
        "PublicAccessBlockConfiguration": bucket.PRIVATE,
        "OwnershipControls": {"Rules": [{"ObjectOwnership": bucket.OWNED}]},
        "LifecycleConfiguration": {"Rules": [_rule(rule) for rule in bucket.RULES]},
    }


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    found = {"Id": rule["ID"], "Status": rule["Status"]}
    if rule["Filter"]["Prefix"]:
        found["Prefix"] = rule["Filter"]["Prefix"]
    if "Expiration" in rule:
        found["ExpirationInDays"] = rule["Expiration"]["Days"]
    if "AbortIncompleteMultipartUpload" in rule:
        found["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    return found


def _substituted(value: Any, arn: str) -> Any:
    """Each text that names the partition, the account or the region as CloudFormation fills it in;
    variables of IAM in it stay.
    """
    if isinstance(value, Mapping):
        return {name: _substituted(inner, arn) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_substituted(inner, arn) for inner in value]
    if isinstance(value, str):
        value = value.replace(arn, PARTITION)
        if "${AWS::" in value:
            return {"Fn::Sub": value.replace("${aws:", "${!aws:")}
    return value
