"""What a company decides: each flag's effect on each command's requests, and what goes first."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
from algoshelf.algorithms.kmeans import IRIS
from algoshelf.core.runtime.errors import InputError
from algoshelf.registry.aws import settings as company
from algoshelf.registry.aws.settings import resolved
from algoshelf.registry.cli import cli
from algoshelf.registry.flags import COMPANY_FLAGS
from algoshelf.registry.packaging import requirements
from click.testing import CliRunner, Result
from moto.core.responses import ActionResult
from moto.sagemaker.responses import SageMakerResponse

from tests.conftest import InProcess
from tests.registry.aws.conftest import INSTANCE, Aws, check_request

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
PLACE = "s3://mine/iris/"
GIVEN = {
    "--vpc-subnets": "subnet-1a,subnet-2b",
    "--security-groups": "sg-1a",
    "--kms-key": "alias/data",
    "--volume-kms-key": "alias/disks",
    "--network-isolation": "",
    "--encrypt-traffic": "",
    "--tags": "team=search,cost center=42",
    "--warm-pool": "10m",
    "--input-mode": "fastfile",
    "--retry": "3",
}
VPC = {"SecurityGroupIds": ["sg-1a"], "Subnets": ["subnet-1a", "subnet-2b"]}
CODE = "/opt/ml/input/data/code/sourcedir.tar.gz"
JOB, TUNING = "CreateTrainingJob", "CreateHyperParameterTuningJob.TrainingJobDefinition"
MODEL, CONFIGURATION = "CreateModel", "CreateEndpointConfig"
TAGS = {"team": "search", "cost center": "42"}


def trainings(where: str, resources: str, hyperparameters: str) -> dict[str, dict[str, Any]]:
    """The fields of a request for trainings."""
    return {
        "--vpc-subnets": {f"{where}.VpcConfig.Subnets": VPC["Subnets"]},
        "--security-groups": {f"{where}.VpcConfig.SecurityGroupIds": VPC["SecurityGroupIds"]},
        "--kms-key": {
            f"{where}.OutputDataConfig.KmsKeyId": "alias/data",
            "PutObject.SSEKMSKeyId": "alias/data",
            "PutObject.ServerSideEncryption": "aws:kms",
        },
        "--volume-kms-key": {f"{where}.{resources}.VolumeKmsKeyId": "alias/disks"},
        "--network-isolation": {
            f"{where}.EnableNetworkIsolation": True,
            f"{where}.{hyperparameters}.sagemaker_submit_directory": json.dumps(CODE),
        },
        "--encrypt-traffic": {f"{where}.EnableInterContainerTrafficEncryption": True},
        "--tags": {f"{where.partition('.')[0]}.Tags": TAGS},
        "--warm-pool": {f"{where}.{resources}.KeepAlivePeriodInSeconds": 600},
        "--input-mode": {
            f"{where}.AlgorithmSpecification.TrainingInputMode": "FastFile",
            f"{where}.InputDataConfig.code.InputMode": "File",
        },
        "--retry": {f"{where}.RetryStrategy.MaximumRetryAttempts": 3},
    }


HOSTED = {
    "--vpc-subnets": {f"{MODEL}.VpcConfig.Subnets": VPC["Subnets"]},
    "--security-groups": {f"{MODEL}.VpcConfig.SecurityGroupIds": VPC["SecurityGroupIds"]},
    "--kms-key": {
        f"{CONFIGURATION}.DataCaptureConfig.KmsKeyId": "alias/data",
        "PutObject.SSEKMSKeyId": "alias/data",
        "PutObject.ServerSideEncryption": "aws:kms",
    },
    "--volume-kms-key": {f"{CONFIGURATION}.KmsKeyId": "alias/disks"},
    "--network-isolation": {f"{MODEL}.EnableNetworkIsolation": True},
    "--tags": {f"{MODEL}.Tags": TAGS, f"{CONFIGURATION}.Tags": TAGS},
}
TRAINING = trainings(JOB, "ResourceConfig", "HyperParameters")
TUNED = trainings(TUNING, "HyperParameterTuningResourceConfig", "StaticHyperParameters")
# What each flag of a command changes in its requests; nothing else may change.
FIELDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "train": TRAINING,
    "tune": {flag: fields for flag, fields in TUNED.items() if flag != "--warm-pool"},
    "benchmark": {flag: fields for flag, fields in TRAINING.items() if flag != "--warm-pool"},
    "transform": {
        **{flag: HOSTED[flag] for flag in ("--vpc-subnets", "--security-groups")},
        "--network-isolation": HOSTED["--network-isolation"],
        "--kms-key": {
            "CreateTransformJob.TransformOutput.KmsKeyId": "alias/data",
            "PutObject.SSEKMSKeyId": "alias/data",
            "PutObject.ServerSideEncryption": "aws:kms",
        },
        "--volume-kms-key": {"CreateTransformJob.TransformResources.VolumeKmsKeyId": "alias/disks"},
        "--tags": {f"{MODEL}.Tags": TAGS, "CreateTransformJob.Tags": TAGS},
    },
    "deploy": {
        **HOSTED,
        "--tags": {**HOSTED["--tags"], "CreateEndpoint.Tags": TAGS, "CreateLogGroup.tags": TAGS},
    },
    "update": HOSTED,
}


@pytest.fixture(autouse=True)
def nothing_decided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file but the test's own."""
    for row, _ in COMPANY_FLAGS:
        monkeypatch.delenv(variable(row[0]), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of what pip would download."""
    found = {"wheels/any-1-py3-none-any.whl": b""}
    monkeypatch.setattr(requirements, "wheels", lambda lines: found)


def variable(flag: str) -> str:
    return "ALGOSHELF_" + flag.split("/")[0][2:].replace("-", "_").upper()


def words(command: str, model: Path) -> tuple[object, ...]:
    """The command without flags for companies."""
    instance, data = ("--instance", INSTANCE), ("--train", PLACE)
    named, capture = ("--name", "ours"), ("--capture", "s3://mine/captured")
    return {
        "train": ("sagemaker", "train", "kmeans", *data, *instance, "--k", 3, *named),
        "tune": ("sagemaker", "tune", "kmeans", *data, *instance, *named),
        "benchmark": ("benchmark", "kmeans", *data, "--instances", INSTANCE, "--max-cost", 9,
                      "--repeats", 1, "--price", f"{INSTANCE}=1"),
        "transform": ("sagemaker", "transform", model, f"{PLACE}iris.csv", *instance, *named),
        "deploy": ("sagemaker", "deploy", model, *named, *capture),
        "update": ("sagemaker", "update", "there", model),
    }[command]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)])


def requests_of(*arguments: object) -> list[dict[str, Any]]:
    done = run(*arguments, "--dry-run")
    assert done.exit_code == 0, (done.exception, done.output)
    return list(json.loads(done.stdout)["requests"])


def fields(requests: list[dict[str, Any]]) -> dict[str, Any]:
    """The values of requests by their places; a list of values, and tags, as one."""
    found: dict[str, Any] = {}

    def enter(where: str, value: Any) -> None:
        if where.endswith(".tags"):
            found[where] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                enter(f"{where}.{key}", inner)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            if where.endswith(".Tags"):
                found[where] = {tag["Key"]: tag["Value"] for tag in value}
                return
            for number, inner in enumerate(value):
                enter(f"{where}.{inner.get('ChannelName', number)}", inner)
        else:
            found[where] = value

    for request in requests:
        if request["service"] == "sagemaker":
            check_request(request["operation"], request["parameters"])
        enter(request["operation"], request["parameters"])
    return found


VARYING = (".Key", ".Body", ".S3Uri", ".ModelDataUrl", "Name", ".sagemaker_job_name")


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is otherwise after, but for names that are made anew and addresses of bytes."""
    found = {}
    for where, value in after.items():
        if where.endswith(VARYING) or before.get(where) == value:
            continue
        if where.endswith((".Tags", ".tags")):
            known = before.get(where, {})
            value = {k: v for k, v in value.items() if k not in (*known, "algoshelf:run")}
            if not value:
                continue
        found[where] = value
    return {
        w: v for w, v in found.items() if not w.endswith((".S3DataType", ".S3DataDistributionType"))
    }


@pytest.mark.parametrize("command", FIELDS)
def test_each_flag_changes_the_fields_that_the_table_says_and_no_others(
    aws: Aws, wheels: None, command: str, iris_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = aws.role()
    monkeypatch.setenv("ALGOSHELF_ROLE", role)
    client = aws.client("s3")
    client.create_bucket(Bucket="mine")
    client.put_object(Bucket="mine", Key="iris/iris.csv", Body=IRIS.read_bytes())
    aws.quotas["ml.m5.large for endpoint usage"] = 4.0
    if command == "update":
        none = ActionResult({"InferenceComponents": []})  # which moto lacks
        monkeypatch.setattr(
            SageMakerResponse, "list_inference_components", lambda _: none, raising=False
        )
        given = ("--name", "there", "--capture", "s3://mine/captured", "--yes")
        assert run("sagemaker", "deploy", iris_model, *given).exit_code == 0
        for found in client.list_objects_v2(Bucket=f"sagemaker-us-east-1-{123456789012}")[
            "Contents"
        ]:
            client.delete_object(Bucket=f"sagemaker-us-east-1-{123456789012}", Key=found["Key"])
    plain = words(command, iris_model)
    before = fields(requests_of(*plain))
    table = FIELDS[command]
    flags = [row[0].split("/")[0] for row, commands in COMPANY_FLAGS if command in commands]
    assert sorted(flags) == sorted([*table, "--role"])
    all_words = [w for flag in table for w in filter(None, (flag, GIVEN[flag]))]
    wanted = {where: value for each in table.values() for where, value in each.items()}
    assert changed(before, fields(requests_of(*plain, *all_words))) == wanted
    if command == "train":  # two have the same value
        alone = changed(before, fields(requests_of(*plain, "--network-isolation")))
        assert alone == table["--network-isolation"]

    aws.unasked.clear()  # a dry run makes nothing whose tags could be looked at


def test_a_flag_goes_before_the_variable_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(
        '[tool.algoshelf.sagemaker]\nkms-key = "of-file"\nretry = 2\nnetwork-isolation = true\n'
        'vpc-subnets = ["subnet-1", "subnet-2"]\nsecurity-groups = "sg-1"\ntags = {team = "a"}\n'
    )
    inside = tmp_path / "deep" / "er"
    inside.mkdir(parents=True)
    (inside / "pyproject.toml").write_text("[tool.other]\nalgoshelf = 1\n")
    monkeypatch.chdir(inside)
    found = resolved("train", {})
    assert (found.kms_key, found.retry, found.network_isolation) == ("of-file", 2, True)
    assert (found.vpc_subnets, found.tags) == (("subnet-1", "subnet-2"), {"team": "a"})
    assert found.origins["retry"] == f"{path}, [tool.algoshelf.sagemaker] retry"
    assert f"--tags is team=a, by {path}, [tool.algoshelf.sagemaker] tags" in company.told(found)
    monkeypatch.setenv("ALGOSHELF_RETRY", "7")
    monkeypatch.setenv("ALGOSHELF_KMS_KEY", "")
    found = resolved("train", {"network_isolation": False})
    assert (found.retry, found.kms_key, found.network_isolation) == (7, "of-file", False)
    assert "--retry is 7, by ALGOSHELF_RETRY" in company.told(found)
    assert resolved("train", {"retry": "0"}).retry == 0
    assert resolved("deploy", {}).retry == 0  # which has no such flag


FAULTS = {
    'retry = "often"': "from 0 to 30",
    "retri = 1": "no such setting (did you mean 'retry'?)",
    'vpc-subnets = ["vpc-1"]': "expected IDs such as subnet-0a1b2c3d, got 'vpc-1'",
    'vpc-subnets = "subnet-1"': "vpc-subnets: AWS wants --security-groups too",
    'security-groups = "sg-1"': "security-groups: AWS wants --vpc-subnets too",
    'kms-key = "a key"': "the ARN of a KMS key, got 'a key'",
    'network-isolation = "perhaps"': "expected true or false, got 'perhaps'",
    'tags = "team"': "expected KEY=VALUE",
    'tags = {algoshelf = "1"}': "are not yours",
    'warm-pool = "2h"': "at most 1h, got '2h'",
    'input-mode = "pipe"': "choose fastfile, which streams from S3 too, or file",
    'input-mode = "tape"': "expected file, fastfile, pipe, got 'tape'",
    "retry = ": "is no TOML",
    "role = ''": "expected the name or the ARN of a role",
}


@pytest.mark.parametrize("line", FAULTS)
def test_what_is_wrong_in_the_file_is_said_with_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.algoshelf.sagemaker]\n{line}\n")
    with pytest.raises(InputError) as refused:
        resolved("train", {})
    told = str(refused.value)
    assert FAULTS[line] in told
    assert str(path) in told


def test_all_faults_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, in_process: InProcess
) -> None:
    monkeypatch.setenv("ALGOSHELF_WARM_POOL", "soon")
    given = ("--retry", "x", "--input-mode", "pipe", "--spot", "--k", "0")
    done = in_process("sagemaker", "train", "kmeans", *given, "--json")
    faults = done.json["error"]["faults"]
    assert done.code == 2
    for told in (
        "--retry: ",
        "--input-mode: pipe hands the data",
        "ALGOSHELF_WARM_POOL: ",
        "--k: ",
    ):
        assert any(told in fault for fault in faults), (told, faults)
    spot = in_process(
        "sagemaker",
        "train",
        "kmeans",
        "--warm-pool",
        "5m",
        "--spot",
        "--json",
        ALGOSHELF_WARM_POOL="",
    )
    assert any(
        "AWS keeps no instances of --spot" in fault for fault in spot.json["error"]["faults"]
    )
    here = in_process("benchmark", "kmeans", "--kms-key", "a", "--json")
    assert "--kms-key: belongs to --instances" in here.json["error"]["message"]


def test_a_serverless_endpoint_takes_no_network(aws: Aws, iris_model: Path, wheels: None) -> None:
    given = ("--vpc-subnets", "subnet-1", "--security-groups", "sg-1", "--network-isolation")
    done = aws("deploy", iris_model, "--serverless", 2048, "--role", aws.role(), "--yes", *given)
    assert "--serverless: AWS allows no --vpc-subnets there" in str(done.exception)
    assert "--serverless: AWS allows no --network-isolation there" in str(done.exception)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No credentials, no region, no configuration and no network."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    import boto3

    boto3.DEFAULT_SESSION = None
    return None


@pytest.mark.parametrize("command", ["train", "tune", "benchmark", "transform", "deploy"])
def test_a_dry_run_needs_no_account(nobody: None, command: str, iris_model: Path) -> None:
    wanted = {
        "train": ["CreateTrainingJob"],
        "tune": ["CreateHyperParameterTuningJob"],
        "benchmark": ["CreateTrainingJob"],
        "transform": ["CreateModel", "CreateTransformJob", "DeleteModel"],
        "deploy": ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"],
    }[command]
    flags = [w for f in FIELDS[command] for w in filter(None, (f, GIVEN[f])) if f != "--tags"]
    done = run(*words(command, iris_model), *flags, "--dry-run")
    assert done.exit_code == 0, (done.exception, done.output)
    requests = json.loads(done.stdout)["requests"]
    asked = [each["operation"] for each in requests if each["service"] == "sagemaker"]
    assert [name for name in asked if name != "DeleteModel"] == [
        n for n in wanted if n != "DeleteModel"
    ]
    text = json.dumps(requests)
    for placeholder in ("sagemaker-REGION-ACCOUNT", "arn:aws:iam::ACCOUNT:role/ROLE"):
        assert placeholder in text
    assert "There are no AWS credentials" in done.stderr
    assert ".dkr.ecr.REGION.amazonaws.com/mxnet-" in text


def test_without_an_account_a_region_and_a_role_are_taken_as_given(nobody: None) -> None:
    given = ("--instance", INSTANCE, "--k", 3, "--region", "eu-west-1", "--role", "mine")
    (*_, request) = requests_of("sagemaker", "train", "kmeans", *given)
    assert request["parameters"]["RoleArn"] == "arn:aws:iam::ACCOUNT:role/mine"
    image = request["parameters"]["AlgorithmSpecification"]["TrainingImage"]
    assert image == "763104351884.dkr.ecr.eu-west-1.amazonaws.com/mxnet-training:1.9.0-cpu-py38"


def test_what_only_an_account_knows_is_not_made_up(nobody: None, iris_model: Path) -> None:
    for arguments in (
        ("delete", "--all"),
        ("sweep",),
        ("update", "there", iris_model),
        ("transform", "s3://b/model.tar.gz", IRIS, "--instance", INSTANCE),
    ):
        done = run("sagemaker", *arguments, "--dry-run")
        assert isinstance(done.exception, InputError)
        assert "sign in, as with `aws configure`" in str(done.exception)
    deployed = requests_of("sagemaker", "deploy", "a-job", "--image", IMAGE)
    assert deployed[0]["parameters"]["PrimaryContainer"] == {
        "Image": IMAGE,
        "ModelDataUrl": "s3://BUCKET/a-job/output/model.tar.gz",
    }
    for reference, version in (("irises", "VERSION"), ("irises:3", "3")):
        asked = requests_of("sagemaker", "deploy", "--package", reference)[0]
        arn = f"arn:aws:sagemaker:REGION:ACCOUNT:model-package/irises/{version}"
        assert asked["parameters"]["PrimaryContainer"] == {"ModelPackageName": arn}
    listed = run("sagemaker", "list", "--region", "us-east-1")
    assert "no AWS credentials were found" in str(listed.exception)
