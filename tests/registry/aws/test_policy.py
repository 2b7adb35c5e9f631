"""The rights: what is granted is what the commands ask for, on what is algoshelf's, no more.

That each request of each command is granted is held by the fixture ``aws`` in every test.
"""

from __future__ import annotations

import ast
import json
from typing import Any, Iterator

import pytest
from algoshelf.registry.aws import images, rights
from algoshelf.registry.aws.instances import TRAINING
from algoshelf.registry.aws.jobs import KINDS
from algoshelf.registry.cli import COMMANDS as LOCAL
from algoshelf.registry.cli.sagemaker import COMMANDS
from botocore import xform_name
from cfnlint.api import ManualArgs, lint

from tests.conftest import ROOT
from tests.registry.aws import iam
from tests.registry.aws.conftest import ACCOUNT, PLACE

DOCUMENTS = rights.documents()
OTHER = "210987654321"
OBJECTS = "arn:aws:s3:::mine/*"
MACHINE = "arn:aws:sagemaker:us-east-1:{}:{}/x"
READING = ("Describe", "List", "Get", "Search", "BatchGet")


def actions(name: str) -> Iterator[str]:
    """Of the policy in docs/."""
    for statement in json.loads((ROOT / "docs" / name).read_text())["Statement"]:
        yield from listed(statement["Action"])


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(document: str, action: str, resource: str, **context: str) -> bool:
    own = {"aws:PrincipalAccount": ACCOUNT, "aws:ResourceAccount": ACCOUNT}
    keys = {name.replace("__", ":").replace("_of_", "/"): each for name, each in context.items()}
    asked = iam.Asked(action, resource, {**own, **keys})
    return iam.allows([rights.policy(document, PLACE)], asked)


def faults(template: dict[str, Any]) -> list[str]:
    """What cfn-lint has against a template of CloudFormation."""
    config = ManualArgs(regions=["us-east-1"], include_checks=["I"])
    return [
        f"{each.rule.id}: {each.message[:200]}"
        for each in lint(json.dumps(template), config=config)
    ]


def test_what_aws_knows_not_is_a_fault() -> None:
    statement = {"Effect": "Allow", "Action": ["s3:Guess", "sagemaker:CreateModel"]}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": OBJECTS}]}
    properties = {"PolicyDocument": policy}
    found = faults(
        {"Resources": {"P": {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}}}
    )
    assert sorted(each.partition(":")[0] for each in found) == ["I3510", "W3037"]


@pytest.mark.parametrize("name", rights.files())
def test_the_documents_are_those_of_the_table(name: str) -> None:
    advice = "write them anew: python -m algoshelf.registry.aws.rights docs"
    assert (ROOT / "docs" / name).read_text() == rights.files()[name], advice


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_policy_has_real_actions_on_resources_that_they_know(
    document: str,
) -> None:
    """By AWS's own reference, as cfn-lint has it."""
    policy = rights.policy(document, PLACE)
    resource = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
    assert faults({"Resources": {"Policy": resource}}) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_policy_fits(document: str) -> None:
    most = rights.MAX_INLINE if document == rights.EXECUTION else rights.MAX_CHARACTERS
    assert len(json.dumps(rights.policy(document, PLACE), separators=(",", ":"))) <= most


@pytest.mark.parametrize("statement", rights.STATEMENTS, ids=lambda s: f"{s.document}-{s.sid}")
def test_what_reaches_everything_says_why_and_nothing_is_granted_by_a_pattern(
    statement: rights.Statement,
) -> None:
    policy = statement.policy(PLACE)
    reaches_all = "*" in listed(policy["Resource"])
    assert reaches_all == bool(statement.wildcard)
    assert not [each for each in listed(policy["Action"]) if "*" in each]
    for resource in listed(policy["Resource"]):  # of an account, but where ARNs name none
        account = resource.split(":")[4] if resource != "*" else ""
        without = ("arn:aws:s3:::", "arn:aws:apigateway:")
        assert account.isdigit() or resource == "*" or resource.startswith(without)
    for call in statement.calls:
        assert call.why
        assert call.commands


def test_every_command_that_the_table_names_there_is() -> None:
    named = {name for each in rights.STATEMENTS for call in each.calls for name in call.commands}
    assert named - {rights.CONTAINER} <= {*COMMANDS, *LOCAL}


def sent() -> set[str]:
    """The requests that the source can send, as boto3 names them."""
    verbs = (("create", ""), ("describe", ""), ("stop", ""), ("list", "s"))
    found = {kind.operation(*verb) for kind in KINDS for verb in verbs}
    for path in ROOT.glob("registry/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_nothing_is_granted_that_no_request_needs() -> None:
    """A right has a request of its name in the source, or says who asks for it otherwise."""
    renamed = {
        (service, right): request
        for service, requests in iam.RENAMED.items()
        for request, names in requests.items()
        for right in names
    }
    here = sent()
    useless = []
    for statement in rights.STATEMENTS:
        for call in statement.calls:
            service, name = call.action.split(":")
            request = renamed.get((service, name), name)
            if rights.CONTAINER in call.commands or call.implied:
                continue
            if xform_name(request) not in here and xform_name(name) not in here:
                useless.append(call.action)
    assert useless == []


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (call.action, kind)
        for statement in rights.STATEMENTS
        if statement.document == rights.USER
        for call in statement.calls
        for kind in ("endpoint", "model", "training-job")
        if call.action.startswith("sagemaker:")
        and not call.action.partition(":")[2].startswith(READING)
        and call.action != "sagemaker:CreateModelPackage"  # of which AWS takes no tags
    ],
)
def test_only_what_is_tagged_can_be_created_changed_or_ended(action: str, kind: str) -> None:
    mine, theirs = MACHINE.format(ACCOUNT, kind), MACHINE.format(OTHER, kind)
    tagged = {"aws__RequestTag_of_algoshelf": "1", "aws__ResourceTag_of_algoshelf": "1"}
    assert not allowed(rights.USER, action, mine)
    assert allowed(rights.USER, action, mine, **tagged)
    assert not allowed(rights.USER, action, theirs, **tagged)


def test_only_a_package_of_ours_can_be_registered() -> None:
    ours = {"sagemaker__CustomerMetadataProperties_of_algoshelf": "1"}
    for number, told, expected in (
        (ACCOUNT, ours, True),
        (ACCOUNT, {}, False),
        (OTHER, ours, False),
    ):
        resource = MACHINE.format(number, "model-package")
        found = allowed(rights.USER, "sagemaker:CreateModelPackage", resource, **told)
        assert found == expected


def test_nothing_reaches_into_buckets_roles_or_images_of_others() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/{{}}"
    to = {"iam__PassedToService": rights.SAGEMAKER}
    assert allowed(rights.USER, "iam:PassRole", role.format(rights.EXECUTION_ROLE), **to)
    assert not allowed(rights.USER, "iam:PassRole", role.format("admin"), **to)
    to = {"iam__PassedToService": "ec2.amazonaws.com"}
    assert not allowed(rights.USER, "iam:PassRole", role.format(rights.EXECUTION_ROLE), **to)
    for document in (rights.USER, rights.EXECUTION):
        for name, expected in ((f"sagemaker-us-east-1-{ACCOUNT}", True), ("sagemaker-x", False)):
            resource = f"arn:aws:s3:::{name}/key"
            assert allowed(document, "s3:PutObject", resource) == expected
            somebody = {"aws__ResourceAccount": OTHER}
            assert not allowed(document, "s3:PutObject", resource, **somebody)
    pull = "arn:aws:ecr:us-east-1:{}:repository/{}"
    for account, name, expected in (
        (ACCOUNT, "mine", True),
        ("763104351884", "mxnet-training", True),
        ("763104351884", "pytorch-training", False),
        (OTHER, "mxnet-training", False),
    ):
        resource = pull.format(account, name)
        assert allowed(rights.EXECUTION, "ecr:BatchGetImage", resource) == expected


def test_only_sagemaker_takes_the_execution_role_and_only_for_this_account() -> None:
    (statement,) = rights.trust(PLACE)["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
    for account, expected in ((ACCOUNT, True), (OTHER, False)):
        source = MACHINE.format(account, "training-job")
        context = {"aws:SourceAccount": account, "aws:SourceArn": source}
        held = {"Statement": [{**statement, "Resource": "*"}]}
        assert iam.allows([held], iam.Asked("sts:AssumeRole", "*", context)) == expected
        assert not iam.allows([held], iam.Asked("sts:AssumeRole", "*", {}))


def test_the_images_of_aws_are_those_that_are_asked_for() -> None:
    for region in images.regions():
        partition = images.partition_of(region)
        place = rights.Place(partition, ACCOUNT)
        policy = rights.policy(rights.EXECUTION, place)
        for scope in (TRAINING, images.INFERENCE):
            asked = images.image(region, "ml.m5.large", scope)
            registry, _, rest = asked.partition("/")
            resource = f"arn:{partition}:ecr:{region}:{registry.split('.')[0]}:repository/{rest}"
            pull = iam.Asked("ecr:BatchGetImage", resource.rpartition(":")[0], {})
            assert iam.allows([policy], pull)
