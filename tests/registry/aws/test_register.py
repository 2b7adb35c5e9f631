"""``sagemaker register``, ``deploy --package``, ``list --registered`` and the end of packages.

moto 5.2 lacks DeleteModelPackage and DeleteModelPackageGroup, which are added here, and takes any
request: each is held against botocore's model of the service.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from algoshelf.core.conformance import CHECKS, Finding
from algoshelf.core.runtime.errors import InputError
from algoshelf.registry.aws import packages
from algoshelf.registry.packaging import requirements
from click.testing import Result
from moto.core.responses import ActionResult
from moto.sagemaker.models import sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from tests.registry.aws.conftest import ACCOUNT, BUCKET, Aws, check_request

GROUP = "irises"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"


def _delete_package(self: Any) -> ActionResult:
    self.sagemaker_backend.model_packages.pop(self._get_param("ModelPackageName"))
    return ActionResult({})


def _delete_group(self: Any) -> ActionResult:
    self.sagemaker_backend.model_package_groups.pop(self._get_param("ModelPackageGroupName"))
    return ActionResult({})


@pytest.fixture(autouse=True)
def what_moto_lacks(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, operation in (
        ("delete_model_package", _delete_package),
        ("delete_model_package_group", _delete_group),
    ):
        monkeypatch.setattr(SageMakerResponse, name, operation, raising=False)
    monkeypatch.setattr(requirements, "wheels", lambda lines: {"wheels/any.whl": b""})  # pip's
    aws.quotas["ml.m5.large for endpoint usage"] = 4.0


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the checks of the model find, in place of the checks, which have tests of their own."""
    found = [Finding("answers", "it answers", "passed")]
    monkeypatch.setattr(packages, "CHECKS", {"answers": CHECKS})

    class Battery:
        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def run(self, name: str) -> Finding:
            return found[0]

    monkeypatch.setattr(packages, "Battery", Battery)
    return found


def state(aws: Aws) -> Any:
    return sagemaker_backends[ACCOUNT]["us-east-1"]


def ok(result: Result) -> Result:
    assert result.exit_code == 0, (result.exception, result.output)
    return result


def test_a_model_is_registered_with_what_it_was_made_of(aws: Aws, iris_model: Path) -> None:
    """By the real checks."""
    given = ("--group", GROUP, "--kms-key", "alias/data", "--tags", "team=search", "--yes")
    made = json.loads(ok(aws("register", iris_model, *given, "--json")).stdout)
    for operation in ("CreateModelPackageGroup", "CreateModelPackage"):
        (request,) = aws.sent(operation)
        check_request(operation, request)
    told = json.loads((iris_model / "algorithm.json").read_bytes())
    assert request["ModelApprovalStatus"] == made["status"] == "PendingManualApproval"
    (container,) = request["InferenceSpecification"]["Containers"]
    assert container["Image"].endswith("mxnet-inference:1.9.0-cpu-py38")
    assert "text/csv" in request["InferenceSpecification"]["SupportedContentTypes"]
    types = request["InferenceSpecification"]["SupportedRealtimeInferenceInstanceTypes"]
    assert types[0] == "ml.m5.large"
    assert not [name for name in types if name.startswith(("ml.g5", "ml.c7g"))]
    properties = request["CustomerMetadataProperties"]
    assert properties["seed"] == str(told["seed"])
    assert properties["data train"] == told["data"]["train"]
    assert properties["conformance"].startswith("passed: ")
    assert float(properties["metric train:msd"]) == pytest.approx(
        told["metrics"]["train:msd"], 1e-5
    )
    assert len(request["MetadataProperties"]["CommitId"].split()[0]) == 40
    place = request["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    body = aws.client("s3").get_object(Bucket=BUCKET, Key=place.split("/", 3)[3])
    assert body["SSEKMSKeyId"] == "alias/data"
    figures = json.loads(body["Body"].read())
    assert figures["model_metrics"]["train:msd"]["value"] == told["metrics"]["train:msd"]
    labels = {tag["Key"]: tag["Value"] for tag in state(aws).model_package_groups[GROUP].tags}
    assert (labels["algoshelf:algorithm"], labels["team"]) == ("kmeans", "search")
    listed = ok(aws("list", "--registered"))
    assert f"{GROUP}:1" in listed.stdout
    assert "passed: " in listed.stdout


def test_only_what_is_approved_is_deployed(
    aws: Aws, packed_iris: Path, checked: list[Finding]
) -> None:
    register = ("register", packed_iris, "--group", GROUP, "--yes")
    role = aws.role()
    deploy = ("deploy", "--name", "demo", "--role", role, "--yes", "--package")
    ok(aws(*register))
    refused = {
        GROUP: f"no version of {GROUP} is Approved; there are {GROUP}:1",
        f"{GROUP}:1": f"{GROUP}:1: is PendingManualApproval, and only what is Approved is deployed",
        f"{GROUP}:7": f"{GROUP} has no version 7; there are 1",
        "nothing": "there is no group 'nothing' in us-east-1",
        "a b": "expected an ARN, GROUP or GROUP:VERSION, got 'a b'",
    }
    for reference, told in refused.items():
        done = aws(*deploy, reference)
        assert isinstance(done.exception, InputError), done.exception
        assert told in str(done.exception)
    assert aws.sent("CreateModel") == []
    ok(aws(*register, "--approve"))
    ok(aws(*register))
    ok(aws(*deploy, GROUP))
    (request,) = aws.sent("CreateModel")
    check_request("CreateModel", request)
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model-package/{GROUP}/2"
    assert request["PrimaryContainer"] == {"ModelPackageName": arn}
    assert {"Key": "algoshelf:algorithm", "Value": "kmeans"} in request["Tags"]
    aws.client("sagemaker").update_model_package(
        ModelPackageArn=arn.replace("/2", "/3"), ModelApprovalStatus="Rejected"
    )
    done = aws("deploy", "--name", "other", "--role", role, "--yes", "--package", f"{GROUP}:3")
    assert f"{GROUP}:3: is Rejected" in str(done.exception)
    by_arn = aws("deploy", "--name", "other", "--role", role, "--dry-run", "--package", arn)
    assert arn in ok(by_arn).stdout
    for words, told in (
        (("--instance", "ml.g5.xlarge"), "its image does not run on ml.g5.xlarge"),
        (("--network-isolation",), "fetches packages when it starts"),
        (("--image", IMAGE), "a package has its image"),
        ((str(packed_iris),), "expected either a MODEL, or --package"),
    ):
        done = aws("deploy", "--name", "other", "--role", role, "--yes", "--package", arn, *words)
        assert told in str(done.exception), done.exception


def test_a_package_without_network_has_all_it_needs(
    aws: Aws, iris_model: Path, checked: list[Finding]
) -> None:
    ok(aws("register", iris_model, "--group", GROUP, "--approve", "--yes", "--network-isolation"))
    given = ("--package", GROUP, "--name", "demo", "--role", aws.role(), "--network-isolation")
    ok(aws("deploy", *given, "--yes"))
    (request,) = aws.sent("CreateModel")
    assert request["EnableNetworkIsolation"] is True
    ok(aws("register", iris_model, "--group", GROUP, "--image", IMAGE, "--approve", "--yes"))
    ok(aws("deploy", "--package", GROUP, "--name", "own", "--role", "algoshelf", "--yes",
           "--instance", "ml.m5.large"))  # fmt: skip


def test_a_job_is_registered_with_its_name(
    aws: Aws, iris_model: Path, checked: list[Finding], tmp_path: Path
) -> None:
    from tests.toolkits.contract import pack

    archive = pack(iris_model, tmp_path / "model.tar.gz")
    s3, client = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="mine")
    s3.put_object(Bucket="mine", Key="jobs/iris/output/model.tar.gz", Body=archive.read_bytes())
    client.create_training_job(
        TrainingJobName="iris",
        AlgorithmSpecification={
            "TrainingImage": "1.dkr/mxnet-training:1",
            "TrainingInputMode": "File",
        },
        RoleArn=aws.role(),
        OutputDataConfig={"S3OutputPath": "s3://mine/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    made = json.loads(ok(aws("register", "iris", "--group", GROUP, "--yes", "--json")).stdout)
    (request,) = aws.sent("CreateModelPackage")
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/iris"
    assert request["MetadataProperties"]["GeneratedBy"] == arn
    assert made["lineage"]["GeneratedBy"] == arn


def test_a_model_that_fails_its_checks_is_not_approved(
    aws: Aws, packed_iris: Path, checked: list[Finding]
) -> None:
    checked[0] = Finding("answers", "it answers", "failed")
    done = aws("register", packed_iris, "--group", GROUP, "--approve", "--yes")
    assert "--approve: kmeans failed: answers" in str(done.exception)
    assert aws.changes() == []
    ok(aws("register", packed_iris, "--group", GROUP, "--yes"))
    (request,) = aws.sent("CreateModelPackage")
    assert request["CustomerMetadataProperties"]["conformance"] == "failed: answers"


def test_what_is_registered_is_deleted_but_not_what_a_model_is_made_of(
    aws: Aws, packed_iris: Path, checked: list[Finding]
) -> None:
    for _ in range(2):
        ok(aws("register", packed_iris, "--group", GROUP, "--approve", "--yes"))
    ok(aws("deploy", "--package", GROUP, "--name", "demo", "--role", aws.role(), "--yes"))
    delete = ("delete", "--kind", "package", "--yes")
    used = aws(*delete, f"{GROUP}:2")
    assert "is made of it: delete that first" in str(used.exception)
    assert len(state(aws).model_packages) == 2
    ok(aws(*delete, f"{GROUP}:1"))
    assert GROUP in state(aws).model_package_groups
    (model,) = aws.sent("CreateModel")
    aws.client("sagemaker").delete_model(ModelName=model["ModelName"])
    ok(aws(*delete, f"{GROUP}:2"))
    assert (state(aws).model_packages, state(aws).model_package_groups) == ({}, {})
    assert "no model of algoshelf's is registered" in aws("list", "--registered").stdout


def test_a_group_of_somebody_else_is_left_alone(
    aws: Aws, packed_iris: Path, checked: list[Finding]
) -> None:
    aws.client("sagemaker").create_model_package_group(
        ModelPackageGroupName="theirs", ModelPackageGroupDescription="x"
    )
    register = ("register", packed_iris, "--group", "theirs", "--yes")
    assert "algoshelf did not make theirs" in str(aws(*register).exception)
    assert "expected up to 63" in str(aws("register", packed_iris, "--group", "-").exception)
    ok(aws(*register, "--foreign"))


@pytest.mark.parametrize("failing", ["CreateModelPackageGroup", "CreateModelPackage"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_failure_leaves_nothing(
    aws: Aws,
    packed_iris: Path,
    checked: list[Finding],
    failing: str,
    error: Callable[[], BaseException],
) -> None:
    """After the request has arrived, and its answer is lost."""

    def fail(_: Any) -> None:
        raise error()

    aws.answers[failing] = fail
    done = aws("register", packed_iris, "--group", GROUP, "--yes")
    assert done.exit_code != 0
    assert (state(aws).model_packages, state(aws).model_package_groups) == ({}, {})


def test_a_dry_run_shows_the_requests(aws: Aws, packed_iris: Path, checked: list[Finding]) -> None:
    done = ok(aws("register", packed_iris, "--group", GROUP, "--dry-run"))
    asked = [each["operation"] for each in json.loads(done.stdout)["requests"]]
    assert asked[-2:] == ["CreateModelPackageGroup", "CreateModelPackage"]
    assert state(aws).model_package_groups == {}
