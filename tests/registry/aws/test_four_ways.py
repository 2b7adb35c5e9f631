"""docs/sagemaker.md in moto's account: its commands, in order."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import tarfile
from pathlib import Path
from typing import Any

import click
import pytest
from algoshelf.algorithms.kmeans import IRIS
from algoshelf.registry.cli import cli
from botocore import xform_name

from tests.conftest import ROOT
from tests.project.test_docs import blocks
from tests.registry.aws.conftest import ACCOUNT, Aws, check_request

DOCUMENT = ROOT / "docs" / "sagemaker.md"
NAMES = {
    "REGION": "us-east-1",
    "ACCOUNT": ACCOUNT,
    "BUCKET": "mine",
    "YOU": "you",
    "eu-west-1": "us-east-1",
}
ELSEWHERE = {
    "python3 -m venv": "tests/project/test_make.py",
    ".venv/bin/pip install": "tests/project/test_make.py",
    ". .venv/bin/activate": "tests/project/test_make.py",
    "aws configure": "asks for the credentials",
    "algoshelf sagemaker cost --refresh": "tests/registry/aws/test_prices.py",
    "algoshelf package mnist-cnn --as container": "tests/registry/packaging/test_package.py",
    "algoshelf package models/iris --as container": "tests/toolkits/test_onnx_image.py",
    "algoshelf package models/iris --as lambda": "tests/registry/packaging/test_answering.py",
    "algoshelf sagemaker deploy models/iris --name seldom": "endpoints/test_idle.py, beside this",
    "algoshelf sagemaker delete digits:1": "tests/registry/aws/test_register.py",
    "algoshelf sagemaker recommend": "tests/registry/benchmark/test_recommend.py",
    "algoshelf sagemaker deploy packed/onnx": "tests/registry/aws/endpoints/test_endpoints.py",
    "aws s3 cp": "copies a file of which tests/registry/packaging/test_answering.py makes one",
    "DIGEST=": "asks a registry of images",
    "docker": "tests/toolkits/test_own_image.py",
}
ASKING = ("setup", "models", "train", "deploy", "register", "delete", "teardown")


def filled(text: str) -> str:
    return re.sub(r"\b(?:" + "|".join(NAMES) + r")\b", lambda found: NAMES[found[0]], text)


def spoken() -> list[str]:
    """The commands of the document's bash blocks, in order."""
    text = "".join(blocks(DOCUMENT, "bash")).replace("\\\n", " ")
    lines = [line.split("  #")[0].split(" # ")[0].strip() for line in text.splitlines()]
    return [filled(line) for line in lines if line]


def stock(aws: Aws) -> None:
    client = aws.client("s3")
    client.create_bucket(Bucket="mine")
    client.put_object(Bucket="mine", Key="iris/iris.csv", Body=IRIS.read_bytes())
    aws.client("iam").create_user(UserName="you")


def asked_of_aws(aws: Aws, words: list[str]) -> None:
    """What AWS's own command line would ask, with its flags as the service names them."""
    service, operation, *rest = words
    client = aws.client(service)
    name, parameters, rest = asked(client, operation, rest)
    answer = getattr(client, name)(**parameters)
    if rest:
        Path(rest[0]).write_bytes(answer["Body"].read())


def asked(client: Any, operation: str, rest: list[str]) -> tuple[str, dict[str, Any], list[str]]:
    """The client's method, its parameters, and what follows them; the service must have them."""
    (name,) = (each for each, method in client.meta.method_to_api_mapping.items()
               if each == operation.replace("-", "_"))  # fmt: skip
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name])
    flags = {"--" + xform_name(each, "-"): each for each in shape.input_shape.members}
    parameters: dict[str, Any] = {}
    while rest and rest[0].startswith("--"):
        value = rest[1]
        if value.startswith(("file://", "fileb://")):
            value = Path(value.partition("//")[2]).read_text()
        parameters[flags[rest[0]]] = value
        rest = rest[2:]
    return name, parameters, rest


def test_every_command_of_the_document_runs_in_order(
    aws: Aws, iris_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(aws)
    for name in ("docs", "algorithms"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "digits").symlink_to(ROOT / "algorithms" / "mnist_cnn" / "sample")
    (tmp_path / "digit.json").write_text("{}")
    shutil.copytree(iris_model, tmp_path / "models" / "iris")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("algoshelf.registry.aws.jobs.POLL_SECONDS", 0)
    aws.quotas["ml.m5.large for endpoint usage"] = 4.0
    aws.client("logs").create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")
    job, lists = "", []
    for command in spoken():
        words = shlex.split(command.replace("JOB", job))
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", 1))
        elif any(command.startswith(start) for start in ELSEWHERE):
            continue
        elif words[:2] == ["aws", "lambda"]:  # here runs none
            asked(aws.client("lambda"), words[2], words[3:])
        elif words[0] == "aws":
            asked_of_aws(aws, words[1:])
        else:
            assert words[:2] == ["algoshelf", "sagemaker"], command
            aws.requests.clear()
            result = aws(*words[2:], *(["--yes"] if words[2] in ASKING else []))
            assert result.exit_code == 0, f"{command}\n{result.exception}\n{result.stderr}"
            if words[2] == "teardown":
                assert aws("setup", "--yes").exit_code == 0  # whoever goes on
                left_by_the_job(aws, job, iris_model)
            if words[2] == "list":
                lists.append(result.stdout)
            if words[2] == "train":
                (request,) = aws.sent("CreateTrainingJob")
                check_request("CreateTrainingJob", request)
                job = request["TrainingJobName"]
                left_by_the_job(aws, job, iris_model)
    assert "digits" in lists[0]
    assert lists[1].startswith("nothing of algoshelf's is billed in us-east-1 now\n")


def left_by_the_job(aws: Aws, job: str, model: Path) -> None:
    """What a training leaves in S3; in moto none runs."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for file in model.iterdir():
            archive.add(file, file.name)
    told = aws.client("sagemaker").describe_training_job(TrainingJobName=job)
    bucket, _, key = told["ModelArtifacts"]["S3ModelArtifacts"][5:].partition("/")
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body.getvalue())


def test_every_option_that_the_document_names_there_is() -> None:
    known = {"--recursive"}  # of `aws s3 rm`
    context = click.Context(cli)
    for name in ("benchmark", "sagemaker", "package", "train", "drift"):
        group = cli.get_command(context, name)
        assert group is not None
        known |= _options(group)
    known |= {"--epochs", "--k"}  # hyperparameters
    prose = re.sub(r"^```.*?^```$", "", DOCUMENT.read_text(), flags=re.DOTALL | re.MULTILINE)
    spans = [span for span in re.findall(r"`([^`]+)`", prose) if not span.startswith("aws ")]
    named = {flag for span in spans for flag in re.findall(r"(?<!\S)--[a-z-]+", span)}
    assert len(named) > 10
    assert named <= known


def _options(command: click.Command) -> set[str]:
    context = click.Context(command)
    found = {
        name
        for parameter in command.get_params(context)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            found |= _options(inner) if inner is not None else set()
    return found
