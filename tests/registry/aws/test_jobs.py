"""``algoshelf sagemaker train | tune | transform | status | logs`` in moto's account."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from algoshelf.core.runtime.errors import AlgoshelfError
from algoshelf.registry.aws import data
from algoshelf.registry.aws.account import Account
from botocore.exceptions import ClientError
from moto.core.responses import ActionResult
from moto.sagemaker.responses import SageMakerResponse

from tests.conftest import ROOT
from tests.registry.aws.conftest import ACCOUNT, BUCKET, INSTANCE, Aws, check_request, trusting

IRIS = ROOT / "algorithms" / "kmeans" / "sample" / "iris.csv"
DIGITS = ROOT / "algorithms" / "mnist_cnn" / "sample"
TRAIN = ("train", "kmeans", "--k", 3, "--train", IRIS, "--instance", INSTANCE)


def refusal(result: Any) -> str:
    """Why the command refused: its error, which is the user's to mend."""
    assert isinstance(result.exception, AlgoshelfError), result.exception
    assert result.exception.exit_code == 2
    return str(result.exception)


def logged(aws: Aws, group: str, streams: dict[str, list[str]]) -> None:
    """Write ``streams``, name to lines, into the log group of SageMaker's ``group``."""
    client = aws.client("logs")
    client.create_log_group(logGroupName=f"/aws/sagemaker/{group}")
    for stream, lines in streams.items():
        where = {"logGroupName": f"/aws/sagemaker/{group}", "logStreamName": stream}
        client.create_log_stream(**where)
        now = int(time.time() * 1000)  # what is old is dropped
        events = [{"timestamp": now + n, "message": line} for n, line in enumerate(lines)]
        client.put_log_events(**where, logEvents=events)


def existing(aws: Aws, name: str) -> None:
    """A training job, which moto completes at once."""
    aws.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": "1.dkr/mine", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::123456789012:role/algoshelf",
        OutputDataConfig={"S3OutputPath": "s3://models/jobs"},
        ResourceConfig={"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    aws.requests.clear()


def test_a_training_is_asked_for_as_the_service_expects(aws: Aws) -> None:
    role = aws.role()
    logged(aws, "TrainingJobs", {"iris/algo-1-1": ["epoch=1 step=3 train:msd=0.53"]})
    reading = ("--columns", "1-4", "--header", "yes", "--delimiter", ",")
    result = aws(*TRAIN, "--role", role, "--name", "iris", "--seed", 7, "--yes", "--json", *reading)
    assert result.exit_code == 0, result.exception
    (request,) = aws.sent("CreateTrainingJob")
    check_request("CreateTrainingJob", request)
    assert request["TrainingJobName"] == "iris"
    assert request["RoleArn"] == role
    assert request["HyperParameters"]["k"] == "3"
    assert request["HyperParameters"]["seed"] == "7"
    told = [request["HyperParameters"][name] for name in ("columns", "header", "delimiter")]
    assert [json.loads(value) for value in told] == ["1-4", "yes", "comma"]
    assert {"Key": "algoshelf:algorithm", "Value": "kmeans"} in request["Tags"]
    image = request["AlgorithmSpecification"]["TrainingImage"]
    assert image.endswith("mxnet-training:1.9.0-cpu-py38")
    definitions = request["AlgorithmSpecification"]["MetricDefinitions"]
    assert definitions[0]["Name"] == "train:msd"
    assert request["CheckpointConfig"]["S3Uri"].startswith(f"s3://{BUCKET}/algoshelf/")
    told = json.loads(result.stdout)
    assert (told["job"], told["status"]) == ("iris", "Completed")
    assert "epoch=1 step=3 train:msd=0.53" in result.stderr
    assert "USD an hour" in result.stderr


def test_the_same_data_is_uploaded_once(aws: Aws, tmp_path: Path) -> None:
    role = aws.role()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "iris.csv").write_bytes(IRIS.read_bytes())
    (folder / ".DS_Store").write_bytes(b"x")
    arguments = ("--role", role, "--yes", "--no-wait")
    train = ("train", "kmeans", "--k", 3, "--train", folder, "--instance", INSTANCE)
    assert aws(*train, *arguments).exit_code == 0
    (first,) = [key for key in aws.objects() if "/data/" in key]
    assert first.endswith("/iris.csv")
    assert aws(*train, *arguments).exit_code == 0
    assert [key for key in aws.objects() if "/data/" in key] == [first]
    data_key, code_key = (request["Key"] for request in aws.sent("PutObject"))
    assert (data_key, code_key.rpartition("/")[2]) == (first, "sourcedir.tar.gz")
    (folder / "iris.csv").write_bytes(IRIS.read_bytes() + b"5.1,3.5,1.4,0.2\n")
    assert aws(*train, *arguments).exit_code == 0
    assert len([key for key in aws.objects() if "/data/" in key]) == 2


OTHER = "210987654321"


@pytest.mark.parametrize(("given", "theirs"), [("", ACCOUNT), (OTHER, OTHER), ("any", None)])
def test_every_request_to_s3_says_whose_the_bucket_is_to_be(
    aws: Aws, given: str, theirs: str | None
) -> None:
    """Of the account's own bucket nobody else can be the owner."""
    client = aws.client("s3")
    client.create_bucket(Bucket="mine")
    client.put_object(Bucket="mine", Key="iris/a.csv", Body=IRIS.read_bytes())
    model = client.meta.service_model
    role = aws.role()
    train = ("train", "kmeans", "--instance", INSTANCE, "--role", role, "--yes", "--no-wait")
    owner = ("--bucket-owner", given) if given else ()
    for data_of in (IRIS, "s3://mine/iris/"):
        result = aws(*train, "--train", data_of, *owner)
        assert result.exit_code == 0, result.exception
    asked: set[str] = set()
    for operation, parameters in aws.requests:
        if operation not in model.operation_names or "Bucket" not in parameters:
            continue
        if "ExpectedBucketOwner" in model.operation_model(operation).input_shape.members:
            wanted = ACCOUNT if parameters["Bucket"] == BUCKET else theirs
            assert parameters.get("ExpectedBucketOwner") == wanted, operation
            asked.add(operation)
    assert {"HeadBucket", "ListObjectsV2", "PutObject"} <= asked


def test_a_bucket_of_somebody_else_is_refused_with_what_to_give(aws: Aws) -> None:
    def refuse(_: dict[str, Any]) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")

    aws.client("s3").create_bucket(Bucket="theirs")
    aws.answers["ListObjectsV2"] = refuse
    result = aws(*TRAIN, "--train", "s3://theirs/iris/", "--role", aws.role(), "--yes")
    told = str(result.exception)
    assert f"or the bucket is not account {ACCOUNT}'s, as was expected" in told
    assert "--bucket-owner ACCOUNT, or any" in told
    result = aws(*TRAIN, "--bucket-owner", "me")
    assert "expected the 12 digits of an account, or any, got 'me'" in result.output


def test_a_role_for_jobs_of_another_account_is_refused(aws: Aws) -> None:
    role = aws.role()
    client = aws.client("iam")
    for number, allowed in ((ACCOUNT, True), (OTHER, False), ("ACCOUNT", False)):
        policy = json.loads(trusting("sagemaker.amazonaws.com"))
        policy["Statement"][0]["Condition"] = {"StringEquals": {"aws:SourceAccount": number}}
        client.update_assume_role_policy(RoleName="algoshelf", PolicyDocument=json.dumps(policy))
        result = aws(*TRAIN, "--role", role, "--yes", "--no-wait")
        assert (result.exit_code == 0) == allowed
        if not allowed:
            assert f"may not assume it for account {ACCOUNT}" in refusal(result)


def test_links_in_the_data_upload_no_file_twice(aws: Aws, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "iris.csv").write_bytes(IRIS.read_bytes())
    (folder / "a" / "over").symlink_to("../b")
    (folder / "b" / "back").symlink_to("../a")
    (folder / "again").symlink_to(".")
    (folder / "up").symlink_to("..")
    result = aws("transform", "s3://mine/model.tar.gz", folder, "--instance", INSTANCE, "--yes")
    assert "nothing lies there" in refusal(result) or "no such bucket" in refusal(result)
    for left in ("again", "up", "a/over", "b/back"):
        assert f"{folder}: is not uploaded: {left}: a link that leads to" in result.stderr
    account = Account()
    data.upload(account, folder, "data")
    names = [key.split("/", 3)[3] for key in aws.objects()]
    assert names == ["a/iris.csv", "b/iris.csv"]
    assert data.size(account, folder) == 2 * IRIS.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "reason", "fix"),
    [
        (["--k", "none"], "--k: expected a whole number", "from 1"),
        (["--kk", "3"], "--kk: no such option", "did you mean '--k'"),
        (["--train", "EMPTY"], "holds no files", "expected CSV"),
        (["--train", "BAD"], "line 2", "number"),
        (["--train", "missing.csv"], "no such file or folder", "channel 'train'"),
        (["--train", f"s3://{BUCKET}-no/x"], "no such bucket", "channel 'train'"),
        (["--instance", "ml.p5.48xlarge"], "compute capability 9.0", "ml.p4d.24xlarge (8 × A100)"),
        (["--instance", "m5.xlarge"], "no instance type", "'ml.m5.xlarge'"),
        (["--role", "nobody"], "there is no such role", "--role"),
        (["--role", "ec2"], "may not assume it", "trust policy"),
        (["--role", ""], "the name or the ARN of a role", "--role"),
        (["--hosts", "5"], "is 4, and 5 are needed", "request-service-quota-increase"),
        (["--max-run", "90d"], "--max-run", "at most 28 days"),
        (["--volume", "0"], "--volume", "from 1 to 16384"),
        (["--max-wait", "8h"], "--max-wait", "--spot"),
        (["--output", "here"], "--output", "s3://BUCKET"),
        (["--name", "a_b"], "--name", "hyphens"),
        (["--name", f"a{'-' * 70}b"], "--name", "up to 63"),
        (["--name", "taken"], "there is a training job 'taken'", "choose another"),
        (["--role", "arn:aws"], "no ARN of a role", "arn:aws:iam::ACCOUNT:role/NAME"),
    ],
)
def test_what_could_not_end_well_is_refused_before_anything_is_sent(
    aws: Aws, tmp_path: Path, arguments: list[str], reason: str, fix: str
) -> None:
    aws.role("ec2", "ec2.amazonaws.com")
    role = aws.role()
    if "taken" in arguments:
        existing(aws, "taken")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("5.1,3.5,1.4,0.2\n5.1,x,1.4,0.2\n")
    places = {"EMPTY": str(tmp_path / "empty"), "BAD": str(tmp_path / "bad.csv")}
    words = [places.get(word, word) for word in arguments]
    result = aws(*TRAIN, "--role", role, "--yes", *words)
    assert reason in refusal(result)
    assert fix in refusal(result)
    assert aws.changes() == []


def test_all_faults_of_a_command_are_told_at_once(aws: Aws) -> None:
    result = aws("train", "kmeans", "--k", "x", "--hosts", "0", "--seed", "-1", "--max-run", "1")
    told = refusal(result)
    assert all(part in told for part in ("--k", "--hosts", "--seed", "--instance"))
    assert aws.requests == []


def test_without_a_role_nothing_is_sent(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ALGOSHELF_ROLE" in refusal(aws(*TRAIN, "--yes"))
    assert aws.changes() == []
    monkeypatch.setenv("ALGOSHELF_ROLE", aws.role())
    assert aws(*TRAIN, "--yes", "--no-wait").exit_code == 0
    assert aws.sent("CreateTrainingJob")


def test_a_quota_of_0_is_refused_with_how_to_ask(aws: Aws) -> None:
    role = aws.role()
    aws.quotas[f"{INSTANCE} for spot training job usage"] = 0.0
    told = refusal(aws(*TRAIN, "--role", role, "--spot", "--yes"))
    assert f"'{INSTANCE} for spot training job usage' is 0, and 1 is needed" in told
    assert "--quota-code L-00000001 --desired-value 1 --region us-east-1" in told
    assert aws.changes() == []


def test_who_may_not_look_at_quotas_is_told_and_goes_on(aws: Aws) -> None:
    role = aws.role()
    aws.quotas.clear()
    result = aws(*TRAIN, "--role", role, "--yes", "--no-wait")
    assert result.exit_code == 0
    assert f"the quota of {INSTANCE} is not checked: " in result.stderr


def test_nothing_is_started_where_nobody_can_be_asked(aws: Aws) -> None:
    told = refusal(aws(*TRAIN, "--role", aws.role()))
    assert "at most 0.92 USD" in told
    assert "--yes" in told
    assert aws.changes() == []


def test_a_dry_run_prints_the_requests_and_sends_none(aws: Aws) -> None:
    result = aws(*TRAIN, "--role", aws.role(), "--dry-run", "--spot", "--hosts", 2)
    assert result.exit_code == 0, result.exception
    planned = json.loads(result.stdout)["requests"]
    assert [each["operation"] for each in planned] == [
        "CreateBucket",
        "PutObject",
        "PutObject",
        "CreateTrainingJob",
    ]
    assert planned[1]["parameters"]["Body"] == f"<{IRIS.stat().st_size:,} bytes>"
    check_request("CreateTrainingJob", planned[-1]["parameters"])
    assert aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_spot_and_several_hosts(aws: Aws) -> None:
    arguments = ("--spot", "--max-run", "1h", "--max-wait", "3h", "--hosts", 2)
    result = aws(*TRAIN, "--role", aws.role(), *arguments, "--yes", "--no-wait")
    assert result.exit_code == 0, result.exception
    (request,) = aws.sent("CreateTrainingJob")
    check_request("CreateTrainingJob", request)
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 3600,
        "MaxWaitTimeInSeconds": 10800,
    }
    assert request["ResourceConfig"]["InstanceCount"] == 2
    assert request["HyperParameters"]["sagemaker_parameter_server_enabled"] == "true"
    assert request["CheckpointConfig"]["S3Uri"]


def test_what_lies_in_s3_goes_as_it_is(aws: Aws) -> None:
    client = aws.client("s3")
    client.create_bucket(Bucket="mine")
    client.put_object(Bucket="mine", Key="iris/a.csv", Body=IRIS.read_bytes())
    client.put_object(Bucket="mine", Key="empty/a.csv", Body=b"")
    role = aws.role()
    train = ("train", "kmeans", "--instance", INSTANCE, "--role", role, "--yes", "--no-wait")
    assert "nothing lies there" in refusal(aws(*train, "--train", "s3://mine/empty/"))
    assert aws.changes() == []
    result = aws(*train, "--train", "s3://mine/iris/")
    assert result.exit_code == 0, result.exception
    assert "its contents are not checked" in result.stderr
    (request,) = aws.sent("CreateTrainingJob")
    source = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://mine/iris/"


def test_the_disk_is_as_large_as_the_data_needs(aws: Aws) -> None:
    client = aws.client("s3")
    client.create_bucket(Bucket="mine")
    for name in "ab":
        client.put_object(Bucket="mine", Key=f"iris/{name}.csv", Body=IRIS.read_bytes())

    def large(answer: dict[str, Any]) -> None:
        for found in answer.get("Contents", ()):
            found["Size"] = 20_500_000_000

    aws.answers["ListObjectsV2"] = large
    role = aws.role()
    train = ("train", "kmeans", "--instance", INSTANCE, "--role", role, "--yes", "--no-wait")
    for given in ((), ("--volume", 100)):
        result = aws(*train, "--train", "s3://mine/iris/", *given)
        assert result.exit_code == 0, result.exception
    needed, wanted = (each["ResourceConfig"] for each in aws.sent("CreateTrainingJob"))
    assert (needed["VolumeSizeInGB"], wanted["VolumeSizeInGB"]) == (41 + 20, 100)
    assert aws(*TRAIN, "--role", role, "--yes", "--no-wait").exit_code == 0
    assert aws.sent("CreateTrainingJob")[-1]["ResourceConfig"]["VolumeSizeInGB"] == 30


def test_an_image_of_ones_own(aws: Aws) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
    result = aws(*TRAIN, "--role", aws.role(), "--image", image, "--hosts", 2, "--yes")
    assert result.exit_code == 0, result.exception
    (request,) = aws.sent("CreateTrainingJob")
    check_request("CreateTrainingJob", request)
    assert request["AlgorithmSpecification"]["TrainingImage"] == image
    assert request["HyperParameters"] == {"k": "3"}


def test_a_job_that_fails_says_why_and_where_its_log_is(aws: Aws) -> None:
    def fail(answer: dict[str, Any]) -> None:
        answer["TrainingJobStatus"] = "Failed"
        answer["FailureReason"] = "AlgorithmError: train.csv: line 7: no number\nTraceback …"

    role = aws.role()
    aws.answers["DescribeTrainingJob"] = fail
    result = aws(*TRAIN, "--role", role, "--name", "bad", "--yes", "--json")
    assert (result.exit_code, result.stdout) == (1, "")  # main prints the error
    told = str(result.exception)
    assert told.startswith("bad: AlgorithmError: train.csv: line 7: no number; ")
    assert "`algoshelf sagemaker logs bad`" in told
    assert "Traceback" not in told + result.stderr
    shown = aws("status", "bad", "--json")
    assert json.loads(shown.stdout)["failure"] == "AlgorithmError: train.csv: line 7: no number"


@pytest.mark.parametrize(
    ("command", "kind"),
    [("train", "Training"), ("tune", "HyperParameterTuning"), ("transform", "Transform")],
)
def test_a_job_whose_creation_is_interrupted_is_stopped(
    aws: Aws, iris_model: Path, monkeypatch: pytest.MonkeyPatch, command: str, kind: str
) -> None:
    def interrupted(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    def running(answer: dict[str, Any]) -> None:
        answer[f"{kind}JobStatus"] = "InProgress"

    for word in ("training", "hyper_parameter_tuning", "transform"):  # moto has not all of them
        monkeypatch.setattr(
            SageMakerResponse, f"stop_{word}_job", lambda _: ActionResult({}), raising=False
        )
    role = aws.role()
    aws.answers.update({f"Create{kind}Job": interrupted, f"Describe{kind}Job": running})
    what = ("transform", iris_model, IRIS, "--instance", INSTANCE)
    words = what if command == "transform" else (command, *TRAIN[1:])
    assert aws(*words, "--role", role, "--name", "mine", "--yes").exit_code != 0
    assert aws.sent(f"Stop{kind}Job") == [{f"{kind}JobName": "mine"}]
    assert aws.client("sagemaker").list_models()["Models"] == []


def test_who_loses_sight_of_a_job_is_told_that_it_is_billed(aws: Aws) -> None:
    def lost(_: dict[str, Any]) -> None:
        raise AlgoshelfError("no network")

    role = aws.role()
    aws.answers["DescribeTrainingJob"] = lost
    result = aws(*TRAIN, "--role", role, "--name", "iris", "--yes")
    assert str(result.exception) == "no network"
    assert "The job goes on, and is billed" in result.stderr
    assert "`algoshelf sagemaker delete iris --region us-east-1` stops it" in result.stderr


def test_a_job_that_ran_out_of_time_has_not_ended_well(aws: Aws) -> None:
    def stopped(answer: dict[str, Any]) -> None:
        answer.update(TrainingJobStatus="Stopped", SecondaryStatus="MaxRuntimeExceeded")

    role = aws.role()
    aws.answers["DescribeTrainingJob"] = stopped
    result = aws(*TRAIN, "--role", role, "--name", "iris", "--yes")
    assert result.exit_code == 1
    assert "at the end of --max-run" in str(result.exception)


def test_the_logs_of_each_host(aws: Aws) -> None:
    assert aws(*TRAIN, "--role", aws.role(), "--name", "two", "--yes", "--no-wait").exit_code == 0
    assert "its log is empty yet" in aws("logs", "two").stderr
    logged(aws, "TrainingJobs", {"two/algo-1-1": ["one", "two"], "two/algo-2-1": ["three"]})
    for arguments in (["two"], ["two", "--follow"]):
        result = aws("logs", *arguments)
        assert result.stdout.splitlines() == ["[1] one", "[1] two", "[2] three"]


def test_a_job_that_is_none(aws: Aws) -> None:
    for command in ("status", "logs"):
        assert "no such training, transform or tuning job" in refusal(aws(command, "nothing"))


def test_a_page_of_html_is_not_printed(aws: Aws) -> None:
    def answer(_: dict[str, Any]) -> None:
        fault = {"Code": "503", "Message": "<!DOCTYPE html><html><body>no</body></html>"}
        about = {"HTTPStatusCode": 503}
        raise ClientError({"Error": fault, "ResponseMetadata": about}, "DescribeTrainingJob")

    existing(aws, "mine")
    aws.answers["DescribeTrainingJob"] = answer
    told = str(aws("status", "mine").exception)
    assert "DescribeTrainingJob: what answered was not AWS's API but a page of HTML (503)" in told


def test_a_tuning_job_tries_the_ranges_of_the_schema(aws: Aws) -> None:
    tune = ("tune", "mnist-cnn", "--epochs", 2, "--batch-size", 100, "--instance", INSTANCE)
    result = aws(*tune, "--jobs", 4, "--parallel", 2, "--role", aws.role(), "--yes", "--json")
    assert result.exit_code == 0, result.exception
    (request,) = aws.sent("CreateHyperParameterTuningJob")
    check_request("CreateHyperParameterTuningJob", request)
    settings = request["HyperParameterTuningJobConfig"]
    assert settings["HyperParameterTuningJobObjective"] == {
        "Type": "Maximize",
        "MetricName": "validation:accuracy",
    }
    limits = settings["ResourceLimits"]
    assert (limits["MaxNumberOfTrainingJobs"], limits["MaxParallelTrainingJobs"]) == (4, 2)
    ranges = settings["ParameterRanges"]["ContinuousParameterRanges"]
    rate = next(each for each in ranges if each["Name"] == "learning_rate")
    assert rate["ScalingType"] == "Logarithmic"
    fixed = request["TrainingJobDefinition"]["StaticHyperParameters"]
    assert (fixed["epochs"], fixed["batch_size"]) == ("2", "100")
    tuned = {each["Name"] for kind in settings["ParameterRanges"].values() for each in kind}
    assert not tuned & fixed.keys()
    assert "at most 3.68 USD in 4 trainings" in result.stderr
    assert "trainings: 1 Completed" in result.stderr
    assert json.loads(result.stdout)["kind"] == "tuning"


def test_nothing_is_tuned_where_nothing_is_left(aws: Aws) -> None:
    fixed = ("--init", "random", "--restarts", 1, "--tolerance", 0)
    result = aws("tune", *TRAIN[1:], *fixed, "--role", aws.role(), "--yes")
    assert "nothing is left to tune" in refusal(result)
    result = aws("tune", *TRAIN[1:], "--name", "n" * 33, "--yes")
    assert "up to 32 letters" in refusal(result)
    assert aws.changes() == []


def test_a_transform_job_leaves_no_model_behind(aws: Aws, iris_model: Path) -> None:
    role = aws.role()
    transform = ("transform", iris_model, IRIS, "--instance", INSTANCE, "--role", role)
    result = aws(*transform, "--yes", "--json")
    assert result.exit_code == 0, result.exception
    (request,) = aws.sent("CreateTransformJob")
    check_request("CreateTransformJob", request)
    assert request["TransformInput"]["ContentType"] == "text/csv"
    assert request["TransformInput"]["SplitType"] == "Line"
    assert request["TransformOutput"]["Accept"] == "application/jsonlines"
    assert request["TransformOutput"]["AssembleWith"] == "Line"
    (model,) = aws.sent("CreateModel")
    check_request("CreateModel", model)
    assert aws.client("sagemaker").list_models()["Models"] == []
    assert json.loads(result.stdout)["output"].startswith(f"s3://{BUCKET}/algoshelf/transforms/")


def test_a_transform_job_that_cannot_start_leaves_no_model_behind(
    aws: Aws, iris_model: Path
) -> None:
    def fail(answer: dict[str, Any]) -> None:
        raise AlgoshelfError("no more")

    aws.answers["CreateTransformJob"] = fail
    transform = ("transform", iris_model, IRIS, "--instance", INSTANCE, "--role", aws.role())
    assert aws(*transform, "--yes").exit_code != 0
    assert aws.client("sagemaker").list_models()["Models"] == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--instance", "ml.p5.48xlarge"], "compute capability 9.0"),
        (["--content-type", "image/png"], "image/png"),
        (["--hosts", "9"], "9 are needed"),
        (["--role", "nobody"], "no such role"),
        (["--name", "a_b"], "--name"),
        (["--max-payload", "200MB"], "at most 100MB"),
    ],
)
def test_a_transform_job_is_refused_before_anything_is_sent(
    aws: Aws, iris_model: Path, arguments: list[str], reason: str
) -> None:
    role = aws.role()
    transform = ("transform", iris_model, IRIS, "--instance", INSTANCE, "--role", role, "--yes")
    assert reason in refusal(aws(*transform, *arguments))
    assert aws.changes() == []
