"""All that is algoshelf's is seen, by one entry a kind; what is not, or is used, is spared."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Iterable

import boto3
import pytest
from algoshelf.registry.aws import inventory
from algoshelf.registry.aws.account import Account
from algoshelf.registry.aws.rollback import Report
from algoshelf.registry.aws.stock import Item, Kind, Wanted
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.sagemaker.responses import SageMakerResponse

from tests.registry.aws.endpoints.conftest import (
    ACCOUNT,
    INSTANCE,
    Run,
    deployed,
    left,
    listed_components,
    long_ago,
)

BUCKET = f"sagemaker-us-east-1-{ACCOUNT}"


def test_a_kind_is_listed_deleted_and_swept_by_one_entry(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"mine": {"algoshelf": "1"}, "old": {"algoshelf": "1"}, "theirs": {}}
    there["old"]["algoshelf:expires"] = "2020-01-01T00:00:00Z"

    def found(account: Account, wanted: Wanted) -> Iterable[Item]:
        now = datetime.now(timezone.utc)
        for name, tags in list(there.items()):
            labels = wanted.labels(name, now, lambda tags=tags: tags)
            if labels is not None:
                yield Item("thing", name, "ready", now, "a shelf", 0.5, labels)

    def end(account: Account, item: Item, report: Report) -> None:
        del there[item.name]

    monkeypatch.setattr(inventory, "KINDS", (*inventory.KINDS, Kind("thing", found, end)))
    listed = run("list", "--json").json
    assert [item["name"] for item in listed["items"]] == ["mine", "old"]
    assert listed["price_per_hour"] == 1.0
    assert run("sweep", "--json").json["ended"] == [{"kind": "thing", "name": "old"}]
    assert "--foreign" in run("delete", "theirs", "--yes").err
    assert run("delete", "mine", "--yes").code == 0
    assert list(there) == ["theirs"]


def test_logs_and_the_bucket_are_listed_with_their_bytes(run: Run, aws: Any) -> None:
    deployed(run)
    s3, logs = boto3.client("s3"), boto3.client("logs")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="algoshelf/data/a", Body=b"x" * 1000)
    s3.put_object(Bucket=BUCKET, Key="others/b", Body=b"x" * 5000)
    logs.create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")  # SageMaker's, of everybody
    resting = {item["kind"]: item for item in run("list", "--json").json["resting"]}
    assert resting["bucket"]["stored_bytes"] == 1000
    assert resting["bucket"]["name"] == f"s3://{BUCKET}/algoshelf/"
    assert resting["log group"]["name"] == "/aws/sagemaker/Endpoints/demo"
    [group] = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/E")["logGroups"]
    assert group["retentionInDays"] == 30
    everything = run("list", "--all", "--json").json["resting"]
    assert "/aws/sagemaker/TrainingJobs" in {item["name"] for item in everything}
    assert "STORES" in run("list").out
    refused = run("delete", resting["bucket"]["name"], "--kind", "bucket", "--yes")
    assert "no command of algoshelf's ends a bucket" in refused.err


def test_a_log_that_still_stores_something_is_kept(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("full", "empty"):
        deployed(run, name=name)
        assert run("delete", name, "--yes").code == 0
    group = "/aws/sagemaker/Endpoints/full"
    logs = boto3.client("logs")
    logs.create_log_stream(logGroupName=group, logStreamName="a")
    now = int(datetime.now(timezone.utc).timestamp() * 1000)
    logs.put_log_events(
        logGroupName=group,
        logStreamName="a",
        logEvents=[{"timestamp": now, "message": "why it failed"}],
    )
    assert run("sweep").out.startswith("nothing")  # young
    long_ago(monkeypatch)
    ended = run("sweep", "--json").json["ended"]
    assert ended == [{"kind": "log group", "name": "/aws/sagemaker/Endpoints/empty"}]


def test_what_the_credentials_may_not_list_is_said_and_the_rest_is_shown(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run)
    call = BaseClient._make_api_call

    def refused(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "DescribeLogGroups":
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", refused)
    shown = run("list", "--json")
    assert [item["name"] for item in shown.json["items"]] == ["demo"]
    assert "not listed: log group" in shown.err
    assert shown.json["price_per_hour"] is None
    assert run("sweep").code == 1  # who cannot see what is used ends nothing


def _train(name: str, **tags: str) -> None:
    labels = [{"Key": key.replace("__", ":"), "Value": value} for key, value in tags.items()]
    boto3.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": "i", "TrainingInputMode": "File"},
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/sagemaker",
        OutputDataConfig={"S3OutputPath": "s3://b/c"},
        ResourceConfig={"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Tags=labels,
    )


def test_a_job_is_stopped_only_by_who_created_it(run: Run, aws: Any) -> None:
    _train("hers", algoshelf="1", algoshelf__creator="assumed-role/team/ann")
    _train("mine", algoshelf="1", algoshelf__creator="user/moto")
    _train("older", algoshelf="1")  # of before creators were noted
    for job in aws.training_jobs.values():
        job.training_job_status = "InProgress"
    refused = run("delete", "hers", "--yes")
    assert refused.code == 2
    assert "assumed-role/team/ann has created this training job" in refused.err
    done = run("delete", "--all", "--yes")
    assert "training job hers: assumed-role/team/ann has created it, and it goes on" in done.err
    status = {name: job.training_job_status for name, job in aws.training_jobs.items()}
    assert status == {"hers": "InProgress", "mine": "Stopped", "older": "Stopped"}
    assert run("delete", "hers", "--foreign", "--yes").code == 0
    assert aws.training_jobs["hers"].training_job_status == "Stopped"


def test_a_model_of_somebody_elses_component_is_spared(run: Run, aws: Any) -> None:
    made = deployed(run)
    model = made["variants"][0]["ModelName"]
    deployed(run, "--autoscale", "0:1", name="other")
    client = boto3.client("sagemaker")
    client.create_inference_component(
        InferenceComponentName="theirs",
        EndpointName="other",
        VariantName="instances",
        Specification={"ModelName": model},
        RuntimeConfig={"CopyCount": 1},
        Tags=[],
    )
    assert run("delete", "demo", "--yes").code == 0
    assert model in aws._models
    assert "uses this model" in run("delete", model, "--kind", "model", "--yes").err
    client.delete_inference_component(InferenceComponentName="theirs")
    assert run("delete", model, "--kind", "model", "--yes").code == 0
    assert run("delete", "other", "--yes").code == 0
    assert left(aws) == listed_components() == []


def test_an_unknown_kind_is_named_with_those_there_are(run: Run, aws: Any) -> None:
    refused = run("delete", "x", "--kind", "modle", "--yes")
    assert refused.code == 2
    assert "did you mean 'model'" in refused.err


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:iam::1:user/team/ann", "user/team/ann"),
        ("arn:aws:sts::1:assumed-role/r,ole/ann@example.org", "assumed-role/r_ole/ann@example.org"),
        ("arn:aws:sts::1:assumed-role/role/botocore-session-1700000000", "assumed-role/role"),
        ("arn:aws:sts::1:assumed-role/role/i-0123456789abcdef0", "assumed-role/role"),
    ],
)
def test_who_acts_is_a_person_where_the_session_is_named_by_one(arn: str, expected: str) -> None:
    from types import SimpleNamespace

    from algoshelf.registry.aws import tags

    account: Any = SimpleNamespace(identity={"Arn": arn})
    assert tags.creator(account) == expected


def test_a_stopped_job_without_rights_is_said(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(response: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "StopTrainingJob")

    _train("mine", algoshelf="1")
    aws.training_jobs["mine"].training_job_status = "InProgress"
    monkeypatch.setattr(SageMakerResponse, "stop_training_job", refused)
    assert run("delete", "mine", "--yes").code == 1
