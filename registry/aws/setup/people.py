"""The policy of people: what ``algoshelf sagemaker`` may do for whoever has it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Mapping, Sequence

from .. import rights, tags
from ..account import Account, explained
from .steps import Step, found, gone, place, step

# The policies, each with the document that it is of.
NAMES = {rights.USER: rights.USER_POLICY, rights.COMPANY: rights.COMPANY_POLICY}
MAX_VERSIONS = 5
ENTITIES = {"user": "User", "group": "Group", "role": "Role"}  # as written, and as AWS has it
FIND = {"user": "get_user", "group": "get_group", "role": "get_role"}
ATTACH = {
    "user": "attach_user_policy",
    "group": "attach_group_policy",
    "role": "attach_role_policy",
}
DETACH = {
    "user": "detach_user_policy",
    "group": "detach_group_policy",
    "role": "detach_role_policy",
}


class Policy:
    """The managed policy of ``document`` as it is in the account, and who has it."""

    def __init__(self, account: Account, document: str) -> None:
        self._account = account
        self._client = account.client("iam")
        self._document, self.name = document, NAMES[document]
        self.what = f"policy {self.name}"
        self.arn = place(account).fill(f"arn:PARTITION:iam::ACCOUNT:policy/{self.name}")
        answer = found(self._client.get_policy, PolicyArn=self.arn)
        self._policy: dict[str, Any] = answer["Policy"] if answer else {}

    @property
    def exists(self) -> bool:
        return bool(self._policy)

    @property
    def is_ours(self) -> bool:
        return tags.VERSION in tags.read(self._policy.get("Tags", ()))

    def faults(self) -> list[str]:
        """Why it cannot be made."""
        if not self.exists or self.is_ours:
            return []
        return [
            f"{self.name}: there is a policy of this name, which setup did not make: delete it, or "
            f"hand it over to setup, which then replaces what it says: aws iam tag-policy "
            f"--policy-arn {self.arn} --tags Key={tags.VERSION},Value=setup"
        ]

    def unknown(self, people: Sequence[str]) -> list[str]:
        """A fault for each of ``people`` whom there is none of."""
        faults = []
        for entity in people:
            kind, _, name = entity.partition("/")
            get = getattr(self._client, FIND[kind])
            if found(get, **{f"{ENTITIES[kind]}Name": name}) is None:
                faults.append(f"--for {entity}: there is no such {kind} in the account")
        return faults

    def steps(self, people: Sequence[str]) -> list[Step]:
        """What makes it what it has to be, and gives it to ``people``."""
        client, wanted = self._client, rights.policy(self._document, place(self._account))
        steps = []
        if not self.exists:
            steps.append(
                step(
                    f"make the policy {self.name}: what people may do by `algoshelf sagemaker`",
                    client.create_policy,
                    PolicyName=self.name,
                    PolicyDocument=json.dumps(wanted),
                    Description="What people may do by algoshelf sagemaker",
                    Tags=tags.setup(self._account.run),
                )
            )
        elif self._text() != wanted:
            steps += self._replacement(wanted)
        has = self.entities() if self.exists else []
        for entity in dict.fromkeys(people):
            if entity not in has:
                what = f"give the policy {self.name} to {entity}"
                steps.append(step(what, self._request(ATTACH, entity)))
        return steps

    def entities(self) -> list[str]:
        """Who has it, as ``user/NAME``."""
        with explained():
            pages = self._client.get_paginator("list_entities_for_policy").paginate(
                PolicyArn=self.arn
            )
            return [
                f"{kind}/{each[f'{title}Name']}"
                for page in pages
                for kind, title in ENTITIES.items()
                for each in page[f"Policy{title}s"]
            ]

    def removal(self) -> list[Step]:
        """From everybody who has it, then the policy."""
        if not self.is_ours:
            return []
        steps = [
            gone(f"take the policy {self.name} from {entity}", self._request(DETACH, entity))
            for entity in self.entities()
        ]
        steps += [
            gone(
                f"delete the version {version} of the policy {self.name}",
                self._client.delete_policy_version,
                PolicyArn=self.arn,
                VersionId=version,
            )
            for version in self._old_versions()
        ]
        return [
            *steps,
            gone(f"delete the policy {self.name}", self._client.delete_policy, PolicyArn=self.arn),
        ]

    def _replacement(self, wanted: dict[str, Any]) -> list[Step]:
        old, client = self._old_versions(), self._client
        steps = []
        if len(old) >= MAX_VERSIONS - 1:
            steps.append(
                gone(
                    f"delete the version {old[-1]} of the policy {self.name}, as AWS keeps five",
                    client.delete_policy_version,
                    PolicyArn=self.arn,
                    VersionId=old[-1],
                )
            )
        steps.append(
            step(
                f"have the policy {self.name} say what this version of algoshelf asks for",
                client.create_policy_version,
                PolicyArn=self.arn,
                PolicyDocument=json.dumps(wanted),
                SetAsDefault=True,
            )
        )
        return steps

    def _request(self, operations: Mapping[str, str], entity: str) -> Any:
        kind, _, name = entity.partition("/")
        request = getattr(self._client, operations[kind])
        return partial(request, **{f"{ENTITIES[kind]}Name": name}, PolicyArn=self.arn)

    def _text(self) -> dict[str, Any]:
        with explained():
            answer = self._client.get_policy_version(
                PolicyArn=self.arn, VersionId=self._policy["DefaultVersionId"]
            )
        return dict(answer["PolicyVersion"]["Document"])

    def _old_versions(self) -> list[str]:
        """All but that which counts, the newest first."""
        with explained():
            pages = self._client.get_paginator("list_policy_versions").paginate(PolicyArn=self.arn)
            versions = [each for page in pages for each in page["Versions"]]
        old = [each["VersionId"] for each in versions if not each["IsDefaultVersion"]]
        return sorted(old, key=lambda version: int(version[1:]), reverse=True)
