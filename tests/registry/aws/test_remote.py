"""``algoshelf benchmark NAME --instances``: jobs in moto's account, which a worker here does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from algoshelf.core.benchmark import Objective, Record, Run
from algoshelf.registry.aws import jobs
from botocore.exceptions import ClientError, ReadTimeoutError
from moto.core.responses import EmptyResult
from moto.sagemaker.responses import SageMakerResponse

from tests.conftest import InProcess, Result
from tests.registry.aws.conftest import Aws, check_request
from tests.registry.aws.worker import Ended, Job, Worker, in_a_process

LARGE, XLARGE, XXLARGE = "ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge"
# With the 2 minutes that AWS takes to stop it, a job of an hour.
ALMOST_AN_HOUR = "58m"


class Bench:
    """``algoshelf benchmark kmeans ARGUMENTS`` in the account, without waiting between looks."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.aws = aws
        self.folder = folder
        self.role = aws.role()
        self.run = InProcess(folder)

    def __call__(self, *arguments: object) -> Result:
        given = ("--role", self.role, "--target-metric", "0.6", "--output", "out", "--json")
        return self.run("benchmark", "kmeans", *given, *arguments)

    def records(self) -> list[Record]:
        lines = (self.folder / "out" / "results.jsonl").read_text().splitlines()
        return [Record.model_validate_json(line) for line in lines]


@pytest.fixture
def bench(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.0)
    for name in (LARGE, XLARGE, XXLARGE, "ml.m5.4xlarge", "ml.c5.4xlarge", "ml.c5.9xlarge"):
        aws.quotas[f"{name} for training job usage"] = 4.0
    return Bench(aws, tmp_path)


def record_for(job: Job, seeds: list[int] | None = None, **changes: Any) -> Path:
    """A made-up record of the runs that were asked of ``job``; its output folder."""
    task = json.loads(job.given["benchmark"])
    objective = Objective(metric="train:msd", maximize=False, target=task["target"])
    figures = {"seconds_to_target": 30.0, "setup_seconds": 6.0, "final": 0.5, "throughput": 10.0}
    values: dict[str, Any] = {
        "kind": "training",
        "command": "in a job",
        "algorithm": "kmeans",
        "algorithm_version": "1",
        "devices": "auto",
        "contexts": ["cpu(0)"],
        "objective": objective,
        "data": {"train": "ab" * 32},
        "runs": [Run(seed=seed, figures=figures) for seed in seeds or task["seeds"]],
    }
    folder = job.folder / "data"
    folder.mkdir()
    text = Record(**{**values, **changes}).model_dump_json()
    (folder / "results.jsonl").write_text(text + "\n")
    return folder


def test_jobs_measure_and_their_records_become_the_answer(
    bench: Bench, aws: Aws, tmp_path: Path
) -> None:
    worker = Worker(aws, tmp_path, in_a_process({LARGE: 1, XLARGE: 2}))
    arguments = ("--instances", f"{LARGE},{XLARGE}", "--max-cost", 2, "--repeats", 1, "--yes")
    done = bench(*arguments, "--k", 3, "--restarts", 1)
    assert done.code == 0, done.stderr
    for request in worker.created:
        check_request("CreateTrainingJob", request)
        assert "CheckpointConfig" not in request
        assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
        assert {"Key": "algoshelf:algorithm", "Value": "kmeans"} in request["Tags"]
    small, large = found = bench.records()
    assert [r.environment["threads"] for r in found] == [1, 2]
    assert [r.place.instance_type for r in found if r.place] == [LARGE, XLARGE]
    assert all(r.hyperparameters["restarts"] == 1 for r in found)
    assert small.data == large.data
    for record, hourly in ((small, 0.115), (large, 0.23)):
        figures = record.runs[0].figures
        assert figures["seconds_to_target"] > 0
        seconds = figures["setup_seconds"] + figures["seconds_to_target"]
        assert record.dollars_to_target == pytest.approx(hourly * seconds / 3600)
    cost = done.json["cost"]
    assert cost["spent"] == pytest.approx(60 / 3600 * 0.115 + 60 / 3600 * 0.23)
    assert cost["worst_case"] == pytest.approx(3720 / 3600 * (0.115 + 0.23))
    assert [job["status"] for job in cost["jobs"]] == ["Completed", "Completed"]
    assert "That is at most 0.36 USD" in done.stderr
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert f"Cheapest to the target: {LARGE}, cpu(0), $" in markdown
    assert "Fastest to the target: ml.m5." in markdown
    for name, threads in ((LARGE, 1), (XLARGE, 2)):
        assert re.search(
            rf"^- {re.escape(name)}: .* {threads} threads? an operator", markdown, re.M
        )
    assert "Time and cost" in (tmp_path / "out" / "report.html").read_text()
    assert "123456789012" not in small.command  # of the role


@pytest.mark.parametrize(("billed", "started"), [((1800, 2400), 2), ((1800, 1800), 3)])
def test_the_budget_stops_the_third_job_where_it_would_be_exceeded(
    bench: Bench, aws: Aws, tmp_path: Path, billed: tuple[int, int], started: int
) -> None:
    """At 12 USD an hour, of 25: 6 + 8 + 12 is more, 6 + 6 + 12 is not."""
    seconds = iter([*billed, 3600])
    worker = Worker(aws, tmp_path, lambda job: Ended(billed=next(seconds), output=record_for(job)))
    types = (LARGE, XLARGE, XXLARGE)
    done = bench(
        "--instances", ",".join(types), "--price", ",".join(f"{name}=12" for name in types),
        "--max-run", ALMOST_AN_HOUR, "--max-cost", 25, "--parallel", 1, "--yes",
    )  # fmt: skip
    assert len(worker.created) == started, done.stderr
    third = bench.records()[2]
    if started == 3:
        assert done.code == 0, done.stderr
        assert done.json["cost"]["spent"] == pytest.approx(24)
        return
    assert done.code == 1
    assert done.json["cost"]["spent"] == pytest.approx(14)
    assert done.json["cost"]["jobs"][2]["status"] == "NotStarted"
    reason = "not started: it may cost 12.00 USD, and 11.00 of --max-cost 25 are left"
    assert third.failures == [reason] * 5
    assert reason in (tmp_path / "out" / "report.md").read_text()


def test_what_runs_counts_with_its_worst_case(bench: Bench, aws: Aws, tmp_path: Path) -> None:
    """Three at once are allowed, and 25 USD pay for two hours at 12; then for the third."""
    worker = Worker(aws, tmp_path, lambda job: Ended(billed=60, output=record_for(job)))
    types = (LARGE, XLARGE, XXLARGE)
    done = bench(
        "--instances", ",".join(types), "--price", ",".join(f"{name}=12" for name in types),
        "--max-run", ALMOST_AN_HOUR, "--max-cost", 25, "--parallel", 3, "--yes",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert worker.most_at_once == 2
    assert len(worker.created) == 3
    assert done.json["cost"]["spent"] == pytest.approx(3 * 12 / 60)


def test_a_job_that_does_not_end_well_is_reported(bench: Bench, aws: Aws, tmp_path: Path) -> None:
    def run(job: Job) -> Ended:
        if job.instance == LARGE:
            return Ended("Failed", 30, {"FailureReason": "InternalServerError: killed\nmore"})
        if job.instance == XLARGE:
            over = {"SecondaryStatus": "MaxRuntimeExceeded"}
            return Ended("Stopped", 3600, over, record_for(job, [1]))
        if job.instance == XXLARGE:
            return Ended(billed=None, output=record_for(job, algorithm="other"))
        if job.instance == "ml.m5.4xlarge":
            fault = {"Code": "ResourceLimitExceeded", "Message": "no such instances left"}
            raise ClientError({"Error": fault}, "CreateTrainingJob")
        output = job.folder / "data"
        if job.instance == "ml.c5.9xlarge":
            output.mkdir()
            (output / "results.jsonl").write_text('{"schema_version": 1')
            return Ended(output=output)
        return Ended()

    Worker(aws, tmp_path, run)
    types = (LARGE, XLARGE, XXLARGE, "ml.m5.4xlarge", "ml.c5.9xlarge", "ml.c5.4xlarge")
    done = bench(
        "--instances", ",".join(types), "--price", f"{XXLARGE}=0.461", "--repeats", 2,
        "--max-cost", 9, "--yes",
    )  # fmt: skip
    assert done.code == 1
    assert "11 runs failed" in done.stderr
    killed, stopped, other, refused, broken, empty = bench.records()
    assert all(
        "InternalServerError: killed; `algoshelf sagemaker logs" in f for f in killed.failures
    )
    assert [run.failure is None for run in stopped.runs] == [True, False]
    assert stopped.failures[0].endswith("it was stopped after --max-run")
    assert all("is the record of another measurement" in failure for failure in other.failures)
    assert all("no such instances left" in failure for failure in refused.failures)
    assert all("its record cannot be read: s3://" in failure for failure in broken.failures)
    assert all("there is no such object" in failure for failure in empty.failures)
    for record in (killed, stopped, other, refused, broken, empty):
        assert [run.seed for run in record.runs] == [1, 2]
    cost = {job["instance_type"]: job["usd"] for job in done.json["cost"]["jobs"]}
    assert cost[LARGE] == pytest.approx(0.115 * 30 / 3600)
    assert cost["ml.m5.4xlarge"] == 0
    html = (tmp_path / "out" / "report.html").read_text()
    assert "InternalServerError: killed" in html
    assert "no such instances left" in html


def test_a_job_whose_start_was_not_answered_is_not_lost(
    bench: Bench, aws: Aws, tmp_path: Path
) -> None:
    worker = Worker(aws, tmp_path, lambda job: Ended(output=record_for(job)))
    create = aws.answers["CreateTrainingJob"]

    def lost(answer: dict[str, Any]) -> None:
        create(answer)
        raise ReadTimeoutError(endpoint_url="https://api.sagemaker")

    aws.answers["CreateTrainingJob"] = lost
    done = bench("--instances", LARGE, "--max-cost", 9, "--repeats", 2, "--yes")
    assert done.code == 0, done.stderr
    assert "AWS has started it all the same" in done.stderr
    assert len(worker.created) == 1
    assert done.json["cost"]["spent"] == pytest.approx(60 / 3600 * 0.115)


def test_ctrl_c_stops_what_runs(
    bench: Bench, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Worker(aws, tmp_path, lambda job: Ended(output=record_for(job)))

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("algoshelf.registry.benchmark.remote.time.sleep", interrupted)
    monkeypatch.setattr(
        SageMakerResponse, "stop_training_job", lambda self: EmptyResult(), raising=False
    )
    types = (LARGE, XLARGE, "ml.m5.4xlarge")
    done = bench("--instances", ",".join(types), "--max-cost", 9, "--repeats", 1, "--yes")
    assert done.code == 130
    started = [request["TrainingJobName"] for request in aws.sent("CreateTrainingJob")]
    assert len(started) == 2
    assert [request["TrainingJobName"] for request in aws.sent("StopTrainingJob")] == started
    first, second, third = (record.failures[0] for record in bench.records())
    assert first.startswith(f"{started[0]}: interrupted")
    assert second.startswith(f"{started[1]}: interrupted")
    assert third == "not started: interrupted"


def test_ctrl_c_while_a_job_is_created_stops_it(bench: Bench, aws: Aws, tmp_path: Path) -> None:
    Worker(aws, tmp_path, lambda job: Ended(output=record_for(job)))
    create = aws.answers["CreateTrainingJob"]

    def interrupted(answer: dict[str, Any]) -> None:
        create(answer)
        raise KeyboardInterrupt

    aws.answers["CreateTrainingJob"] = interrupted
    done = bench("--instances", f"{LARGE},{XLARGE}", "--max-cost", 9, "--repeats", 1, "--yes")
    assert done.code == 130
    (started,) = aws.sent("CreateTrainingJob")
    first, second = (record.failures[0] for record in bench.records())
    assert first.startswith(f"{started['TrainingJobName']}: interrupted")
    assert second == "not started: interrupted"


@pytest.mark.parametrize("what", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_job_whose_record_cannot_be_fetched_is_not_lost(
    bench: Bench,
    aws: Aws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: BaseException,
) -> None:
    Worker(aws, tmp_path, lambda job: Ended(output=record_for(job)))

    def fails(*_: Any) -> None:
        raise what

    monkeypatch.setattr("algoshelf.registry.aws.data.download", fails)
    done = bench("--instances", LARGE, "--max-cost", 9, "--repeats", 1, "--yes")
    assert done.code == (130 if isinstance(what, KeyboardInterrupt) else 1)
    (request,) = aws.sent("CreateTrainingJob")
    (record,) = bench.records()
    assert record.failures[0].startswith(request["TrainingJobName"])
    assert ("No space left" if done.code == 1 else "sagemaker status") in record.failures[0]


def test_a_job_that_cannot_be_stopped_keeps_no_other_from_it(
    bench: Bench, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.registry.aws.worker.LOOKS", 100)  # none ends of itself
    Worker(aws, tmp_path, lambda job: Ended(output=record_for(job)))
    asked: list[dict[str, Any]] = []

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    def unanswered_first(answer: dict[str, Any]) -> None:
        asked.append(answer)
        if len(asked) == 1:
            raise ReadTimeoutError(endpoint_url="https://api.sagemaker")

    monkeypatch.setattr("algoshelf.registry.benchmark.remote.time.sleep", interrupted)
    monkeypatch.setattr(
        SageMakerResponse, "stop_training_job", lambda self: EmptyResult(), raising=False
    )
    aws.answers["StopTrainingJob"] = unanswered_first
    done = bench("--instances", f"{LARGE},{XLARGE}", "--max-cost", 9, "--repeats", 1, "--yes")
    assert done.code == 130
    first, second = (request["TrainingJobName"] for request in aws.sent("CreateTrainingJob"))
    assert f"--training-job-name {first}" in done.stderr
    assert f"training job {second} is being stopped" in done.stderr


def test_a_job_that_cannot_be_stopped_is_named(
    bench: Bench, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto knows no StopTrainingJob."""
    Worker(aws, tmp_path, lambda job: Ended(output=record_for(job)))

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("algoshelf.registry.benchmark.remote.time.sleep", interrupted)
    done = bench("--instances", LARGE, "--max-cost", 9, "--repeats", 1, "--yes")
    assert done.code == 130
    (request,) = aws.sent("CreateTrainingJob")
    command = f"aws sagemaker stop-training-job --training-job-name {request['TrainingJobName']}"
    assert command in done.stderr


def test_several_hosts_are_a_job_a_seed_and_one_record(
    bench: Bench, aws: Aws, tmp_path: Path
) -> None:
    worker = Worker(aws, tmp_path, lambda job: Ended(output=record_for(job)))
    done = bench("--instances", LARGE, "--hosts", "1,2", "--repeats", 2, "--max-cost", 9, "--yes")
    assert done.code == 0, done.stderr
    asked = [
        (
            request["ResourceConfig"]["InstanceCount"],
            json.loads(json.loads(request["HyperParameters"]["benchmark"]))["seeds"],
        )
        for request in worker.created
    ]
    assert asked == [(1, [1, 2]), (2, [1]), (2, [2])]
    _, two = bench.records()
    assert [run.seed for run in two.runs] == [1, 2]
    assert two.place is not None
    assert two.place.instances == 2
    assert two.dollars_to_target == pytest.approx(2 * 0.115 * 36 / 3600)
    assert done.json["cost"]["spent"] == pytest.approx((1 + 2 + 2) * 60 / 3600 * 0.115)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--instances", LARGE], "--max-cost: is required with --instances"),
        (["--instances", LARGE, "--max-cost", "0.1"], "may cost 0.12 USD, more than --max-cost"),
        (["--instances", "ml.c5.xlarge,ml.g4dn.16xlarge", "--max-cost", "9"], "--price ml."),
        (["--instances", "ml.p5.48xlarge", "--max-cost", "9"], "compute capability 9.0"),
        (["--instances", LARGE, "--max-cost", "9", "--devices", "cpu"], "--devices: is for a meas"),
        (["--instances", LARGE, "--max-cost", "9", "--hosts", "2,9"], "is 4, and 18 are needed"),
        (["--instances", LARGE, "--max-cost", "9", "--train", "s3://no/x"], "no such bucket"),
        (["--max-cost", "9", "--yes"], "--max-cost: belongs to --instances"),
        (["--instances", LARGE, "--max-cost", "9"], "Start them, for at most 0.12 USD?"),
    ],
)
def test_what_could_not_end_well_is_refused_before_anything_is_sent(
    bench: Bench, aws: Aws, tmp_path: Path, arguments: list[str], fault: str
) -> None:
    yes = () if fault.startswith("Start") else ("--yes",)
    done = bench(*arguments, *yes)
    assert done.code == 2, done.stderr
    assert fault in done.stderr
    assert aws.changes() == []
    assert not (tmp_path / "out").exists()


def test_a_dry_run_prints_the_requests_and_sends_none(bench: Bench, aws: Aws) -> None:
    done = bench("--instances", f"{LARGE},{XLARGE}", "--max-cost", 9, "--dry-run")
    assert done.code == 0, done.stderr
    planned = [each for each in done.json["requests"] if each["operation"] == "CreateTrainingJob"]
    assert len(planned) == 2
    check_request("CreateTrainingJob", planned[0]["parameters"])
    assert aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []


def test_a_task_that_is_none_is_told_in_the_failure_file(tmp_path: Path) -> None:
    (tmp_path / "input" / "config").mkdir(parents=True)
    code = (
        "import sys; sys.argv[1:] = ['--benchmark', '{\"seeds\": []}', '--k', 'many']; "
        "from algoshelf.core import job; from algoshelf.registry import catalog; "
        "job.run(catalog().get('kmeans').algorithm)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"SAGEMAKER_BASE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    told = (tmp_path / "output" / "failure").read_text()
    assert "benchmark: seeds: List should have at least 1 item" in told
    assert "k: expected a whole number" in told
