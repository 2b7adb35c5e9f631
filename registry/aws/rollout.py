"""Rollout: move an endpoint to a new model in steps, and back if the new model does worse.

The old and the new model are two variants side by side, whose weights are moved; CloudWatch says
how each of them did in the same minutes (docs/decisions/0013-endpoints.md).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Collection

from ...core.runtime.errors import InputError
from . import inventory, removal, scaling, tags
from .account import Account, AwsError, explained
from .endpoints import create_configuration, create_model, for_endpoint, in_service, tags_of
from .names import slug
from .rollback import Report, Rollback
from .sources import Source
from .standing import (
    AT_ONCE,
    Standing,
    changed_configuration,
    existing,
    kept_of_configuration,
    pause_scaling,
)
from .stock.hosting import CONFIGURATION, ENDPOINT, MODEL
from .watch import FULL, Update, Watch

ANEW = {"ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]}
RETAINED = {"RetainAllVariantProperties": True}  # as many instances as there are now


def only(
    account: Account, name: str, variant: str, report: Report, *, foreign: bool = False
) -> dict[str, Any]:
    """Have one of an endpoint's variants answer all requests; what was removed.

    It ends an A/B test, and an update that was cut off. Raises AwsError and InputError.
    """
    _, configuration, labels = existing(account, name, foreign)
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
        **kept_of_configuration(account, configuration),
    }
    own = {key: value for key, value in labels.items() if not key.startswith("aws:")}  # not AWS's
    own[tags.RUN] = account.run
    values = [{"Key": key, "Value": value} for key, value in own.items()]
    with Rollback(account, report) as rollback:
        alone = create_configuration(account, rollback, name, request, values)
        rollback.creating(
            f"the move of {name} to {variant}",
            partial(_settle, account, name, configuration["EndpointConfigName"], {alone}, report),
            _by_hand(name, configuration["EndpointConfigName"]),
            holds=True,
        )
        _switch(account, name, alone, report, **RETAINED, **ANEW)
    for other in names:
        if other != variant:
            scaling.remove(account, scaling.of_variant(name, other))
    return {
        "endpoint": name,
        "variant": variant,
        "model": kept[0]["ModelName"],
        "steps": [],
        "removed": _tidied(account, name, configuration, keep=kept[0]["ModelName"]),
    }


def update(
    account: Account, before: Standing, wanted: Update, role: str, report: Report
) -> dict[str, Any]:
    """Move the endpoint to ``wanted.source``; what was seen in each step, and what was removed.

    Raises RolledBack where the new model did worse. Then, and on any failure or interruption, the
    endpoint goes back to what it was, and all that was created is removed, see ``Rollback``.
    """
    before.check_steps(wanted.steps)
    name, old = before.name, before.variant
    labels = tags_of([wanted.source], account.run, tags.expiry(before.tags))
    with Rollback(account, report) as rollback:
        model = create_model(
            account,
            rollback,
            name,
            wanted.source,
            before.hosting.instance,
            role,
            for_endpoint(name, labels),
            **before.changed_model(wanted.settings),
        )
        new = {**old, "VariantName": _fresh(old["VariantName"], wanted.source), "ModelName": model}
        more = changed_configuration(account, before, wanted.settings)
        alone = create_configuration(
            account, rollback, name, {"ProductionVariants": [new], **more}, labels
        )
        shared = ""
        if tuple(wanted.steps) != AT_ONCE:
            both = [
                {**old, "InitialVariantWeight": FULL - wanted.steps[0]},
                {**new, "InitialVariantWeight": wanted.steps[0]},
            ]
            shared = create_configuration(
                account, rollback, name, {"ProductionVariants": both, **more}, labels
            )
        pause_scaling(account, rollback, before)
        rollback.creating(
            f"the new model behind {name}",
            partial(_back, account, before, new["VariantName"], {alone, shared}, report),
            _by_hand(name, before.configuration_name),
            holds=True,
        )
        watch = Watch(account, name, old["VariantName"], new["VariantName"], wanted, report)
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
            moved = scaling.of_variant(name, new["VariantName"])
            rollback.creating(
                f"scaling of {name}, {new['VariantName']}",
                partial(scaling.remove, account, moved),
                f"algoshelf sagemaker delete {name}",
            )
            scaling.restore(account, moved, before.scaling, name, labels)
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


def _fresh(old: str, source: Source) -> str:
    """A name for the new variant: the algorithm's, other than the old one's."""
    name = slug(source.algorithm, 60)
    return name if name != old else f"{name}-2"


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


def _tidied(
    account: Account, endpoint: str, configuration: dict[str, Any], *more: str, keep: str
) -> list[str]:
    """Remove what the endpoint used before, as far as it is algoshelf's; what is gone."""
    parts = [(CONFIGURATION, name) for name in (configuration["EndpointConfigName"], *more) if name]
    parts += [
        (MODEL, variant["ModelName"])
        for variant in configuration["ProductionVariants"]
        if variant["ModelName"] != keep
    ]
    gone = inventory.discard(account, parts, without=(ENDPOINT, endpoint))
    return [f"{kind} {name}" for kind, name in gone]
