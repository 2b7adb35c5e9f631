"""An account at AWS in this process: moto's, with what moto lacks, and every request noted."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

import boto3
import pytest
from algoshelf.registry.cli import cli
from botocore.client import BaseClient
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, Shape, StructureShape
from click.testing import CliRunner, Result
from moto import mock_aws
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.servicequotas.responses import ServiceQuotasResponse

ACCOUNT = "123456789012"
BUCKET = f"sagemaker-us-east-1-{ACCOUNT}"
READING = ("Describe", "List", "Get", "Head")
INSTANCE = "ml.m5.xlarge"
WITHOUT_SDK = "AWS's SageMaker SDK is not installed: pip install 'algoshelf[sagemaker-sdk]'"
USES = ("training job", "spot training job", "transform job", "endpoint")


def trusting(service: str) -> str:
    """The trust policy of a role that ``service`` may assume."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass
class Aws:
    """The account, the requests that reached it, and ``answers`` that are changed on the way.

    ``before`` is what happens just before a request arrives.
    """

    quotas: dict[str, float]
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Callable[[dict[str, Any]], None]] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return boto3.client(service)

    def role(self, name: str = "algoshelf", service: str = "sagemaker.amazonaws.com") -> str:
        """The ARN of a new role."""
        policy = trusting(service)
        made = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=policy)
        self.requests.clear()
        return str(made["Role"]["Arn"])

    def sent(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of each request of ``operation``."""
        return [parameters for name, parameters in self.requests if name == operation]

    def changes(self) -> list[str]:
        """The operations that were not only reading."""
        return [name for name, _ in self.requests if not name.startswith(READING)]

    def objects(self) -> list[str]:
        """The keys of all objects in the account's bucket."""
        found = self.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return [each["Key"] for each in found]

    def __call__(self, *arguments: object) -> Result:
        """``algoshelf sagemaker ARGUMENTS``, in this process."""
        words = ["sagemaker", *map(str, arguments)]
        return CliRunner().invoke(cli, words, standalone_mode=True)


@pytest.fixture(scope="session")
def loader() -> Loader:
    """Of the services' models: each is read once, and not for every client."""
    return Loader()


@pytest.fixture(autouse=True)
def sdk_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's SageMaker SDK cannot be imported; tests of what needs it have another such fixture."""
    monkeypatch.setitem(sys.modules, "sagemaker", None)
    monkeypatch.delitem(sys.modules, "algoshelf.registry.aws.sdk", raising=False)
    monkeypatch.delattr("algoshelf.registry.aws.sdk", raising=False)


@pytest.fixture(scope="session")
def validated_once() -> Iterator[None]:
    """The SDK holds its configuration against a schema at each value it reads: 2 s a request."""
    from sagemaker import utils

    validate = utils.validate_sagemaker_config
    seen: set[str] = set()

    def once(config: Any = None) -> None:
        text = json.dumps(config, sort_keys=True)
        if text not in seen:
            validate(config)
            seen.add(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "validate_sagemaker_config", once)
        yield


@pytest.fixture
def aws(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    loader: Loader,
    sdk_of_aws: None,
) -> Iterator[Aws]:
    """An empty account, and Service Quotas, which moto 5.2 lacks."""
    quotas = {f"{INSTANCE} for {use} usage": 4.0 for use in USES}

    def listed(_: Any) -> ActionResult:
        if not quotas:
            raise JsonRESTError("AccessDeniedException", "not authorized")
        found = [
            {"QuotaName": name, "QuotaCode": f"L-{number:08X}", "Value": value}
            for number, (name, value) in enumerate(quotas.items())
        ]
        return ActionResult({"Quotas": found})

    monkeypatch.setattr(ServiceQuotasResponse, "list_service_quotas", listed, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ALGOSHELF_ROLE", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr("botocore.session.create_loader", lambda _paths: loader)
    account = Aws(quotas)
    call = BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        account.requests.append((operation, parameters))
        if operation in account.before:
            account.before.pop(operation)()
        answer = call(client, operation, parameters)
        if operation in account.answers:
            account.answers[operation](answer)
        return answer

    with mock_aws():
        monkeypatch.setattr(BaseClient, "_make_api_call", noted)
        boto3.DEFAULT_SESSION = None
        yield account
    boto3.DEFAULT_SESSION = None


def check_request(operation: str, parameters: dict[str, Any], service: str = "sagemaker") -> None:
    """Hold a request against botocore's model of the service, its patterns and bounds included.

    botocore itself looks at names and types alone.
    """
    model = boto3.client(service).meta.service_model.operation_model(operation)
    faults = list(_faults(model.input_shape, parameters, operation))
    assert not faults, "\n".join(faults)


def _faults(shape: Shape, value: Any, where: str) -> Iterator[str]:
    bounds = shape.metadata
    if isinstance(shape, StructureShape):
        for name in {*shape.required_members} - value.keys():
            yield f"{where}: lacks {name}"
        for name, member in value.items():
            if name not in shape.members:
                yield f"{where}: knows no {name}"
            else:
                yield from _faults(shape.members[name], member, f"{where}.{name}")
        return
    if isinstance(shape, ListShape):
        for number, member in enumerate(value):
            yield from _faults(shape.member, member, f"{where}[{number}]")
    if isinstance(shape, MapShape):
        for key, member in value.items():
            yield from _faults(shape.key, key, f"{where}.{key}")
            yield from _faults(shape.value, member, f"{where}.{key}")
    size = value if isinstance(value, (int, float)) else len(value)
    if not bounds.get("min", size) <= size <= bounds.get("max", size):
        yield f"{where}: {value!r} is beyond {bounds}"
    if isinstance(value, str):
        pattern = bounds.get("pattern", "").replace(r"\p{Alpha}", "A-Za-z")
        readable = pattern and "\\p" not in pattern and "\\uD800" not in pattern  # Java's, not re's
        if readable and not re.fullmatch(pattern, value):
            yield f"{where}: {value!r} is not {pattern}"
        if bounds.get("enum") and value not in bounds["enum"]:
            yield f"{where}: {value!r} is none of {bounds['enum'][:5]}…"
