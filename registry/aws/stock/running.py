"""Jobs in progress: trainings, searches and batch transforms."""

from __future__ import annotations

from functools import partial
from typing import Collection, Iterator

from .. import instances, jobs, removal, tags
from ..account import Account
from ..rollback import Report
from . import Item, Kind, Part, Wanted
from .hosting import MODEL, machines

TRAINING_JOB, TUNING_JOB, TRANSFORM_JOB = "training job", "tuning job", "transform job"


def _found(kind: jobs.Kind, title: str, account: Account, wanted: Wanted) -> Iterator[Item]:
    for status in jobs.RUNNING:
        summaries = removal.listed(
            account, kind.operation("list", "s"), f"{kind.api}Summaries", StatusEquals=status
        )
        for summary in summaries:
            name, created = summary[f"{kind.api}Name"], summary["CreationTime"]
            arn = summary[f"{kind.api}Arn"]
            labels = wanted.labels(name, created, partial(tags.of, account, arn))
            if labels is not None:
                runs_on, price = _machines(account, kind, name)
                yield Item(title, name, status, created, runs_on, price, labels)


def _machines(account: Account, kind: jobs.Kind, name: str) -> tuple[str, float | None]:
    """On what a job runs, and its USD an hour."""
    if kind is jobs.TUNING:
        return "its training jobs", 0.0
    use = instances.TRAINING if kind is jobs.TRAINING else instances.TRANSFORM
    described = jobs.described(account, name, kind)
    resources = described.get("ResourceConfig") or described.get("TransformResources") or {}
    if "InstanceType" not in resources:
        return "instances of several types, or none", None
    return machines(account, resources["InstanceType"], resources["InstanceCount"], use)


def _models_of_transforms(account: Account, without: Collection[Part]) -> Iterator[str]:
    for status in jobs.RUNNING:
        for job in removal.listed(
            account, "list_transform_jobs", "TransformJobSummaries", StatusEquals=status
        ):
            yield jobs.described(account, job["TransformJobName"], jobs.TRANSFORM)["ModelName"]


def _kind(title: str, kind: jobs.Kind, **more: object) -> Kind:
    def end(account: Account, item: Item, report: Report) -> None:
        jobs.stop(account, item.name, kind)

    return Kind(title, partial(_found, kind, title), end, personal=True, **more)  # type: ignore[arg-type]


TRAINING_JOBS = _kind(TRAINING_JOB, jobs.TRAINING)
TUNING_JOBS = _kind(TUNING_JOB, jobs.TUNING)
TRANSFORM_JOBS = _kind(TRANSFORM_JOB, jobs.TRANSFORM, uses={MODEL: _models_of_transforms})
