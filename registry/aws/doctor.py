"""The account: whether jobs and endpoints can run in it, and what to do where they cannot."""

from __future__ import annotations

import os
import re
from typing import Any, Iterator, Mapping, Sequence

from ...core.runtime.errors import InputError, MissingDependencyError
from ..doctor import FAILED, OK, UNKNOWN, WARNING, Check
from . import checks, images, rights
from .account import ROLE_VARIABLE, Account, AwsError, explained
from .instances import CPU
from .setup.bucket import Bucket
from .setup.role import NAME, Role
from .setup.steps import found, place

SETUP = "algoshelf sagemaker setup"
DENIED = ("AccessDenied", "AccessDeniedException")
USER = re.compile(r"arn:([a-z-]+):(?:iam|sts)::([0-9]+):user/(.+)")
# What stands for the type and the name of a resource of SageMaker's.
SOME = "endpoint/x"
MAX_TOLD = 6  # actions


def examined(
    region: str | None, profile: str | None, role: str | None, instances: Sequence[str]
) -> Iterator[Check]:
    """Each check, as it is done; after one that all others need and that fails, no more."""
    try:
        account = Account(region=region, profile=profile)
    except MissingDependencyError as error:
        yield Check("boto3", FAILED, str(error), "pip install 'algoshelf[sagemaker]'")
        return
    except InputError as error:
        yield Check("region", FAILED, str(error), "export AWS_DEFAULT_REGION=REGION")
        return
    except AwsError as error:
        yield Check("credentials", FAILED, str(error), "aws configure, or aws sso login")
        return
    try:
        who = account.identity["Arn"]
    except AwsError as error:
        yield Check("credentials", FAILED, str(error), "aws configure, or aws sso login")
        return
    yield _credentials(who)
    yield _region(account.region)
    for part in (_role(account, role), _people(account), _bucket(account)):
        yield from _whatever_fails(part)
    for name in instances or [CPU]:
        yield from _whatever_fails(_quotas(account, name, asked=bool(instances)))


def _whatever_fails(part: Iterator[Check]) -> Iterator[Check]:
    """The checks of a part; what AWS refuses, or a network, ends that part alone."""
    try:
        yield from part
    except AwsError as error:
        yield Check("AWS", FAILED, str(error))


def _credentials(who: str) -> Check:
    if who.endswith(":root"):
        fix = f"{SETUP} --for user/YOU, then sign in as that user"
        return Check("credentials", WARNING, f"{who}: the root user, who may do everything", fix)
    return Check("credentials", OK, who)


def _region(region: str) -> Check:
    if region in images.regions():
        return Check("region", OK, f"{region}: has AWS's images of MXNet")
    text = f"{region}: AWS has no image of MXNet here"
    return Check("region", WARNING, text, "choose another --region, or give --image of your own")


def _role(account: Account, given: str | None) -> Iterator[Check]:
    """The role of jobs and endpoints: it is there, SageMaker may assume it, it suffices."""
    wanted = given or os.environ.get(ROLE_VARIABLE) or checks.own_role(account) or NAME
    name = wanted.rpartition("/")[2]
    try:
        answer = found(account.client("iam").get_role, RoleName=name)
    except AwsError as error:
        if error.aws_code not in DENIED:
            raise
        fix = f"whoever may: {SETUP} --for user/YOU"
        yield Check("role", UNKNOWN, f"{name}: iam:GetRole is not allowed", fix)
        return
    if answer is None:
        yield Check("role", FAILED, f"{name}: there is no such role", SETUP)
        return
    role = answer["Role"]
    yield Check("role", OK, role["Arn"])
    yield _trust(account, name, role.get("AssumeRolePolicyDocument", {}))
    yield _sufficient(account, name, role["Arn"])


def _trust(account: Account, name: str, policy: Any) -> Check:
    number = account.identity["Account"]
    mending = (
        SETUP
        if name == NAME
        else f"aws iam update-assume-role-policy --role-name {name} --policy-document "
        "file://docs/iam-execution-trust.json, with ACCOUNT filled in"
    )
    if not checks.trusts(policy, number):
        text = f"{name}: {checks.TRUSTED} may not assume it for account {number}"
        return Check("trust", FAILED, text, mending)
    if not checks.is_bound(policy):
        text = (
            f"{name}: SageMaker may assume it for anybody's job (no aws:SourceAccount or "
            "aws:SourceArn in its trust: the confused deputy)"
        )
        return Check("trust", WARNING, text, mending)
    return Check("trust", OK, f"{checks.TRUSTED} may assume it, for account {number} alone")


def _sufficient(account: Account, name: str, arn: str) -> Check:
    """Whether the role may do what containers do."""
    mending = SETUP if name == NAME else f"give it what docs/{rights.EXECUTION}.json says"
    denied = _denied(account, arn, rights.EXECUTION)
    if denied is not None:
        if denied:
            return Check("role's policy", FAILED, f"{name} may not: {_few(denied)}", mending)
        return Check("role's policy", OK, "allows what containers do (by IAM's simulation)")
    try:
        own = Role(account).policy() if name == NAME else None
    except AwsError:
        own = None
    if own is None:
        text = f"{name}: iam:SimulatePrincipalPolicy and iam:GetRolePolicy are not allowed"
        return Check("role's policy", UNKNOWN, text, f"whoever may: {SETUP}")
    if own != rights.policy(rights.EXECUTION, place(account)):
        text = f"{name}: its policy {NAME} is another than this version of algoshelf's"
        return Check("role's policy", WARNING, text, SETUP)
    return Check("role's policy", OK, f"its policy {NAME} is that of this version of algoshelf")


def _people(account: Account) -> Iterator[Check]:
    """Whether who signs in may do what the commands do."""
    who = account.identity["Arn"]
    if who.endswith(":root"):
        return
    source = _principal(account, who)
    denied = _denied(account, source, rights.USER)
    fix = f"whoever may: {SETUP} --for {source.split(':')[5]}"
    if denied is None:
        text = f"iam:SimulatePrincipalPolicy is not allowed for {source}"
        yield Check("your rights", UNKNOWN, text, fix)
    elif denied:
        commands = sorted(_commands_of(denied))
        text = f"not allowed: {_few(denied)}; so these fail: {', '.join(commands)}"
        yield Check("your rights", FAILED, text, fix)
    else:
        text = "allow what `algoshelf sagemaker` does (by IAM's simulation)"
        yield Check("your rights", OK, text)


def _principal(account: Account, who: str) -> str:
    """The ARN of the user or role behind credentials."""
    user = USER.fullmatch(who)
    if user:
        return f"arn:{user[1]}:iam::{user[2]}:user/{user[3]}"
    assumed = checks.ASSUMED_ROLE.fullmatch(who)
    if not assumed:
        return who
    try:
        answer = found(account.client("iam").get_role, RoleName=assumed[3])
    except AwsError:
        answer = None
    return (
        str(answer["Role"]["Arn"])
        if answer
        else (f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}")
    )


def _commands_of(denied: Sequence[str]) -> set[str]:
    return {
        name
        for statement in rights.STATEMENTS
        if statement.document == rights.USER
        for call in statement.calls
        if call.action in denied
        for name in call.commands
    }


def _few(actions: Sequence[str]) -> str:
    more = f" and {len(actions) - MAX_TOLD} more" if len(actions) > MAX_TOLD else ""
    return ", ".join(actions[:MAX_TOLD]) + more


def _denied(account: Account, source: str, document: str) -> list[str] | None:
    """What of the policy ``document`` the user or role ``source`` may not do; None where IAM may
    not be asked.
    """
    denied = []
    for statement in rights.STATEMENTS:
        if statement.document != document:
            continue
        policy = statement.policy(place(account))
        try:
            with explained():
                pages = (
                    account.client("iam")
                    .get_paginator("simulate_principal_policy")
                    .paginate(
                        PolicySourceArn=source,
                        ActionNames=_listed(policy["Action"]),
                        ResourceArns=[_some(account, _listed(policy["Resource"])[0])],
                        ContextEntries=_context(account, policy.get("Condition", {})),
                    )
                )
                results = [each for page in pages for each in page["EvaluationResults"]]
        except AwsError as error:
            if error.aws_code in DENIED:
                return None
            raise
        denied += [each["EvalActionName"] for each in results if each["EvalDecision"] != "allowed"]
    return sorted(set(denied))


def _some(account: Account, resource: str) -> str:
    """A resource that an ARN with ``*`` in it stands for."""
    if resource == "*":
        return resource
    head, _, last = resource.rpartition(":")
    if last == "*":
        last = SOME
    named = _filled(account, f"{head}:{last}")
    parts = named.split(":", 5)
    parts[3] = account.region if parts[3] == "*" else parts[3]
    return (
        ":".join(parts)
        .replace("*", account.region if ":s3:" in named else "x", 1)
        .replace("*", "x")
    )


def _context(account: Account, condition: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Values of the keys under which the condition holds."""
    return [
        {
            "ContextKeyName": key,
            "ContextKeyValues": [
                "1"
                if operator == "Null"
                else _filled(account, str(_listed(value)[0])).replace("*", "x")
            ],
            "ContextKeyType": "string",
        }
        for operator, keys in condition.items()
        for key, value in keys.items()
    ]


def _filled(account: Account, text: str) -> str:
    """IAM's variables, as they are for who signs in."""
    name = account.identity["Arn"].rpartition("/")[2]
    number = account.identity["Account"]
    return text.replace("${aws:PrincipalAccount}", number).replace("${aws:username}", name)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _bucket(account: Account) -> Iterator[Check]:
    """The account's own bucket: it is there, it is the account's, and it is kept well."""
    try:
        recorded = account.region in Role(account).buckets
    except AwsError:
        recorded = False
    try:
        bucket = Bucket(account, recorded=recorded)
    except AwsError as error:
        if error.aws_code not in DENIED:
            raise
        yield Check("bucket", UNKNOWN, str(error))
        return
    if bucket.refused:
        fix = "sign in as who may, or choose another --region"
        yield Check("bucket", FAILED, bucket.faults()[0], fix)
        return
    if not bucket.exists:
        text = f"{bucket.name}: is not there yet: the first job makes it, without what setup gives"
        yield Check("bucket", WARNING, text, SETUP)
        return
    try:
        lacking = [setting for setting, _ in bucket.lacking()]
    except AwsError as error:
        if error.aws_code not in DENIED:
            raise
        yield Check("bucket", UNKNOWN, f"{bucket.name}: {error}")
        return
    if not lacking:
        yield Check("bucket", OK, f"{bucket.name}: encrypted, private, by TLS alone")
    elif bucket.is_ours:
        why = "; ".join(setting.why for setting in lacking)
        yield Check("bucket", WARNING, f"{bucket.name}: {why}", SETUP)
    else:
        why = "; ".join(setting.why for setting in lacking)
        yield Check("bucket", WARNING, f"{bucket.name}: {why}", bucket.handing_over())


def _quotas(account: Account, instance: str, *, asked: bool) -> Iterator[Check]:
    """How many instances of the type the account may run, for each use."""
    names = {use: name.format(instance) for use, name in checks.QUOTA_NAMES.items()}
    names["spot"] = checks.SPOT_QUOTA_NAME.format(instance)
    try:
        with explained():
            there = {each["QuotaName"]: each for each in checks.quotas(account)}
    except AwsError as error:
        yield Check(instance, UNKNOWN, f"the quotas are not to be seen: {error}")
        return
    values = {use: there[name]["Value"] for use, name in names.items() if name in there}
    if not values:
        text = f"{instance}: no quota of this type is listed"
        yield Check(instance, UNKNOWN, text, "algoshelf sagemaker cost lists the types")
        return
    told = ", ".join(f"{use} {value:g}" for use, value in values.items())
    none = [use for use, value in values.items() if not value]
    if not none:
        yield Check(instance, OK, f"quotas: {told}")
        return
    code = there[names[none[0]]]["QuotaCode"]
    fix = (
        "aws service-quotas request-service-quota-increase --service-code sagemaker "
        f"--quota-code {code} --desired-value 1 --region {account.region}"
    )
    status = FAILED if asked and len(none) == len(values) else WARNING
    yield Check(instance, status, f"quotas: {told}; none for {', '.join(none)}", fix)
