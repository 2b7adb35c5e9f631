"""The examples of docs/sagemaker.md in Python, for AWS's SDK, in moto's account."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf import registry
from algoshelf.algorithms.kmeans import IRIS, KMeans
from algoshelf.core import Reporter, train
from algoshelf.core.artifact.folder import Artifact
from algoshelf.core.runtime.errors import MissingDependencyError
from algoshelf.registry.aws import images
from algoshelf.registry.aws.account import Account
from algoshelf.registry.cli import cli
from click.testing import CliRunner

from tests.project.test_docs import blocks
from tests.registry.aws.conftest import ACCOUNT, INSTANCE, WITHOUT_SDK, Aws, check_request
from tests.registry.aws.test_four_ways import DOCUMENT, NAMES, filled, stock

sdk = pytest.importorskip(
    "algoshelf.registry.aws.sdk", reason=WITHOUT_SDK, exc_type=MissingDependencyError
)
sagemaker = sdk.sagemaker


@pytest.fixture(autouse=True)
def sdk_of_aws(validated_once: None) -> None:
    """Is imported."""


@pytest.fixture
def examples(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the document's example in Python that contains a text; the request that it sends."""
    stock(aws)
    role = aws.role()
    monkeypatch.chdir(tmp_path)

    def run(text: str) -> Any:
        (code,) = [block for block in blocks(DOCUMENT, "python") if text in block]
        code = filled(code).replace("s3://…", "s3://mine/iris/")
        code = re.sub(r"\.fit\((.*)\)", r".fit(\1, wait=False)", code)
        exec(compile(code, str(DOCUMENT), "exec"), {"ROLE": role})
        request = aws.sent("CreateTrainingJob")[-1]
        check_request("CreateTrainingJob", request)
        return request

    return run


def test_the_built_in_container_and_ours_take_the_same_channel(aws: Aws, examples: Any) -> None:
    theirs = examples("image_uris.retrieve")
    assert "/kmeans:" in theirs["AlgorithmSpecification"]["TrainingImage"]
    role = theirs["RoleArn"]
    ours = registry.estimator("kmeans", instance_type=INSTANCE, role=role, hyperparameters={"k": 3})
    data = sagemaker.inputs.TrainingInput("s3://mine/iris/", content_type="text/csv;label_size=0")
    ours.fit({"train": data}, wait=False)
    request = aws.sent("CreateTrainingJob")[-1]
    for same in ("InputDataConfig", "ResourceConfig", "RoleArn"):
        assert request[same] == theirs[same]
    assert request["HyperParameters"]["k"] == theirs["HyperParameters"]["k"] == "3"


def test_what_the_sdk_writes_for_the_built_in_container_is_read_by_ours(
    aws: Aws, iris_model: Path, tmp_path: Path
) -> None:
    stock(aws)
    role = aws.role()
    rows = np.loadtxt(IRIS, delimiter=",", dtype="float32", skiprows=1)
    theirs = sagemaker.KMeans(
        role, 1, INSTANCE, k=3, data_location="s3://mine/records/",
        sagemaker_session=sdk.Session(Account()),
    )  # fmt: skip
    records = theirs.record_set(rows)
    theirs.fit(records, wait=False)
    request = aws.sent("CreateTrainingJob")[-1]
    check_request("CreateTrainingJob", request)
    ours = registry.estimator("kmeans", instance_type=INSTANCE, role=role, hyperparameters={"k": 3})
    ours.fit(records.data_channel(), wait=False)
    assert aws.sent("CreateTrainingJob")[-1]["InputDataConfig"] == request["InputDataConfig"]
    listed = aws.client("s3").list_objects_v2(Bucket="mine", Prefix="records/")["Contents"]
    (key,) = [each["Key"] for each in listed if each["Key"].endswith(".pbr")]
    channel = tmp_path / "train"
    channel.mkdir()
    aws.client("s3").download_file("mine", key, str(channel / Path(key).name))
    options = KMeans.Hyperparameters(k=3)
    train(KMeans(), {"train": channel}, options, tmp_path / "m", reporter=Reporter())
    digests = [Artifact.open(folder).metadata.sha256 for folder in (tmp_path / "m", iris_model)]
    assert digests[0] == digests[1]


def test_script_mode_by_hand_is_what_train_asks_for(examples: Any) -> None:
    words = ["package", "mnist-cnn", "--as", "script", "--output", "packed/script"]
    packed = CliRunner().invoke(cli, words)
    assert packed.exit_code == 0, packed.exception
    request = examples("from sagemaker.mxnet import MXNet")
    image = request["AlgorithmSpecification"]["TrainingImage"]
    assert image == images.image(NAMES["REGION"], INSTANCE, "training")
    assert request["HyperParameters"]["sagemaker_program"] == '"entry_point.py"'


def test_an_image_of_ones_own_is_asked_for_by_the_plain_estimator(examples: Any) -> None:
    request = examples("from sagemaker.estimator import Estimator")
    image = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/mnist-cnn"
    assert request["AlgorithmSpecification"]["TrainingImage"] == image
    assert request["HyperParameters"] == {"epochs": "3"}
