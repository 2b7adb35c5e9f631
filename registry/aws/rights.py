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
SAGEMAKER = "sagemaker.amazonaws.com"
SCALING = "sagemaker.application-autoscaling.amazonaws.com"
MAX_CHARACTERS = 6_144  # of a managed policy, without white space
MAX_INLINE = 10_240  # of a role's inline policies together

# The documents: for people, for whoever sets up and tears down, for the containers.
USER, SETUP, EXECUTION = "iam-policy", "iam-setup", "iam-execution-role"
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
POLICY = (f"arn:PARTITION:iam::ACCOUNT:policy/{USER_POLICY}",)
CREATING = {
    "CreateEndpoint": "deploy",
    "CreateEndpointConfig": "deploy update",
    "CreateHyperParameterTuningJob": "tune",
    "CreateModel": "deploy update transform",
    "CreateTrainingJob": "train benchmark",
    "CreateTransformJob": "transform",
}
TAGGING = " ".join(dict.fromkeys(" ".join(CREATING.values()).split()))
UNDONE = "deploy update transform"  # what undoes what it made when it fails
BY_AWS_CLI = "`aws sagemaker-runtime` sends it"
BY_TRANSFERS = "boto3's transfers of files send it"
CHECKED = "train tune transform deploy update benchmark"

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
                 "AWS asks for it wherever something is created with tags"),
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
            call("sagemaker:DeleteModel", f"delete sweep {UNDONE}", "leaves nothing"),
            call("sagemaker:InvokeEndpoint", "deploy", "asks for predictions", BY_AWS_CLI),
            call("sagemaker:InvokeEndpointAsync", "deploy", "asks for predictions", BY_AWS_CLI),
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
        "Look",
        USER,
        (
            call("application-autoscaling:DescribeScalableTargets", "update delete deploy sweep",
                 "scaling that has to be kept, or removed"),
            call("application-autoscaling:DescribeScalingPolicies", "update delete deploy sweep",
                 "scaling that has to be kept, or removed"),
            call("cloudwatch:DescribeAlarms", "deploy", "the alarms of scaling",
                 "Application Auto Scaling looks for them in your name"),
            call("cloudwatch:GetMetricData", "update", "rolls back on errors"),
            call("pricing:GetProducts", "cost", "--refresh reads AWS's price list"),
            call("sagemaker:DescribeEndpoint", "deploy update status list delete sweep",
                 "whether a name is free, waiting, and what there is to remove"),
            call("sagemaker:DescribeEndpointConfig", "deploy update list delete sweep",
                 "what an endpoint runs on, and what there is to remove"),
            call("sagemaker:DescribeHyperParameterTuningJob", "tune status delete logs list",
                 "whether a name is free, waiting"),
            call("sagemaker:DescribeModel", f"{UNDONE} delete sweep", "what there is to remove"),
            call("sagemaker:DescribeTrainingJob",
                 "train tune transform deploy update status logs list delete benchmark",
                 "whether a name is free, waiting, and where the model is"),
            call("sagemaker:DescribeTransformJob", "transform status logs list delete sweep update",
                 "whether a name is free, waiting"),
            call("sagemaker:ListEndpointConfigs", "list delete sweep update deploy",
                 "what there is to remove"),
            call("sagemaker:ListEndpoints", "list delete sweep update deploy",
                 "what is billed, and what uses a model"),
            call("sagemaker:ListHyperParameterTuningJobs", "list delete sweep", "what is billed"),
            call("sagemaker:ListModels", "list delete sweep", "what there is to remove"),
            call("sagemaker:ListTags", f"list delete sweep train tune benchmark {UNDONE}",
                 "whether it is algoshelf's, and this run's"),
            call("sagemaker:ListTrainingJobs", "list delete sweep", "what is billed"),
            call("sagemaker:ListTransformJobs", "list delete sweep update",
                 "what is billed, and what uses a model"),
            call("servicequotas:ListServiceQuotas", CHECKED,
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
        ),
        ("arn:PARTITION:logs:*:ACCOUNT:log-group:/aws/sagemaker/*",),
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
        (
            call("iam:GetRole", CHECKED, "it exists and trusts SageMaker"),
        ),
        ROLE,
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
            call("s3:CreateBucket", CHECKED, "the account's bucket for SageMaker, once"),
        ),
        BUCKET,
    ),
    Statement(
        "OwnBucket",
        USER,
        (
            call("s3:ListBucket", f"{CHECKED} drift", "what is there already"),
        ),
        BUCKET,
        OWN_ACCOUNT,
    ),
    Statement(
        "OwnObjects",
        USER,
        (
            call("s3:AbortMultipartUpload", CHECKED, "an upload that fails leaves no parts",
                 BY_TRANSFERS),
            call("s3:GetObject", "deploy update transform benchmark drift",
                 "a model, a measurement, captured requests"),
            call("s3:PutObject", f"{CHECKED} drift", "data, code and models", BY_TRANSFERS),
        ),
        OBJECTS,
        OWN_ACCOUNT,
    ),
    Statement(
        "AppsListed",
        USER,
        (
            call("cloudformation:DescribeStacks", "list delete sweep", "the review apps there are"),
        ),
        ("*",),
        wildcard="AWS lists stacks of every name, or none",
    ),
    Statement(
        "AppsKept",
        USER,
        (
            call("s3:ListBucket", "list delete sweep", "how much a review app keeps"),
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
)  # fmt: skip


def policy(document: str, place: Place = IN_DOCS) -> dict[str, Any]:
    """The policy ``document``, one of USER, SETUP, WEB, EXECUTION, in the account of ``place``."""
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
