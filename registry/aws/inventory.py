"""List what is billed now and belongs to algoshelf, and end it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Collection, Iterator, Sequence

from ...core.runtime.errors import InputError
from . import instances, jobs, prices, removal, tags
from .account import Account, explained
from .names import STEM, slug
from .rollback import Report

ENDPOINT = "endpoint"
TRAINING_JOB, TUNING_JOB, TRANSFORM_JOB = "training job", "tuning job", "transform job"
CONFIGURATION, MODEL = "configuration", "model"
REMAINS = "remains of an endpoint"
# Whoever deploys makes a model and a configuration first: such young ones are no orphans.
ORPHAN_AGE = timedelta(hours=1)


@dataclass(frozen=True)
class Item:
    """One thing; ``price`` is USD an hour, None where it is unknown."""

    kind: str
    name: str
    status: str
    created: datetime
    runs_on: str
    price: float | None
    tags: dict[str, str]

    @property
    def is_ours(self) -> bool:
        return tags.VERSION in self.tags

    @property
    def expires(self) -> datetime | None:
        return tags.expiry(self.tags)

    @property
    def algorithm(self) -> str:
        return self.tags.get(tags.ALGORITHM, "")


def billing(account: Account, *, foreign: bool = False, names: Collection[str] = ()) -> list[Item]:
    """Endpoints, then jobs in progress; also what is not algoshelf's if ``foreign``.

    With ``names``, only what has one of them.
    """
    listings = [
        _endpoints(account, foreign, names),
        *(_jobs(account, kind, foreign, names) for kind in JOBS),
    ]
    return [item for listing in listings for item in listing]


def named(account: Account, names: Sequence[str], *, foreign: bool = False) -> list[Item]:
    """The endpoints and jobs in progress of these names, and what is left of such endpoints.

    Raises InputError for a name that nothing has, or only what is not algoshelf's.
    """
    items = billing(account, foreign=True, names=names)
    faults = []
    for name in dict.fromkeys(names):
        found = [item for item in items if item.name == name]
        if not found and any(_left_by(account, name)):
            items.append(
                Item(REMAINS, name, "", datetime.now(timezone.utc), "", 0.0, {tags.VERSION: ""})
            )
        elif not found:
            faults.append(
                f"{name}: there is no endpoint and no job in progress of this name in "
                f"{account.region}; `algoshelf sagemaker list --all` shows what there is"
            )
        elif not foreign and not all(item.is_ours for item in found):
            faults.append(f"{name}: algoshelf did not make it: give --foreign to end it anyhow")
    if faults:
        raise InputError(*faults)
    return items


def expired(items: Sequence[Item], now: datetime) -> list[Item]:
    """What of algoshelf's is past its time."""
    return [item for item in items if item.is_ours and item.expires and item.expires <= now]


def total(items: Sequence[Item]) -> tuple[float, int]:
    """USD an hour of what has a known price, and how many have none."""
    known = [item.price for item in items if item.price is not None]
    return sum(known), len(items) - len(known)


def end(account: Account, item: Item, report: Report) -> list[tuple[str, str]]:
    """End an endpoint with its scaling, configurations and models, or stop a job; what is gone.

    What other endpoints, configurations or transform jobs use is kept; and of an endpoint of
    algoshelf's, what is not algoshelf's.
    """
    if item.kind in JOBS:
        jobs.stop(account, item.name, JOBS[item.kind])
        return [(item.kind, item.name)]
    described = removal.endpoint(account, item.name) or {}
    parts = _parts(account, item.name, described)
    for variant in described.get("ProductionVariants", ()):
        removal.remove_scaling(account, item.name, variant["VariantName"])
    removal.remove_endpoint(account, item.name, report)
    gone = discard(account, parts, without=item.name, foreign=not item.is_ours)
    return [(ENDPOINT, item.name), *gone] if item.kind == ENDPOINT else gone


def discard(
    account: Account, parts: Sequence[tuple[str, str]], *, without: str, foreign: bool = False
) -> list[tuple[str, str]]:
    """Remove those configurations and models that nothing uses but the endpoint ``without``.

    What is not algoshelf's is kept unless ``foreign``.
    """
    busy = _used_by_endpoints(account, without)
    mine = [
        (kind, name, arn)
        for kind, name in parts
        if (arn := _arn(account, kind, name)) and (foreign or _is_ours(account, arn))
    ]
    leaving = {name for kind, name, _ in mine if kind == CONFIGURATION and name not in busy}
    needed = _models_in_use(account, leaving)
    gone = []
    for kind, name, _ in sorted(mine):
        if name in leaving if kind == CONFIGURATION else name not in needed:
            remove(account, kind, name)
            gone.append((kind, name))
    return gone


def orphans(account: Account, now: datetime) -> list[tuple[str, str]]:
    """Kind and name of algoshelf's configurations that no endpoint uses, and of its models that
    nothing else uses.

    What is younger than ORPHAN_AGE may be part of a deployment under way, and is no orphan.
    """
    busy = _used_by_endpoints(account)
    configurations = [
        name
        for name, arn, created in _stock(account, CONFIGURATION)
        if name not in busy and now - created >= ORPHAN_AGE and _is_ours(account, arn)
    ]
    needed = _models_in_use(account, set(configurations))
    models = [
        name
        for name, arn, created in _stock(account, MODEL)
        if name not in needed and now - created >= ORPHAN_AGE and _is_ours(account, arn)
    ]
    return [(CONFIGURATION, name) for name in configurations] + [(MODEL, name) for name in models]


def remove(account: Account, kind: str, name: str) -> None:
    """Delete a configuration or a model."""
    if kind == CONFIGURATION:
        removal.remove_configuration(account, name)
    else:
        removal.remove_model(account, name)


JOBS = {TRAINING_JOB: jobs.TRAINING, TUNING_JOB: jobs.TUNING, TRANSFORM_JOB: jobs.TRANSFORM}


def _endpoints(account: Account, foreign: bool, names: Collection[str]) -> Iterator[Item]:
    for summary in removal.listed(account, "list_endpoints", "Endpoints"):
        name = summary["EndpointName"]
        if names and name not in names:
            continue
        labels = tags.of(account, summary["EndpointArn"])
        if tags.VERSION not in labels and not foreign:
            continue
        described = removal.endpoint(account, name)
        if described is None:  # deleted a moment ago
            continue
        runs_on, price = _hosting(account, described)
        status = described["EndpointStatus"]
        yield Item(ENDPOINT, name, status, summary["CreationTime"], runs_on, price, labels)


def _hosting(account: Account, described: dict[str, Any]) -> tuple[str, float | None]:
    """On what an endpoint runs, and its USD an hour.

    While it is updated, the fleets of both configurations are there.
    """
    used = sorted(removal.configurations(described))
    found = [removal.configuration(account, name) for name in used]
    if not found or None in found:
        return "its configuration is gone", None
    running = {one["VariantName"]: one for one in described.get("ProductionVariants", ())}
    fleets = [
        _fleet(account, variant, running.get(variant["VariantName"], {}))
        for configuration in found
        for variant in _variants(configuration or {})
    ]
    known = [price for _, price in fleets if price is not None]
    return " + ".join(text for text, _ in fleets), sum(known) if len(known) == len(fleets) else None


def _fleet(
    account: Account, variant: dict[str, Any], running: dict[str, Any]
) -> tuple[str, float | None]:
    """On what a variant runs, and its USD an hour; what is asked of it is not counted."""
    serverless = variant.get("ServerlessConfig")
    if serverless:
        held = serverless.get("ProvisionedConcurrency")  # is paid for asked or not
        text = f"serverless, {serverless['MemorySizeInMB']} MB"
        return (f"{text}, {held} provisioned", None) if held else (text, 0.0)
    if "InstanceType" not in variant:
        return f"variant {variant['VariantName']}", None
    count = running.get("CurrentInstanceCount")
    count = variant.get("InitialInstanceCount", 1) if count is None else count
    return _instances(account, variant["InstanceType"], count, instances.ENDPOINT)


def _jobs(account: Account, kind: str, foreign: bool, wanted: Collection[str]) -> Iterator[Item]:
    api = JOBS[kind].api
    for status in jobs.RUNNING:
        summaries = removal.listed(
            account, JOBS[kind].operation("list", "s"), f"{api}Summaries", StatusEquals=status
        )
        for summary in summaries:
            name = summary[f"{api}Name"]
            if wanted and name not in wanted:
                continue
            labels = tags.of(account, summary[f"{api}Arn"])
            if tags.VERSION not in labels and not foreign:
                continue
            runs_on, price = _machines(account, kind, name)
            yield Item(kind, name, status, summary["CreationTime"], runs_on, price, labels)


def _machines(account: Account, kind: str, name: str) -> tuple[str, float | None]:
    """On what a job runs, and its USD an hour."""
    client = account.client("sagemaker")
    with explained():
        if kind == TRAINING_JOB:
            job = client.describe_training_job(TrainingJobName=name)
            resources = job.get("ResourceConfig", {})
        elif kind == TRANSFORM_JOB:
            resources = client.describe_transform_job(TransformJobName=name)["TransformResources"]
        else:
            return "its training jobs", 0.0
    if "InstanceType" not in resources:
        return "instances of several types, or none", None
    use = instances.TRAINING if kind == TRAINING_JOB else instances.TRANSFORM
    return _instances(account, resources["InstanceType"], resources["InstanceCount"], use)


def _instances(account: Account, name: str, count: int, use: str) -> tuple[str, float | None]:
    price = prices.find(name, use, account.region)
    return f"{count} × {name}", price.usd * count if price else None


def _parts(account: Account, endpoint: str, described: dict[str, Any]) -> list[tuple[str, str]]:
    """The configurations and models that an endpoint has, or had, by kind and name."""
    found = {(CONFIGURATION, name) for name in removal.configurations(described)}
    for _, name in tuple(found):
        configuration = removal.configuration(account, name) or {}
        found |= {(MODEL, model) for model in _models(configuration)}
    return sorted(found.union(_left_by(account, endpoint)))


def _left_by(account: Account, endpoint: str) -> Iterator[tuple[str, str]]:
    """The configurations and models that were made for an endpoint, by kind and name."""
    for kind in (CONFIGURATION, MODEL):
        for name, arn, _ in _stock(account, kind, NameContains=slug(endpoint, STEM)):
            if tags.of(account, arn).get(tags.ENDPOINT) == endpoint:
                yield kind, name


def _arn(account: Account, kind: str, name: str) -> str:
    """Empty where there is none of that name."""
    find = removal.configuration_arn if kind == CONFIGURATION else removal.model_arn
    return find(account, name)


def _used_by_endpoints(account: Account, without: str = "") -> set[str]:
    """The configurations of all endpoints but one."""
    used: set[str] = set()
    for summary in removal.listed(account, "list_endpoints", "Endpoints"):
        if summary["EndpointName"] != without:
            used |= removal.configurations(removal.endpoint(account, summary["EndpointName"]) or {})
    return used


def _models_in_use(account: Account, leaving: set[str]) -> set[str]:
    """The models of all configurations but those ``leaving``, and of transform jobs in progress."""
    used: set[str] = set()
    for name, _, _ in _stock(account, CONFIGURATION):
        if name not in leaving:
            used |= _models(removal.configuration(account, name) or {})
    for status in jobs.RUNNING:
        for job in removal.listed(
            account, "list_transform_jobs", "TransformJobSummaries", StatusEquals=status
        ):
            with explained():
                described = account.client("sagemaker").describe_transform_job(
                    TransformJobName=job["TransformJobName"]
                )
            used.add(described["ModelName"])
    return used


def _models(configuration: dict[str, Any]) -> set[str]:
    return {one["ModelName"] for one in _variants(configuration) if "ModelName" in one}


def _variants(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        *configuration.get("ProductionVariants", ()),
        *configuration.get("ShadowProductionVariants", ()),
    ]


def _stock(account: Account, kind: str, **filters: str) -> Iterator[tuple[str, str, datetime]]:
    """Name, ARN and time of creation of every configuration, or of every model."""
    if kind == CONFIGURATION:
        operation, key, title = "list_endpoint_configs", "EndpointConfigs", "EndpointConfig"
    else:
        operation, key, title = "list_models", "Models", "Model"
    for found in removal.listed(account, operation, key, **filters):
        yield found[f"{title}Name"], found[f"{title}Arn"], found["CreationTime"]


def _is_ours(account: Account, arn: str) -> bool:
    return tags.VERSION in tags.of(account, arn)
