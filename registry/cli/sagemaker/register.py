"""``sagemaker register MODEL --group GROUP``: a version of a model in SageMaker's registry."""

from __future__ import annotations

import shlex
from typing import Any, Mapping

import click

from ...aws import instances, packages
from ...aws.settings import Settings
from ..flags import SectionedCommand, account_options, acting_options, bucket_option
from ..output import figure, json_option, print_json, say
from .common import account, confirm
from .company import company_options
from .endpoints import foreign_option, image_option


@click.command(cls=SectionedCommand)
@click.argument("model")
@click.option(
    "--group", metavar="GROUP", required=True,
    help="The package group that the model becomes the next version of; made where there is none.",
)  # fmt: skip
@click.option(
    "--approve", is_flag=True,
    help="Approve the version at once, so that `deploy --package` takes it. Refused if a check of "
    "the model fails. [default: it waits for approval]",
)  # fmt: skip
@click.option(
    "--instance", metavar="TYPE", default=instances.CPU, show_default=True,
    help="The instance type that the version is meant for: one with a GPU, or one without.",
)  # fmt: skip
@image_option
@foreign_option
@company_options("register")
@bucket_option
@account_options
@acting_options
@json_option
def register(
    model: str,
    group: str,
    approve: bool,
    instance: str,
    image: str,
    foreign: bool,
    settings: Settings,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Register MODEL as the next version of a package group, with what it was made of.

    MODEL is a folder that `algoshelf train` wrote, a model.tar.gz here or in S3, or the name of a
    training job. Its metrics, the digests of its data, its seed, the commit of its code and the
    result of its checks go with it.
    """
    asked = packages.Registration(model, group, approve, instance, image, settings, foreign)
    with account(region, profile, dry_run, bucket_owner, settings) as acting:
        packages.check_group(acting, asked)
        state = packages.APPROVED if approve else packages.PENDING
        say(f"{model} becomes the next version of {group} in {acting.region}, {state}.")
        say("A version costs nothing but its storage in S3.")
        if not dry_run:
            confirm(f"Register it in {group}?", yes)
        made = packages.register(acting, asked, say)
    if dry_run:
        return
    if as_json:
        print_json(made)
        return
    _show(made)


def _show(made: Mapping[str, Any]) -> None:
    for name in ("package", "status", "algorithm", "conformance"):
        click.echo(f"{name:<28}{made[name]}")
    for name, value in made["metrics"].items():
        click.echo(f"{name:<28}{figure(value)}")
    for name, value in made["lineage"].items():
        if name.startswith(("data ", "seed", "commit", "GeneratedBy")):
            click.echo(f"{name:<28}{value}")
    group, region = shlex.quote(str(made["group"])), made["region"]
    say("\nNext:")
    if made["status"] != packages.APPROVED:
        say(
            f"  aws sagemaker update-model-package --model-package-arn {made['package']} "
            f"--model-approval-status {packages.APPROVED} --region {region}"
        )
    say(f"  algoshelf sagemaker deploy --package {group} --region {region}")
