"""``sagemaker update ENDPOINT MODEL``: a new model, step by step, and back if it is worse."""

from __future__ import annotations

from dataclasses import replace

import click

from ....core.runtime.errors import InputError
from ...aws import checks, rollout, sources
from ...aws.settings import Settings, with_wheels
from ...aws.standing import AT_ONCE, standing
from ...aws.watch import FULL, NAMESPACE, STEPS, Metric, Update
from ..flags import (
    DURATION,
    Parsed,
    SectionedCommand,
    account_options,
    acting_options,
    bucket_option,
)
from ..output import json_option, print_json, say
from .common import account, check_signed, confirm
from .company import company_options
from .endpoints import foreign_option, image_option, say_price


def _parse_steps(text: str) -> tuple[int, ...]:
    return tuple(int(step) for step in text.split(","))


def _parse_percent(text: str) -> float:
    percent = float(text.removesuffix("%"))
    if not 0 <= percent <= FULL:
        raise ValueError
    return percent


def _parse_metric(text: str) -> Metric:
    full_name, colon, worse = text.rpartition(":")
    namespace, _, name = full_name.rpartition("/")
    if not colon or not name or not abs(float(worse.removesuffix("%"))) < 1e6:
        raise ValueError
    return Metric(namespace or NAMESPACE, name, float(worse.removesuffix("%")))


@click.command(cls=SectionedCommand)
@click.argument("endpoint")
@click.argument("model", required=False)
@click.option(
    "--steps", type=Parsed("steps", _parse_steps, "percentages such as 10,50,100"),
    help="The percentages of requests that the new model answers in each step. "
    "[default: 10,50,100]",
)  # fmt: skip
@click.option(
    "--bake", type=DURATION, default="5m", show_default=True,
    help="How long each step lasts. CloudWatch's figures arrive about two minutes late.",
)  # fmt: skip
@click.option(
    "--rollback-on-errors", "errors", metavar="P%", default="1%", show_default=True,
    type=Parsed("percent", _parse_percent, "a percentage from 0 to 100"),
    help="Roll back if more than this percentage of the new model's answers are server errors.",
)  # fmt: skip
@click.option(
    "--metric", "limits", multiple=True, metavar="NAME:P%",
    type=Parsed("metric", _parse_metric, "NAME:PERCENT, as ModelLatency:20"),
    help="Roll back if the new model's average of this CloudWatch metric is more than P % above "
    "the old model's, or, with a negative P, more than P % below it. Write NAMESPACE/NAME for a "
    "metric outside AWS/SageMaker. May be repeated.",
)  # fmt: skip
@click.option(
    "--only", metavar="VARIANT",
    help="Instead of moving to MODEL: remove all variants of the endpoint but this one.",
)  # fmt: skip
@image_option
@foreign_option
@company_options("update")
@bucket_option
@account_options
@acting_options
@json_option
def update(
    endpoint: str,
    model: str | None,
    steps: tuple[int, ...] | None,
    bake: float,
    errors: float,
    limits: tuple[Metric, ...],
    only: str | None,
    settings: Settings,
    image: str,
    foreign: bool,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Move ENDPOINT to MODEL step by step, and roll back if MODEL does worse.

    In each step MODEL answers a larger part of the requests. A serverless or asynchronous endpoint
    has one model at a time, and moves in one step (--steps 100). On Ctrl-C the endpoint is rolled
    back, too.
    """
    if (model is None) == (only is None):
        raise InputError("expected either a MODEL to move to, or --only VARIANT")
    with account(region, profile, dry_run, bucket_owner, settings) as acting:
        check_signed(acting, f"what {endpoint} is now")
        if only is not None:
            if not dry_run:
                confirm(f"Have {only} alone answer at {endpoint}?", yes)
            done = rollout.only(acting, endpoint, only, say, foreign=foreign)
        else:
            assert model is not None
            before = standing(acting, endpoint, foreign=foreign)
            if steps is None:
                steps = AT_ONCE if before.obstacle else STEPS
                if before.obstacle:
                    say(f"{endpoint} is {before.obstacle}, and moves in one step.")
            before.check_steps(steps)
            checked = sources.checked(acting, model, image)
            before.hosting.check(own_image=bool(checked.image))
            before.check_settings(settings)
            arn = before.model.get("ExecutionRoleArn")
            if settings.role:
                arn = checks.role(acting, settings.role, say)
            if not arn:
                raise InputError(
                    f"{endpoint}: its model was deleted, which named the IAM role: give --role ROLE"
                )
            say(
                f"{endpoint} in {acting.region} moves to {checked.algorithm}: "
                + ", ".join(f"{step} %" for step in steps)
                + f" of the requests, {bake / 60:g} min each"
            )
            if not before.hosting.memory:
                both = 2 * before.hosting.count
                say_price(acting, before.hosting, both, "While both models run, it costs")
            if not dry_run:
                confirm(f"Update {endpoint}?", yes)
            isolated = before.changed_model(settings).get("EnableNetworkIsolation", False)
            packing = replace(settings, network_isolation=isolated and not image)
            offline = with_wheels(packing, acting, say)
            source = sources.found(acting, model, image, offline=offline)
            was = before.algorithm
            if was and was != source.algorithm:
                say(f"Note: {was} answers until now; {source.algorithm} expects other requests.")
            wanted = Update(source, steps, bake, errors, limits, settings)
            done = rollout.update(acting, before, wanted, arn, say)
    if dry_run:
        return
    if as_json:
        print_json({"region": acting.region, **done})
    else:
        click.echo(f"{endpoint} answers with {done['model']} (variant {done['variant']})")
