"""Measure settings as SageMaker training jobs: so many at once, and for no more than a budget."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Mapping, Sequence

from ...core.benchmark import RECORD, Outcome, Place, Record, Run, Setting, record_of
from ...core.runtime.archives import Bounds, unpack
from ...core.runtime.errors import AlgoshelfError, DataError
from ..aws import bills, data, jobs, tags
from ..aws.account import Account, AwsError
from ..aws.prices import Price
from ..aws.settings import Settings
from ..aws.training import PreparedJob, Uploads
from . import results_file

# AWS kills a job that is to end so long after it has told it, and bills that time.
STOPPING_SECONDS = 120.0
# So many polls in a row may fail.
PATIENCE = 60
MAX_ARCHIVE_BYTES = 64 * 2**20
BOUNDS = Bounds(contents=results_file.MAX_BYTES)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class RemoteRequest:
    """What is asked for: instance types with numbers of hosts, seeds, and bounds.

    ``max_cost`` is in USD, ``max_run`` in seconds; ``prices`` are of one instance for an hour.
    """

    pairs: Sequence[tuple[str, int]]
    seeds: range
    max_cost: float
    max_run: float
    parallel: int
    prices: Mapping[str, float]
    settings: Settings


@dataclass
class RemoteJob:
    """A training job that measures ``setting`` at ``place``, once for each of ``seeds``.

    ``billed`` are seconds of one instance, None where they aren't known.
    """

    prepared: PreparedJob
    setting: Setting
    place: Place
    price: Price
    seeds: Sequence[int]
    status: str = "NotStarted"
    is_ours: bool = False  # by AWS's answer, or by its tag
    billed: float | None = 0.0
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.prepared.name

    @property
    def max_run(self) -> float:
        """Seconds."""
        return self.prepared.request.max_run

    def send(self, uploads: Uploads) -> None:
        """Ask AWS for it. Raises AwsError."""
        job = self.prepared
        jobs.send(job.account, job.name, job.kind, job.parameters(uploads))

    @property
    def worst_case(self) -> float:
        """USD that it costs at most."""
        return self.price.worst_case(self.max_run + STOPPING_SECONDS, self.place.instances)

    @property
    def cost(self) -> float:
        """USD that it has cost; the worst case where AWS does not say."""
        if self.billed is None:
            return self.worst_case
        return self.price.worst_case(self.billed, self.place.instances)

    def __str__(self) -> str:
        several = f"{self.place.instances} × " if self.place.instances > 1 else ""
        batch = f", batch {self.setting.batch_size}" if self.setting.batch_size else ""
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        return f"{several}{self.place.instance_type}{batch}, {seeds}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "job": self.name,
            "instance_type": self.place.instance_type,
            "hosts": self.place.instances,
            "batch_size": self.setting.batch_size,
            "seeds": list(self.seeds),
            "status": self.status,
            "billed_seconds": self.billed,
            "usd": self.cost,
        }


class RemoteRuns:
    """Runs ``planned`` in their order, ``parallel`` at once at most.

    A job starts only while what has been spent, the worst case of what is running and its own are
    within ``budget`` USD; one that never can is a failure of its runs, as is whatever else ends a
    job early. ``keep`` is given all records after each job.
    """

    def __init__(
        self,
        account: Account,
        planned: Sequence[RemoteJob],
        uploads: Uploads,
        command: str,
        *,
        budget: float,
        parallel: int,
        keep: Callable[[Sequence[Record]], None],
        tell: Tell,
    ) -> None:
        self.account = account
        self.jobs = list(planned)
        self.uploads = uploads
        self.command = command
        self.budget = budget
        self.parallel = parallel
        self.keep = keep
        self.tell = tell
        self._waiting = list(planned)
        self._running: list[RemoteJob] = []
        self._asked_in_vain = 0

    @property
    def spent(self) -> float:
        """USD that the jobs that have ended cost."""
        return sum(job.cost for job in self.jobs if job not in self._running)

    @property
    def records(self) -> list[Record]:
        """A record for each setting and place of which a run has ended."""
        found: dict[tuple[int, Place], list[RemoteJob]] = {}
        for job in self.jobs:
            if job.outcomes:
                found.setdefault((id(job.setting), job.place), []).append(job)
        return [
            record_of(
                alike[0].setting,
                [outcome for job in alike for outcome in job.outcomes],
                self.command,
                alike[0].place,
            )
            for alike in found.values()
        ]

    def run(self) -> list[Record]:
        """The records. On whatever ends this early, Ctrl-C too, the jobs that run are stopped."""
        try:
            while self._waiting or self._running:
                self._start()
                if self._running:
                    time.sleep(jobs.POLL_SECONDS)
                    self._look()
        except BaseException:
            self._abandon()
            raise
        return self.records

    def _start(self) -> None:
        """Start what may start, in order; give up what no longer can."""
        while self._waiting and len(self._running) < self.parallel:
            job = self._waiting[0]
            left = self.budget - self.spent - sum(each.worst_case for each in self._running)
            if job.worst_case > left + 1e-9:
                if self._running:  # which may cost less than its worst case
                    return
                self._waiting.pop(0)
                self._fail(
                    job,
                    f"not started: it may cost {job.worst_case:.2f} USD, and {max(left, 0):.2f} of "
                    f"--max-cost {self.budget:g} are left",
                )
                continue
            self._begin(self._waiting.pop(0))

    def _begin(self, job: RemoteJob) -> None:
        self._running.append(job)  # at once: the request may arrive, and its answer be lost
        job.status, job.billed = "Starting", None
        try:
            job.send(self.uploads)
        except AwsError as error:
            try:
                job.is_ours = jobs.is_of_run(self.account, job.name, jobs.TRAINING)
            except AwsError:
                self.tell(f"{job.name}: AWS may have started it all the same: {error}")
                return
            if job.is_ours:
                self.tell(f"{job.name}: AWS has started it all the same: {error}")
            else:
                self._give_up(job, f"not started: {error}")
            return
        job.is_ours = True
        self.tell(f"{job}: training job {job.name} was started, at most {job.worst_case:.2f} USD")

    def _give_up(self, job: RemoteJob, reason: str) -> None:
        """There is no such job of ours."""
        self._running.remove(job)
        job.status, job.billed = "Failed", 0.0
        self._fail(job, reason)

    def _find_owner(self, job: RemoteJob) -> None:
        """Of a job whose start was not answered: who made the one of its name. Raises AwsError."""
        if not job.is_ours:
            job.is_ours = jobs.is_of_run(self.account, job.name, jobs.TRAINING)

    def _look(self) -> None:
        """Ask AWS for all that run, and take what those have left that ended."""
        failure: AwsError | None = None
        for job in list(self._running):
            found = jobs.Job(self.account, job.name, jobs.TRAINING, {})
            try:
                found.refresh()
                self._find_owner(job)
            except AwsError as error:
                if error.aws_code in jobs.ABSENT:
                    self._give_up(job, f"there is no training job {job.name}: {error}")
                else:
                    failure = error
                continue
            if not job.is_ours:
                self._give_up(job, f"not started: the training job {job.name} is somebody else's")
                continue
            doing = str(found.description.get("SecondaryStatus", found.status))
            if not found.has_ended:
                if doing != job.status:
                    self.tell(f"{job}: {doing}")
                job.status = doing
                continue
            self._running.remove(job)
            job.status, job.billed = found.status, bills.billed(found.description)
            self._take(job, found)
        self._asked_in_vain = self._asked_in_vain + 1 if failure else 0
        if failure is not None:
            self.tell(f"asking again: {failure}")
            if self._asked_in_vain >= PATIENCE:
                raise failure

    def _take(self, job: RemoteJob, found: jobs.Job) -> None:
        """The runs that the job has left; the others are failures, with its reason."""
        billed = "unknown time" if job.billed is None else f"{job.billed:g} s"
        note = (
            f"training job {job.name}: {job.status}, {billed} billed on {job.place.instances} "
            f"instance{'s' * (job.place.instances > 1)}, {job.cost:.4g} USD"
        )
        reason = _reason(found)
        runs: dict[int, Run] = {}
        facts: dict[str, Any] = {}
        try:
            record = collect(self.account, found, job.setting)
            facts = record.model_dump(include={"contexts", "data", "environment"})
            runs = {run.seed: run for run in record.runs}
            if any(run.failure is None for run in record.runs):
                self._check_data(facts)
        except (AlgoshelfError, OSError) as error:
            runs = {}
            reason = reason or str(error)
        for seed in job.seeds:
            run = runs.get(seed) or Run(
                seed=seed, failure=f"{job.name}: {reason or 'it left no record of this run'}"
            )
            run = run.model_copy(update={"notes": [*run.notes, note]})
            job.outcomes.append(Outcome(run, facts if run.failure is None else {}))
        self.tell(f"{job}: {note}")
        for failure in dict.fromkeys(o.run.failure for o in job.outcomes if o.run.failure):
            self.tell(f"  failed: {failure}")
        self.keep(self.records)

    def _check_data(self, facts: dict[str, Any]) -> None:
        others = [o.facts["data"] for job in self.jobs for o in job.outcomes if o.facts]
        if others and others[0] != facts["data"]:
            raise DataError("it read other data than the first job: they cannot be compared")

    def _fail(self, job: RemoteJob, reason: str) -> None:
        job.outcomes = [Outcome(Run(seed=seed, failure=reason), {}) for seed in job.seeds]
        self.tell(f"{job}: {reason}")
        self.keep(self.records)

    def _abandon(self) -> None:
        """Stop what runs; name what could not be stopped, and what will end it."""
        left = list(self._running)
        try:
            for job in self._running:
                try:
                    self._find_owner(job)
                    if not job.is_ours:
                        left.remove(job)
                        self.tell(f"training job {job.name}: there is none of this run")
                        continue
                    jobs.stop(self.account, job.name, jobs.TRAINING)
                except AlgoshelfError as error:
                    self.tell(f"stopping {job.name}: {error}")
                    continue
                left.remove(job)
                job.status = "Stopping"
                self.tell(f"training job {job.name} is being stopped")
        except (Exception, KeyboardInterrupt) as error:  # what follows has to be said all the same
            self.tell(f"stopping: {error or 'interrupted'}")
        for job in left:
            self.tell(
                f"training job {job.name} goes on, for {job.max_run / 60:g} min at most: end it by "
                f"`aws sagemaker stop-training-job --training-job-name {job.name} "
                f"--region {self.account.region}`"
                + ("" if job.is_ours else f", but only if its tag {tags.RUN} is {self.account.run}")
            )
        for job in self._running:
            self._fail(job, f"{job.name}: interrupted; `algoshelf sagemaker status {job.name}`")
        for job in self._waiting:
            self._fail(job, "not started: interrupted")
        for job in self.jobs:
            if not job.outcomes:  # it had ended, and its record was being fetched
                where = f"`algoshelf sagemaker status {job.name}` tells where it lies"
                self._fail(job, f"{job.name}: interrupted before its record was here; {where}")


def collect(account: Account, job: jobs.Job, setting: Setting) -> Record:
    """The record that a training job has left in S3, checked to be one of ``setting``.

    Raises AwsError, DataError where there is none, or where it is not what was asked for.
    """
    root = str(job.description["OutputDataConfig"]["S3OutputPath"]).rstrip("/")
    uri = f"{root}/{job.name}/output/output.tar.gz"
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        archive = Path(scratch, "output.tar.gz")
        data.download(account, uri, archive, MAX_ARCHIVE_BYTES)
        names = unpack(archive, Path(scratch), _wanted, BOUNDS, uri)
        records = [name for name in names if _wanted(name)]
        if not records:
            raise DataError(f"{uri}: holds no record: there is no {RECORD} in it")
        path = Path(scratch, records[0])
        try:
            (record,) = results_file.read(path)
        except (AlgoshelfError, ValueError) as error:
            reason = str(error).replace(str(path), uri)
            raise DataError(f"{uri}: its record cannot be read: {reason}") from None
    found = (record.kind, record.algorithm, record.objective)
    if found != ("training", setting.algorithm.name, setting.objective):
        told = f"{record.kind} of {record.algorithm}, to {record.objective.metric}"
        raise DataError(f"{uri}: is the record of another measurement: {told}")
    return record


def _wanted(name: str) -> int:
    return results_file.MAX_BYTES if PurePosixPath(name).name == RECORD else 0


def _reason(job: jobs.Job) -> str:
    """Why the job did not complete; "" where it did."""
    if job.status == "Completed":
        return ""
    if job.status == "Failed":
        reason = job.failure or "AWS gives no reason"
        return f"{reason}; `algoshelf sagemaker logs {job.name}` shows its log"
    if job.description.get("SecondaryStatus") == "MaxRuntimeExceeded":
        return "it was stopped after --max-run"
    return "it was stopped"
