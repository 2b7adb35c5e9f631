"""The rights that docs/sagemaker.md asks for: real actions, each with its reason, no more."""

from __future__ import annotations

import json
import re
from typing import Any, Iterator

import pytest
from algoshelf.registry.aws import images
from algoshelf.registry.aws.instances import TRAINING
from botocore.session import get_session

from tests.conftest import ROOT

DOCS = ROOT / "docs"
POLICIES = ("iam-policy.json", "iam-execution-role.json")
MAX_CHARACTERS = 6_144  # of a managed policy, without white space
CLIENTS = {
    "application-autoscaling": "application-autoscaling",
    "cloudwatch": "cloudwatch",
    "ecr": "ecr",
    "logs": "logs",
    "pricing": "pricing",
    "sagemaker": "sagemaker",
    "servicequotas": "service-quotas",
}
RUNTIME = {"InvokeEndpoint", "InvokeEndpointAsync"}  # of sagemaker-runtime
# Rights that go by another name than the request.
NO_REQUEST = {"iam:PassRole", "s3:ListBucket"}


def statements(name: str) -> list[dict[str, Any]]:
    document = json.loads((DOCS / name).read_text())
    assert document["Version"] == "2012-10-17"
    return list(document["Statement"])


def actions(name: str) -> Iterator[str]:
    for statement in statements(name):
        found = statement["Action"]
        yield from [found] if isinstance(found, str) else found


@pytest.mark.parametrize("name", POLICIES)
def test_every_action_is_a_request_of_aws(name: str) -> None:
    session = get_session()
    for action in set(actions(name)) - NO_REQUEST:
        service, operation = action.split(":")
        client = "sagemaker-runtime" if operation in RUNTIME else CLIENTS.get(service, service)
        assert operation in session.get_service_model(client).operation_names, action


@pytest.mark.parametrize(("name", "table"), list(zip(POLICIES, (0, 1))))
def test_the_document_gives_a_reason_for_every_action_and_for_no_other(
    name: str, table: int
) -> None:
    text = (DOCS / "sagemaker.md").read_text()
    part = text.split("| action | why |")[table + 1].split("\n\n")[0]
    reasons = {
        action: row.split("|")[2].strip()
        for row in part.splitlines()
        for action in re.findall(r"`([a-z0-9-]+:[A-Za-z0-9]+)`", row.partition("| ")[2])
    }
    assert set(reasons) == set(actions(name))
    assert all(reasons.values())


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_fits_and_has_no_wildcard_for_actions(name: str) -> None:
    text = (DOCS / name).read_text()
    assert len(re.sub(r"\s", "", text)) <= MAX_CHARACTERS
    assert not [action for action in actions(name) if "*" in action]


def test_only_what_is_tagged_can_be_created_changed_or_ended() -> None:
    for statement in statements("iam-policy.json"):
        found = statement["Action"]
        for action in [found] if isinstance(found, str) else found:
            service, operation = action.split(":")
            if service == "sagemaker" and not operation.startswith(("Describe", "List")):
                ((_, condition),) = statement["Condition"].items()
                assert set(condition) <= {
                    "aws:RequestTag/algoshelf",
                    "aws:ResourceTag/algoshelf",
                    "sagemaker:TaggingAction",
                }, action


def test_only_sagemaker_takes_the_execution_role() -> None:
    (statement,) = statements("iam-execution-trust.json")
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "ACCOUNT"}}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", POLICIES)
def test_no_right_reaches_into_buckets_images_logs_or_roles_of_any_account(name: str) -> None:
    own = {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}
    for statement in statements(name):
        services = {action.partition(":")[0] for action in listed(statement["Action"])}
        if services == {"s3"} and statement["Action"] != "s3:CreateBucket":  # there is none before
            assert statement["Condition"] == own
        for resource in listed(statement["Resource"]):
            if services & {"ecr", "iam"} and resource != "*":
                number = resource.split(":")[4]
                assert re.fullmatch(r"ACCOUNT|\d{12}", number) or "aws-service-role" in resource


def test_the_images_of_aws_are_those_that_are_asked_for() -> None:
    others = ("cn-", "us-gov-", "us-iso")  # partitions of their own
    (pull,) = [s for s in statements(POLICIES[1]) if "ecr:BatchGetImage" in s["Action"]]
    granted = {resource.split(":")[4] for resource in pull["Resource"]}
    known = [region for region in images.regions() if not region.startswith(others)]
    for scope in (TRAINING, images.INFERENCE):
        asked = [images.image(region, "ml.m5.large", scope) for region in known]
        assert {image.split(".")[0] for image in asked} == granted - {"ACCOUNT"}
        assert all("/mxnet-" in image for image in asked)
