"""``sagemaker transform MODEL INPUT``: a batch transform job."""

from __future__ import annotations

from typing import Any

import click

from ....core.runtime.errors import TrainingError
from ....core.transform.reader import SPLIT_TYPES
from ...aws.settings import Settings
from ..flags import (
    SIZE,
    SectionedCommand,
    account_options,
    acting_options,
    bucket_option,
    whole,
)
from ..output import json_option, say
from .common import account as open_account
from .common import confirm, say_price
from .company import company_options
from .showing import follow


@click.command(cls=SectionedCommand)
@click.argument("model")
@click.argument("source", metavar="INPUT")
@click.option(
    "--instance", metavar="TYPE", required=True,
    help="The instance type to run on, such as ml.m5.xlarge.",
)  # fmt: skip
@click.option(
    "--hosts", type=whole(1, 99), default=1, show_default=True, help="The number of instances."
)
@click.option(
    "--image", metavar="URI",
    help="The image of your own that answers. [default: AWS's MXNet image]",
)  # fmt: skip
@click.option(
    "--name", metavar="NAME",
    help="The name of the job. [default: the algorithm's name and the time]",
)  # fmt: skip
@click.option(
    "--wait/--no-wait",
    default=True,
    help="Show the log of the job until it ends, or return at once.",
)
@click.option(
    "--output", metavar="S3",
    help="The S3 address below which the job writes its answers. "
    "[default: s3://sagemaker-REGION-ACCOUNT/algoshelf]",
)  # fmt: skip
@click.option("--content-type", help="The content type of all input. [default: by the file's name]")
@click.option(
    "--accept", help="The content type of the answers. [default: JSON Lines, where it is offered]"
)
@click.option(
    "--split-type", type=click.Choice(SPLIT_TYPES),
    help="How the input is split into records. [default: by its content type]",
)  # fmt: skip
@click.option(
    "--max-payload", type=SIZE, default="6MB", show_default=True,
    help="The largest size of one request.",
)  # fmt: skip
@click.option("--join-source", is_flag=True, help="Write each record together with its answer.")
@company_options("transform")
@bucket_option
@account_options
@acting_options
@json_option
def transform(
    wait: bool,
    settings: Settings,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Have MODEL answer each record of INPUT in a SageMaker batch transform job.

    MODEL is a folder that `algoshelf train` wrote, a model.tar.gz here or in S3, or the name of a
    training job. INPUT is a file or folder here, or an S3 address. The answers are written to
    <output>/transforms/<job>/<input>.out.
    """
    from ...aws import jobs, removal
    from ...aws.transform import TransformRequest, prepared

    request = TransformRequest(settings=settings, **asked)
    request.check()
    with open_account(region, profile, dry_run, bucket_owner, settings) as account:
        with prepared(account, request) as job:
            say(
                f"{request.model} answers {request.source} on {request.hosts} × "
                f"{request.instance} in {account.region}."
            )
            cost = say_price(job.price, request.instance, account.region)
            say("A transform job has no time limit: it is billed until it has read all its input.")
            if not account.dry:
                confirm(f"Start it, for {cost}?", yes)
            model = job.start(say)
        ended = account.dry
        try:
            if not account.dry:
                follow(account, jobs.TRANSFORM, job.name, wait=wait, as_json=as_json)
                ended = wait
        except TrainingError:
            ended = True
            raise
        finally:
            if ended:  # nothing else needs the model
                removal.remove_own_model(account, model)
