"""``sagemaker status JOB``: how a job stands."""

from __future__ import annotations

import click

from ..flags import account_options
from ..output import json_option
from .common import account as open_account
from .showing import show


@click.command()
@click.argument("job")
@account_options
@json_option
def status(job: str, region: str | None, profile: str | None, as_json: bool) -> None:
    """Show the status of JOB, the name of a training, transform or tuning job."""
    from ...aws import jobs

    with open_account(region, profile, False) as account:
        show(jobs.Job.find(account, job), as_json)
