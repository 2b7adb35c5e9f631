"""Endpoints at AWS, where moto is AWS, with what moto lacks; and the command line on them."""

from __future__ import annotations

import functools
import json
import signal
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import boto3
import botocore.loaders
import botocore.session
import pytest
from algoshelf.registry.aws import inventory
from algoshelf.registry.cli import main
from botocore.client import BaseClient
from moto import mock_aws
from moto.applicationautoscaling.models import ScalableDimensionValueSet
from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse
from moto.servicequotas.responses import ServiceQuotasResponse

from tests.registry.aws.conftest import Aws

INSTANCE, PRICE = "ml.m5.large", 0.115
COPIES = "sagemaker:inference-component:DesiredCopyCount"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
MODEL = "s3://models/one/model.tar.gz"
OWN = ("--image", IMAGE, "--role", "sagemaker", "--yes")
REGION, ACCOUNT = "us-east-1", "123456789012"
TRUST = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ]
}


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An account with a role ``sagemaker`` and an archive MODEL; what moto has of SageMaker there.

    What moto lacks is added: UpdateEndpoint, StopTrainingJob, ListServiceQuotas, inference
    components, variants without a model, which hold them, and the number of their copies.
    """
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_PROFILE", "AWS_REGION", "ALGOSHELF_ROLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _write_prices(tmp_path / "cache")
    quotas = {
        "Quotas": [
            {"QuotaName": f"{INSTANCE} for endpoint usage", "Value": 4.0, "QuotaCode": "L-1"}
        ]
    }
    added: dict[type, dict[str, Any]] = {
        SageMakerResponse: {
            "update_endpoint": _update_endpoint,
            "stop_training_job": _stop,
            **Components().operations(),
        },
        ServiceQuotasResponse: {"list_service_quotas": lambda self: ActionResult(quotas)},
    }
    for service, operations in added.items():
        for name, operation in operations.items():
            monkeypatch.setattr(service, name, operation, raising=False)
    validate = SageMakerModelBackend.validate_production_variants

    def validated(backend: Any, variants: list[dict[str, Any]]) -> None:
        validate(backend, [each for each in variants if "ModelName" in each])

    monkeypatch.setattr(SageMakerModelBackend, "validate_production_variants", validated)
    dimensions = [*ScalableDimensionValueSet, SimpleNamespace(value=COPIES)]
    for module in ("models", "responses"):
        monkeypatch.setattr(
            f"moto.applicationautoscaling.{module}.ScalableDimensionValueSet", dimensions
        )
    # Whatever a test or moto makes of these, they are as before when ``monkeypatch`` ends.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        boto3.client("iam").create_role(
            RoleName="sagemaker", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        boto3.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument="{}")
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="models")
        s3.put_object(Bucket="models", Key="one/model.tar.gz", Body=b"an archive")
        asking = Aws({})
        call = BaseClient._make_api_call

        def held(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
            if operation != "PutMetricData":  # a test's own, in the middle of a command
                asking.hold(call, client, operation, parameters)
            return call(client, operation, parameters)

        monkeypatch.setattr(BaseClient, "_make_api_call", held)
        yield sagemaker_backends[ACCOUNT][REGION]
    # The policy is for what is tagged: --foreign needs other rights.
    asking.unasked = [each for each in asking.unasked if not each.endswith("/theirs")]
    asking.check()


def _write_prices(cache: Path) -> None:
    path = cache / "algoshelf" / "sagemaker-prices.json"
    path.parent.mkdir(parents=True)
    source = {"what": "a table of this test", "date": "2099-01-01"}
    rows = [[REGION, INSTANCE, "endpoint+training", PRICE, "test"]]
    path.write_text(json.dumps({"sources": {"test": source}, "prices": rows}))


def _update_endpoint(self: Any) -> ActionResult:
    """UpdateEndpoint, which moto lacks: at once the endpoint is what the configuration says."""
    backend = self.sagemaker_backend
    endpoint = backend.endpoints[self._get_param("EndpointName")]
    name = self._get_param("EndpointConfigName")
    variants = backend.describe_endpoint_config(name)["ProductionVariants"]
    endpoint.endpoint_config_name = name
    endpoint.production_variants = endpoint._process_production_variants(variants)
    return ActionResult({"EndpointArn": endpoint.arn})


def _stop(self: Any) -> ActionResult:
    job = self.sagemaker_backend.training_jobs[self._get_param("TrainingJobName")]
    job.training_job_status = "Stopped"
    return ActionResult({})


class Components:
    """Inference components, which moto lacks: what is asked for is there at once, and holds its
    endpoint.
    """

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}

    def operations(self) -> dict[str, Any]:
        """For SageMakerResponse, by name."""
        return {
            "create_inference_component": lambda response: self.create(response),
            "describe_inference_component": lambda response: ActionResult(self.find(response)),
            "list_inference_components": lambda response: self.list(response),
            "delete_inference_component": lambda response: self.delete(response),
            "delete_endpoint": self.holding(SageMakerResponse.delete_endpoint),
            "list_tags": self.with_tags(SageMakerResponse.list_tags),
        }

    def find(self, response: Any) -> dict[str, Any]:
        name = response._get_param("InferenceComponentName")
        if name not in self.there:
            raise ValidationError(f"Could not find inference component {name!r}")
        return self.there[name]

    def create(self, response: Any) -> ActionResult:
        asked = {key: response._get_param(key) for key in ("EndpointName", "VariantName", "Tags")}
        name = response._get_param("InferenceComponentName")
        if name in self.there:
            raise ValidationError(f"inference component {name} exists already")
        endpoint = response.sagemaker_backend.endpoints[asked["EndpointName"]]
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:inference-component/{name}"
        now = datetime.now(timezone.utc)
        self.there[name] = {
            **asked,
            "InferenceComponentName": name,
            "InferenceComponentArn": arn,
            "EndpointArn": endpoint.arn,
            "Specification": response._get_param("Specification"),
            "RuntimeConfig": {"DesiredCopyCount": 1, "CurrentCopyCount": 1},
            "CreationTime": now,
            "LastModifiedTime": now,
            "InferenceComponentStatus": "InService",
        }
        return ActionResult({"InferenceComponentArn": arn})

    def list(self, response: Any) -> ActionResult:
        endpoint = response._get_param("EndpointNameEquals")
        found = [each for each in self.there.values() if endpoint in (None, each["EndpointName"])]
        return ActionResult({"InferenceComponents": found})

    def delete(self, response: Any) -> ActionResult:
        del self.there[self.find(response)["InferenceComponentName"]]
        return ActionResult({})

    def holding(self, real: Any) -> Any:
        def delete_endpoint(response: Any) -> Any:
            name = response._get_param("EndpointName")
            if any(each["EndpointName"] == name for each in self.there.values()):
                raise ValidationError(f"endpoint {name} has inference components")
            return real(response)

        return delete_endpoint

    def with_tags(self, real: Any) -> Any:
        def list_tags(response: Any) -> Any:
            for each in self.there.values():
                if each["InferenceComponentArn"] == response._get_param("ResourceArn"):
                    return ActionResult({"Tags": each["Tags"]})
            return real(response)

        return list_tags


@pytest.fixture(scope="session")
def service_models() -> Iterator[None]:
    """botocore's models of the services are read once, and not once a command."""
    with pytest.MonkeyPatch.context() as patch:
        shared = functools.lru_cache(maxsize=1)(botocore.loaders.create_loader)
        patch.setattr(botocore.session, "create_loader", lambda path=None: shared(path))
        yield


@pytest.fixture
def run(service_models: None, aws: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """``algoshelf sagemaker …``, as the command line runs it, in this process."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["sagemaker", *map(str, arguments)])
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    yield call
    for number, handler in kept.items():
        signal.signal(number, handler)


def deployed(run: Run, *options: object, name: str = "demo", model: str = MODEL) -> Any:
    """What `deploy` says of the endpoint that it made."""
    result = run("deploy", model, "--name", name, *OWN, "--json", *options)
    assert result.code == 0, result.err
    return result.json


def left(aws: Any) -> list[str]:
    """The names of all that is there, of whatever kind."""
    scaling = boto3.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    alarms = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return [
        *(each["AlarmName"] for each in alarms),
        *aws.endpoints,
        *aws.endpoint_configs,
        *aws._models,
        *(target["ResourceId"] for target in targets),
        *(policy["PolicyName"] for policy in policies),
        *(each["InferenceComponentName"] for each in listed_components()),
        *(
            each["AlarmName"]
            for each in boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
        ),
    ]


def listed_components() -> list[Any]:
    """Every inference component."""
    return list(boto3.client("sagemaker").list_inference_components()["InferenceComponents"])


def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all that is there had been made long ago: moto's alarms cannot be made older."""
    kinds = tuple(replace(each, age=timedelta(minutes=-1)) for each in inventory.KINDS)
    monkeypatch.setattr(inventory, "KINDS", kinds)
