"""Endpoints at AWS: deployed whole or not at all, moved, listed, deleted, swept; moto is AWS."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest
from botocore.client import BaseClient
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from tests.registry.aws.conftest import check_request
from tests.registry.aws.endpoints.conftest import (
    ACCOUNT,
    IMAGE,
    INSTANCE,
    MODEL,
    OWN,
    PRICE,
    Run,
    _update_endpoint,
    deployed,
    left,
)


def test_a_trained_folder_is_deployed_listed_and_deleted(
    run: Run, aws: Any, iris_model: Path
) -> None:
    arguments = ("deploy", iris_model, "--role", "sagemaker", "--yes", "--json")
    made = run(*arguments, "--name", "demo", "--ttl", "2h")
    assert made.code == 0, made.err
    assert f"{PRICE} USD an hour" in made.err
    assert made.json["price_per_hour"] == PRICE
    assert made.json["endpoint"] in aws.endpoints
    [model] = aws._models.values()
    assert "mxnet-inference:1.9.0-cpu-py38" in model.primary_container["Image"]
    labels = {tag["Key"]: tag["Value"] for tag in aws.endpoints["demo"].tags}
    assert labels["algoshelf:algorithm"] == "kmeans"
    assert {"algoshelf", "algoshelf:expires"} < labels.keys()
    again = run(*arguments, "--name", "second")
    assert again.code == 0
    assert len({model.primary_container["ModelDataUrl"] for model in aws._models.values()}) == 1

    listed = run("list", "--json").json
    assert {item["name"] for item in listed["items"]} == {"demo", "second"}
    assert listed["price_per_hour"] == pytest.approx(2 * PRICE)
    expires = {item["name"]: item["expires"] for item in listed["items"]}
    assert datetime.fromisoformat(expires["demo"]) > datetime.now(timezone.utc)
    assert expires["second"] is None
    assert "never" in run("list").out
    deleted = run("delete", "demo", "second", "--yes", "--json")
    assert deleted.code == 0
    assert {one["kind"] for one in deleted.json["ended"]} == {"endpoint", "configuration", "model"}
    assert left(aws) == []
    nothing = run("list").out
    assert nothing.startswith("nothing of algoshelf's is billed in us-east-1 now\n")
    assert "log group" in nothing  # which says why it failed, where it did


STEPS = [
    (SageMakerResponse, "create_model", 1),
    (SageMakerResponse, "create_model", 2),
    (SageMakerResponse, "create_endpoint_config", 1),
    (SageMakerResponse, "create_endpoint", 1),
    (SageMakerResponse, "describe_endpoint", 2),
    (ApplicationAutoScalingResponse, "register_scalable_target", 1),
    (ApplicationAutoScalingResponse, "register_scalable_target", 2),
    (ApplicationAutoScalingResponse, "put_scaling_policy", 1),
    (ApplicationAutoScalingResponse, "put_scaling_policy", 2),
]


@pytest.mark.parametrize("interrupted", [False, True], ids=["refused", "ctrl-c"])
@pytest.mark.parametrize(("service", "operation", "number"), STEPS)
def test_whatever_step_fails_nothing_is_left(
    run: Run,
    aws: Any,
    monkeypatch: pytest.MonkeyPatch,
    service: type,
    operation: str,
    number: int,
    interrupted: bool,
) -> None:
    calls = []
    real = getattr(service, operation)

    def failing(self: Any) -> Any:
        calls.append(operation)
        if len(calls) != number:
            return real(self)
        if not interrupted:
            raise ValidationError("not today")
        real(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(service, operation, failing)
    result = run("deploy", f"{MODEL}=3", MODEL, "--name", "demo", *OWN, "--autoscale", "1:2")
    assert len(calls) >= number
    assert result.code == (130 if interrupted else 1)
    assert ("interrupted" if interrupted else "not today") in result.err
    assert "left behind" not in result.err
    assert left(aws) == []


def _endpoint_status(
    monkeypatch: pytest.MonkeyPatch, aws: Any, statuses: list[str], reason: str = ""
) -> None:
    """Have each waiting bring the next status; an exception's name raises it."""
    real = SageMakerResponse.create_endpoint

    def creating(self: Any) -> Any:
        answer = real(self)
        _advance(aws, statuses, reason)
        return answer

    def sleep(seconds: float) -> None:
        _advance(aws, statuses, reason)

    monkeypatch.setattr(SageMakerResponse, "create_endpoint", creating)
    monkeypatch.setattr("algoshelf.registry.aws.removal.time.sleep", sleep)


def _advance(aws: Any, statuses: list[str], reason: str) -> None:
    status = statuses.pop(0)
    if status == "KeyboardInterrupt":
        raise KeyboardInterrupt
    for endpoint in aws.endpoints.values():
        endpoint.endpoint_status, endpoint.failure_reason = status, reason or None


def test_the_reason_of_a_failed_endpoint_is_said(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _endpoint_status(monkeypatch, aws, ["Creating", "Failed"], "the container does not answer")
    result = run("deploy", MODEL, "--name", "demo", *OWN, "--json")
    assert result.code == 1
    assert "the container does not answer" in result.json["error"]["message"]
    assert "demo: Creating" in result.err
    assert left(aws) == []


def test_ctrl_c_while_aws_creates_waits_until_it_may_delete(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _endpoint_status(monkeypatch, aws, ["Creating", "KeyboardInterrupt", "Creating", "InService"])
    result = run("deploy", MODEL, "--name", "demo", *OWN)
    assert result.code == 130
    assert "AWS deletes it only after that" in result.err
    assert left(aws) == []


def test_ctrl_c_twice_says_what_is_left_and_how_to_remove_it(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _endpoint_status(
        monkeypatch, aws, ["Creating", "KeyboardInterrupt", "KeyboardInterrupt", "InService"]
    )
    result = run("deploy", MODEL, "--name", "demo", *OWN)
    assert result.code == 130
    assert "algoshelf sagemaker delete demo --region us-east-1" in result.err
    assert len(left(aws)) == 3  # a configuration must not go before its endpoint
    aws.endpoints["demo"].endpoint_status = "InService"
    assert run("delete", "demo", "--yes").code == 0
    assert left(aws) == []


def test_what_cannot_be_removed_is_named(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Any) -> Any:
        raise ValidationError("you may not")

    monkeypatch.setattr(SageMakerResponse, "delete_endpoint", refused)
    _endpoint_status(monkeypatch, aws, ["Failed"])
    message = run("deploy", MODEL, "--name", "demo", *OWN, "--json").json["error"]["message"]
    for name in left(aws):
        assert name in message
    assert len(left(aws)) == 3


OPTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "serverless": (
        (MODEL, "--serverless", "2048:7"),
        {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 7}},
    ),
    "async": (
        (MODEL, "--async", "s3://out/answers", "--autoscale", "0:3"),
        {"S3OutputPath": "s3://out/answers", "MinCapacity": 0, "MaxCapacity": 3},
    ),
    "capture": (
        (MODEL, "--capture", "s3://out/captured", "--capture-percent", "25"),
        {"InitialSamplingPercentage": 25, "DestinationS3Uri": "s3://out/captured"},
    ),
    "two variants": (
        (f"{MODEL}=9", f"{MODEL}=1", "--count", "2", "--autoscale", "1:4:500"),
        {"InitialVariantWeight": 9.0, "TargetValue": 500.0, "InitialInstanceCount": 2},
    ),
}


@pytest.mark.parametrize("options", OPTIONS)
def test_a_dry_run_prints_the_requests_and_sends_none(run: Run, aws: Any, options: str) -> None:
    arguments, expected = OPTIONS[options]
    result = run("deploy", *arguments, "--role", "sagemaker", "--image", IMAGE, "--dry-run")
    assert result.code == 0, result.err
    assert left(aws) == []
    for request in result.json["requests"]:
        if request["service"] == "sagemaker":  # the others' patterns are not Python's
            check_request(request["operation"], request["parameters"])
    found = dict(_leaves(result.json))
    for key, value in expected.items():
        if isinstance(value, dict):
            assert value.items() <= found.items()
        else:
            assert found[key] == value
    assert run("deploy", *arguments, "--name", "demo", *OWN).code == 0
    assert run("delete", "demo", "--yes").code == 0
    assert left(aws) == []


def test_graviton_takes_an_image_of_ones_own(run: Run, aws: Any) -> None:
    """Dry, since moto has no such types."""
    options = ("--instance", "ml.c7g.large", "--role", "sagemaker", "--dry-run")
    planned = run("deploy", MODEL, *options, "--image", IMAGE)
    assert planned.code == 0, planned.err
    found = dict(_leaves(planned.json))
    assert (found["InstanceType"], found["Image"]) == ("ml.c7g.large", IMAGE)


def test_an_image_of_ones_own_gets_the_model_without_code(
    run: Run, aws: Any, iris_model: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(iris_model, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"an export")
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        for path in sorted(copy.iterdir()):
            members.add(path, path.name)
    for name, what in (("folder", copy), ("archive", archive)):
        made = run("deploy", what, "--name", name, *OWN)
        assert made.code == 0, made.err
    for model in aws._models.values():
        bucket, _, key = model.primary_container["ModelDataUrl"][len("s3://") :].partition("/")
        body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as members:
            assert sorted(members.getnames()) == sorted(path.name for path in copy.iterdir())
        assert model.primary_container["Image"] == IMAGE
        assert "Environment" not in model.primary_container


def _leaves(document: Any) -> Iterator[tuple[str, Any]]:
    """The values of a JSON document by their keys; of several the first counts."""
    if isinstance(document, list):
        for item in reversed(document):
            yield from _leaves(item)
    elif isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, (dict, list)):
                yield from _leaves(value)
            else:
                yield key, value


REFUSED = {
    "a taken name": ((MODEL, "--name", "taken"), "update taken MODEL"),
    "no such role": ((MODEL, "--role", "nobody"), "no such role"),
    "a role for others": ((MODEL, "--role", "other"), "may not assume it"),
    "no role": ((MODEL, "--role", ""), "ALGOSHELF_ROLE"),
    "no time": ((MODEL, "--ttl", "soon"), "30m or 2h"),
    "too short a time": ((MODEL, "--ttl", "1s"), "a minute or more"),
    "no such job": (("nothing-here",), "no training job in us-east-1"),
    "no such folder": (("./nothing",), "nothing"),
    "no such archive": (("s3://models/two/model.tar.gz",), "nothing lies there"),
    "no archive": (("s3://models/one/model.zip",), ".tar.gz"),
    "an instance without code for it": ((MODEL, "--instance", "ml.p5.48xlarge"), "instead"),
    "graviton in AWS's image": (
        (MODEL, "--instance", "ml.c7g.large", "--image", ""),
        "arm64, and AWS's MXNet image is made for x86_64 only: give --image",
    ),
    "an instance that there is not": ((MODEL, "--instance", "ml.m5.tiny"), "ml.m5.large"),
    "beyond the quota": ((MODEL, "--count", "5"), "quota"),
    "a wrong name": ((MODEL, "--name", "-_-"), "--name"),
    "a wrong weight": ((f"{MODEL}=much",), "MODEL=WEIGHT"),
    "a weight that is no number": ((f"{MODEL}=nan",), "weights"),
    "an address with =": (("s3://models/day=1/model.tar.gz",), "nothing lies there"),
    "too long a time": ((MODEL, "--ttl", "99999999999h"), "30m or 2h"),
    "too long a name": ((MODEL, "--name", f"a{'-' * 70}b"), "--name"),
    "no weight": ((f"{MODEL}=0",), "weights"),
    "no address": ((MODEL, "--capture", "/tmp"), "s3://BUCKET"),
    "serverless instances": ((MODEL, "--serverless", "2048", "--count", "2"), "no instances"),
    "serverless capture": ((MODEL, "--serverless", "2048", "--capture", "s3://b/c"), "--capture"),
    "serverless memory": ((MODEL, "--serverless", "2000"), "1024"),
    "two async models": ((MODEL, MODEL, "--async", "s3://b/c"), "one model"),
    "a wrong range": ((MODEL, "--autoscale", "3:1"), "--autoscale"),
    "down to none, by weight": ((f"{MODEL}=3", MODEL, "--autoscale", "0:1"), "no weights"),
    "down to none, watched": (
        (MODEL, "--autoscale", "0:1", "--capture", "s3://b/c"),
        "captures nothing",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_created(
    run: Run, aws: Any, case: str
) -> None:
    arguments, hint = REFUSED[case]
    if "taken" in arguments:
        deployed(run, name="taken")
    before = left(aws)
    result = run("deploy", *OWN, "--name", "demo", "--json", *arguments)
    assert result.code == 2
    assert hint in result.json["error"]["message"]
    assert left(aws) == before


def test_a_model_of_an_unknown_plugin_is_refused(
    run: Run, aws: Any, iris_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(iris_model, tmp_path / "model")
    metadata = json.loads((folder / "algorithm.json").read_text())
    metadata.update(algorithm="acme-forest", distribution="acme 1.0")
    (folder / "algorithm.json").write_text(json.dumps(metadata))
    result = run("deploy", folder, *OWN)
    assert result.code == 2
    assert "made by 'acme-forest' of acme 1.0" in result.err
    assert left(aws) == []


@pytest.mark.parametrize(
    ("lacking", "hint"),
    [("AWS_DEFAULT_REGION", "--region"), ("AWS_ACCESS_KEY_ID", "aws configure")],
)
def test_what_of_the_account_is_missing_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, lacking: str, hint: str
) -> None:
    monkeypatch.delenv(lacking)
    if lacking == "AWS_ACCESS_KEY_ID":
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = run("list")
    assert result.code != 0
    assert hint in result.err


def test_a_training_job_is_deployed_with_the_code_that_it_left_out(
    run: Run, aws: Any, iris_model: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        for file in iris_model.iterdir():
            archive.add(file, file.name)
    s3 = boto3.client("s3")
    s3.upload_file(str(tmp_path / "model.tar.gz"), "models", "jobs/iris/output/model.tar.gz")
    _train("iris", "123.dkr.ecr.us-east-1.amazonaws.com/mxnet-training:1.9.0-cpu-py38")
    made = run("deploy", "iris", "--name", "demo", "--yes", "--json")
    assert made.code == 0, made.err
    [model] = aws._models.values()
    assert model.execution_role_arn.endswith("role/sagemaker")
    bucket, _, key = model.primary_container["ModelDataUrl"][5:].partition("/")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        assert "code/inference.py" in packed.getnames()
    uri = model.primary_container["ModelDataUrl"]
    assert run("deploy", uri, "--name", "second", "--role", "sagemaker", "--yes").code == 0
    assert {model.primary_container["ModelDataUrl"] for model in aws._models.values()} == {uri}


def test_a_job_whose_model_is_gone_is_refused_before_a_price_is_shown(run: Run) -> None:
    _train("iris", "123.dkr.ecr.us-east-1.amazonaws.com/mxnet-training:1.9.0-cpu-py38")
    result = run("deploy", "iris", "--name", "demo", "--yes")
    assert result.code == 2
    assert "s3://models/jobs/iris/output/model.tar.gz: nothing lies there" in result.err
    assert "USD" not in result.err


def _train(name: str, image: str = IMAGE, **labels: str) -> None:
    """A training job, which moto completes at once."""
    boto3.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/sagemaker",
        OutputDataConfig={"S3OutputPath": "s3://models/jobs"},
        ResourceConfig={"InstanceType": INSTANCE, "InstanceCount": 2, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Tags=[{"Key": key, "Value": value} for key, value in labels.items()],
    )


def _foreign(name: str) -> None:
    """An endpoint that somebody else made."""
    client = boto3.client("sagemaker")
    client.create_model(
        ModelName=name,
        PrimaryContainer={"Image": IMAGE},
        ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/sagemaker",
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.c5.xlarge",
        "InitialInstanceCount": 1,
    }
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_list_has_jobs_in_progress_and_what_is_not_ours_when_asked(run: Run, aws: Any) -> None:
    deployed(run)
    deployed(run, "--serverless", "1024", name="paid-by-use")
    _foreign("theirs")
    _train("ours", algoshelf="0", **{"algoshelf:algorithm": "kmeans"})
    _train("done", algoshelf="0")
    aws.training_jobs["ours"].training_job_status = "InProgress"
    listed = run("list", "--json").json
    found = {item["name"]: item for item in listed["items"]}
    assert found.keys() == {"demo", "paid-by-use", "ours"}
    assert found["ours"]["price_per_hour"] == pytest.approx(2 * PRICE)
    assert found["ours"]["algorithm"] == "kmeans"
    assert found["paid-by-use"]["price_per_hour"] == 0
    assert listed["price_per_hour"] == pytest.approx(3 * PRICE)
    everything = run("list", "--all", "--json").json
    assert {item["name"] for item in everything["items"] if not item["ours"]} == {"theirs"}
    assert everything["unknown_prices"] == 1
    assert everything["price_per_hour"] is None  # or what is not known would seem to be free
    assert ": 1 of unknown price" in run("list", "--all").out

    assert run("delete", "ours", "--yes").code == 0
    assert aws.training_jobs["ours"].training_job_status == "Stopped"


def test_what_may_be_billed_is_never_listed_for_less(run: Run, aws: Any) -> None:
    deployed(run)
    other = deployed(run, "--serverless", "1024", name="other")["configuration"]
    [variant] = aws.endpoint_configs[other].production_variants
    variant["ServerlessConfig"]["ProvisionedConcurrency"] = 1
    aws.endpoints["demo"].endpoint_status = "Failed"  # perhaps when it was scaled, and still runs
    listed = run("list", "--json").json
    assert (listed["known_price_per_hour"], listed["unknown_prices"]) == (PRICE, 1)


def test_during_an_update_both_fleets_are_listed(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run)
    pending = deployed(run, "--count", 2, name="other")["configuration"]
    del aws.endpoints["other"]
    call = BaseClient._make_api_call

    def updating(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        answer = call(client, operation, parameters)
        if operation == "DescribeEndpoint":
            answer["PendingDeploymentSummary"] = {"EndpointConfigName": pending}
            answer["ProductionVariants"] = []
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", updating)
    assert run("list", "--json").json["price_per_hour"] == pytest.approx(3 * PRICE)


def test_a_job_that_ends_while_it_is_deleted_is_no_fault(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(self: Any) -> Any:
        aws.training_jobs["ours"].training_job_status = "Completed"
        raise ValidationError("the training job is in status Completed")

    _train("ours", algoshelf="0")
    aws.training_jobs["ours"].training_job_status = "InProgress"
    monkeypatch.setattr(SageMakerResponse, "stop_training_job", ended)
    assert run("delete", "ours", "--yes").code == 0


def test_delete_asks_and_leaves_what_is_not_ours_or_still_used(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deployed(run, name="first")
    model = first["variants"][0]["ModelName"]
    _foreign("theirs")
    aws.endpoint_configs["theirs"].production_variants[0]["ModelName"] = model

    assert "--yes" in run("delete", "first").err
    assert "first" in aws.endpoints
    assert "--foreign" in run("delete", "theirs", "--yes").err
    assert "no endpoint and no job" in run("delete", "nobody", "--yes").err
    assert run("delete").code == run("delete", "first", "--all").code == 2
    planned = run("delete", "first", "--dry-run").json["requests"]
    assert [one["operation"] for one in planned] == ["DeleteEndpoint", "DeleteEndpointConfig"]

    assert run("delete", "--all", "--yes").code == 0
    assert aws.endpoints.keys() == aws.endpoint_configs.keys() == {"theirs"}
    assert aws._models.keys() == {"theirs", model}
    assert run("delete", "--all", "--foreign", "--yes").code == 0
    assert not aws.endpoints
    assert "nothing to delete" in run("delete", "--all", "--yes").err


def test_one_failing_deletion_stops_no_other_and_sweep_has_the_rest(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run, name="first")
    deployed(run, name="second")
    real = SageMakerResponse.delete_model

    def refused(self: Any) -> Any:
        if self._get_param("ModelName").startswith("first"):
            raise ValidationError("you may not")
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(SageMakerResponse, "delete_model", refused)
        result = run("delete", "--all", "--yes", "--json")
    assert result.code == 1
    assert "you may not" in result.json["error"]["message"]
    assert not aws.endpoints
    assert [name.partition("-")[0] for name in left(aws)] == ["first"]
    assert run("delete", "first", "--yes").code == 0
    assert left(aws) == []


def test_sweep_ends_what_is_past_its_time_and_what_nothing_uses(run: Run, aws: Any) -> None:
    deployed(run, "--ttl", "2h", "--autoscale", "1:2", name="past")
    deployed(run, "--ttl", "2h", name="ahead")
    deployed(run, name="for-ever")
    deployed(run, name="orphaned")
    deployed(run, name="young")
    _foreign("theirs")
    past = datetime.now(timezone.utc) - timedelta(minutes=1)
    for tag in aws.endpoints["past"].tags:
        if tag["Key"] == "algoshelf:expires":
            tag["Value"] = past.strftime("%Y-%m-%dT%H:%M:%SZ")
    for name in ("orphaned", "young", "theirs"):
        del aws.endpoints[name]
    long_ago = past.replace(tzinfo=None) - timedelta(days=1)  # moto's times have no zone
    for stock in (aws.endpoint_configs, aws._models):
        for name, one in stock.items():
            if not name.startswith("young"):
                one.creation_time = long_ago

    planned = run("sweep", "--dry-run").json["requests"]
    assert {"DeleteEndpoint", "DeleteModel", "DeregisterScalableTarget"} <= {
        one["operation"] for one in planned
    }
    assert len(aws.endpoints) == 3
    ended = run("sweep", "--json").json["ended"]
    assert {one["name"] for one in ended if one["kind"] == "endpoint"} == {"past"}
    assert aws.endpoints.keys() == {"ahead", "for-ever"}
    stems = {"ahead", "for", "young", "theirs"}
    assert {name.partition("-")[0] for name in left(aws)} == stems
    assert run("sweep").out == "nothing was to be ended in us-east-1\n"


UPDATE = ("update", "demo", MODEL, "--image", IMAGE, "--bake", "1ms", "--yes")
ERRORS = "Invocation5XXErrors"


def _measure(variant: str, metric: str, values: list[float], ahead: float) -> None:
    """What CloudWatch has of the requests to a variant of ``demo``."""
    dimensions = {"EndpointName": "demo", "VariantName": variant}
    data = {
        "MetricName": metric,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "Timestamp": datetime.now(timezone.utc) + timedelta(seconds=ahead),
    }
    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker", MetricData=[{**data, "Value": value} for value in values]
    )


def _traffic(monkeypatch: pytest.MonkeyPatch, measured: dict[tuple[str, str], list[float]]) -> None:
    """Have requests measured, by variant and metric, as soon as the endpoint is updated."""

    def updating(self: Any) -> Any:
        while measured:
            (variant, metric), values = measured.popitem()
            _measure(variant, metric, values, ahead=30)  # in the minutes of the step that begins
        return _update_endpoint(self)

    monkeypatch.setattr(SageMakerResponse, "update_endpoint", updating)


def _weights(aws: Any) -> dict[str, float]:
    return {
        variant["VariantName"]: variant["CurrentWeight"]
        for variant in aws.endpoints["demo"].production_variants
    }


def test_aws_image_is_not_moved_onto_graviton(run: Run, aws: Any) -> None:
    deployed(run)
    [configuration] = aws.endpoint_configs.values()
    configuration.production_variants[0]["InstanceType"] = "ml.c7g.large"
    before = left(aws)
    refused = run(*UPDATE, "--image", "")
    assert refused.code == 2
    assert "AWS's MXNet image is made for x86_64 only: give --image" in refused.err
    assert left(aws) == before


def test_update_moves_the_traffic_in_steps_and_tidies_up(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run, "--capture", "s3://out/captured", "--autoscale", "1:2")
    before = set(left(aws))
    seen: list[dict[str, float]] = []
    real = SageMakerResponse.describe_endpoint

    def seeing(self: Any) -> Any:
        if (weights := _weights(aws)) not in seen:
            seen.append(weights)
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(SageMakerResponse, "describe_endpoint", seeing)
        _traffic(patch, {("unknown", ERRORS): [1.0] + [0.0] * 199})
        result = run(*UPDATE, "--steps", "20,100", "--json")
    assert result.code == 0, result.err
    assert result.json["variant"] == "unknown"
    assert seen[:3] == [{"one": 1}, {"one": 80, "unknown": 20}, {"one": 0, "unknown": 100}]
    assert seen[3].keys() == {"unknown"}
    first, last = result.json["steps"]
    assert first == {"percent": 20, "requests": 200, "failed": 1}
    assert last["percent"] == 100
    after = set(left(aws))
    assert before & after == {"demo", "demo-one"}  # the endpoint and its scaling policy
    assert len(after) == len(before)
    [configuration] = aws.endpoint_configs.values()
    assert configuration.data_capture_config["DestinationS3Uri"] == "s3://out/captured"
    assert run("delete", "demo", "--yes").code == 0
    assert left(aws) == []


@pytest.mark.parametrize(
    ("options", "measured", "reason"),
    [
        ((), {("unknown", ERRORS): [1.0, 1.0] + [0.0] * 8}, "2 of 10 requests failed"),
        (
            ("--metric", "ModelLatency:20"),
            {("one", "ModelLatency"): [100.0] * 9, ("unknown", "ModelLatency"): [130.0]},
            "ModelLatency is 130, was 100",
        ),
        (
            ("--metric", "AWS/SageMaker/Accuracy:-5"),
            {("one", "Accuracy"): [0.9], ("unknown", "Accuracy"): [0.8, 0.8]},
            "Accuracy is 0.8, was 0.9",
        ),
    ],
    ids=["errors", "higher", "lower"],
)
def test_a_worse_model_is_rolled_back(
    run: Run,
    aws: Any,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    measured: dict[tuple[str, str], list[float]],
    reason: str,
) -> None:
    deployed(run, "--autoscale", "1:2")
    before = left(aws)
    _traffic(monkeypatch, measured)
    result = run(*UPDATE, *options, "--json")
    assert result.code == 1
    assert result.json["error"]["code"] == "rolled_back"
    assert reason in result.json["error"]["message"]
    assert _weights(aws).keys() == {"one"}
    assert left(aws) == before


def test_a_metric_within_its_limit_is_no_reason(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run)
    latencies = {("one", "ModelLatency"): [100.0], ("unknown", "ModelLatency"): [130.0]}
    _traffic(monkeypatch, latencies)
    result = run(*UPDATE, "--metric", "ModelLatency:50", "--json")
    assert result.code == 0, result.err
    assert result.json["steps"][0]["ModelLatency"] == {"old": 100.0, "new": 130.0}


def test_whatever_step_of_an_update_fails_the_endpoint_is_as_it_was(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run, "--autoscale", "1:2")
    before = left(aws)
    steps = [
        (SageMakerResponse, "create_model", 1),
        (SageMakerResponse, "create_endpoint_config", 1),
        (SageMakerResponse, "create_endpoint_config", 2),
        (ApplicationAutoScalingResponse, "deregister_scalable_target", 1),
        (SageMakerResponse, "update_endpoint", 1),
        (SageMakerResponse, "update_endpoint_weights_and_capacities", 1),
        (SageMakerResponse, "update_endpoint", 2),
        (ApplicationAutoScalingResponse, "register_scalable_target", 1),
    ]
    for service, operation, number in steps:
        with monkeypatch.context() as patch:
            _interrupt(patch, service, operation, number)
            assert run(*UPDATE).code == 130, (operation, number)
        assert left(aws) == before, (operation, number)
        assert _weights(aws).keys() == {"one"}


def _interrupt(patch: pytest.MonkeyPatch, service: type, operation: str, number: int) -> None:
    """Ctrl-C while the answer to that request is on its way."""
    real, calls = getattr(service, operation), []

    def interrupted(self: Any) -> Any:
        calls.append(operation)
        answer = real(self)
        if len(calls) == number:
            raise KeyboardInterrupt
        return answer

    patch.setattr(service, operation, interrupted)


def test_ctrl_c_in_a_step_goes_back(run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed(run)
    before = left(aws)
    _endpoint_status(monkeypatch, aws, ["KeyboardInterrupt"])
    result = run(*UPDATE, "--bake", "1h")
    assert result.code == 130
    assert "all traffic is on the old model again" in result.err
    assert left(aws) == before


def test_a_model_that_does_not_start_is_said_and_removed(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run)
    before = left(aws)

    def going_back(self: Any) -> Any:
        aws.endpoints["demo"].failure_reason = "no ping"
        return ActionResult({"EndpointArn": aws.endpoints["demo"].arn})

    monkeypatch.setattr(SageMakerResponse, "update_endpoint", going_back)
    result = run(*UPDATE)
    assert result.code == 1
    assert "no ping" in result.err
    assert left(aws) == before


def test_a_serverless_endpoint_moves_at_once_and_back(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run, "--serverless", "1024")
    assert "--steps 100" in run(*UPDATE, "--steps", "10,100").err
    before = left(aws)
    _measure("one", "ModelLatency", [100.0], ahead=-60)
    with monkeypatch.context() as patch:
        _traffic(patch, {("unknown", "ModelLatency"): [130.0]})
        assert "was 100" in run(*UPDATE, "--metric", "ModelLatency:20").err
    assert left(aws) == before
    result = run(*UPDATE, "--json")
    assert result.code == 0, result.err
    assert "a serverless endpoint, and moves in one step" in result.err
    assert [step["percent"] for step in result.json["steps"]] == [100]
    assert len(left(aws)) == 3


def test_only_ends_a_test_of_two_models(run: Run, aws: Any) -> None:
    assert run("deploy", f"{MODEL}=9", f"{MODEL}=0", "--name", "demo", *OWN).code == 0
    assert "--only VARIANT" in run(*UPDATE).err
    assert "one-1, one-2" in run("update", "demo", "--only", "three", "--yes").err
    result = run("update", "demo", "--only", "one-2", "--yes", "--json")
    assert result.code == 0, result.err
    assert _weights(aws) == {"one-2": 1}
    assert len(left(aws)) == 3
    _foreign("theirs")
    assert "--foreign" in run("update", "theirs", MODEL, "--yes").err
    assert "no such endpoint" in run("update", "nobody", MODEL, "--yes").err
    assert run("update", "demo", "--yes").code == 2
