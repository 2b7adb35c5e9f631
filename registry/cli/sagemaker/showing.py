"""A job, followed until it ends or shown as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ....core.runtime.errors import TrainingError
from ..output import print_json, say

if TYPE_CHECKING:
    from ...aws.account import Account
    from ...aws.jobs import Job, Kind


def follow(account: Account, kind: Kind, name: str, *, wait: bool, as_json: bool) -> None:
    """Follow the job, or show how it is; raises TrainingError where it failed."""
    from ...aws.jobs import Job

    say(f"The {kind.title} job is {name}.")
    job = Job(account, name, kind, {})
    try:
        job.refresh()
        if wait:
            job.follow(say)
    except BaseException:  # whatever ends this ends no job
        where = f"{name} --region {account.region}"
        say(
            "The job goes on, and is billed. `algoshelf sagemaker status "
            f"{where}` shows it, `algoshelf sagemaker delete {where}` stops it."
        )
        raise
    if job.status == "Completed" or not job.has_ended:
        show(job, as_json)
        return
    if not as_json:
        show(job, as_json)
    see = f"; `algoshelf sagemaker logs {name}` shows its log" if kind.log_group else ""
    raise TrainingError(f"{name}: {job.reason}{see}")


def show(job: Job, as_json: bool) -> None:
    """What there is to know of the job, what it has cost, and what may come next."""
    found = {**job.summary(), **_cost(job)}
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            for key, inner in value.items():
                click.echo(f"{key:<28}{inner}")
        elif value != "":
            click.echo(f"{name.replace('_', ' '):<28}{value}")
    if job.kind.title == "training" and job.status == "Completed":
        say("\nNext:")
        say(f"  algoshelf sagemaker deploy {job.name}")
        say(f"  aws s3 cp {found['model']} .")


def _cost(job: Job) -> dict[str, Any]:
    """What it has cost, as far as the credentials may look."""
    from ...aws import bills
    from ...aws.account import AwsError

    try:
        bill = bills.of(job)
    except AwsError as error:
        say(f"what {job.name} has cost is not shown: {error}")
        return {}
    return bill.summary() if bill else {}
