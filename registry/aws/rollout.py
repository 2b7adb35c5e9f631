"""Rollout: move an endpoint to a new model in steps, and back if the new model does worse.

The old and the new model are two variants side by side, whose weights are moved; CloudWatch says
how each of them did in the same minutes (docs/decisions/0013-endpoints.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Collection, Sequence

from ...core.runtime.errors import InputError
from . import inventory, removal, tags
from .account import Account, AwsError, explained
from .endpoints import Hosting, create_configuration, create_model, in_service, tags_of
from .names import slug
from .rollback import Report, Undo
from .sources import Source

NAMESPACE = "AWS/SageMaker"
ERRORS = "Invocation5XXErrors"  # a sample a request: 1 for an error of the model, else 0
CHECK_SECONDS = 60.0  # CloudWatch has a sample a minute
FULL = 100
STEPS = (10, 50, FULL)
AT_ONCE = (FULL,)
TRACKING = "TargetTrackingScaling"
ANEW = {"ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]}
RETAINED = {"RetainAllVariantProperties": True}  # as many instances as there are now


class RolledBack(AwsError):  # noqa: N818 - the update failed, the endpoint did not
    """The new model did worse, and the endpoint is as it was."""

    code = "rolled_back"


@dataclass(frozen=True)
class Metric:
    """A metric of CloudWatch with the dimensions EndpointName and VariantName.

    ``worse`` is by how many percent the new model's average may exceed the old one's; where it is
    negative, by how many it may fall below.
    """

    namespace: str
    name: str
    worse: float

    def fault(self, old: float, new: float) -> str:
        """Why ``new`` is not good enough, "" where it is."""
        limit = old * (1 + self.worse / 100)
        if (new > limit) if self.worse >= 0 else (new < limit):
            return f"{self.name} is {new:.6g}, was {old:.6g}: the limit is {limit:.6g}"
        return ""


@dataclass(frozen=True)
class Update:
    """What is asked for: percent of the traffic after each step, and what is watched between.

    ``bake`` is the seconds that each step lasts; ``errors`` the percent of 5xx answers of the new
    model above which it is taken back.
    """

    source: Source
    steps: Sequence[int] = STEPS
    bake: float = 300.0
    errors: float = 1.0
    metrics: Sequence[Metric] = ()


@dataclass(frozen=True)
class Standing:
    """An endpoint before the update: all that is needed to come back to it."""

    described: dict[str, Any]
    configuration: dict[str, Any]
    model: dict[str, Any]
    scaling: dict[str, Any] | None
    tags: dict[str, str]

    @property
    def name(self) -> str:
        return str(self.described["EndpointName"])

    @property
    def configuration_name(self) -> str:
        return str(self.described["EndpointConfigName"])

    @property
    def variant(self) -> dict[str, Any]:
        """Its one variant as the configuration has it, with as many instances as it has now."""
        variant = dict(self.configuration["ProductionVariants"][0])
        running = self.described["ProductionVariants"][0].get("CurrentInstanceCount")
        if running:
            variant["InitialInstanceCount"] = running
        return variant

    @property
    def algorithm(self) -> str:
        return self.tags.get(tags.ALGORITHM, "")

    @property
    def hosting(self) -> Hosting:
        variant = self.variant
        if "ServerlessConfig" in variant:
            serverless = variant["ServerlessConfig"]
            return Hosting(
                memory=serverless["MemorySizeInMB"], concurrency=serverless["MaxConcurrency"]
            )
        return Hosting(variant["InstanceType"], variant["InitialInstanceCount"])

    @property
    def obstacle(self) -> str:
        """What it is that has one variant only, so that it moves at once; "" where it is not."""
        if "ServerlessConfig" in self.variant:
            return "a serverless endpoint"
        if self.configuration.get("AsyncInferenceConfig"):
            return "an asynchronous endpoint"
        return ""

    def check_steps(self, steps: Sequence[int]) -> None:
        """Raise InputError for steps that do not rise to 100, or cannot be taken here."""
        rising = all(low < high for low, high in zip(steps, steps[1:]))
        if not steps or steps[0] < 1 or steps[-1] != FULL or not rising:
            raise InputError(
                f"--steps: expected rising percentages that end in {FULL}, as 10,50,100; got "
                + ",".join(map(str, steps))
            )
        if self.obstacle and tuple(steps) != AT_ONCE:
            raise InputError(
                f"--steps: {self.name} is {self.obstacle}, which answers with one model at a "
                f"time: give --steps {FULL}, which moves it at once"
            )


def standing(account: Account, name: str, *, foreign: bool = False) -> Standing:
    """The endpoint ``name`` as it is. Raises InputError where it cannot be updated."""
    described, configuration, labels = _existing(account, name, foreign)
    variants = configuration["ProductionVariants"]
    if len(variants) != 1 or configuration.get("ShadowProductionVariants"):
        names = ", ".join(variant["VariantName"] for variant in variants)
        raise InputError(
            f"{name}: answers with several models ({names}), and update moves an endpoint that has "
            "one: --only VARIANT makes it one of these"
        )
    if "ModelName" not in variants[0]:
        raise InputError(f"{name}: holds inference components, which update does not move")
    scaling = removal.scaling(account, name, variants[0]["VariantName"])
    others = [one for one in (scaling or {}).get("Policies", ()) if one["PolicyType"] != TRACKING]
    if others:
        raise InputError(
            f"{name}: its scaling policy {others[0]['PolicyName']!r} is a "
            f"{others[0]['PolicyType']}, and only {TRACKING} is moved along: delete it first"
        )
    model = removal.model(account, variants[0]["ModelName"]) or {}
    return Standing(described, configuration, model, scaling, labels)


def only(
    account: Account, name: str, variant: str, report: Report, *, foreign: bool = False
) -> dict[str, Any]:
    """Have one of an endpoint's variants answer all requests; what was removed.

    It ends an A/B test, and an update that was cut off. Raises AwsError and InputError.
    """
    _, configuration, labels = _existing(account, name, foreign)
    variants = configuration["ProductionVariants"]
    kept = [one for one in variants if one["VariantName"] == variant]
    names = [one["VariantName"] for one in variants]
    if not kept:
        raise InputError(f"--only: {name} has no variant {variant!r}; there are {', '.join(names)}")
    if len(names) == 1:
        raise InputError(f"--only: {name} has no other variant than {variant}")
    alone_weighs = {**kept[0], "InitialVariantWeight": 1.0}  # may have had none of the requests
    request = {
        "ProductionVariants": [alone_weighs],
        **_kept_of_configuration(account, configuration),
    }
    own = {key: value for key, value in labels.items() if not key.startswith("aws:")}  # not AWS's
    own[tags.RUN] = account.run
    values = [{"Key": key, "Value": value} for key, value in own.items()]
    with Undo(account, report) as undo:
        alone = create_configuration(account, undo, name, request, values)
        undo.making(
            f"the move of {name} to {variant}",
            partial(_settle, account, name, configuration["EndpointConfigName"], {alone}, report),
            _by_hand(name, configuration["EndpointConfigName"]),
            holds=True,
        )
        _switch(account, name, alone, report, **RETAINED, **ANEW)
    for other in names:
        if other != variant:
            removal.remove_scaling(account, name, other)
    return {
        "endpoint": name,
        "variant": variant,
        "model": kept[0]["ModelName"],
        "steps": [],
        "removed": _tidied(account, name, configuration, keep=kept[0]["ModelName"]),
    }


def _existing(
    account: Account, name: str, foreign: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """The endpoint, its configuration and its tags. Raises InputError if it is not in service."""
    described = removal.endpoint(account, name)
    if described is None:
        raise InputError(
            f"{name}: there is no such endpoint in {account.region}; "
            "`algoshelf sagemaker list --all` shows what there is"
        )
    labels = tags.of(account, described["EndpointArn"])
    if tags.VERSION not in labels and not foreign:
        raise InputError(f"{name}: algoshelf did not make it: give --foreign to update it anyhow")
    status = described["EndpointStatus"]
    if status != removal.IN_SERVICE:
        raise InputError(f"{name}: is {status}: an endpoint is updated when it is InService")
    configuration = removal.configuration(account, described["EndpointConfigName"])
    if configuration is None:
        raise InputError(f"{name}: its configuration was deleted: delete it and deploy anew")
    return described, configuration, labels


def update(
    account: Account, before: Standing, wanted: Update, role: str, report: Report
) -> dict[str, Any]:
    """Move the endpoint to ``wanted.source``; what was seen in each step, and what was removed.

    Raises RolledBack where the new model did worse. Then, and on any failure or interruption, the
    endpoint goes back to what it was, and all that was created is removed, see ``Undo``.
    """
    before.check_steps(wanted.steps)
    name, old = before.name, before.variant
    labels = tags_of([wanted.source], account.run, tags.expiry(before.tags))
    with Undo(account, report) as undo:
        model = create_model(
            account,
            undo,
            name,
            wanted.source,
            before.hosting,
            role,
            labels,
            **_kept_of_model(before),
        )
        new = {**old, "VariantName": _fresh(old["VariantName"], wanted.source), "ModelName": model}
        more = _kept_of_configuration(account, before.configuration)
        alone = create_configuration(
            account, undo, name, {"ProductionVariants": [new], **more}, labels
        )
        shared = ""
        if tuple(wanted.steps) != AT_ONCE:
            both = [
                {**old, "InitialVariantWeight": FULL - wanted.steps[0]},
                {**new, "InitialVariantWeight": wanted.steps[0]},
            ]
            shared = create_configuration(
                account, undo, name, {"ProductionVariants": both, **more}, labels
            )
        _unscale(account, undo, before)
        undo.making(
            f"the new model behind {name}",
            partial(_back, account, before, new["VariantName"], {alone, shared}, report),
            _by_hand(name, before.configuration_name),
            holds=True,
        )
        watch = _Watch(account, before, new["VariantName"], wanted, report)
        _switch(account, name, shared or alone, report)
        for number, percent in enumerate(wanted.steps):
            if number:
                _weigh(
                    account, name, {old["VariantName"]: FULL - percent, new["VariantName"]: percent}
                )
            if not account.dry:
                in_service(account, name, report)
                watch.bake(percent)
        if shared:
            _switch(account, name, alone, report)
        if before.scaling:
            undo.making(
                f"scaling of {name}, {new['VariantName']}",
                partial(removal.remove_scaling, account, name, new["VariantName"]),
                f"algoshelf sagemaker delete {name}",
            )
            _rescale(account, name, new["VariantName"], before.scaling)
    if before.algorithm != wanted.source.algorithm:
        with explained():
            account.client("sagemaker").add_tags(
                ResourceArn=before.described["EndpointArn"], Tags=tags_of([wanted.source])
            )
    return {
        "endpoint": name,
        "variant": new["VariantName"],
        "model": model,
        "steps": watch.seen,
        "removed": _tidied(account, name, before.configuration, shared, keep=model),
    }


class _Watch:
    """How the new model does in each step, beside the old one."""

    def __init__(
        self, account: Account, before: Standing, new: str, wanted: Update, report: Report
    ) -> None:
        self.account, self.wanted, self.report = account, wanted, report
        self.endpoint, self.old, self.new = before.name, before.variant["VariantName"], new
        self.seen: list[dict[str, Any]] = []
        now = datetime.now(timezone.utc)
        # When the old model last had requests of its own.
        self.baseline = (now - timedelta(seconds=max(wanted.bake, 300.0)), now)

    def bake(self, percent: int) -> None:
        """Wait out a step. Raises RolledBack as soon as the new model fails too often, or at the
        end if one of the metrics is worse.
        """
        begun, end = datetime.now(timezone.utc), time.monotonic() + self.wanted.bake
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(CHECK_SECONDS, left))
            self._check_errors(begun, percent)
        requests, failed = self._check_errors(begun, percent)
        step: dict[str, Any] = {"percent": percent, "requests": requests, "failed": failed}
        if requests:
            self.report(f"{percent} %: {requests:,} requests to the new model, {failed:,} failed")
        else:
            self.report(f"{percent} %: no request reached the new model: nothing to judge it by")
        if percent < FULL:
            self.baseline = (begun, _now())
        self._check_metrics(begun, percent, step)
        self.seen.append(step)

    def _check_errors(self, begun: datetime, percent: int) -> tuple[int, int]:
        """How many requests the new model had since, and how many failed."""
        [(total, count)] = self._read(self.new, [(NAMESPACE, ERRORS)], (begun, _now()))
        if count and total > count * self.wanted.errors / 100:
            raise RolledBack(
                f"{self.endpoint}: {total:,.0f} of {count:,.0f} requests failed with the new model "
                f"at {percent} % of the traffic, more than {self.wanted.errors:g} %: rolled back; "
                f"its log: aws logs tail /aws/sagemaker/Endpoints/{self.endpoint}"
            )
        return int(count), int(total)

    def _check_metrics(self, begun: datetime, percent: int, step: dict[str, Any]) -> None:
        metrics = self.wanted.metrics
        if not metrics:
            return
        names = [(metric.namespace, metric.name) for metric in metrics]
        olds = self._read(self.old, names, self.baseline)
        news = self._read(self.new, names, (begun, _now()))
        faults = []
        for metric, old, new in zip(metrics, olds, news):
            if not old[1] or not new[1]:
                self.report(f"{metric.name}: nothing was measured to compare by")
                continue
            means = old[0] / old[1], new[0] / new[1]
            step[metric.name] = {"old": means[0], "new": means[1]}
            self.report(f"{metric.name}: {means[1]:.6g}, with the old model {means[0]:.6g}")
            faults += [fault] if (fault := metric.fault(*means)) else []
        if faults:
            raise RolledBack(
                f"{self.endpoint}: at {percent} % of the traffic {'; '.join(faults)}: rolled back"
            )

    def _read(
        self, variant: str, metrics: Sequence[tuple[str, str]], span: tuple[datetime, datetime]
    ) -> list[tuple[float, float]]:
        """Of each metric the sum of its samples in ``span``, and how many they are."""
        dimensions = [
            {"Name": "EndpointName", "Value": self.endpoint},
            {"Name": "VariantName", "Value": variant},
        ]
        queries = [
            {
                "Id": f"{statistic.lower()}{number}",
                "MetricStat": {
                    "Metric": {"Namespace": space, "MetricName": name, "Dimensions": dimensions},
                    "Period": 60,
                    "Stat": statistic,
                },
            }
            for number, (space, name) in enumerate(metrics)
            for statistic in ("Sum", "SampleCount")
        ]
        totals = dict.fromkeys((query["Id"] for query in queries), 0.0)
        with explained():
            pages = self.account.client("cloudwatch").get_paginator("get_metric_data")
            for page in pages.paginate(
                MetricDataQueries=queries,
                StartTime=span[0].replace(second=0, microsecond=0),
                EndTime=span[1],
            ):
                for result in page["MetricDataResults"]:
                    totals[result["Id"]] += sum(result["Values"])
        return [
            (totals[f"sum{number}"], totals[f"samplecount{number}"])
            for number in range(len(metrics))
        ]


def _now() -> datetime:
    return datetime.now(timezone.utc) + timedelta(minutes=1)  # the minute under way counts


def _fresh(old: str, source: Source) -> str:
    """A name for the new variant: the algorithm's, other than the old one's."""
    name = slug(source.algorithm, 60)
    return name if name != old else f"{name}-2"


def _kept_of_model(before: Standing) -> dict[str, Any]:
    """What the new model has of the old one: its network."""
    fields = ("VpcConfig", "EnableNetworkIsolation")
    return {field: before.model[field] for field in fields if before.model.get(field)}


def _kept_of_configuration(account: Account, old: dict[str, Any]) -> dict[str, Any]:
    """What a new configuration has of the old one: all but name, tags and variants."""
    operation = account.client("sagemaker").meta.service_model.operation_model(
        "CreateEndpointConfig"
    )
    own = {"EndpointConfigName", "ProductionVariants", "Tags"}
    fields = set(operation.input_shape.members) - own
    return {field: old[field] for field in sorted(fields) if old.get(field)}


def _switch(account: Account, name: str, configuration: str, report: Report, **more: Any) -> None:
    """Give the endpoint another configuration; wait until it has it. Raises AwsError if not."""
    with explained():
        account.client("sagemaker").update_endpoint(
            EndpointName=name, EndpointConfigName=configuration, **more
        )
    if account.dry:
        return
    found = in_service(account, name, report)
    if found["EndpointConfigName"] != configuration:
        reason = found.get("FailureReason") or "AWS says not why"
        raise AwsError(
            f"{name}: AWS went back to the old model, as the new one did not start: {reason}; its "
            f"log: aws logs tail /aws/sagemaker/Endpoints/{name} --region {account.region}"
        )


def _weigh(account: Account, name: str, weights: dict[str, int]) -> None:
    with explained():
        account.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[
                {"VariantName": variant, "DesiredWeight": weight}
                for variant, weight in weights.items()
            ],
        )


def _back(
    account: Account, before: Standing, new: str, mine: Collection[str], report: Report
) -> None:
    """Give the endpoint its old configuration; first of all, all traffic to the old model.

    Only where it has one of ``mine``: somebody else may have moved it meanwhile.
    """
    name, old = before.name, before.variant["VariantName"]
    found = _moved(account, name, before.configuration_name, mine, report)
    if found is None:
        return
    report(f"{name}: going back to the old model")
    if {old, new} == {variant["VariantName"] for variant in found["ProductionVariants"]}:
        _weigh(account, name, {old: FULL, new: 0})
        in_service(account, name, report)
        report(f"{name}: all traffic is on the old model again")
    _settle(account, name, before.configuration_name, mine, report)


def _settle(
    account: Account, name: str, configuration: str, mine: Collection[str], report: Report
) -> None:
    """Give the endpoint back its configuration where it has one of ``mine``."""
    if _moved(account, name, configuration, mine, report) is not None:
        _switch(account, name, configuration, report, **RETAINED)


def _moved(
    account: Account, name: str, before: str, mine: Collection[str], report: Report
) -> dict[str, Any] | None:
    """The endpoint, if it has one of the configurations ``mine``; None where not."""
    found = removal.settled(account, name, report)
    if found is None or found["EndpointConfigName"] == before:
        return None
    if found["EndpointConfigName"] not in mine:
        report(f"{name}: somebody else has moved it to {found['EndpointConfigName']}, where it is")
        return None
    return found


def _by_hand(name: str, configuration: str) -> str:
    return (
        f"aws sagemaker update-endpoint --endpoint-name {name} "
        f"--endpoint-config-name {configuration} --retain-all-variant-properties"
    )


def _unscale(account: Account, undo: Undo, before: Standing) -> None:
    """Stop scaling the endpoint: AWS wants that during an update."""
    if before.scaling is None:
        return
    variant = before.variant["VariantName"]
    undo.making(
        f"the pause of the scaling of {before.name}",
        partial(_rescale, account, before.name, variant, before.scaling),
        "aws application-autoscaling register-scalable-target --service-namespace sagemaker "
        f"--scalable-dimension {removal.DIMENSION} "
        f"--resource-id endpoint/{before.name}/variant/{variant} "
        f"--min-capacity {before.scaling['MinCapacity']} "
        f"--max-capacity {before.scaling['MaxCapacity']}",
    )
    removal.remove_scaling(account, before.name, variant)


def _rescale(account: Account, name: str, variant: str, scaling: dict[str, Any]) -> None:
    removal.put_scaling(account, name, variant, scaling["MinCapacity"], scaling["MaxCapacity"])
    for policy in scaling["Policies"]:
        tracking = policy["TargetTrackingScalingPolicyConfiguration"]
        removal.put_policy(account, name, variant, policy["PolicyName"], tracking)


def _tidied(
    account: Account, endpoint: str, configuration: dict[str, Any], *more: str, keep: str
) -> list[str]:
    """Remove what the endpoint used before, as far as it is algoshelf's; what is gone."""
    parts = [
        (inventory.CONFIGURATION, name)
        for name in (configuration["EndpointConfigName"], *more)
        if name
    ]
    parts += [
        (inventory.MODEL, variant["ModelName"])
        for variant in configuration["ProductionVariants"]
        if variant["ModelName"] != keep
    ]
    gone = inventory.discard(account, parts, without=endpoint)
    return [f"{kind} {name}" for kind, name in gone]
