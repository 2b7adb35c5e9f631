"""What a job has cost: billable seconds × instances × price, and what spot has saved."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from algoshelf.registry.aws import prices

from tests.conftest import ROOT
from tests.registry.aws.conftest import INSTANCE, Aws

IRIS = ROOT / "algorithms" / "kmeans" / "sample" / "iris.csv"
TRAIN = ("train", "kmeans", "--k", 3, "--train", IRIS, "--instance", INSTANCE)
USD = 0.23  # of ml.m5.xlarge, training, us-east-1


def started(aws: Aws, *words: object) -> str:
    """The name of a job, whose log is not followed."""
    role = aws.role()
    result = aws(*words, "--role", role, "--name", "mine", "--yes", "--no-wait")
    assert result.exit_code == 0, result.stderr
    return "mine"


def shown(aws: Aws, name: str) -> dict[str, str]:
    """What ``status`` shows, by the words before."""
    result = aws("status", name)
    assert result.exit_code == 0, result.stderr
    return {line[:28].strip(): line[28:] for line in result.stdout.splitlines()}


def test_a_job_costs_its_billable_seconds_on_each_instance(aws: Aws) -> None:
    started(aws, *TRAIN, "--hosts", 2)
    billed = {"BillableTimeInSeconds": 450, "TrainingTimeInSeconds": 450}
    aws.answers["DescribeTrainingJob"] = lambda answer: answer.update(billed)
    found = shown(aws, "mine")
    price = prices.find(INSTANCE, "training", "us-east-1")
    assert price is not None
    assert price.usd == USD
    assert float(found["cost usd"]) == pytest.approx(450 * 2 / 3600 * USD)
    assert found["cost"].startswith(f"0.0575 USD: 450 s × 2 × {INSTANCE} at {USD} USD an hour (")
    assert "spot saved" not in found


def test_spot_is_billed_for_fewer_seconds_than_it_ran(aws: Aws) -> None:
    started(aws, *TRAIN, "--spot")
    told = {
        "BillableTimeInSeconds": 90,
        "TrainingTimeInSeconds": 300,
        "EnableManagedSpotTraining": True,
    }
    aws.answers["DescribeTrainingJob"] = lambda answer: answer.update(told)
    found = shown(aws, "mine")
    assert found["spot saved"] == "70%"
    assert float(found["cost usd"]) == pytest.approx(90 / 3600 * USD)


def test_a_job_without_an_instance_cost_nothing_and_an_unknown_price_is_said(aws: Aws) -> None:
    started(aws, *TRAIN)

    def never(answer: dict[str, Any]) -> None:
        for name in ("TrainingStartTime", "TrainingEndTime", "BillableTimeInSeconds"):
            answer.pop(name, None)

    aws.answers["DescribeTrainingJob"] = never
    assert float(shown(aws, "mine")["cost usd"]) == 0

    def elsewhere(answer: dict[str, Any]) -> None:
        answer["ResourceConfig"]["InstanceType"] = "ml.c4.8xlarge"
        answer["BillableTimeInSeconds"] = 100

    aws.answers["DescribeTrainingJob"] = elsewhere
    found = shown(aws, "mine")
    assert found["cost"] == "100 s × 1 × ml.c4.8xlarge, whose price is unknown"


def test_a_search_costs_what_its_trainings_cost(aws: Aws) -> None:
    started(aws, "tune", *TRAIN[1:])
    for name in ("mine-001", "mine-002"):
        aws.client("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": "i", "TrainingInputMode": "File"},
            RoleArn="arn:aws:iam::123456789012:role/algoshelf",
            OutputDataConfig={"S3OutputPath": "s3://b/c"},
            ResourceConfig={"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
    billed = {"BillableTimeInSeconds": 1800}
    aws.answers["DescribeTrainingJob"] = lambda answer: answer.update(billed)
    assert float(shown(aws, "mine")["cost usd"]) == pytest.approx(USD)


def test_a_batch_transform_costs_the_time_between_its_start_and_end(
    aws: Aws, iris_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")  # where its price is known
    started(aws, "transform", iris_model, IRIS, "--instance", INSTANCE)
    begun = datetime.now(timezone.utc) - timedelta(hours=1)
    times = {"TransformStartTime": begun, "TransformEndTime": begun + timedelta(minutes=30)}
    aws.answers["DescribeTransformJob"] = lambda answer: answer.update(times)
    assert float(shown(aws, "mine")["cost usd"]) == pytest.approx(0.257 / 2)
