"""``sagemaker setup`` and ``teardown``: what an account needs once."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Sequence

import click

from ....core.runtime.errors import AlgoshelfError
from ...aws.account import ROLE_VARIABLE, Account, AwsError
from ..flags import Parsed, account_options, acting_options
from ..output import json_option, print_json, say
from .common import account, confirm
from .cost import DEFAULT_REGION, REGION_VARIABLE

if TYPE_CHECKING:
    from ...aws.setup import Step

ENTITY = re.compile(r"(user|group|role)/[\w+=,.@-]{1,128}", re.ASCII)
KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+", re.ASCII)


def _matching(pattern: re.Pattern[str]) -> click.ParamType:
    expected = {
        ENTITY.pattern: "user/NAME, group/NAME or role/NAME",
        KEY.pattern: "arn:aws:kms:REGION:ACCOUNT:key/ID",
    }[pattern.pattern]

    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return Parsed("text", parse, expected)


@click.command()
@click.option(
    "--for", "people", metavar="WHO", multiple=True, type=_matching(ENTITY),
    help="Also give the policy to this user/NAME, group/NAME or role/NAME. May be repeated.",
)  # fmt: skip
@click.option(
    "--kms-key", "key", metavar="ARN", type=_matching(KEY),
    help="Encrypt the bucket with this key of yours. [default: S3's own keys]",
)  # fmt: skip
@click.option(
    "--company", is_flag=True,
    help="Also give the rights that --kms-key, --volume-kms-key and --vpc-subnets of the other "
    "commands need. [default: with --kms-key]",
)  # fmt: skip
@click.option(
    "--cloudformation", is_flag=True,
    help="Make nothing, but print a CloudFormation template of it, for somebody with the rights.",
)  # fmt: skip
@account_options
@acting_options
@json_option
def setup(
    people: tuple[str, ...],
    key: str | None,
    company: bool,
    cloudformation: bool,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make what jobs and endpoints need once in an account: a role, a policy and a bucket.

    The execution role is what they act in, the policy what people may do by these commands, and
    the bucket, one a region, is encrypted, private and reached by TLS alone. None of it is billed
    while the bucket is empty. What is there already is completed; `algoshelf sagemaker teardown`
    removes it all again.

    Example: algoshelf sagemaker setup --for user/anna
    """
    if cloudformation:
        region = region or os.environ.get(REGION_VARIABLE) or DEFAULT_REGION
        _print_template(region, people, key or "", company)
        return
    from ...aws import setup as parts

    with account(region, profile, dry_run) as acting:
        plan = parts.Plan(acting, people, key or "", company=company)
        for note in plan.notes:
            say(note)
        _announce(acting, plan.steps, "Make this", yes)
        again = "What was made is not billed; `algoshelf sagemaker setup` again makes the rest."
        done = _run(plan.steps, again, dry_run)
    if dry_run:
        return
    if as_json:
        print_json(parts.document(plan, acting, done))
        return
    click.echo(f"role    {plan.role}\npolicy  {plan.policy}\nbucket  {plan.bucket}")
    say(
        f"\nJobs and endpoints act in that role unless --role or {ROLE_VARIABLE} names another. "
        "People have the policy by `setup --for user/NAME`. Next:\n  algoshelf sagemaker doctor"
    )


@click.command()
@click.option(
    "--delete-data", is_flag=True,
    help="Also delete all that lies in the bucket; without it, that is asked, and --yes keeps it.",
)  # fmt: skip
@account_options
@acting_options
@json_option
def teardown(
    delete_data: bool,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove what `algoshelf sagemaker setup` made, and nothing else.

    A bucket that holds data is removed only after its size was shown and you agreed. The role and
    the policy stay as long as another region was set up. What is billed has to end before.
    """
    from ...aws import setup as parts

    with account(region, profile, dry_run) as acting:
        removal = parts.Removal(acting)
        for note in removal.notes:
            say(note)
        if removal.contents:
            say(f"The bucket {removal.bucket.name} holds {removal.contents}: data, code, models.")
            delete_data = delete_data or (not yes and not dry_run and _asked_for_data())
        steps = removal.steps(data_too=delete_data)
        _announce(acting, steps, "Remove this", yes)
        done = _run(steps, "`algoshelf sagemaker teardown` again removes the rest.", dry_run)
    kept = bool(removal.contents) and not delete_data
    if dry_run:
        return
    if kept:
        say(
            f"The bucket {removal.bucket.name} stays with its data, which is billed: `algoshelf "
            "sagemaker teardown --delete-data` removes it"
        )
    if as_json:
        left = removal.bucket.name if kept else None
        print_json({"region": acting.region, "done": done, "kept_bucket": left})
        return
    for what in done:
        click.echo(f"done: {what}")


def _print_template(region: str, people: Sequence[str], key: str, company: bool) -> None:
    from ...aws.setup.template import STACK, template

    click.echo(json.dumps(template(region, people, key, company=company), indent=2))
    say(
        "With this template in a file, somebody with the rights makes it by\n"
        f"  aws cloudformation deploy --stack-name {STACK} --template-file FILE "
        f"--capabilities CAPABILITY_NAMED_IAM --region {region}\n"
        f"and removes it by\n  aws cloudformation delete-stack --stack-name {STACK} "
        f"--region {region}\n"
        "Add --parameter-overrides MakeBucket=no where the account has the bucket of SageMaker "
        "already, MakeRole=no for a second region."
    )


def _asked_for_data() -> bool:
    return sys.stdin.isatty() and click.confirm("Delete that data too?", err=True)


def _announce(acting: Account, steps: Sequence[Step], question: str, yes: bool) -> None:
    """Say what will be done, and ask."""
    if not steps:
        say(f"Nothing is to be done in {acting.region}.")
        return
    number = acting.identity["Account"]
    say(f"In account {number}, {acting.region}, signed in as {acting.identity['Arn']}:")
    for number_of, step in enumerate(steps, 1):
        say(f"  {number_of}. {step.what}")
    if not acting.dry:
        confirm(f"{question}?", yes)


def _run(steps: Sequence[Step], again: str, dry_run: bool) -> list[str]:
    """Do the steps; what was done. An error or Ctrl-C says how far it came, and what is next."""
    done: list[str] = []
    try:
        for step in steps:
            step.act()
            done.append(step.what)
    except AlgoshelfError as error:
        code = getattr(error, "aws_code", "")
        raise AwsError(
            f"{error}\n{len(done)} of {len(steps)} steps are done. {again}", code
        ) from None
    except BaseException:
        if not dry_run:
            say(f"{len(done)} of {len(steps)} steps are done. {again}")
        raise
    return done


def _told(done: Sequence[str], steps: Sequence[Step]) -> str:
    return f"{len(done)} of {len(steps)} steps are done"
