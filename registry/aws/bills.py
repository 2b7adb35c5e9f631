"""What a job has cost: the seconds that AWS bills, times the price of its instances.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html: AWS bills
BillableTimeInSeconds of each instance, and managed spot saves 1 - billable / training time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from . import instances, jobs, prices, removal
from .jobs import Job
from .prices import Price

MAX_TRAININGS = 100  # of a tuning job, of which each is asked for


@dataclass(frozen=True)
class Bill:
    """Of one job: ``seconds`` of all instances together, USD, and the part that spot has saved.

    ``usd`` is None where the price is unknown; volumes, storage and traffic come on top.
    """

    seconds: float
    usd: float | None
    how: str
    saved: float | None = None

    def summary(self) -> dict[str, Any]:
        """For who asks how the job stands."""
        found: dict[str, Any] = {"cost": self.how, "cost_usd": self.usd}
        if self.saved is not None:
            found["spot_saved"] = f"{self.saved:.0%}"
        return found


def billed(description: dict[str, Any]) -> float | None:
    """Seconds that AWS bills of each instance of a training job; None where it does not say."""
    if "BillableTimeInSeconds" in description:
        return float(description["BillableTimeInSeconds"])
    if "TrainingStartTime" not in description:
        return 0.0  # it never had an instance
    return _between(description, "TrainingStartTime", "TrainingEndTime")


def of(job: Job) -> Bill | None:
    """What ``job`` has cost, or costs until now; None of what is not of one type of instance."""
    if job.kind is jobs.TUNING:
        return _of_tuning(job)
    told = job.description
    resources = told.get("ResourceConfig") or told.get("TransformResources") or {}
    if "InstanceType" not in resources:
        return None
    name, count = resources["InstanceType"], resources["InstanceCount"]
    if job.kind is jobs.TRANSFORM:
        started = "TransformStartTime" in told
        seconds = _between(told, "TransformStartTime", "TransformEndTime") if started else 0.0
        use = instances.TRANSFORM
    else:
        seconds, use = billed(told) or 0.0, instances.TRAINING
    price = prices.find(name, use, job.account.region)
    usd = None if price is None else price.usd * seconds * count / 3600
    return Bill(seconds * count, usd, _how(seconds, count, name, price, usd), _saved(told))


def _of_tuning(job: Job) -> Bill | None:
    """The sum over its trainings."""
    names = [
        each["TrainingJobName"]
        for each in removal.listed(
            job.account,
            "list_training_jobs_for_hyper_parameter_tuning_job",
            "TrainingJobSummaries",
            HyperParameterTuningJobName=job.name,
        )
    ]
    if not names or len(names) > MAX_TRAININGS:
        return None
    found = [
        of(Job(job.account, name, jobs.TRAINING, jobs.described(job.account, name, jobs.TRAINING)))
        for name in names
    ]
    bills = [each for each in found if each is not None]
    if len(bills) < len(found):
        return None
    seconds = sum(each.seconds for each in bills)
    known = [each.usd for each in bills if each.usd is not None]
    if len(known) < len(bills):
        return Bill(seconds, None, f"{seconds:,.0f} s of instances, whose price is unknown")
    usd = sum(known)
    return Bill(seconds, usd, f"{usd:,.4f} USD: {seconds:,.0f} s in {len(bills)} trainings")


def _how(seconds: float, count: int, name: str, price: Price | None, usd: float | None) -> str:
    """``0.0205 USD: 320 s × 1 × ml.m5.xlarge at 0.23 USD an hour (…)``."""
    work = f"{seconds:,.0f} s × {count} × {name}"
    if price is None or usd is None:
        return f"{work}, whose price is unknown"
    return f"{usd:,.4f} USD: {work} at {price}"


def _saved(told: dict[str, Any]) -> float | None:
    """The part that managed spot has saved; None where it was not asked for."""
    whole = told.get("TrainingTimeInSeconds")
    if not told.get("EnableManagedSpotTraining") or not whole:
        return None
    return 1 - float(told.get("BillableTimeInSeconds", whole)) / float(whole)


def _between(told: dict[str, Any], start: str, end: str) -> float:
    until = told.get(end) or datetime.now(timezone.utc)
    return max(0.0, float((until - told[start]).total_seconds()))
