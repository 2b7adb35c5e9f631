"""``sagemaker deploy MODEL``: an endpoint that answers with one or several models."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Sequence

import click

from ....core.runtime.durations import parse_duration
from ....core.runtime.errors import InputError
from ...aws import checks, endpoints, instances, packages, prices, sources
from ...aws.account import Account
from ...aws.endpoints import Deployment, Hosting, Scaling, Variant
from ...aws.names import named, slug
from ...aws.settings import Settings, with_wheels
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
from .company import company_options
from .endpoints import image_option, iso, say_price

HOURS_A_MONTH = 730
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
@click.argument("what", nargs=-1, metavar="[MODEL[=WEIGHT]]...")
@click.option(
    "--package", metavar="ARN|GROUP[:VERSION]",
    help="Deploy this registered model in place of MODEL: the latest approved version of GROUP, or "
    "that VERSION, which has to be approved.",
)  # fmt: skip
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
    "--multi-model", "multi", is_flag=True,
    help="Answer with all MODELs in one container, which loads each when it is asked for. A "
    "request names its model, the algorithm's name or the NAME of MODEL=NAME; `algoshelf sagemaker "
    "models` adds and removes models.",
)  # fmt: skip
@click.option(
    "--ttl", type=Parsed("ttl", _parse_ttl, "a time of a minute or more, as 30m or 2h"),
    metavar="TIME",
    help="Let `algoshelf sagemaker sweep` delete the endpoint after this time, such as 30m or 2h.",
)  # fmt: skip
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
@company_options("deploy")
@bucket_option
@account_options
@acting_options
@json_option
def deploy(
    what: tuple[str, ...],
    package: str | None,
    name: str | None,
    instance: str | None,
    count: int | None,
    scaling: Scaling | None,
    serverless: Hosting | None,
    multi: bool,
    outputs: str | None,
    capture: str | None,
    capture_percent: int,
    ttl: float | None,
    settings: Settings,
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
    if bool(what) == bool(package):
        raise InputError("expected either a MODEL, or --package with a registered one")
    if package and image:
        raise InputError("--image: a package has its image: leave it out")
    if package and multi:
        raise InputError("--multi-model: AWS loads archives, and no packages: give MODELs")
    hosting = _hosting(instance, count, scaling, serverless)
    called = [named_model(text) if multi else (text, "") for text in what]
    weighted = [(text, 1.0) if multi else _weighted(text) for text, _ in called]
    with account(region, profile, dry_run, bucket_owner, settings) as acting:
        models = [sources.checked(acting, model, image) for model, _ in weighted]
        if package:
            models = [_registered(acting, package, hosting, settings)]
            weighted, called = [(package, 1.0)], [(package, "")]
        labels = [model.algorithm for model in models]
        given = settings.role or next((model.role for model in models if model.role), None)
        wanted = Deployment(
            name=named(labels[0]) if name is None else name,
            variants=[
                Variant(variant, model, weight)
                for variant, model, (_, weight) in zip(
                    _distinct([own or label for (_, own), label in zip(called, labels)]),
                    models,
                    weighted,
                )
            ],
            hosting=hosting,
            role=checks.execution_role(acting, given),
            scaling=scaling,
            outputs=outputs or "",
            capture=capture or "",
            capture_percent=capture_percent,
            multi=multi,
            settings=settings,
        )
        wanted.check()
        endpoints.check_free(acting, wanted.name)
        if not hosting.memory:
            fleets = 1 if multi or wanted.idles else len(weighted)
            instances_at_first = hosting.count * fleets
            checks.quota(acting, hosting.instance, instances.ENDPOINT, instances_at_first, tell=say)
        price = _announce(acting, wanted, ttl)
        if not dry_run:
            confirm(f"Deploy {wanted.name}?", yes)
        offline = not (image or package) and with_wheels(settings, acting, say)
        wanted = replace(
            wanted,
            variants=[
                variant
                if variant.source.package
                else replace(variant, source=sources.found(acting, model, image, offline=offline))
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


def named_model(text: str) -> tuple[str, str]:
    """MODEL and NAME of ``MODEL=NAME``; "" for a MODEL alone."""
    model, equals, name = text.rpartition("=")
    return (model, name) if equals and model and "/" not in name else (text, "")


def _registered(
    acting: Account, reference: str, hosting: Hosting, settings: Settings
) -> sources.Source:
    """The package, which may be deployed on ``hosting``. Raises InputError."""
    package = packages.found(acting, reference)
    package.check("" if hosting.memory else hosting.instance, settings)
    say(f"{package.name} of {package.algorithm}: conformance {package.conformance}.")
    return sources.Source(package.algorithm, "", package.own_image, package=package.arn)


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
        say(
            "It costs nothing while it has no requests; each is billed by its duration, of which "
            f"{wanted.hosting.concurrency} at once are the most. What a second costs is not in the "
            f"table: {prices.PAGE}"
        )
        return 0.0
    fleets = 1 if wanted.idles or wanted.multi else len(wanted.variants)
    usd = most = say_price(acting, wanted.hosting, wanted.hosting.count * fleets, "It costs")
    if wanted.scaling:
        most = say_price(acting, wanted.hosting, wanted.scaling.most * fleets, "At most, it costs")
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
    if most is not None:
        hours, until = (HOURS_A_MONTH, "a month") if ttl is None else (ttl / 3600, "until then")
        say(f"That is at most {most * hours:,.2f} USD {until}, for instances.")
    return usd


def _shares(wanted: Deployment) -> str:
    """Which models answer what."""
    if wanted.idles or wanted.multi:
        return f"{', '.join(variant.name for variant in wanted.variants)}, together"
    total = sum(variant.weight for variant in wanted.variants)
    shares = (f"{variant.name} {variant.weight / total:.0%}" for variant in wanted.variants)
    return f"{', '.join(shares)}; each"


def _next(wanted: Deployment, region: str) -> str:
    """What is done with it, in a line or two."""
    name = shlex.quote(wanted.name)
    ask = f"algoshelf sagemaker invoke {name} FILE" + " --async" * bool(wanted.outputs)
    if wanted.idles and len(wanted.variants) > 1:
        ask += f" --variant {shlex.quote(wanted.component(wanted.variants[0]))}"
    if wanted.multi:
        ask += f" --target-model {shlex.quote(wanted.variants[0].name)}.tar.gz"
    return f"  {ask} --region {region}\n  algoshelf sagemaker delete {name} --region {region}"
