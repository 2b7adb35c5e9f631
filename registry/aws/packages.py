"""Model packages: the versions of a model in SageMaker's registry, with what each was made of."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from ...core.artifact import engines
from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import Metadata
from ...core.conformance import CHECKS, Battery, Finding
from ...core.runtime.errors import AlgoshelfError, InputError
from ...core.training.provenance import sources as files_of
from ..discovery import Entry
from ..flags import reserved
from . import data, instances, names, removal, sources, tags
from .account import NO_ACCOUNT, Account, explained
from .instances import ENDPOINT, TRANSFORM
from .rollback import Report, Rollback
from .settings import Settings, with_wheels

AWS_IMAGE = "/mxnet-inference:"
APPROVED, PENDING = "Approved", "PendingManualApproval"
# Of CustomerMetadataProperties, in which a package says what a group says by tags.
RUN, PACKED, CONFORMANCE, COMMIT = "run", "packages", "conformance", "commit"
WITH_WHEELS, IN_IMAGE, FETCHED = "packed", "in the image", "fetched at the start"
METRIC = "metric "
MAX_PROPERTIES, MAX_TEXT = 50, 256
UNWRITABLE = re.compile(r"[^\w \-.:/=+@]")
# The figures that SageMaker Studio draws, by the kind of a model.
FIGURES = {
    "classification": "multiclass_classification_metrics",
    "regression": "regression_metrics",
}
ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:model-package/.+")


@dataclass(frozen=True)
class Registration:
    """What is asked for: ``model`` as ``sources.model`` takes it, the ``group`` it goes into.

    ``image`` is that of one's own that answers, "" for AWS's on ``instance``.
    """

    model: str
    group: str
    approve: bool
    instance: str
    image: str
    settings: Settings
    foreign: bool = False


@dataclass(frozen=True)
class Checked:
    """How the checks of conformance ended of a model: the number that passed, and what failed."""

    passed: int
    failed: Sequence[Finding]
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return f"not run: {self.reason}"
        failed = ", ".join(finding.name for finding in self.failed)
        return f"failed: {failed}" if failed else f"passed: {self.passed} checks"


@dataclass(frozen=True)
class Package:
    """A package as AWS describes it."""

    described: Mapping[str, Any]

    @property
    def arn(self) -> str:
        return str(self.described["ModelPackageArn"])

    @property
    def name(self) -> str:
        """``GROUP:VERSION``; of a package without group its own name."""
        if "ModelPackageVersion" not in self.described:
            return self.arn.rpartition("/")[2]
        return f"{self.described['ModelPackageGroupName']}:{self.described['ModelPackageVersion']}"

    @property
    def status(self) -> str:
        """``Approved``, ``PendingManualApproval`` or ``Rejected``."""
        return str(self.described.get("ModelApprovalStatus", ""))

    @property
    def properties(self) -> Mapping[str, str]:
        return dict(self.described.get("CustomerMetadataProperties") or {})

    @property
    def algorithm(self) -> str:
        return self.properties.get("algorithm", sources.UNKNOWN)

    @property
    def conformance(self) -> str:
        """How its checks ended when it was registered."""
        return self.properties.get(CONFORMANCE, "unknown")

    @property
    def metrics(self) -> Mapping[str, str]:
        """Those that its properties have room for, by name."""
        found = self.properties.items()
        return {name[len(METRIC) :]: text for name, text in found if name.startswith(METRIC)}

    @property
    def own_image(self) -> str:
        """The image that answers, "" where it is AWS's."""
        containers = self.described.get("InferenceSpecification", {}).get("Containers") or [{}]
        image = str(containers[0].get("Image", ""))
        return "" if AWS_IMAGE in image else image

    def check(self, instance: str, settings: Settings) -> None:
        """Raise InputError where it is not to answer, or cannot on an instance of this type; ""
        for none.
        """
        name = self.name
        if self.status != APPROVED:
            raise InputError(
                f"{name}: is {self.status or 'not approved'}, and only what is Approved is "
                "deployed: whoever may approves it by `aws sagemaker update-model-package "
                f"--model-package-arn {self.arn} --model-approval-status {APPROVED}`"
            )
        state = self.described.get("ModelPackageStatus", "Completed")
        if state != "Completed":
            raise InputError(f"{name}: the package is {state}, and cannot answer")
        offered = self.described.get("InferenceSpecification", {}).get(
            "SupportedRealtimeInferenceInstanceTypes", ()
        )
        if instance and offered and instance not in offered:
            raise InputError(
                f"{name}: its image does not run on {instance}: choose another --instance, such as "
                f"{offered[0]}, or register the model again with --instance {instance}"
            )
        if settings.network_isolation and self.properties.get(PACKED) == FETCHED:
            raise InputError(
                f"{name}: fetches packages when it starts, which --network-isolation does not let "
                "it: register the model again with --network-isolation"
            )


def register(account: Account, asked: Registration, report: Report) -> dict[str, Any]:
    """Upload the model and register it; what there is then. Raises AwsError, InputError.

    On any failure or interruption what was created is removed.
    """
    check_group(account, asked)
    isolated = asked.settings.network_isolation and not asked.image
    own_image = bool(asked.image)
    with sources.model(account, asked.model, own_image=own_image, isolated=isolated) as found:
        has_code = found.archive is not None
        checked = _conformance(found.entry, found.artifact, report)
        if checked.failed and asked.approve:
            advice = "\n".join(finding.advice for finding in checked.failed)
            raise InputError(f"--approve: {found.entry.algorithm.name} {checked}\n{advice}")
        offline = isolated and with_wheels(asked.settings, account, report)
        uri = found.uploaded(offline)
        source = sources.Source(found.entry.algorithm.name, uri, asked.image)
        told = found.artifact.metadata
        properties = _properties(account, asked, found.entry, told, checked, offline)
        if not has_code:
            properties.update(_commit(found.entry))
        lineage = _lineage(account, asked.model, properties)
        request: dict[str, Any] = {
            "ModelPackageGroupName": asked.group,
            "ModelPackageDescription": _clean(f"{found.entry.algorithm.name} by algoshelf", 1024),
            "InferenceSpecification": _specification(account, asked, found.entry, source),
            "ModelApprovalStatus": APPROVED if asked.approve else PENDING,
            "ModelMetrics": {"ModelQuality": {"Statistics": _figures(account, found.entry, told)}},
            "MetadataProperties": lineage,
            "CustomerMetadataProperties": dict(list(properties.items())[:MAX_PROPERTIES]),
        }
    arn = _create(account, asked, found.entry, request, report)
    return {
        "package": arn,
        "group": asked.group,
        "region": account.region,
        "status": request["ModelApprovalStatus"],
        "algorithm": found.entry.algorithm.name,
        "conformance": str(checked),
        "metrics": dict(told.metrics),
        "lineage": {**properties, **lineage},
    }


def check_group(account: Account, asked: Registration) -> None:
    """Raise InputError where the group cannot be had, or is not algoshelf's."""
    if fault := names.fault(asked.group):
        raise InputError(fault.replace("--name", "--group"))
    arn = group_arn(account, asked.group)
    if arn and not asked.foreign and tags.VERSION not in tags.of(account, arn):
        raise InputError(
            f"--group: algoshelf did not make {asked.group}: choose another, or give --foreign to "
            "add to it"
        )


def found(account: Account, reference: str) -> Package:
    """The package of an ARN, ``GROUP:VERSION``, or the latest approved one of ``GROUP``.

    Raises InputError where there is none, AwsError.
    """
    group, colon, version = reference.partition(":")
    if ARN.fullmatch(reference):
        if account.is_unsigned:
            return _unseen(reference)
        return _described(account, reference, reference)
    if not names.is_name(group) or (colon and not re.fullmatch(r"[1-9]\d{0,8}", version)):
        raise InputError(
            f"--package: expected an ARN, GROUP or GROUP:VERSION, got {reference[:80]!r}"
        )
    if account.is_unsigned:
        place = f"arn:aws:sagemaker:{account.region}:{NO_ACCOUNT}:model-package"
        return _unseen(f"{place}/{group}/{version or 'VERSION'}")
    if not group_arn(account, group):
        raise InputError(
            f"--package: there is no group {group!r} in {account.region}; `algoshelf sagemaker "
            "list --registered` shows the groups"
        )
    there = sorted(of_group(account, group), key=lambda each: -int(each["ModelPackageVersion"]))
    if colon:
        chosen = [each for each in there if str(each["ModelPackageVersion"]) == version]
        if not chosen:
            versions = ", ".join(str(each["ModelPackageVersion"]) for each in there) or "none"
            raise InputError(f"--package: {group} has no version {version}; there are {versions}")
    else:
        chosen = [each for each in there if each.get("ModelApprovalStatus") == APPROVED]
        if not chosen:
            waiting = [f"{group}:{each['ModelPackageVersion']}" for each in there] or ["none"]
            raise InputError(
                f"--package: no version of {group} is Approved; there are {', '.join(waiting)}: "
                f"`aws sagemaker update-model-package --model-approval-status {APPROVED} "
                "--model-package-arn ARN` approves one"
            )
    return _described(account, chosen[0]["ModelPackageArn"], reference)


def of_group(account: Account, group: str) -> Iterator[dict[str, Any]]:
    """The summaries of a group's versions."""
    return removal.listed(
        account, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group
    )


def groups(account: Account) -> Iterator[dict[str, Any]]:
    """The summaries of all groups."""
    operation, key = "list_model_package_groups", "ModelPackageGroupSummaryList"
    return removal.listed(account, operation, key)


def group_arn(account: Account, group: str) -> str:
    """The ARN of the group; "" where there is none."""
    described = removal.described(
        account, "describe_model_package_group", ModelPackageGroupName=group
    )
    return str((described or {}).get("ModelPackageGroupArn", ""))


def described(account: Account, arn: str) -> Package | None:
    """The package of this ARN; None where there is none."""
    found = removal.described(account, "describe_model_package", ModelPackageName=arn)
    return None if found is None else Package(found)


def remove(account: Account, arn: str) -> None:
    removal.removed(account, "delete_model_package", ModelPackageName=arn)


def remove_group(account: Account, group: str) -> None:
    removal.removed(account, "delete_model_package_group", ModelPackageGroupName=group)


def _unseen(arn: str) -> Package:
    """The package in a dry run without credentials, taken as one that may be deployed."""
    return Package({"ModelPackageArn": arn, "ModelApprovalStatus": APPROVED})


def _described(account: Account, arn: str, reference: str) -> Package:
    package = described(account, arn)
    if package is None:
        raise InputError(f"--package: there is no package {reference} in {account.region}")
    return package


def _conformance(entry: Entry, artifact: Artifact, report: Report) -> Checked:
    """How the model itself passes, as by ``algoshelf check NAME --model``; nothing is trained."""
    name = entry.algorithm.name
    report(f"Checking the answers, as `algoshelf check {name} --model` does.")
    try:
        engines.resolve(engines.AUTO, artifact.folder)
        with Battery(entry.algorithm, None, reserved(), artifact.folder) as battery:
            findings = [battery.run(each) for each in CHECKS]
    except AlgoshelfError as error:
        return Checked(0, (), str(error).splitlines()[0])
    failed = [finding for finding in findings if finding.status == "failed"]
    return Checked(sum(finding.ok for finding in findings), failed)


def _create(
    account: Account, asked: Registration, entry: Entry, request: dict[str, Any], report: Report
) -> str:
    """Make the group where there is none, and the package; its ARN."""
    client = account.client("sagemaker")
    with Rollback(account, report) as rollback:
        if not group_arn(account, asked.group):
            rollback.creating(
                f"package group {asked.group}",
                partial(remove_group, account, asked.group),
                f"algoshelf sagemaker delete {asked.group} --kind 'package group'",
                arn=partial(group_arn, account, asked.group),
            )
            with explained():
                client.create_model_package_group(
                    ModelPackageGroupName=asked.group,
                    ModelPackageGroupDescription=_clean(entry.algorithm.summary, 1024),
                    Tags=tags.tags(entry.algorithm.name, account.run),
                )
            rollback.created()
        rollback.creating(
            f"a package in {asked.group}",
            partial(_remove_own, account, asked.group),
            f"algoshelf sagemaker list --registered, and delete its newest in {asked.group}",
        )
        with explained():  # AWS takes no tags of a version: those of its group count
            return str(client.create_model_package(**request)["ModelPackageArn"])


def _remove_own(account: Account, group: str) -> None:
    """Remove what this run has registered: the answer to the request may be lost."""
    for each in list(of_group(account, group)):
        package = described(account, each["ModelPackageArn"])
        if package is not None and package.properties.get(RUN) == account.run:
            remove(account, package.arn)


def _specification(
    account: Account, asked: Registration, entry: Entry, source: sources.Source
) -> dict[str, Any]:
    """What answers, on which types, to what."""
    offered = {use: _types(asked, use) for use in (ENDPOINT, TRANSFORM)}
    if asked.instance not in offered[ENDPOINT]:
        instances.find(asked.instance).check(ENDPOINT, own_image=bool(asked.image))
    return {
        "Containers": [source.container(account.region, asked.instance)],
        "SupportedRealtimeInferenceInstanceTypes": offered[ENDPOINT],
        "SupportedTransformInstanceTypes": offered[TRANSFORM],
        "SupportedContentTypes": list(entry.algorithm.accepted_media_types()),
        "SupportedResponseMIMETypes": list(entry.algorithm.response_media_types()),
    }


def _types(asked: Registration, use: str) -> list[str]:
    """The instance types for ``use`` that the image runs on: with GPUs, or those without."""
    has_gpus = bool(instances.find(asked.instance).gpus)
    found = [
        each.name
        for each in instances.known()
        if use in each.uses
        and not each.obstacle
        and (asked.image or (bool(each.gpus) == has_gpus and not each.needs_own_image))
    ]
    return sorted(found, key=lambda name: name != asked.instance)


def _figures(account: Account, entry: Entry, told: Metadata) -> dict[str, str]:
    """The address of the model's figures, in the form that SageMaker Studio draws."""
    kind = FIGURES.get(entry.algorithm.task, "model_metrics")
    figures = {name: {"value": value} for name, value in told.metrics.items()}
    document = {kind: figures, "dataset": {"item_counts": told.examples, "sha256": told.data}}
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        path = Path(scratch, "statistics.json")
        path.write_text(json.dumps(document, indent=2, sort_keys=True))
        uri = data.upload(account, path, "metrics")
    return {"ContentType": "application/json", "S3Uri": uri}


def _properties(
    account: Account,
    asked: Registration,
    entry: Entry,
    told: Metadata,
    checked: Checked,
    offline: bool,
) -> dict[str, str]:
    """What the package says of itself, the most important first."""
    packed = IN_IMAGE if asked.image else WITH_WHEELS if offline else FETCHED
    found = {
        tags.VERSION: metadata.version("algoshelf"),
        RUN: account.run,
        "algorithm": entry.algorithm.name,
        "algorithm version": told.algorithm_version,
        "trained by": told.distribution,
        "seed": str(told.seed),
        CONFORMANCE: str(checked),
        PACKED: packed,
        **{f"data {channel}": digest for channel, digest in told.data.items()},
        **{f"{METRIC}{name}": f"{value:.6g}" for name, value in told.metrics.items()},
    }
    written = {_clean(name, 128): _clean(text, MAX_TEXT) for name, text in found.items()}
    return {name: text for name, text in written.items() if text}


def _lineage(account: Account, model: str, properties: Mapping[str, str]) -> dict[str, str]:
    """Of MetadataProperties: the commit of the code, and the job."""
    found = {}
    if COMMIT in properties:
        found["CommitId"] = properties[COMMIT]
    if not data.is_uri(model) and not sources.is_local(model):
        found["GeneratedBy"] = sources.completed_job(account, model)["TrainingJobArn"]
    return found


def _commit(entry: Entry) -> dict[str, str]:
    """The commit of the code that is packed with the model, where that lies in a git work tree."""
    folder = files_of(type(entry.algorithm))[0].parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return {}
    return {COMMIT: f"{head}{' with changes' if changed else ''}"}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout.strip()


def _clean(text: str, most: int) -> str:
    """``text`` of the characters that AWS takes."""
    return UNWRITABLE.sub(" ", text).strip()[:most]
