"""The AWS account: clients, region, role and bucket, and AWS's errors in plain words.

The one module that imports boto3.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from functools import cached_property
from types import MappingProxyType
from typing import Any, Callable, Iterator, Mapping

from ...core.runtime.errors import AlgoshelfError, InputError, MissingDependencyError

MARKUP = re.compile(r"<(!doctype|html|head|body)\b", re.IGNORECASE)
READING = ("Describe", "List", "Get", "Head", "Search", "Batch", "Filter", "BatchGet")
# Through these botocore fetches credentials, as of a profile that assumes a role.
SIGNING_IN = ("sts", "sso", "sso-oidc", "signin")
PLACEHOLDER = "arn:{partition}:sagemaker:{region}:{account}:dry-run/{name}"
S3_REQUEST, OWNER, ANY = "provide-client-params.s3", "ExpectedBucketOwner", "any"
ROLE_VARIABLE = "ALGOSHELF_ROLE"
CREATION = "provide-client-params"
MAKING = ("Create", "PutMetricAlarm", "RegisterScalableTarget")
# What only an account knows, in the requests of a dry run without credentials.
NO_ACCOUNT, NO_REGION = "ACCOUNT", "REGION"
NOBODY = {"Account": NO_ACCOUNT, "Arn": f"arn:aws:iam::{NO_ACCOUNT}:user/USER"}
UNSIGNED = (
    "There are no AWS credentials: the requests are shown as of an account that has nothing yet, "
    "with ACCOUNT, REGION and ROLE for what only an account knows. Its role, quotas, names and "
    "data in S3 are not checked."
)
REFUSED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
FIXES = {
    "AccessDenied": "the credentials lack a right; docs/sagemaker.md has the policy",
    "AccessDeniedException": "the credentials lack a right; docs/sagemaker.md has the policy",
    "ExpiredToken": "sign in again, as with `aws sso login`",
    "ExpiredTokenException": "sign in again, as with `aws sso login`",
    "NoCredentialsError": "sign in, as with `aws configure`",
    "PartialCredentialsError": "sign in, as with `aws configure`",
    "InvalidClientTokenId": "these credentials are unknown: see `aws configure`",
    "ReadTimeoutError": "the model takes too long: send less at once, or deploy it with --async",
    "ResourceInUse": "somebody has made one of this name: choose another --name",
    "ResourceLimitExceeded": "ask for a higher quota: Service Quotas, Amazon SageMaker",
    "EndpointConnectionError": "is there a network, and is the region spelt right?",
    "SSOTokenLoadError": "sign in again, as with `aws sso login`",
    "Throttling": "AWS got too many requests: try again in a minute",
    "ThrottlingException": "AWS got too many requests: try again in a minute",
    "TokenRetrievalError": "sign in again, as with `aws sso login`",
    "UnauthorizedSSOTokenError": "sign in again, as with `aws sso login`",
    "UnrecognizedClientException": "these credentials are unknown: see `aws configure`",
}


class AwsError(AlgoshelfError):
    """AWS refused, or could not be reached; ``aws_code`` is its own code, "" where it has none."""

    code = "aws"

    def __init__(self, message: str, aws_code: str = "") -> None:
        super().__init__(message)
        self.aws_code = aws_code


class Account:
    """An account in one region, as boto3 finds it; clients are made when first used.

    In a dry run nothing is created, changed or uploaded: each such request is handed to
    ``planned`` with its service, operation and parameters, checked as botocore checks them, and
    answered with placeholders. What only reads is asked of AWS all the same. ``boto`` is a session
    of boto3's to act through, in place of a new one. ``run`` marks what is created through it.

    Every request to S3 names the account that the bucket is to belong to, this one, so that nobody
    else's bucket under an expected name takes or gives anything. ``bucket_owner`` is another
    account that buckets may belong to, except the account's own, or ANY.

    What is created with tags gets ``tags`` as well, and what is written to S3 is encrypted by
    ``kms_key``. A dry run without credentials asks AWS nothing (``is_unsigned``): it is answered as
    by an account that has nothing yet.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        profile: str | None = None,
        planned: Callable[[str, str, dict[str, Any]], None] | None = None,
        boto: Any = None,
        bucket_owner: str = "",
        tags: Mapping[str, str] = MappingProxyType({}),
        kms_key: str = "",
    ) -> None:
        boto3 = _boto3()
        with explained():
            self.boto = boto or boto3.Session(region_name=region, profile_name=profile)
            self.is_unsigned = planned is not None and self.boto.get_credentials() is None
        if not self.boto.region_name and not self.is_unsigned:
            raise InputError("no AWS region: give --region, or set AWS_DEFAULT_REGION")
        self.region: str = self.boto.region_name or NO_REGION
        self.dry = planned is not None
        self.run = secrets.token_hex(8)
        self.bucket_owner = bucket_owner
        self.tags = dict(tags)
        self.kms_key = kms_key
        self._clients: dict[str, Any] = {}
        if boto is None:  # of clients that the SDK makes, too
            self._listen(self.boto.events)
        if planned is not None:
            self._intercept(planned)

    def client(self, service: str) -> Any:
        """The client of ``service``; its errors are botocore's, see ``explained``."""
        from botocore.config import Config

        if service not in self._clients:
            config = Config(retries={"mode": "standard", "max_attempts": 5})
            where = {"region_name": self.region} if self.is_unsigned else {}
            with explained():
                made = self.boto.client(service, config=config, **where)
                self._listen(made.meta.events)
                self._clients[service] = made
        return self._clients[service]

    @cached_property
    def identity(self) -> dict[str, str]:
        """Whose credentials these are: ``Account``, ``Arn``. Raises AwsError."""
        if self.is_unsigned:
            return NOBODY
        with explained():
            return dict(self.client("sts").get_caller_identity())

    @property
    def partition(self) -> str:
        return self.identity["Arn"].split(":")[1]

    @property
    def bucket(self) -> str:
        """The name of the bucket that the SageMaker SDK uses too."""
        return f"sagemaker-{self.region}-{self.identity['Account']}"

    def _listen(self, events: Any) -> None:
        events.register(S3_REQUEST, self._name_owner)
        events.register(S3_REQUEST, self._encrypt)
        events.register(CREATION, self._add_tags)

    def _encrypt(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Have S3 encrypt what is written by the company's key."""
        writes = model.name in ("PutObject", "CopyObject", "CreateMultipartUpload")
        if self.kms_key and writes and "SSEKMSKeyId" not in params:
            params.update(ServerSideEncryption="aws:kms", SSEKMSKeyId=self.kms_key)

    def _add_tags(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """The company's tags on what is created with tags, whatever it is."""
        if not self.tags or not model.name.startswith(MAKING):
            return
        for field in ("Tags", "tags"):
            given = params.get(field)
            if isinstance(given, dict):  # as CloudWatch Logs has them
                params[field] = {**self.tags, **given}
            elif given:
                there = {tag["Key"] for tag in given}
                more = [{"Key": k, "Value": v} for k, v in self.tags.items() if k not in there]
                params[field] = [*given, *more]

    def _name_owner(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Have S3 refuse the request where the bucket is another's."""
        if OWNER not in model.input_shape.members or OWNER in params:
            return
        if params.get("Bucket") == self.bucket or not self.bucket_owner:
            params[OWNER] = self.identity["Account"]
        elif self.bucket_owner != ANY:
            params[OWNER] = self.bucket_owner

    def _intercept(self, planned: Callable[[str, str, dict[str, Any]], None]) -> None:
        events = self.boto.events

        def changes(model: Any) -> bool:
            if model.service_model.service_name in SIGNING_IN:
                return False
            return not model.name.startswith(READING)

        def answer(model: Any, params: Any, **_: Any) -> Any:
            from botocore.awsrequest import AWSResponse

            if not changes(model):
                return _of_nothing(model) if self.is_unsigned else None

            shape = model.output_shape
            parsed = {
                name: PLACEHOLDER.format(
                    partition=self.partition,
                    region=self.region,
                    account=self.identity["Account"],
                    name=model.name,
                )
                for name, member in (shape.members.items() if shape else ())
                if member.type_name == "string"
            }
            return AWSResponse("", 200, {}, None), parsed

        def note(params: dict[str, Any], model: Any, **_: Any) -> None:
            if changes(model):
                planned(str(model.service_model.service_name), model.name, dict(params))

        events.register("provide-client-params", note)
        events.register("before-call", answer)


def _of_nothing(model: Any) -> Any:
    """The answer of an account that has nothing: empty lists, and nothing of any name."""
    from botocore.awsrequest import AWSResponse

    if model.name.startswith(("List", "Search")):
        found: dict[str, list[Any]] = {
            name: []
            for name, member in model.output_shape.members.items()
            if member.type_name == "list"
        }
        return AWSResponse("", 200, {}, None), found
    fault = {"Code": "404" if model.name.startswith("Head") else "ResourceNotFound"}
    if model.service_model.service_name == "iam":
        fault["Code"] = "NoSuchEntity"
    return AWSResponse("", 404, {}, None), {"Error": {**fault, "Message": UNSIGNED}}


def local_session() -> Any:
    """A session of boto3's that knows no account, for what answers on this machine.

    Raises MissingDependencyError.
    """
    return _boto3().Session(
        region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local"
    )


def _boto3() -> Any:
    try:
        import boto3
    except ImportError:
        raise MissingDependencyError(
            "AWS needs boto3: pip install 'algoshelf[sagemaker]'"
        ) from None
    return boto3


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Errors of botocore within become AwsError, with what to do about them."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("botocore", "boto3")):
            raise
        raise _explained(error) from None


def _explained(error: Exception) -> AwsError:
    response = getattr(error, "response", None)
    code = ""
    text = str(error)
    if isinstance(response, dict):
        fault = response.get("Error", {})
        code = str(fault.get("Code", ""))
        told = str(fault.get("Message") or code)
        if MARKUP.search(told):  # of a proxy, or of a load balancer
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", "no status")
            told = f"what answered was not AWS's API but a page of HTML ({status})"
        text = f"{getattr(error, 'operation_name', 'AWS')}: {told}"
    elif type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        text = "no AWS credentials were found"
    fix = FIXES.get(code or type(error).__name__, "")
    return AwsError(f"{text}: {fix}" if fix else text, code)
