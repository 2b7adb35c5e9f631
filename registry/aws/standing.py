"""An endpoint as it is before an update: all that is needed to come back to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Sequence

from ...core.runtime.errors import InputError
from . import removal, scaling, tags
from .account import Account
from .endpoints import Hosting
from .rollback import Rollback
from .settings import Settings
from .watch import FULL

AT_ONCE = (FULL,)
NO_SERVERLESS = ("--vpc-subnets", "--network-isolation")


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
    def labels(self) -> list[dict[str, str]]:
        """Its tags, without AWS's own, as AWS takes them."""
        own = {key: value for key, value in self.tags.items() if not key.startswith("aws:")}
        return [{"Key": key, "Value": value} for key, value in own.items()]

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

    def changed_model(self, settings: Settings) -> dict[str, Any]:
        """What the new model has: the old one's network, but for what ``settings`` give."""
        fields = ("VpcConfig", "EnableNetworkIsolation")
        kept = {field: self.model[field] for field in fields if self.model.get(field)}
        return settings.of_changed_model(kept)

    def check_settings(self, settings: Settings) -> None:
        """Raise InputError for what a serverless endpoint cannot have."""
        if self.hosting.memory and settings.of_model():
            raise InputError(
                f"{self.name}: is serverless, where AWS allows no {' and no '.join(NO_SERVERLESS)}"
            )

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
    described, configuration, labels = existing(account, name, foreign)
    variants = configuration["ProductionVariants"]
    if len(variants) != 1 or configuration.get("ShadowProductionVariants"):
        names = ", ".join(variant["VariantName"] for variant in variants)
        raise InputError(
            f"{name}: answers with several models ({names}), and update moves an endpoint that has "
            "one: --only VARIANT makes it one of these"
        )
    if "ModelName" not in variants[0]:
        raise InputError(f"{name}: holds inference components, which update does not move")
    scaled = scaling.found(account, scaling.of_variant(name, variants[0]["VariantName"]))
    others = scaling.foreign((scaled or {}).get("Policies", ()))
    if others:
        raise InputError(
            f"{name}: its scaling policy {others[0]['PolicyName']!r} is a "
            f"{others[0]['PolicyType']}, and only {scaling.TRACKING} is moved along: delete it "
            "first"
        )
    model = removal.model(account, variants[0]["ModelName"]) or {}
    return Standing(described, configuration, model, scaled, labels)


def existing(
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


def kept_of_configuration(account: Account, old: dict[str, Any]) -> dict[str, Any]:
    """What a new configuration has of the old one: all but name, tags and variants."""
    operation = account.client("sagemaker").meta.service_model.operation_model(
        "CreateEndpointConfig"
    )
    own = {"EndpointConfigName", "ProductionVariants", "Tags"}
    fields = set(operation.input_shape.members) - own
    return {field: old[field] for field in sorted(fields) if old.get(field)}


def changed_configuration(account: Account, before: Standing, settings: Settings) -> dict[str, Any]:
    """What a new configuration has of the old one, with the keys that ``settings`` give."""
    found = kept_of_configuration(account, before.configuration)
    if not before.hosting.memory:
        found.update(settings.of_disks("KmsKeyId"))
    encrypted = settings.of_output()
    if "DataCaptureConfig" in found:
        found["DataCaptureConfig"] = {**found["DataCaptureConfig"], **encrypted}
    if "AsyncInferenceConfig" in found:
        old = found["AsyncInferenceConfig"]
        place = {**old["OutputConfig"], **encrypted}
        found["AsyncInferenceConfig"] = {**old, "OutputConfig": place}
    return found


def pause_scaling(account: Account, rollback: Rollback, before: Standing) -> None:
    """Stop scaling the endpoint: AWS wants that during an update."""
    if before.scaling is None:
        return
    target = scaling.of_variant(before.name, before.variant["VariantName"])
    rollback.creating(
        f"the pause of the scaling of {before.name}",
        partial(scaling.restore, account, target, before.scaling, before.name, before.labels),
        "aws application-autoscaling register-scalable-target --service-namespace sagemaker "
        f"--scalable-dimension {scaling.INSTANCES} --resource-id {target['ResourceId']} "
        f"--min-capacity {before.scaling['MinCapacity']} "
        f"--max-capacity {before.scaling['MaxCapacity']}",
    )
    scaling.remove(account, target)
