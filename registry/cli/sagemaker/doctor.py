"""``sagemaker doctor``: whether an account has what jobs and endpoints need."""

from __future__ import annotations

import click

from ...aws.account import ROLE_VARIABLE
from ..doctor import finish, show
from ..flags import account_options
from ..output import json_option


@click.command()
@click.option(
    "--instance", "instances", metavar="TYPE", multiple=True,
    help="Look at the quotas of this instance type. May be repeated. [default: ml.m5.large]",
)  # fmt: skip
@click.option(
    "--role", metavar="ROLE",
    help=f"Look at this role: its ARN or its name. [default: ${ROLE_VARIABLE}, or the one that "
    "`algoshelf sagemaker setup` makes]",
)  # fmt: skip
@account_options
@json_option
def doctor(
    instances: tuple[str, ...],
    role: str | None,
    region: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Check credentials, region, role, rights, bucket and quotas, and say what to do.

    Nothing is created or changed. The exit code is 1 if something failed.
    """
    from ...aws.doctor import examined
    from ...aws.instances import find

    for name in instances:
        find(name)  # which knows what was meant
    found = []
    for check in examined(region, profile, role, instances):
        found.append(check)
        if not as_json:
            show(check)
    finish(found, as_json)
