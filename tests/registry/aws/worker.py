"""What runs the training jobs of moto's account, where of itself nothing runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping

from botocore.exceptions import ClientError
from moto.sagemaker.models import sagemaker_backends

from tests.registry.aws.conftest import ACCOUNT, Aws
from tests.toolkits.contract import lay_out, pack, unpack

LOOKS = 2  # a job has ended when it is asked after so often


@dataclass
class Ended:
    """How a job ended: what DescribeTrainingJob then says, and the folder for output.tar.gz."""

    status: str = "Completed"
    billed: int | None = 60
    more: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None


@dataclass(frozen=True)
class Job:
    """A job as CreateTrainingJob asked for it, with a folder of its own."""

    request: Mapping[str, Any]
    folder: Path
    aws: Aws

    @property
    def instance(self) -> str:
        return str(self.request["ResourceConfig"]["InstanceType"])

    @property
    def given(self) -> dict[str, Any]:
        """Its hyperparameters without the toolkit's."""
        found = {k: json.loads(v) for k, v in self.request["HyperParameters"].items()}
        return {k: v for k, v in found.items() if not k.startswith("sagemaker_")}

    def source(self) -> Path:
        """The code that was uploaded for it, unpacked."""
        uri = json.loads(self.request["HyperParameters"]["sagemaker_submit_directory"])
        archive = self.folder / "sourcedir.tar.gz"
        self._fetch(*uri[len("s3://") :].split("/", 1), archive)
        return unpack(archive, self.folder / "source")

    def channels(self) -> dict[str, Path]:
        """The channels, each a folder."""
        found = {}
        for channel in self.request["InputDataConfig"]:
            bucket, prefix = channel["DataSource"]["S3DataSource"]["S3Uri"][5:].split("/", 1)
            folder = self.folder / "channels" / channel["ChannelName"]
            folder.mkdir(parents=True)
            listed = self.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
            for each in listed["Contents"]:
                self._fetch(bucket, each["Key"], folder / Path(each["Key"]).name)
            found[channel["ChannelName"]] = folder
        return found

    def _fetch(self, bucket: str, key: str, target: Path) -> None:
        self.aws.client("s3").download_file(bucket, key, str(target))


Run = Callable[[Job], Ended]


class Worker:
    """Does each job by ``run`` while it is created; it has ended after LOOKS looks."""

    def __init__(self, aws: Aws, folder: Path, run: Run) -> None:
        self.aws = aws
        self.folder = folder
        self.run = run
        self.ended: dict[str, Ended] = {}
        self.looks: dict[str, int] = {}
        self.most_at_once = 0
        aws.answers["CreateTrainingJob"] = self._create
        aws.answers["DescribeTrainingJob"] = self._describe

    @property
    def created(self) -> list[dict[str, Any]]:
        return self.aws.sent("CreateTrainingJob")

    def _create(self, _: dict[str, Any]) -> None:
        request = self.created[-1]
        name = request["TrainingJobName"]
        folder = Path(tempfile.mkdtemp(prefix="job-", dir=self.folder))
        try:
            ended = self.run(Job(request, folder, self.aws))
        except ClientError:  # refused: then there is no job
            del sagemaker_backends[ACCOUNT]["us-east-1"].training_jobs[name]
            raise
        self.ended[name], self.looks[name] = ended, 0
        self.most_at_once = max(self.most_at_once, sum(n < LOOKS for n in self.looks.values()))
        if ended.output is not None:
            archive = pack(ended.output, folder / "output.tar.gz")
            bucket, prefix = request["OutputDataConfig"]["S3OutputPath"][5:].split("/", 1)
            key = f"{prefix.rstrip('/')}/{name}/output/output.tar.gz"
            self.aws.client("s3").upload_file(str(archive), bucket, key)

    def _describe(self, answer: dict[str, Any]) -> None:
        name = answer["TrainingJobName"]
        ended = self.ended[name]
        self.looks[name] += 1
        if self.looks[name] < LOOKS:
            answer.update(TrainingJobStatus="InProgress", SecondaryStatus="Training")
            return
        answer.update(TrainingJobStatus=ended.status, SecondaryStatus=ended.status)
        answer.update(ended.more)
        if ended.billed is not None:
            answer["BillableTimeInSeconds"] = ended.billed


def in_a_process(threads: Mapping[str, int]) -> Run:
    """Runs the packaged entry point in a process, with so many threads as the instance has."""

    def run(job: Job) -> Ended:
        ml = job.folder / "ml"
        ml.mkdir()
        lay_out(ml, job.channels(), {})
        words = [word for k, v in job.given.items() for word in (f"--{k}", str(v))]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SM_"))}
        done = subprocess.run(
            [sys.executable, "entry_point.py", *words],
            cwd=job.source(),
            env={
                **environment,
                "SAGEMAKER_BASE_DIR": str(ml),
                "OMP_NUM_THREADS": str(threads[job.instance]),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return Ended(output=ml / "output" / "data")

    return run
