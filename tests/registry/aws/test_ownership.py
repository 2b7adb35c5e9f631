"""What a command that fails undoes is its own: somebody else's of the same name goes on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

import click
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto.core.responses import ActionResult
from moto.sagemaker.models import sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from tests.conftest import ROOT
from tests.registry.aws.conftest import ACCOUNT, INSTANCE, Aws

IRIS = ROOT / "algorithms" / "kmeans" / "sample" / "iris.csv"
NAME = "mine"
KINDS = {"train": "Training", "tune": "HyperParameterTuning", "transform": "Transform"}
OTHERS = [{"Key": "algoshelf", "Value": "1"}, {"Key": "algoshelf:run", "Value": "of-somebody"}]
TAKEN = {"Code": "ResourceInUse", "Message": "Job name must be unique within an AWS account"}
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"


def command(kind: str, model: Path, role: str) -> tuple[object, ...]:
    """What starts a job NAME of ``kind``."""
    if kind == "transform":
        what: tuple[object, ...] = ("transform", model, IRIS)
    else:
        what = (kind, "kmeans", "--k", 3, "--train", IRIS)
    return (*what, "--instance", INSTANCE, "--role", role, "--name", NAME, "--yes")


@pytest.fixture
def running(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """An account whose jobs go on, and which can stop them, as moto cannot."""

    def keep_on(kind: str) -> Callable[[dict[str, Any]], None]:
        return lambda answer: answer.update({f"{kind}JobStatus": "InProgress"})

    for word in ("training", "hyper_parameter_tuning", "transform"):
        monkeypatch.setattr(
            SageMakerResponse, f"stop_{word}_job", lambda _: ActionResult({}), raising=False
        )
    for kind in KINDS.values():
        aws.answers[f"Describe{kind}Job"] = keep_on(kind)
    return aws


def owner(aws: Aws, operation: str) -> dict[str, Any]:
    """The request of ``operation`` as it would be sent again."""
    return dict(aws.sent(operation)[-1])


def made_by_another(aws: Aws, operation: str, tags: list[dict[str, str]]) -> None:
    """Somebody else's request of the same name arrives first; then AWS refuses ours."""

    def act() -> None:
        request = {**owner(aws, operation), "Tags": tags}
        with click.Context(click.Command("another")):  # whose rights are not ours
            getattr(aws.client("sagemaker"), re.sub("(?<!^)([A-Z])", r"_\1", operation).lower())(
                **request
            )
        raise ClientError({"Error": TAKEN}, operation)

    aws.before[operation] = act


@pytest.mark.parametrize("tags", [OTHERS, []], ids=["algoshelf's", "untagged"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_somebody_else_made_in_between_is_neither_stopped_nor_advised_against(
    running: Aws, iris_model: Path, kind: str, tags: list[dict[str, str]]
) -> None:
    words = command(kind, iris_model, running.role())
    made_by_another(running, f"Create{KINDS[kind]}Job", tags)
    result = running(*words)
    assert result.exit_code != 0
    assert running.sent(f"Stop{KINDS[kind]}Job") == []
    told = f"{result.exception}\n{result.stderr}"
    assert "choose another --name" in told
    assert "somebody else made it, and it is left alone" in told
    assert "left behind" not in told
    assert "delete" not in told
    assert running.client("sagemaker").list_models()["Models"] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "lost", [KeyboardInterrupt(), ReadTimeoutError(endpoint_url="https://api.sagemaker")]
)
def test_a_job_of_which_no_answer_came_is_stopped_by_its_tag(
    running: Aws, iris_model: Path, kind: str, lost: BaseException
) -> None:
    def lose(_: dict[str, Any]) -> None:
        raise lost

    words = command(kind, iris_model, running.role())
    running.answers[f"Create{KINDS[kind]}Job"] = lose
    assert running(*words).exit_code != 0
    assert running.sent(f"Stop{KINDS[kind]}Job") == [{f"{KINDS[kind]}JobName": NAME}]
    assert running.client("sagemaker").list_models()["Models"] == []


def test_who_may_not_look_at_tags_is_told_by_which_to_tell_ones_own(
    running: Aws, iris_model: Path
) -> None:
    def lose(_: dict[str, Any]) -> None:
        raise ReadTimeoutError(endpoint_url="https://api.sagemaker")

    def refuse(_: dict[str, Any]) -> None:
        refused = {"Code": "AccessDeniedException", "Message": "not authorized"}
        raise ClientError({"Error": refused}, "ListTags")

    words = command("train", iris_model, running.role())
    running.answers["CreateTrainingJob"] = lose
    running.answers["ListTags"] = refuse
    result = running(*words)
    assert running.sent("StopTrainingJob") == []
    (run,) = [tag["Value"] for tag in owner(running, "CreateTrainingJob")["Tags"]
              if tag["Key"] == "algoshelf:run"]  # fmt: skip
    assert f"but only if its tag algoshelf:run is {run}" in str(result.exception)


def test_two_runs_have_tags_of_their_own(running: Aws) -> None:
    role = running.role()
    for _ in range(2):
        words = ("train", "kmeans", "--k", 3, "--instance", INSTANCE, "--role", role, "--yes")
        assert running(*words, "--no-wait").exit_code == 0
    first, second = (
        {tag["Key"]: tag["Value"] for tag in request["Tags"]}["algoshelf:run"]
        for request in running.sent("CreateTrainingJob")
    )
    assert first != second


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("CreateEndpoint", "endpoints"),
        ("CreateEndpointConfig", "endpoint_configs"),
        ("CreateModel", "_models"),
    ],
)
def test_what_somebody_else_deployed_in_between_is_left_alone(
    running: Aws, iris_model: Path, operation: str, name: str
) -> None:
    running.quotas["ml.m5.large for endpoint usage"] = 4.0
    role = running.role()
    made_by_another(running, operation, OTHERS)
    words = ("deploy", iris_model, "--name", NAME, "--image", IMAGE, "--role", role, "--yes")
    result = running(*words)
    assert result.exit_code != 0
    backend = sagemaker_backends[ACCOUNT]["us-east-1"]
    assert len(getattr(backend, name)) == 1
    theirs = ("endpoints", "endpoint_configs", "_models")
    assert sum(len(getattr(backend, each)) for each in theirs) == 1
    assert "left behind" not in str(result.exception)
    assert "delete" not in str(result.exception)
