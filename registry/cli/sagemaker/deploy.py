"""``sagemaker deploy MODEL``: an endpoint that answers with one or several models."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Sequence

import click

from ....core.runtime.durations import parse_duration
from ....core.runtime.errors import InputError
from ...aws import checks, endpoints, instances, sources
from ...aws.account import ROLE_VARIABLE, Account
from ...aws.endpoints import Deployment, Hosting, Scaling, Variant
from ...aws.names import named, slug
from ..flags import (
    Parsed,
    SectionedCommand,
    account_options,
    acting_options,
    bucket_option,
    whole,
)
from ..output import json_option, print_json, say
from .common import account, confirm
from .endpoints import image_option, iso, role_option, say_price

MIN_TTL, MAX_TTL = 60, 10 * 365 * 24 * 3600


def _parse_scaling(text: str) -> Scaling:
    least, most, *target = text.split(":")
    if len(target) > 1 or (target and not float(target[0]) > 0):
        raise ValueError
    return Scaling(int(least), int(most), float(target[0]) if target else None)


def _parse_serverless(text: str) -> Hosting:
    memory, _, concurrency = text.partition(":")
    hosting = Hosting(memory=int(memory))
    if hosting.memory < 1:
        raise ValueError
    return replace(hosting, concurrency=int(concurrency)) if concurrency else hosting


def _parse_address(text: str) -> str:
    if not text.startswith("s3://") or len(text) <= len("s3://") or text[5] == "/":
        raise ValueError
    return text


def _parse_ttl(text: str) -> float:
    seconds = parse_duration(text)
    if not MIN_TTL <= seconds <= MAX_TTL:
        raise ValueError
    return seconds


ADDRESS = Parsed("s3", _parse_address, "an address as s3://BUCKET/PREFIX")


@click.command(cls=SectionedCommand)
@click.argument("what", nargs=-1, required=True, metavar="MODEL[=WEIGHT]...")
@click.option("--name", help="The name of the endpoint. [default: made from the algorithm's name]")
@click.option("--instance", metavar="TYPE", help=f"The instance type. [default: {instances.CPU}]")
@click.option("--count", type=whole(1), help="The number of instances of each model. [default: 1]")
@click.option(
    "--autoscale", "scaling", metavar="MIN:MAX[:N]",
    type=Parsed("scaling", _parse_scaling, "MIN:MAX or MIN:MAX:N, as 1:4:500"),
    help="Keep between MIN and MAX instances of each model, so many that each instance has N "
    f"requests a minute [default: {endpoints.INVOCATIONS_A_MINUTE}]; with --async, so many that N "
    f"requests wait for each instance [default: {endpoints.BACKLOG}]. A MIN of 0 costs nothing "
    "while nobody asks; then the first requests fail, or wait with --async, for some minutes.",
)  # fmt: skip
@click.option(
    "--serverless", metavar="MB[:N]",
    type=Parsed("serverless", _parse_serverless, "MEMORY or MEMORY:REQUESTS, as 2048:5"),
    help="Run without instances, with MB of memory, and pay for each request; at most N are "
    "answered at the same time. [default of N: 5]",
)  # fmt: skip
@click.option(
    "--ttl", type=Parsed("ttl", _parse_ttl, "a time of a minute or more, as 30m or 2h"),
    metavar="TIME",
    help="Let `algoshelf sagemaker sweep` delete the endpoint after this time, such as 30m or 2h.",
)  # fmt: skip
@role_option
@image_option
@click.option(
    "--async", "outputs", type=ADDRESS, metavar="S3",
    help="Make the endpoint asynchronous: it takes the address of a request, and writes its answer "
    "below this S3 address.",
)  # fmt: skip
@click.option(
    "--capture", type=ADDRESS, metavar="S3",
    help="Keep a copy of requests and answers below this S3 address.",
)  # fmt: skip
@click.option(
    "--capture-percent", type=whole(1, 100), default=100, show_default=True,
    help="With --capture: the percentage of requests that are kept.",
)  # fmt: skip
@bucket_option
@account_options
@acting_options
@json_option
def deploy(
    what: tuple[str, ...],
    name: str | None,
    instance: str | None,
    count: int | None,
    scaling: Scaling | None,
    serverless: Hosting | None,
    outputs: str | None,
    capture: str | None,
    capture_percent: int,
    ttl: float | None,
    role: str | None,
    image: str,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Create an endpoint that answers requests with MODEL.

    MODEL is a folder that `algoshelf train` wrote, a model.tar.gz here or in S3, or the name of a
    training job. Several models share the requests according to their weights. If anything fails,
    or on Ctrl-C, everything that was created is removed.
    """
    hosting = _hosting(instance, count, scaling, serverless)
    weighted = [_weighted(text) for text in what]
    with account(region, profile, dry_run, bucket_owner) as acting:
        models = [sources.checked(acting, model, image) for model, _ in weighted]
        labels = [model.algorithm for model in models]
        given = role or next((model.role for model in models if model.role), None)
        if given is None:
            raise InputError(
                "no IAM role is given that SageMaker may use: give --role ROLE, or set "
                f"{ROLE_VARIABLE}; docs/sagemaker.md shows how to create one"
            )
        wanted = Deployment(
            name=named(labels[0]) if name is None else name,
            variants=[
                Variant(variant, model, weight)
                for variant, model, (_, weight) in zip(_distinct(labels), models, weighted)
            ],
            hosting=hosting,
            role=checks.role(acting, given, say),
            scaling=scaling,
            outputs=outputs or "",
            capture=capture or "",
            capture_percent=capture_percent,
        )
        wanted.check()
        endpoints.check_free(acting, wanted.name)
        if not hosting.memory:
            instances_at_first = hosting.count * len(weighted)
            checks.quota(acting, hosting.instance, instances.ENDPOINT, instances_at_first, tell=say)
        price = _announce(acting, wanted, ttl)
        if not dry_run:
            confirm(f"Deploy {wanted.name}?", yes)
        wanted = replace(
            wanted,
            variants=[
                replace(variant, source=sources.found(acting, model, image))
                for variant, (model, _) in zip(wanted.variants, weighted)
            ],
            expires=None if ttl is None else datetime.now(timezone.utc) + timedelta(seconds=ttl),
        )
        made = endpoints.deploy(acting, wanted, say)
    if dry_run:
        return
    if as_json:
        print_json({**made, "price_per_hour": price, "expires": iso(wanted.expires)})
        return
    click.echo(f"The endpoint {wanted.name} is ready in {made['region']}. Next:")
    click.echo(_next(wanted, acting.region))


def _hosting(
    instance: str | None, count: int | None, scaling: Scaling | None, serverless: Hosting | None
) -> Hosting:
    """On what it runs. Raises InputError for instances of what has none."""
    if serverless is None:
        least = max(1, scaling.least) if scaling else 1
        hosting = Hosting(instance or instances.CPU, count or least)
        if scaling and not least <= hosting.count <= scaling.most:
            raise InputError(
                f"--count {hosting.count}: lies outside --autoscale {scaling.least}:{scaling.most}"
            )
        return hosting
    faults = [
        f"{option}: a serverless endpoint has no instances"
        for option, given in (("--instance", instance), ("--count", count))
        if given
    ]
    if faults:
        raise InputError(*faults)
    return serverless


def _weighted(text: str) -> tuple[str, float]:
    """MODEL and WEIGHT of ``MODEL=WEIGHT``; a MODEL alone weighs 1."""
    model, equals, weight = text.rpartition("=")
    if not equals or not model or "/" in weight:  # as in s3://BUCKET/day=1/model.tar.gz
        return text, 1.0
    try:
        return model, float(weight)
    except ValueError:
        raise InputError(f"{text}: expected MODEL=WEIGHT with a number, got {weight!r}") from None


def _distinct(labels: Sequence[str]) -> list[str]:
    """Names for variants, numbered where several would be the same."""
    slugs = [slug(label, 60) for label in labels]
    return [
        f"{name}-{number}" if slugs.count(name) > 1 else name
        for number, name in enumerate(slugs, 1)
    ]


def _announce(acting: Account, wanted: Deployment, ttl: float | None) -> float | None:
    """Say what will be there and what it costs; USD an hour, None where it is unknown."""
    say(f"{wanted.name} in {acting.region}: {_shares(wanted)} on {wanted.hosting}")
    if wanted.hosting.memory:
        say("It costs nothing while it has no requests; each request is billed by its duration.")
        return 0.0
    fleets = 1 if wanted.idles else len(wanted.variants)
    usd = say_price(acting, wanted.hosting, wanted.hosting.count * fleets, "It costs")
    if wanted.scaling:
        say_price(acting, wanted.hosting, wanted.scaling.most * fleets, "At most, it costs")
        if not wanted.scaling.least:
            say(
                "While nobody asks it has no instances, and costs only its CloudWatch alarms. Then "
                "the first requests have to wait some minutes for an instance"
                + ("." if wanted.outputs else ", and fail until it is there.")
            )
    if ttl is None:
        say(
            f"It is billed until `algoshelf sagemaker delete {wanted.name}`; with --ttl 2h, "
            "`algoshelf sagemaker sweep` would delete it"
        )
    else:
        say(f"`algoshelf sagemaker sweep` deletes it after {timedelta(seconds=round(ttl))}.")
    return usd


def _shares(wanted: Deployment) -> str:
    """Which models answer what."""
    if wanted.idles:
        return f"{', '.join(variant.name for variant in wanted.variants)}, together"
    total = sum(variant.weight for variant in wanted.variants)
    shares = (f"{variant.name} {variant.weight / total:.0%}" for variant in wanted.variants)
    return f"{', '.join(shares)}; each"


def _next(wanted: Deployment, region: str) -> str:
    """What is done with it, in a line or two."""
    name = shlex.quote(wanted.name)
    ask = (
        f"aws sagemaker-runtime invoke-endpoint-async --endpoint-name {name} "
        "--input-location s3://… --content-type …"
        if wanted.outputs
        else f"aws sagemaker-runtime invoke-endpoint --endpoint-name {name} --body fileb://… "
        "--content-type … answer"
    )
    if wanted.idles:
        component = shlex.quote(wanted.component(wanted.variants[0]))
        ask += f" --inference-component-name {component}"
    return f"  {ask} --region {region}\n  algoshelf sagemaker delete {name} --region {region}"
