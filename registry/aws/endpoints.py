"""Deploy models, an endpoint configuration and an endpoint, all of them or none.

An endpoint that is to be scaled to zero holds its models as inference components, which AWS asks
for there (docs/decisions/0031-idle.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Sequence

from ...core.runtime.errors import InputError
from . import components, instances, logs, multi, names, removal, scaling, tags
from .account import Account, AwsError, explained
from .instances import CPU
from .names import named
from .rollback import Report, Rollback
from .settings import Settings
from .sources import Source

NO_SETTINGS = Settings()
MAX_VARIANTS = 10
SERVERLESS_MEMORY = range(1024, 6145, 1024)  # MB
MAX_CONCURRENCY = 200
HOST = "instances"  # the variant that holds inference components
# A target of the number of instances, where none is given.
INVOCATIONS_A_MINUTE, BACKLOG = 1_000, 5
CAPTURED = {
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {
        "CsvContentTypes": ["text/csv"],
        "JsonContentTypes": ["application/json", "application/jsonlines"],
    },
}


@dataclass(frozen=True)
class Hosting:
    """``count`` instances of a type for each variant; or, with ``memory`` (MB), serverless."""

    instance: str = CPU
    count: int = 1
    memory: int = 0
    concurrency: int = 5

    def check(self, *, own_image: bool = False) -> None:
        """Raise InputError where AWS does not offer it, or the image cannot run on it."""
        if not self.memory:
            instances.find(self.instance).check(instances.ENDPOINT, own_image=own_image)
            return
        faults = []
        if self.memory not in SERVERLESS_MEMORY:
            offered = ", ".join(map(str, SERVERLESS_MEMORY))
            faults.append(f"--serverless: AWS offers {offered} MB of memory, not {self.memory}")
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            faults.append(
                f"--serverless: expected 1 to {MAX_CONCURRENCY} requests at once, "
                f"got {self.concurrency}"
            )
        if faults:
            raise InputError(*faults)

    def parameters(self) -> dict[str, Any]:
        """As a production variant has it."""
        if self.memory:
            memory, most = self.memory, self.concurrency
            return {"ServerlessConfig": {"MemorySizeInMB": memory, "MaxConcurrency": most}}
        return {"InstanceType": self.instance, "InitialInstanceCount": self.count}

    def __str__(self) -> str:
        if self.memory:
            return f"serverless, {self.memory} MB, at most {self.concurrency} requests at once"
        return f"{self.count} × {self.instance}"


@dataclass(frozen=True)
class Scaling:
    """From ``least`` to ``most`` instances, so many that each has ``target`` requests a minute.

    Of an asynchronous endpoint: so many that each has ``target`` requests waiting.
    """

    least: int
    most: int
    target: float | None = None

    def tracking(self, endpoint: str = "", per: str = "Variant") -> dict[str, Any]:
        """The configuration of a policy of Application Auto Scaling: of requests for each instance
        of a ``Variant``, of those for each copy of an ``InferenceComponent``, or of those that wait
        for an asynchronous ``endpoint``.
        """
        if not endpoint:
            each = "Instance" if per == "Variant" else "Copy"
            metric = f"SageMaker{per}InvocationsPer{each}"
            return {
                "TargetValue": self.target or INVOCATIONS_A_MINUTE,
                "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
            }
        return {
            "TargetValue": self.target or BACKLOG,
            "CustomizedMetricSpecification": {
                "Namespace": "AWS/SageMaker",
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
                "Statistic": "Average",
            },
        }


@dataclass(frozen=True)
class Variant:
    """A model that answers a share of the requests, ``weight`` over the sum of all weights."""

    name: str
    source: Source
    weight: float = 1.0


@dataclass(frozen=True)
class Deployment:
    """What is asked for; ``outputs`` and ``capture`` are s3:// addresses, "" for none.

    With ``outputs`` the endpoint is asynchronous and leaves its answers there. With ``multi`` one
    container answers with all models, and loads each when it is asked for.
    """

    name: str
    variants: Sequence[Variant]
    hosting: Hosting
    role: str
    scaling: Scaling | None = None
    outputs: str = ""
    capture: str = ""
    capture_percent: int = 100
    expires: datetime | None = None
    multi: bool = False
    settings: Settings = NO_SETTINGS

    @property
    def idles(self) -> bool:
        """Whether it answers at once, and has no instance while nobody asks."""
        return self.scaling is not None and not self.scaling.least and not self.outputs

    def component(self, variant: Variant) -> str:
        """The name of the inference component of one of the models, which a request has to name."""
        if len(self.variants) == 1:
            return self.name
        return f"{self.name[: names.MAX_NAME - len(variant.name) - 1]}-{variant.name}"

    def check(self) -> None:
        """Raise InputError with all that AWS would refuse, or leave undone without a word."""
        faults = self._misfits()
        if fault := names.fault(self.name):
            faults.append(fault)
        if not self.multi and not 1 <= len(self.variants) <= MAX_VARIANTS:
            faults.append(f"expected 1 to {MAX_VARIANTS} models, got {len(self.variants)}")
        weights = [variant.weight for variant in self.variants]
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            faults.append("the weights: expected numbers from 0, and one above 0")
        if faults:
            raise InputError(*faults)
        self.hosting.check(own_image=all(variant.source.image for variant in self.variants))

    def _misfits(self) -> list[str]:
        """The options that do not go together."""
        faults = []
        if self.multi:
            taken = {
                "--serverless": self.hosting.memory, "--async": self.outputs,
                "--autoscale 0:…": self.idles,
            }  # fmt: skip
            faults += [
                f"--multi-model: AWS has no {what} for it" for what, given in taken.items() if given
            ]
            if not self.hosting.memory and instances.find(self.hosting.instance).gpus:
                faults.append("--multi-model: AWS offers it on a GPU for Triton alone")
            if len({variant.source.image for variant in self.variants}) > 1:
                faults.append("--multi-model: one image answers with all models: give --image")
        if self.hosting.memory:
            taken = {
                "--autoscale": self.scaling, "--async": self.outputs, "--capture": self.capture,
                "several models": len(self.variants) > 1,
                "--vpc-subnets": self.settings.vpc_subnets,
                "--network-isolation": self.settings.network_isolation,
            }  # fmt: skip
            faults += [
                f"--serverless: AWS allows no {what} there"
                for what, given in taken.items()
                if given
            ]
        elif self.hosting.count < 1:
            faults.append(f"--count: expected 1 or more, got {self.hosting.count}")
        if self.outputs and len(self.variants) > 1:
            faults.append("--async: an asynchronous endpoint answers with one model")
        scaled = self.scaling
        if scaled and not (0 <= scaled.least <= scaled.most and scaled.most):
            faults.append(
                "--autoscale: expected MIN:MAX with 0 <= MIN <= MAX and MAX above 0, "
                f"got {scaled.least}:{scaled.most}"
            )
        if self.idles:
            if len({variant.weight for variant in self.variants}) > 1:
                faults.append(
                    "--autoscale 0:…: a request names the model that is to answer it, so they have "
                    "no weights"
                )
            if self.capture:
                faults.append("--capture: AWS captures nothing where models are scaled to zero")
        return faults

    def tags(self, run: str) -> list[dict[str, str]]:
        """On all that it consists of."""
        return tags_of([variant.source for variant in self.variants], run, self.expires)


def deploy(account: Account, wanted: Deployment, report: Report) -> dict[str, Any]:
    """Create it and wait until it answers; what there is then. Raises AwsError, InputError.

    That ``wanted.check()`` and ``check_free`` raise nothing is up to the caller. On any failure or
    interruption all that was created is removed again, see ``Rollback``.
    """
    labels = wanted.tags(account.run)
    with Rollback(account, report) as rollback:
        if wanted.multi:
            wanted, labels = _gathered(account, rollback, wanted, labels)
        made = [
            create_model(
                account,
                rollback,
                wanted.name,
                variant.source,
                wanted.hosting.instance,
                wanted.role,
                for_endpoint(wanted.name, labels),
                **({} if wanted.idles else wanted.settings.of_model()),
            )
            for variant in wanted.variants
        ]
        request = _idle_request(wanted) if wanted.idles else _request(wanted, made)
        configuration = create_configuration(account, rollback, wanted.name, request, labels)
        for group in _log_groups(wanted):
            logs.prepare(account, group, for_endpoint(wanted.name, labels), report)
        _create_endpoint(account, rollback, wanted.name, configuration, labels, report)
        if wanted.idles:
            held = components.needs(wanted.hosting.instance, len(made))
            for variant, model in zip(wanted.variants, made):
                name = wanted.component(variant)
                parts = {
                    "VariantName": HOST,
                    "Specification": {"ModelName": model, "ComputeResourceRequirements": held},
                    "Tags": for_endpoint(wanted.name, labels),
                }
                components.create(account, rollback, name, wanted.name, parts, report)
        _scale(account, rollback, wanted, for_endpoint(wanted.name, labels))
    return {
        "endpoint": wanted.name,
        "region": account.region,
        "configuration": configuration,
        "variants": request["ProductionVariants"],
        "components": [wanted.component(variant) for variant in wanted.variants]
        if wanted.idles
        else [],
        "expires": wanted.expires,
    }


def _gathered(
    account: Account, rollback: Rollback, wanted: Deployment, labels: list[dict[str, str]]
) -> tuple[Deployment, list[dict[str, str]]]:
    """With one variant, whose models are in a folder of its own in S3; its tag says where."""
    place = multi.folder(account, wanted.name)
    rollback.creating(
        f"the folder {place}",
        partial(multi.clear, account, place),
        f"aws s3 rm --recursive {place}",
    )
    for variant in wanted.variants:
        multi.put(account, place, variant.name, variant.source.uri)
    first = wanted.variants[0].source
    one = replace(first, algorithm="models", uri=place, mode=multi.MODE)
    label = {"Key": tags.MODELS, "Value": place}
    return replace(wanted, variants=[Variant("models", one)]), [*labels, label]


def _request(wanted: Deployment, models: Sequence[str]) -> dict[str, Any]:
    """Of a configuration whose variants are the models."""
    request: dict[str, Any] = {
        "ProductionVariants": [
            {
                "VariantName": variant.name,
                "ModelName": model,
                "InitialVariantWeight": variant.weight,
                **wanted.hosting.parameters(),
            }
            for variant, model in zip(wanted.variants, models)
        ]
    }
    if not wanted.hosting.memory:  # a serverless endpoint has no disks of yours
        request.update(wanted.settings.of_disks("KmsKeyId"))
    encrypted = wanted.settings.of_output()
    if wanted.outputs:
        place = {"S3OutputPath": wanted.outputs, **encrypted}
        request["AsyncInferenceConfig"] = {"OutputConfig": place}
    if wanted.capture:
        request["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": wanted.capture_percent,
            "DestinationS3Uri": wanted.capture,
            **encrypted,
            **CAPTURED,
        }
    return request


def _log_groups(wanted: Deployment) -> list[str]:
    if wanted.idles:
        return [logs.of_component(wanted.component(variant)) for variant in wanted.variants]
    return [logs.of_endpoint(wanted.name)]


def _idle_request(wanted: Deployment) -> dict[str, Any]:
    """Of a configuration whose one variant is instances for components, down to none."""
    assert wanted.scaling is not None
    managed = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": wanted.scaling.most}
    host = {
        "VariantName": HOST,
        **wanted.hosting.parameters(),
        "ManagedInstanceScaling": managed,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }
    return {
        "ProductionVariants": [host],
        "ExecutionRoleArn": wanted.role,
        **wanted.settings.of_model(),  # of all components; they do not take their model's
        **wanted.settings.of_disks("KmsKeyId"),
    }


def create_model(
    account: Account,
    rollback: Rollback,
    stem: str,
    source: Source,
    instance: str,
    role: str,
    labels: list[dict[str, str]],
    **more: Any,
) -> str:
    """Create a model of ``source`` for ``instance``; its name, which begins with ``stem``."""
    name = named(stem, source.algorithm)
    container = source.container(account.region, instance)
    rollback.creating(
        f"model {name}",
        partial(removal.remove_model, account, name),
        f"aws sagemaker delete-model --model-name {name}",
        arn=partial(removal.model_arn, account, name),
    )
    with explained():
        account.client("sagemaker").create_model(
            ModelName=name,
            PrimaryContainer=container,
            ExecutionRoleArn=role,
            Tags=labels,
            **more,
        )
    rollback.created()
    return name


def create_configuration(
    account: Account,
    rollback: Rollback,
    endpoint: str,
    request: dict[str, Any],
    labels: list[dict[str, str]],
) -> str:
    """Create a configuration for ``endpoint``; its name."""
    name = named(endpoint)
    rollback.creating(
        f"endpoint configuration {name}",
        partial(removal.remove_configuration, account, name),
        f"aws sagemaker delete-endpoint-config --endpoint-config-name {name}",
        arn=partial(removal.configuration_arn, account, name),
    )
    with explained():
        account.client("sagemaker").create_endpoint_config(
            EndpointConfigName=name, Tags=for_endpoint(endpoint, labels), **request
        )
    rollback.created()
    return name


def in_service(account: Account, name: str, report: Report) -> dict[str, Any]:
    """Wait until the endpoint answers; as it is then. Raises AwsError with the reason if not."""
    found = removal.settled(account, name, report)
    if found is None:
        raise AwsError(f"{name}: was deleted by somebody else")
    if found["EndpointStatus"] != removal.IN_SERVICE:
        raise AwsError(
            f"{name}: {found['EndpointStatus']}: {found.get('FailureReason') or 'AWS says not why'}"
            f"; its log: aws logs tail /aws/sagemaker/Endpoints/{name} --region {account.region}"
        )
    return found


def check_free(account: Account, name: str) -> None:
    """Raise InputError where there is an endpoint of this name."""
    there = removal.endpoint(account, name)
    if there is not None:
        raise InputError(
            f"{name}: there is an endpoint of this name in {account.region} already, "
            f"{there['EndpointStatus']}: choose another --name, or `algoshelf sagemaker update "
            f"{name} MODEL`"
        )


def tags_of(
    sources: Sequence[Source], run: str = "", expires: datetime | None = None
) -> list[dict[str, str]]:
    """The tags on what answers with ``sources``, made in ``run``."""
    names = "+".join(sorted({source.algorithm for source in sources}))
    return tags.tags(names[:256], run, expires)


def _create_endpoint(
    account: Account,
    rollback: Rollback,
    name: str,
    configuration: str,
    labels: list[dict[str, str]],
    report: Report,
) -> None:
    rollback.creating(
        f"endpoint {name}",
        partial(removal.remove_endpoint, account, name, report),
        f"algoshelf sagemaker delete {name}",
        holds=True,
        arn=partial(removal.endpoint_arn, account, name),
    )
    with explained():
        account.client("sagemaker").create_endpoint(
            EndpointName=name, EndpointConfigName=configuration, Tags=labels
        )
    rollback.created()
    if not account.dry:
        in_service(account, name, report)


def _scale(
    account: Account, rollback: Rollback, wanted: Deployment, labels: list[dict[str, str]]
) -> None:
    """Have each variant, or each component, scaled as ``wanted`` says, and woken from zero."""
    if wanted.scaling is None:
        return
    for variant in wanted.variants:
        target = scaling.of_variant(wanted.name, variant.name)
        of, on = wanted.name, scaling.QUEUE
        tracking = wanted.scaling.tracking(wanted.name if wanted.outputs else "")
        if wanted.idles:
            of, on = wanted.component(variant), scaling.COMPONENT
            target = scaling.of_component(of)
            tracking = wanted.scaling.tracking(per="InferenceComponent")
        rollback.creating(
            f"scaling of {wanted.name}, {variant.name}",
            partial(scaling.remove, account, target),
            f"algoshelf sagemaker delete {wanted.name}",
            arn=partial(removal.endpoint_arn, account, wanted.name),  # it has no tags of its own
        )
        scaling.put(account, target, wanted.scaling.least, wanted.scaling.most)
        scaling.track(account, target, f"{wanted.name}-{variant.name}", tracking)
        if not wanted.scaling.least:
            scaling.wake(account, target, of, on, labels)


def for_endpoint(endpoint: str, labels: list[dict[str, str]]) -> list[dict[str, str]]:
    """``labels``, and which endpoint it is for."""
    others = [label for label in labels if label["Key"] != tags.ENDPOINT]
    return [*others, {"Key": tags.ENDPOINT, "Value": endpoint}]
