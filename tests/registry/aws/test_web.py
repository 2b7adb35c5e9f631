"""The review app at AWS: deployed whole or not at all, bounded in its rights, and deleted whole."""

from __future__ import annotations

import ast
import io
import json
import shlex
import zipfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from algoshelf.registry.aws.account import Account
from algoshelf.registry.aws.stock import Wanted
from algoshelf.registry.aws.stock.apps import APPS
from algoshelf.registry.cli import cli
from algoshelf.registry.web import corrections, prices, template
from botocore.session import get_session
from cfnlint.api import ManualArgs, lint
from click.testing import CliRunner, Result

from tests.conftest import ROOT
from tests.project.test_docs import blocks
from tests.registry.aws import iam
from tests.registry.aws.conftest import ACCOUNT, BUCKET, INSTANCE, Aws
from tests.registry.aws.stacks import stacks

__all__ = ["stacks"]

ENDPOINT = "Reviews-1"
STACK = "algoshelf-web-reviews"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `algoshelf web ENDPOINT --output` writes."""
    secret = tmp_path / "secret"
    secret.write_text("a-long-enough-password\n")
    target = tmp_path / "app"
    words = ["web", ENDPOINT, "--output", str(target), "--password-file", str(secret)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    return target


@pytest.fixture
def endpoint(aws: Aws) -> None:
    serve(aws, ENDPOINT)


def serve(aws: Aws, name: str) -> None:
    """An endpoint of this name."""
    client = aws.client("sagemaker")
    role = f"arn:aws:iam::{ACCOUNT}:role/sagemaker"
    client.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
    variant = {
        "VariantName": "v", "ModelName": "m", "InstanceType": INSTANCE,
        "InitialInstanceCount": 1,
    }  # fmt: skip
    client.create_endpoint_config(EndpointConfigName="settings", ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName="settings")
    aws.requests.clear()


Deploy = Callable[..., Result]


@pytest.fixture
def deploy(aws: Aws, endpoint: None, stacks: None, folder: Path) -> Deploy:
    def call(*arguments: object) -> Result:
        return aws("web", "deploy", folder, "--name", "reviews", "--yes", *arguments)

    return call


def refused(done: Result) -> str:
    """Why a command was refused."""
    assert done.exit_code in (1, 2)
    return f"{done.output}\n{done.exception}"


def left(aws: Aws) -> list[str]:
    """All that may be left of an app, in whatever service."""
    kinds = {
        ("cloudformation", "describe_stacks", "Stacks"): "StackName",
        ("s3", "list_buckets", "Buckets"): "Name",
        ("iam", "list_roles", "Roles"): "RoleName",
        ("lambda", "list_functions", "Functions"): "FunctionName",
        ("logs", "describe_log_groups", "logGroups"): "logGroupName",
        ("apigatewayv2", "get_apis", "Items"): "ApiId",
        ("cloudwatch", "describe_alarms", "MetricAlarms"): "AlarmName",
    }
    found = [
        str(each[name])
        for (service, operation, key), name in kinds.items()
        for each in getattr(aws.client(service), operation)()[key]
    ]
    return [name for name in found if name != BUCKET]


def test_it_is_deployed_and_nothing_is_left_of_it(aws: Aws, deploy: Deploy, tmp_path: Path) -> None:
    done = deploy("--page-origin", "https://example.org", "--log-days", 7)
    assert done.exit_code == 0, done.output
    assert "It costs nothing while nobody asks" in done.output
    assert "The endpoint is billed beside it: 0.230 USD an hour" in done.output
    [url] = [word for word in done.output.split() if word.startswith("http")]
    assert url.startswith("https://")
    assert aws.objects() == []  # the archive was wanted by CloudFormation alone

    [api] = aws.client("apigatewayv2").get_apis()["Items"]
    assert api["CorsConfiguration"]["AllowOrigins"] == ["https://example.org"]
    [stage] = aws.client("apigatewayv2").get_stages(ApiId=api["ApiId"])["Items"]
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 50, "ThrottlingRateLimit": 10}
    function = aws.client("lambda").get_function_configuration(FunctionName=STACK)
    variables = function["Environment"]["Variables"]
    assert variables["ALGOSHELF_ENDPOINT"] == ENDPOINT
    assert variables["ALGOSHELF_PASSWORD"].count(":") == 1
    assert "a-long-enough-password" not in json.dumps(function, default=str)
    [log] = aws.client("logs").describe_log_groups()["logGroups"]
    assert (log["logGroupName"], log["retentionInDays"]) == (f"/aws/lambda/{STACK}", 7)
    bucket = variables["ALGOSHELF_BUCKET"]

    shown = json.loads(aws("list", "--json").output)["resting"]
    assert ("reviews", "web app", True) in [(e["name"], e["kind"], e["ours"]) for e in shown]
    [item] = APPS.found(Account(), Wanted())
    assert (item.name, item.is_ours, item.price, item.kept) == ("reviews", True, 0.0, 0)
    given = {"text": "a warm film", "label": "negative", "answer": {}, "consent": True}
    for _ in range(3):
        kept = corrections.accepted(given, ENDPOINT)
        aws.client("s3").put_object(
            Bucket=bucket, Key=corrections.key(kept), Body=corrections.line(kept)
        )
    [listed] = json.loads(aws("web", "list", "--json").output)["apps"]
    assert (listed["name"], listed["url"], listed["corrections"]) == ("reviews", url, 3)

    assert [each.kept for each in APPS.found(Account(), Wanted())] == [
        3 * len(corrections.line(kept))
    ]
    assert "3 corrections are kept in it" in refused(aws("web", "delete", "reviews", "--yes"))
    assert left(aws)
    saved = tmp_path / "saved.jsonl"
    done = aws("web", "delete", "reviews", "--yes", "--corrections", saved)
    assert done.exit_code == 0, done.output
    assert [each["text"] for each in corrections.read(saved)] == ["a warm film"] * 3
    assert left(aws) == []
    assert "there is no review app" in refused(aws("web", "delete", "reviews", "--yes"))


def test_a_taken_name_and_an_absent_endpoint_are_told_before_anything_is_made(
    aws: Aws, deploy: Deploy, folder: Path
) -> None:
    assert deploy().exit_code == 0
    aws.requests.clear()
    assert "there is an app of this name" in refused(deploy())
    aws.client("sagemaker").delete_endpoint(EndpointName=ENDPOINT)
    aws.requests.clear()
    absent = aws("web", "deploy", folder, "--name", "other", "--yes")
    assert f"{ENDPOINT}: there is no such endpoint" in refused(absent)
    assert aws.changes() == []


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--name", "Reviews"), "expected small letters"),
        (("--name", "a" * 41), "expected up to 40"),
        (("--page-origin", "https://example.org/path"), "expected an origin"),
        (("--page-origin", "*"), "expected an origin"),
        (("--email", "me"), "expected an address"),
    ],
)
def test_what_cannot_be_is_refused(aws: Aws, folder: Path, arguments: Any, fault: str) -> None:
    done = aws("web", "deploy", folder, "--yes", *arguments)
    assert fault in refused(done)
    assert aws.changes() == []


def test_a_folder_of_something_else_is_refused(aws: Aws, tmp_path: Path) -> None:
    (tmp_path / "template.json").write_text('{"Resources": {}}')
    done = aws("web", "deploy", tmp_path, "--yes")
    assert "is no folder that `algoshelf web --output` has written" in refused(done)


def test_a_dry_run_sends_nothing(aws: Aws, deploy: Deploy) -> None:
    done = deploy("--dry-run")
    assert done.exit_code == 0, done.output
    planned = json.loads(done.stdout)["requests"]
    assert [each["operation"] for each in planned if each["service"] == "cloudformation"] == [
        "CreateStack"
    ]
    assert left(aws) == []


def test_what_fails_is_removed_again(
    aws: Aws, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(answer: dict[str, Any]) -> None:
        for stack in answer["Stacks"]:
            if "DELETE" not in stack["StackStatus"]:
                stack["StackStatus"] = "CREATE_FAILED"

    aws.answers["DescribeStacks"] = failed
    assert f"{STACK}: failed" in refused(deploy())
    aws.answers.clear()
    assert left(aws) == []
    assert aws.objects() == []


def test_who_interrupts_it_leaves_nothing(aws: Aws, deploy: Deploy) -> None:
    def interrupted(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    aws.answers["CreateStack"] = interrupted  # which has reached AWS
    assert deploy().exit_code == 1
    assert len(aws.sent("CreateStack")) == 1
    assert left(aws) == []
    assert aws.objects() == []


def test_what_is_not_of_algoshelf_is_left_alone(aws: Aws) -> None:
    empty = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
    aws.client("cloudformation").create_stack(StackName=STACK, TemplateBody=empty)
    done = aws("web", "delete", "reviews", "--yes")
    assert "algoshelf did not make it" in refused(done)
    assert json.loads(aws("web", "list", "--json").output)["apps"] == []
    assert aws("web", "delete", "reviews", "--yes", "--foreign").exit_code == 0
    assert left(aws) == []


def every_right() -> Iterator[str]:
    """A right for each request that the services know, as IAM names most of them."""
    session = get_session()
    for service in ("iam", "lambda", "logs", "s3", "sagemaker", "sagemaker-runtime", "sts"):
        model = session.get_service_model(service)
        prefix = model.metadata.get("signingName", model.metadata["endpointPrefix"])
        for operation in model.operation_names:
            yield f"{prefix}:{operation}"


def test_its_role_asks_that_endpoint_and_puts_corrections_and_nothing_else(
    aws: Aws, deploy: Deploy
) -> None:
    """The policy as it is deployed, asked about every request of the services that it names."""
    assert deploy().exit_code == 0
    client = aws.client("iam")
    [role] = client.list_roles()["Roles"]
    assert client.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"] == []
    [name] = client.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    policy = client.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
    policy = ast.literal_eval(policy)  # moto gives what Python writes of it
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    function = aws.client("lambda").get_function_configuration(FunctionName=STACK)
    bucket = f"arn:aws:s3:::{function['Environment']['Variables']['ALGOSHELF_BUCKET']}"
    own = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/reviews-1"
    log = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/{STACK}:log-stream:x"
    resources = [
        "*", own, f"{own}-other", own.replace("us-east-1", "eu-west-1"),
        own.replace(ACCOUNT, "2" * 12),
        bucket, f"{bucket}/corrections/x.jsonl", f"{bucket}/other", f"arn:aws:s3:::{BUCKET}/x",
        "arn:aws:s3:::other/corrections/x.jsonl", log, log.replace(STACK, "other"),
        f"arn:aws:iam::{ACCOUNT}:role/{role['RoleName']}", function["FunctionArn"],
    ]  # fmt: skip
    rights = set(every_right())
    assert len(rights) > 800
    granted = {
        (right, resource)
        for right in rights
        for resource in resources
        if iam.allows([policy], iam.Asked(right, resource, {}))
    }
    assert granted == {
        ("sagemaker:InvokeEndpoint", own),
        ("s3:PutObject", f"{bucket}/corrections/x.jsonl"),
        ("logs:CreateLogStream", log),
        ("logs:PutLogEvents", log),
    }


@pytest.mark.parametrize("endpoint", [ENDPOINT, ""])
def test_cfn_lint_finds_nothing(endpoint: str) -> None:
    stack = template.Stack("reviews", "text-classification", endpoint)
    written = json.dumps(template.template(stack))
    config = ManualArgs(regions=["us-east-1", "eu-central-1"], include_checks=["I"])
    assert [f"{each.rule.id}: {each.message}" for each in lint(written, config=config)] == []
    assert ("InvokeEndpoint" in written) == bool(endpoint)
    assert '"AllowOrigins": ["*"]' not in written
    bucket = template.template(stack)["Resources"]["Corrections"]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())


def test_the_commands_of_the_document_run(
    aws: Aws, stacks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "web.md"
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    assert len(lines) == 4
    serve(aws, "reviews")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        name, *words = shlex.split(line)
        assert name == "algoshelf"
        agreed = ["--yes"] if {"deploy", "delete"} & {*words} else []
        done = CliRunner().invoke(cli, [*words, *agreed])
        assert done.exit_code == 0, done.output
    assert left(aws) == []
    for endpoint in (ENDPOINT, ""):
        stack = template.Stack("m", "a", endpoint)
        usd = 1e6 * prices.of_request(stack.memory, stack.machine)
        assert f"| {usd:.2f} USD |" in page.read_text()


def test_the_alarm_is_that_of_the_cost() -> None:
    parts = template.template(template.Stack("m", "a", ENDPOINT, usd=10.0))["Parameters"]
    twice = template.template(template.Stack("m", "a", ENDPOINT, usd=20.0))["Parameters"]
    day = parts["RequestsPerDay"]["Default"]
    assert 100_000 < day < 400_000
    assert abs(twice["RequestsPerDay"]["Default"] - 2 * day) <= 1


def test_the_archive_imports_nothing_but_the_standard_library_and_boto3(folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO((folder / "function.zip").read_bytes())) as archive:
        names = archive.namelist()
    assert "lambda_function.py" in names
    assert len([name for name in names if name.endswith(".py")]) == 8
    assert not [name for name in names if "serving" in name or "packaging" in name]
