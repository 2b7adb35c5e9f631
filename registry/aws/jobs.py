"""Training, transform and tuning jobs by name: their status and their logs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Iterator

from ...core.algorithm.declaration import BENCHMARK, SEED
from ...core.runtime.errors import InputError
from ...core.training import reporting
from ..discovery import AnyAlgorithm
from . import tags
from .account import Account, AwsError, explained
from .rollback import Rollback

if TYPE_CHECKING:
    from ...core.algorithm.hyperparameters import Hyperparameters
    from ...core.benchmark import Task
    from ...core.data.reading import Reading

RUNNING = ("InProgress", "Stopping")
ABSENT = ("ValidationException", "ResourceNotFound", "ResourceNotFoundException")
POLL_SECONDS = 10.0
MAX_RUN_SECONDS = 4 * 3600  # of a training whose limit is not told
MAX_METRICS, MAX_REGEX = 40, 500  # of AlgorithmSpecification.MetricDefinitions
# Of HyperParameters; those by which AWS's toolkit is told are ten.
MAX_HYPERPARAMETERS, MAX_VALUE = 100 - 10, 2_500


@dataclass(frozen=True)
class Kind:
    """One of SageMaker's three kinds: its name in the API, and the log group, "" without one."""

    title: str
    api: str
    log_group: str

    def operation(self, verb: str, ending: str = "") -> str:
        """``describe_training_job``, ``list_training_jobs``: as boto3 names them."""
        words = "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in self.api)
        return f"{verb}{words}{ending}"


TRAINING = Kind("training", "TrainingJob", "/aws/sagemaker/TrainingJobs")
TRANSFORM = Kind("transform", "TransformJob", "/aws/sagemaker/TransformJobs")
TUNING = Kind("tuning", "HyperParameterTuningJob", "")
KINDS = (TRAINING, TRANSFORM, TUNING)


@dataclass
class Job:
    """A job in ``account``; ``description`` is AWS's, as of the last ``refresh``."""

    account: Account
    name: str
    kind: Kind
    description: dict[str, Any]
    _tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, account: Account, name: str) -> Job:
        """The job ``name`` of any kind. Raises InputError where there is none, AwsError."""
        for kind in KINDS:
            job = _found(account, name, kind)
            if job is not None:
                return job
        raise InputError(
            f"{name}: no such training, transform or tuning job in {account.region}: "
            "`algoshelf sagemaker list` shows what is running"
        )

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``."""
        return str(self.description[f"{self.kind.api}Status"])

    @property
    def has_ended(self) -> bool:
        return self.status not in RUNNING

    @property
    def failure(self) -> str:
        """Why it failed, in a line; "" where it did not."""
        lines = str(self.description.get("FailureReason", "")).strip().splitlines()
        return lines[0] if lines else ""

    @property
    def reason(self) -> str:
        """Why it has not completed, whether AWS gives a reason or not."""
        if self.failure:
            return self.failure
        if self.description.get("SecondaryStatus") == "MaxRuntimeExceeded":
            return "AWS stopped it at the end of --max-run: give it more time"
        return "AWS gives no reason" if self.status == "Failed" else f"it is {self.status}"

    def summary(self) -> dict[str, Any]:
        """What a person wants to know of the job, of whatever kind."""
        told = self.description
        found: dict[str, Any] = {"job": self.name, "kind": self.kind.title, "status": self.status}
        if told.get("SecondaryStatus") != self.status:
            found["doing"] = told.get("SecondaryStatus")
        resources = told.get("ResourceConfig") or told.get("TransformResources") or {}
        found.update(
            failure=self.failure or None,
            instance=resources.get("InstanceType"),
            hosts=resources.get("InstanceCount"),
            created=told.get("CreationTime"),
            billed_seconds=told.get("BillableTimeInSeconds"),
            model=told.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
            output=told.get("TransformOutput", {}).get("S3OutputPath"),
            metrics={
                each["MetricName"]: each["Value"] for each in told.get("FinalMetricDataList", ())
            },
        )
        if "TrainingJobStatusCounters" in told:
            best = told.get("BestTrainingJob", {})
            objective = best.get("FinalHyperParameterTuningJobObjectiveMetric", {})
            found.update(
                trainings=dict(told["TrainingJobStatusCounters"]),
                best=best.get("TrainingJobName"),
                best_hyperparameters=dict(best.get("TunedHyperParameters", {})),
                metrics={objective["MetricName"]: objective["Value"]} if objective else {},
            )
        return {name: value for name, value in found.items() if value is not None}

    def refresh(self) -> None:
        """Ask AWS how it stands."""
        self.description = described(self.account, self.name, self.kind)

    def lines(self) -> Iterator[str]:
        """The lines that came to its log since the last call, of one host after the other.

        With several hosts each line begins with the number of its host. A tuning job has no log:
        there it is a line when its trainings stand otherwise than before.
        """
        if not self.kind.log_group:
            counts = self.description.get("TrainingJobStatusCounters", {})
            told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            if told and told != self._tokens.get(self.name):
                self._tokens[self.name] = told
                yield f"trainings: {told}"
            return
        with explained():
            streams = self._streams()
            for number, stream in enumerate(streams, 1):
                mark = f"[{number}] " if len(streams) > 1 else ""
                for line in self._new_lines(stream):
                    yield mark + line

    def follow(self, show: Callable[[str], None], pause: float = POLL_SECONDS) -> None:
        """Show the lines of its log as they come, until it has ended."""
        while True:
            self.refresh()
            ended = self.has_ended
            for line in self.lines():
                show(line)
            if ended:
                return
            time.sleep(pause)

    def _streams(self) -> list[str]:
        """The names of its log's streams, one a host; none before the first host has started."""
        client = self.account.client("logs")
        pages = client.get_paginator("describe_log_streams").paginate(
            logGroupName=self.kind.log_group, logStreamNamePrefix=f"{self.name}/"
        )
        try:
            return [found["logStreamName"] for page in pages for found in page["logStreams"]]
        except client.exceptions.ResourceNotFoundException:
            return []

    def _new_lines(self, stream: str) -> Iterator[str]:
        client = self.account.client("logs")
        while True:
            since = {"nextToken": self._tokens[stream]} if stream in self._tokens else {}
            answer = client.get_log_events(
                logGroupName=self.kind.log_group,
                logStreamName=stream,
                startFromHead=True,
                **since,
            )
            for event in answer["events"]:
                yield str(event["message"]).rstrip("\n")
            token = answer["nextForwardToken"]
            if token == self._tokens.get(stream):
                return
            self._tokens[stream] = token


def metric_definitions(algorithm: AnyAlgorithm) -> list[dict[str, str]]:
    """Of the metrics that the engine prints, as many as AWS takes, the objective before others."""
    printed = dict.fromkeys([algorithm.objective.metric, *algorithm.metrics])
    found = reporting.metric_definitions(printed)
    return [each for each in found if len(each["Regex"]) <= MAX_REGEX][:MAX_METRICS]


def hyperparameters(
    given: Hyperparameters,
    reading: Reading,
    *,
    seed: int | None = None,
    benchmark: Task | None = None,
) -> dict[str, Any]:
    """Those of a job by name, as JSON's types: what ``given`` sets, and the job's own.

    Raises InputError for more, or longer ones, than AWS takes.
    """
    found = given.model_dump(mode="json", include=given.model_fields_set)
    found.update(reading.written())
    if seed is not None:
        found[SEED] = seed
    if benchmark is not None:
        found[BENCHMARK] = benchmark.model_dump_json()
    faults = [
        f"{name}: AWS takes at most {MAX_VALUE:,} characters of a hyperparameter, got {length:,}"
        for name, value in found.items()
        if (length := len(json.dumps(value))) > MAX_VALUE
    ]
    if len(found) > MAX_HYPERPARAMETERS:
        faults.append(f"AWS takes at most {MAX_HYPERPARAMETERS} hyperparameters, got {len(found)}")
    if faults:
        raise InputError(*faults)
    return found


def check_free(account: Account, name: str, kind: Kind) -> None:
    """Raise InputError where there was a job of this name: AWS takes each name once."""
    there = _found(account, name, kind)
    if there is not None:
        raise InputError(
            f"--name: there is a {kind.title} job {name!r} in {account.region} already, "
            f"{there.status}: choose another"
        )


def create(rollback: Rollback, name: str, kind: Kind, request: dict[str, Any]) -> None:
    """Create the job ``name`` by ``request``; on any error, Ctrl-C too, it is stopped again.

    The answer to its creation may be lost, and the job bills; and since ``check_free`` somebody
    else may have made one of this name, which goes on.
    """
    account = rollback.account
    rollback.creating(
        f"{kind.title} job {name}",
        partial(stop, account, name, kind),
        f"algoshelf sagemaker delete {name}",
        holds=True,
        arn=partial(arn, account, name, kind),
    )
    send(account, name, kind, request)
    rollback.created()


def send(account: Account, name: str, kind: Kind, request: dict[str, Any]) -> None:
    """Ask for the job ``name``, and do not look back. Raises AwsError."""
    labels = tags.signed(account, request.get("Tags", []))
    with explained():
        getattr(account.client("sagemaker"), kind.operation("create"))(
            **{f"{kind.api}Name": name}, **{**request, "Tags": labels}
        )


def arn(account: Account, name: str, kind: Kind) -> str:
    """The ARN of the job; "" where there is none. Raises AwsError."""
    job = _found(account, name, kind)
    return "" if job is None else str(job.description[f"{kind.api}Arn"])


def is_of_run(account: Account, name: str, kind: Kind) -> bool:
    """Whether there is a job of this name, and this run has made it. Raises AwsError."""
    found = arn(account, name, kind)
    return bool(found) and tags.of(account, found).get(tags.RUN) == account.run


def stop(account: Account, name: str, kind: Kind) -> None:
    """Stop the job, if there is one that has not ended. Raises AwsError."""
    job = _found(account, name, kind)
    if job is None or job.has_ended:
        return
    try:
        with explained():
            getattr(account.client("sagemaker"), kind.operation("stop"))(
                **{f"{kind.api}Name": name}
            )
    except AwsError:
        job.refresh()
        if not job.has_ended:
            raise


def _found(account: Account, name: str, kind: Kind) -> Job | None:
    try:
        return Job(account, name, kind, described(account, name, kind))
    except AwsError as error:
        if error.aws_code not in ABSENT:
            raise
        return None


def described(account: Account, name: str, kind: Kind) -> dict[str, Any]:
    """The job ``name`` as AWS describes it. Raises AwsError, where there is none too."""
    with explained():
        describe = getattr(account.client("sagemaker"), kind.operation("describe"))
        return dict(describe(**{f"{kind.api}Name": name}))
