"""setup: what an account needs once, made and removed: the role of jobs and endpoints, the policy
of people, and the bucket; imports aws alone.

Each of the three is a part with the ``steps`` that make it what it has to be and the ``removal`` of
what they made. None of it costs anything as long as no data lies in the bucket. A run that is cut
off is completed by the next, since each looks at what there is; the role, which is made first,
has in its tags which regions were set up and which buckets are this command's.
"""

from __future__ import annotations

from typing import Any

from ....core.runtime.errors import InputError
from .. import inventory, rights
from ..account import Account
from .bucket import Bucket, Contents
from .people import Policy
from .role import Role
from .steps import Step

STACK = "aws:cloudformation:stack-name"

__all__ = ["Contents", "Plan", "Removal", "Step"]


class Plan:
    """What ``setup`` has to do; ``people`` get the policy: ``user/NAME``, ``group/NAME``,
    ``role/NAME``. ``key`` is the ARN of the KMS key that the bucket is encrypted with, "" for S3's;
    with it, or ``company``, come the rights to use keys and a VPC.

    ``notes`` say what is left as it is. Raises InputError for what is there under these names and
    somebody else has made, AwsError.
    """

    def __init__(
        self,
        account: Account,
        people: tuple[str, ...] = (),
        key: str = "",
        *,
        company: bool = False,
    ) -> None:
        company = company or bool(key)
        role, policy = Role(account), Policy(account, rights.USER)
        more = Policy(account, rights.COMPANY)
        _check_stack(role, "setup --cloudformation prints the template to change it with")
        bucket = Bucket(account, recorded=account.region in role.buckets)
        faults = [*role.faults(), *policy.faults(), *more.faults()]
        faults += [*bucket.faults(), *policy.unknown(people), *_elsewhere(account, key)]
        if faults:
            raise InputError(*faults)
        self.notes = bucket.notes(key)
        self.steps = [
            *role.steps(owns_bucket=bucket.is_ours or not bucket.exists, company=company),
            *policy.steps(people),
            *(more.steps(people) if company or more.exists else ()),
            *bucket.steps(key),
        ]
        self.role, self.policy, self.bucket = role.arn, policy.arn, bucket.name


class Removal:
    """What ``teardown`` has to do: exactly what ``setup`` made goes, once nothing uses it.

    ``contents`` is what lies in the bucket, which goes only if that is wanted. Raises InputError
    where something still uses the role, or CloudFormation made it; AwsError.
    """

    def __init__(self, account: Account) -> None:
        role = Role(account)
        policies = [Policy(account, document) for document in (rights.USER, rights.COMPANY)]
        self.bucket = Bucket(account, recorded=account.region in role.buckets)
        _check_stack(
            role, f"aws cloudformation delete-stack --stack-name NAME --region {account.region}"
        )
        self.others = [region for region in role.regions if region != account.region]
        self._account, self._role, self._policies = account, role, policies
        leaves = any(part.is_ours for part in (role, *policies, self.bucket))
        if leaves:
            _check_idle(account)
        self.contents = self.bucket.contents() if self.bucket.is_ours else Contents()

    def steps(self, *, data_too: bool) -> list[Step]:
        """In order; without ``data_too`` a bucket with data stays."""
        keeps = bool(self.contents) and not data_too
        steps = [] if keeps else self.bucket.removal()
        if self.others:
            return [*steps, *self._role.forgetting(self._account.region)]
        for policy in self._policies:
            steps += policy.removal()
        return [*steps, *self._role.removal()]

    @property
    def notes(self) -> list[str]:
        """What stays though it has the name, and why."""
        found = [
            f"{part.what}: is left as it is: setup did not make it"
            for part in (self.bucket, *self._policies, self._role)
            if part.exists and not part.is_ours
        ]
        if self.others and self._role.is_ours:
            found.append(
                f"the role and the policies stay: {', '.join(self.others)} use them, see "
                f"`algoshelf sagemaker teardown --region {self.others[0]}`"
            )
        return found


def _check_stack(role: Role, instead: str) -> None:
    if STACK in role.labels:
        name = role.labels[STACK]
        raise InputError(
            f"{role.what}: the stack {name} of CloudFormation made it, which would not know of a "
            f"change: {instead.replace('NAME', name)}"
        )


def _elsewhere(account: Account, key: str) -> list[str]:
    """A fault where the key is not of the bucket's region."""
    if not key or key.split(":")[3] == account.region:
        return []
    return [f"--kms-key: {key} is of another region than the bucket, {account.region}"]


def _check_idle(account: Account) -> None:
    """Raise InputError where something of algoshelf's is billed: it acts in the role."""
    busy = [f"{item.kind} {item.name}" for item in inventory.found(account) if item.is_ours]
    if busy:
        raise InputError(
            *(f"{each}: is billed, and acts in the role" for each in busy),
            f"end it first: algoshelf sagemaker delete --all --region {account.region}",
        )


def document(plan: Plan, account: Account, done: list[str]) -> dict[str, Any]:
    """For programs: what there is now, and what was ``done``."""
    return {
        "account": account.identity["Account"],
        "region": account.region,
        "role": plan.role,
        "policy": plan.policy,
        "bucket": plan.bucket,
        "done": done,
        "notes": plan.notes,
    }
