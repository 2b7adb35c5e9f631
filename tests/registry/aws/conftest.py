"""An account at AWS in this process: moto's, with what moto lacks, and every request noted."""

from __future__ import annotations

import json
import re
import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Iterator

import boto3
import click
import pytest
from algoshelf.registry.aws import rights
from algoshelf.registry.cli import cli
from algoshelf.registry.discovery import catalog, opened
from algoshelf.registry.packaging import kinds
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, Shape, StructureShape
from click.testing import CliRunner, Result
from moto import mock_aws
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.iam.responses import IamResponse
from moto.s3.models import FakeBucket
from moto.sagemaker.responses import SageMakerResponse
from moto.servicequotas.responses import ServiceQuotasResponse

from tests.registry.aws import iam

ACCOUNT = "123456789012"
BUCKET = f"sagemaker-us-east-1-{ACCOUNT}"
READING = ("Describe", "List", "Get", "Head")
INSTANCE = "ml.m5.xlarge"
WITHOUT_SDK = "AWS's SageMaker SDK is not installed: pip install 'algoshelf[sagemaker-sdk]'"
PLACE = rights.Place(account=ACCOUNT)
USES = ("training job", "spot training job", "transform job", "endpoint")


def trusting(service: str) -> str:
    """The trust policy of a role that ``service`` may assume."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass
class Aws:
    """The account, the requests that reached it, and ``answers`` that are changed on the way.

    ``before`` is what happens just before a request arrives, once, ``on_change`` before any that
    is not only reading. ``policies`` are those of who signs in and of roles, as IAM simulates them.
    """

    quotas: dict[str, float]
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Callable[[dict[str, Any]], None]] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    policies: dict[str, list[iam.Policy]] = field(
        default_factory=lambda: {
            f"user/{iam.USER}": [rights.policy(rights.USER, PLACE)],
            f"role/{rights.EXECUTION_ROLE}": [rights.policy(rights.EXECUTION, PLACE)],
        }
    )
    on_change: Callable[[str], None] | None = None
    command: str = ""
    unasked: dict[str, None] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return boto3.client(service)

    @cached_property
    def sagemaker(self) -> Any:
        return boto3.client("sagemaker")

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

    def hold(
        self, call: Callable[..., Any], client: Any, operation: str, parameters: dict[str, Any]
    ) -> None:
        """Note what a command asks for though its policies do not allow it, or do not say it does.

        What a test asks for itself, outside a command, is its own affair.
        """
        if threading.current_thread() is threading.main_thread():
            self.command = _command()
        if not self.command:
            return

        def tags(arn: str) -> dict[str, str]:
            if operation.startswith(READING) or not arn.startswith("arn:aws:sagemaker:"):
                return {}
            # a version counts as tagged as its group is
            arn = re.sub(r":model-package/([^/]+)/\d+$", r":model-package-group/\1", arn)
            try:
                found = call(self.sagemaker, "ListTags", {"ResourceArn": arn})["Tags"]
            except (ClientError, AttributeError):  # there is none, for which moto has no answer
                return {}
            return {each["Key"]: each["Value"] for each in found}

        service = str(client.meta.service_model.service_name)
        granted = rights.of_command(self.command)
        policies = [rights.policy(name, PLACE) for name in granted]
        named = set().union(*granted.values())
        for each in iam.asked(service, operation, parameters, account=ACCOUNT, tags=tags):
            if each.action not in named or not iam.allows(policies, _as_granted(each)):
                self.unasked[f"{self.command}: {each.action} on {each.resource}"] = None

    def simulated(self, response: Any) -> ActionResult:
        """IAM's SimulatePrincipalPolicy, by ``policies``."""
        asked = response._get_params()
        context = {"aws:PrincipalAccount": ACCOUNT, "aws:username": iam.USER}
        for each in asked.get("ContextEntries", []):
            context[each["ContextKeyName"]] = each["ContextKeyValues"][0]
        policies = self.policies[asked["PolicySourceArn"].split(":")[5]]
        results = []
        for action in asked["ActionNames"]:
            (resource,) = asked["ResourceArns"]
            allowed = iam.allows(policies, iam.Asked(action, resource, context))
            decision = "allowed" if allowed else "implicitDeny"
            results.append({"EvalActionName": action, "EvalDecision": decision})
        return ActionResult({"EvaluationResults": results, "IsTruncated": False})

    def check(self) -> None:
        """Fail where ``hold`` has noted something."""
        assert not self.unasked, (
            "registry/aws/rights.py does not grant what a command asked for; add a Call there, "
            "then `python -m algoshelf.registry.aws.rights docs`:\n" + "\n".join(self.unasked)
        )

    def __call__(self, *arguments: object) -> Result:
        """``algoshelf sagemaker ARGUMENTS``, in this process."""
        words = ["sagemaker", *map(str, arguments)]
        return CliRunner().invoke(cli, words, standalone_mode=True)


def _as_granted(asked: iam.Asked) -> iam.Asked:
    """In place of a role or a bucket that the user names, which docs/sagemaker.md has added to the
    policies, those that they name as they are.
    """
    own = rf"(?:sagemaker-[a-z0-9-]+-{ACCOUNT}|algoshelf-web-[^/]+)(?:/|$)"
    bucket = re.sub(rf"^(arn:aws:s3:::)(?!{own})[^/]+", rf"\1{BUCKET}", asked.resource)
    resource = re.sub(r":role/.*", f":role/{rights.EXECUTION_ROLE}", bucket)
    return replace(asked, resource=resource)


def _command() -> str:
    """The command that runs now, as the rights name it; "" where none does."""
    context = click.get_current_context(silent=True)
    names: list[str] = []
    while context is not None:
        names.insert(0, context.info_name or "")
        context = context.parent
    within = names[1:]  # of the program itself
    return next((name for name in within if name != "sagemaker"), "")


@pytest.fixture(scope="session")
def packed_iris(iris_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of iris with its code, packed once for all tests that only upload it."""
    folder = tmp_path_factory.mktemp("packed") / "iris"
    artifact, algorithm = opened(iris_model)
    kinds.model(catalog().get(algorithm.name), artifact, folder)
    return folder / kinds.MODEL_ARCHIVE


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
    from sagemaker import session, utils
    from sagemaker.local import local_session

    validate = utils.validate_sagemaker_config
    seen: set[str] = set()

    def once(config: Any = None) -> None:
        text = json.dumps(config, sort_keys=True)
        if text not in seen:
            validate(config)
            seen.add(text)

    with pytest.MonkeyPatch.context() as patch:
        for module in (utils, session, local_session):
            patch.setattr(module, "validate_sagemaker_config", once)
        yield


@pytest.fixture
def aws(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    loader: Loader,
    sdk_of_aws: None,
) -> Iterator[Aws]:
    """An empty account, and what moto 5.2 lacks: Service Quotas, IAM's simulation, the trainings of
    a search, and the conditions of buckets' policies.
    """
    quotas = {f"{INSTANCE} for {use} usage": 4.0 for use in USES}

    def listed(_: Any) -> ActionResult:
        if not quotas:
            raise JsonRESTError("AccessDeniedException", "not authorized")
        found = [
            {"QuotaName": name, "QuotaCode": f"L-{number:08X}", "Value": value}
            for number, (name, value) in enumerate(quotas.items())
        ]
        return ActionResult({"Quotas": found})

    def trainings(response: Any) -> ActionResult:
        search = response._get_param("HyperParameterTuningJobName")
        names = [name for name in response.sagemaker_backend.training_jobs if search in name]
        found = [
            {
                "TrainingJobName": name,
                "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/{name}",
                "CreationTime": datetime.now(timezone.utc),
                "TrainingJobStatus": "Completed",
                "TunedHyperParameters": {},
            }
            for name in names
        ]
        return ActionResult({"TrainingJobSummaries": found})

    search = "list_training_jobs_for_hyper_parameter_tuning_job"
    monkeypatch.setattr(SageMakerResponse, search, trainings, raising=False)
    monkeypatch.setattr(ServiceQuotasResponse, "list_service_quotas", listed, raising=False)
    none = ActionResult({"InferenceComponents": []})  # those of endpoints/conftest.py, if wanted
    monkeypatch.setattr(
        SageMakerResponse, "list_inference_components", lambda _: none, raising=False
    )
    # A bucket's policy is read without its conditions, so one that is for TLS alone denies all.
    monkeypatch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ALGOSHELF_ROLE", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr("botocore.session.create_loader", lambda _paths: loader)
    account = Aws(quotas)
    monkeypatch.setattr(
        IamResponse,
        "simulate_principal_policy",
        lambda self: account.simulated(self),
        raising=False,
    )
    call = BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        account.requests.append((operation, parameters))
        account.hold(call, client, operation, parameters)
        if account.on_change is not None and not operation.startswith(READING):
            account.on_change(operation)
        if operation in account.before:
            account.before.pop(operation)()
        answer = call(client, operation, parameters)
        if operation in account.answers:
            account.answers[operation](answer)
        return answer

    # Whatever a test or moto makes of these, they are as before when ``monkeypatch`` ends.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        monkeypatch.setattr(BaseClient, "_make_api_call", noted)
        boto3.DEFAULT_SESSION = None
        yield account
    boto3.DEFAULT_SESSION = None
    account.check()


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
