"""``algoshelf benchmark NAME --instances``: each job is done by AWS's own ``train``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from algoshelf.core.benchmark import Record

from tests.conftest import InProcess, Result
from tests.registry.aws.conftest import Aws
from tests.registry.aws.worker import Ended, Job, Worker
from tests.toolkits.conftest import Shelf
from tests.toolkits.containers import Container, network
from tests.toolkits.contract import failure, toolkit_job

# Instances as they are made up here: how many threads an operator has there.
THREADS = {"ml.m5.large": 1, "ml.m5.xlarge": 2, "ml.m5.4xlarge": 1}
SCRIPT = "seed 1, on cpu(0)"  # what a run says first


class Toolkit:
    """Does jobs in containers of AWS's image; one on ``killed`` is killed as it trains."""

    def __init__(self, image: Path, shelf: Shelf, patch: pytest.MonkeyPatch) -> None:
        self.image = image
        self.shelf = shelf
        self.patch = patch
        self.killed = ""

    def __call__(self, job: Job) -> Ended:
        self.patch.setenv("OMP_NUM_THREADS", str(THREADS[job.instance]))
        count = job.request["ResourceConfig"]["InstanceCount"]
        if count > 1:
            return self._on_two_hosts(job)
        ml = job.folder / "job" / "ml"
        ml.mkdir(parents=True)
        with toolkit_job(ml, self.image, job.source(), job.channels(), job.given) as container:
            if job.instance == self.killed:
                self._kill(container)
                return Ended("Failed", 40, {"FailureReason": "InternalServerError: it was lost"})
            if container.wait():
                return Ended("Failed", 40, {"FailureReason": failure(ml)})
        return Ended(output=ml / "output" / "data")

    def _kill(self, container: Container) -> None:
        while SCRIPT not in container.log:
            assert container.process.poll() is None, container.log
        container.close(keep_log=True)

    def _on_two_hosts(self, job: Job) -> Ended:
        """Hosts that reach each other alone: they bring their packages; the chief tells."""
        source = self.shelf.packed("kmeans", "script", "--offline")
        channels = job.channels()
        with network() as hosts, ExitStack() as stack:
            folders = [job.folder / host.name / "ml" for host in hosts]
            started = []
            for host, ml in zip(hosts, folders):
                ml.mkdir(parents=True)
                made = toolkit_job(
                    ml, self.image, source, channels, job.given, host=host, hosts=hosts
                )
                started.append(stack.enter_context(made))
            for container in started:
                assert container.wait() == 0, "\n\n".join(each.log for each in started)
        (chief,) = (ml for ml in folders if (ml / "output" / "data" / "results.jsonl").exists())
        return Ended(output=chief / "output" / "data")


@pytest.fixture
def toolkit(
    long: None, image: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, aws: Aws
) -> Toolkit:
    monkeypatch.setattr("algoshelf.registry.aws.jobs.POLL_SECONDS", 0.0)
    for name in THREADS:
        aws.quotas[f"{name} for training job usage"] = 4.0
    return Toolkit(image, shelf, monkeypatch)


def benchmark(aws: Aws, folder: Path, *arguments: object) -> tuple[Result, list[Record]]:
    given = ("--role", aws.role(), "--yes", "--output", "out", "--json", "--k", 3)
    done = InProcess(folder)("benchmark", "kmeans", *given, *arguments)
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    return done, [Record.model_validate_json(line) for line in lines]


def test_jobs_measure_in_awss_image_and_one_is_killed(
    toolkit: Toolkit, aws: Aws, tmp_path: Path
) -> None:
    Worker(aws, tmp_path, toolkit)
    toolkit.killed = "ml.m5.4xlarge"
    done, (small, large, killed) = benchmark(
        aws, tmp_path, "--instances", ",".join(THREADS), "--repeats", 2, "--max-cost", 5,
        "--target-metric", 0.6,
    )  # fmt: skip
    assert done.code == 1, done.stderr
    assert [each.environment["threads"] for each in (small, large)] == [1, 2]
    for record, hourly in ((small, 0.115), (large, 0.23)):
        assert record.environment["python"].startswith("3.8.")
        assert [run.failure for run in record.runs] == [None, None]
        means = [record.summary[name].mean for name in ("setup_seconds", "seconds_to_target")]
        seconds = sum(mean for mean in means if mean is not None)
        assert record.dollars_to_target == pytest.approx(hourly * seconds / 3600)
    assert small.data == large.data
    assert all("InternalServerError: it was lost" in reason for reason in killed.failures)
    spent = (0.115 * 60 + 0.23 * 60 + 0.922 * 40) / 3600
    assert done.json["cost"]["spent"] == pytest.approx(spent)


def test_two_hosts_are_one_run_that_the_chief_tells(
    toolkit: Toolkit, aws: Aws, tmp_path: Path
) -> None:
    Worker(aws, tmp_path, toolkit)
    arguments = ("--instances", "ml.m5.large", "--hosts", 2, "--repeats", 2, "--max-cost", 5)
    done, (record,) = benchmark(aws, tmp_path, *arguments, "--target-metric", 0.6)
    assert done.code == 0, done.stderr
    assert [run.seed for run in record.runs] == [1, 2]
    assert record.device_count == 2
    for run in record.runs:
        assert 0 < run.figures["setup_seconds"] < run.figures["process_seconds"]
        assert run.figures["seconds_to_target"] > 0
    assert done.json["cost"]["spent"] == pytest.approx(2 * 2 * 0.115 * 60 / 3600)
