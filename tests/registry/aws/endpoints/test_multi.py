"""Multi-model endpoints: deployed with several models, one added, one removed, nothing left."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from tests.registry.aws.conftest import check_request
from tests.registry.aws.endpoints.conftest import ACCOUNT, IMAGE, MODEL, OWN, Run, left

BUCKET = f"sagemaker-us-east-1-{ACCOUNT}"
TWO = (f"{MODEL}=iris", f"{MODEL}=wine", "--multi-model", "--name", "demo", *OWN)


@pytest.fixture(autouse=True)
def bucket(aws: Any) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET)


def stored() -> list[str]:
    """The keys of the account's bucket, without the run that made them."""
    found = boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return [each["Key"].rpartition("/")[2] for each in found]


def test_models_are_deployed_added_and_removed(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []
    call = BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        sent.append((operation, parameters))
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    made = run("deploy", *TWO)
    assert made.code == 0, made.err
    assert "--target-model iris.tar.gz" in made.out
    [request] = [parameters for operation, parameters in sent if operation == "CreateModel"]
    check_request("CreateModel", request)
    container = request["PrimaryContainer"]
    assert container["Mode"] == "MultiModel"
    assert container["ModelDataUrl"].startswith(f"s3://{BUCKET}/algoshelf/endpoints/demo-")
    assert stored() == ["iris.tar.gz", "wine.tar.gz"]
    assert len(aws._models) == 1

    image = ("--image", IMAGE, "--yes", "--json")
    added = run("models", "demo", "--add", f"{MODEL}=rose", "--remove", "wine", *image)
    assert added.code == 0, added.err
    assert [each["target_model"] for each in added.json["models"]] == ["iris.tar.gz", "rose.tar.gz"]
    refused = run("models", "demo", "--remove", "wine", *image)
    assert refused.code == 2
    assert "there are iris, rose" in refused.err
    assert "--target-model" in run("models", "demo").out
    assert run("delete", "demo", "--yes").code == 0
    assert left(aws) == []
    assert stored() == []


def test_only_what_deploy_made_so_has_models(run: Run, aws: Any) -> None:
    assert run("deploy", MODEL, "--name", "plain", *OWN).code == 0
    refused = run("models", "plain")
    assert refused.code == 2
    assert "--multi-model` makes one" in refused.err
    assert "no such endpoint" in run("models", "nobody").err


REFUSED = {
    "serverless": (("--serverless", "1024"), "--serverless"),
    "asynchronous": (("--async", "s3://b/c"), "--async"),
    "down to zero": (("--autoscale", "0:1"), "--autoscale 0:"),
    "a GPU": (("--instance", "ml.g4dn.xlarge"), "Triton"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_aws_has_not_for_it_is_refused(run: Run, aws: Any, case: str) -> None:
    words, hint = REFUSED[case]
    result = run("deploy", *TWO, *words)
    assert result.code == 2
    assert hint in result.err
    assert left(aws) == stored() == []


@pytest.mark.parametrize(
    "operation", ["CopyObject", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"]
)
def test_whatever_step_fails_no_copy_of_a_model_is_left(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    call = BaseClient._make_api_call
    seen = []

    def failing(client: Any, name: str, parameters: dict[str, Any]) -> Any:
        answer = call(client, name, parameters)
        if name == operation:
            seen.append(name)
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", failing)
    assert run("deploy", *TWO).code == 130
    assert seen
    assert left(aws) == stored() == []
