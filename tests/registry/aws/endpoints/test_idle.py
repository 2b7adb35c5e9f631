"""Endpoints that cost nothing while nobody asks: down to no instance, and woken again."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.exceptions import JsonRESTError
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from tests.registry.aws.conftest import check_request
from tests.registry.aws.endpoints.conftest import (
    INSTANCE,
    MODEL,
    OWN,
    Run,
    deployed,
    left,
    listed_components,
    long_ago,
)

TO_ZERO = ("--autoscale", "0:2:100")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """Service, operation and parameters of all requests that change something."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    call = BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation.startswith(("Create", "Put", "Register", "Delete", "Deregister")):
            found.append((client.meta.service_model.service_name, operation, parameters))
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    return found


def test_down_to_zero_and_woken_by_the_first_request(
    run: Run, aws: Any, requests: list[tuple[str, str, dict[str, Any]]]
) -> None:
    made = deployed(run, *TO_ZERO)
    assert made["components"] == ["demo"]
    sent = {operation: parameters for _, operation, parameters in requests}
    for service, operation, parameters in requests:
        check_request(operation, parameters, service)
    [host] = sent["CreateEndpointConfig"]["ProductionVariants"]
    assert host["ManagedInstanceScaling"] == {
        "Status": "ENABLED",
        "MinInstanceCount": 0,
        "MaxInstanceCount": 2,
    }
    assert "ModelName" not in host
    assert sent["CreateEndpointConfig"]["ExecutionRoleArn"].endswith("role/sagemaker")
    component = sent["CreateInferenceComponent"]
    assert component["Specification"]["ModelName"] == sent["CreateModel"]["ModelName"]
    assert component["Specification"]["ComputeResourceRequirements"] == {
        "NumberOfCpuCoresRequired": 1.0,  # of 2
        "MinMemoryRequiredInMb": 4915,  # of 8 GiB: two never share an instance
    }
    target = sent["RegisterScalableTarget"]
    assert target["ResourceId"] == "inference-component/demo"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 2)
    tracking, steps = (each for _, name, each in requests if name == "PutScalingPolicy")
    metric = tracking["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    assert metric == {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}
    assert steps["PolicyType"] == "StepScaling"
    [alarm] = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert alarm["MetricName"] == "NoCapacityInvocationFailures"
    assert alarm["Dimensions"] == [{"Name": "InferenceComponentName", "Value": "demo"}]
    policies = boto3.client("application-autoscaling").describe_scaling_policies(
        ServiceNamespace="sagemaker"
    )["ScalingPolicies"]
    assert alarm["AlarmActions"] == [
        one["PolicyARN"] for one in policies if one["PolicyType"] == "StepScaling"
    ]

    aws.endpoints["demo"].production_variants[0]["CurrentInstanceCount"] = 0  # nobody asks
    listed = run("list", "--json").json
    assert listed["price_per_hour"] == 0
    assert {item["kind"] for item in listed["items"]} == {"endpoint", "component"}
    resting = {item["kind"] for item in listed["resting"]}
    assert resting == {"configuration", "model", "alarm", "log group"}
    assert f"0 × {INSTANCE}" in run("list").out
    assert run("delete", "demo", "--yes").code == 0
    assert left(aws) == []


def test_several_models_share_the_instances(run: Run, aws: Any) -> None:
    made = deployed(run, MODEL, *TO_ZERO)
    assert made["components"] == ["demo-one-1", "demo-one-2"]
    requirements = [
        boto3.client("sagemaker").describe_inference_component(
            InferenceComponentName=each["InferenceComponentName"]
        )["Specification"]["ComputeResourceRequirements"]
        for each in listed_components()
    ]
    assert [each["MinMemoryRequiredInMb"] for each in requirements] == [2457, 2457]
    assert run("delete", "demo-one-1", "--yes").code == 0
    assert [each["InferenceComponentName"] for each in listed_components()] == ["demo-one-2"]
    assert len(aws._models) == 1  # the other's
    assert run("delete", "demo", "--yes").code == 0
    assert left(aws) == []


STEPS = [
    (SageMakerResponse, "create_model"),
    (SageMakerResponse, "create_endpoint_config"),
    (SageMakerResponse, "create_endpoint"),
    (SageMakerResponse, "create_inference_component"),
    (SageMakerResponse, "describe_inference_component"),
    (ApplicationAutoScalingResponse, "register_scalable_target"),
    (ApplicationAutoScalingResponse, "put_scaling_policy"),
    (CloudWatchResponse, "put_metric_alarm"),
]


@pytest.mark.parametrize("interrupted", [False, True], ids=["refused", "ctrl-c"])
@pytest.mark.parametrize(("service", "operation"), STEPS)
def test_whatever_step_fails_nothing_is_left(
    run: Run,
    aws: Any,
    monkeypatch: pytest.MonkeyPatch,
    service: type,
    operation: str,
    interrupted: bool,
) -> None:
    real = getattr(service, operation)
    calls = []

    def failing(response: Any) -> Any:
        calls.append(operation)
        if len(calls) > 1:
            return real(response)
        if not interrupted:
            raise ValidationError("not today")
        real(response)  # it is there, and the answer is lost
        raise KeyboardInterrupt

    monkeypatch.setattr(service, operation, failing)
    result = run("deploy", MODEL, "--name", "demo", *OWN, *TO_ZERO)
    assert calls
    assert result.code == (130 if interrupted else 1)
    assert "left behind" not in result.err
    assert left(aws) == []


def test_who_may_not_scale_is_left_with_nothing_that_bills(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(response: Any) -> Any:
        raise JsonRESTError("AccessDeniedException", "not authorized")

    for operation in ("register_scalable_target", "describe_scalable_targets"):
        monkeypatch.setattr(ApplicationAutoScalingResponse, operation, refused)
    result = run("deploy", MODEL, "--name", "demo", *OWN, *TO_ZERO)
    assert result.code == 1
    assert "not authorized" in result.err
    assert not aws.endpoints
    assert listed_components() == []


def test_somebody_elses_component_of_the_name_is_left_alone(run: Run, aws: Any) -> None:
    deployed(run, *TO_ZERO, name="first")
    client = boto3.client("sagemaker")
    [model] = aws._models
    theirs = {"EndpointName": "first", "VariantName": "instances", "Tags": []}
    client.create_inference_component(
        InferenceComponentName="demo",
        Specification={"ModelName": model},
        RuntimeConfig={"CopyCount": 1},
        **theirs,
    )
    before = set(left(aws))
    result = run("deploy", MODEL, "--name", "demo", *OWN, *TO_ZERO)
    assert result.code == 1
    assert "somebody else made it, and it is left alone" in result.err
    assert "left behind" not in result.err
    assert set(left(aws)) == before


def test_the_worst_case_is_told_before_anything_is_billed(run: Run, aws: Any) -> None:
    asked = ("deploy", MODEL, "--name", "demo", *OWN[:-1])
    told = run(*asked, *TO_ZERO, "--ttl", "10h").err
    assert "That is at most 2.30 USD until then" in told  # 10 h × 2 × 0.115
    assert "costs only its CloudWatch alarms" in told
    assert "at most 83.95 USD a month" in run(*asked).err
    assert "What a second costs is not in the table" in run(*asked, "--serverless", "1024").err
    assert left(aws) == []


def test_an_asynchronous_endpoint_is_woken_and_moved_with_its_alarm(run: Run, aws: Any) -> None:
    deployed(run, "--async", "s3://out/answers", "--autoscale", "0:2")
    [alarm] = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": "demo"}]
    moved = run("update", "demo", MODEL, *OWN, "--bake", "1ms", "--json")
    assert moved.code == 0, moved.err
    [after] = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert moved.json["variant"] in after["AlarmName"]
    assert run("delete", "demo", "--yes").code == 0
    assert left(aws) == []


def test_sweep_ends_an_alarm_without_its_endpoint_and_no_model_of_a_component(
    run: Run, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run, *TO_ZERO)
    deployed(run, "--async", "s3://out/answers", "--autoscale", "0:1", name="gone")
    for stock in (aws.endpoints, aws.endpoint_configs, aws._models):
        for name in [name for name in stock if name.startswith("gone")]:
            del stock[name]
    long_ago(monkeypatch)
    ended = run("sweep", "--json").json["ended"]
    assert ended == [
        {"kind": "alarm", "name": "algoshelf-wakes-endpoint-gone-variant-one"},
        {"kind": "log group", "name": "/aws/sagemaker/Endpoints/gone"},
    ]
    assert len(aws._models) == 1
    assert run("delete", next(iter(aws._models)), "--kind", "model", "--yes").code == 2
