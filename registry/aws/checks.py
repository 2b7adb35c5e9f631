"""Checks before anything is uploaded, created or billed; each error says what to do."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from ...core.algorithm.channels import check_channels
from ...core.algorithm.hyperparameters import Hyperparameters
from ...core.data.reading import Reading
from ...core.data.walking import walk
from ...core.runtime.errors import DataError, InputError
from ...core.training import Reporter, RunOptions
from ...core.training import train as run_training
from ..discovery import AnyAlgorithm
from . import data, instances
from .account import NO_ACCOUNT, REFUSED, ROLE_VARIABLE, Account, AwsError, explained
from .instances import ENDPOINT, TRAINING, TRANSFORM, Instance
from .rights import EXECUTION_ROLE, SAGEMAKER

TRUSTED = SAGEMAKER
QUOTA_NAMES = {
    TRAINING: "{} for training job usage",
    ENDPOINT: "{} for endpoint usage",
    TRANSFORM: "{} for transform job usage",
}
SPOT_QUOTA_NAME = "{} for spot training job usage"
ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)
ASSUMED_ROLE = re.compile(r"arn:([a-z-]+):sts::([0-9]+):assumed-role/([^/]+)/.*")
CONSOLE_ROLE = "AmazonSageMaker-ExecutionRole"
NO_ROLE = f"arn:aws:iam::{NO_ACCOUNT}:role/ROLE"  # in a dry run without credentials
CHECKED_EXAMPLES = 2_000

Tell = Callable[[str], None]


def say(text: str) -> None:
    """To people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def instance(
    name: str, use: str, *, hosts: int = 1, hyperparameters: Hyperparameters | None = None
) -> Instance:
    """The instance type ``name``, which runs MXNet and takes the batch of ``hyperparameters``.

    Raises InputError, with alternatives.
    """
    found = instances.find(name)
    found.check(use)
    batch = getattr(hyperparameters, "batch_size", None)
    if batch is not None:
        instances.check_batch(batch, found, hosts)
    return found


def channels(
    algorithm: AnyAlgorithm, given: Mapping[str, str], account: Account, tell: Tell = say
) -> dict[str, Path | str]:
    """The channels, each a path here that exists and isn't empty, or a URI with bytes in S3.

    What would not be uploaded is told. Raises DataError with every fault, AwsError.
    """
    here = {name: Path(source) for name, source in given.items() if not data.is_uri(source)}
    there = {name: source for name, source in given.items() if data.is_uri(source)}
    standing_in: dict[str, Path | None] = {**here, **dict.fromkeys(there, Path("/"))}
    faults: list[str] = []
    try:
        check_channels(algorithm.channels, standing_in)
    except DataError as error:
        faults += error.faults
    for name, path in here.items():
        try:
            not_empty(path, tell)
        except DataError as error:
            formats = ", ".join(_formats(algorithm, name))
            faults += (f"{fault} (channel {name!r}): expected {formats}" for fault in error.faults)
    for name, uri in there.items():
        try:
            data.check_uri(account, uri)
        except DataError as error:
            faults += (f"{fault} (channel {name!r})" for fault in error.faults)
    if faults:
        raise DataError(*faults)
    return {name: here.get(name) or there[name] for name in given}


def not_empty(path: Path, tell: Tell = say) -> None:
    """Tell what of a folder is left out. Raises DataError for a file without bytes and a folder
    without files.
    """
    found = walk(path)
    if not found.files:
        raise DataError("; ".join([f"{path}: holds no files", *found.left_out]))
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path}: is empty")
    for left in found.left_out:
        tell(f"{path}: is not uploaded: {left}")


def contents(
    algorithm: AnyAlgorithm,
    given: Mapping[str, Path],
    hyperparameters: Hyperparameters,
    reading: Reading | None = None,
) -> None:
    """Read the channels as a training does, up to its first step. Raises what a training would.

    Local paths only. What a training needs a GPU for is left out.
    """
    if getattr(hyperparameters, "precision", "") == "mixed":
        hyperparameters = hyperparameters.model_copy(update={"precision": "float32"})
    options = RunOptions(devices="cpu", examples=CHECKED_EXAMPLES, reading=reading or Reading())
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        try:
            run_training(
                algorithm,
                given,
                hyperparameters,
                Path(scratch, "model"),
                options=options,
                reporter=_UpToTheFirstStep(),
            )
        except _Begun:
            return


class _Begun(BaseException):
    """The training would begin now; no ``except Exception`` of an algorithm holds it up."""


class _UpToTheFirstStep(Reporter):
    def begin(self, steps: int) -> None:
        raise _Begun

    def step(self, step: int) -> None:
        raise _Begun

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        raise _Begun


def execution_role(account: Account, given: str | None) -> str:
    """The ARN of the role that a job acts in: ``given``, that of ALGOSHELF_ROLE, one's own in a
    notebook of SageMaker, or the one that ``sagemaker setup`` makes.

    Raises InputError where there is none, or SageMaker may not assume it.
    """
    found = given or os.environ.get(ROLE_VARIABLE) or own_role(account)
    if not found and account.is_unsigned:
        found = NO_ROLE
    if found:
        return role(account, found)
    try:
        return role(account, EXECUTION_ROLE)
    except InputError as error:
        raise InputError(
            f"no role for the job to act in: `algoshelf sagemaker setup` makes one, and --role or "
            f"{ROLE_VARIABLE} names another that {TRUSTED} may assume; {error}"
        ) from None


def role(account: Account, given: str, tell: Tell = say) -> str:
    """The ARN of the role ``given`` by its ARN or name, which SageMaker may assume.

    Raises InputError where it does not exist or does not trust SageMaker. Where the credentials
    may not look, that is told.
    """
    arn = given.startswith("arn:")
    if given == NO_ROLE and account.is_unsigned:
        return given
    if arn and not ROLE_ARN.fullmatch(given):
        raise InputError(
            f"--role: {given!r} is no ARN of a role: expected arn:aws:iam::ACCOUNT:role/NAME"
        )
    name = given.rpartition("/")[2]
    if not arn and not all(sign.isalnum() or sign in "+=,.@_-" for sign in name):
        raise InputError(f"--role: {given!r} is no name and no ARN of a role")
    if account.is_unsigned:
        return given if arn else f"arn:{account.partition}:iam::{NO_ACCOUNT}:role/{given}"
    if arn and given.split(":")[4] != account.identity["Account"]:
        tell(f"{given}: is of another account, and cannot be checked")
        return given
    try:
        with explained():
            found = account.client("iam").get_role(RoleName=name)["Role"]
    except AwsError as error:
        if error.aws_code == "NoSuchEntity":
            raise InputError(
                f"{given}: there is no such role: create one that {TRUSTED} may assume "
                f"(docs/sagemaker.md), or give another by --role or {ROLE_VARIABLE}"
            ) from None
        if error.aws_code not in REFUSED:
            raise
        tell(f"{given}: the credentials may not look at it (iam:GetRole), so it is not checked")
        partition, number = account.partition, account.identity["Account"]
        return given if arn else f"arn:{partition}:iam::{number}:role/{given}"
    if not trusts(found.get("AssumeRolePolicyDocument", {}), account.identity["Account"]):
        raise InputError(
            f"{found['Arn']}: {TRUSTED} may not assume it for account "
            f"{account.identity['Account']}: see its trust policy (docs/sagemaker.md), or give "
            f"another role by --role or {ROLE_VARIABLE}"
        )
    return str(found["Arn"])


def quota(
    account: Account, name: str, use: str, count: int, *, spot: bool = False, tell: Tell = say
) -> None:
    """Raise InputError where the account may not run ``count`` instances of the type ``name``.

    Where the credentials may not look, or nothing is said of the type, that is told.
    """
    if account.is_unsigned:
        return
    quota_name = (SPOT_QUOTA_NAME if spot else QUOTA_NAMES[use]).format(name)
    try:
        with explained():
            found = next(
                (each for each in quotas(account) if each["QuotaName"] == quota_name), None
            )
    except AwsError as error:
        tell(f"the quota of {name} is not checked: {error}")
        return
    if found is None:
        tell(f"the quota {quota_name!r} is not listed, and so not checked")
    elif found["Value"] < count:
        raise InputError(
            f"{name}: the account's quota {quota_name!r} is {found['Value']:g}, and {count} "
            f"{'is' if count == 1 else 'are'} needed: ask for more by `aws service-quotas "
            f"request-service-quota-increase --service-code sagemaker --quota-code "
            f"{found['QuotaCode']} --desired-value {count} --region {account.region}`, or choose "
            "another --instance"
        )


def own_role(account: Account) -> str:
    """The role whose credentials these are, as in SageMaker's notebooks; "" where they are none's.

    Its path is not in its credentials: SageMaker's own console puts its roles under one.
    """
    found = ASSUMED_ROLE.fullmatch(account.identity["Arn"])
    if found is None:
        return ""
    partition, number, name = found.groups()
    path = "service-role/" if name.startswith(CONSOLE_ROLE) else ""
    return f"arn:{partition}:iam::{number}:role/{path}{name}"


def quotas(account: Account) -> Iterator[Mapping[str, Any]]:
    pages = account.client("service-quotas").get_paginator("list_service_quotas")
    for page in pages.paginate(ServiceCode="sagemaker"):
        yield from page["Quotas"]


def trusts(policy: Any, number: str) -> bool:
    """Whether the trust policy lets SageMaker in for the account of this ``number``.

    Another condition than that on ``aws:SourceAccount`` is taken to hold.
    """
    policy = json.loads(policy) if isinstance(policy, str) else policy
    for statement in _listed(policy.get("Statement")):
        principal = statement.get("Principal", {})
        services = _listed(principal.get("Service")) if isinstance(principal, dict) else []
        actions = _listed(statement.get("Action"))
        if (
            statement.get("Effect") == "Allow"
            and TRUSTED in services
            and {"sts:AssumeRole", "sts:*", "*"} & set(actions)
            and _is_for(statement.get("Condition", {}), number)
        ):
            return True
    return False


def is_bound(policy: Any) -> bool:
    """Whether SageMaker may assume it for certain accounts or resources alone."""
    policy = json.loads(policy) if isinstance(policy, str) else policy
    conditions = json.dumps([each.get("Condition") for each in _listed(policy.get("Statement"))])
    return any(key in conditions.lower() for key in ("aws:sourceaccount", "aws:sourcearn"))


def _is_for(condition: Mapping[str, Any], number: str) -> bool:
    """Whether a condition that demands that the source be of certain accounts names this one."""
    for keys in (condition.get("StringEquals", {}), condition.get("StringLike", {})):
        for key, value in keys.items():
            if key.lower() == "aws:sourceaccount" and not any(
                fnmatchcase(number, each) for each in _listed(value)
            ):
                return False
    return True


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _formats(algorithm: AnyAlgorithm, name: str) -> tuple[str, ...]:
    return next((each.formats for each in algorithm.channels if each.name == name), ())
