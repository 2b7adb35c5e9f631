"""What the command line asks by boto3, beside what AWS's SDK asks for the same job.

The SDK's requests are those of ``registry.estimator``, ``tuner`` and ``model``. What differs is
listed here, each with the reason, and nothing else may.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from algoshelf import registry
from algoshelf.algorithms.kmeans import IRIS
from algoshelf.core.data.reading import Reading
from algoshelf.core.runtime.errors import MissingDependencyError
from algoshelf.registry.aws import images, instances, tags
from algoshelf.registry.aws.account import Account
from algoshelf.registry.aws.instances import TRAINING
from algoshelf.registry.packaging import requirements

from tests.registry.aws.conftest import BUCKET, INSTANCE, WITHOUT_SDK, Aws, check_request

sdk = pytest.importorskip(
    "algoshelf.registry.aws.sdk", reason=WITHOUT_SDK, exc_type=MissingDependencyError
)

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
DATA = "s3://mine/iris/"
ROOT = f"s3://{BUCKET}/algoshelf"
SUBMITTED = "sagemaker_submit_directory"


@pytest.fixture(autouse=True)
def sdk_of_aws(validated_once: None) -> None:
    """Is imported."""


@pytest.fixture
def role(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(requirements, "wheels", lambda lines: {"wheels/any.whl": b""})  # pip's
    client = aws.client("s3")
    client.create_bucket(Bucket="mine")
    client.put_object(Bucket="mine", Key="iris/iris.csv", Body=IRIS.read_bytes())
    return aws.role()


def alike(aws: Aws, operation: str) -> None:
    """Hold our request, which was sent first, and that of the SDK against each other."""
    ours, theirs = (_plain(aws, request) for request in _valid(aws, operation))
    assert ours == theirs


def _valid(aws: Aws, operation: str) -> list[dict[str, Any]]:
    requests = aws.sent(operation)
    assert len(requests) == 2
    for request in requests:
        check_request(operation, request)
    return requests


def _plain(aws: Aws, request: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from one run to another, and what the SDK says that is AWS's default."""
    found: dict[str, Any] = json.loads(json.dumps(request))
    marks = (tags.RUN, tags.CREATOR)  # the SDK's transformer has one list for job and model
    found["Tags"] = [tag for tag in found.get("Tags", ()) if tag["Key"] not in marks]
    if "CheckpointConfig" in found:  # in a folder that no other job has
        found["CheckpointConfig"]["S3Uri"] = found["CheckpointConfig"]["S3Uri"].rpartition("/")[0]
    # "Off" is what AWS does where nothing is said.
    found.get("HyperParameterTuningJobConfig", {}).pop("TrainingJobEarlyStoppingType", None)
    definition = found.get("TrainingJobDefinition", found)
    # AWS does so for each job that has a metric's definition, as all of ours do.
    definition.get("AlgorithmSpecification", {}).pop("EnableSageMakerMetricsTimeSeries", None)
    for name in ("HyperParameters", "StaticHyperParameters"):
        values = definition.get(name, {})
        # By these the SDK finds its own class again, in `attach`.
        for own in ("sagemaker_estimator_class_name", "sagemaker_estimator_module"):
            values.pop(own, None)
        if SUBMITTED in values:  # ours lies under its digest
            place = json.loads(values[SUBMITTED])
            values[SUBMITTED] = _unpacked(aws, place) if place.startswith("s3://") else place
    for channel in definition.get("InputDataConfig", ()):
        if channel["ChannelName"] == "code":
            source = channel["DataSource"]["S3DataSource"]
            source["S3Uri"] = _unpacked(aws, source["S3Uri"])
    ranges = found.get("HyperParameterTuningJobConfig", {}).get("ParameterRanges", {})
    for kind in ranges.values():
        kind.sort(key=lambda each: each["Name"])
    for each in ranges.get("CategoricalParameterRanges", ()):
        each["Values"] = [_handed_on(value) for value in each["Values"]]
    return found


def _handed_on(value: str) -> str:
    """A choice as AWS's toolkit hands it to the script; the SDK writes numbers as strings."""
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _unpacked(aws: Aws, uri: str) -> dict[str, bytes]:
    """The files of an archive in S3."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        return {name: file.read() for name, file in files.items() if file is not None}


COMPANY: tuple[tuple[object, ...], dict[str, Any]] = (
    (
        *("--vpc-subnets", "subnet-1,subnet-2", "--security-groups", "sg-1"),
        *("--kms-key", "alias/data", "--volume-kms-key", "alias/disks"),
        *("--encrypt-traffic", "--input-mode", "fastfile", "--retry", 3, "--hosts", 2),
    ),
    {
        "subnets": ["subnet-1", "subnet-2"],
        "security_group_ids": ["sg-1"],
        "output_kms_key": "alias/data",
        "volume_kms_key": "alias/disks",
        "encrypt_inter_container_traffic": True,
        "input_mode": "FastFile",
        "max_retry_attempts": 3,
        "instance_count": 2,
    },
)
ISOLATED: tuple[tuple[object, ...], dict[str, Any]] = (
    ("--network-isolation",),
    {"enable_network_isolation": True, "offline": True},
)
TRAININGS: dict[str, tuple[tuple[object, ...], dict[str, Any]]] = {
    "one host": ((), {}),
    "text and seed": (
        ("--init", "random", "--tolerance", "1e-05", "--seed", 7, "--delimiter", ";"),
        {
            "hyperparameters": {"init": "random", "tolerance": 1e-05},
            "seed": 7,
            "reading": Reading.parse({"delimiter": ";"}),
        },
    ),
    "two hosts, spot": (
        ("--hosts", 2, "--spot", "--max-run", "1h", "--max-wait", "3h", "--volume", 50),
        {
            "instance_count": 2,
            "spot": True,
            "max_run": 3600,
            "max_wait": 10800,
            "volume_size": 50,
        },
    ),
    "spot without a bound": (("--spot",), {"spot": True}),
    "a GPU": (("--instance", "ml.g5.xlarge"), {"instance_type": "ml.g5.xlarge"}),
    "a place of its own": (("--output", "s3://mine/out"), {"output": "s3://mine/out"}),
    "a company's": COMPANY,
    "a warm pool": (("--warm-pool", "10m"), {"keep_alive_period_in_seconds": 600}),
    "no network": ISOLATED,
    "no network, own image": (
        ("--image", IMAGE, "--network-isolation"),
        {"image_uri": IMAGE, "enable_network_isolation": True},
    ),
    "own image": (
        ("--image", IMAGE, "--init", "random", "--hosts", 2),
        {"image_uri": IMAGE, "hyperparameters": {"init": "random"}, "instance_count": 2},
    ),
}


@pytest.mark.parametrize("case", TRAININGS)
def test_a_training(aws: Aws, role: str, case: str) -> None:
    words, settings = TRAININGS[case]
    aws.quotas["ml.g5.xlarge for training job usage"] = 1.0
    given = ("train", "kmeans", "--train", DATA, "--instance", INSTANCE, "--k", 3)
    done = aws(*given, "--role", role, "--name", "ours", "--yes", "--no-wait", *words)
    assert done.exit_code == 0, done.exception
    made = registry.estimator(
        "kmeans", role=role,
        **{"instance_type": INSTANCE, "output": f"{ROOT}/jobs", **settings,
           "hyperparameters": {"k": 3, **settings.get("hyperparameters", {})}},
    )  # fmt: skip
    _fit_as(aws, made, "ours", "CreateTrainingJob")
    alike(aws, "CreateTrainingJob")


TUNINGS: dict[str, tuple[tuple[object, ...], dict[str, Any]]] = {
    "script": ((), {}),
    "a company's": COMPANY,
    "own image, spot": (
        ("--image", IMAGE, "--spot", "--hosts", 2),
        {"image_uri": IMAGE, "spot": True, "instance_count": 2},
    ),
}


@pytest.mark.parametrize("case", TUNINGS)
@pytest.mark.parametrize("name", ["kmeans", "mnist-cnn"])
def test_a_tuning(aws: Aws, role: str, name: str, case: str) -> None:
    words, settings = TUNINGS[case]
    given = ("tune", name, "--train", DATA, "--instance", INSTANCE, "--jobs", 4, "--parallel", 2)
    done = aws(*given, "--role", role, "--name", "ours", "--yes", "--no-wait", *words)
    assert done.exit_code == 0, done.exception
    made = registry.tuner(
        name, instance_type=INSTANCE, role=role, output=f"{ROOT}/jobs",
        max_jobs=4, max_parallel_jobs=2, **settings,
    )  # fmt: skip
    _fit_as(aws, made, "ours", "CreateHyperParameterTuningJob")
    alike(aws, "CreateHyperParameterTuningJob")


def _fit_as(aws: Aws, made: Any, name: str, operation: str) -> None:
    """Have the SDK ask for the job under the name that ours has, which AWS then refuses."""

    def refuse() -> None:
        raise _SentError

    aws.before[operation] = refuse
    with pytest.raises(_SentError):
        made.fit({"train": DATA}, wait=False, job_name=name)


class _SentError(Exception):
    pass


@pytest.mark.parametrize("own", [False, True], ids=["script", "own image"])
@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ((), {"split_type": "Line", "strategy": "MultiRecord", "assemble_with": "Line"}),
        (
            ("--split-type", "none", "--join-source", "--max-payload", "7MB", "--hosts", 2),
            {"strategy": "SingleRecord", "join_source": "Input", "max_payload": 7, "count": 2},
        ),
        (
            ("--split-type", "recordio", "--accept", "text/csv"),
            {"split_type": "RecordIO", "strategy": "MultiRecord", "accept": "text/csv"},
        ),
        (
            (*COMPANY[0][:8], "--network-isolation", "--split-type", "none"),
            {
                "strategy": "SingleRecord",
                "output_kms_key": "alias/data",
                "volume_kms_key": "alias/disks",
                "network": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]},
            },
        ),
    ],
    ids=["lines", "files", "RecordIO", "a company's"],
)
def test_a_transform(
    aws: Aws,
    role: str,
    iris_model: Path,
    words: tuple[object, ...],
    settings: dict[str, Any],
    own: bool,
) -> None:
    given = ("transform", iris_model, f"{DATA}iris.csv", "--instance", INSTANCE, "--role", role)
    image = ("--image", IMAGE) if own else ()
    named = ("--name", "ours", "--content-type", "text/csv", "--yes", "--no-wait")
    done = aws(*given, *named, *image, *words)
    assert done.exit_code == 0, done.exception
    (model,) = aws.sent("CreateModel")
    session = sdk.Session(Account(kms_key=settings.get("output_kms_key", "")))
    made = registry.model(
        iris_model, role=role, image_uri=IMAGE if own else None, name=model["ModelName"],
        session=session, offline="network" in settings and not own,
    )  # fmt: skip
    if "network" in settings:
        made.vpc_config, made._enable_network_isolation = settings["network"], True
    aws.client("sagemaker").delete_model(ModelName=model["ModelName"])
    transformer = made.transformer(
        settings.get("count", 1),
        INSTANCE,
        strategy=settings["strategy"],
        assemble_with=settings.get("assemble_with"),
        output_path=f"{ROOT}/transforms/ours",
        accept=settings.get("accept", "application/jsonlines"),
        max_payload=settings.get("max_payload", 6),
        tags=tags.tags("kmeans"),
        output_kms_key=settings.get("output_kms_key"),
        volume_kms_key=settings.get("volume_kms_key"),
    )
    _ask(aws, transformer, settings)
    alike(aws, "CreateTransformJob")
    for request in aws.sent("CreateModel"):  # the SDK says that there is nothing in it
        if not request["PrimaryContainer"].get("Environment", {"any": ""}):
            del request["PrimaryContainer"]["Environment"]
    alike(aws, "CreateModel")


def _ask(aws: Aws, transformer: Any, settings: dict[str, Any]) -> None:
    def refuse() -> None:
        raise _SentError

    aws.before["CreateTransformJob"] = refuse
    with pytest.raises(_SentError):
        transformer.transform(
            f"{DATA}iris.csv",
            content_type="text/csv",
            split_type=settings.get("split_type"),
            join_source=settings.get("join_source"),
            job_name="ours",
            wait=False,
            logs=False,
        )


def test_a_model_of_an_endpoint(aws: Aws, role: str, iris_model: Path) -> None:
    aws.quotas["ml.m5.large for endpoint usage"] = 1.0
    done = aws("deploy", iris_model, "--name", "ours", "--role", role, "--yes")
    assert done.exit_code == 0, done.exception
    registry.model(iris_model, role=role).create(instance_type="ml.m5.large")
    ours, theirs = (_plain(aws, request) for request in _valid(aws, "CreateModel"))
    assert ours["PrimaryContainer"] == theirs["PrimaryContainer"]
    assert ours["ExecutionRoleArn"] == theirs["ExecutionRoleArn"]


def test_the_addresses_of_the_images_are_those_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    from sagemaker import image_uris, utils

    # which it would read anew for each address
    resolver = utils._botocore_resolver()
    monkeypatch.setattr(utils, "_botocore_resolver", lambda: resolver)

    known = image_uris.config_for_framework("mxnet")

    def theirs(region: str, instance: str, scope: str) -> str:
        return str(
            image_uris.retrieve(
                "mxnet", region, version=images.MXNET, py_version=images.PYTHON,
                instance_type=instance, image_scope=scope,
            )
        )  # fmt: skip

    for scope in (TRAINING, images.INFERENCE):
        registries = known[scope]["versions"][images.MXNET]["registries"]
        assert images.regions() == sorted(registries)
        for region in registries:
            for instance in ("ml.m5.large", "ml.g5.xlarge"):
                found = images.image(region, instance, scope)
                assert found == theirs(region, instance, scope)
    for each in instances.known():
        if not each.obstacle and not each.needs_own_image:
            found = images.image("eu-west-1", each.name, TRAINING)
            assert found == theirs("eu-west-1", each.name, TRAINING), each.name
