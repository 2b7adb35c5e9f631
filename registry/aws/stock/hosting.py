"""Endpoints, and what they are made of: components, configurations, models and alarms."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Collection, Iterable, Iterator

from .. import components, instances, logs, multi, prices, removal, scaling, tags
from ..account import Account, explained
from ..names import STEM, slug
from ..rollback import Report
from . import Item, Kind, Part, Wanted

ENDPOINT, COMPONENT = "endpoint", "component"
CONFIGURATION, MODEL = "configuration", "model"
ALARM, LOG_GROUP = "alarm", "log group"


def models(configuration: dict[str, Any]) -> set[str]:
    """The models that a configuration names."""
    return {one["ModelName"] for one in variants(configuration) if "ModelName" in one}


def variants(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that answer, and those that shadow them."""
    return [
        *configuration.get("ProductionVariants", ()),
        *configuration.get("ShadowProductionVariants", ()),
    ]


def machines(account: Account, name: str, count: int, use: str) -> tuple[str, float | None]:
    """``count`` instances in words, and their USD an hour."""
    price = prices.find(name, use, account.region)
    return f"{count} × {name}", price.usd * count if price else None


def _endpoints(account: Account, wanted: Wanted) -> Iterator[Item]:
    for name, arn, created in _stock(account, ENDPOINT):
        labels = wanted.labels(name, created, partial(tags.of, account, arn))
        described = None if labels is None else removal.endpoint(account, name)
        if labels is None or described is None:  # or deleted a moment ago
            continue
        runs_on, price = _fleets(account, described)
        status = described["EndpointStatus"]
        yield Item(ENDPOINT, name, status, created, runs_on, price, labels)


def _fleets(account: Account, described: dict[str, Any]) -> tuple[str, float | None]:
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
        for variant in variants(configuration or {})
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
    return machines(account, variant["InstanceType"], count, instances.ENDPOINT)


def _end_endpoint(account: Account, item: Item, report: Report) -> None:
    described = removal.endpoint(account, item.name) or {}
    components.end_of(account, item.name, report)
    for variant in described.get("ProductionVariants", ()):
        target = scaling.of_variant(item.name, variant["VariantName"])
        scaling.given_up(account, target, report)
    removal.remove_endpoint(account, item.name, report)
    if multi.is_own(place := item.tags.get(tags.MODELS, ""), item.name):
        multi.clear(account, place)


def _parts_of_endpoint(account: Account, name: str) -> list[Part]:
    """The configurations and models that an endpoint has, or had, by kind and name."""
    described = removal.endpoint(account, name) or {}
    found = {(CONFIGURATION, each) for each in removal.configurations(described)}
    for _, each in tuple(found):
        found |= {(MODEL, model) for model in models(removal.configuration(account, each) or {})}
    for component in components.listed(account, EndpointNameEquals=name):
        found |= {(MODEL, model) for model in _models_of(account, component)}
    for kind in (CONFIGURATION, MODEL):  # which an endpoint that is gone has left
        for each, arn, _ in _stock(account, kind, NameContains=slug(name, STEM)):
            if tags.of(account, arn).get(tags.ENDPOINT) == name:
                found.add((kind, each))
    return sorted(found)


def _configurations_of_endpoints(account: Account, without: Collection[Part]) -> Iterator[str]:
    for name, _, _ in _stock(account, ENDPOINT):
        if (ENDPOINT, name) not in without:
            yield from removal.configurations(removal.endpoint(account, name) or {})


def _components(account: Account, wanted: Wanted) -> Iterator[Item]:
    """They bill by the instances of their endpoint, and not once more."""
    for each in components.listed(account):
        name, created = each["InferenceComponentName"], each["CreationTime"]
        labels = wanted.labels(
            name, created, partial(tags.of, account, each["InferenceComponentArn"])
        )
        if labels is not None:
            runs_on = f"the instances of {each['EndpointName']}"
            status = each["InferenceComponentStatus"]
            yield Item(COMPONENT, name, status, created, runs_on, 0.0, labels)


def _models_of(account: Account, component: dict[str, Any]) -> Iterator[str]:
    described = components.described(account, component["InferenceComponentName"]) or {}
    if "ModelName" in described.get("Specification", {}):
        yield described["Specification"]["ModelName"]


def _models_of_components(account: Account, without: Collection[Part]) -> Iterator[str]:
    for each in components.listed(account):
        its = {(COMPONENT, each["InferenceComponentName"]), (ENDPOINT, each["EndpointName"])}
        if not its & set(without):
            yield from _models_of(account, each)


def _alarms(account: Account, wanted: Wanted) -> Iterator[Item]:
    client = account.client("cloudwatch")
    with explained():
        pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=scaling.ALARM)
        found = [each for page in pages for each in page["MetricAlarms"]]
    for each in found:
        name = each["AlarmName"]
        created = each["AlarmConfigurationUpdatedTimestamp"]
        labels = wanted.labels(name, created, partial(_labels_of_alarm, account, each["AlarmArn"]))
        if labels is not None:
            yield Item(ALARM, name, each["StateValue"], created, "", 0.0, labels)


def _labels_of_alarm(account: Account, arn: str) -> dict[str, str]:
    with explained():
        found = account.client("cloudwatch").list_tags_for_resource(ResourceARN=arn)
    return tags.read(found["Tags"])


def _alarms_of_endpoints(account: Account, without: Collection[Part]) -> Iterator[str]:
    for name, _, _ in _stock(account, ENDPOINT):
        if (ENDPOINT, name) not in without:
            for variant in (removal.endpoint(account, name) or {}).get("ProductionVariants", ()):
                yield scaling.alarm(scaling.of_variant(name, variant["VariantName"]))


def _logs_of_endpoints(account: Account, without: Collection[Part]) -> Iterator[str]:
    for name, _, _ in _stock(account, ENDPOINT):
        if (ENDPOINT, name) not in without:
            yield logs.of_endpoint(name)


def _logs_of_components(account: Account, without: Collection[Part]) -> Iterator[str]:
    for each in components.listed(account):
        yield logs.of_component(each["InferenceComponentName"])


def _alarms_of_components(account: Account, without: Collection[Part]) -> Iterator[str]:
    for each in components.listed(account):
        yield scaling.alarm(scaling.of_component(each["InferenceComponentName"]))


def _models_of_configurations(account: Account, without: Collection[Part]) -> Iterator[str]:
    for name, _, _ in _stock(account, CONFIGURATION):
        if (CONFIGURATION, name) not in without:
            yield from models(removal.configuration(account, name) or {})


def _configurations(account: Account, wanted: Wanted) -> Iterable[Item]:
    return _idle(account, CONFIGURATION, wanted)


def _models(account: Account, wanted: Wanted) -> Iterable[Item]:
    return _idle(account, MODEL, wanted)


def _idle(account: Account, kind: str, wanted: Wanted) -> Iterator[Item]:
    for name, arn, created in _stock(account, kind):
        labels = wanted.labels(name, created, partial(tags.of, account, arn))
        if labels is not None:
            yield Item(kind, name, "", created, "", 0.0, labels)


def _stock(account: Account, kind: str, **filters: str) -> Iterator[tuple[str, str, datetime]]:
    """Name, ARN and time of creation of every endpoint, configuration or model."""
    operation, key, title = {
        ENDPOINT: ("list_endpoints", "Endpoints", "Endpoint"),
        CONFIGURATION: ("list_endpoint_configs", "EndpointConfigs", "EndpointConfig"),
        MODEL: ("list_models", "Models", "Model"),
    }[kind]
    for found in removal.listed(account, operation, key, **filters):
        yield found[f"{title}Name"], found[f"{title}Arn"], found["CreationTime"]


ENDPOINTS = Kind(
    ENDPOINT,
    _endpoints,
    _end_endpoint,
    uses={
        CONFIGURATION: _configurations_of_endpoints,
        ALARM: _alarms_of_endpoints,
        LOG_GROUP: _logs_of_endpoints,
    },
    parts=_parts_of_endpoint,
)
COMPONENTS = Kind(
    COMPONENT,
    _components,
    lambda account, item, report: components.end(account, item.name, report),
    parts=lambda account, name: [
        (MODEL, model) for model in _models_of(account, {"InferenceComponentName": name})
    ],
    uses={
        MODEL: _models_of_components,
        ALARM: _alarms_of_components,
        LOG_GROUP: _logs_of_components,
    },
)
CONFIGURATIONS = Kind(
    CONFIGURATION,
    _configurations,
    lambda account, item, report: removal.remove_configuration(account, item.name),
    bills=False,
    uses={MODEL: _models_of_configurations},
    sweeps=True,
)
MODELS = Kind(
    MODEL,
    _models,
    lambda account, item, report: removal.remove_model(account, item.name),
    bills=False,
    sweeps=True,
)
ALARMS = Kind(
    ALARM,
    _alarms,
    lambda account, item, report: scaling.remove_alarm(account, item.name),
    bills=False,
    sweeps=True,
)
