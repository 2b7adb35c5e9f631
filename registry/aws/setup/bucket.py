"""The account's bucket for SageMaker: encrypted, private, by TLS alone, and tidy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

from .. import data, tags
from ..account import Account, AwsError, explained
from .steps import Step, found, gone, place, step

TLS = "OnlyTls"  # the Sid
UPLOADS, CHECKPOINTS = "algoshelf-uploads", "algoshelf-checkpoints"  # the IDs of rules
# A job lasts 28 days at most, and no other job looks at its checkpoints.
CHECKPOINT_DAYS = 30
BATCH = 1_000  # objects that S3 deletes at once
REFUSED = ("403", "AccessDenied")


@dataclass(frozen=True)
class Contents:
    """What lies in a bucket: objects, in all their versions, and unfinished uploads."""

    objects: int = 0
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.objects)

    def __str__(self) -> str:
        objects = "1 object" if self.objects == 1 else f"{self.objects:,} objects"
        in_short = f" ({self.size / 1e9:,.1f} GB)" if self.size >= 1e9 else ""
        return f"{objects} of {self.size:,} bytes{in_short}"


@dataclass(frozen=True)
class Setting:
    """A property of the bucket: whether it ``holds``, by ``read``, and the request that makes it.

    ``read`` gives what is set, None where nothing is; ``wanted`` makes of that what is to be set.
    """

    name: str
    what: str
    why: str
    operation: str
    read: Callable[[Any, str], Any]
    holds: Callable[[Any, str], bool]
    wanted: Callable[[Account, Any, str], Mapping[str, Any]]


def _encryption(client: Any, bucket: str) -> Any:
    answer = found(client.get_bucket_encryption, Bucket=bucket)
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"] if answer else []
    return rules[0]["ApplyServerSideEncryptionByDefault"] if rules else None


def _is_encrypted(rule: Any, key: str) -> bool:
    """Without a ``key`` any encryption will do."""
    return bool(rule) and (not key or rule.get("KMSMasterKeyID") == key)


def _encrypting(account: Account, rule: Any, key: str) -> Mapping[str, Any]:
    by = {"SSEAlgorithm": "AES256"}
    if key:
        by = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = [{"ApplyServerSideEncryptionByDefault": by, "BucketKeyEnabled": bool(key)}]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


OWNED = "BucketOwnerEnforced"
PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


def _public_access(client: Any, bucket: str) -> Any:
    answer = found(client.get_public_access_block, Bucket=bucket)
    return answer and answer["PublicAccessBlockConfiguration"]


def _ownership(client: Any, bucket: str) -> Any:
    answer = found(client.get_bucket_ownership_controls, Bucket=bucket)
    return answer and answer["OwnershipControls"]["Rules"][0]["ObjectOwnership"]


def _policy(client: Any, bucket: str) -> Any:
    answer = found(client.get_bucket_policy, Bucket=bucket)
    return json.loads(answer["Policy"]) if answer else None


def _is_tls_only(policy: Any, _: str) -> bool:
    """Whether a statement denies all to everybody without TLS."""
    return any(
        each.get("Effect") == "Deny"
        and each.get("Principal") in ("*", {"AWS": "*"})
        and each.get("Action") in ("s3:*", ["s3:*"])
        and each.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for each in (policy or {}).get("Statement", ())
    )


def tls_only(bucket: str) -> dict[str, Any]:
    """The statement; ``bucket`` is an ARN."""
    return {
        "Sid": TLS,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, f"{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def _with_tls_only(account: Account, policy: Any, _: str) -> Mapping[str, Any]:
    """What others say in the policy stays."""
    others = [each for each in (policy or {}).get("Statement", ()) if each.get("Sid") != TLS]
    arn = place(account).fill(f"arn:PARTITION:s3:::{account.bucket}")
    document = {"Version": "2012-10-17", "Statement": [*others, tls_only(arn)]}
    return {"Policy": json.dumps(document)}


RULES: tuple[dict[str, Any], ...] = (
    {
        "ID": UPLOADS,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    },
    {
        "ID": CHECKPOINTS,
        "Status": "Enabled",
        "Filter": {"Prefix": f"{data.PREFIX}/jobs/checkpoints/"},
        "Expiration": {"Days": CHECKPOINT_DAYS},
    },
)


def _lifecycle(client: Any, bucket: str) -> Any:
    answer = found(client.get_bucket_lifecycle_configuration, Bucket=bucket)
    return answer and answer["Rules"]


def _is_tidy(rules: Any, _: str) -> bool:
    return {_said(rule) for rule in RULES} <= {_said(rule) for rule in rules or ()}


def _said(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a rule says, however S3 writes it: a filter for everything may be left out."""
    return (
        rule.get("ID"),
        rule.get("Status"),
        rule.get("Filter", {}).get("Prefix") or rule.get("Prefix") or "",
        rule.get("Expiration", {}).get("Days"),
        rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"),
    )


def _tidying(account: Account, rules: Any, _: str) -> Mapping[str, Any]:
    """What others have as rules stays."""
    own = {rule["ID"] for rule in RULES}
    others = [each for each in rules or () if each.get("ID") not in own]
    return {"LifecycleConfiguration": {"Rules": [*others, *RULES]}}


SETTINGS = (
    Setting(
        "private",
        "keep the bucket private, whatever a policy or an ACL says",
        "a policy or an ACL could make it public",
        "put_public_access_block",
        _public_access,
        lambda found, _: found == PRIVATE,
        lambda account, _, key: {"PublicAccessBlockConfiguration": PRIVATE},
    ),
    Setting(
        "ownership",
        "have every object in the bucket belong to this account, without ACLs",
        "objects could belong to who uploads them",
        "put_bucket_ownership_controls",
        _ownership,
        lambda found, _: found == OWNED,
        lambda account, _, key: {"OwnershipControls": {"Rules": [{"ObjectOwnership": OWNED}]}},
    ),
    Setting(
        "encryption",
        "encrypt what lies in the bucket",
        "what lies in it is not encrypted as wanted",
        "put_bucket_encryption",
        _encryption,
        _is_encrypted,
        _encrypting,
    ),
    Setting(
        "TLS",
        "refuse requests to the bucket without TLS",
        "it takes requests without TLS",
        "put_bucket_policy",
        _policy,
        _is_tls_only,
        _with_tls_only,
    ),
    Setting(
        "lifecycle",
        "drop unfinished uploads after a day, and checkpoints of jobs after "
        f"{CHECKPOINT_DAYS} days",
        "unfinished uploads and old checkpoints stay, and are billed",
        "put_bucket_lifecycle_configuration",
        _lifecycle,
        _is_tidy,
        _tidying,
    ),
)


class Bucket:
    """The bucket as it is; ``recorded`` says that the role's tags have it as made by ``setup``."""

    def __init__(self, account: Account, *, recorded: bool) -> None:
        self._account = account
        self._client = account.client("s3")
        self.name = account.bucket
        self.what = f"bucket {self.name}"
        self.refused = ""
        self.exists, self.labels = False, dict[str, str]()
        try:
            self.exists = found(self._client.head_bucket, Bucket=self.name) is not None
        except AwsError as error:
            if error.aws_code not in REFUSED:
                raise
            self.refused = str(error)
        if self.exists:
            answer = found(self._client.get_bucket_tagging, Bucket=self.name)
            self.labels = tags.read(answer["TagSet"] if answer else ())
        self.is_ours = self.exists and (recorded or tags.VERSION in self.labels)

    def faults(self) -> list[str]:
        """Why it cannot be used."""
        if not self.refused:
            return []
        return [
            f"{self.name}: is somebody else's bucket, or these credentials may not look at it: "
            f"{self.refused}"
        ]

    def lacking(self, key: str = "") -> Iterator[tuple[Setting, Any]]:
        """Each setting that does not hold, with what is set."""
        for setting in SETTINGS:
            value = setting.read(self._client, self.name) if self.exists else None
            if not setting.holds(value, key):
                yield setting, value

    def notes(self, key: str = "") -> list[str]:
        """What a bucket lacks that ``setup`` did not make, and leaves as it is."""
        if not self.exists or self.is_ours:
            return []
        lacks = [f"  {setting.why}" for setting, _ in self.lacking(key)]
        head = f"{self.name}: is used, and left as it is: setup did not make it"
        if not lacks:
            return [head]
        return ["\n".join([f"{head}. It lacks:", *lacks]), f"To mend that, {self.handing_over()}"]

    def handing_over(self) -> str:
        """What has ``setup`` see to a bucket that it did not make."""
        own = [{"Key": key, "Value": value} for key, value in self.labels.items()]
        listed = json.dumps({"TagSet": [*own, {"Key": tags.VERSION, "Value": "setup"}]})
        return (
            f"hand it over to `algoshelf sagemaker setup`: aws s3api put-bucket-tagging --bucket "
            f"{self.name} --tagging '{listed}'"
        )

    def steps(self, key: str = "") -> list[Step]:
        """What makes it what it has to be."""
        if self.exists and not self.is_ours:
            return []
        steps = []
        if not self.exists:
            steps.append(
                Step(f"make the bucket {self.name}", lambda: data.ensured_bucket(self._account))
            )
        if tags.VERSION not in self.labels:
            own = tags.setup(self._account.run)
            others = [{"Key": key, "Value": each} for key, each in self.labels.items()]
            steps.append(
                step(
                    "tag the bucket as made by setup",
                    self._client.put_bucket_tagging,
                    Bucket=self.name,
                    Tagging={"TagSet": [*others, *own]},
                )
            )
        for setting, value in self.lacking(key):
            wanted = setting.wanted(self._account, value, key)
            request = getattr(self._client, setting.operation)
            steps.append(step(setting.what, request, Bucket=self.name, **wanted))
        return steps

    def contents(self) -> Contents:
        """What lies in it. Raises AwsError."""
        count, size = 0, 0
        with explained():
            for page in self._versions():
                for each in page.get("Versions", ()):
                    count, size = count + 1, size + each["Size"]
                count += len(page.get("DeleteMarkers", ()))
        return Contents(count, size)

    def removal(self) -> list[Step]:
        """All that lies in it, and the bucket."""
        if not self.is_ours:
            return []
        steps = []
        if self.contents():
            steps.append(Step(f"delete what lies in the bucket {self.name}", self._emptied))
        return [
            *steps,
            Step(f"abort unfinished uploads to the bucket {self.name}", self._aborted),
            gone(f"delete the bucket {self.name}", self._client.delete_bucket, Bucket=self.name),
        ]

    def _versions(self) -> Iterator[dict[str, Any]]:
        yield from self._client.get_paginator("list_object_versions").paginate(Bucket=self.name)

    def _emptied(self) -> None:
        with explained():
            for page in self._versions():
                objects = [
                    {"Key": each["Key"], "VersionId": each["VersionId"]}
                    for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
                ]
                for start in range(0, len(objects), BATCH):
                    part = {"Objects": objects[start : start + BATCH], "Quiet": True}
                    answer = self._client.delete_objects(Bucket=self.name, Delete=part)
                    _check(answer.get("Errors", ()))

    def _aborted(self) -> None:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name)
        with explained():
            for page in pages:
                for each in page.get("Uploads", ()):
                    self._client.abort_multipart_upload(
                        Bucket=self.name, Key=each["Key"], UploadId=each["UploadId"]
                    )


def _check(errors: Any) -> None:
    if errors:
        first = errors[0]
        raise AwsError(
            f"{len(errors)} objects could not be deleted, first {first['Key']!r}: "
            f"{first.get('Message', first.get('Code'))}",
            str(first.get("Code", "")),
        )
