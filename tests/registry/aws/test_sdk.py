"""``algoshelf.registry.estimator | model | predictor | tuner``: the SDK's own objects, set up."""

from __future__ import annotations

import gc
import gzip
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from algoshelf import registry
from algoshelf.core.algorithm.hyperparameters import Search
from algoshelf.core.runtime.errors import ArtifactError, InputError, MissingDependencyError
from algoshelf.core.training.reporting import metrics_line
from algoshelf.registry.aws import jobs
from algoshelf.registry.aws.account import Account
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from tests.registry.aws.conftest import BUCKET, INSTANCE, WITHOUT_SDK, Aws, check_request

sdk = pytest.importorskip(
    "algoshelf.registry.aws.sdk", reason=WITHOUT_SDK, exc_type=MissingDependencyError
)

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
DATA = "s3://mine/iris/"


@pytest.fixture(autouse=True)
def sdk_of_aws(validated_once: None) -> None:
    """Is imported."""


@pytest.fixture
def role(aws: Aws) -> str:
    aws.client("s3").create_bucket(Bucket="mine")
    return aws.role()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return path


def bomb() -> bytes:
    """An archive whose one entry says that its name has a gigabyte, of which this is the start."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**30
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(10 * 2**20))


def model_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_log_of_the_process_stays_as_it_was() -> None:
    code = (
        "import logging; from algoshelf.registry.aws import sdk; root = logging.getLogger(); "
        "print(root.level, root.handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "30 []\n"


def test_registry_stays_light() -> None:
    code = (
        "import sys, algoshelf.registry as r; dir(r); "
        "print([m for m in ('boto3', 'botocore', 'sagemaker', 'mxnet') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'estimate'"):
        registry.estimate  # noqa: B018


def test_an_estimator_is_the_sdks_own_and_fits(aws: Aws, role: str) -> None:
    found = registry.estimator(
        "kmeans",
        instance_type=INSTANCE,
        instance_count=2,
        role=role,
        hyperparameters={"k": "5", "init": "random"},
        seed=3,
        output_kms_key="alias/mine",
    )
    assert type(found) is sdk.MXNet
    source = Path(found.source_dir)
    assert (source / "entry_point.py").is_file()
    assert (source / "algoshelf" / "algorithms" / "kmeans").is_dir()
    found.fit({"train": DATA}, wait=False)
    (request,) = aws.sent("CreateTrainingJob")
    check_request("CreateTrainingJob", request)
    hyperparameters = request["HyperParameters"]
    assert (hyperparameters["k"], hyperparameters["init"]) == ("5", '"random"')
    assert hyperparameters["sagemaker_parameter_server_enabled"] == "true"
    assert request["OutputDataConfig"]["S3OutputPath"] == f"s3://{BUCKET}/"
    assert "DebugHookConfig" not in request
    attached = sdk.MXNet.attach(
        found.latest_training_job.name, sagemaker_session=found.sagemaker_session
    )
    assert attached.hyperparameters()["k"] == "5"
    del found
    gc.collect()
    assert not source.exists()


def test_an_image_of_ones_own_needs_none_of_the_mxnet_classes(aws: Aws, role: str) -> None:
    found = registry.estimator(
        "kmeans", instance_type=INSTANCE, role=role, image_uri=IMAGE, output="s3://mine/out"
    )
    assert type(found) is sdk.Estimator
    found.fit({"train": DATA}, wait=False)
    (request,) = aws.sent("CreateTrainingJob")
    check_request("CreateTrainingJob", request)
    assert request["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert request["OutputDataConfig"]["S3OutputPath"] == "s3://mine/out"
    assert request["CheckpointConfig"]["S3Uri"].startswith("s3://mine/out/checkpoints/kmeans-")


def test_what_the_sdk_takes_goes_first(role: str) -> None:
    found = registry.estimator(
        "kmeans",
        instance_type=INSTANCE,
        role=role,
        spot=True,
        max_run=60,
        volume_size=77,
        checkpoint_s3_uri="s3://mine/kept",
    )
    assert (found.use_spot_instances, found.max_run, found.max_wait) == (True, 60, 120)
    assert (found.volume_size, found.checkpoint_s3_uri) == (77, "s3://mine/kept")


def test_local_mode_asks_nothing_of_aws(aws: Aws) -> None:
    found = registry.estimator("kmeans", instance_type="local")
    assert type(found) is sdk.MXNet
    assert found.checkpoint_s3_uri is None
    assert aws.requests == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hyperparameters": {"k": 0}}, "k: expected a whole number from 1"),
        ({"hyperparameters": {"kk": 3}}, "did you mean 'k'"),
        ({"instance_type": "ml.p5.48xlarge"}, "compute capability 9.0"),
        ({"instance_type": "ml.m5.huge"}, "no instance type"),
        ({"role": "nobody"}, "no such role"),
        ({"output": "/here"}, "expected s3://"),
        ({"seed": -1}, "expected a whole number"),
    ],
)
def test_an_estimator_that_could_not_train_is_refused(
    aws: Aws, role: str, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        registry.estimator("kmeans", **{"instance_type": INSTANCE, "role": role, **settings})
    assert aws.changes() == []


def test_a_region_without_aws_image_is_refused(
    aws: Aws, role: str, iris_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "mx-central-1")
    with pytest.raises(InputError, match="mx-central-1: AWS has no image of MXNet"):
        registry.estimator("kmeans", instance_type=INSTANCE, role=role)
    with pytest.raises(InputError, match="an image of your own"):
        registry.model(iris_model, role=role)
    assert aws.changes() == []


def test_more_than_aws_takes_of_a_hyperparameter_is_refused(
    aws: Aws, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MAX_VALUE", 7)  # no algorithm here has one of 2,500
    given = {"init": "random"}
    with pytest.raises(InputError, match="init: AWS takes at most 7 characters"):
        registry.estimator("kmeans", instance_type=INSTANCE, role=role, hyperparameters=given)


def test_every_metric_that_is_printed_is_read(role: str) -> None:
    for entry in registry.catalog():
        found = registry.estimator(entry.algorithm.name, instance_type=INSTANCE, role=role)
        definitions = {each["Name"]: each["Regex"] for each in found.metric_definitions}
        assert entry.algorithm.objective.metric in definitions
        line = metrics_line(dict.fromkeys(definitions, 0.25), epoch=1, step=2)
        assert len(definitions) <= 40
        for regex in definitions.values():
            assert len(regex) <= 500
            assert re.findall(regex, line) == ["0.25"]


def test_a_tuner_looks_where_it_is_told(aws: Aws, role: str) -> None:
    found = registry.tuner(
        "kmeans",
        instance_type=INSTANCE,
        role=role,
        hyperparameters={"k": 3},
        search_space={"tolerance": Search(1e-5, 1e-3, log=True), "restarts": Search(1, 4)},
        max_jobs=3,
    )
    assert type(found) is sdk.HyperparameterTuner
    found.fit({"train": DATA}, wait=False)
    (request,) = aws.sent("CreateHyperParameterTuningJob")
    check_request("CreateHyperParameterTuningJob", request)
    settings = request["HyperParameterTuningJobConfig"]
    assert settings["HyperParameterTuningJobObjective"]["Type"] == "Minimize"
    assert settings["ParameterRanges"]["IntegerParameterRanges"] == [
        {"Name": "restarts", "MinValue": "1", "MaxValue": "4", "ScalingType": "Linear"}
    ]
    assert "CheckpointConfig" not in request["TrainingJobDefinition"]


def test_a_model_is_uploaded_once_with_its_code(aws: Aws, role: str, iris_model: Path) -> None:
    found = registry.model(iris_model, role=role)
    assert type(found) is sdk.MXNetModel
    assert found.metadata.algorithm == "kmeans"
    again = registry.model(found.model_data, role=role)
    assert again.model_data == found.model_data
    assert len(aws.sent("PutObject")) == 1
    found.create(instance_type=INSTANCE)
    (request,) = aws.sent("CreateModel")
    check_request("CreateModel", request)
    container = request["PrimaryContainer"]
    assert container["Image"].endswith("mxnet-inference:1.9.0-cpu-py38")
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert container["ModelDataUrl"] == found.model_data
    assert len(aws.sent("PutObject")) == 1  # nothing was repacked
    body = aws.client("s3").get_object(Bucket=BUCKET, Key=aws.objects()[0])["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as members:
        assert {"algorithm.json", "code/inference.py"} <= set(members.getnames())


def test_a_model_of_a_job(aws: Aws, role: str, iris_model: Path, tmp_path: Path) -> None:
    trained = registry.estimator("kmeans", instance_type=INSTANCE, role=role)
    trained.fit({"train": DATA}, wait=False)
    job = trained.latest_training_job.name
    with pytest.raises(InputError, match="nothing lies there"):
        registry.model(job, role=role)
    told = aws.client("sagemaker").describe_training_job(TrainingJobName=job)
    uri = told["ModelArtifacts"]["S3ModelArtifacts"]
    packed = archive(tmp_path / "model.tar.gz", model_files(iris_model))
    aws.client("s3").upload_file(str(packed), BUCKET, uri.split("/", 3)[3])
    found = registry.model(job, role=role, image_uri=IMAGE)
    assert type(found) is sdk.Model
    assert found.model_data == registry.model(iris_model, role=role).model_data
    with pytest.raises(InputError, match="no training job in us-east-1"):
        registry.model("no-such-job", role=role)

    def ongoing(answer: dict[str, Any]) -> None:
        answer["TrainingJobStatus"] = "InProgress"

    aws.answers["DescribeTrainingJob"] = ongoing
    with pytest.raises(InputError, match="the training job is InProgress: it has left no model"):
        registry.model(job, role=role)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"nothing packed",
            "is not a gzipped tar archive.*; expected a model.tar.gz",
        ),
        (bomb(), "has a header, of a name or of attributes, that is far too long"),
        ({"a": b"1"}, "holds no algorithm.json"),
        ({"algorithm.json": b"{}"}, "algorithm.json"),
    ],
    ids=["no archive", "bomb", "no metadata", "empty metadata"],
)
def test_what_is_no_model_is_refused(
    aws: Aws, role: str, tmp_path: Path, content: Any, reason: str
) -> None:
    path = tmp_path / "model.tar.gz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        archive(path, content)
    with pytest.raises(ArtifactError, match=reason):
        registry.model(path, role=role)
    assert aws.changes() == []


def test_a_predictor_speaks_the_algorithms_content_types(
    aws: Aws, role: str, iris_model: Path
) -> None:
    session = sdk.Session(Account())
    found = registry.model(iris_model, role=role, session=session)
    deployed = found.deploy(1, INSTANCE, wait=False)
    body = b'{"predictions": [1]}'
    predictor = registry.predictor(deployed.endpoint_name, session=session)
    with Stubber(session.sagemaker_runtime_client) as stub:  # moto reads bodies as text
        stub.add_response(
            "invoke_endpoint",
            {"Body": StreamingBody(io.BytesIO(body), len(body))},
            {
                "EndpointName": deployed.endpoint_name,
                "ContentType": "application/x-npy",
                "Accept": "application/json",
                "Body": ANY,
            },
        )
        assert predictor.predict([[5.1, 3.5, 1.4, 0.2]]) == {"predictions": [1]}
    texts = registry.predictor("any", algorithm="text-classification", session=session)
    assert texts.serializer.CONTENT_TYPE == "application/json"
    aws.client("sagemaker").delete_tags(
        ResourceArn=f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{deployed.endpoint_name}",
        TagKeys=["algoshelf:algorithm"],
    )
    with pytest.raises(InputError, match="algoshelf did not make it"):
        registry.predictor(deployed.endpoint_name, session=session)


def test_a_transformer_is_the_sdks_own(aws: Aws, role: str, iris_model: Path) -> None:
    found = registry.model(iris_model, role=role).transformer(1, INSTANCE, strategy="MultiRecord")
    assert type(found).__module__ == "sagemaker.transformer"
    found.transform(DATA, content_type="text/csv", split_type="Line", wait=False)
    check_request("CreateTransformJob", aws.sent("CreateTransformJob")[0])


def test_the_session_keeps_the_users_defaults_and_sends_no_telemetry(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "SchemaVersion: '1.0'\nSageMaker:\n  TrainingJob:\n    EnableNetworkIsolation: true\n"
    )
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(path))
    config = sdk.Session(Account()).sagemaker_config["SageMaker"]
    assert config["TrainingJob"] == {"EnableNetworkIsolation": True}
    assert config["PythonSDK"]["Modules"]["TelemetryOptOut"] is True


def test_sts_is_asked_at_the_endpoint_that_the_environment_names(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://sts.eu-west-1.amazonaws.com")
    session = sdk.Session(Account())
    asked: list[str] = []
    session.boto_session.events.register_last(
        "before-send.sts", lambda request, **_: asked.append(request.url)
    )
    assert session.account_id() == "123456789012"
    assert asked == ["https://sts.eu-west-1.amazonaws.com/"]
