"""``sagemaker deploy``, ``update``, ``list``, ``delete`` and ``sweep``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Sequence

import click

from ....core.runtime.errors import AlgoshelfError, InputError
from ....core.training import parse_duration
from ...aws import checks, endpoints, instances, inventory, prices, sources
from ...aws import rollout as shifting
from ...aws.account import ROLE_VARIABLE, Account, AwsError
from ...aws.endpoints import Deployment, Hosting, Scaling, Variant
from ...aws.inventory import Item
from ...aws.names import named, slug
from ...aws.rollout import FULL, Metric, Update
from ..flags import DURATION, Parsed, account_options, acting_options, bucket_option, whole
from ..output import console, json_option, print_json, print_table
from .common import account, confirm

LEAST_TTL, MOST_TTL = 60, 10 * 365 * 24 * 3600
HOURS_A_DAY = 24


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
    return Metric(namespace or shifting.NAMESPACE, name, float(worse.removesuffix("%")))


def _parse_ttl(text: str) -> float:
    seconds = parse_duration(text)
    if not LEAST_TTL <= seconds <= MOST_TTL:
        raise ValueError
    return seconds


ADDRESS = Parsed("s3", _parse_address, "an address as s3://BUCKET/PREFIX")
role_option = click.option(
    "--role",
    envvar=ROLE_VARIABLE,
    help=f"The role that SageMaker takes on: its ARN or name [default: ${ROLE_VARIABLE}, or the "
    "training job's]",
)
image_option = click.option(
    "--image", default="", metavar="URI", help="The image that answers [default: AWS's, of MXNet]"
)
foreign_option = click.option("--foreign", is_flag=True, help="Also what algoshelf did not make.")


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="MODEL[=WEIGHT]...")
@click.option("--name", help="The endpoint's [default: made from the algorithm's]")
@click.option("--instance", metavar="TYPE", help=f"[default: {endpoints.CPU}]")
@click.option("--count", type=whole(1), help="Instances for each model [default: 1]")
@click.option(
    "--autoscale", "scaling", metavar="MIN:MAX[:N]",
    type=Parsed("scaling", _parse_scaling, "MIN:MAX or MIN:MAX:N, as 1:4:500"),
    help="As many instances as keep each at N requests a minute "
    f"[default: {endpoints.INVOCATIONS_A_MINUTE}]; with --async at N requests waiting "
    f"[default: {endpoints.BACKLOG}]",
)  # fmt: skip
@click.option(
    "--serverless", metavar="MB[:N]",
    type=Parsed("serverless", _parse_serverless, "MEMORY or MEMORY:REQUESTS, as 2048:5"),
    help="No instances: paid by the request, of at most N at once [default: 5]",
)  # fmt: skip
@click.option(
    "--async", "outputs", type=ADDRESS, metavar="S3",
    help="Take requests by address, and leave the answers under S3.",
)  # fmt: skip
@click.option("--capture", type=ADDRESS, metavar="S3", help="Keep requests and answers under S3.")
@click.option(
    "--capture-percent", type=whole(1, 100), default=100, show_default=True,
    help="So many of all requests",
)  # fmt: skip
@click.option(
    "--ttl", type=Parsed("ttl", _parse_ttl, "a time of a minute or more, as 30m or 2h"),
    metavar="TIME", help="Have `sweep` end it after that.",
)  # fmt: skip
@role_option
@image_option
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
    """Have an endpoint answer with MODEL, or with several, each its share of the requests.

    MODEL is a folder that `algoshelf train` wrote, a model.tar.gz here or as s3://…, or the name of
    a training job. Where anything fails, or on Ctrl-C, all that was created is removed.
    """
    hosting = _hosting(instance, count, scaling, serverless)
    weighted = [_weighted(text) for text in what]
    with account(region, profile, dry_run, bucket_owner) as acting:
        models = [sources.checked(acting, model) for model, _ in weighted]
        labels = [model.algorithm for model in models]
        given = role or next((model.role for model in models if model.role), None)
        if given is None:
            raise InputError(f"no role for SageMaker to take on: give --role or {ROLE_VARIABLE}")
        wanted = Deployment(
            name=named(labels[0]) if name is None else name,
            variants=[
                Variant(variant, model, weight)
                for variant, model, (_, weight) in zip(_distinct(labels), models, weighted)
            ],
            hosting=hosting,
            role=checks.role(acting, given, _say),
            scaling=scaling,
            outputs=outputs or "",
            capture=capture or "",
            capture_percent=capture_percent,
        )
        wanted.check()
        endpoints.check_free(acting, wanted.name)
        if not hosting.memory:
            instances_at_first = hosting.count * len(weighted)
            checks.quota(
                acting, hosting.instance, instances.ENDPOINT, instances_at_first, tell=_say
            )
        price = _announce(acting, wanted, ttl)
        if not dry_run:
            confirm(f"Deploy {wanted.name}?", yes)
        wanted = replace(
            wanted,
            variants=[
                replace(variant, source=sources.found(acting, model, image))
                for variant, (model, _) in zip(wanted.variants, weighted)
            ],
            expires=None if ttl is None else _now() + timedelta(seconds=ttl),
        )
        made = endpoints.deploy(acting, wanted, _say)
    if dry_run:
        return
    if as_json:
        print_json({**made, "price_per_hour": price, "expires": _iso(wanted.expires)})
        return
    click.echo(f"{wanted.name} answers in {made['region']}. Next:")
    click.echo(_next(wanted, acting.region))


@click.command()
@click.argument("endpoint")
@click.argument("model", required=False)
@click.option(
    "--steps", type=Parsed("steps", _parse_steps, "percentages such as 10,50,100"),
    help="Percent of the requests that the new model has after each step [default: 10,50,100]",
)  # fmt: skip
@click.option(
    "--bake", type=DURATION, default="5m", show_default=True,
    help="How long each step lasts; CloudWatch is two minutes behind",
)  # fmt: skip
@click.option(
    "--rollback-on-errors", "errors", metavar="P%", default="1%", show_default=True,
    type=Parsed("percent", _parse_percent, "a percentage from 0 to 100"),
    help="Go back where more of the new model's answers are server errors",
)  # fmt: skip
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME:P%",
    type=Parsed("metric", _parse_metric, "NAME:PERCENT, as ModelLatency:20"),
    help="Go back where the new model's average is more than P % above the old one's, or below it "
    "if P is negative; NAME is of AWS/SageMaker, or given as NAMESPACE/NAME; may be repeated",
)  # fmt: skip
@click.option("--only", metavar="VARIANT", help="Instead of MODEL: drop all variants but this one.")
@role_option
@image_option
@foreign_option
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
    metrics: tuple[Metric, ...],
    only: str | None,
    role: str | None,
    image: str,
    foreign: bool,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Move ENDPOINT to MODEL, a part of the requests at a time, and back where it does worse.

    Serverless and asynchronous endpoints answer with one model, and so move at once (--steps 100);
    they go back just the same. On Ctrl-C the endpoint goes back too.
    """
    if (model is None) == (only is None):
        raise InputError("expected a MODEL to move to, or --only VARIANT")
    with account(region, profile, dry_run, bucket_owner) as acting:
        if only is not None:
            if not dry_run:
                confirm(f"Have {only} alone answer at {endpoint}?", yes)
            done = shifting.only(acting, endpoint, only, _say, foreign=foreign)
        else:
            assert model is not None
            before = shifting.standing(acting, endpoint, foreign=foreign)
            if steps is None:
                steps = shifting.AT_ONCE if before.obstacle else shifting.STEPS
                if before.obstacle:
                    _say(f"{endpoint} is {before.obstacle}: it moves at once")
            before.check_steps(steps)
            label = sources.checked(acting, model).algorithm
            arn = checks.role(acting, role, _say) if role else before.model.get("ExecutionRoleArn")
            if not arn:
                raise InputError(f"{endpoint}: its model is gone: give --role")
            _say(
                f"{endpoint} in {acting.region} moves to {label}: "
                + ", ".join(f"{step} %" for step in steps)
                + f" of the requests, {bake / 60:g} min each"
            )
            _say_cost_of_update(acting, before.hosting)
            if not dry_run:
                confirm(f"Update {endpoint}?", yes)
            source = sources.found(acting, model, image)
            was = before.algorithm
            if was and was != source.algorithm:
                _say(f"note: {was} answers now, and takes other requests than {source.algorithm}")
            wanted = Update(source, steps, bake, errors, metrics)
            done = shifting.update(acting, before, wanted, arn, _say)
    if dry_run:
        return
    if as_json:
        print_json({"region": acting.region, **done})
    else:
        click.echo(f"{endpoint} answers with {done['model']} (variant {done['variant']})")


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what algoshelf did not make.")
@account_options
@json_option
def list_(everything: bool, region: str | None, profile: str | None, as_json: bool) -> None:
    """Show what is billed now: endpoints and jobs in progress, with age and price.

    Of one region; volumes, storage and traffic come on top.
    """
    with account(region, profile, False) as acting:
        items = inventory.billing(acting, foreign=everything)
    usd, unknown = inventory.total(items)
    if as_json:
        print_json(
            {
                "region": acting.region,
                "items": [_document(item) for item in items],
                "price_per_hour": None if unknown else usd,
                "known_price_per_hour": usd,
                "unknown_prices": unknown,
            }
        )
        return
    if not items:
        whose = "" if everything else " of algoshelf's"
        click.echo(f"nothing{whose} is billed in {acting.region} now")
        return
    headings = ["NAME", "KIND", "STATUS", "AGE", "RUNS ON", "USD/HOUR", "EXPIRES", "ALGORITHM"]
    print_table(console(), headings, [_row(item) for item in items])
    known = f"{usd:,.3f} USD an hour in {acting.region}"
    click.echo(f"\nmore than {known}: {unknown} of unknown price" if unknown else f"\n{known}")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All that is billed now.")
@foreign_option
@account_options
@acting_options
@json_option
def delete(
    names: tuple[str, ...],
    everything: bool,
    foreign: bool,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete endpoints with their configurations, models and scaling; stop jobs.

    What lies in S3, and the logs, stay.
    """
    if bool(names) == everything:
        raise InputError("expected the NAMEs of endpoints or jobs, or --all")
    with account(region, profile, dry_run) as acting:
        if everything:
            items = inventory.billing(acting, foreign=foreign)
        else:
            items = inventory.named(acting, names, foreign=foreign)
        for item in items:
            _say(f"{item.kind} {item.name}: {item.runs_on or item.status}")
        if not items:
            _say(f"nothing to delete in {acting.region}")
        elif not dry_run:
            confirm(f"Delete {len(items)} in {acting.region}?", yes)
        gone = _ended(acting, items)
    if not dry_run:
        _show_gone(acting.region, gone, as_json)


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the requests that would be sent; send none.")
@account_options
@json_option
def sweep(dry_run: bool, region: str | None, profile: str | None, as_json: bool) -> None:
    """End what is past its --ttl, and remove configurations and models that nothing uses.

    Only what algoshelf made. Nothing is asked: it is meant to be run by cron.
    """
    with account(region, profile, dry_run) as acting:
        now = _now()
        gone = _ended(acting, inventory.expired(inventory.billing(acting), now))
        for kind, name in inventory.orphans(acting, now):
            inventory.remove(acting, kind, name)
            gone.append((kind, name))
    if not dry_run:
        _show_gone(acting.region, gone, as_json)


def _hosting(
    instance: str | None, count: int | None, scaling: Scaling | None, serverless: Hosting | None
) -> Hosting:
    """On what it runs. Raises InputError for instances of what has none."""
    if serverless is None:
        least = max(1, scaling.least) if scaling else 1
        hosting = Hosting(instance or endpoints.CPU, count or least)
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
    total = sum(variant.weight for variant in wanted.variants)
    shares = ", ".join(
        f"{variant.name} {variant.weight / total:.0%}" for variant in wanted.variants
    )
    _say(f"{wanted.name} in {acting.region}: {shares}; each on {wanted.hosting}")
    if wanted.hosting.memory:
        _say("price: by the request and its seconds; nothing while nobody asks")
        return 0.0
    count = wanted.hosting.count * len(wanted.variants)
    usd = _say_price(acting, wanted.hosting, count, "price")
    if wanted.scaling:
        _say_price(
            acting, wanted.hosting, wanted.scaling.most * len(wanted.variants), "at the most"
        )
    if ttl is None:
        _say(f"until `algoshelf sagemaker delete {wanted.name}`; --ttl 2h has `sweep` end it")
    else:
        _say(f"until `algoshelf sagemaker sweep` runs after {timedelta(seconds=round(ttl))}")
    return usd


def _say_price(acting: Account, hosting: Hosting, count: int, what: str) -> float | None:
    found = prices.find(hosting.instance, instances.ENDPOINT, acting.region)
    if found is None:
        _say(
            f"{what}: unknown for {count} × {hosting.instance} in {acting.region}; "
            "`algoshelf sagemaker cost --refresh` asks AWS"
        )
        return None
    usd = found.usd * count
    _say(
        f"{what}: {usd:,.3f} USD an hour, {usd * HOURS_A_DAY:,.2f} a day "
        f"({count} × {hosting.instance}; {found.source}, {found.date or 'undated'})"
    )
    return usd


def _say_cost_of_update(acting: Account, hosting: Hosting) -> None:
    if not hosting.memory:
        _say_price(acting, hosting, 2 * hosting.count, "price while both models run")


def _ended(acting: Account, items: Sequence[Item]) -> list[tuple[str, str]]:
    """End each of ``items``; what is gone. Raises AwsError for what failed, after all the rest."""
    gone: list[tuple[str, str]] = []
    faults = []
    for item in items:
        try:
            gone += inventory.end(acting, item, _say)
        except AlgoshelfError as error:
            faults.append(f"{item.kind} {item.name}: {error}")
    if faults:
        done = ", ".join(name for _, name in gone) or "nothing"
        raise AwsError("\n".join([*faults, f"ended all the same: {done}"]))
    return gone


def _show_gone(region: str, gone: Sequence[tuple[str, str]], as_json: bool) -> None:
    if as_json:
        ended = [{"kind": kind, "name": name} for kind, name in gone]
        print_json({"region": region, "ended": ended})
        return
    for kind, name in gone:
        click.echo(f"ended: {kind} {name}")
    if not gone:
        click.echo(f"nothing was to be ended in {region}")


def _document(item: Item) -> dict[str, Any]:
    return {
        "name": item.name,
        "kind": item.kind,
        "status": item.status,
        "created": _iso(item.created),
        "runs_on": item.runs_on,
        "price_per_hour": item.price,
        "expires": _iso(item.expires),
        "algorithm": item.algorithm or None,
        "ours": item.is_ours,
    }


def _row(item: Item) -> list[str]:
    expires = "never"
    if item.expires:
        left = item.expires - _now()
        expires = f"in {_span(left)}" if left > timedelta() else f"{_span(-left)} ago: sweep"
    return [
        item.name,
        item.kind,
        item.status,
        _span(_now() - item.created),
        item.runs_on,
        "unknown" if item.price is None else f"{item.price:,.3f}",
        expires,
        item.algorithm if item.is_ours else "(not algoshelf's)",
    ]


def _span(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


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
    return f"  {ask} --region {region}\n  algoshelf sagemaker delete {name} --region {region}"


def _say(text: str) -> None:
    click.echo(text, err=True)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(timezone.utc).isoformat(timespec="seconds")
