"""The execution role: what jobs and endpoints act in; its tags are the record of ``setup``."""

from __future__ import annotations

import json
from typing import Any

from .. import rights, tags
from ..account import Account, explained
from .steps import Step, found, gone, place, step

NAME = rights.EXECUTION_ROLE
# Its inline policies, each with the document that it is of.
POLICIES = {rights.EXECUTION: NAME, rights.COMPANY_ROLE: rights.COMPANY_POLICY}
# On the role: the regions that were set up, and those whose bucket this made, with blanks between.
REGIONS, BUCKETS = "algoshelf:regions", "algoshelf:buckets"


class Role:
    """The role as it is in the account."""

    what = f"role {NAME}"

    def __init__(self, account: Account) -> None:
        self._account = account
        self._client = account.client("iam")
        answer = found(self._client.get_role, RoleName=NAME)
        self._role: dict[str, Any] = answer["Role"] if answer else {}
        self.labels = tags.read(self._role.get("Tags", ()))
        self.arn = place(account).fill(rights.ROLE[0])

    @property
    def exists(self) -> bool:
        return bool(self._role)

    @property
    def is_ours(self) -> bool:
        return tags.VERSION in self.labels

    @property
    def regions(self) -> list[str]:
        """Those that were set up."""
        return self.labels.get(REGIONS, "").split()

    @property
    def buckets(self) -> list[str]:
        """The regions whose bucket ``setup`` made, or was about to make when it was cut off."""
        return self.labels.get(BUCKETS, "").split()

    def faults(self) -> list[str]:
        """Why it cannot be made."""
        if not self.exists or self.is_ours:
            return []
        return [
            f"{NAME}: there is a role of this name, which setup did not make: delete it, or hand "
            f"it over to setup, which then replaces its trust and its policy {NAME}: aws iam "
            f"tag-role --role-name {NAME} --tags Key={tags.VERSION},Value=setup"
        ]

    def steps(self, *, owns_bucket: bool, company: bool) -> list[Step]:
        """What makes it what it has to be. ``owns_bucket``: this region's is made, too;
        ``company``: it may use keys and enter a VPC.
        """
        client, where = self._client, place(self._account)
        trust = rights.trust(where)
        record = self._record(self._account.region, owns_bucket)
        steps = []
        if not self.exists:
            steps.append(
                step(
                    f"make the role {NAME}, which SageMaker alone may assume, for this account",
                    client.create_role,
                    RoleName=NAME,
                    AssumeRolePolicyDocument=json.dumps(trust),
                    Description="What the jobs and endpoints of algoshelf act in",
                    Tags=[*tags.setup(self._account.run), *record],
                )
            )
        else:
            if self._role.get("AssumeRolePolicyDocument") != trust:
                steps.append(
                    step(
                        f"have SageMaker alone assume the role {NAME}, for this account",
                        client.update_assume_role_policy,
                        RoleName=NAME,
                        PolicyDocument=json.dumps(trust),
                    )
                )
            if tags.read(record).items() - self.labels.items():
                steps.append(
                    step(
                        f"note {self._account.region} in the tags of the role {NAME}",
                        client.tag_role,
                        RoleName=NAME,
                        Tags=record,
                    )
                )
        does = {
            rights.EXECUTION: "read and write the bucket, write logs, and pull images",
            rights.COMPANY_ROLE: "use KMS keys of the account, and enter a VPC",
        }
        for document, what in does.items():
            policy, wanted = self.policy(document), rights.policy(document, where)
            if policy == wanted or (document != rights.EXECUTION and not (policy or company)):
                continue
            steps.append(
                step(
                    f"let the role {NAME} {what}",
                    client.put_role_policy,
                    RoleName=NAME,
                    PolicyName=POLICIES[document],
                    PolicyDocument=json.dumps(wanted),
                )
            )
        return steps

    def policy(self, document: str = rights.EXECUTION) -> dict[str, Any] | None:
        """Its inline policy of ``document``; None where it has none."""
        if not self.exists:
            return None
        answer = found(self._client.get_role_policy, RoleName=NAME, PolicyName=POLICIES[document])
        return dict(answer["PolicyDocument"]) if answer else None

    def removal(self) -> list[Step]:
        """All of it, with what others have attached to it."""
        if not self.is_ours:
            return []
        client = self._client
        with explained():
            pages = client.get_paginator("list_attached_role_policies").paginate(RoleName=NAME)
            attached = [each["PolicyArn"] for page in pages for each in page["AttachedPolicies"]]
            pages = client.get_paginator("list_role_policies").paginate(RoleName=NAME)
            inline = [each for page in pages for each in page["PolicyNames"]]
        steps = [
            gone(
                f"detach {arn} from the role {NAME}",
                client.detach_role_policy,
                RoleName=NAME,
                PolicyArn=arn,
            )
            for arn in attached
        ]
        steps += [
            gone(
                f"delete the policy {name} of the role {NAME}",
                client.delete_role_policy,
                RoleName=NAME,
                PolicyName=name,
            )
            for name in inline
        ]
        return [*steps, gone(f"delete the role {NAME}", client.delete_role, RoleName=NAME)]

    def forgetting(self, region: str) -> list[Step]:
        """``region`` goes out of the record."""
        kept = {
            REGIONS: [each for each in self.regions if each != region],
            BUCKETS: [each for each in self.buckets if each != region],
        }
        if not self.is_ours or region not in self.regions:
            return []
        record = [{"Key": key, "Value": " ".join(values)} for key, values in kept.items()]
        what = f"strike {region} from the tags of the role {NAME}"
        return [step(what, self._client.tag_role, RoleName=NAME, Tags=record)]

    def _record(self, region: str, owns_bucket: bool) -> list[dict[str, str]]:
        buckets = [*self.buckets, *([region] if owns_bucket else [])]
        noted = {REGIONS: [*self.regions, region], BUCKETS: buckets}
        return [
            {"Key": key, "Value": " ".join(dict.fromkeys(values))}
            for key, values in noted.items()
            if values
        ]
