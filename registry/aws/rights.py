"""The rights at AWS: which requests each command makes, on what, and why.

``STATEMENTS`` is the one place that says so. The policies in ``docs/``, the page ``docs/iam.md``
and what ``sagemaker setup`` makes are written from it, and the tests hold every request that a
command sends against it. Whoever adds a request to a command adds its ``Call`` here, then writes
the files anew:

    python -m algoshelf.registry.aws.rights docs
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from . import images

EXECUTION_ROLE = "algoshelf-execution"  # also the name of its one inline policy
USER_POLICY = "algoshelf"
COMPANY_POLICY = "algoshelf-company"  # of people, and beside the role's own
SAGEMAKER = "sagemaker.amazonaws.com"
SCALING = "sagemaker.application-autoscaling.amazonaws.com"
MAX_CHARACTERS = 6_144  # of a managed policy, without white space
MAX_INLINE = 10_240  # of a role's inline policies together

# The documents: for people, for whoever sets up and tears down, for the containers.
USER, SETUP, EXECUTION = "iam-policy", "iam-setup", "iam-execution-role"
COMPANY, COMPANY_ROLE = "iam-company", "iam-company-role"  # for KMS keys, and a VPC
TRUST = "iam-execution-trust"
WEB = "iam-web"  # for whoever deploys review apps
# In place of a command: the container of a job or an endpoint, which SageMaker itself acts for.
CONTAINER = "container"


class Place(NamedTuple):
    """Where the policies hold: what ``PARTITION`` and ``ACCOUNT`` stand for in a resource."""

    partition: str = "aws"
    account: str = "ACCOUNT"

    def fill(self, text: str) -> str:
        return text.replace("PARTITION", self.partition).replace("ACCOUNT", self.account)


IN_DOCS = Place()


@dataclass(frozen=True)
class Call:
    """A right, ``service:Action``, with the commands that need it and why.

    ``implied`` says why AWS asks for the right though no command sends a request of that name.
    """

    action: str
    commands: tuple[str, ...]
    why: str
    implied: str = ""


@dataclass(frozen=True)
class Statement:
    """A statement of the policy ``document``; ``resources`` are ARNs, or a function of the place.

    ``wildcard`` says why it reaches every resource, where it does.
    """

    sid: str
    document: str
    calls: tuple[Call, ...]
    resources: Sequence[str] | Callable[[Place], Sequence[str]]
    condition: Mapping[str, Mapping[str, Any]] | None = None
    wildcard: str = ""

    def policy(self, place: Place) -> dict[str, Any]:
        """As IAM takes it."""
        found = self.resources(place) if callable(self.resources) else self.resources
        statement: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": _one_or_all(sorted({call.action for call in self.calls})),
            "Resource": _one_or_all([place.fill(resource) for resource in found]),
        }
        if self.condition:
            statement["Condition"] = json.loads(place.fill(json.dumps(self.condition)))
        return statement


def call(action: str, commands: str, why: str, implied: str = "") -> Call:
    """``commands`` with blanks between."""
    return Call(action, tuple(commands.split()), why, implied)


def calls(service: str, *rows: tuple[str, ...]) -> tuple[Call, ...]:
    """Of one service; each row is a right's name, then as ``call``."""
    return tuple(call(f"{service}:{name}", *rest) for name, *rest in rows)


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _image_repositories(place: Place) -> list[str]:
    """One's own, and those of AWS that hold MXNet's images."""
    accounts = images.accounts(place.partition)
    return [
        "arn:PARTITION:ecr:*:ACCOUNT:repository/*",
        *(f"arn:PARTITION:ecr:*:{number}:repository/mxnet-*" for number in accounts),
    ]


OURS_REQUESTED = {"Null": {"aws:RequestTag/algoshelf": "false"}}
OURS_ALREADY = {"Null": {"aws:ResourceTag/algoshelf": "false"}}
OWN_ACCOUNT = {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}
ALL_OF_SAGEMAKER = ("arn:PARTITION:sagemaker:*:ACCOUNT:*",)
BUCKET = ("arn:PARTITION:s3:::sagemaker-*-ACCOUNT",)
OBJECTS = ("arn:PARTITION:s3:::sagemaker-*-ACCOUNT/*",)
ROLE = (f"arn:PARTITION:iam::ACCOUNT:role/{EXECUTION_ROLE}",)
POLICY = tuple(
    f"arn:PARTITION:iam::ACCOUNT:policy/{name}" for name in (USER_POLICY, COMPANY_POLICY)
)
REGISTERED = tuple(
    f"arn:PARTITION:sagemaker:*:ACCOUNT:{kind}/*"
    for kind in ("model-package", "model-package-group")
)
KEYS = ("arn:PARTITION:kms:*:ACCOUNT:key/*",)
BY_S3 = {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}
S3_ASKS = "S3 asks for it in the name of whoever writes or reads"
CREATING = {
    "CreateEndpoint": "deploy",
    "CreateEndpointConfig": "deploy update",
    "CreateHyperParameterTuningJob": "tune",
    "CreateInferenceComponent": "deploy",
    "CreateModel": "deploy update transform",
    "CreateModelPackageGroup": "register",
    "CreateTrainingJob": "train benchmark",
    "CreateTransformJob": "transform",
}
TAGGING = " ".join(dict.fromkeys(" ".join(CREATING.values()).split()))
UNDONE = "deploy update transform"  # what undoes what it made when it fails
WITH_TAGS = "AWS asks for it wherever something is created with tags"
BY_TRANSFERS = "boto3's transfers of files send it"
STOCK = "list delete sweep teardown"  # what looks at what there is
CHECKED = "train tune transform deploy update benchmark"
WRITING = f"{CHECKED} register invoke models"

# Review apps: all that CloudFormation makes of one is called so.
APP = "algoshelf-web-*"
APP_BUCKETS = (f"arn:PARTITION:s3:::{APP}",)
APP_OBJECTS = (f"arn:PARTITION:s3:::{APP}/*",)
BY_CLOUDFORMATION = "CloudFormation asks for it in your name"


def by_cloudformation(service: str, names: str, why: str) -> tuple[Call, ...]:
    """Rights for what CloudFormation makes and removes of a review app; ``names`` with blanks."""
    return tuple(call(f"{service}:{name}", "web", why, BY_CLOUDFORMATION) for name in names.split())


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        "CreateTaggedOnly",
        USER,
        tuple(
            call(f"sagemaker:{name}", commands, "makes what is billed; only with the tag algoshelf")
            for name, commands in CREATING.items()
        ),
        ALL_OF_SAGEMAKER,
        OURS_REQUESTED,
    ),
    Statement(
        "TagOnCreation",
        USER,
        (
            call("sagemaker:AddTags", TAGGING, "what is created bears its tags from the beginning",
                 WITH_TAGS),
        ),
        ALL_OF_SAGEMAKER,
        {"StringEquals": {"sagemaker:TaggingAction": sorted(CREATING)}},
    ),
    Statement(
        "ChangeOwn",
        USER,
        (
            call("sagemaker:AddTags", "update", "the endpoint is of another algorithm then"),
            call("sagemaker:DeleteEndpoint", "delete sweep deploy", "ends what is billed"),
            call("sagemaker:DeleteEndpointConfig", f"delete sweep {UNDONE}", "leaves nothing"),
            call("sagemaker:DeleteInferenceComponent", "delete sweep deploy",
                 "ends what is billed"),
            call("sagemaker:DeleteModel", f"delete sweep {UNDONE}", "leaves nothing"),
            call("sagemaker:DeleteModelPackage", "delete register",
                 "a version that is not wanted; it counts as tagged as its group"),
            call("sagemaker:DeleteModelPackageGroup", "delete sweep register", "leaves nothing"),
            call("sagemaker:InvokeEndpoint", "invoke", "asks for predictions"),
            call("sagemaker:InvokeEndpointAsync", "invoke", "asks for predictions"),
            call("sagemaker:StopHyperParameterTuningJob", "delete tune", "ends what is billed"),
            call("sagemaker:StopTrainingJob", "delete train benchmark", "ends what is billed"),
            call("sagemaker:StopTransformJob", "delete transform", "ends what is billed"),
            call("sagemaker:UpdateEndpoint", "update", "gives it another configuration"),
            call("sagemaker:UpdateEndpointWeightsAndCapacities", "update",
                 "moves requests to the new model in steps"),
        ),
        ALL_OF_SAGEMAKER,
        OURS_ALREADY,
    ),
    Statement(
        "Register",
        USER,
        (
            call("sagemaker:CreateModelPackage", "register", "a version of a model; AWS takes no "
                 "tags of it, so it is known by a property"),
        ),
        REGISTERED,
        {"Null": {"sagemaker:CustomerMetadataProperties/algoshelf": "false"}},
    ),
    Statement(
        "Look",
        USER,
        (
            call("application-autoscaling:DescribeScalableTargets", "update delete deploy sweep",
                 "scaling that has to be kept, or removed"),
            call("application-autoscaling:DescribeScalingPolicies", "update delete deploy sweep",
                 "scaling that has to be kept, or removed"),
            call("cloudwatch:DescribeAlarms", f"deploy update {STOCK}",
                 "the alarms that wake an endpoint from zero"),
            call("cloudwatch:ListTagsForResource", STOCK,
                 "whether an alarm is algoshelf's"),
            call("cloudwatch:GetMetricData", "update", "rolls back on errors"),
            call("logs:DescribeLogGroups", STOCK, "what logs are stored"),
            call("pricing:GetProducts", "cost", "--refresh reads AWS's price list"),
            call("sagemaker:DescribeEndpoint", f"deploy update models status invoke {STOCK}",
                 "whether a name is free, waiting, and what there is to remove"),
            call("sagemaker:DescribeEndpointConfig", f"deploy update invoke {STOCK}",
                 "what an endpoint runs on, and what there is to remove"),
            call("sagemaker:DescribeHyperParameterTuningJob", f"tune status logs {STOCK}",
                 "whether a name is free, waiting"),
            call("sagemaker:DescribeInferenceComponent",
                 f"deploy update invoke {STOCK}", "waiting, and which model it uses"),
            call("sagemaker:DescribeModel", f"{UNDONE} invoke {STOCK}",
                 "what there is to remove, and what answers"),
            call("sagemaker:DescribeModelPackage", f"register deploy invoke {STOCK}",
                 "whether a registered model may be deployed, and what it was made of"),
            call("sagemaker:DescribeModelPackageGroup", f"register deploy {STOCK}",
                 "whether there is the group"),
            call("sagemaker:ListModelPackageGroups", f"update deploy {STOCK}",
                 "what is registered"),
            call("sagemaker:ListModelPackages", f"register update deploy {STOCK}",
                 "what is registered, and the latest that is approved"),
            call("sagemaker:DescribeTrainingJob",
                 "train tune transform deploy models update register status logs benchmark "
                 f"{STOCK}",
                 "whether a name is free, waiting, and where the model is"),
            call("sagemaker:DescribeTransformJob", f"transform status logs update {STOCK}",
                 "whether a name is free, waiting"),
            call("sagemaker:ListEndpointConfigs", f"update deploy {STOCK}",
                 "what there is to remove"),
            call("sagemaker:ListEndpoints", f"update deploy {STOCK}",
                 "what is billed, and what uses a model"),
            call("sagemaker:ListHyperParameterTuningJobs", STOCK, "what is billed"),
            call("sagemaker:ListInferenceComponents", f"update invoke {STOCK}",
                 "what shares an endpoint, what uses a model, and which one is to answer"),
            call("sagemaker:ListModels", f"update {STOCK}", "what there is to remove"),
            call("sagemaker:ListTags", f"{WRITING} {STOCK}",
                 "whether it is algoshelf's, and this run's"),
            call("sagemaker:ListTrainingJobs", STOCK, "what is billed"),
            call("sagemaker:ListTrainingJobsForHyperParameterTuningJob", "status tune",
                 "what a search has cost"),
            call("sagemaker:ListTransformJobs", f"update {STOCK}",
                 "what is billed, and what uses a model"),
            call("servicequotas:ListServiceQuotas", f"{CHECKED} doctor",
                 "a quota that is too small is reported before anything is created"),
        ),
        ("*",),
        wildcard="AWS knows no narrower right to list, to read metrics, prices or quotas; what "
        "is described may be anybody's, as whoever checks whether a name is free needs",
    ),
    Statement(
        "ReadLogs",
        USER,
        (
            call("logs:DescribeLogStreams", "logs train tune transform", "what containers print"),
            call("logs:GetLogEvents", "logs train tune transform", "what containers print"),
            call("logs:ListTagsForResource", STOCK, "whether a log is algoshelf's"),
        ),
        ("arn:PARTITION:logs:*:ACCOUNT:log-group:/aws/sagemaker/*",),
    ),
    Statement(
        "LogsOfEndpoints",
        USER,
        (
            call("logs:CreateLogGroup", "deploy", "an endpoint's log bears its tags"),
            call("logs:TagResource", "deploy", "an endpoint's log bears its tags",
                 "AWS asks for it where a log group is made with tags"),
            call("logs:DeleteLogGroup", "delete sweep", "a log that is empty"),
            call("logs:PutRetentionPolicy", "deploy", "an endpoint's log is kept for 30 days"),
        ),
        (
            "arn:PARTITION:logs:*:ACCOUNT:log-group:/aws/sagemaker/Endpoints/*",
            "arn:PARTITION:logs:*:ACCOUNT:log-group:/aws/sagemaker/InferenceComponents/*",
        ),
    ),
    Statement(
        "ScaleEndpoints",
        USER,
        tuple(
            call(f"application-autoscaling:{name}", commands, "scaling, and its removal")
            for name, commands in {
                "DeleteScalingPolicy": "delete update deploy sweep",
                "DeregisterScalableTarget": "delete update deploy sweep",
                "PutScalingPolicy": "deploy update",
                "RegisterScalableTarget": "deploy update",
            }.items()
        ),
        ("arn:PARTITION:application-autoscaling:*:ACCOUNT:scalable-target/*",),
        {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
    ),
    Statement(
        "AlarmsOfScaling",
        USER,
        tuple(
            call(f"cloudwatch:{name}", "deploy update delete", "the alarms that scaling follows",
                 "Application Auto Scaling makes and removes them in your name")
            for name in ("DeleteAlarms", "PutMetricAlarm")
        ),
        ("arn:PARTITION:cloudwatch:*:ACCOUNT:alarm:TargetTracking*",),
    ),
    Statement(
        "AlarmsThatWake",
        USER,
        (
            call("cloudwatch:DeleteAlarms", "deploy update delete sweep", "leaves nothing"),
            call("cloudwatch:PutMetricAlarm", "deploy update", "wakes an endpoint from zero"),
            call("cloudwatch:TagResource", "deploy update", "the alarm bears its tags",
                 "AWS asks for it where an alarm is made with tags"),
        ),
        ("arn:PARTITION:cloudwatch:*:ACCOUNT:alarm:algoshelf-wakes-*",),
    ),
    Statement(
        "RoleOfScaling",
        USER,
        (
            call("iam:CreateServiceLinkedRole", "deploy update", "AWS's own role for scaling",
                 "the first scaling in an account makes it in your name"),
        ),
        (f"arn:PARTITION:iam::ACCOUNT:role/aws-service-role/{SCALING}/*",),
        {"StringEquals": {"iam:AWSServiceName": SCALING}},
    ),
    Statement(
        "LookAtOneRole",
        USER,
        calls(
            "iam",
            ("GetRole", f"{CHECKED} doctor", "it exists and trusts SageMaker"),
            ("GetRolePolicy", "doctor", "whether it suffices, where nobody may simulate"),
        ),
        ROLE,
    ),
    Statement(
        "Simulate",
        USER,
        (call("iam:SimulatePrincipalPolicy", "doctor", "what you and the role may do"),),
        (*ROLE, "arn:PARTITION:iam::ACCOUNT:user/${aws:username}"),
    ),
    Statement(
        "HandOverOneRole",
        USER,
        (
            call("iam:PassRole", CHECKED, "hands that one role to SageMaker, and to nothing else",
                 "AWS asks for it wherever a request names a role"),
        ),
        ROLE,
        {"StringEquals": {"iam:PassedToService": SAGEMAKER}},
    ),
    Statement(
        "MakeBucket",
        USER,
        (
            call("s3:CreateBucket", WRITING, "the account's bucket for SageMaker, once"),
        ),
        BUCKET,
    ),
    Statement(
        "OwnBucket",
        USER,
        (
            call("s3:ListBucket", f"{WRITING} drift doctor {STOCK}", "what is there already"),
            *calls(
                "s3",
                *(
                    (name, "doctor", "whether it is kept well")
                    for name in (
                        "GetBucketOwnershipControls",
                        "GetBucketPolicy",
                        "GetBucketPublicAccessBlock",
                        "GetBucketTagging",
                        "GetEncryptionConfiguration",
                        "GetLifecycleConfiguration",
                    )
                ),
            ),
        ),
        BUCKET,
        OWN_ACCOUNT,
    ),
    Statement(
        "OwnObjects",
        USER,
        (
            call("s3:AbortMultipartUpload", WRITING, "an upload that fails leaves no parts",
                 BY_TRANSFERS),
            call("s3:GetObject", "deploy models update transform benchmark register invoke drift",
                 "a model, a measurement, an answer, captured requests"),
            call("s3:PutObject", f"{WRITING} drift", "data, code and models", BY_TRANSFERS),
        ),
        OBJECTS,
        OWN_ACCOUNT,
    ),
    Statement(
        "MakeRole",
        SETUP,
        calls(
            "iam",
            ("CreateRole", "setup", "the execution role"),
            ("DeleteRole", "teardown", "the execution role"),
            ("DeleteRolePolicy", "teardown", "its policies"),
            ("DetachRolePolicy", "teardown", "what others have attached to it"),
            ("GetRole", "setup teardown", "whether it is there, and is setup's"),
            ("GetRolePolicy", "setup", "whether it says what it has to"),
            ("ListAttachedRolePolicies", "teardown", "what others have attached to it"),
            ("ListRolePolicies", "teardown", "its policies"),
            ("PutRolePolicy", "setup", "what containers may do"),
            ("TagRole", "setup teardown", "the record of what setup made"),
            ("UpdateAssumeRolePolicy", "setup", "SageMaker alone, for this account"),
        ),
        ROLE,
    ),
    Statement(
        "MakePolicy",
        SETUP,
        calls(
            "iam",
            ("CreatePolicy", "setup", "what people may do"),
            ("CreatePolicyVersion", "setup", "a later version of algoshelf asks for more"),
            ("DeletePolicy", "teardown", "what people may do"),
            ("DeletePolicyVersion", "setup teardown", "AWS keeps five"),
            ("GetPolicy", "setup teardown", "whether it is there, and is setup's"),
            ("GetPolicyVersion", "setup", "whether it says what it has to"),
            ("ListEntitiesForPolicy", "setup teardown", "who has it"),
            ("ListPolicyVersions", "setup teardown", "AWS keeps five"),
            ("TagPolicy", "setup", "by which teardown knows it", WITH_TAGS),
        ),
        POLICY,
    ),
    Statement(
        "GivePolicy",
        SETUP,
        tuple(
            call(f"iam:{verb}{kind}Policy", command, "setup --for, and back")
            for verb, command in (("Attach", "setup"), ("Detach", "teardown"))
            for kind in ("Group", "Role", "User")
        ),
        tuple(f"arn:PARTITION:iam::ACCOUNT:{kind}/*" for kind in ("group", "role", "user")),
        {"ArnEquals": {"iam:PolicyARN": list(POLICY)}},
    ),
    Statement(
        "FindPeople",
        SETUP,
        tuple(
            call(f"iam:Get{kind}", "setup", "whether whom setup --for names is there")
            for kind in ("Group", "Role", "User")
        ),
        tuple(f"arn:PARTITION:iam::ACCOUNT:{kind}/*" for kind in ("group", "role", "user")),
    ),
    Statement(
        "MakeBucket",
        SETUP,
        calls(
            "s3",
            ("CreateBucket", "setup", "the account's bucket for SageMaker, once"),
            ("DeleteBucket", "teardown", "once it is empty"),
            ("GetBucketOwnershipControls", "setup", "what it lacks"),
            ("GetBucketPolicy", "setup", "what it lacks"),
            ("GetBucketPublicAccessBlock", "setup", "what it lacks"),
            ("GetBucketTagging", "setup teardown", "whether setup made it"),
            ("GetEncryptionConfiguration", "setup", "what it lacks"),
            ("GetLifecycleConfiguration", "setup", "what it lacks"),
            ("ListBucket", "setup teardown", "whether it is there"),
            ("ListBucketMultipartUploads", "teardown", "what lies in it"),
            ("ListBucketVersions", "teardown", "what lies in it"),
            ("PutBucketOwnershipControls", "setup", "objects are the account's"),
            ("PutBucketPolicy", "setup", "TLS alone"),
            ("PutBucketPublicAccessBlock", "setup", "private"),
            ("PutBucketTagging", "setup", "by which teardown knows it"),
            ("PutEncryptionConfiguration", "setup", "encrypted"),
            ("PutLifecycleConfiguration", "setup", "old uploads and checkpoints go"),
        ),
        BUCKET,
    ),
    Statement(
        "EmptyBucket",
        SETUP,
        tuple(
            call(f"s3:{name}", "teardown", "what lies in it, if that is wanted")
            for name in ("AbortMultipartUpload", "DeleteObject", "DeleteObjectVersion")
        ),
        OBJECTS,
        OWN_ACCOUNT,
    ),
    Statement(
        "ModelsOfEndpoints",
        USER,
        (
            call("s3:DeleteObject", "deploy delete sweep models",
                 "a multi-model endpoint's own copies of its models"),
        ),
        ("arn:PARTITION:s3:::sagemaker-*-ACCOUNT/algoshelf/endpoints/*",),
        OWN_ACCOUNT,
    ),
    Statement(
        "AppsListed",
        USER,
        (
            call("cloudformation:DescribeStacks", STOCK, "the review apps there are"),
        ),
        ("*",),
        wildcard="AWS lists stacks of every name, or none",
    ),
    Statement(
        "AppsKept",
        USER,
        (
            call("s3:ListBucket", STOCK, "how much a review app keeps"),
        ),
        APP_BUCKETS,
        OWN_ACCOUNT,
    ),
    Statement(
        "AppStacks",
        WEB,
        (
            call("cloudformation:CreateStack", "web", "makes a review app, whole"),
            call("cloudformation:DeleteStack", "web delete", "removes one, whole"),
            call("cloudformation:DescribeStackEvents", "web", "why one failed"),
            call("cloudformation:DescribeStacks", "web", "whether a name is free, waiting"),
        ),
        (f"arn:PARTITION:cloudformation:*:ACCOUNT:stack/{APP}/*",),
    ),
    Statement(
        "AppsListed",
        WEB,
        (
            call("cloudformation:DescribeStacks", "web", "which review apps are there"),
            call("sagemaker:DescribeEndpoint", "web", "the endpoint is there, and what it costs"),
            call("sagemaker:DescribeEndpointConfig", "web", "what the endpoint costs"),
            call("sagemaker:ListEndpoints", "web", "what the endpoint costs"),
            call("sagemaker:ListTags", "web", "whose the endpoint is"),
        ),
        ("*",),
        wildcard="AWS lists stacks and endpoints of every name, or none",
    ),
    Statement(
        "AppCode",
        WEB,
        (
            call("s3:DeleteObject", "web", "the archive is removed once the app is there"),
            call("s3:GetObject", "web", "the archive becomes the function", BY_CLOUDFORMATION),
            call("s3:PutObject", "web", "the archive of the function", BY_TRANSFERS),
        ),
        ("arn:PARTITION:s3:::sagemaker-*-ACCOUNT/algoshelf/web/*",),
        OWN_ACCOUNT,
    ),
    Statement(
        "AppCodeBucket",
        WEB,
        (
            call("s3:CreateBucket", "web", "the account's bucket for SageMaker, once"),
            call("s3:ListBucket", "web", "what is there already"),
        ),
        BUCKET,
    ),
    Statement(
        "AppBuckets",
        WEB,
        (
            call("s3:ListBucket", "web", "how many corrections are kept"),
            *by_cloudformation(
                "s3",
                "CreateBucket DeleteBucket DeleteBucketPolicy GetBucketPolicy PutBucketPolicy "
                "PutBucketOwnershipControls PutBucketPublicAccessBlock PutBucketTagging "
                "PutEncryptionConfiguration PutLifecycleConfiguration",
                "the bucket of corrections",
            ),
        ),
        APP_BUCKETS,
    ),
    Statement(
        "AppCorrections",
        WEB,
        (
            call("s3:DeleteObject", "web", "nothing is left of an app that is deleted"),
            call("s3:DeleteObjectVersion", "web", "the same"),
            call("s3:GetObject", "web", "saves the corrections first"),
        ),
        APP_OBJECTS,
        OWN_ACCOUNT,
    ),
    Statement(
        "AppFunctions",
        WEB,
        by_cloudformation(
            "lambda",
            "AddPermission CreateFunction DeleteFunction GetFunction ListTags RemovePermission "
            "TagResource",
            "the function",
        ),
        (f"arn:PARTITION:lambda:*:ACCOUNT:function:{APP}",),
    ),
    Statement(
        "AppRoles",
        WEB,
        by_cloudformation(
            "iam",
            "CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy PutRolePolicy TagRole",
            "the function's role, which asks one endpoint and puts corrections",
        ),
        (f"arn:PARTITION:iam::ACCOUNT:role/{APP}",),
    ),
    Statement(
        "AppRoleToLambda",
        WEB,
        by_cloudformation("iam", "PassRole", "hands that role to Lambda, and to nothing else"),
        (f"arn:PARTITION:iam::ACCOUNT:role/{APP}",),
        {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
    ),
    Statement(
        "AppApis",
        WEB,
        by_cloudformation("apigateway", "DELETE GET PATCH POST", "the API, its routes, its stage"),
        ("arn:PARTITION:apigateway:*::/apis", "arn:PARTITION:apigateway:*::/apis/*"),
    ),
    Statement(
        "AppLogs",
        WEB,
        by_cloudformation(
            "logs",
            "CreateLogGroup DeleteLogGroup ListTagsForResource PutRetentionPolicy TagResource",
            "the function's log",
        ),
        (f"arn:PARTITION:logs:*:ACCOUNT:log-group:/aws/lambda/{APP}",),
    ),
    Statement(
        "AppAlarms",
        WEB,
        by_cloudformation(
            "cloudwatch", "DeleteAlarms DescribeAlarms PutMetricAlarm TagResource",
            "the alarm of too many requests",
        ),
        (f"arn:PARTITION:cloudwatch:*:ACCOUNT:alarm:{APP}",),
    ),
    Statement(
        "AppTopics",
        WEB,
        by_cloudformation(
            "sns", "CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic Subscribe "
            "TagResource",
            "to whom the alarm writes",
        ),
        (f"arn:PARTITION:sns:*:ACCOUNT:{APP}",),
    ),
    Statement(
        "OwnBucket",
        EXECUTION,
        (call("s3:ListBucket", CONTAINER, "finds channels, code and checkpoints"),),
        BUCKET,
        OWN_ACCOUNT,
    ),
    Statement(
        "OwnObjects",
        EXECUTION,
        (
            call("s3:AbortMultipartUpload", CONTAINER, "an upload that fails leaves no parts"),
            call("s3:GetObject", CONTAINER, "reads channels, code, checkpoints, the model"),
            call("s3:PutObject", CONTAINER, "writes the model, checkpoints and answers"),
        ),
        OBJECTS,
        OWN_ACCOUNT,
    ),
    Statement(
        "WriteLogs",
        EXECUTION,
        tuple(
            call(f"logs:{name}", CONTAINER, "what the container prints")
            for name in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
        ),
        ("arn:PARTITION:logs:*:ACCOUNT:log-group:/aws/sagemaker/*",),
    ),
    Statement(
        "WriteMetrics",
        EXECUTION,
        (call("cloudwatch:PutMetricData", CONTAINER, "metrics, in SageMaker's namespaces alone"),),
        ("*",),
        {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "AWS/SageMaker"]}},
        wildcard="AWS knows no resource of a metric; the condition names the namespaces",
    ),
    Statement(
        "SignInToImages",
        EXECUTION,
        (call("ecr:GetAuthorizationToken", CONTAINER, "signs in to the registry of images"),),
        ("*",),
        wildcard="AWS knows no resource of signing in to a registry",
    ),
    Statement(
        "PullAwsAndOwnImages",
        EXECUTION,
        tuple(
            call(f"ecr:{name}", CONTAINER, "AWS's image, or yours")
            for name in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
        ),
        _image_repositories,
    ),
    Statement(
        "EncryptUploads",
        COMPANY,
        (
            call("kms:Decrypt", WRITING, "--kms-key: uploads in parts, what is read", S3_ASKS),
            call("kms:GenerateDataKey", WRITING, "--kms-key: what is uploaded", S3_ASKS),
        ),
        KEYS,
        BY_S3,
    ),
    Statement(
        "EncryptDisks",
        COMPANY,
        (
            call("kms:CreateGrant", CHECKED, "--volume-kms-key: the disks of the instances",
                 "SageMaker asks for it in your name"),
        ),
        KEYS,
        {
            "Bool": {"kms:GrantIsForAWSResource": "true"},
            "StringLike": {"kms:ViaService": "sagemaker.*.amazonaws.com"},
        },
    ),
    Statement(
        "EncryptData",
        COMPANY_ROLE,
        (
            call("kms:Decrypt", CONTAINER, "--kms-key: data, code and models", S3_ASKS),
            call("kms:GenerateDataKey", CONTAINER, "--kms-key: models and answers", S3_ASKS),
        ),
        KEYS,
        BY_S3,
    ),
    Statement(
        "EnterVpc",
        COMPANY_ROLE,
        tuple(
            call(f"ec2:{name}", CONTAINER, "--vpc-subnets: the instances' places in your network")
            for name in (
                "CreateNetworkInterface", "CreateNetworkInterfacePermission",
                "DeleteNetworkInterface", "DeleteNetworkInterfacePermission",
            )
        ),
        tuple(
            f"arn:PARTITION:ec2:*:ACCOUNT:{kind}/*"
            for kind in ("network-interface", "security-group", "subnet")
        ),
    ),
    Statement(
        "LookAtVpc",
        COMPANY_ROLE,
        tuple(
            call(f"ec2:{name}", CONTAINER, "--vpc-subnets: what there is in your network")
            for name in (
                "DescribeDhcpOptions", "DescribeNetworkInterfaces", "DescribeSecurityGroups",
                "DescribeSubnets", "DescribeVpcs",
            )
        ),
        ("*",),
        wildcard="AWS knows no narrower right to list what a network has",
    ),
)  # fmt: skip


def policy(document: str, place: Place = IN_DOCS) -> dict[str, Any]:
    """The policy ``document``, one of USER, SETUP and EXECUTION, in the account of ``place``."""
    statements = [each.policy(place) for each in STATEMENTS if each.document == document]
    return {"Version": "2012-10-17", "Statement": statements}


def trust(place: Place = IN_DOCS) -> dict[str, Any]:
    """Who may assume the execution role: SageMaker, for what this account asked of it.

    Without the conditions another account's job could have SageMaker act in the role (the confused
    deputy: https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html).
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": SAGEMAKER},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {"aws:SourceArn": place.fill("arn:PARTITION:sagemaker:*:ACCOUNT:*")},
                },
            }
        ],
    }


def of_command(name: str) -> dict[str, set[str]]:
    """The documents that the command ``name`` needs, each with its rights there."""
    found: dict[str, set[str]] = {}
    for statement in STATEMENTS:
        for each in statement.calls:
            if name in each.commands:
                found.setdefault(statement.document, set()).add(each.action)
    return found


def files(place: Place = IN_DOCS) -> dict[str, str]:
    """The text of each file of ``docs/`` that is written from here, by its name."""
    policies = {name: policy(name, place) for name in documents()}
    found = {
        f"{name}.json": json.dumps(value, indent=2) + "\n"
        for name, value in {**policies, TRUST: trust(place)}.items()
    }
    found["iam.md"] = _page()
    return found


def documents() -> list[str]:
    """The policies that there are."""
    return list(dict.fromkeys(each.document for each in STATEMENTS))


TITLES = {
    USER: "for whoever uses `algoshelf sagemaker`",
    SETUP: "for whoever runs `algoshelf sagemaker setup` and `teardown`, beside the first",
    EXECUTION: "for the containers of jobs and endpoints",
    WEB: "for whoever deploys review apps, beside the first",
    COMPANY: "for whoever gives `--kms-key` or `--volume-kms-key`, beside the first",
    COMPANY_ROLE: "for the containers, where a KMS key or a VPC is given, beside the one before",
}
HEAD = """# Rights: what each command asks of AWS, and why

Written by `python -m algoshelf.registry.aws.rights docs` from
[one table](../registry/aws/rights.py), as are the policies beside it. The tests hold every request
that any command sends against the table and against the policies.
"""


def _page() -> str:
    """``docs/iam.md``."""
    parts = [HEAD]
    for document in documents():
        parts.append(f"## {document}.json: {TITLES[document]}\n")
        for statement in STATEMENTS:
            if statement.document == document:
                parts.append(_section(statement))
    return "\n".join(parts)


def _section(statement: Statement) -> str:
    found = statement.policy(IN_DOCS)
    resources = found["Resource"]
    named = [resources] if isinstance(resources, str) else resources
    shown = ", ".join(f"`{name}`" for name in named[:2]) + (", …" if len(named) > 2 else "")
    lines = [f"### {statement.sid}\n", f"On {shown}" + _reason(statement, found) + "\n"]
    lines += ["| action | commands | why |", "|---|---|---|"]
    for each in statement.calls:
        why = f"{each.why}; {each.implied}" if each.implied else each.why
        lines.append(f"| `{each.action}` | {', '.join(each.commands)} | {why} |")
    return "\n".join([*lines, ""])


def _reason(statement: Statement, found: Mapping[str, Any]) -> str:
    condition = f", if `{json.dumps(found['Condition'])}`" if statement.condition else ""
    return f"{condition}." + (
        f" Every resource, since {statement.wildcard}." * bool(statement.wildcard)
    )


def main(arguments: Sequence[str]) -> None:
    """Write ``files`` into the folder that the first of ``arguments`` names."""
    for name, text in files().items():
        Path(arguments[0], name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
