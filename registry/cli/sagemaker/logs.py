"""``sagemaker logs JOB``: what a job has printed."""

from __future__ import annotations

import click

from ....core.runtime.errors import InputError
from ..flags import account_options
from ..output import say
from .common import account as open_account


@click.command()
@click.argument("job")
@click.option("--follow", is_flag=True, help="Show new lines as they come, until the job ends.")
@account_options
def logs(job: str, follow: bool, region: str | None, profile: str | None) -> None:
    """Show the log of JOB, the name of a training or transform job.

    With several instances, each line begins with the number of its instance.
    """
    from ...aws import jobs

    with open_account(region, profile, False) as account:
        found = jobs.Job.find(account, job)
        if not found.kind.log_group:
            raise InputError(
                f"{job}: a tuning job has no log of its own, only its trainings have; `algoshelf "
                f"sagemaker status {job}` names the best of them"
            )
        if follow:
            found.follow(click.echo)
            return
        count = 0
        for line in found.lines():
            click.echo(line)
            count += 1
        if not count:
            say(f"{job}: its log is empty yet; the job is {found.status}.")
